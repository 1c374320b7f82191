//! The broker's topics and partitions, as the coordinator sees them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headrace_storage::record::Batch;
use headrace_storage::{Chunk, Offset};
use uuid::Uuid;

use super::group::consumer::subscription::{self, TopicShape};
use super::groups::event::AppendError;
use super::log::{BoxFuture, OffsetsLog, OpenFailed, ReadFailed, TopicFacts, TopicSource};
use crate::controller::topic_name::CONSUMER_OFFSETS;
use crate::partition::{Acks, AppendFailure, Handle, Registry, Topic, Topics};

/// How long a write may take before its requests are told so (`offsets.commit.timeout.ms`).
const APPEND_WITHIN: Duration = Duration::from_secs(5);

impl OffsetsLog for Handle {
    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<(), AppendError>> {
        let handle = self.clone();
        Box::pin(async move {
            match handle.append(batch, Acks::All, APPEND_WITHIN).await {
                Ok(_) => Ok(()),
                // a full disk heals by itself
                Err(AppendFailure::TimedOut | AppendFailure::NoSpace) => {
                    Err(AppendError::Unavailable)
                }
                Err(
                    AppendFailure::LogClosed
                    | AppendFailure::Deleted
                    | AppendFailure::NotLeader
                    | AppendFailure::Stopping
                    // The coordinator's batches have no producer.
                    | AppendFailure::Sequence(_),
                ) => Err(AppendError::Closed),
            }
        })
    }

    fn bounds(&self) -> BoxFuture<'static, (Offset, Offset)> {
        let handle = self.clone();
        Box::pin(async move {
            // What an earlier run wrote may lie above the mark until it is known to be durable.
            let end = handle.view().log_end();
            handle.wait_for(end).await;
            (handle.view().log_start(), end)
        })
    }

    fn read(
        &self,
        from: Offset,
        upto: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'static, Result<Vec<Bytes>, ReadFailed>> {
        let view = self.view();
        Box::pin(async move {
            let failed = |error: &dyn std::fmt::Display| ReadFailed(error.to_string());
            let read = tokio::task::spawn_blocking(move || {
                let chunks = view.read(from, upto, bytes_max, true);
                let chunks = chunks.map_err(|error| failed(&error))?;
                let bytes = |chunk: &Chunk| chunk.to_bytes().map_err(|error| failed(&error));
                chunks.iter().map(bytes).collect()
            });
            read.await.map_err(|error| failed(&error))?
        })
    }
}

fn logs(topic: &Topic) -> Vec<Arc<dyn OffsetsLog>> {
    let log = |handle: &Handle| Arc::new(handle.clone()) as Arc<dyn OffsetsLog>;
    topic.served().map(log).collect()
}

fn facts(topic: &Topic) -> TopicFacts {
    TopicFacts {
        name: Arc::clone(&topic.name),
        id: topic.id,
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
    }
}

/// The registry as a source of topics.
#[derive(Debug, Clone)]
pub struct RegistryTopics(pub Arc<Registry>);

impl TopicSource for RegistryTopics {
    fn offsets_topic(&self) -> Option<Vec<Arc<dyn OffsetsLog>>> {
        self.0.topic(CONSUMER_OFFSETS).map(|topic| logs(&topic))
    }

    fn create_offsets_topic(
        &self,
    ) -> BoxFuture<'static, Result<Vec<Arc<dyn OffsetsLog>>, OpenFailed>> {
        let registry = Arc::clone(&self.0);
        Box::pin(async move {
            let topic = registry.consumer_offsets().await;
            topic
                .map(|topic| logs(&topic))
                .map_err(|error| OpenFailed(error.to_string()))
        })
    }

    fn snapshot(&self) -> Arc<dyn subscription::Topics> {
        Arc::new(Snapshot(self.0.topics()))
    }

    fn by_name(&self, name: &str) -> Option<TopicFacts> {
        self.0.topic(name).map(|topic| facts(&topic))
    }

    fn by_id(&self, id: Uuid) -> Option<TopicFacts> {
        self.0.topic_by_id(id).map(|topic| facts(&topic))
    }
}

/// The registry's topics at one moment, as groups see them.
#[derive(Debug)]
struct Snapshot(Arc<Topics>);

impl subscription::Topics for Snapshot {
    fn version(&self) -> u64 {
        self.0.version()
    }

    fn shape(&self, name: &str) -> Option<TopicShape> {
        let facts = facts(self.0.by_name(name)?);
        Some(TopicShape {
            id: facts.id,
            partitions: facts.partitions,
        })
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.iter().map(|topic| Arc::clone(&topic.name)).collect()
    }
}
