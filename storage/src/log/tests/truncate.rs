//! Taking entries back: what stays, what a crash leaves, what readers of the old view get.

use super::entries::same;
use super::*;
use crate::fs::{Fault, Surviving};

fn lowered(seen: &mut Vec<Hint>) -> impl FnMut(Hint) -> io::Result<()> + '_ {
    |hint| {
        seen.push(hint);
        Ok(())
    }
}

fn cut(log: &mut Log, last: u64) {
    log.truncate(EntryIndex(last), &mut |_| Ok(())).unwrap();
}

/// Three segments: entries 1 to 12, 13 to 23, and 24 to 33 of which the last three are not synced.
fn three_segments(disk: &MemoryDisk) -> (Log, Vec<StoredEntry>) {
    let mut log = open(disk).unwrap();
    let term = |term| Entry::NoOp {
        term: LeaderEpoch(term),
    };
    log.append(term(1)).unwrap();
    for segment in 0..2 {
        for at in 0..10 {
            append(&mut log, &[at, segment], 200);
        }
        log.append(Entry::Roll { at_ms: segment }).unwrap();
    }
    settle(&mut log);
    log.append(term(2)).unwrap();
    log.append(Entry::LogStart { offset: Offset(3) }).unwrap();
    for at in 0..5 {
        append(&mut log, &[at], 100);
    }
    settle(&mut log);
    for at in 0..3 {
        append(&mut log, &[at], 100);
    }
    log.write().unwrap();
    let entries = log
        .entries(EntryIndex(1), EntryIndex(34), usize::MAX)
        .unwrap();
    (log, entries)
}

/// Everything from the first entry, however many reads it takes.
fn read_all(log: &Log) -> Vec<StoredEntry> {
    let mut found = Vec::new();
    let mut from = log.first_index();
    while from <= log.last_index() {
        let part = log.entries(from, log.last_index().next(), usize::MAX);
        found.extend(part.unwrap());
        from = EntryIndex(u64::try_from(found.len()).unwrap() + 1);
    }
    found
}

fn is_prefix(found: &[StoredEntry], of: &[StoredEntry]) -> bool {
    let same = |(found, wanted): (&StoredEntry, &StoredEntry)| {
        same(found, wanted.index.0, wanted.epoch.0, &wanted.entry)
    };
    found.len() <= of.len() && found.iter().zip(of).all(same)
}

#[test]
fn log_goes_on_after_a_truncation_at_any_entry() {
    for last in 0..=33 {
        let disk = MemoryDisk::new();
        let (mut log, entries) = three_segments(&disk);
        let mut seen = Vec::new();
        log.truncate(EntryIndex(last), &mut lowered(&mut seen))
            .unwrap();
        assert_eq!(log.last_index(), EntryIndex(last));
        assert_eq!(seen.len(), usize::from(last < 30), "synced up to 30");
        let found = read_all(&log);
        assert!(is_prefix(&found, &entries), "{last}");
        let crashed = open(&disk.crash()).unwrap();
        if last < 33 {
            assert_eq!(crashed.last_index(), EntryIndex(last), "durable");
            assert_eq!(log.flushed_index(), EntryIndex(last));
        }
        assert!(is_prefix(&read_all(&crashed), &entries));

        log.append(Entry::NoOp {
            term: LeaderEpoch(5),
        })
        .unwrap();
        let batch = append(&mut log, &[77], 60);
        log.append(Entry::Roll { at_ms: 9 }).unwrap();
        append(&mut log, &[78], 60);
        settle(&mut log);
        let found = read_all(&log);
        assert!(is_prefix(
            &found[..usize::try_from(last).unwrap()],
            &entries
        ));
        let place = usize::try_from(last).unwrap() + 1;
        assert!(same(&found[place], last + 2, 5, &Entry::Batch(batch)));
        for reopened in [open(&disk.crash()).unwrap(), open(&disk).unwrap()] {
            assert!(is_prefix(&read_all(&reopened), &found), "{last}");
            assert_eq!(reopened.last_index(), EntryIndex(last + 4));
            assert_eq!(all(&reopened), all(&log));
        }
        assert_eq!(log.term(EntryIndex(last + 1)), Some(LeaderEpoch(5)));
    }
}

