//! How written bytes become durable: file by file, or a whole file system at once.
//!
//! Many dirty files cost a disk one journal commit each; a sync of the file system costs one for all. It also
//! writes what others left dirty there, so it is used only where the data directory has a file system of its
//! own, and only while more files wait than a disk takes in parallel with gain (replication.md, "Sync").
//!
//! The kernel tells a failed write-back of a file to whoever syncs that file, and once to whoever syncs the file
//! system. So one sync of the file system runs at a time; a failed one fails all points of its round; and as
//! another log may have been hit that wrote meanwhile, **after a failed one each file is synced by itself, for
//! good**: then every log learns of its own failures.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fs::{Disk, WholeFileSystem};
use crate::log::{SyncDone, SyncPoint, WriteError};

/// Files that are synced side by side; with more waiting a file system of its own is synced as a whole.
pub const PARALLEL_FILES_MAX: usize = 16;

/// A way of making sync points durable.
///
/// - *Durability.* What a point covers is durable if its outcome says so.
/// - *Errors.* What may have been lost is never said to be durable, also by a later round.
/// - *Threads.* Called from [`PARALLEL_FILES_MAX`] threads at a time, with different points.
pub trait Durability: Debug + Send + Sync {
    /// How many of the points that wait a thread should take as one round; at least 1.
    fn round(&self, waiting: usize) -> usize;

    /// Makes the points of a round durable; the outcomes stand in their order. Blocks.
    fn run(&self, points: Vec<SyncPoint>) -> Vec<SyncDone>;
}

/// The strategy that fits the data directory. To be asked for before anything is written.
pub fn strategy(disk: &dyn Disk, root: &Path) -> io::Result<Arc<dyn Durability>> {
    let Some(whole) = disk.own_file_system(root)? else {
        tracing::info!(
            "files are synced one by one: the data directory has no file system of its own"
        );
        return Ok(Arc::new(PerFile));
    };
    Ok(Arc::new(FileSystem::new(whole, root)))
}

/// Each file by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerFile;

impl Durability for PerFile {
    fn round(&self, _waiting: usize) -> usize {
        1
    }

    fn run(&self, points: Vec<SyncPoint>) -> Vec<SyncDone> {
        points.into_iter().map(SyncPoint::run).collect()
    }
}

/// Few files each by itself, many by a sync of their file system.
#[derive(Debug)]
pub struct FileSystem {
    root: PathBuf,
    /// Taken away by the first failure.
    whole: Mutex<Option<Arc<dyn WholeFileSystem>>>,
}

impl FileSystem {
    /// Takes the file system of `root`.
    pub fn new(whole: Arc<dyn WholeFileSystem>, root: &Path) -> FileSystem {
        FileSystem {
            root: root.to_path_buf(),
            whole: Mutex::new(Some(whole)),
        }
    }

    /// Syncs the file system; `None` once that has failed.
    fn sync(&self) -> Option<Result<(), WriteError>> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = whole.as_ref()?.sync();
        if synced.is_err() {
            *whole = None;
        }
        Some(synced.map_err(WriteError::new("sync the file system of", &self.root)))
    }
}

impl Durability for FileSystem {
    fn round(&self, waiting: usize) -> usize {
        if waiting > PARALLEL_FILES_MAX {
            waiting
        } else {
            1
        }
    }

