//! A bounded number of open files over any disk: a handle may lose its descriptor and get it back.
//!
//! ```text
//!   CachedFile (handle, lives as long as its log or view)
//!     '-- Opened (descriptor, mapping)      closed when others need the room, opened anew by path when used
//! ```
//!
//! - At most `files_max` descriptors are kept; the least recently used is closed first. So logs that are idle,
//!   and those whose last group is synced, need no descriptor, and rolling always finds one.
//! - A file with bytes that were written and not synced is never just closed: the error of a failed writeback
//!   would be lost with its descriptor. Where all are such, the least recently used are synced here and then
//!   closed: who writes to more files than may be open waits for the disk. A failure is kept for whoever
//!   syncs the file next. (A file that was only cut has no such bytes.)
//! - A file whose mapping is on its way to a socket keeps its descriptor; where there are many of those, no more
//!   mappings are given and the callers read instead.
//! - A handle stands for one file: it follows a rename, and once its file is removed or replaced it can
//!   be used for as long as the descriptor is there, and then is `NotFound`, also where another file took
//!   the name.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use rustix::io::Errno;

use super::{Disk, DiskFile, Mapping, OpenMode, Space, WholeFileSystem};

/// When the bound is reached, this part of it is closed at once, so that the search for the least recently
/// used is paid once for many openings.
const CLOSED_AT_ONCE: usize = 16;

/// A poisoned lock only means that another thread panicked between two consistent states.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A [`Disk`] that keeps a bounded number of files open; clones share them.
#[derive(Clone, Debug)]
pub struct CachedDisk {
    disk: Arc<dyn Disk>,
    cache: Arc<Cache>,
}

#[derive(Debug)]
struct Cache {
    files_max: usize,
    /// Descriptors there are, those included that only a mapping still holds.
    open: Arc<AtomicUsize>,
    /// Moves on with every opening; what was used since the same opening is equally recent.
    clock: AtomicU64,
    names: Mutex<HashMap<PathBuf, Weak<Name>>>,
    /// The handles that have a descriptor, and some that had one; each once.
    files: Mutex<Vec<Weak<CachedFile>>>,
}

/// Where a file is found; `None` once it was removed or replaced.
#[derive(Debug)]
struct Name(Mutex<Option<PathBuf>>);

/// Counts a descriptor until it and all its mappings are gone.
#[derive(Debug)]
struct Permit(Arc<AtomicUsize>);

#[derive(Debug)]
struct Opened {
    file: Arc<dyn DiskFile>,
    /// After the file, so that the count is never below what is open.
    permit: Arc<Permit>,
}

#[derive(Debug)]
struct CachedFile {
    me: Weak<CachedFile>,
    cache: Arc<Cache>,
    disk: Arc<dyn Disk>,
    name: Arc<Name>,
    writable: bool,
    opened: ArcSwapOption<Opened>,
    /// Held to open, to close and to write: a file that is written is not closed.
    changing: Mutex<()>,
    used_at: AtomicU64,
    /// Whether it stands in the list of files.
    listed: AtomicBool,
    /// Writes begun, and writes known to be synced.
    written: AtomicU64,
    synced: AtomicU64,
    /// Why the cache could not sync it; told to whoever syncs it next, again and again.
    failed: OnceLock<io::Error>,
}

impl CachedDisk {
    /// Keeps at most `files_max` files of `disk` open (at least one).
    pub fn new(disk: Arc<dyn Disk>, files_max: usize) -> CachedDisk {
        let cache = Cache {
            files_max: files_max.max(1),
            open: Arc::default(),
            clock: AtomicU64::default(),
            names: Mutex::default(),
            files: Mutex::default(),
        };
        CachedDisk {
            disk,
            cache: Arc::new(cache),
        }
    }

    /// The descriptors there are now.
    pub fn open_files(&self) -> usize {
        self.cache.open.load(Ordering::Relaxed)
    }
}

