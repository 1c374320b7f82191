//! One replica alone, then three that send messages in memory.

mod cluster;
mod lone;
mod replica;
