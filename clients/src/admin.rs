//! Topics and groups: created, described, changed, deleted.
//!
//! Requests go out in our own codec, because librdkafka drops what a broker says about a refusal, and has no topic
//! ids. `route` finds the broker for each. Every call answers or fails within a few seconds; repeating is the caller's.
mod error;
mod group_offsets;
mod groups;
mod offsets;
mod records;
mod route;
mod settings;

use std::fmt;
use std::ops::RangeInclusive;

use headrace_protocol::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use headrace_protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use headrace_protocol::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use headrace_protocol::metadata::MetadataResponseTopic;
use headrace_protocol::{ErrorCode, Str};
use uuid::Uuid;

use crate::connection::{ClientConfig, REQUEST_TIMEOUT};
use crate::consumer::{self, ReadError, Record};
use route::To;

pub use error::AdminError;
pub use group_offsets::GroupOffset;
pub use groups::{GroupInfo, GroupListing, GroupMember};
pub use offsets::OffsetAt;
pub use records::DeleteBefore;
pub use settings::{SettingOrigin, TopicSetting};

/// CreateTopics with defaults for partitions and replicas (Kafka 2.4 and later).
const CREATE_TOPICS: RangeInclusive<i16> = 4..=7;
/// DeleteTopics with topics as structs (Kafka 2.8 and later).
const DELETE_TOPICS: RangeInclusive<i16> = 6..=6;

/// CreatePartitions (Kafka 2.0 and later).
const CREATE_PARTITIONS: RangeInclusive<i16> = 1..=3;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<String>, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Whether a topic had to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    Created,
    /// It was there, with whatever partitions and settings it has.
    Exists,
}

/// A topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its id: another one after it was deleted and created again.
    pub topic_id: Uuid,
    /// Number of partitions.
    pub partitions: i32,
    /// True for the cluster's own topics.
    pub internal: bool,
}

/// Who has a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The broker that serves it; `None` while there is none.
    pub leader: Option<i32>,
    /// Rises with each change of the leader.
    pub leader_epoch: i32,
    /// The brokers that keep a copy.
    pub replicas: Vec<i32>,
    /// Those of them whose copy is complete.
    pub in_sync: Vec<i32>,
}

/// Asks the cluster; cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    config: ClientConfig,
}

impl Admin {
    /// Connects lazily; a bootstrap that is no list of `host:port` is refused.
    pub fn new(config: &ClientConfig) -> Result<Admin, AdminError> {
        for address in config.bootstrap.split(',').map(str::trim) {
            let port = address.rsplit_once(':').map(|(host, port)| {
                let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
                is_host && port.parse::<u16>().is_ok()
            });
            if port != Some(true) {
                return Err(AdminError::Refused {
                    subject: format!("{address:?}"),
                    reason: "not the address of a broker, which is HOST:PORT".to_owned(),
                });
            }
        }
        Ok(Admin {
            config: config.clone(),
        })
    }

