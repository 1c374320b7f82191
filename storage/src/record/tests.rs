//! Batches: round trips against a second implementation, and hostile bytes.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use kafka_protocol::records as oracle;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::position::{LeaderEpoch, Offset};

const LIMIT: usize = 1 << 20;
const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

type Field = Option<Vec<u8>>;
type Plain = (i64, Field, Field, Vec<(String, Field)>);

fn plain_records() -> impl Strategy<Value = Vec<Plain>> {
    let field = || option::of(vec(any::<u8>(), 0..80));
    let header = ("[a-z]{0,9}", field());
    vec((0..1_i64 << 41, field(), field(), vec(header, 0..3)), 1..40)
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(CODECS.to_vec())
}

fn build(builder: BatchBuilder, records: &[Plain]) -> Batch {
    let mut builder = builder;
    for (time, key, value, headers) in records {
        let headers: Vec<(&[u8], Option<&[u8]>)> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()))
            .collect();
        builder.push(*time, key.as_deref(), value.as_deref(), &headers);
    }
    builder.build()
}

fn matches(record: &Record, plain: &Plain) -> bool {
    let (time, key, value, headers) = plain;
    record.timestamp == *time
        && record.key.as_deref() == key.as_deref()
        && record.value.as_deref() == value.as_deref()
        && record
            .headers
            .iter()
            .map(|(name, value)| (&name[..], value.as_deref()))
            .eq(headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_deref())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn built_batches_check_and_decode(records in plain_records(), codec in codec()) {
        let mut batch = build(BatchBuilder::new(codec).producer(9, 2, 77), &records);
        batch.stamp(Offset(1000), LeaderEpoch(6));
        let again = Batch::check(batch.to_bytes()).unwrap();
        prop_assert_eq!(&again, &batch);
        prop_assert_eq!(again.compression(), codec);
        prop_assert_eq!(again.size_bytes(), again.to_bytes().len());
        let decoded = again.records(LIMIT).unwrap();
        prop_assert_eq!(decoded.len(), records.len());
        for (at, (record, plain)) in decoded.iter().zip(&records).enumerate() {
            prop_assert!(matches(record, plain));
            prop_assert_eq!(record.offset, Offset(1000 + i64::try_from(at).unwrap()));
        }
        let header = again.header();
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (9, 2, 77));
        prop_assert_eq!(header.max_timestamp, records.iter().map(|record| record.0).max().unwrap());
    }

    #[test]
    fn our_batches_are_read_by_the_oracle(records in plain_records(), codec in codec()) {
        let mut batch = build(BatchBuilder::new(codec).producer(9, 2, 77).transactional(), &records);
        batch.stamp(Offset(5), LeaderEpoch(6));
        let mut bytes = batch.to_bytes();
        let read = oracle::RecordBatchDecoder::decode(&mut bytes).unwrap().records;
        prop_assert_eq!(read.len(), records.len());
        for (at, (record, (time, key, value, headers))) in read.iter().zip(&records).enumerate() {
            prop_assert_eq!(record.offset, 5 + i64::try_from(at).unwrap());
            prop_assert_eq!((record.timestamp, record.partition_leader_epoch), (*time, 6));
            prop_assert_eq!((record.producer_id, record.producer_epoch), (9, 2));
            prop_assert!(record.transactional && !record.control);
            prop_assert_eq!(record.key.as_deref(), key.as_deref());
            prop_assert_eq!(record.value.as_deref(), value.as_deref());
            // The oracle keeps one value per header name.
            prop_assert!(record.headers.keys().all(|name| headers.iter().any(|(ours, _)| **name == **ours)));
        }
    }

    #[test]
    fn batches_of_the_oracle_are_read_by_us(values in vec((0..1_i64 << 41, vec(any::<u8>(), 0..300)), 1..30), codec in codec()) {
        let bytes = encode_with_oracle(&values, codec);
        let batch = Batch::check(bytes).unwrap();
        prop_assert_eq!(batch.compression(), codec);
        let records = batch.records(LIMIT).unwrap();
        prop_assert_eq!(records.len(), values.len());
        for (record, (time, value)) in records.iter().zip(&values) {
            prop_assert_eq!(record.timestamp, *time);
            prop_assert_eq!(record.value.as_deref(), Some(&value[..]));
        }
    }

    #[test]
    fn hostile_bytes_are_refused_without_panic(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(Batch::check(Bytes::from(bytes.clone())).is_err());
        prop_assert!(batches(Bytes::from(bytes)).all(|batch| batch.is_err()));
    }

    #[test]
    fn hostile_records_behind_a_right_checksum_do_no_harm(
        body in vec(any::<u8>(), 0..300), bits in 0_i16..8, count in 1..1_000_000_i32,
    ) {
        let mut batch = BytesMut::zeroed(HEADER_BYTES);
        batch.extend_from_slice(&body);
        let length = i32::try_from(batch.len() - 12).unwrap();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[16] = 2;
        batch[21..23].copy_from_slice(&bits.to_be_bytes());
        batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        if let Ok(batch) = Batch::check(batch.freeze()) {
            prop_assert!(bits != 0 || body.len() >= 7);
            let decoded = batch.records(4096);
            prop_assert!(decoded.is_err() || count < 1000);
        }
    }

    #[test]
    fn cut_and_damaged_codec_data_do_no_harm(
        records in plain_records(), codec in codec(), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(),
    ) {
        let batch = build(BatchBuilder::new(codec), &records);
        let body = batch.to_bytes().slice(HEADER_BYTES..);
        let cut = body.slice(..cut.index(body.len()));
        let mut damaged = body.to_vec();
        let at = flip.index(damaged.len());
        damaged[at] ^= 0xA5;
        for body in [cut, Bytes::from(damaged)] {
            let plain = codec.decompress(&body, LIMIT);
            prop_assert!(plain.is_err() || plain.unwrap().len() <= LIMIT);
        }
    }
}

