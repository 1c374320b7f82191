//! The scrub of compacted files: a flipped byte is found, and files that are exchanged below it are no alarm.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrace_storage::fs::Disk as _;
use headrace_storage::record::batches;
use headrace_storage::scrub::{Finding, Scrubber};
use headrace_storage::{BatchBuilder, LogView, Offset};

use crate::bench::{Bench, CODECS, DIR};

/// Three sealed segments of twelve batches, all of them dirty, and an active one.
fn dirty() -> Bench {
    let mut bench = Bench::new();
    for round in 0..3 {
        for at in 0..12 {
            let (key, shared) = (format!("{round} {at}"), format!("{}", at % 3));
            let value = "v".repeat(40 * (at + 1));
            let builder = BatchBuilder::new(CODECS[at % CODECS.len()]);
            bench.append(builder, &[(&key, Some(&value)), (&shared, Some("1"))]);
        }
        bench.roll();
    }
    bench.put(&[("last", Some("1"))]);
    bench.settle();
    bench
}

fn compacted() -> Bench {
    let mut bench = dirty();
    bench.clean();
    bench
}

/// The compacted file.
fn output(bench: &Bench) -> PathBuf {
    let path = bench.log.segments()[0].path.clone();
    assert_eq!(path, Path::new(DIR).join("00000000000000000000-1.1.log"));
    path
}

fn view(bench: &Bench) -> Arc<LogView> {
    bench.log.reader().view()
}

/// Goes on to the end of a pass in steps of this many bytes.
fn go_on(scrubber: &mut Scrubber, view: &LogView, step_bytes: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    loop {
        let done = scrubber.step(view, step_bytes).unwrap();
        found.extend(done.findings);
        if done.pass_over {
            return found;
        }
    }
}

fn pass(bench: &Bench, step_bytes: u64) -> Vec<Finding> {
    go_on(&mut Scrubber::default(), &view(bench), step_bytes)
}

/// All batches that are served, asked for from every offset.
fn read_all(bench: &Bench) -> BTreeSet<Vec<u8>> {
    let view = view(bench);
    let mut found = BTreeSet::new();
    for from in view.log_start().0..view.log_end().0 {
        let read = view.read(Offset(from), view.log_end(), usize::MAX, true);
        for chunk in read.unwrap_or_default() {
            let bytes = chunk.to_bytes().unwrap();
            found.extend(batches(bytes).map(|batch| batch.unwrap().to_bytes().to_vec()));
        }
    }
    found
}

#[test]
fn compacted_log_has_no_findings_also_after_a_start() {
    let mut bench = compacted();
    for step_bytes in [1, 500, u64::MAX] {
        assert_eq!(pass(&bench, step_bytes), []);
    }
    bench.disk = bench.disk.crash();
    bench.reopen();
    assert_eq!(pass(&bench, 500), []);
}

#[test]
fn each_flipped_byte_of_a_compacted_file_is_found_and_not_served() {
    let whole = compacted();
    let size = whole.disk.bytes_of(&output(&whole)).unwrap().len();
    let batches = read_all(&whole);
    for at in (0..size).step_by(3) {
        let bench = compacted();
        let path = output(&bench);
        bench.disk.damage(&path, |bytes| bytes[at] ^= 0x10);
        let found = pass(&bench, 500);
        assert_eq!(found.len(), 1, "byte {at}: {found:?}");
        assert_eq!(found[0].path, path, "byte {at}");
        assert_eq!(view(&bench).findings(), found, "byte {at}");
        let damaged = read_all(&bench);
        let sound = damaged.iter().all(|batch| batches.contains(batch));
        assert!(sound, "byte {at}: what is served is not what was written");
        assert!(damaged.len() < batches.len(), "byte {at}");
    }
}

#[test]
fn damage_leaves_the_other_batches_of_a_compacted_file_readable() {
    let bench = compacted();
    let path = output(&bench);
    bench.disk.damage(&path, |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let found = pass(&bench, u64::MAX);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].offsets.start > Offset(0));
    assert!(
        view(&bench)
            .read(Offset(0), found[0].offsets.start, usize::MAX, true)
            .is_ok()
    );
}

/// The files are exchanged after each number of steps: whoever goes on with the old view finds its files
/// gone, whoever takes a new one finds another file in their place.
#[test]
fn files_exchanged_while_they_are_read_are_no_alarm() {
    let steps = {
        let bench = dirty();
        let mut scrubber = Scrubber::default();
        let mut steps = 1;
        while !scrubber.step(&view(&bench), 400).unwrap().pass_over {
            steps += 1;
        }
        steps
    };
    assert!(steps > 12, "{steps}");
    for before in 0..steps {
        for keeps_view in [true, false] {
            let mut bench = dirty();
            let mut scrubber = Scrubber::default();
            let old = view(&bench);
            for _ in 0..before {
                assert_eq!(scrubber.step(&old, 400).unwrap().findings, []);
            }
            bench.clean();
            let now = if keeps_view { old } else { view(&bench) };
            let found = go_on(&mut scrubber, &now, 400);
            assert_eq!(found, [], "after {before} steps, {keeps_view}");
            assert_eq!(go_on(&mut scrubber, &view(&bench), 400), []);
            assert_eq!(view(&bench).findings(), []);
        }
    }
}

/// An exchange removes the index of an input before the input itself; a start finds none after a power cut.
#[test]
fn missing_index_is_no_alarm() {
    let bench = compacted();
    for segment in bench.log.segments() {
        let index = segment.path.with_extension("index");
        bench.disk.remove(&index).unwrap();
    }
    assert_eq!(pass(&bench, 500), []);
}
