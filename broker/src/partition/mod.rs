//! Partitions: who owns them, what they decide, how others reach them.
//!
//! ```text
//!  api/produce --append--> Handle ==bounded inbox==> shard thread: core.turn -> log.write -> sync worker
//!                            ^                           '-- votes -> journal      '-- durable -> committed
//!                            '------------------------------- replies, high watermark ------------'
//!  api/fetch  --view-------> Handle -> LogReader (immutable view; never visits the shard)
//! ```
//!
//! `registry` knows which topics exist and owns the catalogue; `shard` owns logs, `votes` their shard's
//! journal; `core` (with `raft` inside) and `producers` decide and are pure; `waiters` wakes fetches.

mod boot;
#[cfg(test)]
mod caching_tests;
pub mod core;
#[cfg(test)]
mod core_tests;
mod opener;
mod owner;
pub mod producers;
pub mod registry;
#[cfg(test)]
mod replica_tests;
mod settings;
mod shard;
#[cfg(test)]
mod shard_tests;
pub mod space;
mod syncer;
mod ticker;
pub mod topics;
pub mod upkeep;
mod votes;
pub mod waiters;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headrace_storage::record::Batch;
use headrace_storage::{LogReader, LogView, Offset};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

pub use registry::Registry;
pub use topics::{NotServed, Partition, Topic, Topics};
pub use waiters::{Parked, Waiters};

use crate::topic_config::Flush;
use producers::{Known, SequenceError};
use shard::{Message, Slot};
use space::{SpaceGuard, Writer};

/// What must be true of a batch before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Nothing; the wire carries no answer.
    None,
    /// It is written to the leader's file.
    Leader,
    /// It is durable on all that count, or written under write caching.
    All,
}

/// Where a batch lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The broker's timestamp in milliseconds, or -1 if the producer's were kept.
    pub log_append_time: i64,
    /// The first offset of the partition.
    pub log_start: Offset,
}

/// Why a batch was not appended, or not answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendFailure {
    /// The producer's sequence or epoch does not fit.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// A write failed, now or before; the log takes no more.
    #[error("the log is closed to writes")]
    LogClosed,
    /// This replica does not lead; the batch may still be committed if it was proposed before.
    #[error("this replica does not lead the partition")]
    NotLeader,
    /// The disk is nearly full.
    #[error("the disk is nearly full")]
    NoSpace,
    /// The topic was deleted.
    #[error("the topic is deleted")]
    Deleted,
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
    /// It took longer than the request allows; the batch may still be committed.
    #[error("timed out")]
    TimedOut,
}

/// The way to one partition; cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

/// As its directory is named: `{topic id}-{partition}`.
impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0.topic_id, self.0.partition)
    }
}

struct Inner {
    topic_id: Uuid,
    partition: i32,
    slot: Slot,
    inbox: mpsc::Sender<Message>,
    reader: LogReader,
    waiters: Arc<Waiters>,
    closed: Closed,
    space: Arc<SpaceGuard>,
    /// Whose appends these are.
    writer: Writer,
}

/// Why a partition takes no more writes; set once, by its shard.
type Closed = Arc<OnceLock<Arc<str>>>;

/// A batch on its way; resolves when its acks are satisfied or it is refused.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Appended, AppendFailure>>);

impl Handle {
    fn new(inner: Inner) -> Handle {
        Handle(Arc::new(inner))
    }

    /// The topic's id.
    pub fn topic_id(&self) -> Uuid {
        self.0.topic_id
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    /// Hands a batch to the partition; returns once it has its place in the order.
    ///
    /// Waits while the shard's inbox is full: this is the back-pressure that producers feel.
    pub async fn submit(&self, batch: Batch, acks: Acks) -> Result<Pending, AppendFailure> {
        if !self.0.space.admits(self.0.writer) {
            return Err(AppendFailure::NoSpace);
        }
        let (reply, answer) = oneshot::channel();
        let slot = self.0.slot;
        let message = Message::Append {
            slot,
            batch,
            acks,
            reply,
        };
        let sent = self.0.inbox.send(message).await;
        sent.map_err(|_| AppendFailure::Stopping)?;
        Ok(Pending(answer))
    }

    /// Appends a batch and waits for its acks, at most `within`.
    pub async fn append(
        &self,
        batch: Batch,
        acks: Acks,
        within: Duration,
    ) -> Result<Appended, AppendFailure> {
        let answered = async { self.submit(batch, acks).await?.answer().await };
        timeout(within, answered)
            .await
            .unwrap_or(Err(AppendFailure::TimedOut))
    }

    /// Has batches that are submitted from now on answered for like this. What was answered for before its
    /// sync is synced soon. Partitions of topics that are vital (`topic_name`) are never asked to.
    pub async fn set_flush(&self, flush: Flush) -> Result<(), AppendFailure> {
        let slot = self.0.slot;
        let sent = self.0.inbox.send(Message::Flush { slot, flush }).await;
        sent.map_err(|_| AppendFailure::Stopping)
    }

    /// Has the log begin at `below`, which is not past the high watermark; resolves once it does so durably.
    pub async fn delete_records(&self, below: Offset) -> Result<Pending, AppendFailure> {
        let (reply, answer) = oneshot::channel();
        let slot = self.0.slot;
        let message = Message::DeleteRecords { slot, below, reply };
        let sent = self.0.inbox.send(message).await;
        sent.map_err(|_| AppendFailure::Stopping)?;
        Ok(Pending(answer))
    }

    /// The idempotent producers that it remembers, in no order.
    pub async fn producers(&self) -> Result<Vec<Known>, AppendFailure> {
        let (reply, answer) = oneshot::channel();
        let slot = self.0.slot;
        let sent = self.0.inbox.send(Message::Producers { slot, reply }).await;
        sent.map_err(|_| AppendFailure::Stopping)?;
        answer.await.map_err(|_| AppendFailure::Deleted)
    }

    /// Why the partition takes no more writes until the next start; reads go on.
    pub fn closed(&self) -> Option<&str> {
        self.0.closed.get().map(|reason| &**reason)
    }

    /// The read side of the log.
    pub fn reader(&self) -> LogReader {
        self.0.reader.clone()
    }

    /// The log as it is now.
    pub fn view(&self) -> Arc<LogView> {
        self.0.reader.view()
    }

    /// Has `wake` notified whenever the high watermark moves, until the result is dropped.
    pub fn park(&self, wake: &Arc<Notify>) -> Parked {
        self.0.waiters.park(wake)
    }

    /// Waits until the high watermark is at least `offset`.
    pub async fn wait_for(&self, offset: Offset) {
        let wake = Arc::new(Notify::new());
        let _parked = self.park(&wake);
        while self.view().high_watermark() < offset {
            wake.notified().await;
        }
    }
}

impl Pending {
    /// Waits for the answer; with acks=0, until the batch is written.
    pub async fn answer(self) -> Result<Appended, AppendFailure> {
        self.0.await.unwrap_or(Err(AppendFailure::Stopping))
    }
}
