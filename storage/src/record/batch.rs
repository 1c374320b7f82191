//! One checked record batch, and the walk over a range of them.
//!
//! A [`Batch`] owns a copy of the 61 header bytes (so that stamping never touches shared memory) and
//! shares its records. Invariants after [`Batch::check`]: the length field is the size; magic is 2; the
//! CRC-32C is right; `record_count = last_offset_delta + 1 >= 1`; and where the records are not
//! compressed they are exactly that many, well formed, with offset deltas 0, 1, 2 … Compressed records
//! are not looked at until [`Batch::records`]. [`Batch::check_stored`] allows what compaction leaves:
//! fewer records than offsets, down to none, their deltas rising.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::compression::{Compression, CompressionError};
use super::control::ControlMarker;
use super::records::{self, Record};
use crate::position::{LeaderEpoch, Offset};

/// The size of a batch's header; the records follow it.
pub const HEADER_BYTES: usize = 61;
/// Base offset and length: what every frame of a segment begins with; the length counts from here.
pub(crate) const PREFIX_BYTES: usize = 12;
/// Where the part that the CRC covers begins.
pub(crate) const CRC_COVERS_FROM: usize = 21;
/// Where the base timestamp lies, or the delete horizon.
pub(crate) const BASE_TIME_AT: usize = 27;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const MAGIC: u8 = 2;

const COMPRESSION_BITS: i16 = 0b0000_0111;
const LOG_APPEND_TIME_BIT: i16 = 0b0000_1000;
const TRANSACTIONAL_BIT: i16 = 0b0001_0000;
const CONTROL_BIT: i16 = 0b0010_0000;
pub(crate) const DELETE_HORIZON_BIT: i16 = 0b0100_0000;

/// Why bytes are not a record batch, or its records not readable.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes end before the batch does, or go on after it.
    #[error("batch is cut: {found_bytes} bytes where {wanted_bytes} are needed")]
    Size {
        /// What the header or its length field asks for.
        wanted_bytes: u64,
        /// What there is.
        found_bytes: u64,
    },
    /// The length field is negative or smaller than a header.
    #[error("batch length {length} is impossible")]
    Length {
        /// The length field.
        length: i32,
    },
    /// A message format other than 2.
    #[error("magic is {magic}, not 2")]
    Magic {
        /// The byte found.
        magic: u8,
    },
    /// The checksum does not match.
    #[error("crc is {found:#010x} where the header says {stated:#010x}")]
    Crc {
        /// The header's field.
        stated: u32,
        /// The CRC-32C of the bytes.
        found: u32,
    },
    /// The counts or deltas contradict each other or the records.
    #[error("batch of {record_count} records with last offset delta {last_offset_delta}: {reason}")]
    Count {
        /// The header's record count.
        record_count: i32,
        /// The header's last offset delta.
        last_offset_delta: i32,
        /// What contradicts it.
        reason: &'static str,
    },
    /// A record is malformed.
    #[error("record {ordinal} is malformed: {reason}")]
    Record {
        /// The record's place in the batch, from 0.
        ordinal: i32,
        /// What is wrong.
        reason: &'static str,
    },
    /// The records cannot be decompressed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// The fields of a batch's header, as they lie in its first 61 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record; a client sends 0, the leader stamps it.
    pub base_offset: Offset,
    /// The bytes after the first twelve.
    pub length: i32,
    /// The leader epoch; stamped by the leader.
    pub epoch: LeaderEpoch,
    /// CRC-32C of everything from `attributes` on.
    pub crc: u32,
    /// Compression (3 bits), timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// The last record's offset minus the base offset.
    pub last_offset_delta: i32,
    /// Milliseconds since 1970 from which the records' timestamps count.
    pub base_timestamp: i64,
    /// The greatest timestamp in the batch; of all records with log append time.
    pub max_timestamp: i64,
    /// The idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// The number of records.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the 61 bytes of a header without judging them.
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> BatchHeader {
        let from = &mut bytes.as_slice();
        BatchHeader {
            base_offset: Offset(from.get_i64()),
            length: from.get_i32(),
            epoch: LeaderEpoch(from.get_i32()),
            crc: {
                from.advance(1);
                from.get_u32()
            },
            attributes: from.get_i16(),
            last_offset_delta: from.get_i32(),
            base_timestamp: from.get_i64(),
            max_timestamp: from.get_i64(),
            producer_id: from.get_i64(),
            producer_epoch: from.get_i16(),
            base_sequence: from.get_i32(),
            record_count: from.get_i32(),
        }
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The size of the whole batch in bytes.
    pub fn size_bytes(&self) -> usize {
        PREFIX_BYTES + usize::try_from(self.length).unwrap_or(0)
    }

    /// Whether the records' timestamps are the broker's (all equal to `max_timestamp`).
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds a transaction marker instead of data.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether compaction has set a delete horizon; never valid from a client.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// The codec of the records, or its unknown number.
    pub(crate) fn compression(&self) -> Result<Compression, CompressionError> {
        Compression::from_bits(self.attributes & COMPRESSION_BITS)
    }

    /// Whether counts and deltas can be those of a stored batch: compaction leaves gaps, and of some
    /// batches nothing but the header.
    pub(crate) fn check_stored_counts(&self) -> Result<(), BatchError> {
        let fits = i64::from(self.record_count) <= i64::from(self.last_offset_delta) + 1;
        if self.record_count >= 0 && self.last_offset_delta >= 0 && fits {
            return Ok(());
        }
        Err(BatchError::Count {
            record_count: self.record_count,
            last_offset_delta: self.last_offset_delta,
            reason: "more records than offsets",
        })
    }

    /// Whether counts and deltas agree with each other, as those of every batch that is appended.
    pub(crate) fn check_counts(&self) -> Result<(), BatchError> {
        let wrong = |reason| BatchError::Count {
            record_count: self.record_count,
            last_offset_delta: self.last_offset_delta,
            reason,
        };
        if self.record_count < 1 {
            return Err(wrong("a batch has at least one record"));
        }
        if self.last_offset_delta != self.record_count - 1 {
            return Err(wrong("offsets are dense within a batch"));
        }
        Ok(())
    }
}

