//! The first frame of a compacted segment: what its inputs said that their batches do not say.
//!
//! ```text
//!  0        8       12      16  17    21    22      23     31
//!  | base   | length| epoch |7F | crc | 8   |version| base | payload …                    (a control frame)
//!  | offset |       |       |   |     |     |  0    | index|
//!
//!  payload  format u16 | cluster id | topic id | partition i32
//!    | log start i64 | created ms i64 | CRC field of the ROLL before u32          of the first input's header
//!    | last index u64 | end offset i64 | epoch i32 | log start i64                where the last input ended
//!    | ROLL at ms i64 | CRC field of the ROLL u32                                 how it ended
//!    | generation u32 | cleaned to i64 | greatest timestamp i64 | content bytes u64 | content CRC-32C u32
//!    | runs u32 | aborted u32 | open u32 | membership bytes u32
//!    | { epoch i32 | start offset i64 | index u64 }*runs
//!    | { producer id i64 | first offset i64 | last offset i64 }*aborted
//!    | { producer id i64 | first offset i64 }*open        transactions without a marker at the end
//!    | membership index u64 | membership | zeros
//! ```
//!
//! Behind it lie batches only, up to the end of the file; their bytes have the content CRC. No-ops, voter
//! sets, moved log starts and the ROLL are gone from there: what they said is here. The CRC of the frame
//! itself is not seeded (the frame names log and place, as a segment header does). The zeros are room for
//! aborted transactions of which nothing was left when all was written.

use bytes::{Buf, BufMut, Bytes};
use uuid::Uuid;

use super::AbortedTransaction;
use crate::index::OpenTransactions;
use crate::log::LogIdentity;
use crate::log::epochs::EpochRun;
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::Tail;
use crate::segment::format::{COMPACTED_HEADER, CONTROL_BYTES_MIN, PREFIX_BYTES, SegmentHeader};

const MAGIC: u8 = 0x7F;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const CRC_COVERS_FROM: usize = 21;
const KIND: u8 = COMPACTED_HEADER;
const FORMAT_VERSION: u16 = 1;
const FIXED_BYTES: usize = 146;
const RUN_BYTES: usize = 20;
const ABORTED_BYTES: usize = 24;
const OPEN_BYTES: usize = 16;
const MEMBERSHIP_INDEX_BYTES: usize = 8;
/// Far above what runs, transactions and voters of one segment need; a length beyond it is damage.
pub(crate) const HEADER_BYTES_MAX: usize = 64 << 20;

/// What the header of a compacted segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompactedHeader {
    pub(crate) identity: LogIdentity,
    pub(crate) base_offset: Offset,
    pub(crate) base_index: EntryIndex,
    /// The epoch before the first entry.
    pub(crate) base_epoch: LeaderEpoch,
    /// The log start when the first input began.
    pub(crate) base_log_start: Offset,
    /// When the ROLL before the first input was proposed; -1 if there was none.
    pub(crate) created_ms: i64,
    /// The CRC field of that ROLL, or 0.
    pub(crate) previous_crc: u32,
    /// Where the log stood after the last input; its log start is the one known when it was cleaned.
    pub(crate) end: Tail,
    /// When the ROLL that ended the last input was proposed.
    pub(crate) roll_at_ms: i64,
    /// Its CRC field, which the next segment's header repeats.
    pub(crate) roll_crc: u32,
    /// How often these entries were compacted; a file replaces those of lower generation in its range.
    pub(crate) generation: u32,
    /// Every record here that another one below this offset supersedes is gone.
    pub(crate) cleaned_to: Offset,
    /// The greatest timestamp of a record, or [`crate::index::NO_TIMESTAMP`].
    pub(crate) max_timestamp: i64,
    pub(crate) content_bytes: u64,
    pub(crate) content_crc: u32,
    pub(crate) runs: Vec<EpochRun>,
    /// The aborted transactions whose markers are still here.
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// The transactions without a marker at the end: producer and first offset.
    pub(crate) open: Vec<(i64, Offset)>,
    /// The last voter set of the inputs.
    pub(crate) membership: Option<(EntryIndex, Bytes)>,
}

