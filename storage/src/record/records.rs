//! The records inside a batch, after decompression.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//!   | key length varint (-1 null) | key | value length varint (-1 null) | value
//!   | header count varint | { key length varint | key | value length varint (-1 null) | value }*
//! ```

use bytes::Bytes;

use super::batch::{BatchError, BatchHeader};
use super::varint;
use crate::position::Offset;

/// The least a record can take: seven one-byte fields.
const RECORD_BYTES_MIN: usize = 7;
/// The least a header inside a record can take: two one-byte lengths.
const HEADER_BYTES_MIN: usize = 2;

/// One record; its bytes are slices of the batch (or of its decompressed copy).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's offset.
    pub offset: Offset,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null, a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in the order written; keys may repeat.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

fn malformed(ordinal: i32, reason: &'static str) -> BatchError {
    BatchError::Record { ordinal, reason }
}

/// Takes the next record's bytes (without its length) from `input`.
fn take<'a>(input: &mut &'a [u8], ordinal: i32) -> Result<&'a [u8], BatchError> {
    let length = varint::read_i32(input).ok_or_else(|| malformed(ordinal, "length is cut"))?;
    let length = usize::try_from(length).map_err(|_| malformed(ordinal, "length is negative"))?;
    if length < RECORD_BYTES_MIN - 1 {
        return Err(malformed(
            ordinal,
            "length is below that of an empty record",
        ));
    }
    let (record, rest) = input
        .split_at_checked(length)
        .ok_or_else(|| malformed(ordinal, "record reaches past the batch"))?;
    *input = rest;
    Ok(record)
}

/// Reads timestamp and offset delta; the latter rises and stays within the batch.
///
/// In a batch as a producer made it that leaves only 0, 1, 2 … ([`BatchHeader::check_counts`]);
/// compaction leaves gaps.
fn take_deltas(
    record: &mut &[u8],
    ordinal: i32,
    room: &mut OffsetRoom,
) -> Result<(i64, i32), BatchError> {
    *record = record
        .get(1..)
        .ok_or_else(|| malformed(ordinal, "record is empty"))?;
    let time = varint::read_i64(record).ok_or_else(|| malformed(ordinal, "timestamp is cut"))?;
    let offset = varint::read_i32(record).ok_or_else(|| malformed(ordinal, "offset is cut"))?;
    if offset < room.next || offset > room.last {
        return Err(malformed(ordinal, "offset delta is not the record's place"));
    }
    room.next = offset.saturating_add(1);
    Ok((time, offset))
}

/// The offset deltas that are left for the records to come.
struct OffsetRoom {
    next: i32,
    last: i32,
}

impl OffsetRoom {
    fn of(header: &BatchHeader) -> OffsetRoom {
        OffsetRoom {
            next: 0,
            last: header.last_offset_delta,
        }
    }
}

/// Takes a nullable byte string.
fn take_field<'a>(record: &mut &'a [u8], ordinal: i32) -> Result<Option<&'a [u8]>, BatchError> {
    let length = varint::read_i32(record).ok_or_else(|| malformed(ordinal, "field is cut"))?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| malformed(ordinal, "length is negative"))?;
    let (field, rest) = record
        .split_at_checked(length)
        .ok_or_else(|| malformed(ordinal, "field reaches past the record"))?;
    *record = rest;
    Ok(Some(field))
}

/// Takes the number of headers, bounded by the bytes left.
fn take_header_count(record: &mut &[u8], ordinal: i32) -> Result<usize, BatchError> {
    let count = varint::read_i32(record).ok_or_else(|| malformed(ordinal, "headers are cut"))?;
    let count =
        usize::try_from(count).map_err(|_| malformed(ordinal, "header count is negative"))?;
    if count > record.len() / HEADER_BYTES_MIN {
        return Err(malformed(ordinal, "more headers than bytes for them"));
    }
    Ok(count)
}

fn take_header<'a>(
    record: &mut &'a [u8],
    ordinal: i32,
) -> Result<(&'a [u8], Option<&'a [u8]>), BatchError> {
    let key =
        take_field(record, ordinal)?.ok_or_else(|| malformed(ordinal, "header key is null"))?;
    Ok((key, take_field(record, ordinal)?))
}

