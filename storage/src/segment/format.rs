//! The bytes of a control frame, and how any frame is told from another.
//!
//! ```text
//!  0        8       12      16  17    21    22      23     31
//!  | base   | length| epoch |7F | crc |kind |version| index| payload …
//!  | offset |       |       |   |     |     |  0    |      |
//!
//!  kind 1 segment header  format u16 | cluster id | topic id | partition i32 | log start i64
//!                         | created ms i64 | CRC field of the ROLL before, u32
//!       2 no-op           (nothing)             first entry of a term; the epoch field is the term
//!       3 membership      opaque                a voter set, for the consensus layer
//!       4 ROLL            at ms i64             ends the segment
//!       5 log start       offset i64            records below it are gone
//!       6, 7              reserved: producer snapshot, producer expiry
//!       8 compacted header   see `compaction/header`
//! ```
//!
//! Integers are big-endian. The first 17 bytes have a batch's layout (the length counts what follows
//! byte 12), so one walk reads both; magic 0x7F tells them apart. Control frames span **zero offsets**:
//! their base offset is that of the next record. `index` is the entry's own index; a segment header is
//! no entry, there it is the index of the first one that follows.
//!
//! The CRC-32C covers the whole frame but its own field. That of every frame but the segment header is
//! seeded with topic id, partition and base index, so that a frame which strayed in from another file is
//! not valid here; the header names these itself and is to be recognised when it strayed.
//! A kind that is not known (or a version of it) is refused with its place: it may matter.

use bytes::{Buf, BufMut, Bytes};
use uuid::Uuid;

use crate::log::LogIdentity;
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::{BatchHeader, HEADER_BYTES};

/// Base offset and length.
pub(crate) const PREFIX_BYTES: usize = 12;
/// A control frame without payload.
pub(crate) const CONTROL_BYTES_MIN: usize = 31;
/// The most a head takes, batch or control: what a walk wants to see at once.
pub(crate) const HEAD_BYTES: usize = HEADER_BYTES;
/// The size of a segment header frame.
pub(crate) const SEGMENT_HEADER_BYTES: usize = CONTROL_BYTES_MIN + 58;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const CRC_COVERS_FROM: usize = 21;
const BATCH_MAGIC: u8 = 2;
const CONTROL_MAGIC: u8 = 0x7F;
const FORMAT_VERSION: u16 = 1;

const KIND_AT: usize = 21;

const SEGMENT_HEADER: u8 = 1;
const NO_OP: u8 = 2;
const MEMBERSHIP: u8 = 3;
const ROLL: u8 = 4;
const LOG_START: u8 = 5;
/// Laid out by `compaction/header`.
pub(crate) const COMPACTED_HEADER: u8 = 8;

/// What sort of control frame it is: its `kind` byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlKind {
    SegmentHeader,
    NoOp,
    Membership,
    Roll,
    LogStart,
    /// Begins a compacted segment (`compaction/header`).
    CompactedHeader,
}

impl ControlKind {
    /// The byte in the frame.
    pub(crate) fn byte(self) -> u8 {
        match self {
            ControlKind::SegmentHeader => SEGMENT_HEADER,
            ControlKind::NoOp => NO_OP,
            ControlKind::Membership => MEMBERSHIP,
            ControlKind::Roll => ROLL,
            ControlKind::LogStart => LOG_START,
            ControlKind::CompactedHeader => COMPACTED_HEADER,
        }
    }

    /// Reads the byte; `None` for a kind this program does not know.
    pub(crate) fn of_byte(byte: u8) -> Option<ControlKind> {
        match byte {
            SEGMENT_HEADER => Some(ControlKind::SegmentHeader),
            NO_OP => Some(ControlKind::NoOp),
            MEMBERSHIP => Some(ControlKind::Membership),
            ROLL => Some(ControlKind::Roll),
            LOG_START => Some(ControlKind::LogStart),
            COMPACTED_HEADER => Some(ControlKind::CompactedHeader),
            _ => None,
        }
    }
}

/// What the first frame of a segment says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Whose log the file belongs to.
    pub(crate) identity: LogIdentity,
    /// The first offset that counted when the segment began.
    pub(crate) log_start: Offset,
    /// When the ROLL before was proposed, milliseconds since 1970; -1 in the first segment.
    pub(crate) created_ms: i64,
    /// The CRC field of the ROLL that ended the segment before; 0 in the first.
    pub(crate) previous_crc: u32,
}

