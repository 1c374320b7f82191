//! Builds v2 batches: for the broker's internal topics and for tests.
//!
//! Records are encoded as they are pushed; [`BatchBuilder::build`] compresses and puts the header in
//! front. The base offset is 0 and the epoch -1 until the leader stamps them.

use bytes::Bytes;

use super::batch::{Batch, CRC_COVERS_FROM, HEADER_BYTES, MAGIC, MAGIC_AT, PREFIX_BYTES};
use super::compression::{Compression, CompressionError};
use super::control::ControlMarker;
use super::varint;

/// Collects records and makes one batch of them.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    level: Option<i32>,
    attributes: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch without a producer.
    pub fn new(compression: Compression) -> BatchBuilder {
        BatchBuilder {
            compression,
            level: None,
            attributes: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            base_timestamp: -1,
            max_timestamp: -1,
            count: 0,
            records: Vec::new(),
        }
    }

    /// Has gzip and zstd compress at this level.
    #[must_use]
    pub fn level(mut self, level: Option<i32>) -> BatchBuilder {
        self.level = level;
        self
    }

    /// Marks the batch as an idempotent producer's.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> BatchBuilder {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= 0b0001_0000;
        self
    }

    /// Makes this a control batch that ends a transaction, at this time in milliseconds.
    #[must_use]
    pub fn control(mut self, marker: ControlMarker, timestamp: i64) -> BatchBuilder {
        self.attributes |= 0b0011_0000;
        let (key, value) = marker.write();
        self.push(timestamp, Some(&key), Some(&value), &[]);
        self
    }

    /// Adds a record; its timestamp is in milliseconds since 1970.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let time_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.count);
        let header_bytes: usize = headers
            .iter()
            .map(|(name, value)| field_len(Some(name)) + field_len(*value))
            .sum();
        let length = 1
            + varint::len(time_delta)
            + varint::len(offset_delta)
            + field_len(key)
            + field_len(value)
            + varint::len(length_of(headers.len()))
            + header_bytes;
        let out = &mut self.records;
        varint::write(length_of(length), out);
        out.push(0);
        varint::write(time_delta, out);
        varint::write(offset_delta, out);
        write_field(key, out);
        write_field(value, out);
        varint::write(length_of(headers.len()), out);
        for (name, value) in headers {
            write_field(Some(name), out);
            write_field(*value, out);
        }
        self.count += 1;
    }

    /// The number of records so far.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// The bytes of the records so far, before compression.
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Makes the batch. Building an empty one is a mistake of the caller.
    pub fn build(self) -> Batch {
        assert!(self.count > 0, "a batch has at least one record");
        let compression = self.compression;
        self.try_build(compression)
            .expect("codecs do not fail when they write to memory")
    }

    fn try_build(self, compression: Compression) -> Result<Batch, CompressionError> {
        let records: Bytes = compression.compress_at(self.records, self.level)?;
        let length = HEADER_BYTES - PREFIX_BYTES + records.len();
        let length = i32::try_from(length).expect("a batch in memory is below 2 GiB");
        let mut head = [0; HEADER_BYTES];
        head[8..12].copy_from_slice(&length.to_be_bytes());
        head[12..16].copy_from_slice(&(-1_i32).to_be_bytes());
        head[MAGIC_AT] = MAGIC;
        head[21..23].copy_from_slice(&(self.attributes | compression.bits()).to_be_bytes());
        head[23..27].copy_from_slice(&(self.count - 1).to_be_bytes());
        head[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        head[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        head[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        head[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        head[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        head[57..61].copy_from_slice(&self.count.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[CRC_COVERS_FROM..]), &records);
        head[17..21].copy_from_slice(&crc.to_be_bytes());
        Ok(Batch::assemble(head, records))
    }
}

/// A length as its varint; slices in memory are far below the limit.
fn length_of(length: usize) -> i64 {
    i64::try_from(length).expect("a slice in memory is below 2^63 bytes")
}

fn field_len(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint::len(length_of(bytes.len())) + bytes.len())
}

fn write_field(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        None => varint::write(-1, out),
        Some(bytes) => {
            varint::write(length_of(bytes.len()), out);
            out.extend_from_slice(bytes);
        }
    }
}
