//! What an idle log costs in memory: at most 4 KiB, its open file aside.
//!
//! Counted by the allocator of this process, in which nothing else runs; hence a test of its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;

use cap::Cap;
use headrace_storage::fs::{Disk, RealDisk};
use headrace_storage::{
    BatchBuilder, Compression, Entry, Known, LeaderEpoch, Log, LogConfig, LogIdentity, LogReader,
};
use uuid::Uuid;

const IDLE_BYTES_MAX: usize = 4096;
const LOGS: usize = 10;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

fn open(dir: &Path, number: usize) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let identity = LogIdentity {
        cluster_id: Uuid::from_u128(1),
        topic_id: Uuid::from_u128(2),
        partition: i32::try_from(number).unwrap(),
    };
    let dir = dir.join(format!("{}-{number}", Uuid::from_u128(2)));
    Log::open(disk, &dir, identity, LogConfig::default(), Known::default()).unwrap()
}

fn settle(log: &mut Log) {
    log.write().unwrap();
    while let Some(point) = log.sync_point() {
        log.synced(point.run()).unwrap();
    }
}

/// A log that has been used a little, has one sealed segment, and rests.
fn used(dir: &Path, number: usize) -> Log {
    let mut log = open(dir, number);
    log.append(Entry::NoOp {
        term: LeaderEpoch(1),
    })
    .unwrap();
    for at in 0..40 {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(at, None, Some(&[7; 500]), &[]);
        let mut batch = builder.build();
        batch.stamp(log.next_offset(), log.epoch());
        log.append(Entry::Batch(batch)).unwrap();
        if at == 20 {
            log.append(Entry::Roll { at_ms: 1 }).unwrap();
        }
    }
    settle(&mut log);
    log
}

#[test]
fn idle_log_costs_at_most_four_kib() {
    let dir = tempfile::tempdir().unwrap();
    let measure = |what: &str, make: &dyn Fn(&Path, usize) -> Log| {
        let mut logs: Vec<(Log, LogReader)> = Vec::with_capacity(LOGS);
        let before = HEAP.allocated();
        for number in 0..LOGS {
            let mut log = make(dir.path(), number);
            log.trim_idle().unwrap();
            log.trim_idle().unwrap();
            let reader = log.reader();
            logs.push((log, reader));
        }
        let heap_bytes = HEAP.allocated() - before;
        let each = heap_bytes / LOGS + size_of::<Log>() + size_of::<LogReader>();
        assert!(each <= IDLE_BYTES_MAX, "{what}: {each} bytes each");
        println!("{what}: {each} bytes each");
    };
    measure("empty", &open);
    measure("used", &used);
    measure("reopened", &open);
}
