//! The decoder on binlog files of real servers (`../golden`, each with the SQL that made it),
//! against the servers' own SELECT, a second decoder, and damaged copies of the same bytes.
//!
//! To make the files anew: start a private MySQL 9.7 and MariaDB 10.11 (the README of the repository
//! says how), FLUSH BINARY LOGS, run `values.sql`, flush, run `mysql.sql` or `mariadb.sql`, flush,
//! copy the two closed files, and run `examples/capture_golden.rs` on both servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod file;
mod golden;
mod hostile;
mod second_opinion;
