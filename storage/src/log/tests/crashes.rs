//! Torn tails, damage, and calls that fail.

use super::*;
use crate::fs::{Fault, Surviving};
use crate::segment::format::{ControlFrame, write_control};

/// A log whose last group of three batches is written but not synced; gives the batches before it.
fn with_unsynced_group(disk: &MemoryDisk) -> (Log, Vec<Batch>, Vec<Batch>) {
    let mut log = open(disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let synced: Vec<Batch> = (0..3).map(|at| append(&mut log, &[at], 50)).collect();
    settle(&mut log);
    let unsynced: Vec<Batch> = (0..3).map(|at| append(&mut log, &[at], 60)).collect();
    log.write().unwrap();
    (log, synced, unsynced)
}

fn corrupt_position(error: &OpenError) -> Option<u64> {
    match error {
        OpenError::Corrupt { position, .. } => Some(*position),
        OpenError::Io { .. } => None,
    }
}

fn only_segment(disk: &MemoryDisk) -> PathBuf {
    let mut paths = segment_paths(disk);
    assert_eq!(paths.len(), 1);
    paths.remove(0)
}

#[test]
fn tail_torn_at_any_byte_of_the_last_group_is_cut() {
    let disk = MemoryDisk::new();
    let (log, synced, unsynced) = with_unsynced_group(&disk);
    let group: usize = unsynced.iter().map(Batch::size_bytes).sum();
    drop(log);
    for kept in 0..=group {
        let after = disk.crash_keeping(true, &mut |_, len| {
            if len == group {
                Surviving::First(kept)
            } else {
                Surviving::All
            }
        });
        let log = open(&after).unwrap();
        let found = all(&log);
        assert_eq!(found[..3], synced);
        let whole = unsynced.iter().scan(0, |end, batch| {
            *end += batch.size_bytes();
            Some(*end)
        });
        let whole = whole.filter(|end| *end <= kept).count();
        assert_eq!(found[3..], unsynced[..whole], "kept {kept}");
        drop(log);
        assert_eq!(
            all(&open(&after.crash()).unwrap()),
            found,
            "the second time gives the same"
        );
    }
}

#[test]
fn holes_in_the_last_group_are_cut_although_sound_frames_follow() {
    let disk = MemoryDisk::new();
    let (log, synced, unsynced) = with_unsynced_group(&disk);
    drop(log);
    let path = only_segment(&disk);
    let start: usize = all(&open(&disk).unwrap())[..3]
        .iter()
        .map(Batch::size_bytes)
        .sum();
    let start = start + 89 + 31;
    for hole in 0..unsynced[0].size_bytes() {
        let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
        after.damage(&path, |bytes| bytes[start + hole] ^= 0x55);
        let log = open(&after).unwrap();
        let found = all(&log);
        // The stamp of a batch is checked by continuity, not by the CRC; every byte matters to one of them.
        assert_eq!(found, synced, "hole at {hole}");
    }
}

#[test]
fn flipped_byte_below_the_hint_is_refused_and_never_cut() {
    let disk = MemoryDisk::new();
    let (mut log, ..) = with_unsynced_group(&disk);
    settle(&mut log);
    let size = usize::try_from(log.reader().view().size_bytes()).unwrap();
    let hint = Some(log.hint());
    drop(log);
    let path = only_segment(&disk);
    for at in 0..size {
        let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
        after.damage(&path, |bytes| bytes[at] ^= 0x01);
        let before = after.bytes_of(&path);
        let refused = open_known(&after, hint).unwrap_err();
        let position = corrupt_position(&refused).unwrap();
        assert!(position <= as_u64(at), "byte {at} reported at {position}");
        assert!(
            refused.to_string().contains("00000000000000000000-1.log"),
            "{refused}"
        );
        assert_eq!(after.bytes_of(&path), before, "nothing was changed");
    }
}

#[test]
fn log_cut_below_the_hint_is_refused() {
    let disk = MemoryDisk::new();
    let (mut log, ..) = with_unsynced_group(&disk);
    settle(&mut log);
    let size = usize::try_from(log.reader().view().size_bytes()).unwrap();
    let hint = Some(log.hint());
    drop(log);
    let path = only_segment(&disk);
    for cut in 0..size {
        let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
        after.damage(&path, |bytes| bytes.truncate(cut));
        assert!(
            corrupt_position(&open_known(&after, hint).unwrap_err()).is_some(),
            "cut at {cut}"
        );
    }
    disk.remove(&path).unwrap();
    let refused = open_known(&disk, hint).unwrap_err();
    assert!(
        refused.to_string().contains("files are missing"),
        "{refused}"
    );
}

#[test]
fn damage_more_than_a_group_before_the_end_is_refused_without_a_hint() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    for at in 0..6 {
        append(&mut log, &[at], 1 << 20);
        settle(&mut log);
    }
    drop(log);
    let path = only_segment(&disk);
    let refused_with_damage_at = |at: usize| {
        let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
        after.damage(&path, |bytes| bytes[at] ^= 0xFF);
        open(&after).is_err()
    };
    let batch_bytes = (1 << 20) + 80;
    assert!(refused_with_damage_at(40), "the header");
    assert!(refused_with_damage_at(500), "the first batch");
    assert!(
        refused_with_damage_at(batch_bytes + 500),
        "the second batch"
    );
    assert!(
        !refused_with_damage_at(3 * batch_bytes + 500),
        "within the last group"
    );
}

