//! The load generator: rows of work that brokers take turns at, and the table of what each of them took.
//!
//! ```text
//! row -> round -> peer:  touch memory, make a topic, begin to count, librdkafka's load, stop counting, delete the topic
//! medians of the rounds -> a file per row below target/bench -> the table and the chart in benches/
//! ```
//! What repeats on a shared machine is CPU time per work done, and the ratio of two peers that took turns in the same
//! minutes; so a row is always measured with all its peers.

pub mod chart;
pub mod client;
pub mod idle;
pub mod measure;
pub mod outcome;
pub mod peer;
pub mod report;
pub mod row;
