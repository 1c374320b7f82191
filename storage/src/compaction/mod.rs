//! Compaction: of each key the newest record stays.
//!
//! ```text
//!   owner   Log::begin_cleaning          what is to be cleaned; pins the segments
//!   worker  clean: per pass  survey      keys -> newest offsets (key_map), producers, control frames
//!                  per group rewrite     batch by batch through the rules (retain) into one file (output)
//!                            commit      the file becomes durable (swap)
//!   owner   Log::swap_cleaned            for each group: the new file in the place of its inputs
//!   worker                               inputs removed
//!   owner   Log::finish_cleaning         pins off
//! ```
//!
//! - Only sealed segments below the last stable offset, and below what the consensus layer still asks
//!   for, are touched. **Offsets never change**; the batches that stay keep base and last offset.
//! - A pass rewrites all segments from the oldest to where its key map ends, the oldest first: when a
//!   tombstone goes, what it deleted is gone already. A pass that was broken off is gone on with.
//! - A file that was written is compared with nothing but its checksums; that what it says is right is
//!   shown by the oracle in `tests/compaction`.
//!
//! Memory: the key map (its budget is shared by all cleanings), a megabyte of output, the largest batch
//! decompressed, and an entry for each producer of the range. Disk: one group beside its inputs.

pub(crate) mod header;
mod input;
mod key_map;
mod metrics;
pub(crate) mod open;
mod output;
mod pass;
pub(crate) mod plan;
mod retain;
mod rewrite;
mod survey;
pub(crate) mod swap;
mod throttle;
mod transactions;

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;

pub use key_map::{KEY_MAP_BYTES_DEFAULT, KeyMapBudget};
pub use metrics::CleaningMetrics;
pub use swap::Swap;
pub use throttle::{CleaningClock, Throttle};

use crate::fs::Disk;
pub use crate::index::AbortedTransaction;
use crate::log::{LogIdentity, LogView, ReadError, SegmentPin, WriteError};
use crate::position::Offset;
use crate::segment::reader::Segment;

/// Bytes are paid for in such pieces, so that the throttle costs nothing beside them.
const PAY_BYTES: u64 = 64 * 1024;
/// A long wait is cut into pieces, so that a cancelled cleaning ends soon.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// How large a compressed batch may become for compaction to look into it, whatever the settings of its topic say or
/// will say (see [`CleaningConfig::decompressed_bytes_max`]). One cleaning runs at a time and holds one such batch,
/// so this bounds its memory; more would be a record set that no client reads.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

/// The settings of a log that is compacted, with Kafka's names.
#[derive(Clone, Debug, PartialEq)]
pub struct CleaningConfig {
    /// `min.cleanable.dirty.ratio`: cleaned when more than this part of its bytes was not cleaned yet.
    pub dirty_ratio_min: f64,
    /// `min.compaction.lag.ms`: a segment with a record younger than this is left alone.
    pub lag_ms_min: i64,
    /// `max.compaction.lag.ms`: cleaned, whatever the ratio, when the oldest dirty record is older.
    pub lag_ms_max: i64,
    /// `delete.retention.ms`: how long tombstones and markers stay after the first cleaning that saw them.
    pub delete_retention_ms: i64,
    /// `segment.bytes`: no file becomes larger by putting segments together.
    pub segment_bytes_max: u64,
    /// `segment.index.bytes`: nor its index.
    pub index_bytes_max: u64,
    /// Compressed batches that are larger without their codec stay as they are, and keep all tombstones behind them.
    /// For one log it never changes: a batch that can be read at last may hold a record whose tombstone went in
    /// the meantime, and tombstones behind it go as soon as it can be read.
    pub decompressed_bytes_max: usize,
}

impl Default for CleaningConfig {
    /// Kafka's defaults.
    fn default() -> CleaningConfig {
        CleaningConfig {
            dirty_ratio_min: 0.5,
            lag_ms_min: 0,
            lag_ms_max: i64::MAX,
            delete_retention_ms: 24 * 3_600_000,
            segment_bytes_max: 1 << 30,
            index_bytes_max: 10 << 20,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        }
    }
}

/// A cleaning to be done on a worker thread; made by [`crate::Log::begin_cleaning`].
#[derive(Debug)]
pub struct CleaningJob {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) identity: LogIdentity,
    pub(crate) config: CleaningConfig,
    pub(crate) index_interval_bytes: u64,
    /// Tells of aborted transactions; let go as soon as it has.
    pub(crate) view: Option<Arc<LogView>>,
    /// The first offset that counts, durably.
    pub(crate) log_start: Offset,
    /// All segments up to the last that may be cleaned.
    pub(crate) segments: Vec<Segment>,
    pub(crate) producers: Option<HashSet<i64>>,
    pub(crate) pin: SegmentPin,
}

impl CleaningJob {
    /// Names the producers whose last sequence number still matters; the last batches of others are not
    /// kept for their sake. Without this all matter.
    #[must_use]
    pub fn with_producers(mut self, producers: HashSet<i64>) -> CleaningJob {
        self.producers = Some(producers);
        self
    }

    /// Where the log lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bytes of the segments that will be read.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }
}

