//! The file beside a sealed segment: what a start needs to know about it, and its sparse index.
//!
//! ```text
//! 'HRINDEX' 02 | segment bytes u64 | header CRC u32 | ROLL position u64 | end offset i64 | end index u64
//!   | end epoch i32 | log start i64 | greatest timestamp i64 | runs u32 | entries u32 | controls u32
//!   | { epoch i32 | start offset i64 | index u64 }*runs | CRC-32C u32              read at open
//!   | { offset i64 | index u64 | position u64 | greatest timestamp before i64 }*entries
//!   | { position u64 | bytes u32 | index u64 | kind u8 }*controls | CRC-32C u32     read on use
//! ```
//!
//! Derived data: written without a sync, and never trusted. The first part counts only if it names the
//! size and the header of the segment as they are (recovery also reads the ROLL); anything that does not
//! fit makes the reader build it anew from the segment. The second part is checked when it is read.

use std::io::{self, IoSlice};
use std::path::Path;

use bytes::{Buf, BufMut};

use super::{ControlPlace, IndexEntry, SparseIndex};
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::log::epochs::EpochRun;
use crate::planted::{Mistake, planted};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::Tail;
use crate::segment::format::{ControlKind, as_u64};

const MAGIC: [u8; 8] = *b"HRINDEX\x02";
const FIXED_BYTES: usize = 76;
/// The three counts at the end of the fixed fields.
const COUNTS_BYTES: usize = 12;
const RUN_BYTES: usize = 20;
const ENTRY_BYTES: usize = 32;
const CONTROL_BYTES: usize = 21;
const CRC_BYTES: usize = 4;

/// What a start needs to know about a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) segment_bytes: u64,
    pub(crate) header_crc: u32,
    pub(crate) roll_position: u64,
    pub(crate) tail: Tail,
    pub(crate) max_timestamp: i64,
    pub(crate) runs: Vec<EpochRun>,
}

/// The bytes that entries and control frames take in the file.
pub(crate) fn part_bytes(index: &SparseIndex) -> u64 {
    as_u64(index.len() * ENTRY_BYTES + index.controls().len() * CONTROL_BYTES)
}

/// Writes the file, replacing an older one. Not synced.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    summary: &Summary,
    index: &SparseIndex,
) -> io::Result<()> {
    let count = |len: usize| u32::try_from(len).map_err(io::Error::other);
    let mut out = Vec::with_capacity(
        FIXED_BYTES
            + summary.runs.len() * RUN_BYTES
            + index.len() * ENTRY_BYTES
            + index.controls().len() * CONTROL_BYTES
            + 2 * CRC_BYTES,
    );
    out.put_slice(&MAGIC);
    out.put_u64(summary.segment_bytes);
    out.put_u32(summary.header_crc);
    out.put_u64(summary.roll_position);
    out.put_i64(summary.tail.offset.0);
    out.put_u64(summary.tail.index.0);
    out.put_i32(summary.tail.epoch.0);
    out.put_i64(summary.tail.log_start.0);
    out.put_i64(summary.max_timestamp);
    out.put_u32(count(summary.runs.len())?);
    out.put_u32(count(index.len())?);
    out.put_u32(count(index.controls().len())?);
    for run in &summary.runs {
        out.put_i32(run.epoch.0);
        out.put_i64(run.start.0);
        out.put_u64(run.index.0);
    }
    out.put_u32(crc32c::crc32c(&out));
    let entries_from = out.len();
    for entry in index.iter() {
        out.put_i64(entry.offset.0);
        out.put_u64(entry.index.0);
        out.put_u64(entry.position);
        out.put_i64(entry.max_timestamp_before);
    }
    for place in index.controls().iter() {
        out.put_u64(place.position);
        out.put_u32(place.size_bytes);
        out.put_u64(place.index.0);
        out.put_u8(place.kind.byte());
    }
    out.put_u32(crc32c::crc32c(&out[entries_from..]));
    remove(disk, path)?;
    disk.open(path, OpenMode::Create)?
        .write_at(0, &mut [IoSlice::new(&out)])
}

/// Removes the file if it is there.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads the first part; `None` if it is missing or damaged.
pub(crate) fn read_summary(disk: &dyn Disk, path: &Path) -> Option<Summary> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    Some(first_part(&*file)?.0)
}

/// Reads the second part; `None` if anything is missing or damaged.
pub(crate) fn read_index(disk: &dyn Disk, path: &Path) -> Option<SparseIndex> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    let (_, second) = first_part(&*file)?;
    let entries_bytes = second.entries.checked_mul(ENTRY_BYTES)?;
    let controls_bytes = second.controls.checked_mul(CONTROL_BYTES)?;
    let bytes = entries_bytes.checked_add(controls_bytes)?;
    let bytes = read_checked(&*file, second.from, bytes)?;
    let mut fields = bytes.as_slice();
    let mut index = SparseIndex::default();
    for _ in 0..second.entries {
        index.push(IndexEntry {
            offset: Offset(fields.get_i64()),
            index: EntryIndex(fields.get_u64()),
            position: fields.get_u64(),
            max_timestamp_before: fields.get_i64(),
        });
    }
    for _ in 0..second.controls {
        index.push_control(ControlPlace {
            position: fields.get_u64(),
            size_bytes: fields.get_u32(),
            index: EntryIndex(fields.get_u64()),
            kind: ControlKind::of_byte(fields.get_u8())?,
        });
    }
    Some(index)
}

