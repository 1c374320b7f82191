//! The log of one partition: signatures first, kept in memory until the segment files land.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use thiserror::Error;
use uuid::Uuid;

use crate::fs::{Disk, read_atomic, write_atomic};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::{Batch, BatchHeader};

/// Whose log it is; written into every segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The cluster.
    pub cluster_id: Uuid,
    /// The topic, by id: names change.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
}

/// Sizes and ages of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is rolled before it grows beyond this.
    pub segment_bytes_max: u64,
    /// A segment is rolled when it is older than this, in milliseconds.
    pub segment_age_ms_max: i64,
    /// The offset and time indexes get an entry about every so many bytes.
    pub index_interval_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes_max: 1 << 30,
            segment_age_ms_max: 7 * 24 * 3_600_000,
            index_interval_bytes: 4096,
        }
    }
}

/// What can be appended.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Data, stamped with the log's next offset and its epoch.
    Batch(Batch),
    /// The first entry of a leader's term.
    NoOp {
        /// The term, above the log's epoch.
        term: LeaderEpoch,
    },
    /// Ends the segment.
    Roll {
        /// The leader's clock, milliseconds since 1970: the age of the next segment counts from it.
        at_ms: i64,
    },
}

/// Why a log cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The disk's error.
        source: io::Error,
    },
    /// Bytes that were durable are not what was written; nothing was changed.
    #[error("log is corrupt: {file} at byte {position}: {reason}")]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What does not fit.
        reason: String,
    },
}

/// Why an entry was not taken.
#[derive(Debug, Error, Clone)]
pub enum AppendError {
    /// An earlier write failed.
    #[error(transparent)]
    Closed(#[from] WriteError),
    /// The caller stamped a wrong offset or epoch: its view of the log is not the log.
    #[error(
        "entry at offset {offset}, epoch {epoch} does not continue the log at offset {log_end}, epoch {log_epoch}"
    )]
    Discontinuous {
        /// The entry's offset.
        offset: Offset,
        /// The entry's epoch.
        epoch: LeaderEpoch,
        /// The log's next offset.
        log_end: Offset,
        /// The log's epoch.
        log_epoch: LeaderEpoch,
    },
}

/// The failure that closed a log to writes.
#[derive(Debug, Error, Clone)]
#[error("log is closed to writes: cannot {operation} {path}: {source}")]
pub struct WriteError {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The disk's error.
    #[source]
    pub source: Arc<io::Error>,
}

/// Why a read failed.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The offset lies outside the log.
    #[error("offset {offset} is outside the log ({log_start} to {log_end})")]
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The first offset there is.
        log_start: Offset,
        /// The offset after the last.
        log_end: Offset,
    },
    /// The disk failed.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The disk's error.
        source: io::Error,
    },
    /// The bytes are not what was written.
    #[error("{file} is corrupt at byte {position}: {reason}")]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What does not fit.
        reason: String,
    },
}

/// The write side of one partition's log; owned by one thread.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    shared: Arc<ArcSwap<LogView>>,
    staged: Vec<Batch>,
    next_offset: Offset,
    flushed: Offset,
    index: EntryIndex,
    epoch: LeaderEpoch,
}

/// Gives the current view; cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<ArcSwap<LogView>>,
}

impl LogReader {
    /// The log as it is now.
    pub fn view(&self) -> Arc<LogView> {
        self.shared.load_full()
    }
}

/// The log at one moment; never changes.
#[derive(Clone, Debug)]
pub struct LogView {
    batches: Vec<Batch>,
    high_watermark: Offset,
    log_end: Offset,
    epoch: LeaderEpoch,
}

/// What is written and not yet synced.
#[derive(Debug)]
pub struct SyncPoint {
    offset: Offset,
}

/// The outcome of [`SyncPoint::run`], for [`Log::synced`].
#[derive(Debug)]
pub struct SyncDone {
    offset: Offset,
}

