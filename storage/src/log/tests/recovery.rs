//! How far recovery reads, what it believes, and where it draws the line between torn and corrupt.

use super::*;
use crate::fs::{Fault, Surviving};
use crate::log::hint::write_old;
use crate::segment::format::SEGMENT_HEADER_BYTES;

const MIB: usize = 1 << 20;
const HINT: &str = "/topics/log/flushed";

/// A log of batches of about a megabyte, each synced.
fn with_megabytes(disk: &MemoryDisk, count: i64, epoch: i32) -> Log {
    let mut log = open(disk).unwrap();
    let term = LeaderEpoch(epoch);
    log.append(Entry::NoOp { term }).unwrap();
    for at in 0..count {
        append(&mut log, &[at], MIB);
        settle(&mut log);
    }
    // where format 1 kept it, so that every start finds it
    write_old(disk, Path::new(DIR), &identity(), log.hint());
    log
}

fn only_segment(disk: &MemoryDisk) -> PathBuf {
    let mut paths = segment_paths(disk);
    assert_eq!(paths.len(), 1);
    paths.remove(0)
}

/// Where the frames of the only segment begin: no-op, then batches.
fn frames(log: &Log) -> Vec<usize> {
    let mut at = SEGMENT_HEADER_BYTES + 31;
    let mut found = vec![SEGMENT_HEADER_BYTES];
    for batch in all(log) {
        found.push(at);
        at += batch.size_bytes();
    }
    found
}

fn copy(disk: &MemoryDisk) -> MemoryDisk {
    disk.crash_keeping(true, &mut |_, _| Surviving::All)
}

fn open_without_hint(disk: &MemoryDisk) -> Result<Log, OpenError> {
    disk.damage(Path::new(HINT), Vec::clear);
    open(disk)
}

#[test]
fn lost_head_is_torn_within_a_group_and_corruption_before() {
    let disk = MemoryDisk::new();
    let log = with_megabytes(&disk, 7, 1);
    let places = frames(&log);
    drop(log);
    let path = only_segment(&disk);
    for (frame, place) in places.iter().enumerate() {
        for lost_bytes in [1, 61, 512] {
            let after = copy(&disk);
            after.damage(&path, |bytes| bytes[*place..place + lost_bytes].fill(0));
            // a head that is lost cannot be followed; only what lies behind tells how old it is
            after.damage(&path, |bytes| bytes[place + 16] = 0);
            let before = after.bytes_of(&path);
            let opened = open_without_hint(&after);
            let last_group = places.len() - frame <= 3;
            match opened {
                Ok(log) => {
                    assert!(last_group, "frame {frame} was cut");
                    assert_eq!(log.last_index().0, u64::try_from(frame).unwrap());
                }
                Err(refused) => {
                    assert!(!last_group, "frame {frame}: {refused}");
                    assert_eq!(after.bytes_of(&path), before, "nothing was changed");
                    let text = refused.to_string();
                    assert!(text.contains("further than one unsynced group"), "{text}");
                    assert!(text.contains("headrace log verify"), "{text}");
                }
            }
        }
    }
}

#[test]
fn length_that_claims_the_rest_of_the_file_does_not_hide_it() {
    let disk = MemoryDisk::new();
    let log = with_megabytes(&disk, 9, 1);
    let place = frames(&log)[2];
    drop(log);
    let path = only_segment(&disk);
    disk.damage(&path, |bytes| bytes[place + 8] = 0x01);
    assert!(open_without_hint(&disk).is_err());
}

#[test]
fn first_group_of_a_segment_without_its_header_is_an_ordinary_power_cut() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    let value_bytes = usize::try_from(GROUP_BYTES_MAX).unwrap() - 100;
    append(&mut log, &[1], value_bytes);
    log.write().unwrap();
    assert!(log.log_end() > Offset(0));
    drop(log);
    let path = only_segment(&disk);
    let after = copy(&disk);
    after.damage(&path, |bytes| bytes[..SEGMENT_HEADER_BYTES].fill(0));
    let log = open_without_hint(&after).unwrap();
    assert_eq!(log.log_end(), Offset(0));
}

#[test]
fn batch_larger_than_a_group_may_be_torn_anywhere() {
    let disk = MemoryDisk::new();
    let mut log = with_megabytes(&disk, 2, 1);
    let written = append(&mut log, &[1], 6 * MIB);
    log.write().unwrap();
    drop(log);
    let path = only_segment(&disk);
    let whole = disk.bytes_of(&path).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let place = end - written.size_bytes();
    for (lost, from, to) in [("head", place, place + 512), ("end", end - 512, end)] {
        let after = copy(&disk);
        after.damage(&path, |bytes| bytes[from..to].fill(0));
        let log = open_without_hint(&after).unwrap();
        assert_eq!(log.log_end(), Offset(2), "{lost}");
    }
    let after = copy(&disk);
    after.damage(&path, |bytes| bytes[place..place + 512].fill(0));
    after
        .remove(&Path::new(DIR).join(largest::FILE_NAME))
        .unwrap();
    let refused = open_without_hint(&after);
    assert!(refused.is_err(), "larger than any that was written down");
}

