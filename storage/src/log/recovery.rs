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

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use super::config::{LogConfig, LogIdentity};
use super::entry::{NextSegment, Queue};
use super::epochs::EpochRuns;
use super::error::OpenError;
use super::hint::{Hint, HintFile};
use super::view::LogView;
use super::write::Active;
use super::{GROUP_BYTES_MAX, Log};
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::index::file::{self as index_file, Summary};
use crate::position::{EntryIndex, Offset};
use crate::segment::format::{
    Control, SEGMENT_HEADER_BYTES, Seed, as_u64, crc_field, read_control, read_head,
};
use crate::segment::reader::{SealedFile, Segment};
use crate::segment::scan::{
    Expected, RollFrame, Scan, Unsound, check_header, last_continuing, scan,
};
use crate::segment::window::{SCAN_BYTES, Window};
use crate::segment::writer::{Start, Writer};
use crate::segment::{Tail, index_name, parse_file_name};

/// A segment file found in the directory.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    base_offset: Offset,
    base_index: EntryIndex,
}

/// The log as far as it has been put together.
struct Recovery {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: LogIdentity,
    config: LogConfig,
    hint_file: HintFile,
    hint: Option<Hint>,
    /// Where the last segment read ends; with its ROLL's CRC for the next one's header.
    before: Option<(Tail, u32)>,
    next: NextSegment,
    epochs: EpochRuns,
    sealed: Vec<Segment>,
    sealed_bytes: u64,
    active: Option<Active>,
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
    let found = segment_files(&*disk, dir)?;
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
        epochs: EpochRuns::default(),
        sealed: Vec::new(),
        sealed_bytes: 0,
        active: None,
    };
    if let Some((last, before)) = found.split_last() {
        for file in before {
            recovery.sealed_segment(file)?;
        }
        recovery.last_segment(last)?;
    }
    recovery.finish(found.first())
}

/// The segment files in order; a log file with a name we did not give is refused.
fn segment_files(disk: &dyn Disk, dir: &Path) -> Result<Vec<Found>, OpenError> {
    let mut found = Vec::new();
    for name in disk.list(dir).map_err(OpenError::io("list", dir))? {
        if Path::new(&name)
            .extension()
            .is_none_or(|extension| extension != "log")
        {
            continue;
        }
        let path = dir.join(&name);
        let Some((base_offset, base_index)) = parse_file_name(&name) else {
            return Err(OpenError::corrupt(&path, 0, "not the name of a segment"));
        };
        found.push(Found {
            path,
            base_offset,
            base_index,
        });
    }
    found.sort_by_key(|file| (file.base_index, file.base_offset));
    Ok(found)
}

