//! What the tools say about sound, torn and damaged logs, and that they change nothing.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::{Content, End, segment, verify_log};
use crate::fs::{Disk, MemoryDisk};
use crate::log::{Entry, Hint, Known, Log, LogConfig, LogIdentity};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::{BatchBuilder, Compression};
use crate::segment::parse_generation;

const DIR: &str = "/log";

fn identity() -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::nil(),
        topic_id: Uuid::from_u128(9),
        partition: 0,
    }
}

fn append(log: &mut Log, records: i64) {
    let mut builder = BatchBuilder::new(Compression::None);
    for at in 0..records {
        builder.push(1_000 + at, Some(b"key"), Some(&[7; 100]), &[]);
    }
    let mut batch = builder.build();
    batch.stamp(log.next_offset(), log.epoch());
    log.append(Entry::Batch(batch)).unwrap();
}

fn settle(log: &mut Log) {
    log.write().unwrap();
    while let Some(point) = log.sync_point() {
        log.synced(point.run()).unwrap();
    }
}

/// Two sealed segments and an active one; gives how far it was flushed.
fn some_log(disk: &MemoryDisk) -> Hint {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let config = LogConfig::default();
    let mut log = Log::open(shared, Path::new(DIR), identity(), config, Known::default()).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    for at_ms in [10, 20] {
        append(&mut log, 5);
        log.append(Entry::Roll { at_ms }).unwrap();
        settle(&mut log);
    }
    append(&mut log, 3);
    settle(&mut log);
    log.hint()
}

fn segments(disk: &MemoryDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).unwrap();
    let logs = names.iter().filter(|name| parse_generation(name).is_some());
    logs.map(|name| Path::new(DIR).join(name)).collect()
}

fn verify(disk: &MemoryDisk, hint: Option<Hint>) -> super::Report {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    verify_log(&shared, Path::new(DIR), hint).unwrap()
}

#[test]
fn large_batch_that_is_torn_is_what_a_crash_leaves() {
    let disk = MemoryDisk::new();
    some_log(&disk);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (config, known) = (LogConfig::default(), Known::default());
    let mut log = Log::open(shared, Path::new(DIR), identity(), config, known).unwrap();
    let head = usize::try_from(log.reader().view().active_bytes()).unwrap();
    append(&mut log, 60_000);
    log.write().unwrap();
    drop(log);
    let path = segments(&disk).pop().unwrap();
    let whole = disk.bytes_of(&path).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for lost in [head..head + 512, end - 512..end + 1] {
        disk.damage(&path, |bytes| {
            bytes.clone_from(&whole);
            bytes[lost.clone()].fill(0);
        });
        let report = verify(&disk, None);
        assert_eq!(report.damage, None, "{lost:?}");
        assert_eq!((report.log_end, report.remarks.len()), (Offset(13), 1));
    }
}

#[test]
fn every_frame_is_given_in_order_with_the_room_behind_it() {
    let disk = MemoryDisk::new();
    some_log(&disk);
    let files = segments(&disk);
    let mut kinds = Vec::new();
    let end = segment(&disk, &files[0], &mut |frame| {
        kinds.push(match frame.content {
            Content::SegmentHeader { .. } => "header",
            Content::NoOp { .. } => "no-op",
            Content::Batch { batch: Ok(_), .. } => "batch",
            Content::Roll { at_ms: 10, .. } => "roll",
            _ => "other",
        });
        ControlFlow::Continue(())
    });
    assert_eq!(end.unwrap(), End::Complete);
    assert_eq!(kinds, ["header", "no-op", "batch", "roll"]);
    let end = segment(&disk, &files[2], &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(matches!(end, End::Room { .. }), "{end:?}");
}

#[test]
fn a_sound_log_has_neither_damage_nor_remarks_and_is_not_changed() {
    let disk = MemoryDisk::new();
    let hint = some_log(&disk);
    let before = files(&disk);
    let report = verify(&disk, Some(hint));
    assert_eq!(report.damage, None);
    assert_eq!(report.remarks, []);
    assert_eq!((report.log_start, report.log_end), (Offset(0), Offset(13)));
    assert_eq!(files(&disk), before);
}

#[test]
fn a_flipped_byte_in_a_sealed_segment_is_found_with_its_place() {
    let disk = MemoryDisk::new();
    let hint = some_log(&disk);
    let files = segments(&disk);
    let size = disk.bytes_of(&files[0]).unwrap().len();
    for at in (0..size).step_by(37) {
        disk.damage(&files[0], |bytes| bytes[at] ^= 0x10);
        let found = verify(&disk, Some(hint)).damage.expect("found");
        assert_eq!(found.file, files[0], "byte {at}");
        disk.damage(&files[0], |bytes| bytes[at] ^= 0x10);
    }
    assert_eq!(verify(&disk, Some(hint)).damage, None);
}

#[test]
fn a_torn_tail_is_a_remark_above_the_hint_and_damage_below_it() {
    let disk = MemoryDisk::new();
    let hint = some_log(&disk);
    let last = segments(&disk).pop().unwrap();
    disk.damage(&last, |bytes| bytes[200] ^= 1);
    let below = Hint {
        offset: Offset(10),
        index: EntryIndex(hint.index.0 - 1),
        epoch: hint.epoch,
    };
    let report = verify(&disk, Some(below));
    assert_eq!(report.damage, None);
    assert_eq!(report.remarks.len(), 1, "{:?}", report.remarks);
    assert_eq!(report.remarks[0].file, last);
    assert!(verify(&disk, Some(hint)).damage.is_some());
}

#[test]
fn a_damaged_index_is_a_remark() {
    let disk = MemoryDisk::new();
    let hint = some_log(&disk);
    let index = segments(&disk)[0].with_extension("index");
    disk.damage(&index, |bytes| bytes[40] ^= 1);
    let report = verify(&disk, Some(hint));
    assert_eq!(report.damage, None);
    assert_eq!(report.remarks.len(), 1);
    assert_eq!(report.remarks[0].file, index);
}

#[test]
fn a_log_that_lost_all_of_its_files_is_damaged_if_it_had_any() {
    let disk = MemoryDisk::new();
    let hint = some_log(&disk);
    for file in segments(&disk) {
        disk.remove(&file).unwrap();
    }
    assert!(verify(&disk, Some(hint)).damage.is_some());
    assert!(verify(&disk, None).damage.is_none());
}

fn files(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list(Path::new(DIR)).unwrap();
    let bytes = |name: &String| disk.bytes_of(&Path::new(DIR).join(name)).unwrap();
    names
        .iter()
        .map(|name| (name.clone(), bytes(name)))
        .collect()
}
