//! The log by entry: what is given back, its epochs, voter sets, the first index, removal.

use super::*;
use crate::segment::format::SEGMENT_HEADER_BYTES;
use crate::segment::reader::Segment;

/// What was appended, as [`Log::entries`] should give it back.
pub(super) fn same(found: &StoredEntry, index: u64, epoch: i32, entry: &Entry) -> bool {
    let equal = match (&found.entry, entry) {
        (Entry::Batch(found), Entry::Batch(wanted)) => found == wanted,
        (Entry::NoOp { term: found }, Entry::NoOp { term: wanted }) => found == wanted,
        (Entry::Roll { at_ms: found }, Entry::Roll { at_ms: wanted }) => found == wanted,
        (Entry::LogStart { offset: found }, Entry::LogStart { offset: wanted }) => found == wanted,
        (Entry::Membership { content: found }, Entry::Membership { content: wanted }) => {
            found == wanted
        }
        _ => false,
    };
    equal && found.index == EntryIndex(index) && found.epoch == LeaderEpoch(epoch)
}

fn no_op(log: &mut Log, term: i32) -> Entry {
    let entry = Entry::NoOp {
        term: LeaderEpoch(term),
    };
    log.append(entry.clone()).unwrap();
    entry
}

fn control(log: &mut Log, entry: Entry) -> Entry {
    log.append(entry.clone()).unwrap();
    entry
}

/// Entries of all kinds in three segments, some of them only staged; with their epochs.
fn of_all_kinds(log: &mut Log) -> Vec<(i32, Entry)> {
    let mut all = vec![(1, no_op(log, 1))];
    let voters = |name: &'static [u8]| Entry::Membership {
        content: Bytes::from_static(name),
    };
    all.push((1, control(log, voters(b"first"))));
    for at in 0..30 {
        all.push((1, Entry::Batch(append(log, &[at, at], 300))));
    }
    all.push((1, control(log, Entry::Roll { at_ms: 5 })));
    all.push((3, no_op(log, 3)));
    all.push((3, control(log, Entry::LogStart { offset: Offset(4) })));
    for at in 0..20 {
        all.push((3, Entry::Batch(append(log, &[at], 900))));
    }
    all.push((3, control(log, voters(b"second"))));
    all.push((3, control(log, Entry::Roll { at_ms: 6 })));
    settle(log);
    all.push((3, Entry::Batch(append(log, &[1], 10))));
    log.write().unwrap();
    all.push((4, no_op(log, 4)));
    all.push((4, control(log, voters(b"third"))));
    all.push((4, Entry::Batch(append(log, &[1], 10))));
    all
}

#[test]
fn entries_of_all_kinds_are_given_back_from_any_place() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    let all = of_all_kinds(&mut log);
    let last = u64::try_from(all.len()).unwrap();
    assert_eq!(log.last_index(), EntryIndex(last));
    for reopened in [false, true] {
        if reopened {
            settle(&mut log);
            log.close().unwrap();
            log = open(&disk).unwrap();
        }
        assert_eq!(log.first_index(), EntryIndex(1));
        for from in 1..=last {
            for bytes_max in [0, 700, 5_000, usize::MAX] {
                let mut next = from;
                let upto = EntryIndex(from + 40);
                while next <= last && next < upto.0 {
                    let found = log.entries(EntryIndex(next), upto, bytes_max).unwrap();
                    assert!(!found.is_empty(), "from {next}");
                    assert!(bytes_max > 0 || found.len() == 1);
                    for entry in found {
                        let (epoch, wanted) = &all[usize::try_from(next).unwrap() - 1];
                        assert!(same(&entry, next, *epoch, wanted), "{next}: {entry:?}");
                        next += 1;
                    }
                }
                assert!(next > last || next == upto.0);
            }
        }
        for (at, (epoch, _)) in all.iter().enumerate() {
            let index = EntryIndex(u64::try_from(at).unwrap() + 1);
            assert_eq!(log.term(index), Some(LeaderEpoch(*epoch)));
        }
        assert_eq!(log.term(EntryIndex(0)), Some(LeaderEpoch(0)));
        assert_eq!(log.term(EntryIndex(last + 1)), None);
        let voters = |upto| {
            let found = log.membership(EntryIndex(upto)).unwrap();
            found.map(|(index, content)| (index.0, content))
        };
        assert_eq!(voters(1), None);
        assert_eq!(voters(2), Some((2, Bytes::from_static(b"first"))));
        assert_eq!(voters(55), Some((2, Bytes::from_static(b"first"))));
        assert_eq!(voters(56), Some((56, Bytes::from_static(b"second"))));
        assert_eq!(voters(last), Some((last - 1, Bytes::from_static(b"third"))));
        for after in 0..=last {
            let found = log.membership_after(EntryIndex(after), EntryIndex(last));
            let newest = (last - 1 > after).then_some(last - 1);
            assert_eq!(found.unwrap().map(|(index, _)| index.0), newest);
            let found = log.membership_after(EntryIndex(after), EntryIndex(56));
            assert_eq!(found.unwrap().is_some(), after < 56, "behind {after}");
        }
    }
    assert!(
        log.entries(EntryIndex(last + 1), EntryIndex(last + 1), 1)
            .unwrap()
            .is_empty()
    );
    assert!(
        log.entries(EntryIndex(last + 1), EntryIndex(last + 2), 1)
            .is_err()
    );
}