    fn run(&self, points: Vec<SyncPoint>) -> Vec<SyncDone> {
        if points.len() <= 1 {
            return PerFile.run(points);
        }
        let prepared: Vec<_> = points.iter().map(SyncPoint::prepare).collect();
        let synced = self.sync();
        let outcomes = points.into_iter().zip(prepared).map(|(point, prepared)| {
            let result = prepared.and_then(|mark| match &synced {
                Some(synced) => synced.clone().inspect(|()| point.synced_otherwise(mark)),
                None => point.sync(),
            });
            point.finish(result)
        });
        outcomes.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::fs::{Fault, MemoryDisk};
    use crate::log::{Entry, Known, Log, LogConfig, LogIdentity};
    use crate::position::LeaderEpoch;
    use uuid::Uuid;

    const ROOT: &str = "/data";
    const LOGS: i32 = 20;

    fn open(disk: &MemoryDisk, partition: i32) -> Log {
        let identity = LogIdentity {
            cluster_id: Uuid::nil(),
            topic_id: Uuid::from_u128(1),
            partition,
        };
        let dir = Path::new(ROOT).join(partition.to_string());
        let (disk, config) = (Arc::new(disk.clone()), LogConfig::default());
        Log::open(disk, &dir, identity, config, Known::default()).unwrap()
    }

    fn strategies(disk: &MemoryDisk) -> [Arc<dyn Durability>; 2] {
        let whole = strategy(disk, Path::new(ROOT)).unwrap();
        assert!(whole.round(17) == 17 && whole.round(16) == 1 && whole.round(1) == 1);
        assert_eq!(PerFile.round(100), 1);
        [Arc::new(PerFile), whole]
    }

    /// Logs with a no-op and a ROLL that are written, with a new file each.
    fn dirty(disk: &MemoryDisk) -> Vec<Log> {
        disk.create_dir_all(Path::new(ROOT)).unwrap();
        let term = LeaderEpoch(1);
        let dirty = |partition| {
            let mut log = open(disk, partition);
            log.append(Entry::NoOp { term }).unwrap();
            log.append(Entry::Roll { at_ms: 1 }).unwrap();
            log.write().unwrap();
            log
        };
        (0..LOGS).map(dirty).collect()
    }

    fn points(logs: &mut [Log]) -> Vec<SyncPoint> {
        logs.iter_mut().filter_map(Log::sync_point).collect()
    }

    /// The contract, on both.
    #[test]
    fn what_is_said_to_be_durable_survives_a_power_cut() {
        for which in 0..2 {
            let disk = MemoryDisk::new();
            let mut logs = dirty(&disk);
            let strategy = Arc::clone(&strategies(&disk)[which]);
            let done = strategy.run(points(&mut logs));
            for ((log, done), partition) in logs.iter_mut().zip(done).zip(0..) {
                log.synced(done).unwrap();
                assert_eq!(log.flushed_index().0, 2);
                assert_eq!(open(&disk.crash(), partition).last_index().0, 2);
            }
        }
    }

    #[test]
    fn failure_at_any_call_is_never_said_to_be_durable() {
        for which in 0..2 {
            let mut failed = 0;
            for at_call in 0..100 {
                let disk = MemoryDisk::new();
                let mut logs = dirty(&disk);
                let strategy = Arc::clone(&strategies(&disk)[which]);
                disk.fail(Fault {
                    at_call,
                    kind: io::ErrorKind::Other,
                    lasting: false,
                });
                let done = strategy.run(points(&mut logs));
                disk.heal();
                for ((log, done), partition) in logs.iter_mut().zip(done).zip(0..) {
                    let synced = log.synced(done);
                    failed += i32::from(synced.is_err());
                    let after = open(&disk.crash(), partition).last_index();
                    assert!(after >= log.flushed_index(), "call {at_call}");
                }
            }
            assert!(failed > 0);
        }
    }

    #[test]
    fn failed_sync_of_the_file_system_fails_its_round_and_is_the_last() {
        let disk = MemoryDisk::new();
        let mut logs = dirty(&disk);
        let [_, strategy] = strategies(&disk);
        let (first, second) = logs.split_at_mut(10);
        // trims come first, one each
        disk.fail(Fault {
            at_call: 10,
            kind: io::ErrorKind::Other,
            lasting: false,
        });
        let done = strategy.run(points(first));
        for (log, done) in first.iter_mut().zip(done) {
            let failed = log.synced(done).unwrap_err().to_string();
            assert!(failed.contains("file system of /data"), "{failed}");
        }
        // of the others some bytes were lost too: only their own files tell
        let done = strategy.run(points(second));
        for ((log, done), partition) in second.iter_mut().zip(done).zip(10..) {
            let synced = log.synced(done);
            let after = open(&disk.crash(), partition).last_index();
            assert!(synced.is_err() || after >= log.flushed_index());
        }
    }
}
