//! A whole topic, read as a member of a group or as chosen partitions: what `headrace consume` shows.
//!
//! Offsets are committed only for records that the caller has marked [`GroupConsumer::done`].
use std::fmt;

use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::{ReadError, Record, judge, native};
use crate::connection::{self, ClientConfig, Context};

/// Where to read when a group has no offset yet, or there is no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest record.
    Beginning,
    /// What comes next.
    End,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record of this partition.
    Record(i32, Record),
    /// All that this partition has now is read.
    End(i32),
}

/// Reads a topic; see the file's header.
pub struct GroupConsumer {
    consumer: StreamConsumer<Context>,
    topic: String,
    group: bool,
}

impl fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupConsumer({})", self.topic)
    }
}

impl GroupConsumer {
    /// Joins a group for one topic.
    pub fn join(
        config: &ClientConfig,
        group: &str,
        topic: &str,
        start: Start,
    ) -> Result<GroupConsumer, ReadError> {
        let consumer = GroupConsumer::create(config, group, topic, Some(start))?;
        consumer
            .consumer
            .subscribe(&[topic])
            .map_err(|error| consumer.failed(&error))?;
        Ok(consumer)
    }

    /// Reads partitions of a topic from these offsets, without a group.
    pub fn assign(
        config: &ClientConfig,
        topic: &str,
        from: impl IntoIterator<Item = (i32, i64)>,
    ) -> Result<GroupConsumer, ReadError> {
        // nothing is said about an offset that the log does not have but by the error of reading it
        let consumer = GroupConsumer::create(config, "headrace-reader", topic, None)?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in from {
            list.add_partition_offset(topic, partition, Offset::Offset(offset))
                .map_err(|error| consumer.failed(&error))?;
        }
        consumer
            .consumer
            .assign(&list)
            .map_err(|error| consumer.failed(&error))?;
        Ok(consumer)
    }

    /// The next record or end of a partition, however long it takes.
    pub async fn next(&self) -> Result<Found, ReadError> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => {
                    let record = Record::copy(&message);
                    return Ok(Found::Record(message.partition(), record));
                }
                Err(KafkaError::PartitionEOF(partition)) => return Ok(Found::End(partition)),
                Err(error) => {
                    if let Some(error) = self.judge(&error) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Marks a record as worked on: [`GroupConsumer::commit`] then covers it.
    pub fn done(&self, partition: i32, record: &Record) -> Result<(), ReadError> {
        if !self.group {
            return Ok(());
        }
        match self
            .consumer
            .store_offset(&self.topic, partition, record.offset)
        {
            // the partition has moved to another member, which reads the record again
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::State) => Ok(()),
            stored => stored.map_err(|error| self.failed(&error)),
        }
    }

    /// Commits what is marked, waiting for the answer. Blocks; does nothing without a group.
    pub fn commit(&self) -> Result<(), ReadError> {
        if !self.group {
            return Ok(());
        }
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => Ok(()),
            committed => committed.map_err(|error| self.failed(&error)),
        }
    }

    /// `start` makes it a member of the group.
    fn create(
        config: &ClientConfig,
        group: &str,
        topic: &str,
        start: Option<Start>,
    ) -> Result<GroupConsumer, ReadError> {
        let mut native = native(config);
        let reset = match start {
            Some(Start::Beginning) => "earliest",
            Some(Start::End) => "latest",
            None => "error",
        };
        native
            .set("group.id", group)
            .set("auto.offset.reset", reset);
        if start.is_some() {
            // every 2 s, and on close: what was printed twice after a kill is bounded by that
            native
                .set("enable.auto.commit", "true")
                .set("auto.commit.interval.ms", "2000");
        }
        let topic = topic.to_owned();
        match connection::create(&native) {
            Ok(consumer) => Ok(GroupConsumer {
                consumer,
                topic,
                group: start.is_some(),
            }),
            Err(error) => Err(ReadError::Failed {
                topic,
                reason: error.to_string(),
            }),
        }
    }

    /// What an error means: `None` when the broker is only being waited for.
    fn judge(&self, error: &KafkaError) -> Option<ReadError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Some(ReadError::Failed {
                    topic: self.topic.clone(),
                    reason: "a partition does not have the offset to read next".to_owned(),
                })
            }
            _ => judge(&self.topic, error),
        }
    }

    fn failed(&self, error: &KafkaError) -> ReadError {
        ReadError::Failed {
            topic: self.topic.clone(),
            reason: error.to_string(),
        }
    }
}
