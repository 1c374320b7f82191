//! The scrub: every class of byte flipped, found once, and never served.

use super::*;
use crate::scrub::{Finding, Scrubbed, Scrubber};
use crate::segment::format::{CONTROL_BYTES_MIN, SEGMENT_HEADER_BYTES};
use crate::segment::index_name;

/// Where the first batch of the first segment begins: behind header and no-op.
const FIRST: usize = SEGMENT_HEADER_BYTES + CONTROL_BYTES_MIN;
const BATCHES: i64 = 6;

/// Two sealed segments of six batches of two records, and an active one.
fn sealed_log(disk: &MemoryDisk) -> Log {
    let mut log = open(disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    for _ in 0..2 {
        for at in 0..BATCHES {
            append(&mut log, &[at, at + 1], 3000);
        }
        log.append(Entry::Roll { at_ms: 1 }).unwrap();
        settle(&mut log);
    }
    append(&mut log, &[7], 100);
    settle(&mut log);
    log
}

/// One pass in steps of this many bytes.
fn pass(scrubber: &mut Scrubber, log: &Log, step_bytes: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    loop {
        let done = scrubber.step(&log.reader().view(), step_bytes).unwrap();
        found.extend(done.findings);
        if done.pass_over {
            return found;
        }
    }
}

fn read(log: &Log, from: i64) -> Result<usize, ReadError> {
    let view = log.reader().view();
    let chunks = view.read(Offset(from), view.log_end(), usize::MAX, true)?;
    Ok(chunks.iter().map(Chunk::len).sum())
}

#[test]
fn a_sound_log_has_no_findings_whatever_the_step() {
    let disk = MemoryDisk::new();
    let log = sealed_log(&disk);
    for step_bytes in [1, 5000, u64::MAX] {
        let mut scrubber = Scrubber::default();
        assert_eq!(pass(&mut scrubber, &log, step_bytes), []);
        assert_eq!(scrubber.position(), 0, "the next pass begins at the first");
    }
    let reopened = open(&disk.crash()).unwrap();
    assert_eq!(pass(&mut Scrubber::default(), &reopened, 4096), []);
}

/// The damaged offsets in the first segment, and the reason, after a flip at `at` of its file.
fn flipped(at: impl Fn(usize) -> usize) -> (Log, Finding) {
    let disk = MemoryDisk::new();
    let log = sealed_log(&disk);
    let path = segment_paths(&disk).remove(0);
    let size = disk.bytes_of(&path).unwrap().len();
    disk.damage(&path, |bytes| bytes[at(size)] ^= 0x10);
    let mut scrubber = Scrubber::default();
    let mut found = pass(&mut scrubber, &log, 4096);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(pass(&mut scrubber, &log, u64::MAX), [], "told once");
    assert_eq!(log.reader().view().findings(), found);
    let found = found.remove(0);
    assert_eq!(found.path, path);
    (log, found)
}

#[test]
fn every_class_of_byte_of_a_batch_is_found_and_only_its_records_are_refused() {
    let size = |log: &Log| {
        let view = log.reader().view();
        let chunks = view.read(Offset(0), Offset(2), usize::MAX, true).unwrap();
        chunks.iter().map(Chunk::len).sum::<usize>()
    };
    let batch_bytes = size(&sealed_log(&MemoryDisk::new()));
    let second = FIRST + batch_bytes;
    // base offset, epoch, magic, CRC, attributes, last offset, count, first record, last byte
    for inside in [7, 13, 16, 18, 22, 25, 26, 60, 70, batch_bytes - 1] {
        let (log, found) = flipped(|_| second + inside);
        assert_eq!(found.position, u64::try_from(second).unwrap(), "{inside}");
        assert_eq!(found.offsets, Offset(2)..Offset(4), "{inside}: {found:?}");
        assert_eq!(read(&log, 0).unwrap(), batch_bytes, "up to the damage");
        for refused in [2, 3] {
            let read = read(&log, refused);
            assert!(matches!(read, Err(ReadError::Damaged { .. })), "{read:?}");
        }
        assert_eq!(
            read(&log, 4).unwrap(),
            read(&sealed_log(&MemoryDisk::new()), 4).unwrap(),
            "behind it"
        );
        let next = 2 * BATCHES;
        assert!(read(&log, next).is_ok(), "the next segment is sound");
    }
    // the length: what follows is found by the index
    let (log, found) = flipped(|_| second + 10);
    assert_eq!(found.offsets.start, Offset(2));
    assert!(found.offsets.end > Offset(2));
    assert!(read(&log, 2).is_err());
    assert!(read(&log, 0).is_ok());
}

#[test]
fn damaged_control_frames_are_found_and_refuse_no_records() {
    for at in [3, 20, 40] {
        let (log, found) = flipped(|_| at);
        assert_eq!(found.position, 0);
        assert_eq!(found.offsets, Offset(0)..Offset(0), "{found:?}");
        assert!(read(&log, 0).is_ok());
    }
    let (log, found) = flipped(|size| size - 1);
    assert_eq!(found.offsets, Offset(12)..Offset(12));
    assert!(found.reason.contains("control frame"), "{found:?}");
    assert!(read(&log, 0).is_ok());
}

#[test]
fn a_file_of_another_size_is_found() {
    let disk = MemoryDisk::new();
    let log = sealed_log(&disk);
    let path = segment_paths(&disk).remove(0);
    disk.damage(&path, |bytes| bytes.truncate(bytes.len() - 5));
    let found = pass(&mut Scrubber::default(), &log, u64::MAX);
    assert!(!found.is_empty());
    assert!(matches!(read(&log, 0), Err(ReadError::Damaged { .. })));
}

fn step(log: &Log) -> Scrubbed {
    let mut scrubber = Scrubber::default();
    scrubber.step(&log.reader().view(), u64::MAX).unwrap()
}

#[test]
fn a_missing_or_damaged_index_is_written_anew_and_is_no_damage() {
    let disk = MemoryDisk::new();
    let mut log = sealed_log(&disk);
    log.set_high_watermark(log.log_end());
    let paths = [(0, 1), (12, 9)]
        .map(|(offset, index)| Path::new(DIR).join(index_name(Offset(offset), EntryIndex(index))));
    let written = paths.each_ref().map(|path| disk.bytes_of(path).unwrap());
    disk.damage(&paths[0], |bytes| *bytes.last_mut().unwrap() ^= 1);
    disk.remove(&paths[1]).unwrap();
    let done = step(&log);
    assert_eq!(done.findings, []);
    let reindexed: Vec<_> = done.reindexed.iter().map(|(path, _)| path).collect();
    assert_eq!(reindexed, [&paths[0], &paths[1]]);
    for (path, written) in paths.iter().zip(written) {
        assert_eq!(disk.bytes_of(path), Some(written), "{}", path.display());
    }
    assert_eq!(step(&log).reindexed, [], "once");
    assert!(read(&log, 0).is_ok());
    assert_eq!(log.reader().view().findings(), []);
}

#[test]
fn no_index_is_written_beside_a_damaged_or_uncommitted_segment_or_one_that_is_gone() {
    let index = Path::new(DIR).join(index_name(Offset(0), EntryIndex(1)));
    for what in ["damaged", "uncommitted", "gone"] {
        let disk = MemoryDisk::new();
        let mut log = sealed_log(&disk);
        let path = segment_paths(&disk).remove(0);
        disk.remove(&index).unwrap();
        if what != "uncommitted" {
            log.set_high_watermark(log.log_end());
        }
        match what {
            "damaged" => disk.damage(&path, |bytes| bytes[FIRST + 100] ^= 1),
            // as compaction and retention do it: the index first
            "gone" => disk.remove(&path).unwrap(),
            _ => {}
        }
        let done = step(&log);
        assert_eq!(
            done.findings.len(),
            usize::from(what == "damaged"),
            "{what}"
        );
        assert_eq!(
            (done.reindexed, disk.bytes_of(&index)),
            (vec![], None),
            "{what}"
        );
    }
}

/// Everything up to `last` stays; entries of a new term and of other sizes take the place of the rest, and the
/// segment is sealed again.
fn replace_behind(log: &mut Log, last: u64) {
    log.truncate(EntryIndex(last), &mut |_| Ok(())).unwrap();
    let term = LeaderEpoch(2);
    log.append(Entry::NoOp { term }).unwrap();
    for at in 0..2 * BATCHES {
        append(log, &[at], 1111);
    }
    log.append(Entry::Roll { at_ms: 1 }).unwrap();
    settle(log);
}

#[test]
fn entries_taken_back_while_they_are_read_are_no_alarm() {
    let steps = 12;
    for before in 0..steps {
        for last in [1, 4, 7, 9] {
            let disk = MemoryDisk::new();
            let mut log = sealed_log(&disk);
            let mut scrubber = Scrubber::default();
            let old = log.reader().view();
            for _ in 0..before {
                assert_eq!(scrubber.step(&old, 4096).unwrap().findings, []);
            }
            replace_behind(&mut log, last);
            // one more step with the view of before, as a scrub that was at it does
            let place = format!("after {before} steps, entries after {last}");
            assert_eq!(scrubber.step(&old, 4096).unwrap().findings, [], "{place}");
            assert_eq!(pass(&mut scrubber, &log, 4096), [], "{place}");
            assert_eq!(pass(&mut scrubber, &log, 4096), [], "{place}");
            assert_eq!(log.reader().view().findings(), []);
        }
    }
}
