//! Starts after a clean stop: what is taken over, and when it is not.

use super::*;
use crate::fs::Surviving;

fn reopen(disk: &MemoryDisk, checkpoint: &LogCheckpoint) -> Result<Log, OpenError> {
    let config = LogConfig::default();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let known = Known {
        hint: Some(checkpoint.hint()),
        checkpoint: Some(checkpoint.clone()),
    };
    Log::open(disk, Path::new(DIR), identity(), config, known)
}

/// A closed log: `segments` sealed ones, and an active one unless the last entry is the ROLL.
fn closed(disk: &MemoryDisk, segments: i64, active: bool) -> LogCheckpoint {
    let mut log = open(disk).unwrap();
    let term = LeaderEpoch(3);
    log.append(Entry::NoOp { term }).unwrap();
    for at in 0..segments {
        for _ in 0..5 {
            append(&mut log, &[at, 3], 2000);
        }
        let offset = Offset(at);
        log.append(Entry::LogStart { offset }).unwrap();
        log.append(Entry::Roll { at_ms: at }).unwrap();
    }
    if active {
        append(&mut log, &[99], 2000);
        append(&mut log, &[98], 2000);
    }
    log.close().unwrap()
}

/// Everything that a log shows.
fn shown(log: &Log) -> impl PartialEq + std::fmt::Debug {
    let view = log.reader().view();
    let offsets = (0..view.log_end().0).map(Offset);
    let epochs: Vec<_> = offsets.map(|offset| view.epoch_at(offset)).collect();
    (
        (all(log), log.segments(), epochs),
        (log.log_end(), log.flushed(), log.last_index(), log.epoch()),
        (
            view.size_bytes(),
            view.find_timestamp(98, view.log_end()).unwrap(),
        ),
        (log.first_index(), log.should_roll(2000, 5000)),
    )
}

#[test]
fn log_is_taken_over_as_recovery_would_find_it() {
    for (segments, active) in [(0, true), (1, false), (3, true), (3, false)] {
        let disk = MemoryDisk::new();
        let checkpoint = closed(&disk, segments, active);
        let bytes = checkpoint.encode().unwrap();
        assert_eq!(LogCheckpoint::decode(&bytes), Some(checkpoint.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(LogCheckpoint::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        let copy = disk.crash();
        let mut recovered = open(&copy).unwrap();
        let mut taken = reopen(&disk, &checkpoint).unwrap();
        assert_eq!(shown(&taken), shown(&recovered), "{segments} {active}");
        recovered.commit(recovered.last_index());
        taken.commit(taken.last_index());
        assert_eq!(taken.log_start(), recovered.log_start());
        for log in [&mut taken, &mut recovered] {
            append(log, &[7], 100);
            log.append(Entry::Roll { at_ms: 9 }).unwrap();
            append(log, &[8], 100);
            settle(log);
        }
        assert_eq!(shown(&taken), shown(&recovered));
        drop((taken, recovered));
        let (taken, recovered) = (open(&disk.crash()).unwrap(), open(&copy.crash()).unwrap());
        assert_eq!(shown(&taken), shown(&recovered));
    }
}

#[test]
fn sealed_segments_are_not_read_and_nothing_is_synced() {
    let (small, large) = (MemoryDisk::new(), MemoryDisk::new());
    let calls = |disk: &MemoryDisk, segments| {
        let checkpoint = closed(disk, segments, true);
        let before = disk.calls();
        drop(reopen(disk, &checkpoint).unwrap());
        disk.calls() - before
    };
    let (few, many) = (calls(&small, 1), calls(&large, 21));
    assert_eq!(many - few, 2 * 20, "opened and measured, no more");
    assert!(few < 32, "{few}");
}

#[test]
fn checkpoint_is_believed_after_a_truncation_into_a_sealed_segment() {
    let changes_of_start = |disk: &MemoryDisk, checkpoint: &LogCheckpoint| {
        disk.record();
        drop(reopen(disk, checkpoint).unwrap());
        disk.take_trace().len()
    };
    let whole = MemoryDisk::new();
    let checkpoint = closed(&whole, 2, true);
    let expected = changes_of_start(&whole, &checkpoint);
    for segment in [0, 1] {
        let disk = MemoryDisk::new();
        drop(closed(&disk, 3, true));
        let mut log = open(&disk).unwrap();
        let last = log.segments()[segment].last_index;
        // the ROLL goes, and a batch before it
        log.truncate(EntryIndex(last.0 - 3), &mut |_| Ok(()))
            .unwrap();
        append(&mut log, &[50], 100);
        let checkpoint = log.close().unwrap();
        assert_eq!(changes_of_start(&disk, &checkpoint), expected, "{segment}");
        let taken = reopen(&disk, &checkpoint).unwrap();
        let recovered = open(&disk.crash()).unwrap();
        assert_eq!(shown(&taken), shown(&recovered));
    }
}

#[test]
fn checkpoint_that_does_not_fit_is_not_believed() {
    let disk = MemoryDisk::new();
    let checkpoint = closed(&disk, 2, true);
    let expected = all(&open(&disk.crash()).unwrap());
    let paths = segment_paths(&disk);
    let indexes: Vec<PathBuf> = paths
        .iter()
        .map(|path| path.with_extension("index"))
        .collect();
    let copy = || disk.crash_keeping(true, &mut |_, _| Surviving::All);
    let taken = |disk: &MemoryDisk| reopen(disk, &checkpoint).map(|log| all(&log));

    let longer = copy();
    let mut log = open(&longer).unwrap();
    let more = append(&mut log, &[5], 50);
    settle(&mut log);
    drop(log);
    let mut with_more = expected.clone();
    with_more.push(more);
    assert_eq!(
        taken(&longer).unwrap(),
        with_more,
        "it went on after the stop"
    );

    let without_index = copy();
    for path in &indexes {
        drop(without_index.remove(path));
    }
    assert_eq!(taken(&without_index).unwrap(), expected);

    let missing = copy();
    missing.remove(&paths[1]).unwrap();
    assert!(taken(&missing).is_err(), "a file is missing");

    let shorter = copy();
    shorter.damage(&paths[2], |bytes| bytes.truncate(bytes.len() - 1));
    assert!(taken(&shorter).is_err(), "the last frame is cut");

    let flipped = copy();
    flipped.damage(&paths[2], |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(taken(&flipped).is_err(), "the last frame is not sound");

    let sealed = copy();
    sealed.damage(&paths[0], |bytes| bytes.truncate(bytes.len() - 1));
    assert!(taken(&sealed).is_err(), "a sealed segment is cut");
}

#[test]
fn crash_after_a_start_that_took_it_over_is_survived() {
    for segments in [0, 2] {
        let disk = MemoryDisk::new();
        let checkpoint = closed(&disk, segments, true);
        let mut log = reopen(&disk, &checkpoint).unwrap();
        let term = LeaderEpoch(4);
        log.append(Entry::NoOp { term }).unwrap();
        append(&mut log, &[1], 500);
        settle(&mut log);
        let written = all(&log);
        append(&mut log, &[2], 500);
        log.write().unwrap();
        drop(log);
        let log = open(&disk.crash()).unwrap();
        assert_eq!((all(&log), log.epoch()), (written, LeaderEpoch(4)));
    }
}
