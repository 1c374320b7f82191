//! The log of one partition: one writer that stages, writes and syncs; any number of readers.
//!
//! ```text
//!   append          write            SyncPoint::run (worker)     synced
//!   staged  ----->  page cache ----> disk ------------------->  flushed, then the hint (vote journal)
//!                   '-- seen by readers (LogView)
//! ```
//!
//! - Order of positions: `log_start <= last_stable <= high_watermark <= log_end`, `flushed <= log_end`.
//! - All that is staged goes out in one vectored write; one sync is outstanding at a time, and what
//!   arrives meanwhile forms the next round (group commit).
//! - **At most 4 MiB are written and not synced, or one batch where a batch is larger**, and a new
//!   segment is begun only when the one before is synced with its ROLL. Recovery rests on both. So
//!   [`Log::write`] may leave entries staged; [`Log::synced`] goes on with them.
//! - The first failed write or sync closes the log to writes until it is opened anew; reads go on.
//!
//! Reading is in `view` (by offset) and `entries` (by ordinal), opening in `recovery`, a group's write in
//! `write`, the sync round in `sync`, what commits change in `marks`, the two ends that can go away in
//! `truncate` (never committed) and `remove` (below the log start).

mod checkpoint;
mod cleaning;
mod config;
mod entries;
mod entry;
pub(crate) mod epochs;
mod error;
pub(crate) mod hint;
mod largest;
mod last;
mod marks;
mod recovery;
mod remove;
mod sealed;
mod snapshot;
mod sync;
#[cfg(test)]
mod tests;
mod truncate;
mod view;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

pub use checkpoint::LogCheckpoint;
pub use config::{LogConfig, LogIdentity};
pub use entries::SegmentInfo;
pub use entry::{Entry, StoredEntry};
pub use error::{AppendError, OpenError, ReadError, WriteError};
pub use hint::{Hint, Known};
pub use remove::SegmentPin;
pub use sync::{SyncDone, SyncPoint};
pub use view::{LogReader, LogView};

use crate::fs::{Disk, read_atomic, write_atomic};
use crate::index::{NO_TIMESTAMP, OpenTransactions};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::BatchHeader;
use crate::segment::format::{Control, Seed};
use crate::segment::reader::Segment;
use crate::segment::{Span, Tail};
use cleaning::FirstDirty;
use entry::{NextSegment, Queue, Staged};
use epochs::EpochRuns;
use marks::Marks;
use write::Active;

/// The most that is written and not synced, unless a single batch is larger (replication.md, recovery 1).
pub(crate) const GROUP_BYTES_MAX: u64 = 4 << 20;

/// The write side of one partition's log; owned by one thread.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: LogIdentity,
    config: LogConfig,
    shared: Arc<ArcSwap<LogView>>,
    queue: Queue,
    /// The end of what is written: what readers see.
    written: Tail,
    /// The end of what is known durable; moved by `synced`.
    flushed: Tail,
    /// Written after `flushed`.
    unsynced_bytes: u64,
    /// How large a group recovery knows to expect (`largest`).
    largest_bytes: u64,
    /// The file being written; `None` until the first write after the start or a sealed ROLL.
    active: Option<Active>,
    /// What the next segment's header will say.
    next: NextSegment,
    /// The transactions open where the active segment (or, without one, the next) begins.
    open_transactions: OpenTransactions,
    sealed: Arc<Vec<Segment>>,
    sealed_bytes: u64,
    epochs: EpochRuns,
    marks: Marks,
    /// The oldest entry that [`Log::entries`] gives.
    first_index: EntryIndex,
    /// A voter set that was set by an entry no longer in the files.
    membership_before: Option<(EntryIndex, Bytes)>,
    /// The last entry when [`Log::trim_idle`] was last called.
    idle_at: EntryIndex,
    /// Held by whoever reads whole segment files; while it is shared none is removed.
    pins: Arc<()>,
    /// Whether a cleaning job is out.
    cleaning: bool,
    first_dirty: Option<FirstDirty>,
    /// The segments with which a cleaning failed for good; none to begin with.
    uncleanable: Vec<PathBuf>,
    /// Whether a file was made whose name is not synced.
    names_unsynced: bool,
    sync_outstanding: bool,
    closed: Option<WriteError>,
}