#[test]
fn record_that_looks_like_a_frame_is_not_taken_for_one() {
    let disk = MemoryDisk::new();
    let (mut log, synced, _) = with_unsynced_group(&disk);
    settle(&mut log);
    // A value that holds five MiB of frames which would continue the log.
    let mut fake = BatchBuilder::new(Compression::None);
    fake.push(1, None, Some(&vec![b'f'; 5 << 20]), &[]);
    let mut fake = fake.build();
    fake.stamp(Offset(6), LeaderEpoch(1));
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(1, None, Some(&fake.to_bytes()), &[]);
    let mut carrier = builder.build();
    carrier.stamp(Offset(6), LeaderEpoch(1));
    log.append(Entry::Batch(carrier.clone())).unwrap();
    log.write().unwrap();
    drop(log);
    let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
    let path = only_segment(&disk);
    let whole = after.bytes_of(&path).unwrap();
    let carried = whole.len() - carrier.size_bytes();
    after.damage(&path, |bytes| {
        let at = bytes
            .windows(21)
            .position(|window| window == &carrier.to_bytes()[..21])
            .unwrap();
        assert!(at <= carried);
        bytes[at + 17] ^= 1;
    });
    let log = open(&after).unwrap();
    assert_eq!(
        log.log_end(),
        Offset(6),
        "the torn batch is cut, its value is not read"
    );
    assert_eq!(all(&log)[..3], synced);
}

#[test]
fn unknown_kind_of_frame_is_refused_with_its_place() {
    let disk = MemoryDisk::new();
    let (mut log, ..) = with_unsynced_group(&disk);
    settle(&mut log);
    let end = log.reader().view().size_bytes();
    let (offset, epoch, index) = (log.log_end(), log.epoch(), log.last_index().next());
    drop(log);
    let seed = Seed::new(&identity(), EntryIndex(1));
    let frame = ControlFrame {
        offset,
        epoch,
        index,
        control: Control::NoOp,
    };
    let mut bytes = write_control(&frame, seed);
    bytes[21] = 8;
    let crc = crc32c::crc32c_append(seed_crc(), &bytes[..17]);
    let crc = crc32c::crc32c_append(crc, &bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let path = only_segment(&disk);
    let at = usize::try_from(end).unwrap();
    disk.damage(&path, |file| {
        file[at..at + bytes.len()].copy_from_slice(&bytes);
    });
    let refused = open(&disk).unwrap_err();
    assert_eq!(corrupt_position(&refused), Some(end));
    assert!(refused.to_string().contains("unknown kind 8"), "{refused}");
}

fn seed_crc() -> u32 {
    let crc = crc32c::crc32c(identity().topic_id.as_bytes());
    let crc = crc32c::crc32c_append(crc, &identity().partition.to_be_bytes());
    crc32c::crc32c_append(crc, &1_u64.to_be_bytes())
}

/// Three sealed segments and an active one, all synced.
fn with_segments(disk: &MemoryDisk) -> Vec<Batch> {
    let mut log = open(disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let mut written = Vec::new();
    for at in 0..4 {
        if at > 0 {
            log.append(Entry::Roll { at_ms: at }).unwrap();
        }
        written.extend((0..3).map(|time| append(&mut log, &[time + at, 9], 3000)));
    }
    settle(&mut log);
    written
}

#[test]
fn missing_and_damaged_indexes_are_rebuilt() {
    let disk = MemoryDisk::new();
    let written = with_segments(&disk);
    let names = disk.list(Path::new(DIR)).unwrap();
    let indexes: Vec<PathBuf> = names
        .iter()
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "index")
        })
        .map(|name| Path::new(DIR).join(name))
        .collect();
    assert_eq!(indexes.len(), 3);
    for damage in 0..4 {
        let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
        for path in &indexes {
            match damage {
                0 => after.remove(path).unwrap(),
                1 => after.damage(path, |bytes| bytes.truncate(50)),
                2 => after.damage(path, |bytes| bytes[30] ^= 1),
                _ => after.damage(path, |bytes| *bytes.last_mut().unwrap() ^= 1),
            }
        }
        let log = open(&after).unwrap();
        assert_eq!(all(&log), written, "damage {damage}");
        let view = log.reader().view();
        assert_eq!(
            view.find_timestamp(9, Offset(24)).unwrap(),
            Some((Offset(1), 9))
        );
        assert_eq!(view.epoch_at(Offset(20)), LeaderEpoch(1));
    }
}

