//! Reads of a log with sealed, mapped segments on a real disk, compared with what was written.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use super::*;

/// What was written, and the log with it: segments of batches from 100 bytes to 20 KiB, split by control
/// frames.
fn written() -> (TempDir, Log, Vec<Batch>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    let path = dir.path().join("log");
    let mut log = Log::open(
        disk,
        &path,
        identity(),
        LogConfig::default(),
        Known::default(),
    )
    .unwrap();
    let mut batches = Vec::new();
    for segment in 0..4_i64 {
        for at in 0..60_i64 {
            let number = segment * 60 + at;
            let value_bytes = if at % 10 < 7 { 100 } else { 20_000 };
            batches.push(append(&mut log, &[number, number], value_bytes));
            if at % 13 == 0 {
                let term = LeaderEpoch(i32::try_from(number).unwrap());
                log.append(Entry::NoOp { term }).unwrap();
            }
            if at % 17 == 0 {
                log.append(Entry::LogStart { offset: Offset(0) }).unwrap();
            }
        }
        if segment < 3 {
            log.append(Entry::Roll { at_ms: 0 }).unwrap();
        }
        settle(&mut log);
    }
    (dir, log, batches)
}

/// What a read should give of all batches.
fn expected(
    batches: &[Batch],
    from: i64,
    upto: i64,
    mut left: usize,
    at_least_one: bool,
) -> Vec<Batch> {
    let mut wanted = Vec::new();
    for batch in batches.iter().filter(|batch| batch.last_offset().0 >= from) {
        let fits = batch.size_bytes() <= left || (at_least_one && wanted.is_empty());
        if batch.last_offset().0 >= upto || !fits {
            break;
        }
        left = left.saturating_sub(batch.size_bytes());
        wanted.push(batch.clone());
    }
    wanted
}

fn memory_bytes(chunks: &[Chunk]) -> usize {
    let in_memory = chunks.iter().map(|chunk| match chunk {
        Chunk::Memory(bytes) => bytes.len(),
        Chunk::Mapped(_) => 0,
    });
    in_memory.sum()
}

#[test]
fn every_range_of_mapped_segments_is_what_was_written() {
    let (_dir, log, batches) = written();
    let end = log.log_end().0;
    let view = log.reader().view();
    let range = (0..=end, 0..=end + 2, 0_usize..400_000, any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2000));
    let compared = runner.run(&range, |(from, upto, bytes_max, at_least_one)| {
        let chunks = view
            .read(Offset(from), Offset(upto), bytes_max, at_least_one)
            .unwrap();
        let (read, wanted) = (
            batches_of(&chunks),
            expected(&batches, from, upto, bytes_max, at_least_one),
        );
        // control frames count towards the budget, so a batch at its edge may be missing; and a sixteenth
        // of what fits may be left for the next read
        prop_assert!(wanted.starts_with(&read));
        let (found, whole): (usize, usize) = (
            read.iter().map(Batch::size_bytes).sum(),
            wanted.iter().map(Batch::size_bytes).sum(),
        );
        prop_assert!(
            read.len() + 1 >= wanted.len() || bytes_max - found < bytes_max / 16 + 1000,
            "{found} of {whole}"
        );
        prop_assert!(found > 0 || wanted.is_empty());
        prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
        let allowed = if at_least_one {
            bytes_max.max(50_000)
        } else {
            bytes_max
        };
        prop_assert!(memory_bytes(&chunks) <= allowed);
        Ok(())
    });
    compared.unwrap();
}

#[test]
fn reading_on_and_on_gives_every_batch_once() {
    let (_dir, log, batches) = written();
    let view = log.reader().view();
    for bytes_max in [0, 3_000, 70_000, 150_000, usize::MAX] {
        let mut read = Vec::new();
        while read.len() < batches.len() {
            let from = batches[read.len()].base_offset();
            let chunks = view.read(from, view.log_end(), bytes_max, true).unwrap();
            let found = batches_of(&chunks);
            assert!(!found.is_empty(), "{bytes_max} bytes from {from}");
            read.extend(found);
        }
        assert!(read == batches, "{bytes_max} bytes at once");
    }
}

