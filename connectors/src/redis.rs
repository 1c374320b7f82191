//! Views in Redis: whole-value hashes and JSON strings, moved together with the watermark by one Redis Function.
pub mod config;
mod connection;
mod encode;
mod sink;
#[cfg(test)]
pub(crate) mod tests;

pub use encode::RedisValue;
pub use sink::{RedisSink, RedisTarget};