/// The number of elements in each of the header's lists.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) runs: usize,
    pub(super) aborted: usize,
    pub(super) open: usize,
    /// The bytes of the voter set; 0 for none.
    pub(super) membership_bytes: usize,
}

impl Counts {
    /// The size of the frame that has room for all.
    pub(super) fn size_bytes(self) -> usize {
        CONTROL_BYTES_MIN
            + FIXED_BYTES
            + self.runs * RUN_BYTES
            + self.aborted * ABORTED_BYTES
            + self.open * OPEN_BYTES
            + MEMBERSHIP_INDEX_BYTES
            + self.membership_bytes
    }
}

/// The size that the frame at the start of a file states, if it is a compacted segment's header.
pub(crate) fn stated_size(head: &[u8]) -> Option<usize> {
    let mut from = head.get(..CONTROL_BYTES_MIN)?;
    let (magic, kind) = (from[MAGIC_AT], from[CRC_COVERS_FROM]);
    from.advance(8);
    let size = usize::try_from(from.get_i32())
        .ok()?
        .checked_add(PREFIX_BYTES)?;
    let fits = (CONTROL_BYTES_MIN + FIXED_BYTES..=HEADER_BYTES_MAX).contains(&size);
    (magic == MAGIC && kind == KIND && fits).then_some(size)
}

impl CompactedHeader {
    /// What the header of the first input said, and where the log stood before it.
    pub(crate) fn as_written(&self) -> (SegmentHeader, Tail) {
        let header = SegmentHeader {
            identity: self.identity,
            log_start: self.base_log_start,
            created_ms: self.created_ms,
            previous_crc: self.previous_crc,
        };
        let tail = Tail {
            offset: self.base_offset,
            index: EntryIndex(self.base_index.0.saturating_sub(1)),
            epoch: self.base_epoch,
            log_start: self.base_log_start,
        };
        (header, tail)
    }

    /// The transactions without a marker at the end.
    pub(crate) fn open_transactions(&self) -> OpenTransactions {
        let mut open = OpenTransactions::default();
        for (producer_id, first_offset) in &self.open {
            open.begin(*producer_id, *first_offset);
        }
        open
    }