/// What a control frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    SegmentHeader(SegmentHeader),
    NoOp,
    Membership(Bytes),
    Roll { at_ms: i64 },
    LogStart(Offset),
}

impl Control {
    /// Its kind.
    pub(crate) fn kind(&self) -> ControlKind {
        match self {
            Control::SegmentHeader(_) => ControlKind::SegmentHeader,
            Control::NoOp => ControlKind::NoOp,
            Control::Membership(_) => ControlKind::Membership,
            Control::Roll { .. } => ControlKind::Roll,
            Control::LogStart(_) => ControlKind::LogStart,
        }
    }
}

/// A control frame with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlFrame {
    pub(crate) offset: Offset,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) index: EntryIndex,
    pub(crate) control: Control,
}

/// What the CRCs of a segment's control frames start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    /// The seed of the segment of this log that begins with this entry.
    pub(crate) fn new(identity: &LogIdentity, base_index: EntryIndex) -> Seed {
        let crc = crc32c::crc32c(identity.topic_id.as_bytes());
        let crc = crc32c::crc32c_append(crc, &identity.partition.to_be_bytes());
        Seed(crc32c::crc32c_append(crc, &base_index.0.to_be_bytes()))
    }
}

/// The start of a frame, not yet checked against its CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Batch(BatchHeader),
    Control {
        offset: Offset,
        epoch: LeaderEpoch,
        size_bytes: u64,
    },
}

impl Head {
    /// The size of the whole frame.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Head::Batch(header) => u64::try_from(header.size_bytes()).unwrap_or(u64::MAX),
            Head::Control { size_bytes, .. } => *size_bytes,
        }
    }

    /// The offset after its last record.
    pub(crate) fn end_offset(&self) -> Offset {
        match self {
            Head::Batch(header) => header.last_offset().plus(1),
            Head::Control { offset, .. } => *offset,
        }
    }

    /// The offset of its first record, or of the next one after a control frame.
    pub(crate) fn base_offset(&self) -> Offset {
        match self {
            Head::Batch(header) => header.base_offset,
            Head::Control { offset, .. } => *offset,
        }
    }
}

/// Reads the start of a frame from at most [`HEAD_BYTES`]; fewer only at the end of the file.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Head, &'static str> {
    let magic = *bytes.get(MAGIC_AT).ok_or("frame is cut")?;
    let fields = &mut &bytes[..MAGIC_AT];
    let offset = Offset(fields.get_i64());
    let length = u64::try_from(fields.get_i32()).map_err(|_| "length is negative")?;
    let epoch = LeaderEpoch(fields.get_i32());
    let size_bytes = length + as_u64(PREFIX_BYTES);
    match magic {
        BATCH_MAGIC if size_bytes < as_u64(HEADER_BYTES) => Err("length is below that of a batch"),
        BATCH_MAGIC => match bytes.first_chunk::<HEADER_BYTES>() {
            Some(head) => Ok(Head::Batch(BatchHeader::read(head))),
            None => Err("batch header is cut"),
        },
        CONTROL_MAGIC if size_bytes < as_u64(CONTROL_BYTES_MIN) => {
            Err("length is below that of a control frame")
        }
        CONTROL_MAGIC => Ok(Head::Control {
            offset,
            epoch,
            size_bytes,
        }),
        _ => Err("magic is neither a batch's nor a control frame's"),
    }
}

/// Why a control frame was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlError {
    /// The checksum does not match: the bytes are not what was written.
    Crc,
    /// The frame is sound, but of a kind or version that this program does not know.
    Unknown { kind: u8, version: u8 },
    /// The frame is sound, but its payload does not fit its kind.
    Payload { kind: u8 },
}

/// Checks and reads a whole control frame (its [`Head`] has been read, so the sizes fit).
pub(crate) fn read_control(frame: &[u8], seed: Seed) -> Result<ControlFrame, ControlError> {
    let mut fields = frame.get(..CONTROL_BYTES_MIN).ok_or(ControlError::Crc)?;
    let payload = &frame[CONTROL_BYTES_MIN..];
    let offset = Offset(fields.get_i64());
    fields.advance(4);
    let epoch = LeaderEpoch(fields.get_i32());
    fields.advance(1);
    let stated = fields.get_u32();
    let kind = fields.get_u8();
    let version = fields.get_u8();
    let index = EntryIndex(fields.get_u64());
    if frame_crc(frame, kind, seed) != stated {
        return Err(ControlError::Crc);
    }
    if version != 0 {
        return Err(ControlError::Unknown { kind, version });
    }
    let control = read_payload(kind, payload)?;
    Ok(ControlFrame {
        offset,
        epoch,
        index,
        control,
    })
}