/// Checks every record without building one, and returns the greatest timestamp.
pub(super) fn walk(plain: &[u8], header: &BatchHeader) -> Result<i64, BatchError> {
    let mut input = plain;
    let mut delta_max = i64::MIN;
    let mut room = OffsetRoom::of(header);
    for ordinal in 0..header.record_count {
        let record = &mut take(&mut input, ordinal)?;
        delta_max = delta_max.max(take_deltas(record, ordinal, &mut room)?.0);
        take_field(record, ordinal)?;
        take_field(record, ordinal)?;
        for _ in 0..take_header_count(record, ordinal)? {
            take_header(record, ordinal)?;
        }
        if !record.is_empty() {
            return Err(malformed(ordinal, "bytes after the headers"));
        }
    }
    end_of_records(input, header)?;
    Ok(header.base_timestamp.saturating_add(delta_max))
}

/// Builds every record; `plain` is the decompressed body.
pub(super) fn decode(plain: &Bytes, header: &BatchHeader) -> Result<Vec<Record>, BatchError> {
    let count = usize::try_from(header.record_count).unwrap_or(0);
    if count > plain.len() / RECORD_BYTES_MIN {
        return Err(malformed(0, "more records than bytes for them"));
    }
    let mut records = Vec::with_capacity(count);
    let mut input: &[u8] = plain;
    let mut room = OffsetRoom::of(header);
    for ordinal in 0..header.record_count {
        let record = &mut take(&mut input, ordinal)?;
        let (time, offset_delta) = take_deltas(record, ordinal, &mut room)?;
        let key = take_field(record, ordinal)?.map(|field| plain.slice_ref(field));
        let value = take_field(record, ordinal)?.map(|field| plain.slice_ref(field));
        let header_count = take_header_count(record, ordinal)?;
        let mut headers = Vec::with_capacity(header_count);
        for _ in 0..header_count {
            let (name, field) = take_header(record, ordinal)?;
            headers.push((
                plain.slice_ref(name),
                field.map(|field| plain.slice_ref(field)),
            ));
        }
        let timestamp = if header.is_log_append_time() {
            header.max_timestamp
        } else {
            header.base_timestamp.saturating_add(time)
        };
        let offset = header.base_offset.plus(i64::from(offset_delta));
        records.push(Record {
            offset,
            timestamp,
            key,
            value,
            headers,
        });
    }
    end_of_records(input, header)?;
    Ok(records)
}

/// One record as it lies in a batch, for whoever keeps some and drops others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    /// The record with its length, as it lies there.
    pub(crate) bytes: &'a [u8],
    pub(crate) offset_delta: i32,
    pub(crate) time_delta: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) has_value: bool,
    /// The attributes byte, which comes first after the length.
    pub(crate) attributes: u8,
    /// What follows the offset delta: key, value and headers, unchanged by a move in time.
    pub(crate) rest: &'a [u8],
}

/// Gives every record of a batch; `plain` is the decompressed body. Headers are not looked into.
pub(crate) fn each_raw<'a>(
    plain: &'a [u8],
    header: &BatchHeader,
    each: &mut dyn FnMut(RawRecord<'a>),
) -> Result<(), BatchError> {
    let mut input = plain;
    let mut room = OffsetRoom::of(header);
    for ordinal in 0..header.record_count {
        let before = input;
        let record = &mut take(&mut input, ordinal)?;
        let attributes = record.first().copied().unwrap_or(0);
        let (time_delta, offset_delta) = take_deltas(record, ordinal, &mut room)?;
        let rest = *record;
        let key = take_field(record, ordinal)?;
        let has_value = take_field(record, ordinal)?.is_some();
        each(RawRecord {
            bytes: &before[..before.len() - input.len()],
            offset_delta,
            time_delta,
            key,
            has_value,
            attributes,
            rest,
        });
    }
    end_of_records(input, header)
}

fn end_of_records(input: &[u8], header: &BatchHeader) -> Result<(), BatchError> {
    if input.is_empty() {
        return Ok(());
    }
    Err(BatchError::Count {
        record_count: header.record_count,
        last_offset_delta: header.last_offset_delta,
        reason: "bytes after the last record",
    })
}
