//! What the benchmarks of the log share: whose log it is, batches of a given size, and a log to write to.
#![allow(
    dead_code,
    reason = "each benchmark is a program of its own and uses a part"
)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use headrace_storage::fs::RealDisk;
use headrace_storage::{
    Batch, BatchBuilder, Compression, Entry, Known, LeaderEpoch, Log, LogConfig, LogIdentity,
};
use uuid::Uuid;

/// A partition's log that is measured.
pub(crate) fn identity(partition: i32) -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::nil(),
        topic_id: Uuid::from_u128(4),
        partition,
    }
}

/// A directory in memory, or where temporary files lie if this machine has none.
pub(crate) fn dir_in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A batch of about `batch_bytes` (never more), of records of 1 KiB at most, as a producer sends it.
pub(crate) fn payload(batch_bytes: usize) -> Bytes {
    let record_bytes = batch_bytes.min(1 << 10) - 100;
    let value: Vec<u8> = (0..record_bytes)
        .map(|at| u8::try_from(at * 31 % 251).expect("below 251"))
        .collect();
    let mut builder = BatchBuilder::new(Compression::None);
    let mut timestamp = 1_700_000_000_000;
    loop {
        builder.push(timestamp, Some(b"a key of 16 byte"), Some(&value), &[]);
        timestamp += 1;
        if builder.size_bytes() + record_bytes + 40 > batch_bytes {
            return builder.build().to_bytes();
        }
    }
}

/// A new log in its first term.
pub(crate) fn new_log(dir: &Path, config: LogConfig) -> Log {
    let disk = Arc::new(RealDisk);
    let mut log = Log::open(disk, dir, identity(0), config, Known::default()).unwrap();
    let term = LeaderEpoch(1);
    log.append(Entry::NoOp { term }).unwrap();
    log.write().unwrap();
    log
}

/// Checks a batch as it comes from a socket and stages it.
pub(crate) fn append(log: &mut Log, bytes: &Bytes) {
    let mut batch = Batch::check(bytes.clone()).unwrap();
    batch.stamp(log.next_offset(), log.epoch());
    log.append(Entry::Batch(batch)).unwrap();
}
