//! The active segment's file, as its one writer sees it.
//!
//! Room is reserved ahead in doubling steps, so that appends seldom change the file's size: nothing
//! before the first write, then 64 KiB up to 16 MiB at a time, never past the greatest segment. Reserved
//! bytes read as zero; they are trimmed when the segment is rolled or the log closed.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::cut::Cut;
use super::format::Seed;
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::index::IndexBuilder;
use crate::position::{EntryIndex, Offset};

const STEP_BYTES_MIN: u64 = 64 * 1024;
const STEP_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The open active segment.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Shared with the views of this file.
    pub(crate) path: Arc<Path>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) base_offset: Offset,
    pub(crate) base_index: EntryIndex,
    pub(crate) seed: Seed,
    /// The CRC field of its header, for the summary.
    pub(crate) header_crc: u32,
    /// When the ROLL before was proposed; -1 unknown.
    pub(crate) created_ms: i64,
    /// Where the next frame goes.
    pub(crate) position: u64,
    pub(crate) index: IndexBuilder,
    /// Shared with the views of this file.
    pub(crate) cut: Cut,
    allocated: u64,
    allocates: bool,
}

/// What a writer is made of besides its file.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) base_offset: Offset,
    pub(crate) base_index: EntryIndex,
    pub(crate) seed: Seed,
    pub(crate) header_crc: u32,
    pub(crate) created_ms: i64,
    pub(crate) position: u64,
    /// The size of the file; what lies behind `position` reads as zero.
    pub(crate) allocated: u64,
    pub(crate) index: IndexBuilder,
}

impl Writer {
    /// Makes a new, empty file.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, start: Start) -> io::Result<Writer> {
        let file = disk.open(path, OpenMode::Create)?;
        Ok(Writer::open(path, file, start))
    }

    /// Goes on in a file after its first `start.position` bytes.
    pub(crate) fn open(path: &Path, file: Arc<dyn DiskFile>, start: Start) -> Writer {
        Writer {
            path: path.into(),
            file,
            base_offset: start.base_offset,
            base_index: start.base_index,
            seed: start.seed,
            header_crc: start.header_crc,
            created_ms: start.created_ms,
            position: start.position,
            index: start.index,
            cut: Cut::none(),
            allocated: start.allocated,
            allocates: true,
        }
    }

    /// Writes one group of `len` bytes after what is there.
    pub(crate) fn write(
        &mut self,
        slices: &mut [IoSlice<'_>],
        len: u64,
        segment_bytes_max: u64,
    ) -> io::Result<()> {
        let end = self.position + len;
        self.reserve(end, segment_bytes_max)?;
        self.file.write_at(self.position, slices)?;
        self.position = end;
        Ok(())
    }

    /// Gives the reserved room back; `false` if there was none. Not synced: after a crash the room may be
    /// there again, and is empty.
    pub(crate) fn trim(&mut self) -> io::Result<bool> {
        let has_room = self.allocated > self.position;
        if has_room {
            self.file.set_size(self.position)?;
            self.allocated = self.position;
        }
        Ok(has_room)
    }

    /// Reserves room for bytes up to `end`. Where that is not possible the write itself will tell
    /// whether the disk is full.
    fn reserve(&mut self, end: u64, segment_bytes_max: u64) -> io::Result<()> {
        if end <= self.allocated || !self.allocates {
            return Ok(());
        }
        let step = self.allocated.clamp(STEP_BYTES_MIN, STEP_BYTES_MAX);
        let size = (self.allocated + step).max(end);
        // a leader with other settings may make the segment larger than this one's limit
        let size = if end <= segment_bytes_max {
            size.min(segment_bytes_max)
        } else {
            size
        };
        match self.file.allocate(size) {
            Ok(()) => self.allocated = size,
            Err(error) => match error.kind() {
                io::ErrorKind::Unsupported | io::ErrorKind::StorageFull => self.allocates = false,
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
        Ok(())
    }
}
