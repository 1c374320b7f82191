//! What the next start makes of the files that compaction leaves.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use headrace_storage::fs::{Disk, OpenMode};

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
