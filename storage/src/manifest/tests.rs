//! A log copied by its manifest: over nothing, over logs that differ, with crashes at every call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::fs::{Disk, Fault, MemoryDisk, Surviving};
use crate::log::{Entry, Hint, Known, Log, LogConfig, StoredEntry};
use crate::record::{BatchBuilder, Compression};

const SOURCE: &str = "/source";
const TARGET: &str = "/target";

fn identity() -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::from_u128(1),
        topic_id: Uuid::from_u128(2),
        partition: 3,
    }
}

fn open(disk: &MemoryDisk, dir: &str) -> Log {
    let disk = Arc::new(disk.clone());
    Log::open(
        disk,
        Path::new(dir),
        identity(),
        LogConfig::default(),
        Known::default(),
    )
    .unwrap()
}

fn batch(log: &mut Log, value: &[u8]) {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(1, None, Some(value), &[]);
    builder.push(2, Some(b"key"), Some(value), &[]);
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

fn no_op(log: &mut Log, term: i32) {
    let term = LeaderEpoch(term);
    log.append(Entry::NoOp { term }).unwrap();
}

fn voters(log: &mut Log, name: &'static [u8]) {
    let content = Bytes::from_static(name);
    log.append(Entry::Membership { content }).unwrap();
}

/// Four segments: terms 2 and 5, two voter sets, a moved log start.
fn source(disk: &MemoryDisk) -> Log {
    let mut log = open(disk, SOURCE);
    no_op(&mut log, 2);
    voters(&mut log, b"first");
    for segment in 0..3 {
        for at in 0..6_u8 {
            batch(&mut log, &[at; 300]);
        }
        log.append(Entry::Roll { at_ms: segment }).unwrap();
        settle(&mut log);
    }
    no_op(&mut log, 5);
    let offset = Offset(13);
    log.append(Entry::LogStart { offset }).unwrap();
    voters(&mut log, b"second");
    for at in 0..5_u8 {
        batch(&mut log, &[at; 200]);
    }
    settle(&mut log);
    log
}

/// A log that shares nothing with the source but its beginning.
fn divergent(disk: &MemoryDisk, batches: u8) {
    let mut log = open(disk, TARGET);
    no_op(&mut log, 2);
    voters(&mut log, b"first");
    no_op(&mut log, 4);
    for at in 0..batches {
        batch(&mut log, &[at ^ 0x55; 280]);
        if at % 5 == 4 {
            log.append(Entry::Roll { at_ms: 9 }).unwrap();
            settle(&mut log);
        }
    }
    settle(&mut log);
    log.write_side_file("producers", b"of the old log").unwrap();
    log.close().unwrap();
}

fn entries(log: &Log) -> Vec<StoredEntry> {
    let mut found = Vec::new();
    let mut from = log.first_index();
    while from <= log.last_index() {
        let part = log.entries(from, log.last_index().next(), usize::MAX);
        let part = part.unwrap();
        from = part.last().unwrap().index.next();
        found.extend(part);
    }
    found
}

/// The same entries, by what they say (an entry has no equality of its own).
fn text(entries: &[StoredEntry]) -> String {
    format!("{entries:?}")
}

fn fetch(receiver: &mut Receiver, from: &PinnedLog, chunk_bytes: usize) {
    while let Some(wanted) = receiver.next() {
        let bytes = from
            .read(wanted.file, wanted.position, chunk_bytes)
            .unwrap();
        receiver.take(wanted.file, wanted.position, &bytes).unwrap();
    }
}

fn begin(disk: &MemoryDisk, manifest: &Manifest) -> Receiver {
    let disk = Arc::new(disk.clone());
    Receiver::begin(disk, Path::new(TARGET), manifest.clone()).unwrap()
}

/// What the log in [`TARGET`] must be once the manifest is installed.
fn assert_is(log: &Log, manifest: &Manifest, source: &Log) {
    assert_eq!(log.last_index(), manifest.applied);
    assert_eq!(log.log_end(), manifest.end_offset);
    assert_eq!(log.epoch(), manifest.epoch);
    let found = entries(log);
    let wanted = source
        .entries(log.first_index(), manifest.applied.next(), usize::MAX)
        .unwrap();
    let mut all = wanted;
    while all.last().is_some_and(|last| last.index < manifest.applied) {
        let from = all.last().unwrap().index.next();
        all.extend(
            source
                .entries(from, manifest.applied.next(), usize::MAX)
                .unwrap(),
        );
    }
    assert_eq!(text(&found), text(&all));
}

#[test]
fn log_is_copied_as_of_any_entry() {
    let disk = MemoryDisk::new();
    let mut source = source(&disk);
    let end = source.last_index();
    source.commit(end);
    for applied in 1..=end.0 {
        let pinned = source.snapshot(EntryIndex(applied)).unwrap();
        let manifest = pinned.manifest().unwrap();
        assert_eq!(manifest.applied, EntryIndex(applied));
        let voters = manifest.membership.as_ref().map(|(index, _)| index.0);
        let wanted = match applied {
            0..2 => None,
            2..26 => Some(2),
            _ => Some(26),
        };
        assert_eq!(voters, wanted, "as of {applied}");
        assert_eq!(
            manifest.log_start,
            if applied < 25 { Offset(0) } else { Offset(13) }
        );
        assert_eq!(Some(manifest.epoch), source.term(EntryIndex(applied)));
        let first = if applied < 25 { 1 } else { 10 };
        assert_eq!(manifest.files[0].base_index.0, first, "below the log start");

        let target = MemoryDisk::new();
        let mut receiver = begin(&target, &manifest);
        fetch(&mut receiver, &pinned, 700);
        receiver.install(&mut |_| Ok(())).unwrap();
        for target in [target.crash(), target] {
            let mut log = open(&target, TARGET);
            assert_is(&log, &manifest, &source);
            log.commit(manifest.applied);
            assert_eq!(log.log_start(), manifest.log_start);
            no_op(&mut log, 7);
            batch(&mut log, b"goes on");
            settle(&mut log);
            assert_eq!(log.last_index().0, applied + 2);
        }
    }
    assert!(source.snapshot(EntryIndex(end.0 + 1)).is_err());
}

#[test]
fn manifest_pins_the_files() {
    let disk = MemoryDisk::new();
    let mut source = source(&disk);
    let pinned = source.snapshot(EntryIndex(9)).unwrap();
    let end = source.last_index();
    source.commit(end);
    source.raise_first_index(end);
    assert_eq!(source.remove_below_log_start().unwrap(), 0);
    let manifest = pinned.manifest().unwrap();
    drop(pinned);
    assert_eq!(source.remove_below_log_start().unwrap(), 1);
    assert_eq!(manifest.size_bytes(), manifest.files[0].size_bytes);
    assert!(source.snapshot(EntryIndex(5)).is_err(), "removed");
}

#[test]
fn any_log_is_replaced() {
    for batches in [0, 3, 17, 60] {
        let disk = MemoryDisk::new();
        let source = source(&disk);
        let pinned = source.snapshot(EntryIndex(28)).unwrap();
        let manifest = pinned.manifest().unwrap();
        divergent(&disk, batches);
        let mut receiver = begin(&disk, &manifest);
        // the last file first, and in other pieces than it was written
        let mut files: Vec<Wanted> = receiver.wanted().collect();
        files.reverse();
        for wanted in files {
            for position in (0..wanted.left_bytes).step_by(333) {
                let bytes = pinned.read(wanted.file, position, 333).unwrap();
                receiver.take(wanted.file, position, &bytes).unwrap();
            }
        }
        assert_eq!(receiver.next(), None);
        let mut hints = Vec::new();
        let mut lower = |hint| {
            hints.push(hint);
            Ok(())
        };
        receiver.install(&mut lower).unwrap();
        assert_eq!(hints, [Hint::default()]);
        let log = open(&disk, TARGET);
        assert_is(&log, &manifest, &source);
        assert_eq!(log.read_side_file("producers").unwrap(), None);
        assert!(
            !disk
                .list(Path::new(TARGET))
                .unwrap()
                .contains(&"incoming".to_owned())
        );
    }
}

#[test]
fn wrong_bytes_are_noticed_and_fetched_again() {
    let disk = MemoryDisk::new();
    let source = source(&disk);
    let pinned = source.snapshot(EntryIndex(28)).unwrap();
    let manifest = pinned.manifest().unwrap();
    let mut receiver = begin(&disk, &manifest);
    let whole = usize::try_from(manifest.files[0].size_bytes).unwrap();
    let mut bytes = pinned.read(0, 0, whole).unwrap();
    bytes[whole / 2] ^= 1;
    let refused = receiver.take(0, 0, &bytes).unwrap_err();
    assert!(
        matches!(refused, InstallError::Mismatch { .. }),
        "{refused}"
    );
    assert_eq!(receiver.next().unwrap().position, 0);
    let early = receiver.take(0, 5, &bytes[..5]).unwrap_err();
    assert!(matches!(early, InstallError::OutOfOrder { wanted: 0, .. }));
    bytes.push(1);
    let long = receiver.take(0, 0, &bytes).unwrap_err();
    assert!(matches!(long, InstallError::TooLong { .. }));
    let unknown = receiver.take(99, 0, &bytes).unwrap_err();
    assert!(matches!(unknown, InstallError::TooLong { .. }));
    fetch(&mut receiver, &pinned, 1000);
    receiver.install(&mut |_| Ok(())).unwrap();
    assert_is(&open(&disk, TARGET), &manifest, &source);
}

#[test]
fn damage_after_the_fetch_is_noticed_before_anything_is_replaced() {
    let disk = MemoryDisk::new();
    let source = source(&disk);
    let pinned = source.snapshot(EntryIndex(28)).unwrap();
    let manifest = pinned.manifest().unwrap();
    divergent(&disk, 7);
    let before = text(&entries(&open(&disk, TARGET)));
    for ordinal in 0..manifest.files.len() {
        let mut receiver = begin(&disk, &manifest);
        fetch(&mut receiver, &pinned, 1000);
        let path = Path::new(TARGET)
            .join("incoming")
            .join(manifest.files[ordinal].name());
        disk.damage(&path, |bytes| bytes[100] ^= 0x40);
        assert!(receiver.install(&mut |_| Ok(())).is_err());
        assert_eq!(text(&entries(&open(&disk, TARGET))), before);
    }
    let mut receiver = begin(&disk, &manifest);
    receiver.sync().unwrap();
    let unfinished = receiver.install(&mut |_| Ok(())).unwrap_err();
    assert!(matches!(unfinished, InstallError::Incomplete { .. }));
}

#[test]
fn fetch_goes_on_after_a_crash_with_what_was_synced() {
    let disk = MemoryDisk::new();
    let source = source(&disk);
    let pinned = source.snapshot(EntryIndex(28)).unwrap();
    let manifest = pinned.manifest().unwrap();
    let total = manifest.size_bytes();
    for stop_after in 1..20 {
        let mut target = MemoryDisk::new();
        let mut received = 0;
        let mut crashes = 0;
        loop {
            let mut receiver = begin(&target, &manifest);
            let left: u64 = receiver.wanted().map(|wanted| wanted.left_bytes).sum();
            assert!(total - left >= received, "what was synced is kept");
            for taken in 0..stop_after {
                let Some(wanted) = receiver.next() else { break };
                let bytes = pinned.read(wanted.file, wanted.position, 150).unwrap();
                receiver.take(wanted.file, wanted.position, &bytes).unwrap();
                if taken == stop_after / 2 {
                    receiver.sync().unwrap();
                    let left: u64 = receiver.wanted().map(|wanted| wanted.left_bytes).sum();
                    received = total - left;
                }
            }
            if receiver.next().is_none() {
                receiver.install(&mut |_| Ok(())).unwrap();
                break;
            }
            crashes += 1;
            // what was not synced is lost, kept, or torn
            target = target.crash_keeping(true, &mut |_, len| match crashes % 3 {
                0 => Surviving::None,
                1 => Surviving::First(len / 2),
                _ => Surviving::All,
            });
        }
        assert_is(&open(&target, TARGET), &manifest, &source);
    }
}

#[test]
fn newer_manifest_keeps_what_is_the_same() {
    for applied in [22, 23, 28] {
        let disk = MemoryDisk::new();
        let mut source = source(&disk);
        let pinned = source.snapshot(EntryIndex(applied)).unwrap();
        let older = pinned.manifest().unwrap();
        let mut receiver = begin(&disk, &older);
        fetch(&mut receiver, &pinned, 1000);
        receiver.sync().unwrap();
        drop((receiver, pinned));
        batch(&mut source, b"more");
        settle(&mut source);
        let pinned = source.snapshot(source.last_index()).unwrap();
        let manifest = pinned.manifest().unwrap();
        let mut receiver = begin(&disk, &manifest);
        let older_last = older.files.last().unwrap();
        let wanted: Vec<Wanted> = receiver.wanted().collect();
        let grown = manifest
            .files
            .iter()
            .position(|file| file.base_index == older_last.base_index);
        let begun = wanted.iter().find(|wanted| Some(wanted.file) == grown);
        assert!(begun.is_none_or(|wanted| wanted.position == older_last.size_bytes));
        assert!(wanted.len() <= 2, "{wanted:?}");
        fetch(&mut receiver, &pinned, 1000);
        receiver.install(&mut |_| Ok(())).unwrap();
        assert_is(&open(&disk, TARGET), &manifest, &source);
    }
}

/// Everything that a crash after a failed call may leave.
fn aftermath(disk: &MemoryDisk) -> [MemoryDisk; 5] {
    [
        disk.clone(),
        disk.crash(),
        disk.crash_keeping(true, &mut |_, _| Surviving::None),
        disk.crash_keeping(true, &mut |_, _| Surviving::All),
        disk.crash_keeping(false, &mut |_, len| Surviving::First(len / 2)),
    ]
}

#[test]
fn crash_at_any_call_leaves_the_old_log_or_the_new_one() {
    for batches in [0, 17] {
        let mut new_seen = 0;
        for at_call in 0.. {
            let disk = MemoryDisk::new();
            let source = source(&disk);
            let pinned = source.snapshot(EntryIndex(28)).unwrap();
            let manifest = pinned.manifest().unwrap();
            divergent(&disk, batches);
            let old = text(&entries(&open(&disk, TARGET)));
            let mut receiver = begin(&disk, &manifest);
            fetch(&mut receiver, &pinned, 10_000);
            disk.fail(Fault {
                at_call,
                kind: std::io::ErrorKind::Other,
                lasting: true,
            });
            let done = receiver.install(&mut |_| Ok(())).is_ok();
            disk.heal();
            for (at, after) in aftermath(&disk).iter().enumerate() {
                // the crash inside the crash takes its time: in turn
                let crash_again = at_call % 5 == u64::try_from(at).unwrap();
                crash_while_opening(after, crash_again, |log| {
                    let is_new =
                        log.last_index() == manifest.applied && log.epoch() == manifest.epoch;
                    if is_new {
                        assert_is(log, &manifest, &source);
                    } else {
                        assert_eq!(text(&entries(log)), old);
                    }
                    assert!(is_new || !done, "what returned is durable");
                    new_seen += usize::from(is_new && !done);
                    is_new
                });
            }
            if done {
                break;
            }
        }
        assert!(new_seen > 0, "some crash came behind the marker");
    }
}

/// Opens a log, and again after a crash at every call of that; all must agree.
fn crash_while_opening(disk: &MemoryDisk, crash_again: bool, mut check: impl FnMut(&Log) -> bool) {
    let first = if crash_again { 0 } else { u64::MAX / 2 };
    for at_call in first.. {
        let again = disk.crash_keeping(true, &mut |_, _| Surviving::All);
        again.fail(Fault {
            at_call,
            kind: std::io::ErrorKind::Other,
            lasting: true,
        });
        let opened = Log::open(
            Arc::new(again.clone()),
            Path::new(TARGET),
            identity(),
            LogConfig::default(),
            Known::default(),
        );
        again.heal();
        let verdict = check(&open(&again.crash(), TARGET));
        assert_eq!(verdict, check(&open(&again, TARGET)));
        if opened.is_ok() {
            break;
        }
    }
}

#[test]
fn marker_that_speaks_of_lost_files_is_refused() {
    let disk = MemoryDisk::new();
    let source = source(&disk);
    let pinned = source.snapshot(EntryIndex(28)).unwrap();
    let manifest = pinned.manifest().unwrap();
    open(&disk, TARGET).close().unwrap();
    let marker = PathBuf::from(TARGET).join("install");
    crate::fs::write_atomic(&disk, &marker, &manifest.encode()).unwrap();
    let opened = |disk: &MemoryDisk| {
        let disk = Arc::new(disk.clone());
        Log::open(
            disk,
            Path::new(TARGET),
            identity(),
            LogConfig::default(),
            Known::default(),
        )
    };
    let refused = opened(&disk).unwrap_err().to_string();
    assert!(refused.contains("missing"), "{refused}");
    crate::fs::write_atomic(&disk, &marker, b"nonsense").unwrap();
    assert!(opened(&disk).is_err());
    disk.damage(&marker, |bytes| bytes[9] ^= 1);
    assert!(opened(&disk).is_err());
}

fn example() -> Manifest {
    let disk = MemoryDisk::new();
    let source = source(&disk);
    source.manifest(EntryIndex(28)).unwrap()
}

#[test]
fn manifest_is_read_back_and_every_damaged_byte_noticed() {
    let manifest = example();
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(Manifest::decode(&damaged).is_err(), "byte {at}");
        assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn names_are_those_of_segments() {
    let mut file = example().files[0];
    (file.base_offset, file.base_index) = (Offset(12), EntryIndex(34));
    assert_eq!(file.name(), "00000000000000000012-34.log");
    file.generation = 3;
    assert_eq!(file.name(), "00000000000000000012-34.3.log");
}

/// Bytes with a checksum that is right.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&body);
    body.extend(crc.to_be_bytes());
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn hostile_bytes_never_panic(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let whole = example_bytes();
        let mut body = whole[..whole.len() - 4].to_vec();
        for (at, value) in places {
            let at = at.index(body.len());
            body[at] = value;
        }
        if is_cut {
            body.truncate(cut.index(body.len() + 1));
        }
        if let Ok(manifest) = Manifest::decode(&sealed(body)) {
            prop_assert!(!manifest.files.is_empty());
            prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        }
    }
}

fn example_bytes() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| example().encode())
}

/// The proofs of this file find the mistakes that can be planted in it.
#[cfg(feature = "planted")]
mod planted {
    use super::*;
    use crate::planted::{Mistake, with};

    fn is_found(mistake: Mistake, by: fn()) {
        let run = std::panic::AssertUnwindSafe(|| with(mistake, by));
        assert!(std::panic::catch_unwind(run).is_err(), "{mistake:?}");
    }

    #[test]
    fn mistakes_of_an_install_are_found() {
        let crashes = crash_at_any_call_leaves_the_old_log_or_the_new_one;
        is_found(Mistake::InstallWithoutMarker, crashes);
        let damage = damage_after_the_fetch_is_noticed_before_anything_is_replaced;
        is_found(Mistake::ManifestNotVerified, damage);
        is_found(
            Mistake::ManifestNotVerified,
            wrong_bytes_are_noticed_and_fetched_again,
        );
        is_found(Mistake::HintNotLowered, any_log_is_replaced);
    }
}