#[test]
fn staged_entries_are_dropped_without_touching_the_disk() {
    let disk = MemoryDisk::new();
    let (mut log, entries) = three_segments(&disk);
    append(&mut log, &[1], 10);
    log.append(Entry::Roll { at_ms: 1 }).unwrap();
    append(&mut log, &[2], 10);
    disk.fail(Fault {
        at_call: 0,
        kind: io::ErrorKind::Other,
        lasting: true,
    });
    for last in [36, 35, 34, 33] {
        cut(&mut log, last);
        assert_eq!(log.last_index(), EntryIndex(last));
    }
    disk.heal();
    append(&mut log, &[3], 10);
    settle(&mut log);
    let found = read_all(&log);
    assert!(is_prefix(&found[..33], &entries));
    assert_eq!(open(&disk.crash()).unwrap().last_index(), EntryIndex(34));
}

#[test]
fn what_must_stay_is_refused_without_harm() {
    let disk = MemoryDisk::new();
    let (mut log, entries) = three_segments(&disk);
    log.commit(EntryIndex(20));
    assert!(log.truncate(EntryIndex(19), &mut |_| Ok(())).is_err());
    log.raise_first_index(EntryIndex(26));
    assert!(log.truncate(EntryIndex(24), &mut |_| Ok(())).is_err());
    let point = log.sync_point().unwrap();
    assert!(log.is_syncing());
    assert!(log.truncate(EntryIndex(31), &mut |_| Ok(())).is_err());
    log.synced(point.run()).unwrap();
    assert!(log.write_error().is_none());
    cut(&mut log, 31);
    assert_eq!(log.last_index(), EntryIndex(31));
    assert_eq!(log.log_start(), Offset(0));
    log.commit(EntryIndex(31));
    assert_eq!(log.log_start(), Offset(3), "moved by an entry that stayed");
    let found = log.entries(EntryIndex(26), EntryIndex(32), usize::MAX);
    assert!(is_prefix(&found.unwrap(), &entries[25..]));
}

#[test]
fn log_start_that_is_taken_back_never_counts() {
    let disk = MemoryDisk::new();
    let (mut log, _) = three_segments(&disk);
    cut(&mut log, 24);
    log.commit(EntryIndex(24));
    append(&mut log, &[1], 10);
    settle(&mut log);
    log.commit(log.last_index());
    assert_eq!(log.log_start(), Offset(0));
}

#[test]
fn hint_that_cannot_be_lowered_leaves_the_log_as_it_is() {
    let disk = MemoryDisk::new();
    let (mut log, entries) = three_segments(&disk);
    let failed = log.truncate(EntryIndex(5), &mut |_| Err(io::ErrorKind::Other.into()));
    assert!(failed.is_err());
    assert!(log.write_error().is_some());
    drop(log);
    let log = open(&disk).unwrap();
    assert!(is_prefix(&entries, &read_all(&log)), "nothing was cut");
}

#[test]
fn crash_at_any_call_leaves_a_prefix_and_nothing_else() {
    for last in [0, 5, 12, 17, 22, 23, 25, 31] {
        for at_call in 0.. {
            let disk = MemoryDisk::new();
            let (mut log, entries) = three_segments(&disk);
            disk.fail(Fault {
                at_call,
                kind: io::ErrorKind::Other,
                lasting: true,
            });
            let done = log.truncate(EntryIndex(last), &mut |_| Ok(()));
            let complete = done.is_ok();
            assert_eq!(complete, log.write_error().is_none());
            drop(log);
            disk.heal();
            let kept = |_: &Path, _: usize| Surviving::All;
            let lost = |_: &Path, _: usize| Surviving::None;
            for after in [
                disk.crash(),
                disk.crash_keeping(true, &mut { kept }),
                disk.crash_keeping(true, &mut { lost }),
                disk.crash_keeping(false, &mut { kept }),
            ] {
                let log = open(&after).unwrap();
                let found = read_all(&log);
                assert!(is_prefix(&found, &entries), "{last}, call {at_call}");
                assert!(log.last_index() >= EntryIndex(last.min(30)), "synced");
                assert!(!complete || log.last_index() == EntryIndex(last));
                let again = open(&after.crash()).unwrap();
                assert_eq!(
                    again.last_index(),
                    log.last_index(),
                    "recovery is idempotent"
                );
            }
            if complete {
                break;
            }
        }
    }
}