#[test]
fn index_of_another_segment_is_not_believed() {
    let disk = MemoryDisk::new();
    let written = with_segments(&disk);
    let index = |at: usize| segment_paths(&disk)[at].with_extension("index");
    disk.remove(&index(1)).unwrap();
    disk.rename(&index(0), &index(1)).unwrap();
    assert_eq!(all(&open(&disk).unwrap()), written);
}

#[test]
fn damaged_ends_of_a_sealed_segment_are_refused() {
    let disk = MemoryDisk::new();
    with_segments(&disk);
    for path in segment_paths(&disk).iter().take(3) {
        let whole = disk.bytes_of(path).unwrap();
        let places = (0..89).chain(whole.len() - 39..whole.len());
        for at in places {
            let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
            after.damage(path, |bytes| bytes[at] ^= 0x80);
            assert!(
                corrupt_position(&open(&after).unwrap_err()).is_some(),
                "byte {at}"
            );
        }
        for cut in [0, 50, 89, whole.len() / 2, whole.len() - 1] {
            let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
            after.damage(path, |bytes| bytes.truncate(cut));
            assert!(
                corrupt_position(&open(&after).unwrap_err()).is_some(),
                "cut {cut}"
            );
        }
    }
}

#[test]
fn missing_and_foreign_files_are_refused() {
    let disk = MemoryDisk::new();
    with_segments(&disk);
    let hint = Some(open(&disk).unwrap().hint());
    for at in 0..4 {
        let after = disk.crash_keeping(true, &mut |_, _| Surviving::All);
        after.remove(&segment_paths(&after)[at]).unwrap();
        assert!(
            corrupt_position(&open_known(&after, hint).unwrap_err()).is_some(),
            "segment {at}"
        );
    }
    let other = LogIdentity {
        partition: 4,
        ..identity()
    };
    let refused = Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        other,
        LogConfig::default(),
        Known::default(),
    );
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("segment belongs to")
    );
    drop(
        disk.open(
            &Path::new(DIR).join("copy-of-1.log"),
            crate::fs::OpenMode::Create,
        )
        .unwrap(),
    );
    assert!(
        open(&disk)
            .unwrap_err()
            .to_string()
            .contains("not the name of a segment")
    );
}

#[test]
fn hint_is_never_above_synced_data() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    for at in 0..40 {
        append(&mut log, &[at], 100);
        if at % 9 == 8 {
            log.append(Entry::Roll { at_ms: at }).unwrap();
        }
        log.write().unwrap();
        let Some(point) = (at % 3 == 0).then(|| log.sync_point()).flatten() else {
            continue;
        };
        append(&mut log, &[at], 10);
        log.write().unwrap();
        let done = point.run();
        let promised = done.tail.offset;
        log.synced(done).unwrap();
        assert_eq!(log.hint().offset, promised);
        // The worst disk: nothing survives but what was synced. (`synced` has written more.)
        let recovered = open_known(&disk.crash(), Some(log.hint())).unwrap();
        assert!(recovered.log_end() >= promised);
    }
}

/// Two more batches and a roll each round, until the log closes; gives the failure.
fn go_on(log: &mut Log) -> Option<WriteError> {
    let mut failed = None;
    for at in 0..3 {
        append_unless_closed(log, at);
        failed = failed.or(try_settle(log).err());
    }
    failed
}

