//! Opening a log: what may be cut, what must be refused.
//!
//! The four rules (replication.md, "Recovery"), and where each is kept:
//!
//! 1. Only the last 4 MiB of the last file (or one larger batch) may be unsynced: the writer sees to it.
//!    Files before the last are sealed: any byte that does not fit is corruption.
//! 2. In the last file the first unsound frame is corruption if it lies below the flushed hint, or if
//!    frames that continue the log end more than 4 MiB behind it. Otherwise it is a torn tail, which
//!    an ordinary power cut leaves (pages reach the disk in any order): it is cut. **Corruption is never
//!    cut**: the log is refused with file, position and reason, and nothing on disk is changed.
//! 3. What continues is found by following frames from head to head (`segment/scan`), never by looking
//!    for something that resembles one.
//! 4. After a process crash the page cache may hold what the disk does not. So names and the last file
//!    are synced before anything is read, and after every change.
//!
//! Before a cut the hint is lowered and synced; the cut is synced before the log is used.
//!
//! Every step leaves a state from which opening again gives the same log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::config::{LogConfig, LogIdentity};
use super::entry::{NextSegment, Queue};
use super::epochs::EpochRuns;
use super::error::OpenError;
use super::hint::{Hint, HintFile};
use super::marks::Marks;
use super::view::LogView;
use super::write::Active;
use super::{GROUP_BYTES_MAX, Log};
use crate::compaction::open::{CompactedFile, Resolved, resolve};
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::index::OpenTransactions;
use crate::index::file::{self as index_file, Kept, PartEnd, Resumed, SegmentName};
use crate::manifest::install;
use crate::planted::{Mistake, planted};
use crate::position::{EntryIndex, Offset};
use crate::segment::format::{SEGMENT_HEADER_BYTES, Seed, as_u64, crc_field};
use crate::segment::reader::Segment;
use crate::segment::scan::{Expected, Scan, Unsound, last_continuing, resume, scan, scan_on};
use crate::segment::window::{SCAN_BYTES, Window};
use crate::segment::writer::{Start, Writer};
use crate::segment::{Tail, parse_generation};

/// A segment file found in the directory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) base_offset: Offset,
    pub(super) base_index: EntryIndex,
    pub(super) compacted: Option<CompactedFile>,
}

/// What lies behind the last sound frame of the last file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing, or preallocated room, which the writer goes on to use.
    Clean,
    /// What a power cut left of the last group.
    Torn,
}

/// The log as far as it has been put together.
pub(super) struct Recovery {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) identity: LogIdentity,
    pub(super) config: LogConfig,
    pub(super) hint_file: HintFile,
    pub(super) hint: Option<Hint>,
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
) -> Result<Log, OpenError> {
    disk.create_dir_all(dir)
        .map_err(OpenError::io("create", dir))?;
    install::finish_interrupted(&*disk, dir)?;
    let (found, leftovers) = segment_files(&*disk, dir, &identity)?;
    let opened = HintFile::open(&*disk, dir, &identity);
    let (hint_file, hint) = opened.map_err(OpenError::io("open the flushed hint in", dir))?;
    disk.sync_dir(dir).map_err(OpenError::io("sync", dir))?;
    if let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
        disk.sync_dir(parent)
            .map_err(OpenError::io("sync", parent))?;
    }
    let mut recovery = Recovery {
        disk,
        dir: dir.to_path_buf(),
        identity,
        config,
        hint_file,
        hint,
        before: None,
        next: NextSegment::FIRST,
        open: OpenTransactions::default(),
        epochs: EpochRuns::default(),
        sealed: Vec::new(),
        sealed_bytes: 0,
        active: None,
        log_starts: Vec::new(),
    };
    for (at, file) in found.iter().enumerate() {
        if let Some(compacted) = &file.compacted {
            recovery.compacted_segment(compacted)?;
        } else if at + 1 < found.len() {
            recovery.sealed_segment(file)?;
        } else {
            recovery.last_segment(file)?;
        }
    }
    let log = recovery.finish(found.first())?;
    log.remove_leftovers(&leftovers)?;
    Ok(log)
}

