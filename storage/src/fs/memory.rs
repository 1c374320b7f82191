//! A disk in memory that remembers what was synced.
//!
//! Each file has its bytes as the page cache shows them, and as they would be found after a power cut;
//! between the two lies the list of writes not yet synced. Names are kept twice in the same way.
//! [`MemoryDisk::crash`] forgets everything unsynced; [`MemoryDisk::crash_keeping`] lets the caller
//! decide the fate of each unsynced write, because a real disk writes pages back in any order. A
//! [`Fault`] makes the n-th call fail, a write after half of its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, OpenMode};

/// A failure to come.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The number of the call that fails, counted from 0 at [`MemoryDisk::fail`].
    pub at_call: u64,
    /// What it fails with (`StorageFull` for ENOSPC, `Other` for EIO).
    pub kind: io::ErrorKind,
    /// Whether every later call fails too.
    pub lasting: bool,
}

/// What a crash leaves of one unsynced write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surviving {
    /// Nothing.
    None,
    /// Its first bytes.
    First(usize),
    /// All of it.
    All,
}

#[derive(Debug)]
enum Unsynced {
    Write { position: usize, bytes: Vec<u8> },
    Size(usize),
}

#[derive(Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Debug, Default, Clone)]
struct Names {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct State {
    seen: Names,
    durable: Names,
    calls: u64,
    fault: Option<Fault>,
}

/// A [`Disk`] that lives in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

/// A panic in one test thread must not hide the state from the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Counts a call and fails it if it is its turn.
    fn call(&mut self) -> io::Result<()> {
        let number = self.calls;
        self.calls += 1;
        match self.fault {
            Some(fault) if number == fault.at_call || (fault.lasting && number > fault.at_call) => {
                Err(io::Error::new(fault.kind, "failed on purpose"))
            }
            _ => Ok(()),
        }
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// Makes a later call fail; counting starts again at 0. Replaces an earlier fault.
    pub fn fail(&self, fault: Fault) {
        let mut state = lock(&self.state);
        state.calls = 0;
        state.fault = Some(fault);
    }

    /// Lets every call succeed again.
    pub fn heal(&self) {
        lock(&self.state).fault = None;
    }

    /// The number of calls since the start or the last [`MemoryDisk::fail`].
    pub fn calls(&self) -> u64 {
        lock(&self.state).calls
    }

    /// A power cut: the disk as it is after losing everything unsynced. The old one is not changed.
    #[must_use]
    pub fn crash(&self) -> MemoryDisk {
        self.crash_keeping(false, &mut |_, _| Surviving::None)
    }

    /// A power cut that keeps of each unsynced write what `fate` says, given the file and the write's
    /// length; `names` says whether unsynced creates, renames and removes survive.
    ///
    /// Writes come in the order they were made; a change of size survives if `fate` does not say
    /// `None` for it (its length is given as 0).
    #[must_use]
    pub fn crash_keeping(
        &self,
        names: bool,
        fate: &mut dyn FnMut(&Path, usize) -> Surviving,
    ) -> MemoryDisk {
        let state = lock(&self.state);
        let from = if names { &state.seen } else { &state.durable };
        let mut after = Names {
            files: BTreeMap::new(),
            dirs: from.dirs.clone(),
        };
        for (path, content) in &from.files {
            let content = lock(content);
            let mut bytes = content.durable.clone();
            for change in &content.unsynced {
                match change {
                    Unsynced::Write {
                        position,
                        bytes: written,
                    } => {
                        let kept = match fate(path, written.len()) {
                            Surviving::None => continue,
                            Surviving::First(count) => &written[..count.min(written.len())],
                            Surviving::All => written,
                        };
                        put(&mut bytes, *position, kept);
                    }
                    Unsynced::Size(size) => {
                        if fate(path, 0) != Surviving::None {
                            bytes.resize(*size, 0);
                        }
                    }
                }
            }
            let durable = bytes.clone();
            let content = Content {
                seen: bytes,
                durable,
                unsynced: Vec::new(),
            };
            after
                .files
                .insert(path.clone(), Arc::new(Mutex::new(content)));
        }
        let state = State {
            seen: after.clone(),
            durable: after,
            calls: 0,
            fault: None,
        };
        MemoryDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The bytes of a file as they are seen now; `None` if there is none.
    pub fn bytes_of(&self, path: &Path) -> Option<Vec<u8>> {
        let content = lock(&self.state).seen.files.get(path).cloned()?;
        let bytes = lock(&content).seen.clone();
        Some(bytes)
    }

    /// The bytes of a file as a power cut would leave them at the least; `None` without a durable name.
    pub fn durable_bytes_of(&self, path: &Path) -> Option<Vec<u8>> {
        let content = lock(&self.state).durable.files.get(path).cloned()?;
        let bytes = lock(&content).durable.clone();
        Some(bytes)
    }

    /// Replaces a file's bytes behind everybody's back, as damage does; durable at once.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let content = lock(&self.state).seen.files.get(path).cloned();
        if let Some(content) = content {
            let mut content = lock(&content);
            change(&mut content.seen);
            let Content { seen, durable, .. } = &mut *content;
            durable.clone_from(seen);
            content.unsynced.clear();
        }
    }
}

fn put(bytes: &mut Vec<u8>, position: usize, written: &[u8]) {
    let end = position + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[position..end].copy_from_slice(written);
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("no such file: {}", path.display()),
    )
}

