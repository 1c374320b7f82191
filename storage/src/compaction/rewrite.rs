//! One batch through the rules: over as it is, rewritten, as a header alone, or not at all.
//!
//! A rewritten batch keeps its base offset, last offset delta, epoch, producer, sequence and codec; its
//! count and greatest timestamp are those of the records left, its CRC is new. The records left are copied
//! as they lie, for offset and time deltas still count from the same base; only a new delete horizon,
//! which takes the place of the base timestamp, makes every time delta be written anew. A header alone
//! has no codec and no horizon; of its timestamps the greatest stays (the producer's age counts from it), the
//! base goes, for it may have been a horizon.

use std::borrow::Cow;

use bytes::Bytes;

use super::CleaningError;
use super::metrics::CleaningMetrics;
use super::output::Output;
use super::retain::{BatchFate, RecordFate, Rules};
use super::transactions::OpenTransactions;
use crate::planted::{Mistake, planted};
use crate::position::Offset;
use crate::record::{
    BASE_TIME_AT, BatchHeader, CRC_COVERS_FROM, Compression, DELETE_HORIZON_BIT, HEADER_BYTES,
    PREFIX_BYTES, RawRecord, each_raw, varint_len, write_varint,
};

const NO_TIMESTAMP: i64 = -1;
const COMPRESSION_BITS: i16 = 0b0000_0111;

/// Rewrites batches; keeps its buffers between them. They grow to the largest batch, decompressed.
#[derive(Debug, Default)]
pub(super) struct Rewriter {
    open: OpenTransactions,
    /// Whether a batch so far could not be decoded: an older record of any key may hide in it.
    hides_records: bool,
    fates: Vec<RecordFate>,
    kept: Vec<u8>,
}

/// What a batch needs besides the rules.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    pub(super) rules: Rules<'a>,
    pub(super) delete_retention_ms: i64,
    pub(super) decompressed_bytes_max: usize,
}

/// A batch as it lies in an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Old<'a> {
    pub(super) header: &'a BatchHeader,
    /// The whole of it, checked.
    pub(super) frame: &'a [u8],
}

/// The records of a batch that stay.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    count: i32,
    max_timestamp: Option<i64>,
    tombstones: bool,
}

impl Rewriter {
    /// Takes note of a batch in a group that is not rewritten.
    pub(super) fn pass_by(&mut self, old: Old<'_>, terms: &Terms<'_>) {
        let Old { header, frame } = old;
        if header.is_control() {
            self.open.marker(header);
            return;
        }
        self.open.data(header);
        if header.record_count > 0 && decoded(header, frame, terms.decompressed_bytes_max).is_none()
        {
            self.hides(header, terms);
        }
    }

    /// Takes note of a batch that could not be decoded.
    fn hides(&mut self, header: &BatchHeader, terms: &Terms<'_>) {
        // below the log start nobody reads what comes back
        self.hides_records |= header.last_offset() >= terms.rules.log_start;
    }

    /// Writes what stays of a batch.
    pub(super) fn batch(
        &mut self,
        old: Old<'_>,
        terms: &Terms<'_>,
        out: &mut Output,
        metrics: &mut CleaningMetrics,
    ) -> Result<(), CleaningError> {
        let Old { header, frame: _ } = old;
        let count = u64::from(header.record_count.unsigned_abs());
        metrics.records_read += count;
        let fate = terms.rules.batch(header, &mut self.open);
        let stays = matches!(fate, BatchFate::Copy | BatchFate::SetHorizon);
        if header.is_control() && stays && count > 0 {
            out.keeps_marker(header, terms.rules.aborted);
        }
        match fate {
            BatchFate::Copy => copy(old, out, metrics),
            BatchFate::ByRecord => self.by_record(old, terms, out, metrics),
            BatchFate::Aborted => {
                metrics.dropped_aborted += count;
                header_alone(old, terms, out)
            }
            BatchFate::MarkerGone => {
                metrics.dropped_markers += count;
                header_alone(old, terms, out)
            }
            BatchFate::SetHorizon => {
                let left = Left {
                    count: header.record_count,
                    max_timestamp: Some(header.max_timestamp),
                    tombstones: true,
                };
                metrics.records_kept += count;
                self.fates.clear();
                self.fates
                    .resize(usize::try_from(count).unwrap_or(0), RecordFate::Keep);
                self.rewritten(old, &old.frame[HEADER_BYTES..], left, terms, out)
            }
        }
    }

