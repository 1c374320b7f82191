//! What the next start makes of the files that compaction leaves.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrace_storage::Entry;
use headrace_storage::fs::{Disk, OpenMode};
use headrace_storage::manifest::Receiver;
use headrace_storage::scrub::Scrubber;

use crate::bench::{Bench, DIR, open};

/// A log of two compacted segments' entries in one file and an active segment, and the inputs as they were.
fn compacted() -> (Bench, Vec<(PathBuf, Vec<u8>)>) {
    let mut bench = Bench::new();
    for round in 0..3 {
        bench.put(&[("a", Some(&format!("{round}"))), ("b", Some("1"))]);
        if round < 2 {
            bench.roll();
        }
    }
    bench.settle();
    let segments = bench.log.segments();
    let inputs = segments
        .into_iter()
        .map(|of| (of.path.clone(), bench.disk.bytes_of(&of.path).unwrap()))
        .collect();
    bench.clean();
    (bench, inputs)
}

fn put_file(bench: &Bench, path: &Path, bytes: &[u8]) {
    let file = bench.disk.open(path, OpenMode::Create).unwrap();
    file.write_at(0, &mut [IoSlice::new(bytes)]).unwrap();
    file.sync_data().unwrap();
    bench.disk.sync_dir(Path::new(DIR)).unwrap();
}

fn output(bench: &Bench) -> PathBuf {
    bench.log.segments()[0].path.clone()
}

#[test]
fn missing_index_of_a_compacted_segment_is_written_anew_by_the_scrub() {
    let (mut bench, _) = compacted();
    let before = bench.records();
    let index = output(&bench).with_extension("index");
    bench.disk.remove(&index).unwrap();
    for reindexed in [1, 0] {
        let view = bench.log.reader().view();
        let done = Scrubber::default().step(&view, u64::MAX).unwrap();
        assert_eq!(done.findings, []);
        assert_eq!(done.reindexed.len(), reindexed);
        assert!(bench.disk.bytes_of(&index).is_some());
    }
    bench.reopen();
    assert_eq!(bench.records(), before);
}

#[test]
fn inputs_beside_a_sound_output_are_removed() {
    let (mut bench, inputs) = compacted();
    let before = bench.records();
    put_file(
        &bench,
        &Path::new(DIR).join("00000000000000000000-1.7.cleaned"),
        b"cut off",
    );
    for (path, bytes) in &inputs {
        put_file(&bench, path, bytes);
    }
    bench.reopen();
    assert_eq!(bench.records(), before);
    assert_eq!(bench.log.segments().len(), 1);
    let names = bench.disk.list(Path::new(DIR)).unwrap();
    let logs = names.iter().filter(|name| !name.contains("index"));
    let logs: Vec<_> = logs.filter(|name| name.contains('-')).collect();
    assert_eq!(logs.len(), 2, "{names:?}");
}

#[test]
fn damaged_output_yields_to_its_inputs_while_they_are_there() {
    let size = |bench: &Bench| bench.disk.bytes_of(&output(bench)).unwrap().len();
    let (bench, _) = compacted();
    for at in [0, 25, 100, size(&bench) - 1] {
        let (mut bench, inputs) = compacted();
        for (path, bytes) in &inputs {
            put_file(&bench, path, bytes);
        }
        let path = output(&bench);
        bench.disk.damage(&path, |bytes| bytes[at] ^= 0x40);
        bench.reopen();
        assert_eq!(bench.log.segments().len(), 2, "byte {at}");
        assert!(bench.disk.bytes_of(&path).is_none(), "byte {at}");
        bench.clean();
        assert_eq!(bench.records().len(), 4);
    }
}