impl Cache {
    /// Opens a file, closing others for it where the bound is reached or the system has no more.
    fn open(&self, disk: &dyn Disk, path: &Path, mode: OpenMode) -> io::Result<Arc<Opened>> {
        let open = self.open.load(Ordering::Relaxed);
        if open >= self.files_max {
            self.close_some(open - self.files_max + 1, self.files_max / CLOSED_AT_ONCE);
        }
        let file = match disk.open(path, mode) {
            Err(error) if is_exhausted(&error) => {
                self.close_some(1, usize::MAX);
                disk.open(path, mode)?
            }
            opened => opened?,
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        self.clock.fetch_add(1, Ordering::Relaxed);
        let permit = Arc::new(Permit(Arc::clone(&self.open)));
        Ok(Arc::new(Opened { file, permit }))
    }

    /// Closes so many files, and up to so many more if none of those has to be synced for it; the least
    /// recently used first.
    fn close_some(&self, count: usize, more: usize) {
        let (mut clean, mut dirty) = (Vec::new(), Vec::new());
        lock(&self.files).retain(|file| {
            let Some(file) = file.upgrade() else {
                return false;
            };
            if !file.is_open() {
                file.listed.store(false, Ordering::Relaxed);
                return false;
            }
            let used_at = file.used_at.load(Ordering::Relaxed);
            let files = if file.is_dirty() {
                &mut dirty
            } else {
                &mut clean
            };
            files.push((used_at, file));
            true
        });
        // outside the lock: to close the last descriptor of a removed file can take a while, and so does a sync
        let oldest_first = |files: &mut Vec<(u64, Arc<CachedFile>)>| {
            files.sort_unstable_by_key(|(used_at, _)| *used_at);
        };
        oldest_first(&mut clean);
        let wanted = count.saturating_add(more);
        let closed = clean.iter().take(wanted);
        let closed = closed.filter(|(_, file)| file.close()).count();
        if closed < count {
            oldest_first(&mut dirty);
            let synced = dirty.iter().filter(|(_, file)| file.sync_and_close());
            synced.take(count - closed).count();
        }
    }

    /// Takes a handle with a descriptor into the list.
    fn list(&self, file: &CachedFile) {
        let mut files = lock(&self.files);
        // changed under the lock of the list only
        if file.listed.swap(true, Ordering::Relaxed) {
            return;
        }
        if files.len() == files.capacity() {
            // a weak reference keeps the memory of its handle
            files.retain(|file| file.strong_count() > 0);
        }
        files.push(Weak::clone(&file.me));
    }

    /// The name that all handles of the file at `path` share.
    fn name(&self, path: &Path) -> Arc<Name> {
        let mut names = lock(&self.names);
        if let Some(name) = names.get(path).and_then(Weak::upgrade) {
            return name;
        }
        if names.len() == names.capacity() {
            names.retain(|_, name| name.strong_count() > 0);
        }
        let name = Arc::new(Name(Mutex::new(Some(path.to_path_buf()))));
        names.insert(path.to_path_buf(), Arc::downgrade(&name));
        name
    }

    /// The file at this path is no more.
    fn forget(&self, path: &Path) {
        let gone = lock(&self.names).remove(path);
        if let Some(gone) = gone.and_then(|name| name.upgrade()) {
            *lock(&gone.0) = None;
        }
    }

    /// Nor are those below this directory.
    fn forget_below(&self, dir: &Path) {
        lock(&self.names).retain(|path, name| {
            let gone = path.starts_with(dir);
            if gone && let Some(name) = name.upgrade() {
                *lock(&name.0) = None;
            }
            !gone
        });
    }

    /// Renames a file with all its handles; none of them opens it meanwhile.
    fn rename(&self, disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = lock(&self.names);
        let moved = names.get(from).and_then(Weak::upgrade);
        let mut place = moved.as_ref().map(|name| lock(&name.0));
        disk.rename(from, to)?;
        if let Some(replaced) = names.remove(to).and_then(|name| name.upgrade()) {
            *lock(&replaced.0) = None;
        }
        if let Some(name) = names.remove(from)
            && let Some(place) = &mut place
        {
            **place = Some(to.to_path_buf());
            names.insert(to.to_path_buf(), name);
        }
        Ok(())
    }
}

/// Whether the process or the system has no descriptor left.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CachedFile {
    fn is_open(&self) -> bool {
        self.opened.load().is_some()
    }

    /// Whether bytes were written that no sync is known to cover.
    fn is_dirty(&self) -> bool {
        self.written.load(Ordering::Acquire) != self.synced.load(Ordering::Acquire)
    }

    /// The open file, opened anew if it was closed.
    fn get(&self) -> io::Result<Arc<Opened>> {
        self.used_at
            .store(self.cache.clock.load(Ordering::Relaxed), Ordering::Relaxed);
        match self.opened.load_full() {
            Some(opened) => Ok(opened),
            None => self.open_held(&lock(&self.changing)),
        }
    }

    /// Changes the file, which counts as dirty from then on; nobody closes or syncs it for its room meanwhile.
    fn change(&self, change: impl FnOnce(&dyn DiskFile) -> io::Result<()>) -> io::Result<()> {
        let held = lock(&self.changing);
        let opened = self.open_held(&held)?;
        self.written.fetch_add(1, Ordering::AcqRel);
        change(&*opened.file)
    }