    /// A batch of data, of which some records stay.
    fn by_record(
        &mut self,
        old: Old<'_>,
        terms: &Terms<'_>,
        out: &mut Output,
        metrics: &mut CleaningMetrics,
    ) -> Result<(), CleaningError> {
        let Old { header, frame } = old;
        if header.record_count == 0 {
            return header_alone(old, terms, out);
        }
        let Some(records) = decoded(header, frame, terms.decompressed_bytes_max) else {
            metrics.batches_not_decoded += 1;
            self.hides(header, terms);
            return copy(old, out, metrics);
        };
        let left = self.judge(header, &records, terms, metrics);
        let sets_horizon = left.tombstones && terms.rules.sets_horizon(header);
        if left.count == 0 {
            header_alone(old, terms, out)
        } else if left.count == header.record_count && !sets_horizon {
            out.batch(header, &[frame])
        } else {
            self.rewritten(old, &records, left, terms, out)
        }
    }

    /// Asks for the fate of every record.
    fn judge(
        &mut self,
        header: &BatchHeader,
        records: &[u8],
        terms: &Terms<'_>,
        metrics: &mut CleaningMetrics,
    ) -> Left {
        let mut left = Left::default();
        self.fates.clear();
        let (fates, hides_records) = (&mut self.fates, self.hides_records);
        let read = each_raw(records, header, &mut |record: RawRecord<'_>| {
            let offset = offset_of(header, &record);
            let fate = terms
                .rules
                .record(header, offset, record.key, record.has_value);
            let fate = match fate {
                RecordFate::Expired if hides_records => RecordFate::KeepTombstone,
                fate => fate,
            };
            fates.push(fate);
            metrics.count(fate);
            if matches!(fate, RecordFate::Keep | RecordFate::KeepTombstone) {
                left.count += 1;
                left.tombstones |= fate == RecordFate::KeepTombstone;
                let time = time_of(header, &record);
                left.max_timestamp = Some(left.max_timestamp.map_or(time, |max| max.max(time)));
            }
        });
        debug_assert!(read.is_ok(), "walked before");
        left
    }

    /// The batch with the records whose fate is to stay.
    fn rewritten(
        &mut self,
        old: Old<'_>,
        records: &[u8],
        left: Left,
        terms: &Terms<'_>,
        out: &mut Output,
    ) -> Result<(), CleaningError> {
        let Old { header, frame } = old;
        let mut new = *header;
        new.record_count = left.count;
        new.max_timestamp = left.max_timestamp.unwrap_or(header.max_timestamp);
        if left.tombstones && terms.rules.sets_horizon(header) {
            let now_ms = terms.rules.now_ms;
            let at_once = planted(Mistake::HorizonAtOnce);
            let retention_ms = if at_once {
                0
            } else {
                terms.delete_retention_ms
            };
            new.base_timestamp = now_ms.saturating_add(retention_ms);
            new.attributes |= DELETE_HORIZON_BIT;
        }
        self.kept.clear();
        let (kept, mut fates) = (&mut self.kept, self.fates.iter());
        let read = each_raw(records, header, &mut |record: RawRecord<'_>| {
            let stays = matches!(
                fates.next(),
                Some(RecordFate::Keep | RecordFate::KeepTombstone)
            );
            if !stays {
            } else if new.base_timestamp == header.base_timestamp {
                kept.extend_from_slice(record.bytes);
            } else {
                let time = header.base_timestamp.saturating_add(record.time_delta);
                write_moved(&record, time.saturating_sub(new.base_timestamp), kept);
            }
        });
        debug_assert!(read.is_ok(), "walked before");
        let codec = header.compression().unwrap_or(Compression::None);
        if codec == Compression::None {
            return write_batch(&mut new, frame, &self.kept, out);
        }
        let packed = codec
            .compress(std::mem::take(&mut self.kept))
            .map_err(|error| CleaningError::Compress {
                reason: error.to_string(),
            })?;
        write_batch(&mut new, frame, &packed, out)
    }
}

