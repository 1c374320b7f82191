//! A whole topic, read as a member of a group or as all its partitions: what `headrace consume` shows.
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
        let consumer = GroupConsumer::create(config, group, topic, start, true)?;
        consumer
            .consumer
            .subscribe(&[topic])
            .map_err(|error| consumer.failed(&error))?;
        Ok(consumer)
    }

    /// Reads all partitions of a topic without a group.
    pub fn assign(
        config: &ClientConfig,
        topic: &str,
        partitions: i32,
        start: Start,
    ) -> Result<GroupConsumer, ReadError> {
        let consumer = GroupConsumer::create(config, "headrace-reader", topic, start, false)?;
        let from = match start {
            Start::Beginning => Offset::Beginning,
            Start::End => Offset::End,
        };
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, from)
                .map_err(|error| consumer.failed(&error))?;
        }
        consumer
            .consumer
            .assign(&list)
            .map_err(|error| consumer.failed(&error))?;
        Ok(consumer)
    }

    /// The next record and its partition, however long it takes.
    pub async fn next(&self) -> Result<(i32, Record), ReadError> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => return Ok((message.partition(), Record::copy(&message))),
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => {
                    if let Some(error) = judge(&self.topic, &error) {
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

    fn create(
        config: &ClientConfig,
        group: &str,
        topic: &str,
        start: Start,
        member: bool,
    ) -> Result<GroupConsumer, ReadError> {
        let mut native = native(config);
        native.set("group.id", group).set(
            "auto.offset.reset",
            match start {
                Start::Beginning => "earliest",
                Start::End => "latest",
            },
        );
        if member {
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
                group: member,
            }),
            Err(error) => Err(ReadError::Failed {
                topic,
                reason: error.to_string(),
            }),
        }
    }

    fn failed(&self, error: &KafkaError) -> ReadError {
        ReadError::Failed {
            topic: self.topic.clone(),
            reason: error.to_string(),
        }
    }
}