#[test]
fn failed_call_closes_the_log_and_reads_go_on() {
    let calls = {
        let disk = MemoryDisk::new();
        let (mut log, ..) = with_unsynced_group(&disk);
        settle(&mut log);
        let before = disk.calls();
        assert!(go_on(&mut log).is_none());
        disk.calls() - before
    };
    let mut harmless = 0;
    for at_call in 0..calls {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            let disk = MemoryDisk::new();
            let (mut log, synced, _) = with_unsynced_group(&disk);
            settle(&mut log);
            disk.fail(Fault {
                at_call,
                kind,
                lasting: false,
            });
            let failed = go_on(&mut log);
            disk.heal();
            assert_eq!(all(&log)[..3], synced, "reads go on");
            let (flushed, before) = (log.flushed(), all(&log));
            if let Some(error) = failed {
                assert!(error.to_string().contains("failed on purpose"), "{error}");
                assert_eq!(log.write_error().unwrap().to_string(), error.to_string());
                assert!(matches!(
                    log.append(Entry::Roll { at_ms: 0 }),
                    Err(AppendError::Closed(_))
                ));
                assert!(log.write().is_err() && log.sync_point().is_none());
            } else {
                harmless += 1;
                assert_eq!(flushed, Offset(12), "nothing was lost");
            }
            drop(log);
            for disk in [disk.clone(), disk.crash()] {
                let log = open(&disk).unwrap();
                assert!(log.log_end() >= flushed, "call {at_call}");
                let found = all(&log);
                let common = found.len().min(before.len());
                assert_eq!(found[..common], before[..common]);
            }
        }
    }
    // Only an index (three calls for each of three) and a full disk at preallocation do no harm.
    assert!(
        calls >= 30 && harmless <= 3 * 3 * 2 + 3,
        "{calls} calls, {harmless} harmless"
    );
}

fn append_unless_closed(log: &mut Log, at: i64) {
    if log.write_error().is_none() {
        append(log, &[at], 100);
        log.append(Entry::Roll { at_ms: at }).unwrap();
        append(log, &[at], 100);
    }
}

fn try_settle(log: &mut Log) -> Result<(), WriteError> {
    log.write()?;
    while let Some(point) = log.sync_point() {
        log.synced(point.run())?;
    }
    Ok(())
}

#[test]
fn failed_preallocation_alone_does_no_harm() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let written = append(&mut log, &[1], 10);
    // Calls of the first write: create, allocate, write.
    disk.fail(Fault {
        at_call: 1,
        kind: io::ErrorKind::StorageFull,
        lasting: false,
    });
    settle(&mut log);
    assert_eq!(all(&log), [written]);
}

#[test]
fn what_a_recovered_log_shows_survives_a_power_cut() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let written = [append(&mut log, &[1], 10)];
    // Without preallocated room recovery has nothing to trim, and no other reason to sync.
    disk.fail(Fault {
        at_call: 1,
        kind: io::ErrorKind::Unsupported,
        lasting: false,
    });
    log.write().unwrap();
    disk.heal();
    drop(log);
    let after_kill = open(&disk).unwrap();
    assert_eq!(all(&after_kill), written);
    assert_eq!(all(&open(&disk.crash()).unwrap()), written);
}

#[test]
fn crash_at_every_call_of_recovery_gives_the_same_log() {
    let disk = MemoryDisk::new();
    let (log, synced, unsynced) = with_unsynced_group(&disk);
    drop(log);
    let torn = disk.crash_keeping(true, &mut |_, len| Surviving::First(len.saturating_sub(1)));
    let wanted: Vec<Batch> = synced.iter().chain(&unsynced[..2]).cloned().collect();
    for at_call in 0.. {
        let first = torn.crash_keeping(true, &mut |_, _| Surviving::All);
        first.fail(Fault {
            at_call,
            kind: io::ErrorKind::Other,
            lasting: true,
        });
        let opened = open(&first);
        first.heal();
        for keep in [Surviving::None, Surviving::All] {
            let second = first.crash_keeping(keep == Surviving::All, &mut |_, _| keep);
            assert_eq!(
                all(&open(&second).unwrap()),
                wanted,
                "call {at_call}, {keep:?}"
            );
        }
        if opened.is_ok() {
            assert!(at_call >= 10, "{at_call} calls");
            break;
        }
    }
}

#[test]
fn crash_right_after_a_roll_loses_nothing_and_goes_on() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    let mut written = vec![append(&mut log, &[1], 10)];
    log.append(Entry::Roll { at_ms: 5 }).unwrap();
    settle(&mut log);
    drop(log);
    for names in [false, true] {
        let after = disk.crash();
        let mut log = open(&after).unwrap();
        assert_eq!(log.last_index(), EntryIndex(3));
        written.push(append(&mut log, &[2], 10));
        log.write().unwrap();
        drop(log);
        // The new file exists or not, with nothing in it.
        let log = open(&after.crash_keeping(names, &mut |_, _| Surviving::None)).unwrap();
        assert_eq!(all(&log), written[..1]);
        assert_eq!(log.next_offset(), Offset(1));
        written.pop();
    }
}

#[test]
fn closing_with_a_sync_outstanding_is_refused() {
    let disk = MemoryDisk::new();
    let (mut log, ..) = with_unsynced_group(&disk);
    let point = log.sync_point();
    assert!(log.close().is_err());
    drop(point);
}
