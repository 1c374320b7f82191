//! The produce path of one partition, beside the bare log append of the same batches.
//!
//! `partition` goes the way of the broker: a few producers that each keep a window of batches in flight with
//! acks=all, the shard's thread, the consensus of a lone voter, the sync workers. `log` is the floor: one
//! thread stages, writes and syncs the same batches in groups as large as all windows. In both the batches are
//! checked before; both are given as wall time and as CPU time of the process.
//!
//! On a disk this measures the disk. What the broker itself costs shows where a sync costs nothing:
//! `TMPDIR=/dev/shm cargo bench -p headrace-benches --bench partition`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "disk/mod.rs"]
mod disk;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use headrace_benches::cpu::{CpuTime, Whose};
use headrace_broker::BrokerConfig;
use headrace_broker::clock::{Clock, SystemClock};
use headrace_broker::partition::registry::NewTopic;
use headrace_broker::partition::{Acks, Handle, Registry};
use headrace_broker::topic_config::Overrides;
use headrace_storage::data_dir::DataDir;
use headrace_storage::{Batch, Entry, Log, LogConfig};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Enough that there is always one to run.
const PRODUCERS: usize = 4;
/// Batches that each has in flight: together a quarter of the shard's inbox.
const WINDOW: usize = 64;
/// Far more than one log needs.
const FILES_MAX: usize = 64;

struct Shape {
    name: &'static str,
    batch_bytes: usize,
    /// By each producer in one pass.
    batches: usize,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "100 B",
        batch_bytes: 120,
        batches: 16_384,
    },
    Shape {
        name: "1 KiB",
        batch_bytes: 1 << 10,
        batches: 8192,
    },
    Shape {
        name: "16 KiB",
        batch_bytes: 16 << 10,
        batches: 1024,
    },
];

/// The batches of a window, each with bytes of its own as requests have.
fn window(shape: &Shape) -> Vec<Batch> {
    let payload = disk::payload(shape.batch_bytes);
    let own = || Bytes::copy_from_slice(&payload);
    (0..WINDOW).map(|_| Batch::check(own()).unwrap()).collect()
}

/// A broker's partition.
struct Partition {
    runtime: Runtime,
    handle: Handle,
    windows: Vec<Arc<Vec<Batch>>>,
    /// Owns the partition.
    _registry: Registry,
    _dir: TempDir,
}

impl Partition {
    fn new(shape: &Shape) -> Partition {
        let dir = tempfile::tempdir().unwrap();
        let data = Arc::new(DataDir::open(dir.path(), FILES_MAX).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let upkeep = BrokerConfig::default().upkeep_settings();
        let registry = Registry::open(data, &clock, 1, &upkeep).unwrap();
        let runtime = Runtime::new().unwrap();
        let topic = NewTopic {
            name: "produced".into(),
            partitions: 1,
            overrides: Overrides::new(),
        };
        let topic = runtime.block_on(registry.create(topic)).unwrap();
        Partition {
            runtime,
            handle: topic.partition(0).unwrap().clone(),
            windows: (0..PRODUCERS).map(|_| Arc::new(window(shape))).collect(),
            _registry: registry,
            _dir: dir,
        }
    }

    fn pass(&mut self, shape: &Shape) {
        let batches = shape.batches;
        self.runtime.block_on(async {
            let mut running = JoinSet::new();
            for window in &self.windows {
                running.spawn(produce(self.handle.clone(), Arc::clone(window), batches));
            }
            running.join_all().await;
        });
    }
}

/// Sends batches, as many at a time as the window has.
async fn produce(partition: Handle, window: Arc<Vec<Batch>>, batches: usize) {
    let mut pending = VecDeque::with_capacity(WINDOW);
    for batch in window.iter().cycle().take(batches) {
        if pending.len() == WINDOW {
            let oldest: headrace_broker::partition::Pending = pending.pop_front().unwrap();
            oldest.answer().await.unwrap();
        }
        let sent = partition.submit(batch.clone(), Acks::All).await;
        pending.push_back(sent.unwrap());
    }
    for sent in pending {
        sent.answer().await.unwrap();
    }
}

/// A log without a broker.
struct Bare {
    log: Log,
    window: Vec<Batch>,
    _dir: TempDir,
}

impl Bare {
    fn new(shape: &Shape) -> Bare {
        let dir = tempfile::tempdir().unwrap();
        Bare {
            log: disk::new_log(dir.path(), LogConfig::default()),
            window: window(shape),
            _dir: dir,
        }
    }

    fn pass(&mut self, shape: &Shape) {
        for _ in 0..shape.batches / WINDOW {
            for batch in (0..PRODUCERS).flat_map(|_| &self.window) {
                let mut batch = batch.clone();
                batch.stamp(self.log.next_offset(), self.log.epoch());
                self.log.append(Entry::Batch(batch)).unwrap();
            }
            self.log.write().unwrap();
            while let Some(point) = self.log.sync_point() {
                self.log.synced(point.run()).unwrap();
            }
        }
    }
}

fn passes_of(passes: u64, time: Time, mut pass: impl FnMut()) -> Duration {
    let (begun, cpu) = (Instant::now(), CpuTime::start(Whose::Process));
    (0..passes).for_each(|_| pass());
    match time {
        Time::Wall => begun.elapsed(),
        Time::Cpu => cpu.elapsed(),
    }
}

#[derive(Clone, Copy)]
enum Time {
    Wall,
    Cpu,
}

fn produce_path(criterion: &mut Criterion) {
    for (name, time) in [("produce, time", Time::Wall), ("produce, CPU", Time::Cpu)] {
        let mut group = criterion.benchmark_group(name);
        for shape in &SHAPES {
            let batches = u64::try_from(PRODUCERS * shape.batches).unwrap();
            group.throughput(Throughput::Elements(batches));
            group.bench_function(BenchmarkId::new("partition", shape.name), |bencher| {
                let mut partition = Partition::new(shape);
                bencher.iter_custom(|passes| passes_of(passes, time, || partition.pass(shape)));
            });
            group.bench_function(BenchmarkId::new("log", shape.name), |bencher| {
                let mut bare = Bare::new(shape);
                bencher.iter_custom(|passes| passes_of(passes, time, || bare.pass(shape)));
            });
        }
        group.finish();
    }
}

/// What is written stays until the end: short, so that it fits into memory.
fn few_passes() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
}

criterion_group! {
    name = benches;
    config = few_passes();
    targets = produce_path
}
criterion_main!(benches);
