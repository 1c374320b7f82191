//! MySQL and MariaDB binlog to topics.

pub mod binlog;
pub mod gtid;
pub mod schema;
pub mod value;
