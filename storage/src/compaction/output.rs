//! The file that a group of segments is rewritten into.
//!
//! ```text
//! {base_offset}-{base_index}.{generation}.cleaned
//! | header (kind 8), written last | batch | batch | …      buffered, synced now and then, then at the end
//! ```
//!
//! Nothing reads a `.cleaned` file; only `swap` gives it the name that counts.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use super::header::{CompactedHeader, Counts, HEADER_BYTES_MAX};
use super::transactions::Aborted;
use super::{AbortedTransaction, CleaningError, Pace};
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::index::{ControlPlace, IndexBuilder, NO_TIMESTAMP, OpenTransactions};
use crate::position::EntryIndex;
use crate::record::BatchHeader;
use crate::segment::format::{ControlKind, as_u64, crc_field};

/// Written at once: large enough that the call costs nothing, small enough to be no matter of memory.
const BUFFER_BYTES: usize = 1 << 20;
/// Synced at once: so that the last sync, and those of logs that are written to meanwhile, stay short.
const SYNC_BYTES: u64 = 32 << 20;

/// A compacted segment being written.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header_bytes: usize,
    base_index: EntryIndex,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    position: u64,
    synced_to: u64,
    content_crc: u32,
    index: IndexBuilder,
    max_timestamp: i64,
    /// Those whose markers were written with their record.
    aborted: Vec<AbortedTransaction>,
    /// Not yet paid for.
    unpaid_bytes: u64,
}

/// A finished file, not yet synced.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) header: CompactedHeader,
    /// The CRC field of the header frame.
    pub(super) header_crc: u32,
    pub(super) size_bytes: u64,
    pub(super) index: IndexBuilder,
}

impl Output {
    /// Makes the file; `counts` says how long its header will be at most.
    pub(super) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        base_index: EntryIndex,
        counts: Counts,
        index_interval_bytes: u64,
    ) -> Result<Output, CleaningError> {
        let header_bytes = counts.size_bytes();
        if header_bytes > HEADER_BYTES_MAX {
            // no start would take the file for one of ours
            return Err(CleaningError::HeaderTooLarge);
        }
        // left by a cleaning that was broken off in this process
        if let Err(error) = disk.remove(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(CleaningError::io("remove", &path)(error));
        }
        let file = disk
            .open(&path, OpenMode::Create)
            .map_err(CleaningError::io("create", &path))?;
        let mut index = IndexBuilder::new(index_interval_bytes, OpenTransactions::default());
        index.control(ControlPlace {
            position: 0,
            size_bytes: u32::try_from(header_bytes).map_err(|_| CleaningError::HeaderTooLarge)?,
            index: base_index,
            kind: ControlKind::CompactedHeader,
        });
        Ok(Output {
            path,
            file,
            header_bytes,
            base_index,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            position: as_u64(header_bytes),
            synced_to: 0,
            content_crc: 0,
            index,
            max_timestamp: NO_TIMESTAMP,
            aborted: Vec::new(),
            unpaid_bytes: 0,
        })
    }

    /// Puts a batch behind the others.
    pub(super) fn batch(
        &mut self,
        header: &BatchHeader,
        parts: &[&[u8]],
    ) -> Result<(), CleaningError> {
        let place = self.position + as_u64(self.buffer.len());
        // aborted transactions are listed in the header, where they are data
        self.index.batch(header, self.base_index, place, None);
        if header.record_count > 0 {
            self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        }
        for part in parts {
            self.buffer.extend_from_slice(part);
            self.unpaid_bytes += as_u64(part.len());
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Notes that the marker of an aborted transaction stays.
    pub(super) fn keeps_marker(&mut self, marker: &BatchHeader, aborted: &Aborted) {
        self.aborted.extend(aborted.ended_by(marker));
    }

    /// Pays for what was written since the last time.
    pub(super) fn pay(&mut self, pace: &Pace<'_>) -> Result<(), CleaningError> {
        pace.pay(std::mem::take(&mut self.unpaid_bytes))
    }

    fn flush(&mut self) -> Result<(), CleaningError> {
        self.content_crc = crc32c::crc32c_append(self.content_crc, &self.buffer);
        self.file
            .write_at(self.position, &mut [IoSlice::new(&self.buffer)])
            .map_err(CleaningError::io("write", &self.path))?;
        self.position += as_u64(self.buffer.len());
        self.buffer.clear();
        if self.position - self.synced_to >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), CleaningError> {
        self.synced_to = self.position;
        self.file
            .sync_data()
            .map_err(CleaningError::io("sync", &self.path))
    }

    /// Writes what is buffered, and the header, to which it adds what it knows of the content.
    pub(super) fn finish(mut self, mut header: CompactedHeader) -> Result<Written, CleaningError> {
        self.flush()?;
        header.content_bytes = self.position - as_u64(self.header_bytes);
        header.content_crc = self.content_crc;
        header.max_timestamp = self.max_timestamp;
        header.aborted = std::mem::take(&mut self.aborted);
        let frame = header.write(self.header_bytes);
        self.file
            .write_at(0, &mut [IoSlice::new(&frame)])
            .map_err(CleaningError::io("write", &self.path))?;
        Ok(Written {
            path: self.path,
            file: self.file,
            header,
            header_crc: crc_field(&frame),
            size_bytes: self.position,
            index: self.index,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fs::MemoryDisk;

    fn create(disk: &MemoryDisk, runs: usize) -> Result<Output, CleaningError> {
        let counts = Counts {
            runs,
            ..Counts::default()
        };
        Output::create(
            disk,
            PathBuf::from("/log/1.cleaned"),
            EntryIndex(1),
            counts,
            0,
        )
    }

    #[test]
    fn a_header_that_no_reader_takes_is_not_begun() {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new("/log")).unwrap();
        let run_bytes =
            create(&disk, 1).unwrap().header_bytes - create(&disk, 0).unwrap().header_bytes;
        drop(disk.remove(Path::new("/log/1.cleaned")));
        let refused = create(&disk, HEADER_BYTES_MAX / run_bytes);
        assert!(matches!(refused, Err(CleaningError::HeaderTooLarge)));
        assert_eq!(disk.list(Path::new("/log")).unwrap(), Vec::<String>::new());
    }
}
