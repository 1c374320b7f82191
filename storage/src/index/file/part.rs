//! A part of an index file: what came since the part before, and the state at its end.
//!
//! ```text
//! from u64 | end u64                                                  bytes of the segment it covers
//! end offset i64 | end index u64 | end epoch i32 | log start i64      the log's tail there
//! last frame u64 | indexed to u64 (greatest: none) | greatest timestamp i64 | first timestamp i64
//! count u32 | { producer id i64 | first offset i64 }                  transactions open there
//! count u32 | { epoch i32 | start offset i64 | index u64 }            runs
//! count u32 | { offset i64 | index u64 | position u64 | greatest timestamp before i64 }   entries
//! count u32 | { position u64 | bytes u32 | index u64 | kind u8 }      control frames
//! count u32 | { producer id i64 | first offset i64 | last offset i64 }   aborted transactions
//! ```

use std::io;

use bytes::{Buf, BufMut};

use super::super::builder::BuilderState;
use super::super::{AbortedTransaction, ControlPlace, IndexEntry, SparseIndex};
use super::{
    CRC_BYTES, HEAD_BYTES, Kept, LEAD_BYTES, PART, SegmentName, head_crc, put_count, put_open,
    put_record, put_runs, put_tail, read_checked, take_count, take_open, take_runs, take_tail,
};
use crate::fs::DiskFile;
use crate::log::epochs::EpochRun;
use crate::position::{EntryIndex, Offset};
use crate::segment::Tail;
use crate::segment::format::{ControlKind, as_u64};

/// No batch has an entry yet.
const NOTHING_INDEXED: u64 = u64::MAX;
const ENTRY_BYTES: usize = 32;
const CONTROL_BYTES: usize = 21;
const ABORTED_BYTES: usize = 24;

/// The bytes that an index takes in its file, what parts cost aside.
pub(crate) fn content_bytes(index: &SparseIndex) -> u64 {
    let entries = index.entries().len() * ENTRY_BYTES;
    let controls = index.controls().len() * CONTROL_BYTES;
    as_u64(entries + controls + index.aborted().len() * ABORTED_BYTES)
}

/// The state at the end of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartEnd {
    /// The bytes of the segment up to there.
    pub(crate) end: u64,
    /// Where the log stood.
    pub(crate) tail: Tail,
    /// What the builder knew.
    pub(crate) builder: BuilderState,
}

/// What a part is written from: the whole index, of which the first `from` lies in the file.
pub(super) struct Part<'a> {
    pub(super) from: Kept,
    pub(super) index: &'a SparseIndex,
    pub(super) runs: &'a [EpochRun],
    pub(super) end: PartEnd,
}

impl Part<'_> {
    /// Appends the record.
    pub(super) fn write(&self, out: &mut Vec<u8>, name: &SegmentName) -> io::Result<()> {
        let mut body = Vec::new();
        let state = &self.end.builder;
        body.put_u64(self.from.segment_bytes);
        body.put_u64(self.end.end);
        put_tail(&mut body, &self.end.tail);
        body.put_u64(state.last_frame);
        body.put_u64(state.indexed_to.unwrap_or(NOTHING_INDEXED));
        body.put_i64(state.max_timestamp);
        body.put_i64(state.first_timestamp);
        put_open(&mut body, &state.open)?;
        put_runs(&mut body, self.runs.get(self.from.runs..).unwrap_or(&[]))?;
        let entries = self.index.entries();
        put_count(&mut body, entries.len() - self.from.entries)?;
        for entry in entries.iter_from(self.from.entries) {
            body.put_i64(entry.offset.0);
            body.put_u64(entry.index.0);
            body.put_u64(entry.position);
            body.put_i64(entry.max_timestamp_before);
        }
        let controls = self.index.controls();
        put_count(&mut body, controls.len() - self.from.controls)?;
        for place in controls.iter_from(self.from.controls) {
            body.put_u64(place.position);
            body.put_u32(place.size_bytes);
            body.put_u64(place.index.0);
            body.put_u8(place.kind.byte());
        }
        let aborted = self.index.aborted();
        put_count(&mut body, aborted.len() - self.from.aborted)?;
        for transaction in aborted.iter_from(self.from.aborted) {
            body.put_i64(transaction.producer_id);
            body.put_i64(transaction.first_offset.0);
            body.put_i64(transaction.last_offset.0);
        }
        put_record(out, PART, head_crc(name), &body)
    }
}