/// A checked record batch. Cloning it copies 61 bytes and shares the records.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    fields: BatchHeader,
    head: [u8; HEADER_BYTES],
    records: Bytes,
}

impl Batch {
    /// Checks that `bytes` are exactly one batch (see the invariants above).
    ///
    /// As Kafka does, an uncompressed batch whose header states a maximum timestamp below that of a
    /// record has the header corrected, so that look-ups by time stay exact.
    pub fn check(bytes: Bytes) -> Result<Batch, BatchError> {
        Batch::check_with(bytes, BatchHeader::check_counts)
    }

    /// Checks a batch that comes from a log, where compaction may have taken records out of it.
    pub fn check_stored(bytes: Bytes) -> Result<Batch, BatchError> {
        Batch::check_with(bytes, BatchHeader::check_stored_counts)
    }

    fn check_with(
        bytes: Bytes,
        check_counts: impl FnOnce(&BatchHeader) -> Result<(), BatchError>,
    ) -> Result<Batch, BatchError> {
        let fields = frame_header(&bytes)?;
        if fields.size_bytes() != bytes.len() {
            return Err(size_error(fields.size_bytes(), bytes.len()));
        }
        let found = crc32c::crc32c(&bytes[CRC_COVERS_FROM..]);
        if found != fields.crc {
            return Err(BatchError::Crc {
                stated: fields.crc,
                found,
            });
        }
        check_counts(&fields)?;
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&bytes[..HEADER_BYTES]);
        let mut records = bytes;
        records.advance(HEADER_BYTES);
        let mut batch = Batch {
            fields,
            head,
            records,
        };
        if fields.compression()? == Compression::None {
            let max = records::walk(&batch.records, &fields)?;
            if max > fields.max_timestamp && !fields.is_log_append_time() {
                batch.set_time(fields.attributes, max);
            }
        }
        Ok(batch)
    }

    /// Puts a built header in front of its records; the CRC in `head` must be right.
    pub(super) fn assemble(head: [u8; HEADER_BYTES], records: Bytes) -> Batch {
        Batch {
            fields: BatchHeader::read(&head),
            head,
            records,
        }
    }

    /// The header, with whatever was stamped.
    pub fn header(&self) -> &BatchHeader {
        &self.fields
    }

    /// The size of the whole batch in bytes.
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Sets the base offset and the leader epoch; the CRC covers neither.
    pub fn stamp(&mut self, base: Offset, epoch: LeaderEpoch) {
        self.fields.base_offset = base;
        self.fields.epoch = epoch;
        self.head[..8].copy_from_slice(&base.0.to_be_bytes());
        self.head[12..16].copy_from_slice(&epoch.0.to_be_bytes());
    }

    /// Makes `ms` the timestamp of every record (`message.timestamp.type=LogAppendTime`).
    ///
    /// The CRC is recomputed from the changed header alone; the records are not read again.
    pub fn stamp_log_append_time(&mut self, ms: i64) {
        self.set_time(self.fields.attributes | LOG_APPEND_TIME_BIT, ms);
    }

    /// CRCs are linear: the body's share of the old checksum is found by taking the old header's
    /// share out, and joined to the new header's.
    fn set_time(&mut self, attributes: i16, max_timestamp: i64) {
        let body_bytes = self.records.len();
        let head_before = crc32c::crc32c(&self.head[CRC_COVERS_FROM..]);
        let body = crc32c::crc32c_combine(head_before, 0, body_bytes) ^ self.fields.crc;
        self.head[21..23].copy_from_slice(&attributes.to_be_bytes());
        self.head[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
        let head_after = crc32c::crc32c(&self.head[CRC_COVERS_FROM..]);
        let crc = crc32c::crc32c_combine(head_after, body, body_bytes);
        self.head[17..21].copy_from_slice(&crc.to_be_bytes());
        self.fields.attributes = attributes;
        self.fields.max_timestamp = max_timestamp;
        self.fields.crc = crc;
    }

    /// The offset of the first record.
    pub fn base_offset(&self) -> Offset {
        self.fields.base_offset
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> Offset {
        self.fields.last_offset()
    }

    /// The codec of the records.
    pub fn compression(&self) -> Compression {
        self.fields
            .compression()
            .expect("checked when the batch was made")
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.fields.is_transactional()
    }

    /// Whether the batch holds a transaction marker instead of data.
    pub fn is_control(&self) -> bool {
        self.fields.is_control()
    }

    /// The transaction marker of a control batch; `None` for data and for kinds of marker not known.
    pub fn control_marker(&self) -> Option<ControlMarker> {
        if !self.is_control() {
            return None;
        }
        let first = self.records(MARKER_BYTES_MAX).ok()?.into_iter().next()?;
        ControlMarker::read(&first)
    }

    /// Decodes the records, decompressing at most `decompressed_max` bytes.
    pub fn records(&self, decompressed_max: usize) -> Result<Vec<Record>, BatchError> {
        let plain = self
            .compression()
            .decompress(&self.records, decompressed_max)?;
        records::decode(&plain, &self.fields)
    }

    /// The stamped header and the records, for a vectored write without a copy.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.head, &self.records]
    }

    /// The whole batch in one piece; this copies it.
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.size_bytes());
        whole.extend_from_slice(&self.head);
        whole.extend_from_slice(&self.records);
        whole.freeze()
    }
}

