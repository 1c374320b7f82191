//! Group commit: synced appends per second that one log takes, from one appender and from a hundred.
//!
//! Through the partition as the broker uses it (shard thread, sync workers, acks=all), on the real disk.
//! Goal: a hundred appenders reach at least 20 times the rate of one.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "disk/mod.rs"]
mod disk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use headrace_broker::BrokerConfig;
use headrace_broker::clock::{Clock, SystemClock};
use headrace_broker::partition::registry::NewTopic;
use headrace_broker::partition::{Acks, Registry};
use headrace_broker::topic_config::Overrides;
use headrace_storage::Batch;
use headrace_storage::data_dir::DataDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const APPENDERS: [usize; 2] = [1, 100];
/// By each appender in one pass, one after another.
const APPENDS: usize = 50;
/// Far more than one log needs.
const FILES_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_mins(1);

fn group_commit(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let data = Arc::new(DataDir::open(dir.path(), FILES_MAX).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let upkeep = BrokerConfig::default().upkeep_settings();
    let registry = Registry::open(data, &clock, 1, &upkeep).unwrap();
    let runtime = Runtime::new().unwrap();
    let topic = NewTopic {
        name: "appends".into(),
        partitions: 1,
        overrides: Overrides::new(),
    };
    let topic = runtime.block_on(registry.create(topic)).unwrap();
    let partition = topic.partition(0).unwrap();
    let batch = Batch::check(disk::payload(1 << 10)).unwrap();

    let mut group = criterion.benchmark_group("group commit, time");
    for appenders in APPENDERS {
        group.throughput(Throughput::Elements((appenders * APPENDS) as u64));
        group.bench_function(BenchmarkId::from_parameter(appenders), |bencher| {
            bencher.iter_custom(|passes| {
                let begun = Instant::now();
                for _ in 0..passes {
                    runtime.block_on(async {
                        let mut running = JoinSet::new();
                        for _ in 0..appenders {
                            let (partition, batch) = (partition.clone(), batch.clone());
                            running.spawn(async move {
                                for _ in 0..APPENDS {
                                    let batch = batch.clone();
                                    partition.append(batch, Acks::All, PATIENCE).await.unwrap();
                                }
                            });
                        }
                        running.join_all().await;
                    });
                }
                begun.elapsed()
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
    targets = group_commit
}
criterion_main!(benches);