/// The segment files in order, and those that do not count (`compaction/open`); a log file with a name
/// we did not give is refused.
fn segment_files(
    disk: &dyn Disk,
    dir: &Path,
    identity: &LogIdentity,
) -> Result<(Vec<Found>, Vec<PathBuf>), OpenError> {
    let mut found = Vec::new();
    let names = disk.list(dir).map_err(OpenError::io("list", dir))?;
    let Resolved {
        compacted,
        leftovers,
    } = resolve(disk, dir, &names, identity)?;
    for name in names {
        if Path::new(&name)
            .extension()
            .is_none_or(|extension| extension != "log")
        {
            continue;
        }
        let path = dir.join(&name);
        let Some((base_offset, base_index, _)) = parse_generation(&name) else {
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

    /// The last file: synced, read in full, its torn tail cut (its room trimmed only after a ROLL).
    fn last_segment(&mut self, found: &Found) -> Result<(), OpenError> {
        let path = &found.path;
        if let Some((tail, _)) = self.before
            && (found.base_offset, found.base_index) != (tail.offset, tail.index.next())
        {
            return Err(OpenError::corrupt(
                path,
                0,
                "a segment before this one is missing",
            ));
        }
        let file = self
            .disk
            .open(path, OpenMode::Write)
            .map_err(OpenError::io("open", path))?;
        if !planted(Mistake::RecoveredCacheNotSynced) {
            file.sync_data().map_err(OpenError::io("sync", path))?;
        }
        let size = file.size().map_err(OpenError::io("measure", path))?;
        let (scan, kept) = self
            .read_last(found, &*file, size)
            .map_err(OpenError::io("read", path))?;
        let end = self.judge_end(found, &*file, size, &scan)?;
        let Some(header) = scan.header else {
            return self.drop_headless(found);
        };
        let cut = end == End::Torn || scan.roll.is_some();
        if cut && scan.end < size && !planted(Mistake::TornTailNotCut) {
            self.lower_hint(&scan.tail)?;
            file.set_size(scan.end)
                .map_err(OpenError::io("truncate", path))?;
            file.sync_data().map_err(OpenError::io("sync", path))?;
        }
        if let Some(roll) = scan.roll {
            self.push_scanned(found, scan, roll);
            return Ok(());
        }
        scan.runs.iter().for_each(|run| self.epochs.push(*run));
        self.before = Some((scan.tail, 0));
        self.log_starts.push(scan.tail);
        let start = Start {
            base_offset: found.base_offset,
            base_index: found.base_index,
            seed: Seed::new(&self.identity, found.base_index),
            header_crc: scan.header_crc,
            created_ms: header.created_ms,
            position: scan.end,
            allocated: if cut { scan.end } else { size },
            index: scan.index,
        };
        let writer = Writer::open(path, file, start);
        self.active = Some(Active {
            writer,
            path: path.as_path().into(),
            runs: scan.runs,
            kept,
            rolled: None,
        });
        Ok(())
    }

    /// Reads the last file: from the end of the last part of its index that lies at or below the hint,
    /// else from its beginning.
    fn read_last(&self, found: &Found, file: &dyn DiskFile, size: u64) -> io::Result<(Scan, Kept)> {
        let expected = self.expected(found);
        if let Some(hint) = self.hint
            && let Some(resumed) = self.kept_index(found, file, hint, size)?
        {
            let kept = resumed.kept;
            if let Some(begun) = resume(file, size, &expected, resumed)? {
                return Ok((scan_on(file, size, &expected, begun)?, kept));
            }
        }
        Ok((scan(file, size, &expected)?, Kept::default()))
    }

    /// The index of the last file, as far as it was kept at or below the hint.
    fn kept_index(
        &self,
        found: &Found,
        file: &dyn DiskFile,
        hint: Hint,
        size: u64,
    ) -> io::Result<Option<Resumed>> {
        let mut header = Vec::new();
        file.read_at(0, SEGMENT_HEADER_BYTES, &mut header)?;
        let name = SegmentName {
            base_offset: found.base_offset,
            base_index: found.base_index,
            header_crc: crc_field(&header),
        };
        let interval_bytes = self.config.index_interval_bytes;
        let below_hint = |end: &PartEnd| end.tail.index <= hint.index && end.end <= size;
        let (disk, path) = (&*self.disk, self.index_path(found));
        Ok(index_file::resume(
            disk,
            &path,
            &name,
            interval_bytes,
            below_hint,
        ))
    }

    /// Decides whether what lies behind the last sound frame may be cut.
    fn judge_end(
        &self,
        found: &Found,
        file: &dyn DiskFile,
        size: u64,
        scan: &Scan,
    ) -> Result<End, OpenError> {
        let corrupt = |reason: String| {
            if planted(Mistake::CorruptionCut) {
                return Ok(End::Torn);
            }
            Err(OpenError::corrupt(&found.path, scan.end, reason))
        };
        let reason = match &scan.stop {
            None => "the file ends",
            Some(Unsound::Refused(reason)) => return corrupt(reason.clone()),
            Some(Unsound::Invalid(reason)) => reason,
        };
        if let Some(hint) = self.hint.filter(|hint| hint.index > scan.tail.index) {
            return corrupt(format!(
                "{reason}, but the log was flushed up to offset {}, entry {}",
                hint.offset, hint.index
            ));
        }
        let first = self.before.is_none();
        if scan.header.is_none() && first && found.base_index != EntryIndex(1) {
            return corrupt(format!(
                "{reason}, in the header of the log's first segment"
            ));
        }
        if scan.stop.is_none() {
            return Ok(End::Clean);
        }
        let io = |source| OpenError::io("read", &found.path)(source);
        if Window::new(file, size, SCAN_BYTES)
            .is_zero_from(scan.end)
            .map_err(io)?
        {
            return Ok(End::Clean);
        }
        match last_continuing(file, size, &self.expected(found), scan).map_err(io)? {
            Some(end) if end - scan.end > GROUP_BYTES_MAX => corrupt(format!(
                "{reason}, but sound frames go on up to byte {end}, further than one unsynced group"
            )),
            _ => {
                let path = found.path.display();
                tracing::info!(%path, position = scan.end, size, reason, "torn tail is cut");
                Ok(End::Torn)
            }
        }
    }

    /// A file made just before a crash, without even its header: nothing was ever durable in it.
    fn drop_headless(&mut self, found: &Found) -> Result<(), OpenError> {
        let tail = self.before.map_or(Tail::EMPTY, |(tail, _)| tail);
        self.lower_hint(&tail)?;
        self.disk
            .remove(&found.path)
            .map_err(OpenError::io("remove", &found.path))?;
        self.disk
            .sync_dir(&self.dir)
            .map_err(OpenError::io("sync", &self.dir))
    }

    /// Before a cut: the hint, never above what stays, made durable.
    fn lower_hint(&self, tail: &Tail) -> Result<(), OpenError> {
        let Some(hint) = self.hint else { return Ok(()) };
        let lowered = if hint.index > tail.index {
            Hint::of(*tail)
        } else {
            hint
        };
        let path = self.hint_file.path();
        self.hint_file
            .settle(lowered)
            .map_err(OpenError::io("write", path))
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
        let raised = self.hint_file.raise(Hint::of(tail), 0);
        raised.map_err(OpenError::io("write", self.hint_file.path()))?;
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
            hint: Arc::new(self.hint_file),
            shared: Arc::new(ArcSwap::from_pointee(view)),
            queue: Queue::new(tail, seed, segment_bytes, has_data),
            written: tail,
            flushed: tail,
            unsynced_bytes: 0,
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
            names_unsynced: false,
            sync_outstanding: false,
            closed: None,
        }
    }
}
