//! Compaction of 1 KiB records with half of the keys live, in CPU time per byte of the segments cleaned
//! (each byte of theirs is read twice, half of them are written). Every second record of each batch is
//! superseded, so that every batch is rewritten. Goal: at least 300 MB/s per core, not compressed.
//!
//! What a cleaning did, its key map's memory and the process's peak are printed once per case.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headrace_benches::cpu::{CpuTime, Whose};
use headrace_storage::compaction::{
    CleaningClock, CleaningConfig, CleaningMetrics, KEY_MAP_BYTES_DEFAULT, KeyMapBudget, Throttle,
    Tools, clean,
};
use headrace_storage::fs::RealDisk;
use headrace_storage::{BatchBuilder, Compression, Entry, Known, Log, LogConfig, LogIdentity};
use uuid::Uuid;

const RECORDS: u64 = 128 * 1024;
const RECORDS_PER_BATCH: u64 = 16;
const BATCHES_PER_SEGMENT: u64 = 4096;

struct Clock(Instant);

impl CleaningClock for Clock {
    fn now_ms(&self) -> i64 {
        1_000_000
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, time: Duration) {
        std::thread::park_timeout(time);
    }
}

fn open(dir: &Path) -> Log {
    let identity = LogIdentity {
        cluster_id: Uuid::from_u128(1),
        topic_id: Uuid::from_u128(2),
        partition: 0,
    };
    let disk = Arc::new(RealDisk);
    Log::open(disk, dir, identity, LogConfig::default(), Known::default()).unwrap()
}

fn settle(log: &mut Log) {
    log.write().unwrap();
    while let Some(point) = log.sync_point() {
        log.synced(point.run()).unwrap();
    }
}

/// Values that a codec can halve.
fn value(seed: u64) -> Vec<u8> {
    let mut value = vec![b'v'; 1000];
    let mut state = seed;
    for byte in &mut value[..500] {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = state.to_be_bytes()[0];
    }
    value
}

/// A log in which every second record of each batch is superseded, so that every batch is rewritten.
fn prepare(dir: &Path, codec: Compression) {
    let mut log = open(dir);
    for batch in 0..RECORDS / RECORDS_PER_BATCH {
        let mut builder = BatchBuilder::new(codec);
        for at in 0..RECORDS_PER_BATCH {
            let record = batch * RECORDS_PER_BATCH + at;
            let key = if at % 2 == 0 { at } else { record };
            let key = format!("key-{key:012}");
            builder.push(1_000, Some(key.as_bytes()), Some(&value(record)), &[]);
        }
        let mut batch_of = builder.build();
        batch_of.stamp(log.next_offset(), log.epoch());
        log.append(Entry::Batch(batch_of)).unwrap();
        if (batch + 1) % BATCHES_PER_SEGMENT == 0 {
            log.append(Entry::Roll { at_ms: 1_000 }).unwrap();
        }
        settle(&mut log);
    }
    log.close().unwrap();
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn once(prepared: &Path) -> (Duration, CleaningMetrics) {
    let dir = tempfile::tempdir().unwrap();
    copy(prepared, dir.path());
    let mut log = open(dir.path());
    let (last, end) = (log.last_index(), log.log_end());
    log.commit(last);
    log.raise_first_index(last.next());
    log.set_marks(end, end);
    let job = log
        .begin_cleaning(&CleaningConfig::default(), 1_000_000)
        .unwrap();
    let tools = Tools {
        budget: &KeyMapBudget::new(KEY_MAP_BYTES_DEFAULT),
        throttle: &Throttle::new(None),
        clock: &Clock(Instant::now()),
        cancelled: &AtomicBool::new(false),
        seed: 7,
    };
    let cpu = CpuTime::start(Whose::Thread);
    let cleaned = clean(job, &tools, &mut |swap| log.swap_cleaned(swap));
    let spent = cpu.elapsed();
    cleaned.result.as_ref().unwrap();
    (spent, log.finish_cleaning(cleaned))
}

fn peak_kib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    peak.split_whitespace().nth(1).unwrap().to_owned()
}

fn compaction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compaction, CPU");
    group.sample_size(10);
    let cases = [
        ("plain", Compression::None),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ];
    for (name, codec) in cases {
        let prepared = tempfile::tempdir().unwrap();
        prepare(prepared.path(), codec);
        let (spent, metrics) = once(prepared.path());
        println!(
            "{name}: {spent:?} on a core, peak {} KiB, {metrics:?}",
            peak_kib()
        );
        group.throughput(Throughput::Bytes(metrics.input_bytes));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| once(prepared.path()).0).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, compaction);
criterion_main!(benches);
