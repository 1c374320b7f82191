//! The disk as a trait, so that crashes and failing calls can be tried without a machine to crash.
//!
//! [`RealDisk`] is the file system; [`MemoryDisk`] keeps files in memory, forgets at a crash what was
//! never synced, and fails on purpose; [`CachedDisk`] bounds the files that either keeps open. One contract
//! suite (`fs/tests.rs`) runs on all.

mod atomic;
mod cache;
mod descriptors;
mod lock;
mod map;
mod memory;
mod real;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use atomic::{AtomicFileError, read_atomic, write_atomic};
pub use cache::CachedDisk;
pub use descriptors::raise_descriptor_limit;
pub use lock::{DirLock, LockError};
pub use map::{MappedSlice, Mapping};
pub use memory::{
    FailedWork, Fate, Fault, Garbage, MemoryDisk, Replay, Surviving, Trace, Unsynced, UnsyncedKind,
};
pub use real::RealDisk;

/// How [`Disk::open`] treats the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; only read.
    Read,
    /// Must exist; read and written.
    Write,
    /// Must not exist; read and written.
    Create,
}

/// The room on the file system that holds a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write; what is reserved for root does not count.
    pub free_bytes: u64,
    /// The size of the file system.
    pub total_bytes: u64,
}

/// A tree of directories and files.
///
/// - *Durability.* Nothing is durable by itself. A file's bytes and size become durable with
///   [`DiskFile::sync_data`]; its **name** (after create, rename, remove) with [`Disk::sync_dir`] of the
///   directory it lies in. Until then a crash may keep or undo each, in any order.
/// - *Atomicity.* A rename is atomic; a write is not: after a crash any part of it may be there.
/// - *Errors.* A call that fails may have done any part of its work. After a failed sync it is unknown
///   which bytes are durable, and syncing again proves nothing: the caller closes the log.
/// - *Threads.* All calls may come from several threads; a read sees every write that returned before.
pub trait Disk: Debug + Send + Sync {
    /// Makes the directory and its missing parents. Their names are durable when this returns.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files and directories in `dir`, sorted; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file; `NotFound` and `AlreadyExists` as the mode says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file a new name, replacing what bore it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Handles that are open stay readable.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The room on the file system that holds `dir`, as it is now.
    fn space(&self, dir: &Path) -> io::Result<Space>;

    /// The file system that begins at `dir`, to be synced as a whole; `None` if it is not the directory's own,
    /// or does not tell of failures.
    fn own_file_system(&self, dir: &Path) -> io::Result<Option<Arc<dyn WholeFileSystem>>>;
}

/// A file system that holds a data directory and nothing else.
///
/// It tells of a failed write-back once, of any since it was taken: so it is taken before anything is written.
pub trait WholeFileSystem: Debug + Send + Sync {
    /// Makes everything in it durable: bytes, sizes and names.
    fn sync(&self) -> io::Result<()>;
}

/// An open file; reads and writes name their position, so a handle can be shared.
pub trait DiskFile: Debug + Send + Sync {
    /// The size in bytes, allocated room included.
    fn size(&self) -> io::Result<u64>;

    /// Appends up to `len` bytes from `position` to `out`; fewer only at the end of the file.
    ///
    /// `out` grows by at most `len`; the caller bounds `len` by what the file can hold.
    fn read_at(&self, position: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()>;

    /// Writes all slices one after another from `position`; the file grows as needed.
    fn write_at(&self, position: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Reserves room up to `size` bytes; bytes never written read as zero. The size becomes at least that.
    ///
    /// `Unsupported` where the file system cannot; the caller then goes without.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// Cuts (or extends with zeros) to exactly `size` bytes.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// Makes bytes and size durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Asked before a sync of the whole file system, for [`DiskFile::synced_otherwise`] after it.
    fn write_mark(&self) -> u64 {
        0
    }

    /// What was written before the mark was asked for is durable by a sync of the whole file system.
    fn synced_otherwise(&self, _mark: u64) {}

    /// Maps the first `len` bytes, which must not change any more, for a socket to send from.
    ///
    /// `None` where there is no mapping to be had (none left, or a disk without); the caller then reads.
    fn map(&self, _len: u64) -> io::Result<Option<Mapping>> {
        Ok(None)
    }

    /// Whether the range seems to be in memory, so that reading it does not wait for the disk.
    ///
    /// A guess, for pages come and go: what it misses costs time, nothing else.
    fn is_resident(&self, _position: u64, _len: u64) -> bool {
        true
    }

    /// Lets go of the cached pages of `len` bytes from `position`, so that the next read is the disk's.
    ///
    /// Pages that are not synced stay, and a file system may keep others: the caller syncs first, and
    /// learns nothing if it had no effect.
    fn drop_cache(&self, position: u64, len: u64) -> io::Result<()>;
}