fn encode_with_oracle(values: &[(i64, Vec<u8>)], codec: Compression) -> Bytes {
    let records: Vec<oracle::Record> = values
        .iter()
        .zip(0..)
        .map(|((time, value), at)| oracle::Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: oracle::TimestampType::Creation,
            offset: i64::from(at),
            sequence: at,
            timestamp: *time,
            key: None,
            value: Some(Bytes::copy_from_slice(value)),
            headers: indexmap(),
        })
        .collect();
    let compression = match codec {
        Compression::None => oracle::Compression::None,
        Compression::Gzip => oracle::Compression::Gzip,
        Compression::Snappy => oracle::Compression::Snappy,
        Compression::Lz4 => oracle::Compression::Lz4,
        Compression::Zstd => oracle::Compression::Zstd,
    };
    let mut bytes = BytesMut::new();
    let options = oracle::RecordEncodeOptions {
        version: 2,
        compression,
    };
    oracle::RecordBatchEncoder::encode(&mut bytes, records.iter(), &options).unwrap();
    bytes.freeze()
}

fn indexmap<T: Default>() -> T {
    T::default()
}

fn one_batch(codec: Compression) -> Batch {
    let mut builder = BatchBuilder::new(codec);
    for at in 0..50 {
        builder.push(
            1000 + at,
            Some(b"key"),
            Some(&[b'v'; 40]),
            &[(b"name", Some(b"header"))],
        );
    }
    builder.build()
}

/// trap 22
#[test]
fn every_flipped_bit_but_those_of_the_stamp_is_noticed() {
    for codec in CODECS {
        let batch = one_batch(codec).to_bytes();
        for bit in 0..batch.len() * 8 {
            let stamped = bit / 8 < 8 || (12..16).contains(&(bit / 8));
            let mut damaged = batch.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Batch::check(damaged.into()).is_ok(),
                stamped,
                "{codec:?}, bit {bit}"
            );
        }
    }
}

#[test]
fn cut_and_longer_batches_are_refused() {
    let batch = one_batch(Compression::None).to_bytes();
    for cut in 0..batch.len() {
        assert!(Batch::check(batch.slice(..cut)).is_err());
    }
    let mut longer = batch.to_vec();
    longer.push(0);
    assert!(matches!(
        Batch::check(longer.into()),
        Err(BatchError::Size { .. })
    ));
}

/// trap 22
#[test]
fn stamping_keeps_the_batch_valid() {
    for codec in CODECS {
        let mut batch = one_batch(codec);
        let copy = batch.clone();
        batch.stamp(Offset(7_000_000_000), LeaderEpoch(12));
        batch.stamp_log_append_time(5_000);
        let again = Batch::check(batch.to_bytes()).unwrap();
        assert_eq!(again, batch);
        assert_eq!(again.base_offset(), Offset(7_000_000_000));
        assert_eq!(again.last_offset(), Offset(7_000_000_049));
        assert_eq!(again.header().epoch, LeaderEpoch(12));
        let records = again.records(LIMIT).unwrap();
        assert!(records.iter().all(|record| record.timestamp == 5_000));
        assert_eq!(copy.base_offset(), Offset(0), "a clone has its own stamp");
    }
}

