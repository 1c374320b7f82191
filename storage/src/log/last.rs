//! The last file of a log: the only one that a crash may have left unfinished.
//!
//! It is synced first, then read past the page cache from the last place that its index and the flushed
//! hint vouch for. What ends it decides `judge`:
//!
//! | the first unsound frame | then |
//! |---|---|
//! | none, or zeros to the end of the file | preallocated room: the writer goes on in it |
//! | lies below the hint | corruption |
//! | is sound in itself, but cannot be there | corruption |
//! | more than one group is written behind it (`segment/behind`) | corruption |
//! | else | a torn tail: cut, synced |
//!
//! A file without a sound header was made just before a crash; it is removed.

use std::io;
use std::sync::Arc;

use super::error::OpenError;
use super::largest;
use super::recovery::{Found, Recovery};
use super::write::Active;
use crate::fs::{DiskFile, OpenMode};
use crate::index::file::{self as index_file, Kept, PartEnd, Resumed, SegmentName};
use crate::planted::{Mistake, planted};
use crate::position::EntryIndex;
use crate::segment::Tail;
use crate::segment::behind::{Behind, look_behind};
use crate::segment::format::{SEGMENT_HEADER_BYTES, Seed, crc_field};
use crate::segment::scan::{Scan, Unsound, resume, scan, scan_on};
use crate::segment::writer::{Start, Writer};

/// What lies behind the last sound frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing, or preallocated room, which the writer goes on to use.
    Clean,
    /// What a power cut left of the last group.
    Torn,
}