/// What a worker brings along.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The memory of all key maps.
    pub budget: &'a Arc<KeyMapBudget>,
    /// The rate of all cleanings.
    pub throttle: &'a Throttle,
    /// The time.
    pub clock: &'a dyn CleaningClock,
    /// Set by whoever wants the cleaning to end early; it looks between batches.
    pub cancelled: &'a AtomicBool,
    /// Random, drawn anew for each cleaning: the seed of the key map's hash.
    pub seed: u64,
}

impl std::fmt::Debug for Tools<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}

/// The outcome of a cleaning, for [`crate::Log::finish_cleaning`].
#[derive(Debug)]
#[must_use = "the log's segments stay pinned until it learns of this"]
pub struct Cleaned {
    /// Whether it came to its end. What was swapped before an error stays, and is not done again.
    pub result: Result<(), CleaningError>,
    /// What it did.
    pub metrics: CleaningMetrics,
    pub(crate) pin: SegmentPin,
}

/// Why a cleaning ended early.
#[derive(Debug, Error)]
pub enum CleaningError {
    /// It was asked to.
    #[error("cleaning was cancelled")]
    Cancelled,
    /// Other cleanings have the memory for keys; to be tried again later.
    #[error("no memory is left for the keys")]
    Busy,
    /// The owner of the log did not take the new file.
    #[error("the log is gone")]
    LogGone,
    /// The disk failed; the log itself is as it was.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The disk's error.
        source: io::Error,
    },
    /// The bytes of a segment are not what was written.
    #[error("{file} is corrupt at byte {position}: {reason}")]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What does not fit.
        reason: String,
    },
    /// A batch cannot be made smaller.
    #[error("cannot rewrite a batch: {reason}")]
    Compress {
        /// The codec's words.
        reason: String,
    },
    /// More transactions were aborted in one segment than its header can list.
    #[error("the header of the compacted segment would be too large")]
    HeaderTooLarge,
    /// The disk failed while files changed their names: which ones a start would find is not known, so the
    /// log is closed to writes.
    #[error(transparent)]
    Log(#[from] WriteError),
}

impl CleaningError {
    /// Whether the same segments would end the next cleaning in the same way.
    pub fn is_lasting(&self) -> bool {
        match self {
            CleaningError::Corrupt { .. }
            | CleaningError::Compress { .. }
            | CleaningError::HeaderTooLarge => true,
            CleaningError::Cancelled
            | CleaningError::Busy
            | CleaningError::LogGone
            | CleaningError::Io { .. }
            | CleaningError::Log(_) => false,
        }
    }

    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CleaningError {
        let path = path.to_path_buf();
        move |source| CleaningError::Io {
            operation,
            path,
            source,
        }
    }

    fn corrupt(file: &Path, position: u64, reason: &str) -> CleaningError {
        CleaningError::Corrupt {
            file: file.to_path_buf(),
            position,
            reason: reason.to_owned(),
        }
    }
}

impl From<ReadError> for CleaningError {
    fn from(error: ReadError) -> CleaningError {
        match error {
            ReadError::Io { path, source } => CleaningError::io("read", &path)(source),
            ReadError::Corrupt {
                file,
                position,
                reason,
            }
            | ReadError::Damaged {
                file,
                position,
                reason,
            } => CleaningError::Corrupt {
                file,
                position,
                reason,
            },
            other => CleaningError::corrupt(Path::new(""), 0, &other.to_string()),
        }
    }
}

/// Does a cleaning, on the thread that calls it.
///
/// Each finished group is given to `swap`, which has the log's owner call [`crate::Log::swap_cleaned`] and
/// returns whether it did; only then are the inputs removed.
pub fn clean(job: CleaningJob, tools: &Tools<'_>, swap: &mut dyn FnMut(Swap) -> bool) -> Cleaned {
    pass::clean(job, tools, swap)
}

/// Bytes paid for, one way or the other.
#[derive(Debug)]
struct Pace<'a> {
    tools: &'a Tools<'a>,
    unpaid_bytes: Cell<u64>,
    throttled: Cell<Duration>,
}

impl<'a> Pace<'a> {
    fn new(tools: &'a Tools<'a>) -> Pace<'a> {
        Pace {
            tools,
            unpaid_bytes: Cell::new(0),
            throttled: Cell::new(Duration::ZERO),
        }
    }

    /// Pays for bytes read or written: waits as long as the throttle says, unless cancelled.
    fn pay(&self, bytes: u64) -> Result<(), CleaningError> {
        let tools = self.tools;
        if tools.cancelled.load(Ordering::Relaxed) {
            return Err(CleaningError::Cancelled);
        }
        let unpaid = self.unpaid_bytes.get().saturating_add(bytes);
        self.unpaid_bytes.set(unpaid);
        if unpaid < PAY_BYTES {
            return Ok(());
        }
        self.unpaid_bytes.set(0);
        let bytes = u32::try_from(unpaid).unwrap_or(u32::MAX);
        let mut wait = tools.throttle.take(bytes, tools.clock.monotonic());
        self.throttled.set(self.throttled.get() + wait);
        while !wait.is_zero() {
            let pause = wait.min(PAUSE_MAX);
            tools.clock.pause(pause);
            wait -= pause;
            if tools.cancelled.load(Ordering::Relaxed) {
                return Err(CleaningError::Cancelled);
            }
        }
        Ok(())
    }
}
