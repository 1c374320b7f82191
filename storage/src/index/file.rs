//! The file beside a segment: its index in parts, and once it is sealed what a start needs to know of it.
//!
//! ```text
//! head   'HRINDEX' 03 | base offset i64 | base index u64 | header CRC u32 | CRC-32C u32
//! part   1 u8 | bytes u32 | body | CRC-32C u32        one each time the segment has grown for a while
//! part   ...                                          each begins where the one before ends
//! seal   2 u8 | bytes u32 | body | total u32 | CRC-32C u32      at the end of a sealed segment's file
//! ```
//!
//! Derived data: written without a sync, and never trusted. Parts are only appended, so a crash leaves
//! some of them; each names the state of the segment at its end (`part`), which is compared with the log
//! before anything goes on from there. The CRC of a part is seeded with that of the head, which names the
//! segment down to its header's CRC. The seal alone is read at a start, from the end of the file; it counts
//! only if it names the segment's size and header as they are and the ROLL is where it says. Whatever does
//! not fit makes the reader build the index anew from the segment.

mod part;
mod seal;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};

pub(crate) use part::{PartEnd, content_bytes};
pub(crate) use seal::Summary;

use super::{IndexBuilder, OpenTransactions, SparseIndex};
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::log::epochs::EpochRun;
use crate::planted::{Mistake, planted};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::Tail;
use crate::segment::format::as_u64;

const MAGIC: [u8; 8] = *b"HRINDEX\x03";
const HEAD_BYTES: usize = 32;
const PART: u8 = 1;
const SEAL: u8 = 2;
/// What stands before a record's body.
const LEAD_BYTES: usize = 5;
const CRC_BYTES: usize = 4;

/// Which segment an index file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentName {
    pub(crate) base_offset: Offset,
    pub(crate) base_index: EntryIndex,
    /// The CRC field of its header frame.
    pub(crate) header_crc: u32,
}

/// How much of a segment's index lies in its file; the parts before end there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The bytes of the index file; 0 if there is none.
    file_bytes: u64,
    /// The bytes of the segment that it covers.
    pub(crate) segment_bytes: u64,
    entries: usize,
    controls: usize,
    aborted: usize,
    runs: usize,
}

/// A part that is to be written, and the seal if it is the last.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) path: PathBuf,
    pub(crate) name: SegmentName,
    /// What lies in the file already.
    pub(crate) kept: Kept,
    /// The index and the runs of the segment from its beginning up to here.
    pub(crate) builder: IndexBuilder,
    pub(crate) runs: Vec<EpochRun>,
    pub(crate) end: u64,
    pub(crate) tail: Tail,
    /// Where the ROLL lies that ends the segment.
    pub(crate) roll_position: Option<u64>,
}

impl Pending {
    /// What the seal will say, if the segment ends here.
    pub(crate) fn summary(&self) -> Option<Summary> {
        Some(Summary {
            name: self.name,
            segment_bytes: self.end,
            roll_position: self.roll_position?,
            tail: self.tail,
            max_timestamp: self.builder.max_timestamp(),
            transactions: self.builder.transactions(),
            has_memberships: self.builder.index().has_memberships(),
            runs: self.runs.clone(),
            open: self.builder.state().open.clone(),
        })
    }

