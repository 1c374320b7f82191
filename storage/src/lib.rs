//! Bytes on disk: record batches, segments, indexes, recovery.
//!
//! This crate knows directories and offsets, never topic names and never Kafka's error codes; it has no
//! async code and takes no clock. A [`log::Log`] is owned by one shard thread; readers on other threads
//! hold immutable [`log::LogView`]s. Everything touches the disk through [`fs::Disk`].
//!
//! ```text
//! data_dir   meta, lock, topics/{topic id}-{partition}/
//!   votes    the vote journal of each shard: terms, votes, flushed hints
//!   log      Log (write side), LogView (read side), recovery, flushed hint, epochs
//!     segment  frames in a file: Kafka's batches and our control frames     index  offset and time -> position
//!       record   one v2 batch
//!       fs       Disk: the real one and one in memory that crashes and fails
//! ```
//!
//! [`planted`] are mistakes made on purpose, compiled in for the proofs only.

mod checkpoint;
pub mod compaction;
pub mod data_dir;
pub mod durability;
pub mod fs;
mod index;
pub mod inspect;
pub mod log;
pub mod manifest;
pub mod planted;
mod position;
pub mod record;
pub mod retention;
pub mod scrub;
mod segment;
pub mod votes;

pub use checkpoint::Checkpoints;
pub use durability::Durability;
pub use index::AbortedTransaction;
pub use log::{
    AppendError, Entry, Hint, Known, Log, LogCheckpoint, LogConfig, LogIdentity, LogReader,
    LogView, OpenError, ReadError, SegmentInfo, SegmentPin, StoredEntry, SyncDone, SyncPoint,
    WriteError,
};
pub use position::{EntryIndex, LeaderEpoch, Offset};
pub use record::{Batch, BatchBuilder, BatchError, BatchHeader, Compression, Record};
pub use segment::chunk::Chunk;