impl SyncPoint {
    /// Syncs; blocks, so it runs on a worker thread.
    pub fn run(self) -> SyncDone {
        SyncDone {
            offset: self.offset,
        }
    }
}

impl Log {
    /// Creates or recovers the log in `dir`.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        _identity: LogIdentity,
        _config: LogConfig,
    ) -> Result<Log, OpenError> {
        disk.create_dir_all(dir).map_err(|source| OpenError::Io {
            operation: "create",
            path: dir.to_path_buf(),
            source,
        })?;
        let view = LogView {
            batches: Vec::new(),
            high_watermark: Offset(0),
            log_end: Offset(0),
            epoch: LeaderEpoch(0),
        };
        Ok(Log {
            disk,
            dir: dir.to_path_buf(),
            shared: Arc::new(ArcSwap::from_pointee(view)),
            staged: Vec::new(),
            next_offset: Offset(0),
            flushed: Offset(0),
            index: EntryIndex(0),
            epoch: LeaderEpoch(0),
        })
    }

    /// A handle for readers.
    pub fn reader(&self) -> LogReader {
        LogReader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The first offset there is.
    pub fn log_start(&self) -> Offset {
        Offset(0)
    }

    /// The offset after the last one written.
    pub fn log_end(&self) -> Offset {
        self.shared.load().log_end
    }

    /// The offset after the last one staged: what the next batch is stamped with.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Everything below is durable.
    pub fn flushed(&self) -> Offset {
        self.flushed
    }

    /// The index of the last entry staged.
    pub fn last_index(&self) -> EntryIndex {
        self.index
    }

    /// The epoch of the last entry staged.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Stages an entry.
    pub fn append(&mut self, entry: Entry) -> Result<EntryIndex, AppendError> {
        match entry {
            Entry::Batch(batch) => {
                if batch.base_offset() != self.next_offset || batch.header().epoch != self.epoch {
                    return Err(AppendError::Discontinuous {
                        offset: batch.base_offset(),
                        epoch: batch.header().epoch,
                        log_end: self.next_offset,
                        log_epoch: self.epoch,
                    });
                }
                self.next_offset = batch.last_offset().plus(1);
                self.staged.push(batch);
            }
            Entry::NoOp { term } => self.epoch = term,
            Entry::Roll { .. } => {}
        }
        self.index = self.index.next();
        Ok(self.index)
    }

    /// Whether entries are staged that [`Log::write`] has not written.
    pub fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Writes what is staged, as far as the bound on unsynced bytes (4 MiB or one batch) and a roll that
    /// waits for its sync allow; the rest follows at the next call after [`Log::synced`]. Returns the log end.
    pub fn write(&mut self) -> Result<Offset, WriteError> {
        let mut view = LogView::clone(&self.shared.load());
        view.batches.append(&mut self.staged);
        view.log_end = self.next_offset;
        view.epoch = self.epoch;
        self.shared.store(Arc::new(view));
        Ok(self.next_offset)
    }

    /// What is written and not synced; `None` if clean or one sync is outstanding.
    pub fn sync_point(&mut self) -> Option<SyncPoint> {
        let offset = self.log_end();
        (offset > self.flushed).then_some(SyncPoint { offset })
    }

    /// Takes note of a sync; returns the flushed offset.
    pub fn synced(&mut self, done: SyncDone) -> Result<Offset, WriteError> {
        self.flushed = done.offset;
        Ok(self.flushed)
    }

    /// Shows readers a new high watermark (and, without transactions, last stable offset).
    pub fn set_high_watermark(&mut self, offset: Offset) {
        let mut view = LogView::clone(&self.shared.load());
        view.high_watermark = offset;
        self.shared.store(Arc::new(view));
    }

    /// Whether the leader should append a roll before a batch of this size.
    pub fn should_roll(&self, _next_batch_bytes: usize, _now_ms: i64) -> bool {
        false
    }

    /// Gives the headers of the data batches from the one that holds `from` on.
    pub fn replay(
        &self,
        from: Offset,
        each: &mut dyn FnMut(&BatchHeader),
    ) -> Result<(), ReadError> {
        let view = self.shared.load();
        for batch in view
            .batches
            .iter()
            .filter(|batch| batch.last_offset() >= from)
        {
            each(batch.header());
        }
        Ok(())
    }

    /// Replaces a checksummed file beside the log, durably.
    pub fn write_side_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        write_atomic(&*self.disk, &self.dir.join(name), bytes)
    }

    /// Reads it back; `None` if it was never written.
    pub fn read_side_file(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_atomic(&*self.disk, &self.dir.join(name)).map_err(io::Error::other)
    }

    /// Syncs, trims and closes.
    pub fn close(mut self) -> Result<(), WriteError> {
        self.write().map(drop)
    }

    /// Why the log is closed to writes.
    pub fn write_error(&self) -> Option<&WriteError> {
        None
    }
}