    /// Appends to the file, or makes it. Not synced.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<Kept> {
        let index = self.builder.index();
        let mut out = Vec::new();
        if self.kept.file_bytes == 0 {
            put_head(&mut out, &self.name);
        }
        let after = Kept {
            file_bytes: 0,
            segment_bytes: self.end,
            entries: index.entries().len(),
            controls: index.controls().len(),
            aborted: index.aborted().len(),
            runs: self.runs.len(),
        };
        let part = part::Part {
            from: self.kept,
            index,
            runs: &self.runs,
            end: PartEnd {
                end: self.end,
                tail: self.tail,
                builder: self.builder.state().clone(),
            },
        };
        part.write(&mut out, &self.name)?;
        let file_bytes = self.kept.file_bytes + as_u64(out.len());
        if let Some(summary) = self.summary() {
            summary.write(&mut out)?;
        }
        if self.kept.file_bytes == 0 {
            remove(disk, &self.path)?;
            let file = disk.open(&self.path, OpenMode::Create)?;
            file.write_at(0, &mut [IoSlice::new(&out)])?;
        } else {
            let file = disk.open(&self.path, OpenMode::Write)?;
            file.write_at(self.kept.file_bytes, &mut [IoSlice::new(&out)])?;
            // behind the parts that count may lie others, of a write that failed or before a crash
            file.set_size(self.kept.file_bytes + as_u64(out.len()))?;
        }
        Ok(Kept {
            file_bytes,
            ..after
        })
    }
}

/// Removes the file if it is there.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads the seal; `None` if it is missing or damaged.
pub(crate) fn read_summary(disk: &dyn Disk, path: &Path) -> Option<Summary> {
    seal::read(&*disk.open(path, OpenMode::Read).ok()?)
}

/// Reads the whole index of a sealed segment; `None` if anything is missing or damaged.
pub(crate) fn read_index(disk: &dyn Disk, path: &Path) -> Option<SparseIndex> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    let summary = seal::read(&*file)?;
    let parts = part::read(&*file, &summary.name, |_| true)?;
    (parts.end.end == summary.segment_bytes).then_some(parts.index)
}

/// The same, if it is that of the segment `name`, whole, with `segment_bytes`: a file may have been put under
/// another's name.
pub(crate) fn read_index_of(
    disk: &dyn Disk,
    path: &Path,
    name: &SegmentName,
    segment_bytes: u64,
) -> Option<SparseIndex> {
    let summary = read_summary(disk, path)?;
    let is_its = summary.name == *name && summary.segment_bytes == segment_bytes;
    is_its.then(|| read_index(disk, path)).flatten()
}

/// The index of a file that has no seal, since its segment is still written to: all parts, which must fill
/// the file. It ends where the last part does; only looking at files asks for it.
pub(crate) fn read_unsealed(disk: &dyn Disk, path: &Path) -> Option<SparseIndex> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    let name = read_head(&*file)?;
    let parts = part::read(&*file, &name, |_| true)?;
    (parts.kept.file_bytes == file.size().ok()?).then_some(parts.index)
}

/// An index that was kept, up to where building it can go on.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) builder: IndexBuilder,
    pub(crate) runs: Vec<EpochRun>,
    pub(crate) end: u64,
    pub(crate) tail: Tail,
    pub(crate) kept: Kept,
}

/// Reads the parts of the index of the segment `name` up to the last whose end `wanted` takes; `None` if
/// there is none. The caller compares the end with the segment before it believes any of it.
pub(crate) fn resume(
    disk: &dyn Disk,
    path: &Path,
    name: &SegmentName,
    interval_bytes: u64,
    wanted: impl Fn(&PartEnd) -> bool,
) -> Option<Resumed> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    let parts = part::read(&*file, name, wanted)?;
    Some(Resumed {
        builder: IndexBuilder::resume(interval_bytes, parts.index, parts.end.builder),
        runs: parts.runs,
        end: parts.end.end,
        tail: parts.end.tail,
        kept: parts.kept,
    })
}

fn put_head(out: &mut Vec<u8>, name: &SegmentName) {
    out.put_slice(&MAGIC);
    out.put_i64(name.base_offset.0);
    out.put_u64(name.base_index.0);
    out.put_u32(name.header_crc);
    out.put_u32(crc32c::crc32c(out));
}

fn read_head(file: &dyn DiskFile) -> Option<SegmentName> {
    let mut found = Vec::new();
    file.read_at(0, HEAD_BYTES, &mut found).ok()?;
    let mut fields = found.get(MAGIC.len()..)?;
    let name = SegmentName {
        base_offset: Offset(fields.try_get_i64().ok()?),
        base_index: EntryIndex(fields.try_get_u64().ok()?),
        header_crc: fields.try_get_u32().ok()?,
    };
    let mut head = Vec::new();
    put_head(&mut head, &name);
    (found == head).then_some(name)
}