#[test]
fn damaged_output_without_inputs_is_refused_with_what_to_do() {
    let (bench, _) = compacted();
    let path = output(&bench);
    let whole = bench.disk.bytes_of(&path).unwrap();
    for cut in [0, 40, whole.len() - 1] {
        bench.disk.damage(&path, |bytes| bytes.truncate(cut));
        let error = open(&bench.disk).unwrap_err().to_string();
        assert!(
            error.contains("00000000000000000000-1.1.log at byte 0"),
            "{error}"
        );
        assert!(error.contains("restore the file from a copy"), "{error}");
        bench.disk.damage(&path, |bytes| bytes.clone_from(&whole));
    }
    open(&bench.disk).unwrap();
    bench.disk.remove(&path).unwrap();
    let error = open(&bench.disk).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn flipped_byte_of_an_input_ends_the_cleaning_and_changes_nothing() {
    let (mut bench, _) = compacted();
    bench.roll();
    let path = bench.log.segments()[1].path.clone();
    bench.disk.damage(&path, |bytes| {
        let last = bytes.len() - 60;
        bytes[last] ^= 1;
    });
    let cleaned = bench.try_clean().unwrap();
    let error = cleaned.result.as_ref().unwrap_err().to_string();
    bench.log.finish_cleaning(cleaned);
    assert!(error.contains("is corrupt at byte"), "{error}");
    assert!(bench.log.write_error().is_none());
    assert_eq!(bench.log.segments().len(), 2);
}

#[test]
fn log_that_cannot_be_cleaned_is_left_alone_until_its_segments_change() {
    let (mut bench, _) = compacted();
    bench.roll();
    assert!(!bench.log.is_uncleanable());
    let path = bench.log.segments()[1].path.clone();
    bench.disk.damage(&path, |bytes| {
        let last = bytes.len() - 60;
        bytes[last] ^= 1;
    });
    let fails = |bench: &mut Bench| {
        let Some(cleaned) = bench.try_clean() else {
            return false;
        };
        let error = cleaned.result.as_ref().unwrap_err();
        assert!(error.is_lasting(), "{error}");
        bench.log.finish_cleaning(cleaned);
        true
    };
    assert!(fails(&mut bench));
    for _ in 0..3 {
        assert!(bench.log.is_uncleanable());
        assert_eq!(bench.log.dirty_ratio(&bench.config, bench.now_ms), None);
        assert!(!fails(&mut bench), "tried again");
        // more behind it changes nothing
        bench.put(&[("a", Some("1"))]);
        bench.roll();
    }
    bench.reopen();
    assert!(!bench.log.is_uncleanable());
    assert!(fails(&mut bench), "not tried by a new start");
    assert!(!fails(&mut bench));
    // the damaged segment goes with all before it
    let offset = bench.log.segments()[2].base_offset;
    bench.entry(Entry::LogStart { offset });
    bench.settle();
    assert_eq!(bench.log.remove_below_log_start().unwrap(), 2);
    assert!(!bench.log.is_uncleanable());
    bench.clean();
    assert!(!bench.log.is_uncleanable());
}

fn index_of(path: &Path) -> PathBuf {
    path.with_extension("index")
}

#[test]
fn index_that_a_power_cut_took_is_built_at_the_next_start() {
    let (mut bench, _) = compacted();
    let path = index_of(&output(&bench));
    let written = bench.disk.bytes_of(&path).unwrap();
    bench.disk = bench.disk.crash();
    assert_ne!(bench.disk.bytes_of(&path).unwrap(), written, "never synced");
    bench.reopen();
    assert_eq!(bench.disk.bytes_of(&path).unwrap(), written);
    bench.disk.remove(&path).unwrap();
    bench.reopen();
    assert_eq!(bench.disk.bytes_of(&path).unwrap(), written);
}

#[test]
fn received_segments_have_their_indexes_once_the_log_is_open() {
    let (mut bench, _) = compacted();
    bench.roll();
    bench.put(&[("c", Some("1"))]);
    bench.settle();
    let pinned = bench.log.snapshot(bench.log.last_index()).unwrap();
    let other = Bench::new();
    let (disk, dir) = (Arc::new(other.disk.clone()), Path::new(DIR));
    let mut receiver = Receiver::begin(disk, dir, pinned.manifest().unwrap()).unwrap();
    while let Some(wanted) = receiver.next() {
        let bytes = pinned.read(wanted.file, wanted.position, usize::MAX);
        let taken = receiver.take(wanted.file, wanted.position, &bytes.unwrap());
        taken.unwrap();
    }
    receiver.install(&mut |_| Ok(())).unwrap();
    let log = open(&other.disk).unwrap();
    let segments = log.segments();
    assert_eq!(segments.len(), 2);
    for segment in segments {
        let path = index_of(&segment.path);
        let (found, sent) = (other.disk.bytes_of(&path), bench.disk.bytes_of(&path));
        assert!(found.is_some() && found == sent, "{path:?}");
    }
}

#[test]
fn index_of_a_segment_that_is_gone_is_removed_at_a_start() {
    let (mut bench, inputs) = compacted();
    let segment = output(&bench);
    let kept = index_of(&segment);
    let written = bench.disk.bytes_of(&kept).unwrap();
    let name = |name: &str| Path::new(DIR).join(name);
    let older = name("00000000000000000000-1.3.index");
    let behind = name("00000000000000000999-999.index");
    let orphans: Vec<PathBuf> = inputs.iter().map(|(path, _)| index_of(path)).collect();
    let orphans = [orphans, vec![older, behind]].concat();
    for path in &orphans {
        put_file(&bench, path, &written);
    }
    let foreign = [name("notes.index"), name("1-1.index")];
    for path in &foreign {
        put_file(&bench, path, b"of somebody else");
    }
    let before = bench.records();
    bench.reopen();
    for path in &orphans {
        assert_eq!(bench.disk.bytes_of(path), None, "{path:?}");
    }
    for path in foreign.iter().chain([&kept]) {
        assert!(bench.disk.bytes_of(path).is_some(), "{path:?}");
    }
    assert_eq!(bench.records(), before);
}
