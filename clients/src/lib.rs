//! Producer, consumer and admin client, and the change events that cross the log.
//!
//! What `cdc` writes and `connectors` reads meets here: [`change`] is the contract of a captured
//! record. Everything else carries bytes between a process and any Kafka-compatible broker.
mod admin;
pub mod change;
mod connection;
mod consumer;
mod producer;
mod raw;

pub use admin::{
    Admin, AdminError, Created, GroupInfo, GroupMember, GroupOffset, TopicInfo, TopicSetting,
};
pub use connection::{ClientConfig, REQUEST_TIMEOUT};
pub use consumer::{GroupConsumer, ReadError, Reader, Record, Start, last_record, read_to_end};
pub use producer::{Compression, Delivery, ProduceError, Producer, ProducerOptions};
