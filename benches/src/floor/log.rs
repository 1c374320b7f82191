//! The files: one per partition, with room reserved, where each batch begins in memory.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use headrace_storage::fs::{Disk, MappedSlice, Mapping, OpenMode, RealDisk};
use rustix::fs::{FallocateFlags, fallocate};

use super::FloorConfig;

/// Room is reserved, and the file mapped anew, in steps of this size.
const ROOM_BYTES: u64 = 256 << 20;

/// All topics.
pub(super) struct Logs {
    config: FloorConfig,
    pub(super) port: u16,
    topics: RwLock<HashMap<String, Vec<Arc<Partition>>>>,
    arrivals: Arc<Arrivals>,
}

/// Wakes who waits for new batches, of any partition.
#[derive(Default)]
struct Arrivals {
    count: Mutex<u64>,
    wake: Condvar,
}

/// One partition's file.
pub(super) struct Partition {
    sync: bool,
    path: PathBuf,
    file: File,
    state: Mutex<State>,
    arrivals: Arc<Arrivals>,
}

#[derive(Default)]
struct State {
    /// First offset and place of every batch, in order.
    batches: Vec<(i64, u64)>,
    next_offset: i64,
    end: u64,
    room: u64,
    mapping: Option<Mapping>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logs {
    pub(super) fn new(config: FloorConfig, port: u16) -> Logs {
        Logs {
            config,
            port,
            topics: RwLock::default(),
            arrivals: Arc::default(),
        }
    }

    /// Makes a topic; one that is there stays.
    pub(super) fn create(&self, topic: &str, partitions: usize) -> io::Result<()> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.contains_key(topic) {
            return Ok(());
        }
        let made: io::Result<Vec<_>> = (0..partitions)
            .map(|number| {
                let path = self.config.data.join(format!("{topic}-{number}"));
                Partition::create(path, self.config.sync, &self.arrivals).map(Arc::new)
            })
            .collect();
        topics.insert(topic.to_owned(), made?);
        Ok(())
    }

    /// Forgets a topic and removes its files.
    pub(super) fn delete(&self, topic: &str) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        for partition in topics.remove(topic).unwrap_or_default() {
            drop(std::fs::remove_file(&partition.path));
        }
    }

    /// The names of all topics.
    pub(super) fn names(&self) -> Vec<String> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.keys().cloned().collect()
    }

    /// How many partitions a topic has.
    pub(super) fn count(&self, topic: &str) -> Option<usize> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic).map(Vec::len)
    }

    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let partitions = topics.get(topic)?;
        partitions.get(usize::try_from(partition).ok()?).cloned()
    }

    /// How many batches came so far: what [`Logs::wait`] starts from.
    pub(super) fn arrived(&self) -> u64 {
        *lock(&self.arrivals.count)
    }

    /// Waits for a batch after so many, until the deadline; false when it has passed.
    pub(super) fn wait(&self, arrived: u64, deadline: Instant) -> bool {
        let mut count = lock(&self.arrivals.count);
        while *count == arrived {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.arrivals.wake.wait_timeout(count, left);
            count = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Partition {
    fn create(path: PathBuf, sync: bool, arrivals: &Arc<Arrivals>) -> io::Result<Partition> {
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .clone();
        Ok(Partition {
            sync,
            file: options.open(&path)?,
            path,
            state: Mutex::default(),
            arrivals: Arc::clone(arrivals),
        })
    }

    /// Stamps a checked batch of so many records, writes it, and gives its offset.
    pub(super) fn append(&self, batch: &mut [u8], records: i64) -> io::Result<i64> {
        let offset = {
            let mut state = lock(&self.state);
            let (offset, at) = (state.next_offset, state.end);
            batch[..8].copy_from_slice(&offset.to_be_bytes());
            batch[12..16].copy_from_slice(&0_i32.to_be_bytes());
            let end = at + u64::try_from(batch.len()).map_err(io::Error::other)?;
            while state.room < end {
                fallocate(&self.file, FallocateFlags::empty(), state.room, ROOM_BYTES)?;
                state.room += ROOM_BYTES;
            }
            self.file.write_all_at(batch, at)?;
            state.batches.push((offset, at));
            state.next_offset += records;
            state.end = end;
            offset
        };
        if self.sync {
            self.file.sync_data()?;
        }
        *lock(&self.arrivals.count) += 1;
        self.arrivals.wake.notify_all();
        Ok(offset)
    }

    pub(super) fn next_offset(&self) -> i64 {
        lock(&self.state).next_offset
    }

    /// Whole batches from the one that holds `from`, at most so many bytes, but at least one batch.
    pub(super) fn read(&self, from: i64, bytes_max: u64) -> io::Result<Option<MappedSlice>> {
        let mut state = lock(&self.state);
        if from >= state.next_offset {
            return Ok(None);
        }
        let first = state.batches.partition_point(|(offset, _)| *offset <= from) - 1;
        let start = state.batches[first].1;
        let beyond = state
            .batches
            .partition_point(|(_, at)| *at <= start + bytes_max);
        // the place of a batch is the end of the one before it
        let end = if beyond == state.batches.len() && state.end <= start + bytes_max {
            state.end
        } else {
            let next = (beyond - 1).max(first + 1);
            state.batches.get(next).map_or(state.end, |(_, at)| *at)
        };
        let place = |at: u64| usize::try_from(at).map_err(io::Error::other);
        let range = place(start)?..place(end)?;
        Ok(map(&self.path, &mut state)?.slice(range))
    }
}

/// The mapping of all the room there is.
fn map<'a>(path: &Path, state: &'a mut State) -> io::Result<&'a Mapping> {
    let mapped = state.mapping.take();
    let current = match mapped {
        Some(mapping) if u64::try_from(mapping.len()).is_ok_and(|len| len == state.room) => mapping,
        _ => RealDisk
            .open(path, OpenMode::Read)?
            .map(state.room)?
            .ok_or(io::ErrorKind::Unsupported)?,
    };
    Ok(state.mapping.insert(current))
}