#[test]
fn sealed_segments_are_mapped_and_the_active_one_is_read() {
    let (_dir, log, batches) = written();
    let view = log.reader().view();
    let chunks = view
        .read(Offset(0), view.log_end(), usize::MAX, true)
        .unwrap();
    assert_eq!(batches_of(&chunks), batches);
    let mapped = chunks
        .iter()
        .filter(|chunk| matches!(chunk, Chunk::Mapped(_)));
    // 5 no-ops and 4 moved log starts split a segment, and one of each follow the first batch
    assert_eq!(mapped.count(), 3 * 9);
    assert!(memory_bytes(&chunks) > 0);
}

#[test]
fn a_segment_never_read_is_not_resident_until_it_is() {
    let (dir, log, batches) = written();
    log.close().unwrap();
    let disk = Arc::new(RealDisk);
    let log = Log::open(
        disk,
        &dir.path().join("log"),
        identity(),
        LogConfig::default(),
        Known::default(),
    )
    .unwrap();
    let view = log.reader().view();
    let resident = || {
        view.read_resident(Offset(0), view.log_end(), usize::MAX, true)
            .unwrap()
    };
    assert!(resident().is_none(), "its index is not loaded yet");
    let waited = view
        .read(Offset(0), view.log_end(), usize::MAX, true)
        .unwrap();
    assert_eq!(batches_of(&waited), batches);
    assert_eq!(batches_of(&resident().unwrap()), batches);
}

#[test]
fn a_removed_segment_reads_on_through_a_view_that_opened_it() {
    let (dir, log, batches) = written();
    let view = log.reader().view();
    let path = dir.path().join("log");
    std::fs::remove_dir_all(&path).unwrap();
    let chunks = view
        .read(Offset(0), view.log_end(), usize::MAX, true)
        .unwrap();
    assert_eq!(batches_of(&chunks), batches);
}

#[test]
fn a_file_that_ends_inside_its_segment_is_an_error() {
    let (dir, log, _) = written();
    let view = log.reader().view();
    let path = dir.path().join("log");
    for name in RealDisk.list(&path).unwrap() {
        if parse_file_name(&name).is_some() {
            let file = RealDisk
                .open(&path.join(name), crate::fs::OpenMode::Write)
                .unwrap();
            file.set_size(0).unwrap();
        }
    }
    for from in [0, 130, 478] {
        let read = view.read(Offset(from), view.log_end(), usize::MAX, true);
        assert!(read.is_err(), "from {from}");
    }
}

#[test]
fn index_file_of_another_segment_is_not_believed() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    for _ in 0..3 {
        append(&mut log, &[1, 2], 100);
        append(&mut log, &[3], 5_000);
        log.append(Entry::Roll { at_ms: 1 }).unwrap();
        settle(&mut log);
    }
    let expected = all(&log);
    let checkpoint = log.close().unwrap();
    let paths = segment_paths(&disk);
    let indexes: Vec<_> = paths
        .iter()
        .map(|path| path.with_extension("index"))
        .collect();
    let bytes: Vec<_> = indexes
        .iter()
        .map(|path| disk.bytes_of(path).unwrap())
        .collect();
    for (path, other) in indexes.iter().zip([1, 2, 0]) {
        disk.damage(path, |own| own.clone_from(&bytes[other]));
    }
    let known = Known {
        checkpoint: Some(checkpoint),
        ..Known::default()
    };
    let disk = Arc::new(disk.clone());
    let log = Log::open(
        disk,
        Path::new(DIR),
        identity(),
        LogConfig::default(),
        known,
    )
    .unwrap();
    assert_eq!(all(&log), expected);
}