#[test]
fn entries_below_the_first_index_are_not_given() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    of_all_kinds(&mut log);
    log.raise_first_index(EntryIndex(40));
    log.raise_first_index(EntryIndex(30));
    assert_eq!(log.first_index(), EntryIndex(40));
    assert_eq!(log.term(EntryIndex(39)), Some(LeaderEpoch(3)));
    assert_eq!(log.term(EntryIndex(38)), None);
    let refused = log.entries(EntryIndex(39), EntryIndex(60), 1).unwrap_err();
    assert!(
        matches!(refused, ReadError::NoSuchEntry { .. }),
        "{refused}"
    );
    assert!(log.entries(EntryIndex(40), EntryIndex(60), 1).is_ok());
    log.raise_first_index(EntryIndex(1000));
    assert_eq!(log.first_index(), log.last_index().next());
}

#[test]
fn flipped_byte_is_never_given_to_another_replica() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    of_all_kinds(&mut log);
    let path = &segment_paths(&disk)[0];
    let whole = disk.bytes_of(path).unwrap();
    let good = log
        .entries(EntryIndex(1), EntryIndex(34), usize::MAX)
        .unwrap();
    for at in (89..whole.len()).step_by(5) {
        disk.damage(path, |bytes| bytes[at] ^= 4);
        match log.entries(EntryIndex(1), EntryIndex(34), usize::MAX) {
            Err(ReadError::Corrupt { .. }) => {}
            // a damaged length: the answer ends before the frame
            Ok(found) => {
                assert!(found.len() < good.len(), "byte {at}");
                for (found, good) in found.iter().zip(&good) {
                    assert!(same(found, good.index.0, good.epoch.0, &good.entry));
                }
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
        disk.damage(path, |bytes| bytes.clone_from(&whole));
    }
}

#[test]
fn segments_below_a_committed_log_start_are_removed_oldest_first() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    no_op(&mut log, 2);
    control(
        &mut log,
        Entry::Membership {
            content: Bytes::from_static(b"voters"),
        },
    );
    let mut batches = Vec::new();
    for at in 0..4 {
        for _ in 0..3 {
            batches.push(append(&mut log, &[at, at], 50));
        }
        control(&mut log, Entry::Roll { at_ms: at });
    }
    control(&mut log, Entry::LogStart { offset: Offset(13) });
    settle(&mut log);
    assert_eq!(log.segments().len(), 4);
    log.raise_first_index(log.last_index());
    assert_eq!(log.remove_below_log_start().unwrap(), 0, "not committed");
    log.commit(log.last_index());
    assert_eq!(log.log_start(), Offset(13));
    let pin = log.pin();
    assert_eq!(log.remove_below_log_start().unwrap(), 0, "pinned");
    drop(pin);
    let before = log.reader().view();
    assert_eq!(log.remove_below_log_start().unwrap(), 2);
    assert_eq!(log.remove_below_log_start().unwrap(), 0);
    assert_eq!(segment_paths(&disk).len(), 3);
    assert_eq!(all(&log), batches[6..]);
    assert_eq!(before.segments().len(), 4, "a view never changes");

    for disk in [disk.crash(), disk.clone()] {
        let mut log = open(&disk).unwrap();
        assert_eq!(log.log_start(), Offset(12), "the start of the oldest file");
        assert_eq!(log.first_index(), EntryIndex(11));
        assert_eq!(log.term(EntryIndex(10)), Some(LeaderEpoch(2)));
        assert_eq!(log.term(EntryIndex(9)), None);
        assert_eq!(all(&log), batches[6..]);
        log.commit(log.last_index());
        assert_eq!(log.log_start(), Offset(13));
        assert_eq!(log.membership(log.last_index()).unwrap(), None);
        log.restore_membership(EntryIndex(2), Bytes::from_static(b"voters"));
        let known = Some((EntryIndex(2), Bytes::from_static(b"voters")));
        assert_eq!(log.membership(log.last_index()).unwrap(), known);
        let view = log.reader().view();
        assert_eq!(view.epoch_at(Offset(13)), LeaderEpoch(2));
    }
    let voters = log.membership(log.last_index()).unwrap();
    assert_eq!(voters, Some((EntryIndex(2), Bytes::from_static(b"voters"))));
}

