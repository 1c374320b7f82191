//! The fuzz targets on the committed corpus and on seeded mutations of what our own code writes.
//!
//! `storage/fuzz` runs the same functions under libFuzzer. An input that was found to break one belongs into
//! `storage/fuzz/corpus/{target}/`. `HEADRACE_WRITE_CORPUS=1` writes the seeds there anew.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrace_storage::fs::{Disk, MemoryDisk};
use headrace_storage::record::{ControlMarker, MarkerKind};
use headrace_storage::votes::{GroupId, VoteJournal};
use headrace_storage::{
    Batch, BatchBuilder, Compression, EntryIndex, Hint, Known, LeaderEpoch, Log, LogConfig, Offset,
};

use crate::driver::{DIR, Driver};
use crate::seeded::{Seeded, soak};
use crate::targets::{TARGETS, identity, sealed_log, stopped_log};
use crate::workloads::{APPEND, ROLL, TRUNCATE};

/// Mutations of each target in `make test`.
const MUTATIONS: u64 = 4_000;

fn corpus(target: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fuzz/corpus").join(target)
}

/// With a byte in front that leaves the checksums alone.
fn input(bytes: &[u8]) -> Vec<u8> {
    [&[0], bytes].concat()
}

/// What our own code writes.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "batch" => batches()
            .iter()
            .map(|batch| input(&batch.to_bytes()))
            .collect(),
        "segment" => [APPEND, ROLL, TRUNCATE]
            .iter()
            .flat_map(|(_, script)| first_segment(*script))
            .collect(),
        "index" => files_of(&sealed_log(), Path::new("/data/log"), "index"),
        "votes" => files_of(&journal(), Path::new("/data"), ""),
        "manifest" => {
            let disk = sealed_log();
            let log = Log::open(
                Arc::new(disk),
                Path::new("/data/log"),
                identity(),
                LogConfig::default(),
                Known::default(),
            );
            let log = log.expect("a sound log");
            let pinned = log.snapshot(log.last_index()).expect("a sound log");
            vec![input(&pinned.manifest().expect("a sound log").encode())]
        }
        "checkpoint" => {
            let path = Path::new("/data/checkpoint");
            let bytes = stopped_log().bytes_of(path);
            vec![input(&bytes.expect("of a clean stop"))]
        }
        other => panic!("no seeds for {other}"),
    }
}

fn batches() -> Vec<Batch> {
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let mut found = Vec::new();
    for codec in codecs {
        let mut builder = BatchBuilder::new(codec).producer(9, 1, 4).transactional();
        for time in 0..3 {
            builder.push(time, Some(b"key"), Some(&[b'v'; 60]), &[(b"h", Some(b"x"))]);
        }
        builder.push(5, None, None, &[]);
        found.push(builder.build());
    }
    let marker = ControlMarker {
        kind: MarkerKind::Abort,
        coordinator_epoch: 3,
    };
    found.push(
        BatchBuilder::new(Compression::None)
            .producer(9, 1, -1)
            .control(marker, 7)
            .build(),
    );
    found
}

fn first_segment(script: fn(&mut Driver)) -> Vec<Vec<u8>> {
    let mut driver = Driver::new(MemoryDisk::new());
    script(&mut driver);
    let path = Path::new(DIR).join("00000000000000000000-1.log");
    let bytes = driver.disk.bytes_of(&path);
    bytes.into_iter().map(|bytes| input(&bytes)).collect()
}

fn files_of(disk: &MemoryDisk, dir: &Path, extension: &str) -> Vec<Vec<u8>> {
    let names = disk.list(dir).expect("a disk without failures");
    let paths = names.iter().map(|name| dir.join(name));
    let paths = paths.filter(|path| path.extension().unwrap_or_default() == extension);
    paths
        .filter_map(|path| disk.bytes_of(&path))
        .map(|bytes| input(&bytes))
        .collect()
}

