//! The log's tests: what they share, and the plain behaviour. Siblings: `model` (random operations
//! against a `Vec`), `crashes` (torn tails, damage, failing calls), `times` (look-ups by time),
//! `reads` (mapped segments), `scrub` (flipped bytes).

mod checkpoint;
mod crashes;
mod descriptors;
mod entries;
mod idle;
mod model;
mod reads;
mod recovery;
mod scrub;
mod times;
mod transactions;
mod truncate;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::fs::{MemoryDisk, RealDisk};
use crate::record::{Batch, BatchBuilder, Compression, batches};
use crate::segment::chunk::Chunk;
use crate::segment::format::as_u64;
use crate::segment::parse_file_name;

pub(super) const DIR: &str = "/topics/log";

pub(super) fn identity() -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::from_u128(1),
        topic_id: Uuid::from_u128(2),
        partition: 3,
    }
}

/// Opens the log as if no journal knew of it.
pub(super) fn open(disk: &MemoryDisk) -> Result<Log, OpenError> {
    open_known(disk, None)
}

/// Opens the log with the hint that the journal gives.
pub(super) fn open_known(disk: &MemoryDisk, hint: Option<Hint>) -> Result<Log, OpenError> {
    Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        identity(),
        LogConfig::default(),
        Known {
            hint,
            ..Known::default()
        },
    )
}

/// A batch of records with these timestamps and values of this size, stamped for the log's end.
pub(super) fn batch_of(log: &Log, times: &[i64], value_bytes: usize) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = vec![b'v'; value_bytes];
    for time in times {
        // Ends in a byte that is not zero, so that a lost last byte shows.
        builder.push(*time, Some(b"key"), Some(&value), &[(b"h", Some(b"x"))]);
    }
    let mut batch = builder.build();
    batch.stamp(log.next_offset(), log.epoch());
    batch
}

pub(super) fn append(log: &mut Log, times: &[i64], value_bytes: usize) -> Batch {
    let batch = batch_of(log, times, value_bytes);
    log.append(Entry::Batch(batch.clone())).unwrap();
    batch
}

/// Writes and syncs until nothing is staged or unsynced.
pub(super) fn settle(log: &mut Log) {
    log.write().unwrap();
    while let Some(point) = log.sync_point() {
        log.synced(point.run()).unwrap();
    }
    assert!(!log.has_staged());
    assert_eq!(log.flushed(), log.log_end());
}

/// All batches of the log, checked.
pub(super) fn all(log: &Log) -> Vec<Batch> {
    let view = log.reader().view();
    let chunks = view
        .read(view.log_start(), view.log_end(), usize::MAX, true)
        .unwrap();
    batches_of(&chunks)
}

/// The batches of a read, checked.
pub(super) fn batches_of(chunks: &[Chunk]) -> Vec<Batch> {
    let bytes = chunks.iter().map(|chunk| chunk.to_bytes().unwrap());
    bytes.flat_map(batches).map(Result::unwrap).collect()
}

pub(super) fn segment_paths(disk: &MemoryDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).unwrap();
    let is_segment = |name: &&String| parse_file_name(name).is_some();
    let segments = names.iter().filter(is_segment);
    segments.map(|name| Path::new(DIR).join(name)).collect()
}

#[test]
fn written_batches_are_read_back_after_reopening() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    assert_eq!(log.log_end(), Offset(0));
    assert_eq!(
        log.append(Entry::NoOp {
            term: LeaderEpoch(4)
        })
        .unwrap(),
        EntryIndex(1)
    );
    let mut written: Vec<Batch> = (0..20)
        .map(|at| append(&mut log, &[at, at + 1], 100))
        .collect();
    settle(&mut log);
    assert_eq!(all(&log), written);
    log.close().unwrap();

    let mut log = open(&disk).unwrap();
    assert_eq!(
        (log.log_end(), log.flushed(), log.epoch()),
        (Offset(40), Offset(40), LeaderEpoch(4))
    );
    assert_eq!(log.last_index(), EntryIndex(21));
    assert_eq!(all(&log), written);
    written.push(append(&mut log, &[7], 10));
    settle(&mut log);
    assert_eq!(all(&log), written);
    assert_eq!(all(&open(&disk.crash()).unwrap()), written);
}

