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
    Admin, AdminError, Created, DeleteBefore, GroupInfo, GroupListing, GroupMember, GroupOffset,
    OffsetAt, PartitionInfo, SettingOrigin, TopicInfo, TopicPartition, TopicSetting,
};
pub use connection::{ClientConfig, REQUEST_TIMEOUT};
pub use consumer::{
    Found, GroupConsumer, ReadError, Reader, Record, Start, last_record, last_records, read_to_end,
};
pub use producer::{
    Acks, Compression, Delivery, NewRecord, ProduceError, Producer, ProducerOptions,
};