/// Where the second part begins, and what is in it.
struct SecondPart {
    from: u64,
    entries: usize,
    controls: usize,
}

fn first_part(file: &dyn DiskFile) -> Option<(Summary, SecondPart)> {
    let mut fixed = Vec::new();
    file.read_at(0, FIXED_BYTES, &mut fixed).ok()?;
    let mut counts = fixed.get(FIXED_BYTES - COUNTS_BYTES..FIXED_BYTES)?;
    let runs = usize::try_from(counts.get_u32()).ok()?;
    let entries = usize::try_from(counts.get_u32()).ok()?;
    let controls = usize::try_from(counts.get_u32()).ok()?;
    let first_bytes = runs.checked_mul(RUN_BYTES)?.checked_add(FIXED_BYTES)?;
    let bytes = read_checked(file, 0, first_bytes)?;
    let mut fields = bytes.strip_prefix(&MAGIC)?;
    let segment_bytes = fields.get_u64();
    let header_crc = fields.get_u32();
    let roll_position = fields.get_u64();
    let tail = Tail {
        offset: Offset(fields.get_i64()),
        index: EntryIndex(fields.get_u64()),
        epoch: LeaderEpoch(fields.get_i32()),
        log_start: Offset(fields.get_i64()),
    };
    let max_timestamp = fields.get_i64();
    fields.advance(COUNTS_BYTES);
    let mut found = Vec::with_capacity(runs);
    for _ in 0..runs {
        let epoch = LeaderEpoch(fields.get_i32());
        let start = Offset(fields.get_i64());
        found.push(EpochRun {
            epoch,
            start,
            index: EntryIndex(fields.get_u64()),
        });
    }
    let summary = Summary {
        segment_bytes,
        header_crc,
        roll_position,
        tail,
        max_timestamp,
        runs: found,
    };
    let second = SecondPart {
        from: as_u64(first_bytes + CRC_BYTES),
        entries,
        controls,
    };
    Some((summary, second))
}

/// Reads `len` bytes that are followed by their CRC; a length beyond the file is refused first.
fn read_checked(file: &dyn DiskFile, position: u64, len: usize) -> Option<Vec<u8>> {
    let with_crc = len.checked_add(CRC_BYTES)?;
    if position.checked_add(as_u64(with_crc))? > file.size().ok()? {
        return None;
    }
    let mut bytes = Vec::new();
    file.read_at(position, with_crc, &mut bytes).ok()?;
    let stated = u32::from_be_bytes(*bytes.last_chunk()?);
    bytes.truncate(len);
    let sound = crc32c::crc32c(&bytes) == stated || planted(Mistake::IndexTrusted);
    (bytes.len() == len && sound).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::MemoryDisk;

    #[test]
    fn every_damaged_byte_is_noticed() {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new("/log")).unwrap();
        let path = Path::new("/log/x.index");
        let run = EpochRun {
            epoch: LeaderEpoch(2),
            start: Offset(5),
            index: EntryIndex(3),
        };
        let summary = Summary {
            segment_bytes: 1000,
            header_crc: 7,
            roll_position: 960,
            tail: Tail {
                offset: Offset(10),
                index: EntryIndex(9),
                epoch: LeaderEpoch(2),
                log_start: Offset(1),
            },
            max_timestamp: 55,
            runs: vec![run, run],
        };
        let mut index = SparseIndex::default();
        for at in 0..70_i64 {
            index.push(IndexEntry {
                offset: Offset(at),
                index: EntryIndex(at.unsigned_abs() + 1),
                position: at.unsigned_abs(),
                max_timestamp_before: at,
            });
            index.push_control(ControlPlace {
                position: at.unsigned_abs(),
                size_bytes: 31,
                index: EntryIndex(at.unsigned_abs()),
                kind: ControlKind::Membership,
            });
        }
        write(&disk, path, &summary, &index).unwrap();
        assert_eq!(read_summary(&disk, path), Some(summary.clone()));
        assert_eq!(read_index(&disk, path), Some(index));

        let whole = disk.bytes_of(path).unwrap();
        let first_bytes = FIXED_BYTES + 2 * RUN_BYTES + CRC_BYTES;
        for at in 0..whole.len() {
            disk.damage(path, |bytes| bytes[at] ^= 0x10);
            assert_eq!(
                read_summary(&disk, path).is_some(),
                at >= first_bytes,
                "byte {at}"
            );
            assert!(read_index(&disk, path).is_none(), "byte {at}");
            disk.damage(path, |bytes| bytes.clone_from(&whole));
        }
        for cut in 0..whole.len() {
            disk.damage(path, |bytes| bytes.truncate(cut));
            assert!(read_index(&disk, path).is_none(), "cut at {cut}");
            disk.damage(path, |bytes| bytes.clone_from(&whole));
        }
    }
}
