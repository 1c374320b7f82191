//! Opening a log without a checkpoint, hint or index: every byte is read and checked, in CPU time.
//!
//! `bare` is one CRC-32C pass over the same file, read in pieces of the same size. Goal: at most 1.4 x. The file
//! lies in memory (`/dev/shm`) where there is such a file system: from a disk recovery reads past the cache,
//! since what a crashed process left there need not be on it, and `bare` would not.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "disk/mod.rs"]
mod disk;

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use headrace_benches::cpu::{CpuTime, Whose};
use headrace_storage::fs::RealDisk;
use headrace_storage::{Known, Log, LogConfig};

const LOG_BYTES: usize = 256 << 20;
const PIECE_BYTES: usize = 1 << 20;

/// A log as a kill leaves it, with nothing known about it.
fn killed_log(dir: &Path, batch_bytes: usize) -> PathBuf {
    let batch = disk::payload(batch_bytes);
    let mut log = disk::new_log(dir, LogConfig::default());
    for _ in 0..LOG_BYTES / batch_bytes {
        disk::append(&mut log, &batch);
        log.write().unwrap();
        while log.has_staged() {
            let point = log.sync_point().unwrap();
            log.synced(point.run()).unwrap();
        }
    }
    drop(log);
    for name in std::fs::read_dir(dir).unwrap() {
        let path = name.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "index")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    let names = std::fs::read_dir(dir).unwrap();
    let mut paths = names.map(|name| name.unwrap().path());
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == "log"))
        .unwrap()
}

fn ours(dir: &Path) -> Duration {
    let disk = Arc::new(RealDisk);
    let cpu = CpuTime::start(Whose::Thread);
    let log = Log::open(
        disk,
        dir,
        disk::identity(0),
        LogConfig::default(),
        Known::default(),
    )
    .unwrap();
    let spent = cpu.elapsed();
    black_box(log.log_end());
    spent
}

fn bare(path: &Path) -> Duration {
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let cpu = CpuTime::start(Whose::Thread);
    let (mut position, mut crc) = (0, 0);
    let mut piece = vec![0; PIECE_BYTES];
    while position < size {
        let read = file.read_at(&mut piece, position).unwrap();
        crc = crc32c::crc32c_append(crc, &piece[..read]);
        position += read as u64;
    }
    let spent = cpu.elapsed();
    black_box(crc);
    spent
}

fn recovery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery, CPU");
    group.throughput(Throughput::Bytes(LOG_BYTES as u64));
    for (name, batch_bytes) in [("1 KiB", 1 << 10), ("16 KiB", 16 << 10)] {
        let dir = disk::dir_in_memory();
        let path = killed_log(dir.path(), batch_bytes);
        group.bench_function(BenchmarkId::new("ours", name), |bencher| {
            bencher.iter_custom(|passes| (0..passes).map(|_| ours(dir.path())).sum());
        });
        group.bench_function(BenchmarkId::new("bare", name), |bencher| {
            bencher.iter_custom(|passes| (0..passes).map(|_| bare(&path)).sum());
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
    targets = recovery
}
criterion_main!(benches);