fn read_payload(kind: u8, payload: &[u8]) -> Result<Control, ControlError> {
    let mut from = payload;
    let wanted_bytes = match kind {
        SEGMENT_HEADER => SEGMENT_HEADER_BYTES - CONTROL_BYTES_MIN,
        NO_OP => 0,
        MEMBERSHIP => return Ok(Control::Membership(Bytes::copy_from_slice(payload))),
        ROLL | LOG_START => 8,
        _ => return Err(ControlError::Unknown { kind, version: 0 }),
    };
    if payload.len() != wanted_bytes {
        return Err(ControlError::Payload { kind });
    }
    match kind {
        SEGMENT_HEADER => {
            if from.get_u16() != FORMAT_VERSION {
                return Err(ControlError::Payload { kind });
            }
            let identity = LogIdentity {
                cluster_id: Uuid::from_u128(from.get_u128()),
                topic_id: Uuid::from_u128(from.get_u128()),
                partition: from.get_i32(),
            };
            Ok(Control::SegmentHeader(SegmentHeader {
                identity,
                log_start: Offset(from.get_i64()),
                created_ms: from.get_i64(),
                previous_crc: from.get_u32(),
            }))
        }
        NO_OP => Ok(Control::NoOp),
        ROLL => Ok(Control::Roll {
            at_ms: from.get_i64(),
        }),
        _ => Ok(Control::LogStart(Offset(from.get_i64()))),
    }
}

/// The CRC field of a control frame that has been read.
pub(crate) fn crc_field(frame: &[u8]) -> u32 {
    frame
        .get(CRC_AT..CRC_COVERS_FROM)
        .map_or(0, |mut field| field.get_u32())
}

/// The kind of a whole control frame, or of its head; `None` if it is not known.
pub(crate) fn kind_field(frame: &[u8]) -> Option<ControlKind> {
    frame.get(KIND_AT).copied().and_then(ControlKind::of_byte)
}

fn frame_crc(frame: &[u8], kind: u8, seed: Seed) -> u32 {
    let seed = if kind == SEGMENT_HEADER { 0 } else { seed.0 };
    let crc = crc32c::crc32c_append(seed, &frame[..CRC_AT]);
    crc32c::crc32c_append(crc, &frame[CRC_COVERS_FROM..])
}

/// The bytes of a control frame in the segment with this seed.
pub(crate) fn write_control(frame: &ControlFrame, seed: Seed) -> Vec<u8> {
    let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    out.put_i64(frame.offset.0);
    out.put_i32(0);
    out.put_i32(frame.epoch.0);
    out.put_u8(CONTROL_MAGIC);
    out.put_u32(0);
    let kind = frame.control.kind().byte();
    out.put_u8(kind);
    out.put_u8(0);
    out.put_u64(frame.index.0);
    match &frame.control {
        Control::SegmentHeader(header) => {
            out.put_u16(FORMAT_VERSION);
            out.put_u128(header.identity.cluster_id.as_u128());
            out.put_u128(header.identity.topic_id.as_u128());
            out.put_i32(header.identity.partition);
            out.put_i64(header.log_start.0);
            out.put_i64(header.created_ms);
            out.put_u32(header.previous_crc);
        }
        Control::NoOp => {}
        Control::Membership(content) => out.put_slice(content),
        Control::Roll { at_ms } => out.put_i64(*at_ms),
        Control::LogStart(offset) => out.put_i64(offset.0),
    }
    let length = i32::try_from(out.len() - PREFIX_BYTES).expect("a control frame is below 2 GiB");
    out[8..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    let crc = frame_crc(&out, kind, seed);
    out[CRC_AT..CRC_COVERS_FROM].copy_from_slice(&crc.to_be_bytes());
    out
}

/// A length in memory as a length in a file.
pub(crate) fn as_u64(len: usize) -> u64 {
    u64::try_from(len).expect("memory is at most 2^64 bytes")
}
