//! Opening a log: what may be cut, what must be refused.
//!
//! The four rules (replication.md, "Recovery"), and where each is kept:
//!
//! 1. Only the last 4 MiB of the last file (or one larger batch) may be unsynced: the writer sees to it.
//!    Files before the last are sealed (`sealed`): any byte that does not fit is corruption.
//! 2. In the last file (`last`) the first unsound frame is corruption if it lies below the flushed hint, or
//!    if more than one group was written behind it (`segment/behind`). Otherwise it is a torn tail, which
//!    an ordinary power cut leaves (pages reach the disk in any order): it is cut. **Corruption is never
//!    cut**: the log is refused with file, position and reason, and nothing on disk is changed.
//! 3. What continues is found by following frames from head to head (`segment/scan`), never by looking
//!    for something that resembles one.
//! 4. After a process crash the page cache may hold what the disk does not. So names and the last file
//!    are synced before anything is read, and after every change; what lies past the hint is read from the
//!    disk itself.
//!
//! A cut never reaches below the hint, so the hint is only read here; the cut is synced before the log is
//! used.
//!
//! Every step leaves a state from which opening again gives the same log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::config::{LogConfig, LogIdentity};
use super::entry::{NextSegment, Queue};
use super::epochs::EpochRuns;
use super::error::OpenError;
use super::hint::{self, Hint, Known};
use super::marks::Marks;
use super::view::LogView;
use super::write::Active;
use super::{GROUP_BYTES_MAX, Log};
use crate::compaction::open::{CompactedFile, Resolved, resolve};
use crate::fs::Disk;
use crate::index::OpenTransactions;
use crate::manifest::place;
use crate::position::{EntryIndex, Offset};
use crate::segment::format::{SEGMENT_HEADER_BYTES, Seed, as_u64};
use crate::segment::reader::Segment;
use crate::segment::scan::Expected;
use crate::segment::{Tail, parse_generation};

/// A segment file found in the directory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) base_offset: Offset,
    pub(super) base_index: EntryIndex,
    pub(super) compacted: Option<CompactedFile>,
}

/// The log as far as it has been put together.
pub(super) struct Recovery {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) identity: LogIdentity,
    pub(super) config: LogConfig,
    pub(super) hint: Option<Hint>,
    /// The hint file of format 1, to be removed: the vote journal knows better.
    pub(super) outdated: Option<PathBuf>,
    /// Where the last segment read ends; with its ROLL's CRC for the next one's header.
    pub(super) before: Option<(Tail, u32)>,
    pub(super) next: NextSegment,
    /// The transactions open where it ends.
    pub(super) open: OpenTransactions,
    pub(super) epochs: EpochRuns,
    pub(super) sealed: Vec<Segment>,
    pub(super) sealed_bytes: u64,
    pub(super) active: Option<Active>,
    /// Where each segment read ends, for the log starts that are not known to be committed.
    pub(super) log_starts: Vec<Tail>,
}

/// Opens or creates the log in `dir`.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    identity: LogIdentity,
    config: LogConfig,
    known: Known,
) -> Result<Log, OpenError> {
    let Known { hint, checkpoint } = known;
    disk.create_dir_all(dir)
        .map_err(OpenError::io("create", dir))?;
    place::finish_interrupted(&*disk, dir)?;
    let names = disk.list(dir).map_err(OpenError::io("list", dir))?;
    let (found, leftovers) = segment_files(&*disk, dir, &names, &identity)?;
    let old_hint = names.iter().any(|name| name == hint::OLD_FILE_NAME);
    let outdated = hint.filter(|_| old_hint);
    let outdated = outdated.map(|_| dir.join(hint::OLD_FILE_NAME));
    let hint = match hint {
        None if old_hint => hint::read_old(&*disk, dir, &identity)
            .map_err(OpenError::io("read the flushed hint in", dir))?,
        known => known,
    };
    let mut recovery = Recovery {
        disk,
        dir: dir.to_path_buf(),
        identity,
        config,
        hint,
        outdated,
        before: None,
        next: NextSegment::FIRST,
        open: OpenTransactions::default(),
        epochs: EpochRuns::default(),
        sealed: Vec::new(),
        sealed_bytes: 0,
        active: None,
        log_starts: Vec::new(),
    };
    let closed = match checkpoint.as_ref().filter(|_| leftovers.is_empty()) {
        Some(checkpoint) => recovery.take_checkpoint(checkpoint, &found)?,
        None => false,
    };
    if !closed {
        recovery.recover(&found)?;
    }
    let log = recovery.finish(found.first())?;
    log.remove_leftovers(&leftovers)?;
    log.remove_orphans(&names);
    Ok(log)
}

