//! The file system, by positioned calls.
//!
//! All reads are `pread` into fresh memory: a mapped page of a file that somebody truncates or a disk
//! that fails would kill the process with SIGBUS, a `pread` returns an error. What is mapped goes to a
//! socket and nowhere else (`map`). No `unsafe` is needed here.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FallocateFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::map::is_cached;
use super::{Disk, DiskFile, Mapping, OpenMode, Space, WholeFileSystem};

/// The kernel takes at most this many slices in one call (IOV_MAX).
const SLICES_MAX: usize = 1024;

/// Up to this the kernel is asked for the pages there are, a third of a probe's cost; it looks at each, so
/// that in a long range a few probes cost less.
const COUNTED_BYTES_MAX: u64 = 64 * 1024;
/// A page that is just being read from the disk counts as well. So after an answer that something is not in
/// memory so many are probed too: the reads that follow it, and what the kernel reads ahead for them.
const DOUBTED_ANSWERS: u32 = 64;

/// One byte is probed in so many, and the last: what is read or written in order is mostly evicted in
/// order too, and a probe costs as much as sending some 5 KiB.
const PROBE_EVERY_BYTES: u64 = 1024 * 1024;
/// Up to this the first byte stands for all: the kernel reads ahead, and caches, in pieces of this size.
const PROBED_ONCE_BYTES: u64 = 64 * 1024;

/// Cached pages are dropped whole; no page cache has larger ones for files.
const CACHE_UNIT_BYTES: u64 = 2 << 20;

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = dir;
        while !at.is_dir() {
            missing.push(at.to_path_buf());
            match at.parent() {
                Some(parent) if parent != Path::new("") => at = parent,
                _ => break,
            }
        }
        std::fs::create_dir_all(dir)?;
        for made in missing {
            match made.parent() {
                Some(parent) if parent != Path::new("") => self.sync_dir(parent)?,
                _ => self.sync_dir(Path::new("."))?,
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create_new(true);
            }
        }
        Ok(Arc::new(RealFile {
            file: Arc::new(options.open(path)?),
            mapping: ArcSwapOption::empty(),
            doubted: AtomicU32::new(DOUBTED_ANSWERS),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn own_file_system(&self, dir: &Path) -> io::Result<Option<Arc<dyn WholeFileSystem>>> {
        let dir = dir.canonicalize()?;
        let own = match dir.parent() {
            Some(parent) => std::fs::metadata(&dir)?.dev() != std::fs::metadata(parent)?.dev(),
            None => true,
        };
        if !(own && is_mount_point(&dir) && syncfs_tells_of_failures()) {
            return Ok(None);
        }
        Ok(Some(Arc::new(RealFileSystem(File::open(dir)?))))
    }
}

/// Whether the kernel lists the directory as one. (A subvolume has a device number of its own, too.)
fn is_mount_point(dir: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points = mounts
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(4));
    points.any(|point| Path::new(point) == dir)
}

/// Since Linux 5.8; before, it succeeds whatever was lost.
fn syncfs_tells_of_failures() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    (number(), number()) >= (Some(5), Some(8))
}

#[derive(Debug)]
struct RealFileSystem(File);

impl WholeFileSystem for RealFileSystem {
    fn sync(&self) -> io::Result<()> {
        rustix::fs::syncfs(&self.0).map_err(io::Error::from)
    }
}

#[derive(Debug)]
struct RealFile {
    file: Arc<File>,
    /// The longest mapping asked for so far; most reads of a segment share it.
    mapping: ArcSwapOption<Mapping>,
    /// How many more times a range is probed although all of it is cached.
    doubted: AtomicU32,
}

impl RealFile {
    /// Whether a read at some places of the range does not wait.
    fn probe(&self, position: u64, len: u64) -> bool {
        let probes = len.div_ceil(PROBE_EVERY_BYTES);
        let resident = |at: u64| {
            let mut byte = [0];
            let into = &mut [IoSliceMut::new(&mut byte)];
            let read = rustix::io::preadv2(&self.file, into, position + at, ReadWriteFlags::NOWAIT);
            // a file system that cannot say (tmpfs, which is memory) is read at once
            !matches!(read, Err(Errno::AGAIN))
        };
        let ends = len <= PROBED_ONCE_BYTES || resident(len.saturating_sub(1));
        ends && (0..probes).all(|probe| resident(probe * PROBE_EVERY_BYTES))
    }
}

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, position: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        read_file(&self.file, position, len, out)
    }

    fn write_at(&self, position: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = slices;
        let mut at = position;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let now = &rest[..rest.len().min(SLICES_MAX)];
            match rustix::io::pwritev(&self.file, now, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += as_u64(written);
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size).map_err(io::Error::from)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if let Some(mapping) = &*self.mapping.load()
            && mapping.len() >= len
        {
            return Ok(Some(Mapping::clone(mapping)));
        }
        match Mapping::new(&self.file, len) {
            Ok(mapping) => {
                self.mapping.store(Some(Arc::new(mapping.clone())));
                Ok(Some(mapping))
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOMEM | Errno::NODEV) => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn is_resident(&self, position: u64, len: u64) -> bool {
        let cached = if len <= COUNTED_BYTES_MAX {
            is_cached(&self.file, position, len)
        } else {
            None
        };
        let doubted = self.doubted.load(Ordering::Relaxed);
        let resident = match cached {
            Some(true) if doubted == 0 => return true,
            Some(false) => false,
            Some(true) | None => self.probe(position, len),
        };
        // two threads may count as one
        let left = if resident {
            doubted.saturating_sub(1)
        } else {
            DOUBTED_ANSWERS
        };
        if left != doubted {
            self.doubted.store(left, Ordering::Relaxed);
        }
        resident
    }

    fn drop_cache(&self, position: u64, len: u64) -> io::Result<()> {
        // a page that is covered in part stays; no length means all that follows
        let from = position - position % CACHE_UNIT_BYTES;
        let Some(len) = NonZeroU64::new(len.saturating_add(position - from)) else {
            return Ok(());
        };
        rustix::fs::fadvise(&self.file, from, Some(len), Advice::DontNeed).map_err(io::Error::from)
    }
}

/// Reads as [`DiskFile::read_at`] does.
pub(super) fn read_file(
    file: &File,
    position: u64,
    len: usize,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    out.try_reserve_exact(len).map_err(io::Error::other)?;
    let end = out.len() + len;
    let mut at = position;
    while out.len() < end {
        let before = out.len();
        match rustix::io::pread(file, spare_capacity(out), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => at += as_u64(out.len() - before),
            Err(error) => return Err(error.into()),
        }
    }
    out.truncate(end);
    Ok(())
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).expect("memory is at most 2^64 bytes")
}