/// Parts that were read, put together.
pub(super) struct Parts {
    pub(super) index: SparseIndex,
    pub(super) runs: Vec<EpochRun>,
    pub(super) end: PartEnd,
    pub(super) kept: Kept,
}

/// Reads the parts up to the last whose end is `wanted`; `None` without any, or if the file belongs to
/// another segment.
pub(super) fn read(
    file: &dyn DiskFile,
    name: &SegmentName,
    wanted: impl Fn(&PartEnd) -> bool,
) -> Option<Parts> {
    let mut head = Vec::new();
    super::put_head(&mut head, name);
    let mut found = Vec::new();
    file.read_at(0, HEAD_BYTES, &mut found).ok()?;
    if found != head {
        return None;
    }
    let seed = head_crc(name);
    let mut at = as_u64(HEAD_BYTES);
    let mut read: Option<Parts> = None;
    while let Some((body, record_bytes)) = read_part(file, at, seed) {
        let before = read.as_ref().map_or(0, |parts| parts.end.end);
        let Some(end) = part_end(&mut body.as_slice(), before) else {
            break;
        };
        if !wanted(&end) {
            break;
        }
        let mut parts = read.take().unwrap_or_else(|| Parts {
            index: SparseIndex::default(),
            runs: Vec::new(),
            end: end.clone(),
            kept: Kept::default(),
        });
        at += record_bytes;
        parts.take(&body, end, at)?;
        read = Some(parts);
    }
    read
}

fn read_part(file: &dyn DiskFile, at: u64, seed: u32) -> Option<(Vec<u8>, u64)> {
    let mut lead = Vec::new();
    file.read_at(at, LEAD_BYTES, &mut lead).ok()?;
    let mut fields = lead.as_slice();
    if fields.try_get_u8().ok()? != PART {
        return None;
    }
    let body_bytes = usize::try_from(fields.try_get_u32().ok()?).ok()?;
    let len = body_bytes.checked_add(LEAD_BYTES)?;
    let mut record = read_checked(file, at, len, seed)?;
    record.drain(..LEAD_BYTES);
    Some((record, as_u64(len + CRC_BYTES)))
}

/// Reads the fixed beginning of a body; `None` if the part does not begin where the one before ends.
fn part_end(from: &mut &[u8], before: u64) -> Option<PartEnd> {
    let begins = from.try_get_u64().ok()?;
    let end = from.try_get_u64().ok()?;
    if begins != before || end <= begins {
        return None;
    }
    let tail = take_tail(from)?;
    let last_frame = from.try_get_u64().ok()?;
    let indexed_to = Some(from.try_get_u64().ok()?).filter(|at| *at != NOTHING_INDEXED);
    let max_timestamp = from.try_get_i64().ok()?;
    let first_timestamp = from.try_get_i64().ok()?;
    let open = take_open(from)?;
    let builder = BuilderState {
        indexed_to,
        last_frame,
        max_timestamp,
        first_timestamp,
        open,
    };
    Some(PartEnd { end, tail, builder })
}

impl Parts {
    /// Adds a part; its CRC was right, so what does not parse was written by another program.
    fn take(&mut self, body: &[u8], end: PartEnd, file_bytes: u64) -> Option<()> {
        let mut from = body;
        part_end(&mut from, self.kept.segment_bytes)?;
        take_runs(&mut from, &mut self.runs)?;
        for _ in 0..take_count(&mut from)? {
            self.index.push(IndexEntry {
                offset: Offset(from.try_get_i64().ok()?),
                index: EntryIndex(from.try_get_u64().ok()?),
                position: from.try_get_u64().ok()?,
                max_timestamp_before: from.try_get_i64().ok()?,
            });
        }
        for _ in 0..take_count(&mut from)? {
            self.index.push_control(ControlPlace {
                position: from.try_get_u64().ok()?,
                size_bytes: from.try_get_u32().ok()?,
                index: EntryIndex(from.try_get_u64().ok()?),
                kind: ControlKind::of_byte(from.try_get_u8().ok()?)?,
            });
        }
        for _ in 0..take_count(&mut from)? {
            self.index.push_aborted(AbortedTransaction {
                producer_id: from.try_get_i64().ok()?,
                first_offset: Offset(from.try_get_i64().ok()?),
                last_offset: Offset(from.try_get_i64().ok()?),
            });
        }
        self.kept = Kept {
            file_bytes,
            segment_bytes: end.end,
            entries: self.index.entries().len(),
            controls: self.index.controls().len(),
            aborted: self.index.aborted().len(),
            runs: self.runs.len(),
        };
        self.end = end;
        from.is_empty().then_some(())
    }
}
