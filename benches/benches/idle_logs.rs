//! What logs cost that nobody writes to: the time to open them, and the memory they hold.
//!
//! Each log holds a little data and was closed cleanly. Memory is resident memory of the process (proc(5)),
//! printed once for each count. Goal: at most 4 KiB for each log beyond its mappings.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

#[path = "disk/mod.rs"]
mod disk;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use headrace_storage::fs::{Disk, RealDisk};
use headrace_storage::{Known, Log, LogCheckpoint, LogConfig};

/// As many as the goals name.
const COUNTS: [usize; 2] = [1_000, 10_000];
/// Batches in each log.
const BATCHES: usize = 4;
const PAGE_BYTES: usize = 4096;

/// Makes the logs and closes them; what a clean stop would remember of each.
fn make(root: &Path, count: usize) -> Vec<LogCheckpoint> {
    let batch = disk::payload(1 << 10);
    let make = |at: usize| {
        let mut log = disk::new_log(&root.join(at.to_string()), LogConfig::default());
        for _ in 0..BATCHES {
            disk::append(&mut log, &batch);
        }
        log.close().unwrap()
    };
    (0..count).map(make).collect()
}

fn open(root: &Path, checkpoints: &[LogCheckpoint]) -> Vec<Log> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let open = |(at, checkpoint): (usize, &LogCheckpoint)| {
        let known = Known {
            checkpoint: Some(checkpoint.clone()),
            ..Known::default()
        };
        let dir = root.join(at.to_string());
        Log::open(
            Arc::clone(&disk),
            &dir,
            disk::identity(0),
            LogConfig::default(),
            known,
        )
        .unwrap()
    };
    checkpoints.iter().enumerate().map(open).collect()
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident = pages.split_whitespace().nth(1).unwrap();
    resident.parse::<usize>().unwrap() * PAGE_BYTES
}

fn idle_logs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("idle logs, time to open");
    for count in COUNTS {
        let root = tempfile::tempdir().unwrap();
        let checkpoints = make(root.path(), count);
        let before = resident_bytes();
        let logs = open(root.path(), &checkpoints);
        let held = resident_bytes().saturating_sub(before);
        println!("{count} idle logs hold {} bytes each", held / logs.len());
        drop(logs);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_custom(|passes| {
                let timed = |_| {
                    let begun = Instant::now();
                    let logs = open(root.path(), &checkpoints);
                    let spent = begun.elapsed();
                    drop(logs);
                    spent
                };
                (0..passes).map(timed).sum()
            });
        });
    }
    group.finish();
}

fn few_passes() -> Criterion {
    Criterion::default().sample_size(10).without_plots()
}

criterion_group! {
    name = benches;
    config = few_passes();
    targets = idle_logs
}
criterion_main!(benches);
