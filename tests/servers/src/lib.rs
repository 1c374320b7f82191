//! Private database servers for the demo and the tests.
//!
//! Each server gets a free port on 127.0.0.1 and a temporary directory of its own, and is killed and removed when its
//! value is dropped. Nothing of the machine's own servers is read or touched. The programs are those that
//! `make servers` unpacks below `target/servers/bin` (or the directory named by `HEADRACE_SERVERS`); a missing one is an
//! error that names that command, never a reason to skip a test.
//!
//! - [`database::Database`]: MariaDB or MySQL with a binlog as Headrace needs it, user `root` without a password
//! - [`redis::Redis`]: a Redis without persistence
//!
//! Not here: what runs on them, and Headrace itself.

pub mod child;
pub mod database;
pub mod programs;
pub mod redis;

pub use child::free_port;
pub use database::{Database, Flavor};
pub use programs::Programs;
pub use redis::Redis;