#[test]
fn scan_begins_at_the_last_part_of_the_index_below_the_hint() {
    let disk = MemoryDisk::new();
    let log = with_megabytes(&disk, 40, 1);
    let written = all(&log);
    drop(log);
    let calls = |disk: &MemoryDisk| {
        let before = disk.calls();
        assert_eq!(all(&open(disk).unwrap()), written);
        disk.calls() - before
    };
    let (with_index, without) = (copy(&disk), copy(&disk));
    without
        .remove(&only_segment(&disk).with_extension("index"))
        .unwrap();
    let (short, long) = (calls(&with_index), calls(&without));
    assert!(
        short + 35 < long,
        "{short} calls where the whole takes {long}"
    );
    // what lies below is believed, what lies above is not
    let path = only_segment(&disk);
    let end = disk.bytes_of(&path).unwrap();
    let end = end.iter().rposition(|byte| *byte != 0).unwrap();
    let after = copy(&disk);
    after.damage(&path, |bytes| bytes[end] ^= 1);
    assert!(open(&after).is_err());
}

#[test]
fn index_of_entries_that_were_replaced_is_not_gone_on_from() {
    let (old, new) = (MemoryDisk::new(), MemoryDisk::new());
    drop(with_megabytes(&old, 10, 1));
    let log = with_megabytes(&new, 10, 2);
    let written = all(&log);
    drop(log);
    let index = only_segment(&new).with_extension("index");
    let stale = old.bytes_of(&index).unwrap();
    new.damage(&index, |bytes| bytes.clone_from(&stale));
    let log = open(&new).unwrap();
    assert_eq!((log.epoch(), all(&log)), (LeaderEpoch(2), written));
    assert_eq!(log.reader().view().epoch_at(Offset(3)), LeaderEpoch(2));
    assert_eq!(log.term(EntryIndex(2)), Some(LeaderEpoch(2)));
}

#[test]
fn index_ahead_of_the_hint_is_believed_only_up_to_it() {
    let disk = MemoryDisk::new();
    let mut log = with_megabytes(&disk, 6, 1);
    let hint = disk.bytes_of(Path::new(HINT)).unwrap();
    for at in 0..10 {
        append(&mut log, &[at], MIB);
        settle(&mut log);
    }
    let written = all(&log);
    drop(log);
    disk.damage(Path::new(HINT), |bytes| bytes.clone_from(&hint));
    let path = only_segment(&disk);
    let whole = disk.bytes_of(&path).unwrap();
    // far above the hint, below the end of the index
    for place in [9 * MIB, 12 * MIB] {
        let after = copy(&disk);
        after.damage(&path, |bytes| bytes[place] ^= 1);
        assert!(open(&after).is_err(), "byte {place}");
    }
    assert_eq!(all(&open(&disk).unwrap()), written);
    assert_eq!(disk.bytes_of(&path).unwrap(), whole);
}

#[test]
fn what_a_failed_sync_left_in_memory_is_not_taken_for_durable() {
    for fails in 0..4 {
        let disk = MemoryDisk::new();
        let mut log = with_megabytes(&disk, 1, 1);
        append(&mut log, &[1], 100);
        log.write().unwrap();
        let point = log.sync_point().unwrap();
        disk.fail(Fault {
            at_call: fails,
            kind: io::ErrorKind::Other,
            lasting: false,
        });
        drop(log.synced(point.run()));
        disk.heal();
        drop(log);
        let log = open(&disk).unwrap();
        let shown = all(&log);
        drop(log);
        let after = all(&open(&disk.crash()).unwrap());
        assert_eq!(after[..shown.len()], shown, "call {fails} failed");
    }
}

#[test]
fn index_goes_on_where_recovery_took_it_up() {
    let disk = MemoryDisk::new();
    drop(with_megabytes(&disk, 10, 1));
    let mut log = open(&disk).unwrap();
    for at in 0..10 {
        append(&mut log, &[at], MIB);
        settle(&mut log);
    }
    log.append(Entry::Roll { at_ms: 5 }).unwrap();
    append(&mut log, &[77], 10);
    settle(&mut log);
    let written = all(&log);
    drop(log);
    let path = &segment_paths(&disk)[0];
    let index = path.with_extension("index");
    let kept = crate::index::file::read_index(&disk, &index).expect("all parts fit");
    disk.remove(&index).unwrap();
    assert_eq!(all(&open(&disk).unwrap()), written);
    assert_eq!(crate::index::file::read_index(&disk, &index).unwrap(), kept);
}

#[cfg(feature = "planted")]
#[test]
fn planted_mistakes_of_recovery_are_found_here() {
    use crate::planted::{Mistake, with};
    let finds: [(Mistake, fn()); 3] = [
        (
            Mistake::RestNotLookedAt,
            lost_head_is_torn_within_a_group_and_corruption_before,
        ),
        (
            Mistake::CacheBelieved,
            what_a_failed_sync_left_in_memory_is_not_taken_for_durable,
        ),
        (
            Mistake::PartTrusted,
            index_of_entries_that_were_replaced_is_not_gone_on_from,
        ),
    ];
    for (mistake, test) in finds {
        let found = std::panic::catch_unwind(|| with(mistake, test));
        assert!(found.is_err(), "{mistake:?} is not found");
    }
}
