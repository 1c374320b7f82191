//! Look-ups by time, exact to the record, against a plain search.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Records as (offset, timestamp), in order.
type Times = Vec<(Offset, i64)>;

fn first_at_or_after(times: &Times, asked: i64, upto: Offset) -> Option<(Offset, i64)> {
    times
        .iter()
        .find(|(offset, time)| *time >= asked && *offset < upto)
        .copied()
}

fn greatest(times: &Times, upto: Offset) -> Option<(Offset, i64)> {
    let below = times.iter().filter(|(offset, _)| *offset < upto);
    below
        .copied()
        .max_by_key(|(offset, time)| (*time, -offset.0))
}

fn log_of(disk: &MemoryDisk, groups: &[Vec<i64>], codec: Compression) -> (Log, Times, Vec<Offset>) {
    let config = LogConfig {
        segment_bytes_max: 1500,
        index_interval_bytes: 200,
        ..LogConfig::default()
    };
    let mut log = Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        identity(),
        config,
        Known::default(),
    )
    .unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let mut times = Times::new();
    let mut ends = vec![Offset(0)];
    for group in groups {
        if log.should_roll(200, 0) {
            log.append(Entry::Roll { at_ms: 0 }).unwrap();
        }
        let mut builder = BatchBuilder::new(codec);
        for time in group {
            times.push((Offset(i64::try_from(times.len()).unwrap()), *time));
            builder.push(*time, None, Some(b"value"), &[]);
        }
        let mut batch = builder.build();
        batch.stamp(log.next_offset(), log.epoch());
        log.append(Entry::Batch(batch)).unwrap();
        ends.push(log.next_offset());
    }
    settle(&mut log);
    (log, times, ends)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn first_record_at_or_after_a_time_is_found(
        groups in vec(vec(0_i64..60, 1..6), 1..60),
        packed: bool,
        asked in vec(-2_i64..64, 1..12),
        upto in any::<prop::sample::Index>(),
    ) {
        let codec = if packed { Compression::Lz4 } else { Compression::None };
        let disk = MemoryDisk::new();
        let (log, times, ends) = log_of(&disk, &groups, codec);
        let reopened = open(&disk.crash()).unwrap();
        for view in [log.reader().view(), reopened.reader().view()] {
            for upto in [*ends.last().unwrap(), ends[upto.index(ends.len())]] {
                for asked in &asked {
                    let found = view.find_timestamp(*asked, upto).unwrap();
                    prop_assert_eq!(found, first_at_or_after(&times, *asked, upto));
                }
                prop_assert_eq!(view.max_timestamp(upto).unwrap(), greatest(&times, upto));
            }
        }
    }
}

#[test]
fn empty_log_has_no_times() {
    let disk = MemoryDisk::new();
    let view = open(&disk).unwrap().reader().view();
    assert_eq!(view.find_timestamp(0, Offset(9)).unwrap(), None);
    assert_eq!(view.max_timestamp(Offset(9)).unwrap(), None);
}

#[test]
fn append_time_counts_instead_of_the_records() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    for at in 0..3_i64 {
        let mut batch = batch_of(&log, &[900, 1], 5);
        batch.stamp_log_append_time(100 + at);
        log.append(Entry::Batch(batch)).unwrap();
    }
    settle(&mut log);
    let view = log.reader().view();
    assert_eq!(
        view.find_timestamp(101, Offset(6)).unwrap(),
        Some((Offset(2), 101))
    );
    assert_eq!(view.find_timestamp(103, Offset(6)).unwrap(), None);
    assert_eq!(
        view.max_timestamp(Offset(6)).unwrap(),
        Some((Offset(4), 102))
    );
}

#[test]
fn batch_that_does_not_decode_is_passed_over() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.push(500, None, Some(b"value"), &[]);
    let mut bytes = builder.build().to_bytes().to_vec();
    bytes.truncate(crate::record::HEADER_BYTES);
    bytes.extend_from_slice(b"not zstd");
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let mut poison = Batch::check(bytes.into()).unwrap();
    poison.stamp(Offset(0), LeaderEpoch(1));
    log.append(Entry::Batch(poison)).unwrap();
    append(&mut log, &[400], 5);
    settle(&mut log);
    let view = log.reader().view();
    assert_eq!(
        view.find_timestamp(300, Offset(2)).unwrap(),
        Some((Offset(1), 400))
    );
    assert_eq!(
        view.max_timestamp(Offset(2)).unwrap(),
        Some((Offset(0), 500)),
        "by its header"
    );
}