/// trap 23, trap 75
#[test]
fn understated_maximum_timestamp_is_corrected() {
    let whole = one_batch(Compression::None).to_bytes();
    let mut bytes = whole.to_vec();
    bytes[35..43].copy_from_slice(&(-1_i64).to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let corrected = Batch::check(bytes.into()).unwrap();
    assert_eq!(corrected.header().max_timestamp, 1049);
    assert_eq!(corrected.to_bytes(), whole);
}

/// trap 23
#[test]
fn counts_that_contradict_the_records_are_refused() {
    let with_counts = |delta: i32, count: i32| {
        let mut bytes = one_batch(Compression::None).to_bytes().to_vec();
        bytes[23..27].copy_from_slice(&delta.to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Batch::check(bytes.into())
    };
    assert!(with_counts(49, 50).is_ok());
    for (delta, count) in [
        (48, 49),
        (50, 51),
        (49, 49),
        (-1, 0),
        (i32::MAX - 1, i32::MAX),
        (i32::MIN, -1),
    ] {
        assert!(with_counts(delta, count).is_err(), "{delta} {count}");
    }
}

#[test]
fn walk_over_a_range_ends_at_the_first_error() {
    let mut range = BytesMut::new();
    for codec in CODECS {
        range.extend_from_slice(&one_batch(codec).to_bytes());
    }
    let whole = range.freeze();
    assert_eq!(batches(whole.clone()).map(Result::unwrap).count(), 5);
    let cut = whole.slice(..whole.len() - 1);
    let found: Vec<bool> = batches(cut).map(|batch| batch.is_ok()).collect();
    assert_eq!(found, [true, true, true, true, false]);
}

/// trap 26
#[test]
fn gzip_of_several_members_is_read_whole() {
    let plain = vec![b'x'; 5000];
    let mut members = Vec::new();
    for part in plain.chunks(1000) {
        let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        member.write_all(part).unwrap();
        members.extend(member.finish().unwrap());
    }
    let read = Compression::Gzip
        .decompress(&members.into(), LIMIT)
        .unwrap();
    assert_eq!(read, plain);
}

/// trap 26
#[test]
fn snappy_is_read_with_and_without_framing() {
    let plain = vec![b'y'; 100_000];
    let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(
        Compression::Snappy.decompress(&raw.into(), LIMIT).unwrap(),
        plain
    );
    let framed = Compression::Snappy.compress(plain.clone()).unwrap();
    assert!(framed.starts_with(b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"));
    assert_eq!(
        Compression::Snappy.decompress(&framed, LIMIT).unwrap(),
        plain
    );
}

#[test]
fn bombs_stop_at_the_limit() {
    let plain = vec![0; 8 << 20];
    for codec in CODECS
        .into_iter()
        .filter(|codec| *codec != Compression::None)
    {
        let bomb = codec.compress(plain.clone()).unwrap();
        let refused = codec.decompress(&bomb, LIMIT);
        assert_eq!(
            refused,
            Err(CompressionError::TooLarge { max_bytes: LIMIT }),
            "{codec:?}"
        );
        assert_eq!(
            codec.decompress(&bomb, plain.len()).unwrap().len(),
            plain.len()
        );
    }
}

#[test]
fn unknown_codecs_are_refused() {
    for bits in 5..8 {
        let mut bytes = one_batch(Compression::None).to_bytes().to_vec();
        bytes[22] = bits;
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let refused = Batch::check(bytes.into());
        let unknown = CompressionError::Unknown {
            codec: i16::from(bits),
        };
        assert_eq!(refused, Err(BatchError::Compression(unknown)));
    }
}

/// trap 38
#[test]
fn markers_round_trip_and_data_has_none() {
    for kind in [MarkerKind::Abort, MarkerKind::Commit] {
        let marker = ControlMarker {
            kind,
            coordinator_epoch: 31,
        };
        let batch = BatchBuilder::new(Compression::None)
            .producer(5, 1, -1)
            .control(marker, 99)
            .build();
        assert!(batch.is_control() && batch.is_transactional());
        assert_eq!(
            Batch::check(batch.to_bytes()).unwrap().control_marker(),
            Some(marker)
        );
    }
    assert_eq!(one_batch(Compression::None).control_marker(), None);
}

#[test]
fn header_is_laid_out_as_kafka_does() {
    let mut builder = BatchBuilder::new(Compression::None).producer(0x0102, 3, 4);
    builder.push(0x0A0B, Some(b"k"), None, &[]);
    builder.push(0x0A0C, None, Some(b"v"), &[(b"h", None)]);
    let mut batch = builder.build();
    batch.stamp(Offset(0x11), LeaderEpoch(0x22));
    let expected = [
        &0x11_i64.to_be_bytes()[..],
        &68_i32.to_be_bytes(),
        &0x22_i32.to_be_bytes(),
        &[2],
        &batch.header().crc.to_be_bytes(),
        &[0, 0],
        &1_i32.to_be_bytes(),
        &0x0A0B_i64.to_be_bytes(),
        &0x0A0C_i64.to_be_bytes(),
        &0x0102_i64.to_be_bytes(),
        &[0, 3],
        &4_i32.to_be_bytes(),
        &2_i32.to_be_bytes(),
        &[14, 0, 0, 0, 2, b'k', 1, 0],
        &[20, 0, 2, 2, 1, 2, b'v', 2, 2, b'h', 1],
    ]
    .concat();
    assert_eq!(batch.to_bytes(), expected);
}