fn journal() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let root = Path::new("/data");
    disk.create_dir_all(root).expect("a directory");
    let loaded = VoteJournal::load(&disk, root).expect("an empty directory");
    let shared = Arc::new(disk.clone());
    let mut journal = VoteJournal::create(shared, root, 0, &loaded).expect("a new file");
    for partition in 0..2 {
        let group = GroupId {
            topic_id: uuid::Uuid::from_u128(7),
            partition,
        };
        let _ = journal.set_vote(group, LeaderEpoch(partition + 1), 5);
        let _ =
            journal.set_membership(group, (EntryIndex(1), bytes::Bytes::from_static(b"voters")));
        journal.set_hint(
            group,
            Hint {
                offset: Offset(5),
                index: EntryIndex(6),
                epoch: LeaderEpoch(1),
            },
        );
        journal.settle().expect("a disk without failures");
    }
    disk
}

/// Changes an input a little, somewhere.
fn mutate(input: &mut Vec<u8>, seeded: &mut Seeded) {
    if input.is_empty() {
        return;
    }
    input[0] = seeded.next().to_le_bytes()[0];
    for _ in 0..=seeded.below(4) {
        let at = seeded.below(input.len());
        match seeded.below(8) {
            0 => input.truncate(at),
            1 => {
                let upto = at + seeded.below(input.len() - at);
                let copied = input[at..upto].to_vec();
                input.extend(copied);
            }
            2 => {
                let upto = at + seeded.below(64).min(input.len() - at);
                input.drain(at..upto);
            }
            3 => {
                let upto = (at + 1 + seeded.below(16)).min(input.len());
                input[at..upto].fill(0);
            }
            4 if at + 4 <= input.len() => {
                let odd = [0, 1, -1, i32::MAX, i32::MIN, 61, 12, 1 << 16][seeded.below(8)];
                input[at..at + 4].copy_from_slice(&i32::to_be_bytes(odd));
            }
            _ => input[at] ^= 1 << seeded.below(8),
        }
        if input.is_empty() {
            return;
        }
    }
}

fn write_corpus() {
    for (name, _) in TARGETS {
        let dir = corpus(name);
        fs::create_dir_all(&dir).expect("a directory");
        for (number, seed) in seeds(name).iter().enumerate() {
            fs::write(dir.join(format!("seed-{number}")), seed).expect("a file");
        }
    }
}

#[test]
fn no_input_breaks_a_fuzz_target() {
    if std::env::var_os("HEADRACE_WRITE_CORPUS").is_some() {
        write_corpus();
    }
    for (name, target) in TARGETS {
        let files = fs::read_dir(corpus(name)).expect("a committed corpus");
        let mut inputs: Vec<Vec<u8>> = files
            .map(|file| fs::read(file.expect("a file").path()).expect("a file"))
            .collect();
        assert!(!inputs.is_empty(), "corpus of {name} is empty");
        inputs.extend(seeds(name));
        for input in &inputs {
            target(input);
        }
        let mut seeded = Seeded::new(1);
        for number in 0..MUTATIONS * soak() {
            let mut input = inputs[seeded.below(inputs.len())].clone();
            mutate(&mut input, &mut seeded);
            let run = AssertUnwindSafe(|| target(&input));
            assert!(
                catch_unwind(run).is_ok(),
                "{name}: mutation {number} of seed 1 breaks it: {input:02x?}"
            );
        }
        println!(
            "fuzz {name}: {} inputs, {} mutations",
            inputs.len(),
            MUTATIONS * soak()
        );
    }
}

/// A target that libFuzzer cannot run, or that is not replayed here, would look as if it were tried.
#[test]
fn every_target_has_a_binary_and_is_replayed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let binaries = fs::read_dir(root.join("fuzz_targets")).expect("the binaries");
    let mut binaries: Vec<String> = binaries
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name");
            name.to_string_lossy().into_owned()
        })
        .collect();
    binaries.sort_unstable();
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(binaries, targets);
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    for name in targets {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "{name} is not in Cargo.toml");
    }
}
