//! MySQL and MariaDB binlog to topics.