/// The segment files in order, and those that do not count (`compaction/open`); a log file with a name
/// we did not give is refused.
fn segment_files(
    disk: &dyn Disk,
    dir: &Path,
    names: &[String],
    identity: &LogIdentity,
) -> Result<(Vec<Found>, Vec<PathBuf>), OpenError> {
    let mut found = Vec::new();
    let Resolved {
        compacted,
        leftovers,
    } = resolve(disk, dir, names, identity)?;
    for name in names {
        if Path::new(name)
            .extension()
            .is_none_or(|extension| extension != "log")
        {
            continue;
        }
        let path = dir.join(name);
        let Some((base_offset, base_index, _)) = parse_generation(name) else {
            return Err(OpenError::corrupt(&path, 0, "not the name of a segment"));
        };
        if leftovers.contains(&path) {
            continue;
        }
        let compacted = compacted.iter().find(|file| file.path == path);
        found.push(Found {
            path,
            base_offset,
            base_index,
            compacted: compacted.cloned(),
        });
    }
    found.sort_by_key(|file| (file.base_index, file.base_offset));
    Ok((found, leftovers))
}

impl Recovery {
    /// Reads the log as a crash may have left it.
    fn recover(&mut self, found: &[Found]) -> Result<(), OpenError> {
        let (disk, dir) = (&self.disk, &self.dir);
        disk.sync_dir(dir).map_err(OpenError::io("sync", dir))?;
        if let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
            disk.sync_dir(parent)
                .map_err(OpenError::io("sync", parent))?;
        }
        for (at, file) in found.iter().enumerate() {
            if let Some(compacted) = &file.compacted {
                self.compacted_segment(compacted)?;
                self.keep_compacted_index();
            } else if at + 1 < found.len() {
                self.sealed_segment(file)?;
            } else {
                self.last_segment(file)?;
            }
        }
        Ok(())
    }

    pub(super) fn expected(&self, file: &Found) -> Expected<'_> {
        Expected {
            identity: &self.identity,
            base_offset: file.base_offset,
            base_index: file.base_index,
            before: self.before,
            open: &self.open,
            hint: self.hint,
            index_interval_bytes: self.config.index_interval_bytes,
        }
    }

    /// Checks what spans segments, and makes the log.
    fn finish(self, first: Option<&Found>) -> Result<Log, OpenError> {
        let tail = self.before.map_or(Tail::EMPTY, |(tail, _)| tail);
        if let Some(hint) = self.hint.filter(|hint| hint.index > tail.index) {
            return Err(OpenError::corrupt(
                &self.dir,
                0,
                format!(
                    "log ends at offset {}, entry {}, but was flushed up to offset {}, entry {}: files are missing",
                    tail.offset, tail.index, hint.offset, hint.index
                ),
            ));
        }
        if let Some(first) = first.filter(|first| first.base_offset > tail.log_start) {
            let reason = format!(
                "log starts at offset {}: files before this one are missing",
                tail.log_start
            );
            return Err(OpenError::corrupt(&first.path, 0, reason));
        }
        if let Some(path) = &self.outdated {
            self.disk
                .remove(path)
                .map_err(OpenError::io("remove", path))?;
        }
        let durable = self.hint.map_or(Offset(0), |hint| hint.offset);
        let mut log = self.into_log(tail, durable.min(tail.offset));
        log.take_beginning()?;
        log.publish();
        Ok(log)
    }

    fn into_log(self, tail: Tail, high_watermark: Offset) -> Log {
        let (seed, segment_bytes, has_data) = match &self.active {
            Some(active) => {
                let writer = &active.writer;
                (writer.seed, writer.position, writer.index.index().len() > 0)
            }
            None => (
                Seed::new(&self.identity, tail.index.next()),
                as_u64(SEGMENT_HEADER_BYTES),
                false,
            ),
        };
        let view = LogView {
            sealed: Arc::new(Vec::new()),
            sealed_bytes: 0,
            active: None,
            tail,
            log_start: Offset(0),
            high_watermark,
            last_stable: Offset(0),
            epochs: self.epochs.clone(),
            decompressed_bytes_max: self.config.decompressed_bytes_max,
        };
        let mut marks = Marks::new(high_watermark);
        self.log_starts.iter().for_each(|tail| marks.staged(tail));
        Log {
            disk: self.disk,
            dir: self.dir,
            identity: self.identity,
            config: self.config,
            shared: Arc::new(ArcSwap::from_pointee(view)),
            queue: Queue::new(tail, seed, segment_bytes, has_data),
            written: tail,
            flushed: tail,
            unsynced_bytes: 0,
            largest_bytes: GROUP_BYTES_MAX,
            active: self.active,
            next: self.next,
            open_transactions: self.open,
            sealed: Arc::new(self.sealed),
            sealed_bytes: self.sealed_bytes,
            epochs: self.epochs,
            marks,
            first_index: EntryIndex(1),
            membership_before: None,
            idle_at: EntryIndex(0),
            pins: Arc::default(),
            cleaning: false,
            first_dirty: None,
            uncleanable: Vec::new(),
            names_unsynced: false,
            sync_outstanding: false,
            closed: None,
        }
    }
}
