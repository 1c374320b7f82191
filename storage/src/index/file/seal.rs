//! The seal of an index file: what a start needs to know of a sealed segment, without its index.
//!
//! ```text
//! base offset i64 | base index u64 | header CRC u32
//! segment bytes u64 | ROLL position u64
//! end offset i64 | end index u64 | end epoch i32 | log start i64
//! greatest timestamp i64 | flags u8 (1: aborts a transaction, 2: has a voter set)
//! count u32 | { epoch i32 | start offset i64 | index u64 }            runs
//! count u32 | { producer id i64 | first offset i64 }                  transactions open at the end
//! total u32                                                           the whole record's bytes
//! ```
//!
//! The total stands last, before the CRC, so that the record is found from the end of the file.

use std::io;

use bytes::{Buf, BufMut};

use super::super::{OpenTransactions, TransactionSummary};
use super::{
    CRC_BYTES, LEAD_BYTES, SEAL, SegmentName, put_open, put_record, put_runs, put_tail,
    read_checked, take_open, take_runs, take_tail,
};
use crate::fs::DiskFile;
use crate::log::epochs::EpochRun;
use crate::position::{EntryIndex, Offset};
use crate::segment::Tail;
use crate::segment::format::as_u64;

const ABORTS: u8 = 1;
const HAS_MEMBERSHIPS: u8 = 2;
const TOTAL_BYTES: usize = 4;

/// What a start needs to know about a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) name: SegmentName,
    pub(crate) segment_bytes: u64,
    pub(crate) roll_position: u64,
    pub(crate) tail: Tail,
    pub(crate) max_timestamp: i64,
    pub(crate) transactions: TransactionSummary,
    /// Whether a membership entry lies in it.
    pub(crate) has_memberships: bool,
    pub(crate) runs: Vec<EpochRun>,
    /// The transactions open at its end.
    pub(crate) open: OpenTransactions,
}

impl Summary {
    /// Appends the record.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut body = Vec::new();
        body.put_i64(self.name.base_offset.0);
        body.put_u64(self.name.base_index.0);
        body.put_u32(self.name.header_crc);
        body.put_u64(self.segment_bytes);
        body.put_u64(self.roll_position);
        put_tail(&mut body, &self.tail);
        body.put_i64(self.max_timestamp);
        let aborts = if self.transactions.any_aborted {
            ABORTS
        } else {
            0
        };
        let memberships = if self.has_memberships {
            HAS_MEMBERSHIPS
        } else {
            0
        };
        body.put_u8(aborts | memberships);
        put_runs(&mut body, &self.runs)?;
        put_open(&mut body, &self.open)?;
        let total = LEAD_BYTES + body.len() + TOTAL_BYTES + CRC_BYTES;
        body.put_u32(u32::try_from(total).map_err(io::Error::other)?);
        put_record(out, SEAL, 0, &body)
    }
}

/// Reads the seal from the end of an index file; `None` if there is no sound one.
pub(super) fn read(file: &dyn DiskFile) -> Option<Summary> {
    let end_bytes = as_u64(TOTAL_BYTES + CRC_BYTES);
    let size = file.size().ok()?;
    let mut total = Vec::new();
    file.read_at(size.checked_sub(end_bytes)?, TOTAL_BYTES, &mut total)
        .ok()?;
    let total = total.as_slice().try_get_u32().ok()?;
    let at = size.checked_sub(u64::from(total))?;
    let len = usize::try_from(total).ok()?.checked_sub(CRC_BYTES)?;
    let record = read_checked(file, at, len, 0)?;
    let mut from = record.as_slice();
    let (kind, bytes) = (from.try_get_u8().ok()?, from.try_get_u32().ok()?);
    if kind != SEAL || usize::try_from(bytes).ok()? != from.len() {
        return None;
    }
    let summary = parse(&mut from)?;
    (from.len() == TOTAL_BYTES).then_some(summary)
}

fn parse(from: &mut &[u8]) -> Option<Summary> {
    let name = SegmentName {
        base_offset: Offset(from.try_get_i64().ok()?),
        base_index: EntryIndex(from.try_get_u64().ok()?),
        header_crc: from.try_get_u32().ok()?,
    };
    let segment_bytes = from.try_get_u64().ok()?;
    let roll_position = from.try_get_u64().ok()?;
    let tail = take_tail(from)?;
    let max_timestamp = from.try_get_i64().ok()?;
    let flags = from.try_get_u8().ok()?;
    let mut runs = Vec::new();
    take_runs(from, &mut runs)?;
    let open = take_open(from)?;
    let transactions = TransactionSummary {
        any_aborted: flags & ABORTS != 0,
        earliest_open: open.earliest(),
    };
    Some(Summary {
        name,
        segment_bytes,
        roll_position,
        tail,
        max_timestamp,
        transactions,
        has_memberships: flags & HAS_MEMBERSHIPS != 0,
        runs,
        open,
    })
}