/// The batch as it is.
fn copy(
    old: Old<'_>,
    out: &mut Output,
    metrics: &mut CleaningMetrics,
) -> Result<(), CleaningError> {
    let Old { header, frame } = old;
    metrics.records_kept += u64::from(header.record_count.unsigned_abs());
    out.batch(header, &[frame])
}

/// The header, if it has to stay.
fn header_alone(old: Old<'_>, terms: &Terms<'_>, out: &mut Output) -> Result<(), CleaningError> {
    let Old { header, frame } = old;
    if !terms.rules.keeps_header(header) {
        return Ok(());
    }
    if header.record_count == 0 {
        return out.batch(header, &[frame]);
    }
    let mut new = *header;
    new.record_count = 0;
    new.base_timestamp = NO_TIMESTAMP;
    new.attributes &= !(COMPRESSION_BITS | DELETE_HORIZON_BIT);
    write_batch(&mut new, frame, &[], out)
}

/// The records of a batch, decompressed; `None` if they cannot be read, which no cleaning can mend: such
/// a batch stays as it is.
pub(super) fn decoded<'a>(
    header: &BatchHeader,
    frame: &'a [u8],
    bytes_max: usize,
) -> Option<Cow<'a, [u8]>> {
    let packed = &frame[HEADER_BYTES..];
    let plain = match header.compression().ok()? {
        Compression::None => Cow::Borrowed(packed),
        codec => {
            let packed = Bytes::copy_from_slice(packed);
            let plain = codec.decompress(&packed, bytes_max).ok()?;
            Cow::Owned(plain.into())
        }
    };
    each_raw(&plain, header, &mut |_| {}).ok()?;
    Some(plain)
}

fn offset_of(header: &BatchHeader, record: &RawRecord<'_>) -> Offset {
    header.base_offset.plus(i64::from(record.offset_delta))
}

fn time_of(header: &BatchHeader, record: &RawRecord<'_>) -> i64 {
    if header.is_log_append_time() {
        header.max_timestamp
    } else {
        header.base_timestamp.saturating_add(record.time_delta)
    }
}

/// A record with another time delta.
fn write_moved(record: &RawRecord<'_>, time_delta: i64, out: &mut Vec<u8>) {
    let offset_delta = i64::from(record.offset_delta);
    let length = 1 + varint_len(time_delta) + varint_len(offset_delta) + record.rest.len();
    write_varint(i64::try_from(length).expect("a record in memory"), out);
    out.push(record.attributes);
    write_varint(time_delta, out);
    write_varint(offset_delta, out);
    out.extend_from_slice(record.rest);
}

/// Writes a batch with a changed header and these records behind it.
fn write_batch(
    new: &mut BatchHeader,
    frame: &[u8],
    records: &[u8],
    out: &mut Output,
) -> Result<(), CleaningError> {
    let mut head = [0; HEADER_BYTES];
    head.copy_from_slice(&frame[..HEADER_BYTES]);
    let length = HEADER_BYTES - PREFIX_BYTES + records.len();
    new.length = i32::try_from(length).map_err(|_| CleaningError::Compress {
        reason: "batch grew beyond 2 GiB".to_owned(),
    })?;
    head[8..12].copy_from_slice(&new.length.to_be_bytes());
    head[21..23].copy_from_slice(&new.attributes.to_be_bytes());
    head[BASE_TIME_AT..BASE_TIME_AT + 8].copy_from_slice(&new.base_timestamp.to_be_bytes());
    head[35..43].copy_from_slice(&new.max_timestamp.to_be_bytes());
    head[57..61].copy_from_slice(&new.record_count.to_be_bytes());
    let crc = crc32c::crc32c(&head[CRC_COVERS_FROM..]);
    new.crc = crc32c::crc32c_append(crc, records);
    head[17..21].copy_from_slice(&new.crc.to_be_bytes());
    out.batch(new, &[&head, records])
}