    /// Creates a topic with the cluster's default replication.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<Created, AdminError> {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: partitions,
                configs: configs.iter().map(config).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: timeout_ms(),
            ..CreateTopicsRequest::default()
        };
        let code = |answer: &CreateTopicsResponse| first_code(&answer.topics, |t| t.error_code);
        let answer = self
            .ask(To::Controller, CREATE_TOPICS, &request, code)
            .await?;
        let topic = only(answer.topics, name)?;
        match topic.error_code {
            ErrorCode::NONE => Ok(Created::Created),
            ErrorCode::TOPIC_ALREADY_EXISTS => Ok(Created::Exists),
            code => Err(AdminError::refused(
                name,
                code,
                topic.error_message.as_deref(),
            )),
        }
    }

    /// Gives a topic more partitions: `count` in all.
    pub async fn create_partitions(&self, name: &str, count: i32) -> Result<(), AdminError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: name.into(),
                count,
                assignments: None,
            }],
            timeout_ms: timeout_ms(),
            validate_only: false,
        };
        let code =
            |answer: &CreatePartitionsResponse| first_code(&answer.results, |t| t.error_code);
        let to = To::Controller;
        let answer = self.ask(to, CREATE_PARTITIONS, &request, code).await?;
        let topic = only(answer.results, name)?;
        check_topic(name, topic.error_code, topic.error_message.as_ref())
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(name.into()),
                topic_id: Uuid::nil(),
            }],
            timeout_ms: timeout_ms(),
            ..DeleteTopicsRequest::default()
        };
        let code = |answer: &DeleteTopicsResponse| first_code(&answer.responses, |t| t.error_code);
        let answer = self
            .ask(To::Controller, DELETE_TOPICS, &request, code)
            .await?;
        let topic = only(answer.responses, name)?;
        check_topic(name, topic.error_code, topic.error_message.as_ref())
    }

    /// Describes one topic, without creating it.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicInfo, AdminError> {
        Ok(info(&self.topic_metadata(name).await?))
    }

    /// The partitions of a topic, in order.
    pub async fn partitions(&self, name: &str) -> Result<Vec<PartitionInfo>, AdminError> {
        let topic = self.topic_metadata(name).await?;
        let mut partitions: Vec<_> = topic
            .partitions
            .into_iter()
            .map(|partition| PartitionInfo {
                partition: partition.partition_index,
                leader: (partition.leader_id >= 0).then_some(partition.leader_id),
                leader_epoch: partition.leader_epoch,
                replicas: partition.replica_nodes,
                in_sync: partition.isr_nodes,
            })
            .collect();
        partitions.sort_by_key(|partition| partition.partition);
        Ok(partitions)
    }

    /// The id of a topic.
    pub async fn topic_id(&self, name: &str) -> Result<Uuid, AdminError> {
        Ok(self.describe_topic(name).await?.topic_id)
    }

    /// All topics, by name.
    pub async fn topics(&self) -> Result<Vec<TopicInfo>, AdminError> {
        let answer = self.metadata(None).await?;
        let mut topics: Vec<_> = answer.topics.iter().map(info).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// The id of the cluster.
    pub async fn cluster_id(&self) -> Result<String, AdminError> {
        let answer = self.metadata(Some(Vec::new())).await?;
        answer
            .cluster_id
            .map(|id| id.to_string())
            .ok_or_else(|| AdminError::Refused {
                subject: self.config.bootstrap.clone(),
                reason: "the cluster has no id".into(),
            })
    }

    /// The last record of a partition; `None` when it holds none.
    pub async fn last_record(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Option<Record>, ReadError> {
        consumer::last_record(&self.config, topic, partition).await
    }

    async fn topic_metadata(&self, name: &str) -> Result<MetadataResponseTopic, AdminError> {
        let answer = self.metadata(Some(vec![name])).await?;
        let topic = answer.topics.into_iter().next();
        let topic = topic.ok_or_else(|| AdminError::UnknownTopic(name.to_owned()))?;
        check_topic(name, topic.error_code, None)?;
        Ok(topic)
    }
}

fn check_topic(name: &str, code: ErrorCode, message: Option<&Str>) -> Result<(), AdminError> {
    match code {
        ErrorCode::NONE => Ok(()),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Err(AdminError::UnknownTopic(name.to_owned())),
        code => Err(AdminError::refused(name, code, message.map(Str::as_str))),
    }
}

fn info(topic: &MetadataResponseTopic) -> TopicInfo {
    TopicInfo {
        name: topic.name.as_deref().unwrap_or_default().to_owned(),
        topic_id: topic.topic_id,
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        internal: topic.is_internal,
    }
}

/// How long a broker may work on a change.
fn timeout_ms() -> i32 {
    i32::try_from(REQUEST_TIMEOUT.as_millis()).unwrap_or(i32::MAX)
}

/// The code about the one thing that was asked about.
fn first_code<T>(results: &[T], code: impl Fn(&T) -> ErrorCode) -> ErrorCode {
    results.first().map_or(ErrorCode::NONE, code)
}

/// The result for the one thing asked about.
fn only<T>(results: Vec<T>, subject: &str) -> Result<T, AdminError> {
    let first = results.into_iter().next();
    first.ok_or_else(|| AdminError::Refused {
        subject: subject.to_owned(),
        reason: "the cluster answered about nothing".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_that_is_no_address_is_refused() {
        let admin = |bootstrap: &str| Admin::new(&ClientConfig::new(bootstrap, "test"));
        assert!(admin("127.0.0.1:9092, [::1]:9092,db.example:1").is_ok());
        for wrong in [
            "",
            "host",
            "host:",
            ":9092",
            "host:70000",
            "::1:9092",
            "h:1,",
        ] {
            assert!(admin(wrong).is_err(), "{wrong}");
        }
    }
}