/// The CRC of the head: what the CRCs of the parts are seeded with.
fn head_crc(name: &SegmentName) -> u32 {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    put_head(&mut head, name);
    crc32c::crc32c(&head)
}

/// Puts a record around a body.
fn put_record(out: &mut Vec<u8>, kind: u8, seed: u32, body: &[u8]) -> io::Result<()> {
    let from = out.len();
    out.put_u8(kind);
    out.put_u32(u32::try_from(body.len()).map_err(io::Error::other)?);
    out.put_slice(body);
    out.put_u32(crc32c::crc32c_append(seed, &out[from..]));
    Ok(())
}

/// Reads `len` bytes that are followed by their CRC; a length beyond the file is refused first.
fn read_checked(file: &dyn DiskFile, position: u64, len: usize, seed: u32) -> Option<Vec<u8>> {
    let with_crc = len.checked_add(CRC_BYTES)?;
    if position.checked_add(as_u64(with_crc))? > file.size().ok()? {
        return None;
    }
    let mut bytes = Vec::new();
    file.read_at(position, with_crc, &mut bytes).ok()?;
    let stated = u32::from_be_bytes(*bytes.last_chunk()?);
    bytes.truncate(len);
    let sound = crc32c::crc32c_append(seed, &bytes) == stated || planted(Mistake::IndexTrusted);
    (bytes.len() == len && sound).then_some(bytes)
}

pub(crate) fn put_tail(out: &mut Vec<u8>, tail: &Tail) {
    out.put_i64(tail.offset.0);
    out.put_u64(tail.index.0);
    out.put_i32(tail.epoch.0);
    out.put_i64(tail.log_start.0);
}

pub(crate) fn take_tail(from: &mut &[u8]) -> Option<Tail> {
    Some(Tail {
        offset: Offset(from.try_get_i64().ok()?),
        index: EntryIndex(from.try_get_u64().ok()?),
        epoch: LeaderEpoch(from.try_get_i32().ok()?),
        log_start: Offset(from.try_get_i64().ok()?),
    })
}

pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) -> io::Result<()> {
    out.put_u32(u32::try_from(count).map_err(io::Error::other)?);
    Ok(())
}

pub(crate) fn take_count(from: &mut &[u8]) -> Option<u32> {
    from.try_get_u32().ok()
}

pub(crate) fn put_runs(out: &mut Vec<u8>, runs: &[EpochRun]) -> io::Result<()> {
    put_count(out, runs.len())?;
    for run in runs {
        out.put_i32(run.epoch.0);
        out.put_i64(run.start.0);
        out.put_u64(run.index.0);
    }
    Ok(())
}

pub(crate) fn take_runs(from: &mut &[u8], runs: &mut Vec<EpochRun>) -> Option<()> {
    for _ in 0..take_count(from)? {
        runs.push(EpochRun {
            epoch: LeaderEpoch(from.try_get_i32().ok()?),
            start: Offset(from.try_get_i64().ok()?),
            index: EntryIndex(from.try_get_u64().ok()?),
        });
    }
    Some(())
}

pub(crate) fn put_open(out: &mut Vec<u8>, open: &OpenTransactions) -> io::Result<()> {
    put_count(out, open.iter().len())?;
    for (producer_id, first_offset) in open.iter() {
        out.put_i64(producer_id);
        out.put_i64(first_offset.0);
    }
    Ok(())
}

pub(crate) fn take_open(from: &mut &[u8]) -> Option<OpenTransactions> {
    let mut open = OpenTransactions::default();
    for _ in 0..take_count(from)? {
        let producer_id = from.try_get_i64().ok()?;
        open.begin(producer_id, Offset(from.try_get_i64().ok()?));
    }
    Some(open)
}
