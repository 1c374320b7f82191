//! Writing the index of a sealed segment anew, once the scrub found the segment sound.
//!
//! Derived data: not synced, and who finds none builds it for itself. The scrub does so for the sake of those
//! who would read the segment each time they need it, a start above all.
//!
//! Compaction and retention may remove the segment meanwhile, its index first: what is left then is removed
//! here or by the next start. Only committed segments come here, so none is cut and goes on under its name.

use std::io;

use crate::compaction::swap;
use crate::fs::{DiskFile, OpenMode};
use crate::index::file::{self as index_file, Kept, Pending, SegmentName};
use crate::segment::format::{Control, SEGMENT_HEADER_BYTES, Seed, read_control};
use crate::segment::reader::{SealedFile, Segment};
use crate::segment::scan::{Expected, scan};

use super::check::NOBODY;

/// Writes the index file; `false` if the segment is not what it was, or is gone.
pub(super) fn reindex(
    segment: &Segment,
    sealed: &SealedFile,
    file: &dyn DiskFile,
) -> io::Result<bool> {
    if sealed.compacted.is_some() {
        index_file::remove(&*sealed.disk, &sealed.index_path)?;
        swap::keep_index(segment, sealed.index_interval_bytes).map_err(io::Error::other)?;
    } else if let Some(index) = of_written(segment, sealed, file)? {
        index.write(&*sealed.disk)?;
    } else {
        return Ok(false);
    }
    match sealed.disk.open(&sealed.path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            index_file::remove(&*sealed.disk, &sealed.index_path)?;
            Ok(false)
        }
        found => found.map(|_| true),
    }
}

/// Of a segment as it was written: all that recovery would find.
fn of_written(
    segment: &Segment,
    sealed: &SealedFile,
    file: &dyn DiskFile,
) -> io::Result<Option<Pending>> {
    let mut bytes = Vec::new();
    file.read_at(0, SEGMENT_HEADER_BYTES, &mut bytes)?;
    // the CRC of a segment header does not depend on whose it is
    let header = read_control(&bytes, Seed::new(&NOBODY, segment.base_index));
    let Ok(Control::SegmentHeader(header)) = header.map(|frame| frame.control) else {
        return Ok(None);
    };
    let expected = Expected {
        identity: &header.identity,
        base_offset: segment.base_offset,
        base_index: segment.base_index,
        before: None,
        open: &sealed.open_before,
        hint: None,
        index_interval_bytes: sealed.index_interval_bytes,
    };
    let scan = scan(file, segment.size_bytes, &expected)?;
    let (None, Some(roll)) = (&scan.stop, scan.roll) else {
        return Ok(None);
    };
    Ok(Some(Pending {
        path: sealed.index_path.clone(),
        name: SegmentName {
            base_offset: segment.base_offset,
            base_index: segment.base_index,
            header_crc: scan.header_crc,
        },
        kept: Kept::default(),
        builder: scan.index,
        runs: scan.runs,
        end: scan.end,
        tail: scan.tail,
        roll_position: Some(roll.position),
    }))
}