impl Log {
    /// Creates the log in `dir`, or recovers it by the four rules of `recovery`.
    ///
    /// When this returns everything readers see is durable. The high watermark starts at the hint.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: LogIdentity,
        config: LogConfig,
        known: Known,
    ) -> Result<Log, OpenError> {
        recovery::open(disk, dir, identity, config, known)
    }

    /// Whose log it is.
    pub fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    /// Has the log go by these sizes and ages from now on. The interval of the indexes changes with the next
    /// segment.
    pub fn set_config(&mut self, config: LogConfig) {
        if self.config != config {
            self.config = config;
            self.publish();
        }
    }

    /// A handle for readers.
    pub fn reader(&self) -> LogReader {
        LogReader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The first offset there is; moved by [`Entry::LogStart`] when that is committed.
    pub fn log_start(&self) -> Offset {
        self.marks.log_start
    }

    /// The offset after the last one written.
    pub fn log_end(&self) -> Offset {
        self.written.offset
    }

    /// The offset after the last one staged: what the next batch is stamped with.
    pub fn next_offset(&self) -> Offset {
        self.queue.tail.offset
    }

    /// Everything below is durable.
    pub fn flushed(&self) -> Offset {
        self.flushed.offset
    }

    /// The last durable entry.
    pub fn flushed_index(&self) -> EntryIndex {
        self.flushed.index
    }

    /// How much is written and not synced, what a sync under way covers included: never more than 4 MiB, or
    /// one batch where a batch is larger.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// The index of the last entry staged.
    pub fn last_index(&self) -> EntryIndex {
        self.queue.tail.index
    }

    /// The epoch of the last entry staged: what the next batch is stamped with.
    pub fn epoch(&self) -> LeaderEpoch {
        self.queue.tail.epoch
    }

    /// Whether entries are staged that are not written yet (see [`Log::write`]).
    pub fn has_staged(&self) -> bool {
        !self.queue.entries.is_empty()
    }

    /// Why the log is closed to writes.
    pub fn write_error(&self) -> Option<&WriteError> {
        self.closed.as_ref()
    }

    /// Stages an entry and gives its index. Nothing is written, nothing copied.
    pub fn append(&mut self, entry: Entry) -> Result<EntryIndex, AppendError> {
        if let Some(error) = &self.closed {
            return Err(error.clone().into());
        }
        let tail = self.queue.tail;
        let (offset, epoch) = match &entry {
            Entry::Batch(batch) => (batch.base_offset(), batch.header().epoch),
            Entry::NoOp { term } => (tail.offset, (*term).max(tail.epoch)),
            _ => (tail.offset, tail.epoch),
        };
        let continues = match &entry {
            Entry::Batch(_) => offset == tail.offset && epoch == tail.epoch,
            Entry::NoOp { term } => *term >= tail.epoch,
            Entry::LogStart { offset } => *offset <= tail.offset,
            Entry::Roll { .. } | Entry::Membership { .. } => true,
        };
        if !continues {
            let (log_end, log_epoch) = (tail.offset, tail.epoch);
            return Err(AppendError::Discontinuous {
                offset,
                epoch,
                log_end,
                log_epoch,
            });
        }
        let control = match entry {
            Entry::Batch(batch) => {
                self.queue.push_batch(batch);
                return Ok(self.queue.tail.index);
            }
            Entry::NoOp { .. } => Control::NoOp,
            Entry::Roll { at_ms } => Control::Roll { at_ms },
            Entry::LogStart { offset } => Control::LogStart(offset),
            Entry::Membership { content } => Control::Membership(content),
        };
        let identity = self.identity;
        let after_roll = |base_index| Seed::new(&identity, base_index);
        self.queue.push_control(epoch, control, after_roll);
        self.marks.staged(&self.queue.tail);
        Ok(self.queue.tail.index)
    }

    /// Shows readers the log as it is now.
    fn publish(&self) {
        let active = self.active.as_ref().map(|active| {
            let span = Span {
                base_offset: active.writer.base_offset,
                base_index: active.writer.base_index,
                end_offset: self.written.offset,
                last_index: self.written.index,
            };
            Segment::active(span, &active.writer)
        });
        self.shared.store(Arc::new(LogView {
            sealed: Arc::clone(&self.sealed),
            sealed_bytes: self.sealed_bytes,
            active,
            tail: self.written,
            log_start: self.marks.log_start,
            high_watermark: self.marks.high_watermark,
            last_stable: self.marks.last_stable,
            epochs: self.epochs.clone(),
            decompressed_bytes_max: self.config.decompressed_bytes_max,
        }));
    }

    /// Whether the leader should append a [`Entry::Roll`] before a batch of this size: the segment would
    /// outgrow its limit, its index has, or it is too old. A segment without data is never rolled.
    ///
    /// Age counts from the ROLL before; in the first segment from its first batch's timestamp.
    pub fn should_roll(&self, next_batch_bytes: usize, now_ms: i64) -> bool {
        let room_bytes = self.segment_room_bytes(now_ms);
        room_bytes.is_none_or(|room_bytes| next_batch_bytes > room_bytes)
    }

    /// How many bytes of batches the segment still takes before [`Log::should_roll`]; `None` if it is to be
    /// rolled before the next one in any case.
    pub fn segment_room_bytes(&self, now_ms: i64) -> Option<usize> {
        if !self.queue.segment_has_data {
            return Some(usize::MAX);
        }
        if self.segment_is_due(now_ms) {
            return None;
        }
        let max = self.config.segment_bytes_max;
        let room_bytes = max.checked_sub(self.queue.segment_bytes)?;
        Some(usize::try_from(room_bytes).unwrap_or(usize::MAX))
    }

    /// Whether the active segment's index is full, or it is too old, and no ROLL ends it yet.
    fn segment_is_due(&self, now_ms: i64) -> bool {
        let Some(active) = &self.active else {
            return false;
        };
        let full = active.writer.index.size_bytes() >= self.config.segment_index_bytes_max;
        let due = full || self.is_too_old(active, now_ms);
        // last, because much may be staged
        due && active.rolled.is_none() && !self.queue.entries.iter().any(Staged::is_roll)
    }

    fn is_too_old(&self, active: &Active, now_ms: i64) -> bool {
        let created_ms = match (
            active.writer.created_ms,
            active.writer.index.first_timestamp(),
        ) {
            (-1, NO_TIMESTAMP) => return false,
            (-1, first) => first,
            (created_ms, _) => created_ms,
        };
        let base_index = active.writer.base_index;
        let age_ms_max = self.config.segment_age_ms(&self.identity, base_index);
        now_ms.saturating_sub(created_ms) > age_ms_max
    }

    /// Gives the headers of the written data batches from the one that contains `from` on.
    pub fn replay(
        &self,
        from: Offset,
        each: &mut dyn FnMut(&BatchHeader),
    ) -> Result<(), ReadError> {
        self.shared.load().replay(from, each)
    }

    /// Replaces a checksummed file beside the log, durably.
    pub fn write_side_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        write_atomic(&*self.disk, &self.dir.join(name), bytes)
    }

    /// Reads it back; `None` if it was never written.
    pub fn read_side_file(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_atomic(&*self.disk, &self.dir.join(name)).map_err(io::Error::other)
    }
}