impl LogView {
    /// The first offset there is.
    pub fn log_start(&self) -> Offset {
        Offset(0)
    }

    /// The offset up to which transactions are decided.
    pub fn last_stable(&self) -> Offset {
        self.high_watermark
    }

    /// The offset up to which entries are committed.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The offset after the last one written.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// The newest epoch.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The epoch that wrote the record at `offset` (at the log end: the newest).
    pub fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        self.batches
            .iter()
            .find(|batch| batch.last_offset() >= offset)
            .map_or(self.epoch, |batch| batch.header().epoch)
    }

    /// The greatest epoch not above `epoch`, and the offset where it ends (KIP-101); `None` if there is none.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        (epoch >= self.epoch).then_some((self.epoch, self.log_end))
    }

    /// Whole batches from the one that holds `from`, all below `upto`, about `bytes_max` bytes of them.
    pub fn read(
        &self,
        from: Offset,
        upto: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Vec<Bytes>, ReadError> {
        if from > self.log_end || from < self.log_start() {
            return Err(ReadError::OutOfRange {
                offset: from,
                log_start: self.log_start(),
                log_end: self.log_end,
            });
        }
        let mut out: Vec<Bytes> = Vec::new();
        let mut left = bytes_max;
        for batch in self
            .batches
            .iter()
            .filter(|batch| batch.last_offset() >= from && batch.last_offset() < upto)
        {
            if batch.size_bytes() > left && !(at_least_one && out.is_empty()) {
                break;
            }
            left = left.saturating_sub(batch.size_bytes());
            out.push(batch.to_bytes());
        }
        Ok(out)
    }

    /// The first record below `upto` with a timestamp of at least `timestamp_ms`, and its timestamp.
    pub fn find_timestamp(
        &self,
        timestamp_ms: i64,
        upto: Offset,
    ) -> Result<Option<(Offset, i64)>, ReadError> {
        let records = self
            .batches
            .iter()
            .filter_map(|batch| batch.records(1 << 27).ok())
            .flatten();
        let mut found =
            records.filter(|record| record.timestamp >= timestamp_ms && record.offset < upto);
        Ok(found.next().map(|record| (record.offset, record.timestamp)))
    }

    /// The first of the records below `upto` with the greatest timestamp, and that timestamp.
    pub fn max_timestamp(&self, upto: Offset) -> Result<Option<(Offset, i64)>, ReadError> {
        let records = self
            .batches
            .iter()
            .filter_map(|batch| batch.records(1 << 27).ok())
            .flatten();
        let found = records
            .filter(|record| record.offset < upto)
            .max_by_key(|record| (record.timestamp, -record.offset.0));
        Ok(found.map(|record| (record.offset, record.timestamp)))
    }

    /// The bytes of the log on disk.
    pub fn size_bytes(&self) -> u64 {
        self.batches
            .iter()
            .map(|batch| u64::try_from(batch.size_bytes()).unwrap_or(0))
            .sum()
    }
}
