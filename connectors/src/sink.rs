//! The contract between the runtime and a target: one trait, kept by every target and tested on each.
//!
//! A sink holds one partition of one view. Beside the data lies the **watermark**:
//!
//! ```text
//! identity (log id, definition)  |  epoch, offset, csn, index, partial        per partition
//! ```
//! * **Atomic**: after any crash the data is the fold of the log up to the stored watermark, nothing else.
//! * **Idempotent**: an operation whose offset is not above the stored one, or whose (CSN, index) is not, changes nothing.
//! * **Ordered**: operations of a call take effect in their order; a `Put` replaces the whole row.
//! * **Fenced**: a call of an older epoch than the stored one is refused with [`SinkError::Fenced`].
//! * **Loss is noticed**: stored less than the caller knows to be applied is [`SinkError::Lost`], and nothing is written.
//! * **Identity first**: another log or definition is [`SinkError::Mismatch`], whatever the epoch, and nothing is written.
//! * **Visible**: what [`Sink::apply`] took may become durable and readable only with the next [`Sink::commit`].
//!
//! Judged in this order: mismatch, fenced, lost.
#[cfg(test)]
pub(crate) mod contract;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use headrace_clients::change::{Row, Schema, Version};
use uuid::Uuid;

use crate::value::ValueError;
use crate::view::{DefinitionHash, Field};

/// A partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition(pub i32);

/// The fencing token of a writer: the offset of its claim in `__headrace_claims`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub i64);

/// The offset of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(pub i64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A log, for good: a wiped or re-created one has another id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogId {
    /// Id of the cluster.
    pub cluster: String,
    /// Id of the topic.
    pub topic: Uuid,
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.topic.simple())
    }
}

/// What a watermark belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The log the view folds.
    pub log: LogId,
    /// The definition it folds by.
    pub definition: DefinitionHash,
}

/// How far a view has folded one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Offset of the last record taken in.
    pub offset: Offset,
    /// Highest version taken in; `None` while no record had one.
    pub version: Option<Version>,
    /// True inside a source transaction too large for one call.
    pub partial: bool,
}

/// A position and the writer that stored it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// The writer.
    pub epoch: Epoch,
    /// How far it came.
    pub position: Position,
}

/// One change of the target.
#[derive(Debug, Clone)]
pub struct Operation<V> {
    /// Offset of its record.
    pub offset: Offset,
    /// Version of its record.
    pub version: Option<Version>,
    /// The row's key.
    pub key: String,
    /// The whole row in the target's form, or `None` to delete.
    pub value: Option<V>,
}

/// Operations that take effect together with the watermark.
#[derive(Debug, Clone)]
pub struct Call<V> {
    /// The caller's token.
    pub epoch: Epoch,
    /// The offset the caller knows to be applied; `None` for nothing.
    pub previous: Option<Offset>,
    /// True on the caller's first call since it read the watermark: an older epoch may be stored, or nothing.
    pub first: bool,
    /// In log order.
    pub operations: Arc<[Operation<V>]>,
    /// The watermark afterwards; its offset is not below that of any operation.
    pub position: Position,
}

/// What a call did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Operations that took effect.
    pub applied: u64,
    /// Operations that had been applied before.
    pub skipped: u64,
    /// The first operation the target refused: those before it took effect and the watermark stands
    /// at the last of them; this one and those after it did not.
    pub failed: Option<Failed>,
}

/// An operation that its target refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Index in the call.
    pub operation: usize,
    /// The target's words.
    pub reason: String,
}

/// What [`Sink::prepare`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// The target can hold rows of the schema.
    Ready,
    /// The target was emptied to take the schema: the log must be read from its start.
    Emptied,
}

/// Why the stored watermark is not the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another cluster or topic.
    #[error("the target was written from another log (stored {stored}, this log is {ours})")]
    Log {
        /// Stored log id.
        stored: String,
        /// This log's id.
        ours: String,
    },
    /// Another definition.
    #[error("the target was written by another definition of this view")]
    Definition,
    /// The stored offset is past the end of the log.
    #[error("partition {partition}: the target is at offset {stored}, but the log ends at {end}")]
    PastEnd {
        /// The partition.
        partition: i32,
        /// Stored offset.
        stored: Offset,
        /// Next offset of the log.
        end: Offset,
    },
    /// The log no longer has what follows the stored offset.
    #[error(
        "partition {partition}: the target is at offset {stored}, but the log starts at {start}"
    )]
    BeforeStart {
        /// The partition.
        partition: i32,
        /// Stored offset.
        stored: Offset,
        /// First offset of the log.
        start: Offset,
    },
}

/// Why a target did not do what was asked; after any of them the caller starts over from [`Sink::stored`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// A newer writer owns the partition.
    #[error("a newer writer owns this view (its epoch is {0:?})")]
    Fenced(Epoch),
    /// Less is stored than was applied; `None` when nothing is.
    #[error("the target lost writes (it is at {0:?})")]
    Lost(Option<Offset>),
    /// See [`Mismatch`].
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The target will not do until a person changes something: version, policy, credentials, a wrong folder.
    #[error("{message}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The target cannot be reached or is not ready.
    #[error("{0}")]
    Unavailable(String),
}

/// One partition of one view in a target. The module states the contract.
pub trait Sink: Send + 'static {
    /// A row in the target's form.
    type Value: Clone + Send + Sync + fmt::Debug + 'static;

    /// True when the target may be emptied without asking, because nothing but this view lives in it:
    /// a mismatch is then healed by a rebuild.
    const REBUILDS: bool;

    /// Longest time that applied operations may wait for [`Sink::commit`]; zero when apply itself makes them visible.
    const COMMIT_INTERVAL: Duration;

    /// Turns a row into the target's form; pure. The error names the column.
    fn encode(&self, fields: &[Field], row: &Row<'_>) -> Result<Self::Value, (String, ValueError)>;

    /// Size of a call's share, in bytes.
    fn size_bytes(value: &Self::Value) -> usize;

    /// Makes the target able to hold rows of `schema`, first seen at `version`.
    fn prepare(
        &mut self,
        schema: &Schema,
        version: Option<Version>,
    ) -> impl Future<Output = Result<Prepared, SinkError>> + Send;

    /// Reads what is stored, judging the identity; `None` when this partition has no watermark.
    fn stored(&mut self) -> impl Future<Output = Result<Option<Watermark>, SinkError>> + Send;

    /// Applies operations and watermark together.
    fn apply(
        &mut self,
        call: Call<Self::Value>,
    ) -> impl Future<Output = Result<Applied, SinkError>> + Send;

    /// Makes everything applied durable and readable.
    fn commit(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Deletes what the view wrote, all partitions, the watermark with it; returns the number of rows deleted.
    fn reset(&mut self) -> impl Future<Output = Result<u64, SinkError>> + Send;
}

/// Where one view's sinks come from.
pub trait Target: Send + Sync + 'static {
    /// The sinks it opens.
    type Sink: Sink;

    /// Checks that the target can be reached and can hold the view, before its topic is known.
    fn check(&self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Connects, checks that the target can hold the view, and opens one partition.
    fn open(
        &self,
        partition: Partition,
        identity: Identity,
    ) -> impl Future<Output = Result<Self::Sink, SinkError>> + Send;
}
