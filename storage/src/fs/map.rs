//! Mapped files, whose bytes nobody but the kernel touches.
//!
//! ```text
//!   MappedSlice -- io_slice --> writev(socket)   the kernel copies; a page that is gone is EFAULT, an error
//!               -- to_bytes --> pread            for everyone else: TLS, checksums, tests
//! ```
//!
//! A page of a file that was truncated, or that the disk cannot read, kills the process with SIGBUS when
//! the program touches it, but is an error when a system call does. So a mapping never becomes a `&[u8]`
//! that code reads: it leaves as an [`IoSlice`] for a socket, or is read by `pread`. A file that was only
//! unlinked or replaced stays whole for as long as it is mapped.
//!
//! What is mapped must not change any more: a sealed segment, or the part of a file that is written.
//! Whether the kernel would have to wait for the disk [`is_cached`] tells beforehand.
//! This file alone may say `unsafe`.
#![allow(
    unsafe_code,
    reason = "the address of a mapping becomes a slice for the socket here, and nowhere else; \
              and one system call has no safe wrapper"
)]

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, MmapOptions, MmapRaw};

use super::real::read_file;

/// The first bytes of a file in memory; cheap to clone. The file stays open with it.
#[derive(Clone)]
pub struct Mapping {
    mapped: Arc<Mapped>,
    /// Dropped with the last clone and the last slice: how a cache counts what it gave out.
    _keep: Option<Arc<dyn Any + Send + Sync>>,
}

struct Mapped {
    memory: MmapRaw,
    file: Arc<File>,
}

/// A range of a mapped file, on its way to a socket. The mapping lives as long as the slice.
#[derive(Clone)]
pub struct MappedSlice {
    mapping: Mapping,
    from: usize,
    len: usize,
}

impl Mapping {
    /// Maps the first `len` bytes; pages that lie past the end of the file are errors when they are sent.
    pub(super) fn new(file: &Arc<File>, len: usize) -> io::Result<Mapping> {
        let memory = MmapOptions::new().len(len).map_raw_read_only(&**file)?;
        let file = Arc::clone(file);
        Ok(Mapping {
            mapped: Arc::new(Mapped { memory, file }),
            _keep: None,
        })
    }

    /// The same mapping, which keeps `kept` alive with itself and its slices.
    #[must_use]
    pub(super) fn keeping(self, kept: Arc<dyn Any + Send + Sync>) -> Mapping {
        Mapping {
            _keep: Some(kept),
            ..self
        }
    }

    /// The bytes mapped.
    pub fn len(&self) -> usize {
        self.mapped.memory.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of it; `None` if it reaches past the mapping.
    pub fn slice(&self, range: Range<usize>) -> Option<MappedSlice> {
        let len = range.end.checked_sub(range.start)?;
        (range.end <= self.len()).then(|| MappedSlice {
            mapping: self.clone(),
            from: range.start,
            len,
        })
    }
}

impl MappedSlice {
    /// The bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes **for a vectored write and nothing else**: looking into them can kill the process.
    pub fn io_slice(&self) -> IoSlice<'_> {
        let start = self.mapping.mapped.memory.as_ptr().wrapping_add(self.from);
        // SAFETY: `slice` checked that the range lies in the mapping, which is page-aligned, readable, not
        // null, and unmapped only when the last holder of `mapped` goes, so not before `self`. Nothing in
        // this process writes to it: it is mapped read-only, and only parts of files that never change
        // again are mapped. The bytes are not read here; a page that is gone is met by the kernel alone.
        let bytes = unsafe { std::slice::from_raw_parts(start, self.len) };
        IoSlice::new(bytes)
    }

    /// The bytes in memory, read from the file.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        let mut bytes = Vec::new();
        let position = u64::try_from(self.from).map_err(io::Error::other)?;
        read_file(&self.mapping.mapped.file, position, self.len, &mut bytes)?;
        if bytes.len() < self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes.into())
    }

    /// Reads what is not in memory yet, so that sending it does not wait for the disk.
    ///
    /// Blocks. A page that cannot be read is an error; a kernel that cannot do this (before 5.14) is not.
    pub fn make_resident(&self) -> io::Result<()> {
        let memory = &self.mapping.mapped.memory;
        match memory.advise_range(Advice::PopulateRead, self.from, self.len) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => done,
        }
    }
}

/// What cachestat(2) is asked.
#[repr(C)]
struct CacheRange {
    position: u64,
    /// 0 means all that follows.
    len: u64,
}

/// What it answers, in pages.
#[repr(C)]
#[derive(Default)]
struct CacheCounts {
    cached: u64,
    dirty: u64,
    in_writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// The number of cachestat(2), the same on every architecture.
const CACHESTAT: libc::c_long = 451;

/// Whether every page of a range of a file is in the page cache (or being read into it).
///
/// `None` where the kernel does not say: before 6.5, or of a file that this process may not write.
pub(super) fn is_cached(file: &File, position: u64, len: u64) -> Option<bool> {
    let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
    let Some(last) = len.checked_sub(1) else {
        return Some(true);
    };
    let pages = position.checked_add(last)? / page_bytes - position / page_bytes + 1;
    let range = CacheRange { position, len };
    let mut counts = CacheCounts::default();
    let no_flags: libc::c_uint = 0;
    // SAFETY: both structures are laid out as linux/mman.h says and live until the call returns; it reads the
    // first, writes the second, and keeps neither. A kernel without it returns ENOSYS.
    let failed = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            &raw const range,
            &raw mut counts,
            no_flags,
        )
    };
    (failed == 0).then_some(counts.cached >= pages)
}

impl fmt::Debug for Mapping {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Mapping({} bytes)", self.len())
    }
}

impl fmt::Debug for MappedSlice {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "MappedSlice({} bytes at {})", self.len, self.from)
    }
}

#[cfg(test)]
mod tests;