impl Recovery {
    fn expected(&self, file: &Found) -> Expected<'_> {
        Expected {
            identity: &self.identity,
            base_offset: file.base_offset,
            base_index: file.base_index,
            before: self.before,
            hint: self.hint,
            index_interval_bytes: self.config.index_interval_bytes,
        }
    }

    /// A file before the last: trusted by its index and both ends, or else read in full.
    fn sealed_segment(&mut self, found: &Found) -> Result<(), OpenError> {
        let path = &found.path;
        let file = self
            .disk
            .open(path, OpenMode::Read)
            .map_err(OpenError::io("open", path))?;
        let size = file.size().map_err(OpenError::io("measure", path))?;
        let index_path = self
            .dir
            .join(index_name(found.base_offset, found.base_index));
        if let Some(summary) = index_file::read_summary(&*self.disk, &index_path)
            && let Some(roll) = self.both_ends(found, &*file, size, &summary)?
        {
            self.push_sealed(found, &summary, roll, OnceLock::new());
            return Ok(());
        }
        let scan =
            scan(&*file, size, &self.expected(found)).map_err(OpenError::io("read", path))?;
        match (&scan.stop, scan.roll) {
            (Some(Unsound::Invalid(reason) | Unsound::Refused(reason)), _) => {
                Err(OpenError::corrupt(path, scan.end, reason.clone()))
            }
            (None, None) => Err(OpenError::corrupt(
                path,
                scan.end,
                "segment before the last ends without a ROLL",
            )),
            (None, Some(roll)) => {
                self.push_scanned(found, scan, roll);
                Ok(())
            }
        }
    }

    /// Compares a sealed file's header and ROLL with its summary; `None` if the summary is not of it.
    fn both_ends(
        &self,
        found: &Found,
        file: &dyn DiskFile,
        size: u64,
        summary: &Summary,
    ) -> Result<Option<RollFrame>, OpenError> {
        let path = &found.path;
        let seed = Seed::new(&self.identity, found.base_index);
        let mut bytes = Vec::new();
        file.read_at(0, SEGMENT_HEADER_BYTES, &mut bytes)
            .map_err(OpenError::io("read", path))?;
        if summary.segment_bytes != size || crc_field(&bytes) != summary.header_crc {
            return Ok(None);
        }
        let Ok(header) = read_control(&bytes, seed) else {
            return Ok(None);
        };
        if check_header(&header, &self.expected(found)).is_err() {
            return Ok(None);
        }
        let roll_bytes = usize::try_from(size.saturating_sub(summary.roll_position)).unwrap_or(0);
        if roll_bytes > SEGMENT_HEADER_BYTES {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_at(summary.roll_position, roll_bytes, &mut bytes)
            .map_err(OpenError::io("read", path))?;
        let fits = read_head(&bytes).is_ok_and(|head| head.size_bytes() == as_u64(bytes.len()));
        let (true, Ok(frame)) = (fits, read_control(&bytes, seed)) else {
            return Ok(None);
        };
        let Tail {
            offset,
            index,
            epoch,
            ..
        } = summary.tail;
        let Control::Roll { at_ms } = frame.control else {
            return Ok(None);
        };
        let agrees = frame.offset == offset && frame.index == index && frame.epoch == epoch;
        let (crc, position) = (crc_field(&bytes), summary.roll_position);
        Ok(agrees.then_some(RollFrame {
            at_ms,
            crc,
            position,
        }))
    }

    /// Takes a sealed segment that was read in full, and writes its index anew.
    fn push_scanned(&mut self, found: &Found, scan: Scan, roll: RollFrame) {
        let summary = Summary {
            segment_bytes: scan.end,
            header_crc: scan.header_crc,
            roll_position: roll.position,
            tail: scan.tail,
            max_timestamp: scan.index.max_timestamp(),
            runs: scan.runs,
        };
        let index = scan.index.index().clone();
        let index_path = self
            .dir
            .join(index_name(found.base_offset, found.base_index));
        if let Err(error) = index_file::write(&*self.disk, &index_path, &summary, &index) {
            tracing::warn!(path = %index_path.display(), %error, "index not written, will be rebuilt");
        }
        self.push_sealed(found, &summary, roll, OnceLock::from(index));
    }

    fn push_sealed(
        &mut self,
        found: &Found,
        summary: &Summary,
        roll: RollFrame,
        index: OnceLock<crate::index::SparseIndex>,
    ) {
        let file = SealedFile {
            disk: Arc::clone(&self.disk),
            path: found.path.clone(),
            index_path: self
                .dir
                .join(index_name(found.base_offset, found.base_index)),
            index_interval_bytes: self.config.index_interval_bytes,
            file: OnceLock::new(),
            index,
        };
        let Summary {
            segment_bytes,
            tail,
            max_timestamp,
            ..
        } = *summary;
        self.sealed.push(Segment::sealed(
            found.base_offset,
            tail.offset,
            segment_bytes,
            max_timestamp,
            file,
        ));
        self.sealed_bytes += segment_bytes;
        summary.runs.iter().for_each(|run| self.epochs.push(*run));
        self.before = Some((tail, roll.crc));
        self.next = NextSegment {
            created_ms: roll.at_ms,
            previous_crc: roll.crc,
        };
    }

    /// The last file: synced, read in full, its torn tail cut or its room trimmed.
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
        file.sync_data().map_err(OpenError::io("sync", path))?;
        let size = file.size().map_err(OpenError::io("measure", path))?;
        let scan =
            scan(&*file, size, &self.expected(found)).map_err(OpenError::io("read", path))?;
        self.judge_end(found, &*file, size, &scan)?;
        let Some(header) = scan.header else {
            return self.drop_headless(found);
        };
        if scan.end < size {
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
        let start = Start {
            base_offset: found.base_offset,
            base_index: found.base_index,
            seed: Seed::new(&self.identity, found.base_index),
            header_crc: scan.header_crc,
            created_ms: header.created_ms,
            position: scan.end,
            index: scan.index,
        };
        let writer = Writer::open(path, file, start);
        self.active = Some(Active {
            writer,
            path: path.as_path().into(),
            runs: scan.runs,
            rolled: None,
        });
        Ok(())
    }

    /// Decides whether what lies behind the last sound frame may be cut.
    fn judge_end(
        &self,
        found: &Found,
        file: &dyn DiskFile,
        size: u64,
        scan: &Scan,
    ) -> Result<(), OpenError> {
        let corrupt = |reason: String| Err(OpenError::corrupt(&found.path, scan.end, reason));
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
            return Ok(());
        }
        let io = |source| OpenError::io("read", &found.path)(source);
        if Window::new(file, size, SCAN_BYTES)
            .is_zero_from(scan.end)
            .map_err(io)?
        {
            return Ok(());
        }
        match last_continuing(file, size, &self.expected(found), scan).map_err(io)? {
            Some(end) if end - scan.end > GROUP_BYTES_MAX => corrupt(format!(
                "{reason}, but sound frames go on up to byte {end}, further than one unsynced group"
            )),
            _ => {
                let path = found.path.display();
                tracing::info!(%path, position = scan.end, size, reason, "torn tail is cut");
                Ok(())
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
        let durable = self
            .hint
            .map_or(tail.log_start, |hint| hint.offset.max(tail.log_start));
        Ok(self.into_log(tail, durable.min(tail.offset)))
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
            high_watermark,
            epochs: self.epochs.clone(),
            decompressed_bytes_max: self.config.decompressed_bytes_max,
        };
        let log = Log {
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
            sealed: Arc::new(self.sealed),
            sealed_bytes: self.sealed_bytes,
            epochs: self.epochs,
            high_watermark,
            names_unsynced: false,
            sync_outstanding: false,
            closed: None,
        };
        log.publish();
        log
    }
}
