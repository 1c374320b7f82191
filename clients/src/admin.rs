//! Topics and groups: created, described, deleted.
//!
//! Librdkafka finds the controller and the coordinators; metadata is asked for by hand, because topic ids
//! are missing in librdkafka's. Every call answers or fails within a few seconds; repeating is the caller's.
mod groups;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use headrace_protocol::ErrorCode;
use headrace_protocol::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use crate::connection::{self, ClientConfig, Context, REQUEST_TIMEOUT};
use crate::consumer::{self, ReadError, Record};
use crate::raw;

pub use groups::{GroupInfo, GroupMember, GroupOffset};

/// Version of Metadata that has topic ids and every field used here (Kafka 3.1 and later).
const METADATA_VERSION: i16 = 12;

/// Why an administrative call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No broker answered; try again.
    #[error("no answer from {bootstrap}: {reason}")]
    Unreachable {
        /// The addresses tried.
        bootstrap: String,
        /// Why.
        reason: String,
    },
    /// The topic does not exist.
    #[error("topic {0} does not exist")]
    UnknownTopic(String),
    /// The group does not exist.
    #[error("group {0} does not exist")]
    UnknownGroup(String),
    /// The cluster refused.
    #[error("{subject}: {reason}")]
    Refused {
        /// Topic or group.
        subject: String,
        /// Kafka's name of the error.
        reason: String,
    },
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

/// One setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSetting {
    /// Its value.
    pub value: Option<String>,
    /// True when nobody set it.
    pub default: bool,
}

/// Asks the cluster; cheap to clone.
#[derive(Clone)]
pub struct Admin {
    config: ClientConfig,
    native: Arc<AdminClient<Context>>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// Connects lazily.
    pub fn new(config: &ClientConfig) -> Result<Admin, AdminError> {
        let native = connection::create(&config.native()).map_err(|error| AdminError::Refused {
            subject: config.client_id.clone(),
            reason: error.to_string(),
        })?;
        Ok(Admin {
            config: config.clone(),
            native: Arc::new(native),
        })
    }

    /// Creates a topic with the cluster's default replication.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<Created, AdminError> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (setting, value) in configs {
            topic = topic.set(setting, value);
        }
        let results = self.native.create_topics([&topic], &options()).await;
        match one(results, name, |error| self.unanswered(error))? {
            Ok(_) => Ok(Created::Created),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(Created::Exists),
            Err((_, code)) => Err(refused(name, code)),
        }
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        let results = self.native.delete_topics(&[name], &options()).await;
        match one(results, name, |error| self.unanswered(error))? {
            Ok(_) => Ok(()),
            Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                Err(AdminError::UnknownTopic(name.to_owned()))
            }
            Err((_, code)) => Err(refused(name, code)),
        }
    }

    /// Describes one topic, without creating it.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicInfo, AdminError> {
        let wanted = MetadataRequestTopic {
            name: Some(name.into()),
            ..Default::default()
        };
        let answer = self.metadata(Some(vec![wanted])).await?;
        let topic = answer.topics.into_iter().next();
        let topic = topic.ok_or_else(|| AdminError::UnknownTopic(name.to_owned()))?;
        match topic.error_code {
            ErrorCode::NONE => Ok(info(&topic)),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Err(AdminError::UnknownTopic(name.to_owned())),
            code => Err(AdminError::Refused {
                subject: name.to_owned(),
                reason: code.to_string(),
            }),
        }
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

    /// The settings of a topic.
    pub async fn topic_settings(
        &self,
        name: &str,
    ) -> Result<BTreeMap<String, TopicSetting>, AdminError> {
        let results = self
            .native
            .describe_configs([&ResourceSpecifier::Topic(name)], &options())
            .await;
        let resource = match one(results, name, |error| self.unanswered(error))? {
            Ok(resource) => resource,
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                return Err(AdminError::UnknownTopic(name.to_owned()));
            }
            Err(code) => return Err(refused(name, code)),
        };
        let setting = |entry: rdkafka::admin::ConfigEntry| {
            let default = entry.is_default;
            (
                entry.name,
                TopicSetting {
                    value: entry.value,
                    default,
                },
            )
        };
        Ok(resource.entries.into_iter().map(setting).collect())
    }

    /// The last record of a partition; `None` when it holds none.
    pub async fn last_record(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Option<Record>, ReadError> {
        consumer::last_record(&self.config, topic, partition).await
    }

    async fn metadata(
        &self,
        topics: Option<Vec<MetadataRequestTopic>>,
    ) -> Result<MetadataResponse, AdminError> {
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        raw::ask(&self.config, METADATA_VERSION, &request)
            .await
            .map_err(|error| self.unanswered(error))
    }

    fn unanswered(&self, error: impl fmt::Display) -> AdminError {
        let reason = format!("{error} {}", self.native.inner().context().last_error());
        AdminError::Unreachable {
            bootstrap: self.config.bootstrap.clone(),
            reason: reason.trim().to_owned(),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT))
}

fn info(topic: &MetadataResponseTopic) -> TopicInfo {
    TopicInfo {
        name: topic.name.as_deref().unwrap_or_default().to_owned(),
        topic_id: topic.topic_id,
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        internal: topic.is_internal,
    }
}

/// The result for the one thing asked about.
fn one<T>(
    results: Result<Vec<T>, KafkaError>,
    subject: &str,
    unanswered: impl FnOnce(KafkaError) -> AdminError,
) -> Result<T, AdminError> {
    let first = results.map_err(unanswered)?.into_iter().next();
    let reason = || "the cluster answered about nothing".to_owned();
    first.ok_or_else(|| AdminError::Refused {
        subject: subject.to_owned(),
        reason: reason(),
    })
}

fn refused(subject: &str, code: RDKafkaErrorCode) -> AdminError {
    AdminError::Refused {
        subject: subject.to_owned(),
        reason: code.to_string(),
    }
}