impl Disk for MemoryDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.call()?;
        for dir in dir.ancestors().filter(|dir| *dir != Path::new("")) {
            state.seen.dirs.insert(dir.to_path_buf());
            state.durable.dirs.insert(dir.to_path_buf());
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = lock(&self.state);
        state.call()?;
        if !state.seen.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let inside = |path: &&PathBuf| path.parent() == Some(dir);
        let files = state.seen.files.keys().filter(inside);
        let mut names: Vec<String> = files
            .chain(state.seen.dirs.iter().filter(inside))
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = lock(&self.state);
        state.call()?;
        let found = state.seen.files.get(path).cloned();
        let content = match (mode, found) {
            (OpenMode::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Create, None) => {
                if !path
                    .parent()
                    .is_some_and(|dir| state.seen.dirs.contains(dir))
                {
                    return Err(not_found(path));
                }
                let content = Arc::new(Mutex::new(Content::default()));
                state
                    .seen
                    .files
                    .insert(path.to_path_buf(), Arc::clone(&content));
                content
            }
            (_, Some(content)) => content,
            (_, None) => return Err(not_found(path)),
        };
        let disk = self.clone();
        Ok(Arc::new(MemoryFile {
            disk,
            content,
            writable: mode != OpenMode::Read,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.call()?;
        let content = state
            .seen
            .files
            .remove(from)
            .ok_or_else(|| not_found(from))?;
        state.seen.files.insert(to.to_path_buf(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.call()?;
        state
            .seen
            .files
            .remove(path)
            .map(drop)
            .ok_or_else(|| not_found(path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.call()?;
        if !state.seen.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        state.seen.files.retain(|path, _| !path.starts_with(dir));
        state.seen.dirs.retain(|path| !path.starts_with(dir));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.call()?;
        if !state.seen.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let State { seen, durable, .. } = &mut *state;
        let inside = |path: &Path| path.parent() == Some(dir);
        durable.files.retain(|path, _| !inside(path));
        let files = seen.files.iter().filter(|(path, _)| inside(path));
        durable
            .files
            .extend(files.map(|(path, content)| (path.clone(), Arc::clone(content))));
        let gone: Vec<PathBuf> = durable
            .dirs
            .iter()
            .filter(|path| inside(path) && !seen.dirs.contains(*path))
            .cloned()
            .collect();
        for lost in gone {
            durable.files.retain(|path, _| !path.starts_with(&lost));
            durable.dirs.retain(|path| !path.starts_with(&lost));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    content: Arc<Mutex<Content>>,
    writable: bool,
}

impl MemoryFile {
    fn call(&self) -> io::Result<()> {
        lock(&self.disk.state).call()
    }

    fn writable(&self) -> io::Result<MutexGuard<'_, Content>> {
        if self.writable {
            Ok(lock(&self.content))
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

fn place(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(io::Error::other)
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        self.call()?;
        u64::try_from(lock(&self.content).seen.len()).map_err(io::Error::other)
    }

    fn read_at(&self, position: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.call()?;
        let content = lock(&self.content);
        let from = place(position)?.min(content.seen.len());
        let to = from.saturating_add(len).min(content.seen.len());
        out.extend_from_slice(&content.seen[from..to]);
        Ok(())
    }

    fn write_at(&self, position: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let failure = self.call().err();
        let mut content = self.writable()?;
        let mut bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        if failure.is_some() {
            bytes.truncate(bytes.len() / 2);
        }
        let position = place(position)?;
        put(&mut content.seen, position, &bytes);
        content.unsynced.push(Unsynced::Write { position, bytes });
        failure.map_or(Ok(()), Err)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.call()?;
        let mut content = self.writable()?;
        let size = place(size)?;
        if size > content.seen.len() {
            content.seen.resize(size, 0);
            content.unsynced.push(Unsynced::Size(size));
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.call()?;
        let mut content = self.writable()?;
        let size = place(size)?;
        content.seen.resize(size, 0);
        content.unsynced.push(Unsynced::Size(size));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call()?;
        let mut content = lock(&self.content);
        let Content {
            durable, unsynced, ..
        } = &mut *content;
        for change in unsynced.drain(..) {
            match change {
                Unsynced::Write { position, bytes } => put(durable, position, &bytes),
                Unsynced::Size(size) => durable.resize(size, 0),
            }
        }
        Ok(())
    }
}
