//! What the coordinator needs of the broker: a log to write and read, and the names of topics.
//!
//! Implemented by the broker's partitions (`registry`) and, for tests, in memory.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use headrace_storage::Offset;
use headrace_storage::record::Batch;
use uuid::Uuid;

use super::group::consumer::subscription::Topics;
use super::groups::event::AppendError;

/// A future that is boxed because it comes out of a trait object; one per append or read.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A range of the log could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadFailed(pub String);

/// `__consumer_offsets` could not be made or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenFailed(pub String);

/// One partition of `__consumer_offsets`.
///
/// Durability: `append` is ready with `Ok` only when the batch is on the disks of all that count (acks=all);
/// what it confirmed, every later `read` gives, also after a crash. Order: batches lie in the order in which
/// `append` was called. A failed append may or may not lie in the log. One owner calls both.
pub trait OffsetsLog: Debug + Send + Sync {
    /// Writes one batch.
    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<(), AppendError>>;

    /// The first offset, and the first one after everything that was ever confirmed; ready when all up to
    /// there is durable and can be read.
    fn bounds(&self) -> BoxFuture<'static, (Offset, Offset)>;

    /// Whole batches from the one that contains `from`, all ending below `upto`; about `bytes_max` bytes,
    /// and at least one batch if there is one.
    fn read(
        &self,
        from: Offset,
        upto: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'static, Result<Vec<Bytes>, ReadFailed>>;
}

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its name.
    pub name: Arc<str>,
    /// Its incarnation.
    pub id: Uuid,
    /// The number of its partitions.
    pub partitions: i32,
}

/// The topics of the broker.
pub trait TopicSource: Debug + Send + Sync {
    /// The partitions of `__consumer_offsets`, if it exists.
    fn offsets_topic(&self) -> Option<Vec<Arc<dyn OffsetsLog>>>;

    /// The partitions of `__consumer_offsets`, which is made if it does not exist.
    fn create_offsets_topic(
        &self,
    ) -> BoxFuture<'static, Result<Vec<Arc<dyn OffsetsLog>>, OpenFailed>>;

    /// All topics as they are now.
    fn snapshot(&self) -> Arc<dyn Topics>;

    /// The topic of this name.
    fn by_name(&self, name: &str) -> Option<TopicFacts>;

    /// The topic of this id.
    fn by_id(&self, id: Uuid) -> Option<TopicFacts>;
}