#[test]
fn real_disk_keeps_a_log_over_rolls() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes_max: 20_000,
        ..LogConfig::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let path = dir.path().join("log");
    let mut log = Log::open(
        Arc::clone(&disk),
        &path,
        identity(),
        config,
        Known::default(),
    )
    .unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let mut written = Vec::new();
    for at in 0..200 {
        if log.should_roll(500, 0) {
            log.append(Entry::Roll { at_ms: at }).unwrap();
        }
        written.push(append(&mut log, &[at], 500));
        if at % 7 == 0 {
            settle(&mut log);
        }
    }
    settle(&mut log);
    assert_eq!(all(&log), written);
    drop(log);
    for _ in 0..2 {
        let log = Log::open(
            Arc::clone(&disk),
            &path,
            identity(),
            config,
            Known::default(),
        )
        .unwrap();
        assert_eq!(all(&log), written);
        log.close().unwrap();
    }
    let segments = disk
        .list(&path)
        .unwrap()
        .iter()
        .filter(|name| parse_file_name(name).is_some())
        .count();
    assert!(segments >= 5, "{segments} segments");
}

#[test]
fn committed_ranges_of_the_active_segment_are_mapped_and_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (disk, config) = (Arc::new(RealDisk), LogConfig::default());
    let mut log = Log::open(disk, &path, identity(), config, Known::default()).unwrap();
    let mut written = Vec::new();
    for at in 0..300 {
        if at % 50 == 0 {
            let term = LeaderEpoch(1 + i32::try_from(at).unwrap());
            log.append(Entry::NoOp { term }).unwrap();
        }
        written.push(append(&mut log, &[at], 1_000));
    }
    settle(&mut log);
    log.set_high_watermark(log.log_end());
    let view = log.reader().view();
    let end = view.log_end();
    assert_eq!(view.sealed().len(), 0);
    let read = |from: i64, upto: Offset, bytes| view.read(Offset(from), upto, bytes, true).unwrap();
    let are_mapped =
        |chunks: &[Chunk]| chunks.iter().all(|chunk| matches!(chunk, Chunk::Mapped(_)));
    for (from, upto, bytes, mapped) in [
        (0, end, usize::MAX, true),
        (7, end, 200_000, true),
        (7, Offset(280), usize::MAX, true),
        (299, end, usize::MAX, false),
        (7, end, 50_000, false),
    ] {
        let chunks = read(from, upto, bytes);
        assert_eq!(are_mapped(&chunks), mapped, "{from} to {upto:?} in {bytes}");
        let found = batches_of(&chunks);
        let first = usize::try_from(from).unwrap();
        assert_eq!(found, written[first..first + found.len()]);
        let size: usize = chunks.iter().map(Chunk::len).sum();
        assert!(size <= bytes);
        if bytes == usize::MAX {
            assert_eq!(found.last().unwrap().header().last_offset().plus(1), upto);
        }
    }
    // what is not committed may be cut off: it is copied
    append(&mut log, &[300; 100], 1_000);
    log.write().unwrap();
    let view = log.reader().view();
    let chunks = view
        .read(Offset(0), view.log_end(), usize::MAX, true)
        .unwrap();
    assert!(!are_mapped(&chunks));
    let chunks = view
        .read(Offset(0), view.high_watermark(), usize::MAX, true)
        .unwrap();
    assert!(are_mapped(&chunks));
    assert_eq!(batches_of(&chunks), written);
}

#[test]
fn control_frames_split_ranges_and_span_no_offsets() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let mut written = vec![append(&mut log, &[1], 10), append(&mut log, &[2], 10)];
    log.append(Entry::NoOp {
        term: LeaderEpoch(2),
    })
    .unwrap();
    log.append(Entry::Membership {
        content: Bytes::from_static(b"voters"),
    })
    .unwrap();
    written.push(append(&mut log, &[3], 10));
    settle(&mut log);
    let view = log.reader().view();
    let runs = view.read(Offset(0), Offset(3), usize::MAX, true).unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(
        runs[0].len(),
        written[0].size_bytes() + written[1].size_bytes()
    );
    assert_eq!(all(&log), written);
    assert_eq!(view.epoch_at(Offset(1)), LeaderEpoch(1));
    assert_eq!(view.epoch_at(Offset(2)), LeaderEpoch(2));
    assert_eq!(
        view.end_offset_for_epoch(LeaderEpoch(1)),
        Some((LeaderEpoch(1), Offset(2)))
    );
    assert_eq!(view.end_offset_for_epoch(LeaderEpoch(3)), None);
    let reopened = open(&disk.crash()).unwrap();
    let view = reopened.reader().view();
    assert_eq!(
        view.end_offset_for_epoch(LeaderEpoch(1)),
        Some((LeaderEpoch(1), Offset(2)))
    );
    assert_eq!(view.epoch(), LeaderEpoch(2));
}