#[test]
fn view_of_truncated_entries_gives_an_error_and_never_other_bytes() {
    for last in [3, 12, 15, 26] {
        let disk = MemoryDisk::new();
        let (mut log, _) = three_segments(&disk);
        log.close_and_reopen_if(last % 2 == 1, &disk);
        let view = log.reader().view();
        let before = all(&log);
        cut(&mut log, last);
        let end = log.log_end();
        // the same sizes in the same places, but another epoch and other bytes
        log.append(Entry::NoOp {
            term: LeaderEpoch(9),
        })
        .unwrap();
        for _ in 0..20 {
            append(&mut log, &[99, 99], 200);
        }
        settle(&mut log);
        for batch in &before {
            let (from, upto) = (batch.base_offset(), batch.last_offset().plus(1));
            match view.read(from, upto, usize::MAX, true) {
                Ok(chunks) => {
                    let read = batches_of(&chunks);
                    assert_eq!(read, std::slice::from_ref(batch), "{last}, offset {from}");
                    assert!(upto <= end, "{last}, offset {from}");
                }
                Err(error) => assert!(upto > end, "{last}, offset {from}: {error}"),
            }
            let time = view.find_timestamp(99, view.log_end());
            assert!(!matches!(time, Ok(Some(_))), "{last}: {time:?}");
        }
    }
}

#[test]
fn truncation_under_a_reader_with_mapped_files_is_an_error_and_not_a_signal() {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = Log::open(
        Arc::new(RealDisk),
        &path,
        identity(),
        LogConfig::default(),
        Known::default(),
    )
    .unwrap();
    for at in 0..20 {
        append(&mut log, &[at], 20_000);
        if at % 10 == 9 {
            log.append(Entry::Roll { at_ms: at }).unwrap();
            settle(&mut log);
        }
    }
    let view = log.reader().view();
    let chunks = view.read(Offset(0), Offset(20), usize::MAX, true).unwrap();
    let whole: Vec<Bytes> = chunks
        .iter()
        .map(|chunk| chunk.to_bytes().unwrap())
        .collect();
    assert_eq!(whole.len(), 2, "one per segment");
    cut(&mut log, 4);
    let received: Vec<Vec<u8>> = chunks
        .iter()
        .map(|chunk| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let sent = rustix::io::writev(&ours, &[chunk.io_slice()]).unwrap_or(0);
            drop(ours);
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).unwrap();
            assert_eq!(received.len(), sent);
            received
        })
        .collect();
    let sound = whole[0].len() / 10 * 4;
    assert!(
        received[0].len() < whole[0].len(),
        "it ends where it was cut"
    );
    let compared = received[0].len().min(sound);
    assert!(received[0][..compared] == whole[0][..compared]);
    assert!(chunks[0].to_bytes().is_err());
    assert!(
        whole[1].starts_with(&received[1]) && !received[1].is_empty(),
        "a removed file is whole for those who have it"
    );
    assert!(chunks[1].to_bytes().unwrap() == whole[1]);
    for from in 0..20 {
        let read = view.read(Offset(from), Offset(from + 1), usize::MAX, true);
        assert_eq!(read.is_ok(), from < 4, "offset {from}");
    }
    assert_eq!(all(&log).len(), 4);
}

#[test]
fn large_segment_is_cut_behind_what_its_index_covers() {
    for reopened in [false, true] {
        let disk = MemoryDisk::new();
        let mut log = open(&disk).unwrap();
        log.append(Entry::NoOp {
            term: LeaderEpoch(1),
        })
        .unwrap();
        for at in 0..12 {
            append(&mut log, &[at, at], 512 << 10);
            settle(&mut log);
        }
        if reopened {
            log = open(&disk).unwrap();
        }
        let before = all(&log);
        cut(&mut log, 11);
        log.append(Entry::NoOp {
            term: LeaderEpoch(2),
        })
        .unwrap();
        append(&mut log, &[100], 60);
        log.append(Entry::Roll { at_ms: 1 }).unwrap();
        append(&mut log, &[101], 60);
        settle(&mut log);
        for log in [&log, &open(&disk.crash()).unwrap()] {
            let found = all(log);
            assert_eq!(found.len(), 12);
            assert_eq!(found[..10], before[..10]);
            let view = log.reader().view();
            let time = view.find_timestamp(100, view.log_end()).unwrap();
            assert_eq!(time, Some((Offset(20), 100)));
            assert_eq!(view.max_timestamp(Offset(20)).unwrap().unwrap().1, 9);
        }
    }
}

impl Log {
    /// So that the segments of the view are sealed files opened anew, or the ones just written.
    fn close_and_reopen_if(&mut self, reopen: bool, disk: &MemoryDisk) {
        if reopen {
            settle(self);
            *self = open(disk).unwrap();
        }
    }
}