    fn open_held(&self, _held: &MutexGuard<'_, ()>) -> io::Result<Arc<Opened>> {
        if let Some(opened) = self.opened.load_full() {
            return Ok(opened);
        }
        let mode = if self.writable {
            OpenMode::Write
        } else {
            OpenMode::Read
        };
        // held while opening: a rename or removal of this file comes before or after
        let path = lock(&self.name.0);
        let path = path.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let opened = self.cache.open(&*self.disk, path, mode)?;
        self.opened.store(Some(Arc::clone(&opened)));
        self.cache.list(self);
        Ok(opened)
    }

    /// Gives the descriptor back, unless the file is being opened or changed; whether it did.
    fn close(&self) -> bool {
        let held = self.changing.try_lock();
        let closes = held.is_ok() && !self.is_dirty();
        if closes {
            self.opened.store(None);
        }
        closes
    }

    /// The same for a file with bytes that are not synced, after it has synced them.
    fn sync_and_close(&self) -> bool {
        let Ok(_held) = self.changing.try_lock() else {
            return false;
        };
        let Some(opened) = self.opened.load_full() else {
            return false;
        };
        let written = self.written.load(Ordering::Acquire);
        if self.failed.get().is_some() {
            return false;
        }
        if let Err(failed) = opened.file.sync_data() {
            self.failed.get_or_init(|| failed);
            return false;
        }
        self.synced.fetch_max(written, Ordering::AcqRel);
        self.opened.store(None);
        true
    }

    /// The failure of a sync that the cache made, for the owner.
    fn check_failed(&self) -> io::Result<()> {
        match self.failed.get() {
            Some(failed) => Err(io::Error::new(failed.kind(), failed.to_string())),
            None => Ok(()),
        }
    }
}

impl Disk for CachedDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let opened = if mode == OpenMode::Create {
            let opened = self.cache.open(&*self.disk, path, mode)?;
            self.cache.forget(path);
            Some(opened)
        } else {
            None
        };
        let file = Arc::new_cyclic(|me| CachedFile {
            me: Weak::clone(me),
            cache: Arc::clone(&self.cache),
            disk: Arc::clone(&self.disk),
            name: self.cache.name(path),
            writable: mode != OpenMode::Read,
            opened: ArcSwapOption::from(opened),
            changing: Mutex::default(),
            used_at: AtomicU64::default(),
            listed: AtomicBool::default(),
            written: AtomicU64::default(),
            synced: AtomicU64::default(),
            failed: OnceLock::new(),
        });
        if mode == OpenMode::Create {
            self.cache.list(&file);
        }
        file.get()?;
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.cache.rename(&*self.disk, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)?;
        self.cache.forget(path);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(dir)?;
        self.cache.forget_below(dir);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn own_file_system(&self, dir: &Path) -> io::Result<Option<Arc<dyn WholeFileSystem>>> {
        self.disk.own_file_system(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.disk.space(dir)
    }
}

impl DiskFile for CachedFile {
    fn size(&self) -> io::Result<u64> {
        self.get()?.file.size()
    }

    fn read_at(&self, position: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.get()?.file.read_at(position, len, out)
    }

    fn write_at(&self, position: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.change(|file| file.write_at(position, slices))
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.change(|file| file.allocate(size))
    }

    /// Not counted as a write: it brings no bytes whose failed writeback could be missed.
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.get()?.file.set_size(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        let written = self.written.load(Ordering::Acquire);
        self.check_failed()?;
        self.get()?.file.sync_data()?;
        self.synced.fetch_max(written, Ordering::AcqRel);
        Ok(())
    }

    fn write_mark(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    fn synced_otherwise(&self, mark: u64) {
        self.synced.fetch_max(mark, Ordering::AcqRel);
    }

    fn drop_cache(&self, position: u64, len: u64) -> io::Result<()> {
        self.get()?.file.drop_cache(position, len)
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        let opened = self.get()?;
        if self.cache.open.load(Ordering::Relaxed) > self.cache.files_max {
            return Ok(None);
        }
        let mapping = opened.file.map(len)?;
        Ok(mapping.map(|mapping| mapping.keeping(Arc::clone(&opened.permit) as _)))
    }

    fn is_resident(&self, position: u64, len: u64) -> bool {
        self.get()
            .is_ok_and(|opened| opened.file.is_resident(position, len))
    }
}

#[cfg(test)]
mod tests;
