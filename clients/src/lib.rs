//! Producer, consumer and admin client, and the change events that cross the log.
//!
//! What `cdc` writes and `connectors` reads meets here: [`change`] is the contract of a captured
//! record. Everything else carries bytes between a process and any Kafka-compatible broker.
pub mod change;