#[test]
fn reads_respect_bounds() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let written: Vec<Batch> = (0..10)
        .map(|at| append(&mut log, &[at, at], 1000))
        .collect();
    settle(&mut log);
    let view = log.reader().view();
    let size = written[0].size_bytes();
    let read = |from: i64, upto: i64, bytes_max: usize, at_least_one: bool| -> Vec<i64> {
        let chunks = view
            .read(Offset(from), Offset(upto), bytes_max, at_least_one)
            .unwrap();
        let batches = batches_of(&chunks);
        batches.iter().map(|batch| batch.base_offset().0).collect()
    };
    assert_eq!(
        read(3, 20, size, false),
        [2],
        "begins with the batch that contains the offset"
    );
    assert_eq!(read(4, 20, 3 * size - 1, false), [4, 6]);
    assert_eq!(read(4, 20, size - 1, false), [] as [i64; 0]);
    assert_eq!(read(4, 20, 0, true), [4]);
    assert_eq!(read(4, 8, usize::MAX, true), [4, 6]);
    assert_eq!(
        read(4, 7, usize::MAX, true),
        [4],
        "no batch reaches past the bound"
    );
    assert_eq!(read(4, 4, usize::MAX, true), [] as [i64; 0]);
    assert_eq!(read(20, 99, usize::MAX, true), [] as [i64; 0]);
    for outside in [-1, 21] {
        let refused = view.read(Offset(outside), Offset(20), 1, true).unwrap_err();
        assert!(matches!(refused, ReadError::OutOfRange { .. }));
    }
}

#[test]
fn entries_that_do_not_continue_are_refused() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(5),
    })
    .unwrap();
    let good = batch_of(&log, &[1], 1);
    for (offset, epoch) in [(1, 5), (0, 4), (0, 6)] {
        let mut wrong = good.clone();
        wrong.stamp(Offset(offset), LeaderEpoch(epoch));
        let refused = log.append(Entry::Batch(wrong)).unwrap_err();
        assert!(matches!(refused, AppendError::Discontinuous { .. }));
    }
    assert!(
        log.append(Entry::NoOp {
            term: LeaderEpoch(4)
        })
        .is_err()
    );
    assert!(log.append(Entry::LogStart { offset: Offset(1) }).is_err());
    log.append(Entry::Batch(good)).unwrap();
    assert_eq!(log.next_offset(), Offset(1));
    assert_eq!(log.log_end(), Offset(0), "staged is not written");
}

#[test]
fn at_most_one_group_is_unsynced() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let mut written: Vec<Batch> = (0..9).map(|at| append(&mut log, &[at], 1 << 20)).collect();
    assert_eq!(log.write().unwrap(), Offset(3));
    assert_eq!(log.write().unwrap(), Offset(3), "no room before the sync");
    let point = log.sync_point().unwrap();
    assert!(log.sync_point().is_none(), "one sync is outstanding");
    assert_eq!(log.synced(point.run()).unwrap(), Offset(3));
    assert_eq!(log.log_end(), Offset(6), "the sync made room");
    settle(&mut log);
    written.push(append(&mut log, &[9], 5 << 20));
    assert_eq!(
        log.write().unwrap(),
        Offset(10),
        "a batch larger than a group goes alone"
    );
    written.push(append(&mut log, &[9], 1));
    assert_eq!(log.write().unwrap(), Offset(10));
    settle(&mut log);
    assert_eq!(all(&log), written);
    assert_eq!(all(&open(&disk.crash()).unwrap()), written);
}

#[test]
fn new_segment_waits_until_the_roll_is_durable() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    append(&mut log, &[1], 10);
    log.append(Entry::Roll { at_ms: 77 }).unwrap();
    append(&mut log, &[2], 10);
    assert_eq!(log.write().unwrap(), Offset(1));
    assert_eq!(segment_paths(&disk).len(), 1);
    let point = log.sync_point().unwrap();
    log.synced(point.run()).unwrap();
    assert_eq!(log.log_end(), Offset(2));
    let paths = segment_paths(&disk);
    assert!(
        paths[1].ends_with("00000000000000000001-4.log"),
        "{paths:?}"
    );
    settle(&mut log);
    assert_eq!(all(&log).len(), 2);
}

#[test]
fn segments_are_rolled_when_their_index_is_full() {
    let config = LogConfig {
        segment_index_bytes_max: 110,
        index_interval_bytes: 1000,
        ..LogConfig::default()
    };
    let disk = Arc::new(MemoryDisk::new());
    let mut log = Log::open(disk, Path::new(DIR), identity(), config, Known::default()).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    for full in [false, false, true] {
        append(&mut log, &[1], 2000);
        settle(&mut log);
        assert_eq!(log.should_roll(10, 1), full);
    }
}