/// A marker's record is a few dozen bytes; anything larger is not one.
const MARKER_BYTES_MAX: usize = 4096;

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("header", &self.fields)
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

/// Walks a range of whole batches, as [`crate::log::LogView::read`] returns it; each is checked
/// ([`Batch::check_stored`]).
///
/// The walk ends at the first error: what follows a batch that does not parse has no known place.
pub fn batches(bytes: Bytes) -> impl Iterator<Item = Result<Batch, BatchError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let size = match frame_header(&rest) {
            Ok(fields) if fields.size_bytes() <= rest.len() => fields.size_bytes(),
            Ok(fields) => {
                let error = size_error(fields.size_bytes(), rest.len());
                rest.clear();
                return Some(Err(error));
            }
            Err(error) => {
                rest.clear();
                return Some(Err(error));
            }
        };
        let checked = Batch::check_stored(rest.split_to(size));
        if checked.is_err() {
            rest.clear();
        }
        Some(checked)
    })
}

/// The header at the start of `bytes`, if its length and magic can be a batch's.
fn frame_header(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(size_error(HEADER_BYTES, bytes.len()));
    };
    let fields = BatchHeader::read(head);
    if fields.size_bytes() < HEADER_BYTES {
        return Err(BatchError::Length {
            length: fields.length,
        });
    }
    if head[MAGIC_AT] != MAGIC {
        return Err(BatchError::Magic {
            magic: head[MAGIC_AT],
        });
    }
    Ok(fields)
}

fn size_error(wanted: usize, found: usize) -> BatchError {
    BatchError::Size {
        wanted_bytes: u64::try_from(wanted).unwrap_or(u64::MAX),
        found_bytes: u64::try_from(found).unwrap_or(u64::MAX),
    }
}