impl Recovery {
    /// Reads the last file and cuts its torn tail (its room is trimmed only after a ROLL).
    pub(super) fn last_segment(&mut self, found: &Found) -> Result<(), OpenError> {
        let path = &found.path;
        if let Some((tail, _)) = self.before
            && (found.base_offset, found.base_index) != (tail.offset, tail.index.next())
        {
            let reason = "a segment before this one is missing";
            return Err(OpenError::corrupt(path, 0, reason));
        }
        let file = self
            .disk
            .open(path, OpenMode::Write)
            .map_err(OpenError::io("open", path))?;
        if !planted(Mistake::RecoveredCacheNotSynced) {
            file.sync_data().map_err(OpenError::io("sync", path))?;
        }
        let (scan, kept) = self
            .read_last(found, &*file)
            .map_err(OpenError::io("read", path))?;
        let size = file.size().map_err(OpenError::io("measure", path))?;
        let end = self.judge(found, &*file, size, &scan)?;
        if scan.header.is_none() {
            return self.drop_headless(found);
        }
        let cut = end == End::Torn || scan.roll.is_some();
        if cut && scan.end < size && !planted(Mistake::TornTailNotCut) {
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
        let allocated = if cut { scan.end } else { size };
        self.active = Some(self.active(found, file, scan, kept, allocated));
        Ok(())
    }

    /// The last file as it was closed: its index covers all of its bytes up to this tail. `None` if that is
    /// not so; then nothing was learnt.
    pub(super) fn closed_segment(
        &self,
        found: &Found,
        size: u64,
        tail: Tail,
    ) -> Result<Option<Active>, OpenError> {
        let path = &found.path;
        let io = |operation| OpenError::io(operation, path);
        let opened = self.disk.open(path, OpenMode::Write);
        let file = opened.map_err(io("open"))?;
        let resumed = self.kept_index(found, &*file, size, |_| true);
        let Some(resumed) = resumed.map_err(io("read"))? else {
            return Ok(None);
        };
        let kept = resumed.kept;
        let scan = resume(&*file, size, &self.expected(found), resumed).map_err(io("read"))?;
        let whole = |scan: &Scan| scan.tail == tail && scan.end == size;
        Ok(scan
            .filter(whole)
            .map(|scan| self.active(found, file, scan, kept, size)))
    }

    /// The active segment that goes on behind a scan.
    fn active(
        &self,
        found: &Found,
        file: Arc<dyn DiskFile>,
        scan: Scan,
        kept: Kept,
        allocated: u64,
    ) -> Active {
        let path = &found.path;
        let start = Start {
            base_offset: found.base_offset,
            base_index: found.base_index,
            seed: Seed::new(&self.identity, found.base_index),
            header_crc: scan.header_crc,
            created_ms: scan.header.map_or(-1, |header| header.created_ms),
            position: scan.end,
            allocated,
            index: scan.index,
        };
        Active {
            writer: Writer::open(path, file, start),
            runs: scan.runs,
            kept,
            rolled: None,
        }
    }

    /// Reads the file from the end of the last part of its index that lies at or below the hint, else from
    /// its beginning; what is read comes from the disk, not from what a crashed process left in memory.
    fn read_last(&self, found: &Found, file: &dyn DiskFile) -> io::Result<(Scan, Kept)> {
        let expected = self.expected(found);
        if let Some(hint) = self.hint
            && let Some(resumed) = self.kept_index(found, file, file.size()?, |end| {
                end.tail.index <= hint.index
            })?
        {
            let kept = resumed.kept;
            from_disk(file, kept.segment_bytes)?;
            let size = file.size()?;
            if let Some(begun) = resume(file, size, &expected, resumed)? {
                return Ok((scan_on(file, size, &expected, begun)?, kept));
            }
        }
        from_disk(file, 0)?;
        Ok((scan(file, file.size()?, &expected)?, Kept::default()))
    }

    /// The index of the last file's first `size` bytes, as far as it was kept and is wanted.
    fn kept_index(
        &self,
        found: &Found,
        file: &dyn DiskFile,
        size: u64,
        wanted: impl Fn(&PartEnd) -> bool,
    ) -> io::Result<Option<Resumed>> {
        let mut header = Vec::new();
        file.read_at(0, SEGMENT_HEADER_BYTES, &mut header)?;
        let name = SegmentName {
            base_offset: found.base_offset,
            base_index: found.base_index,
            header_crc: crc_field(&header),
        };
        let interval_bytes = self.config.index_interval_bytes;
        let inside = |end: &PartEnd| end.end <= size && wanted(end);
        let (disk, path) = (&*self.disk, self.index_path(found));
        Ok(index_file::resume(
            disk,
            &path,
            &name,
            interval_bytes,
            inside,
        ))
    }

    /// Decides whether what lies behind the last sound frame may be cut.
    fn judge(
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
        let expected = self.expected(found);
        let torn_bytes_max = largest::torn_bytes_max(&*self.disk, &self.dir)
            .map_err(OpenError::io("read the largest batch of", &self.dir))?;
        let behind = look_behind(file, size, &expected, scan, torn_bytes_max);
        match behind.map_err(OpenError::io("read", &found.path))? {
            Behind::Nothing => Ok(End::Clean),
            Behind::Torn => {
                let path = found.path.display();
                let end = scan.tail.offset.0;
                tracing::warn!(%path, position = scan.end, size, end, reason, "torn tail is cut");
                Ok(End::Torn)
            }
            Behind::Durable(end) => corrupt(format!(
                "{reason}, but what was written behind it reaches to byte {end}, further than one unsynced group"
            )),
        }
    }

    /// A file made just before a crash, without even its header: nothing was ever durable in it.
    fn drop_headless(&mut self, found: &Found) -> Result<(), OpenError> {
        self.disk
            .remove(&found.path)
            .map_err(OpenError::io("remove", &found.path))?;
        self.disk
            .sync_dir(&self.dir)
            .map_err(OpenError::io("sync", &self.dir))
    }
}

/// Makes the next reads from `position` on the disk's. A file system that cannot is read as it is: what it
/// holds was synced.
fn from_disk(file: &dyn DiskFile, position: u64) -> io::Result<()> {
    let len = file.size()?.saturating_sub(position);
    if !planted(Mistake::CacheBelieved)
        && let Err(error) = file.drop_cache(position, len)
    {
        tracing::debug!(%error, "cached pages are not dropped");
    }
    Ok(())
}