#[test]
fn damaged_segment_below_the_log_start_is_removed() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    no_op(&mut log, 1);
    for at in 0..2 {
        for _ in 0..3 {
            append(&mut log, &[at], 50);
        }
        control(&mut log, Entry::Roll { at_ms: at });
    }
    control(&mut log, Entry::LogStart { offset: Offset(3) });
    settle(&mut log);
    log.raise_first_index(log.last_index());
    log.commit(log.last_index());
    // files and indexes are opened anew
    log.trim_idle().unwrap();
    log.trim_idle().unwrap();
    let path = segment_paths(&disk).remove(0);
    disk.remove(&path.with_extension("index")).unwrap();
    disk.damage(&path, |bytes| bytes[SEGMENT_HEADER_BYTES + 40] ^= 0xFF);
    assert_eq!(log.remove_below_log_start().unwrap(), 1);
    assert_eq!(log.write_error().map(ToString::to_string), None);
    assert_eq!(all(&log).len(), 3);
    assert_eq!(log.log_end(), Offset(6));
}

#[test]
fn last_file_stays_although_all_its_records_are_gone() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    no_op(&mut log, 1);
    append(&mut log, &[1], 50);
    control(&mut log, Entry::LogStart { offset: Offset(1) });
    control(&mut log, Entry::Roll { at_ms: 1 });
    settle(&mut log);
    log.commit(log.last_index());
    log.raise_first_index(log.last_index().next());
    assert_eq!(log.remove_below_log_start().unwrap(), 0);
    let end = (log.log_end(), log.last_index(), log.epoch());
    drop(log);
    let log = open(&disk.crash()).unwrap();
    assert_eq!((log.log_end(), log.last_index(), log.epoch()), end);
}

#[test]
fn voter_set_that_is_known_costs_no_look_into_older_segments() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    for segment in 0..4 {
        let content = Bytes::from(format!("voters {segment}"));
        log.append(Entry::Membership { content }).unwrap();
        append(&mut log, &[1, 2], 100);
        log.append(Entry::Roll { at_ms: 1 }).unwrap();
        settle(&mut log);
    }
    let (known, _) = log.membership(log.last_index()).unwrap().unwrap();
    log.close().unwrap();
    let log = open(&disk).unwrap();
    let found = log.membership_after(known, log.last_index()).unwrap();
    assert_eq!(found, None);
    let view = log.shared.load();
    let loaded = |segment: &Segment| segment.sealed_file().unwrap().index.is_loaded();
    let loaded: Vec<bool> = view.sealed.iter().map(loaded).collect();
    assert_eq!(loaded, [false, false, false, true]);
}
