//! Appending to a log against the bare calls that it cannot do without.
//!
//! `bare` is one CRC-32C pass and one `pwrite` of the same bytes, into a file whose room is reserved in the
//! same steps. Without sync (`append`) the figure is CPU time of the thread; the log is then given a sync
//! only where its bound on unsynced bytes asks for one, and `bare` does the same. With sync (`synced`) it is
//! wall time: one `fdatasync` after each write, on the same file system, in turns.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "disk/mod.rs"]
mod disk;

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use headrace_benches::cpu::{CpuTime, Whose};
use headrace_storage::{Log, LogConfig};
use rustix::fs::{FallocateFlags, fallocate};

/// Written by one pass without syncs: many steps of reserved room, few enough bytes to stay in memory.
const PASS_BYTES: usize = 64 << 20;
/// Written by one pass with a sync after each write, which is bound by the disk.
const SYNCED_PASS_WRITES: usize = 64;
/// The log's own bound on unsynced bytes: where it asks for a sync, so does the bare file.
const UNSYNCED_BYTES_MAX: usize = 4 << 20;

/// How the bytes of a pass are cut.
struct Shape {
    name: &'static str,
    batch_bytes: usize,
    batches_per_write: usize,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "1 KiB",
        batch_bytes: 1 << 10,
        batches_per_write: 1,
    },
    Shape {
        name: "16 KiB",
        batch_bytes: 16 << 10,
        batches_per_write: 1,
    },
    Shape {
        name: "1 MiB of 16 KiB",
        batch_bytes: 16 << 10,
        batches_per_write: 64,
    },
];

/// When a pass syncs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    EachWrite,
    AtTheBound,
}

fn ours(dir: &Path, shape: &Shape, batch: &Bytes, writes: usize, sync: Sync) {
    let mut log = disk::new_log(dir, LogConfig::default());
    let mut unsynced = 0;
    for _ in 0..writes {
        for _ in 0..shape.batches_per_write {
            disk::append(&mut log, batch);
            unsynced += batch.len();
        }
        log.write().unwrap();
        if sync == Sync::EachWrite
            || unsynced + shape.batches_per_write * batch.len() > UNSYNCED_BYTES_MAX
        {
            settle(&mut log);
            unsynced = 0;
        }
    }
    black_box(log.log_end());
}

fn settle(log: &mut Log) {
    while let Some(point) = log.sync_point() {
        log.synced(point.run()).unwrap();
    }
}

/// The same bytes by the bare calls.
fn bare(dir: &Path, shape: &Shape, batch: &Bytes, writes: usize, sync: Sync) {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true);
    let file = file.open(dir.join("bare")).unwrap();
    let group = batch.repeat(shape.batches_per_write);
    let (mut position, mut reserved, mut unsynced) = (0, 0, 0);
    for _ in 0..writes {
        for batch in group.chunks(batch.len()) {
            black_box(crc32c::crc32c(batch));
        }
        let end = position + group.len() as u64;
        reserve(&file, end, &mut reserved);
        file.write_all_at(&group, position).unwrap();
        position = end;
        unsynced += group.len();
        if sync == Sync::EachWrite || unsynced + group.len() > UNSYNCED_BYTES_MAX {
            file.sync_data().unwrap();
            unsynced = 0;
        }
    }
}

/// In the steps that the log takes: 64 KiB doubling to 16 MiB.
fn reserve(file: &File, end: u64, reserved: &mut u64) {
    while end > *reserved {
        *reserved += (*reserved).clamp(64 << 10, 16 << 20);
        fallocate(file, FallocateFlags::empty(), 0, *reserved).unwrap();
    }
}

type Way = fn(&Path, &Shape, &Bytes, usize, Sync);
const WAYS: [(&str, Way); 2] = [("ours", ours), ("bare", bare)];

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append, CPU");
    for shape in &SHAPES {
        let batch = disk::payload(shape.batch_bytes);
        let writes = PASS_BYTES / (shape.batch_bytes * shape.batches_per_write);
        let bytes = writes * shape.batches_per_write * batch.len();
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, way) in WAYS {
            group.bench_function(BenchmarkId::new(name, shape.name), |bencher| {
                bencher.iter_custom(|passes| {
                    passes_of(passes, &|dir| {
                        let cpu = CpuTime::start(Whose::Thread);
                        way(dir, shape, &batch, writes, Sync::AtTheBound);
                        cpu.elapsed()
                    })
                });
            });
        }
    }
    group.finish();
}

fn synced(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append and sync, time");
    for shape in &SHAPES[1..] {
        let batch = disk::payload(shape.batch_bytes);
        let bytes = SYNCED_PASS_WRITES * shape.batches_per_write * batch.len();
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, way) in WAYS {
            group.bench_function(BenchmarkId::new(name, shape.name), |bencher| {
                bencher.iter_custom(|passes| {
                    passes_of(passes, &|dir| {
                        let begun = Instant::now();
                        way(dir, shape, &batch, SYNCED_PASS_WRITES, Sync::EachWrite);
                        begun.elapsed()
                    })
                });
            });
        }
    }
    group.finish();
}

/// Each pass in a directory of its own, made and removed outside of the time.
fn passes_of(passes: u64, pass: &dyn Fn(&Path) -> Duration) -> Duration {
    let timed = |_| {
        let dir = tempfile::tempdir().unwrap();
        pass(dir.path())
    };
    (0..passes).map(timed).sum()
}

fn few_passes() -> Criterion {
    Criterion::default().sample_size(10).without_plots()
}

criterion_group! {
    name = benches;
    config = few_passes();
    targets = append, synced
}
criterion_main!(benches);