    /// The frame, filled up with zeros to `size_bytes`.
    pub(super) fn write(&self, size_bytes: usize) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).expect("a header is below 2 GiB");
        let mut out = Vec::with_capacity(size_bytes);
        out.put_i64(self.base_offset.0);
        let length = size_bytes - PREFIX_BYTES;
        out.put_i32(i32::try_from(length).expect("a header is below 2 GiB"));
        out.put_i32(self.base_epoch.0);
        out.put_u8(MAGIC);
        out.put_u32(0);
        out.put_u8(KIND);
        out.put_u8(0);
        out.put_u64(self.base_index.0);

        out.put_u16(FORMAT_VERSION);
        out.put_u128(self.identity.cluster_id.as_u128());
        out.put_u128(self.identity.topic_id.as_u128());
        out.put_i32(self.identity.partition);
        out.put_i64(self.base_log_start.0);
        out.put_i64(self.created_ms);
        out.put_u32(self.previous_crc);
        out.put_u64(self.end.index.0);
        out.put_i64(self.end.offset.0);
        out.put_i32(self.end.epoch.0);
        out.put_i64(self.end.log_start.0);
        out.put_i64(self.roll_at_ms);
        out.put_u32(self.roll_crc);
        out.put_u32(self.generation);
        out.put_i64(self.cleaned_to.0);
        out.put_i64(self.max_timestamp);
        out.put_u64(self.content_bytes);
        out.put_u32(self.content_crc);
        out.put_u32(count(self.runs.len()));
        out.put_u32(count(self.aborted.len()));
        out.put_u32(count(self.open.len()));
        let membership_bytes = self.membership.as_ref().map_or(0, |(_, bytes)| bytes.len());
        out.put_u32(count(membership_bytes));
        self.write_lists(&mut out);
        assert!(out.len() <= size_bytes, "room was kept for the lists");
        out.resize(size_bytes, 0);
        let crc = frame_crc(&out);
        out[CRC_AT..CRC_COVERS_FROM].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn write_lists(&self, out: &mut Vec<u8>) {
        for run in &self.runs {
            out.put_i32(run.epoch.0);
            out.put_i64(run.start.0);
            out.put_u64(run.index.0);
        }
        for transaction in &self.aborted {
            out.put_i64(transaction.producer_id);
            out.put_i64(transaction.first_offset.0);
            out.put_i64(transaction.last_offset.0);
        }
        for (producer_id, first_offset) in &self.open {
            out.put_i64(*producer_id);
            out.put_i64(first_offset.0);
        }
        if let Some((index, content)) = &self.membership {
            out.put_u64(index.0);
            out.put_slice(content);
        }
    }

    /// Reads a whole frame back; says what is wrong with it otherwise.
    pub(crate) fn read(frame: &[u8]) -> Result<CompactedHeader, &'static str> {
        if stated_size(frame) != Some(frame.len()) {
            return Err("not the header of a compacted segment");
        }
        let (head, mut from) = frame.split_at(CONTROL_BYTES_MIN);
        let mut head = head;
        let base_offset = Offset(head.get_i64());
        head.advance(4);
        let base_epoch = LeaderEpoch(head.get_i32());
        head.advance(1);
        if head.get_u32() != frame_crc(frame) {
            return Err("checksum of the compacted segment's header does not match");
        }
        head.advance(1);
        let version = head.get_u8();
        let base_index = EntryIndex(head.get_u64());
        if version != 0 || from.get_u16() != FORMAT_VERSION {
            return Err("compacted segment of an unknown format");
        }
        let identity = LogIdentity {
            cluster_id: Uuid::from_u128(from.get_u128()),
            topic_id: Uuid::from_u128(from.get_u128()),
            partition: from.get_i32(),
        };
        let mut header = CompactedHeader {
            identity,
            base_offset,
            base_index,
            base_epoch,
            base_log_start: Offset(from.get_i64()),
            created_ms: from.get_i64(),
            previous_crc: from.get_u32(),
            end: read_end(&mut from),
            roll_at_ms: from.get_i64(),
            roll_crc: from.get_u32(),
            generation: from.get_u32(),
            cleaned_to: Offset(from.get_i64()),
            max_timestamp: from.get_i64(),
            content_bytes: from.get_u64(),
            content_crc: from.get_u32(),
            runs: Vec::new(),
            aborted: Vec::new(),
            open: Vec::new(),
            membership: None,
        };
        header
            .read_lists(from)
            .ok_or("lists of the compacted segment's header are cut")?;
        Ok(header)
    }

    /// Counts, then the lists themselves; nothing is allocated for more than the bytes can hold.
    fn read_lists(&mut self, mut from: &[u8]) -> Option<()> {
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = usize::try_from(from.try_get_u32().ok()?).ok()?;
        }
        let [runs, aborted, open, membership_bytes] = counts;
        let runs_bytes = runs.checked_mul(RUN_BYTES)?;
        let (mut listed, mut from) = from.split_at_checked(runs_bytes)?;
        for _ in 0..runs {
            self.runs.push(EpochRun {
                epoch: LeaderEpoch(listed.get_i32()),
                start: Offset(listed.get_i64()),
                index: EntryIndex(listed.get_u64()),
            });
        }
        (listed, from) = from.split_at_checked(aborted.checked_mul(ABORTED_BYTES)?)?;
        for _ in 0..aborted {
            self.aborted.push(AbortedTransaction {
                producer_id: listed.get_i64(),
                first_offset: Offset(listed.get_i64()),
                last_offset: Offset(listed.get_i64()),
            });
        }
        (listed, from) = from.split_at_checked(open.checked_mul(OPEN_BYTES)?)?;
        for _ in 0..open {
            self.open.push((listed.get_i64(), Offset(listed.get_i64())));
        }
        if membership_bytes > 0 {
            let index = EntryIndex(from.try_get_u64().ok()?);
            let content = from.get(..membership_bytes)?;
            self.membership = Some((index, Bytes::copy_from_slice(content)));
        }
        Some(())
    }
}