#[test]
fn segments_are_rolled_by_size_and_age() {
    let disk = MemoryDisk::new();
    let config = LogConfig {
        segment_bytes_max: 10_000,
        segment_age_ms_max: 1000,
        ..LogConfig::default()
    };
    let mut log = Log::open(
        Arc::new(disk),
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
    assert!(
        !log.should_roll(20_000, 5000),
        "a segment without data is not rolled"
    );
    append(&mut log, &[5000], 4000);
    settle(&mut log);
    assert!(!log.should_roll(4000, 6000));
    assert!(log.should_roll(6000, 6000));
    assert!(log.should_roll(10, 6001));
    log.append(Entry::Roll { at_ms: 6001 }).unwrap();
    assert!(!log.should_roll(20_000, 99_000));
    append(&mut log, &[1], 10);
    settle(&mut log);
    assert!(
        !log.should_roll(10, 7001),
        "age counts from the roll, not from the records"
    );
    assert!(log.should_roll(10, 7002));
}

#[test]
fn high_watermark_is_seen_at_once_and_never_goes_back() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    append(&mut log, &[1, 2, 3], 10);
    log.write().unwrap();
    let reader = log.reader();
    let before = reader.view();
    log.set_high_watermark(Offset(3));
    assert_eq!(
        (reader.view().high_watermark(), reader.view().last_stable()),
        (Offset(3), Offset(3))
    );
    assert_eq!(before.high_watermark(), Offset(0), "a view never changes");
    log.set_high_watermark(Offset(1));
    assert_eq!(reader.view().high_watermark(), Offset(3));
    log.set_high_watermark(Offset(99));
    assert_eq!(reader.view().high_watermark(), Offset(3));
    settle(&mut log);
    let hint = Some(log.hint());
    drop(log);
    let log = open_known(&disk, hint).unwrap();
    let view = log.reader().view();
    assert_eq!(view.high_watermark(), Offset(3), "from the hint");
}

#[test]
fn log_start_moves_and_stays() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    append(&mut log, &[1, 2, 3], 10);
    append(&mut log, &[4], 10);
    log.append(Entry::LogStart { offset: Offset(2) }).unwrap();
    log.append(Entry::Roll { at_ms: 0 }).unwrap();
    append(&mut log, &[5], 10);
    settle(&mut log);
    assert_eq!(log.log_start(), Offset(0), "not committed");
    let mut reopened = open(&disk.crash()).unwrap();
    assert_eq!(reopened.log_start(), Offset(0), "not known as committed");
    log.commit(EntryIndex(3));
    assert_eq!(log.log_start(), Offset(0), "the entry before it");
    log.commit(EntryIndex(4));
    reopened.commit(reopened.last_index());
    for log in [&log, &reopened] {
        let view = log.reader().view();
        assert_eq!(view.log_start(), Offset(2));
        assert!(view.read(Offset(1), Offset(5), 1, true).is_err());
        assert_eq!(all(log).len(), 3, "the first batch contains the log start");
        assert_eq!(
            view.find_timestamp(0, Offset(5)).unwrap(),
            Some((Offset(2), 3))
        );
    }
}

#[test]
fn replay_gives_the_headers_of_data_batches() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    for at in 0..4 {
        append(&mut log, &[at, at], 10);
        log.append(Entry::Roll { at_ms: 0 }).unwrap();
    }
    settle(&mut log);
    let mut seen = Vec::new();
    log.replay(Offset(3), &mut |header| seen.push(header.base_offset.0))
        .unwrap();
    assert_eq!(seen, [2, 4, 6]);
    seen.clear();
    log.replay(Offset(8), &mut |header| seen.push(header.base_offset.0))
        .unwrap();
    assert!(seen.is_empty());
}

#[test]
fn nothing_is_preallocated_before_the_first_write_and_room_is_trimmed() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    assert!(segment_paths(&disk).is_empty());
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    append(&mut log, &[1], 10);
    settle(&mut log);
    let path = segment_paths(&disk).remove(0);
    assert_eq!(disk.bytes_of(&path).unwrap().len(), 64 * 1024);
    append(&mut log, &[1], 70_000);
    settle(&mut log);
    assert_eq!(disk.bytes_of(&path).unwrap().len(), 128 * 1024);
    let size = log.reader().view().size_bytes();
    log.close().unwrap();
    assert_eq!(as_u64(disk.bytes_of(&path).unwrap().len()), size);
}

#[test]
fn side_files_are_kept() {
    let disk = MemoryDisk::new();
    let log = open(&disk).unwrap();
    assert_eq!(log.read_side_file("producers").unwrap(), None);
    log.write_side_file("producers", b"state").unwrap();
    let log = open(&disk.crash()).unwrap();
    assert_eq!(
        log.read_side_file("producers").unwrap().as_deref(),
        Some(&b"state"[..])
    );
}