fn read_end(from: &mut &[u8]) -> Tail {
    Tail {
        index: EntryIndex(from.get_u64()),
        offset: Offset(from.get_i64()),
        epoch: LeaderEpoch(from.get_i32()),
        log_start: Offset(from.get_i64()),
    }
}

fn frame_crc(frame: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&frame[..CRC_AT]);
    crc32c::crc32c_append(crc, &frame[CRC_COVERS_FROM..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> CompactedHeader {
        let identity = LogIdentity {
            cluster_id: Uuid::from_u128(1),
            topic_id: Uuid::from_u128(2),
            partition: 3,
        };
        let run = |epoch| EpochRun {
            epoch: LeaderEpoch(epoch),
            start: Offset(5),
            index: EntryIndex(6),
        };
        CompactedHeader {
            identity,
            base_offset: Offset(4),
            base_index: EntryIndex(5),
            base_epoch: LeaderEpoch(6),
            base_log_start: Offset(1),
            created_ms: 7,
            previous_crc: 8,
            end: Tail {
                offset: Offset(90),
                index: EntryIndex(91),
                epoch: LeaderEpoch(92),
                log_start: Offset(2),
            },
            roll_at_ms: 9,
            roll_crc: 10,
            generation: 11,
            cleaned_to: Offset(90),
            max_timestamp: 12,
            content_bytes: 13,
            content_crc: 14,
            runs: vec![run(7), run(8)],
            aborted: vec![AbortedTransaction {
                producer_id: 15,
                first_offset: Offset(16),
                last_offset: Offset(17),
            }],
            open: vec![(19, Offset(20))],
            membership: Some((EntryIndex(18), Bytes::from_static(b"voters"))),
        }
    }

    fn counts(aborted: usize) -> Counts {
        Counts {
            runs: 2,
            aborted,
            open: 1,
            membership_bytes: 6,
        }
    }

    #[test]
    fn header_has_its_golden_bytes() {
        let bytes = header().write(counts(2).size_bytes());
        let golden = GOLDEN.replace(['\n', ' '], "");
        let golden: Vec<u8> = (0..golden.len() / 2)
            .map(|at| u8::from_str_radix(&golden[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        assert_eq!(bytes, golden);
        assert_eq!(CompactedHeader::read(&bytes), Ok(header()));
    }

    /// One line for each line of the picture above, the fixed part as it is read.
    const GOLDEN: &str = "
        0000000000000004 0000011b 00000006 7f b9c1024a 08 00 0000000000000005
        0001 00000000000000000000000000000001 00000000000000000000000000000002 00000003
        0000000000000001 0000000000000007 00000008
        000000000000005b 000000000000005a 0000005c 0000000000000002
        0000000000000009 0000000a
        0000000b 000000000000005a 000000000000000c 000000000000000d 0000000e
        00000002 00000001 00000001 00000006
        00000007 0000000000000005 0000000000000006 00000008 0000000000000005 0000000000000006
        000000000000000f 0000000000000010 0000000000000011
        0000000000000013 0000000000000014
        0000000000000012 766f74657273
        000000000000000000000000000000000000000000000000";

    #[test]
    fn every_damaged_byte_is_noticed() {
        let whole = header().write(counts(1).size_bytes());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            assert!(CompactedHeader::read(&bytes).is_err(), "byte {at}");
            assert!(CompactedHeader::read(&whole[..at]).is_err(), "cut at {at}");
        }
    }
}
