//! A disk in memory that remembers what was synced.
//!
//! Each file has its bytes as the page cache shows them, and as they would be found after a power cut;
//! between the two lies the list of changes not yet synced (`content`). Names are kept twice in the same
//! way (`names`). A power cut keeps or loses each of them (`crash`), because a real disk writes pages back
//! in any order. All calls that change something can be recorded and done again one by one (`trace`). A
//! [`Fault`] makes the n-th call fail, having done nothing, all, or half of its work.

mod content;
mod crash;
mod names;
mod trace;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, OpenMode, Space, WholeFileSystem};
use content::{Change, Content};
use names::{NameChange, Names};
use trace::Call;

pub use content::{Fate, Garbage};
pub use crash::{Surviving, Unsynced, UnsyncedKind};
pub use trace::{Replay, Trace};

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

/// How much of its work a call that fails has done. A failed sync has in any case abandoned what it should
/// have made durable, unless it did all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedWork {
    /// Nothing.
    Nothing,
    /// Half of the bytes of a write, nothing of other calls.
    #[default]
    Half,
    /// All of it; only the answer is an error.
    All,
}

/// A file, whatever its names; counted up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FileId(usize);

#[derive(Clone, Debug, Default)]
struct State {
    /// By [`FileId`]; a removed file keeps its place, handles may be open.
    contents: Vec<Content>,
    names: Names,
    calls: u64,
    fault: Option<Fault>,
    failed_work: FailedWork,
    trace: Option<Trace>,
    space: Option<Space>,
}

/// What a disk says of its room unless told otherwise.
const ROOMY: Space = Space {
    free_bytes: 1 << 40,
    total_bytes: 1 << 40,
};

/// A [`Disk`] that lives in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

impl State {
    /// Counts a call and gives its failure if it is its turn.
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

    /// Counts a call that does `work`: all of it, or, if it is to fail, what [`FailedWork`] says.
    fn change(&mut self, work: Call) -> io::Result<()> {
        let failure = self.call().err();
        let work = match (failure.is_some(), self.failed_work, work) {
            (false, _, work) | (true, FailedWork::All, work) => Some(work),
            (true, FailedWork::Half, Call::Change(file, Change::Write { position, bytes })) => {
                let bytes = bytes[..bytes.len() / 2].into();
                Some(Call::Change(file, Change::Write { position, bytes }))
            }
            (true, _, Call::Sync(file)) => Some(Call::SyncFailed(file)),
            (true, _, Call::SyncAll) => Some(Call::SyncAllFailed),
            (true, ..) => None,
        };
        if let Some(work) = work {
            self.apply(work);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Does a call, and records it.
    fn apply(&mut self, call: Call) {
        if let Some(trace) = &mut self.trace {
            trace.calls.push(call.clone());
        }
        match call {
            Call::MakeDir(dir) => self.names.make_dir(&dir),
            Call::Name(change) => {
                if let NameChange::Create { .. } = change {
                    self.contents.push(Content::default());
                }
                self.names.change(change);
            }
            Call::SyncDir(dir) => self.names.sync(Some(&dir)),
            Call::Change(file, change) => self.contents[file.0].change(change),
            Call::Sync(file) => self.contents[file.0].sync(),
            Call::SyncFailed(file) => self.contents[file.0].sync_failed(),
            Call::SyncAll => {
                self.names.sync(None);
                self.contents.iter_mut().for_each(Content::sync);
            }
            Call::SyncAllFailed => self.contents.iter_mut().for_each(Content::sync_all_failed),
            Call::DropCache(file) => self.contents[file.0].drop_cache(),
            Call::Replace(file, bytes) => self.contents[file.0].replace(bytes.to_vec()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<FileId> {
        let found = self.names.seen.files.get(path).copied();
        found.ok_or_else(|| not_found(path))
    }

    fn find_dir(&self, dir: &Path) -> io::Result<()> {
        if self.names.seen.has_dir(dir) {
            return Ok(());
        }
        Err(not_found(dir))
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    fn of(state: State) -> MemoryDisk {
        MemoryDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A panic in one test thread must not hide the state from the others.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk of its own in the same state, unsynced changes included: what a process finds that starts
    /// after the one before has died.
    #[must_use]
    pub fn fork(&self) -> MemoryDisk {
        let state = self.state();
        MemoryDisk::of(State {
            calls: 0,
            fault: None,
            failed_work: FailedWork::default(),
            trace: None,
            ..state.clone()
        })
    }

    /// Makes a later call fail; counting starts again at 0. Replaces an earlier fault.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.state();
        state.calls = 0;
        state.fault = Some(fault);
    }

    /// Says how much of its work a call does that fails.
    pub fn set_failed_work(&self, done: FailedWork) {
        self.state().failed_work = done;
    }

    /// Lets every call succeed again.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// What [`Disk::space`] says from now on; writes do not change it, and asking is not counted as a call.
    pub fn set_space(&self, space: Space) {
        self.state().space = Some(space);
    }

    /// The number of calls since the start or the last [`MemoryDisk::fail`].
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Records from now on every call that changes something.
    pub fn record(&self) {
        let origin = Box::new(self.fork().state().clone());
        let calls = Vec::new();
        self.state().trace = Some(Trace { origin, calls });
    }

    /// How many calls are recorded so far.
    pub fn recorded(&self) -> usize {
        self.state().trace.as_ref().map_or(0, Trace::len)
    }

    /// Ends the recording and gives it.
    ///
    /// # Panics
    /// If nothing is being recorded.
    pub fn take_trace(&self) -> Trace {
        self.state().trace.take().expect("a recording was begun")
    }

    /// Makes everything durable, as a sync of the whole file system does.
    pub fn sync_everything(&self) -> io::Result<()> {
        self.state().change(Call::SyncAll)
    }

    /// Forgets all clean pages: what a failed sync left behind is no longer seen.
    pub fn drop_caches(&self) {
        let mut state = self.state();
        for file in 0..state.contents.len() {
            state.apply(Call::DropCache(FileId(file)));
        }
    }

    /// A number that differs, but for chance, between disks that show different names or bytes.
    pub fn digest(&self) -> u64 {
        let state = self.state();
        let mut hasher = DefaultHasher::new();
        state.names.seen.dirs.hash(&mut hasher);
        for (path, file) in &state.names.seen.files {
            path.hash(&mut hasher);
            state.contents[file.0].seen.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The bytes of a file as they are seen now; `None` if there is none.
    pub fn bytes_of(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.find(path).ok()?;
        Some(state.contents[file.0].seen.clone())
    }

    /// The bytes of a file as a power cut would leave them at the least; `None` without a durable name.
    pub fn durable_bytes_of(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.names.durable.files.get(path)?;
        Some(state.contents[file.0].durable())
    }

    /// Replaces a file's bytes behind everybody's back, as damage does; durable at once.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Ok(file) = state.find(path) {
            let mut bytes = state.contents[file.0].seen.clone();
            change(&mut bytes);
            state.apply(Call::Replace(file, bytes.into()));
        }
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("no such file: {}", path.display()),
    )
}

impl Disk for MemoryDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.state().change(Call::MakeDir(dir.to_path_buf()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.call()?;
        state.find_dir(dir)?;
        let paths = state.names.seen.inside(dir);
        let mut names: Vec<String> = paths
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let file = match (mode, state.find(path)) {
            (OpenMode::Create, Ok(_)) => {
                state.call()?;
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            (OpenMode::Create, Err(error)) => {
                if state.find_dir(path.parent().unwrap_or(path)).is_err() {
                    return Err(error);
                }
                let file = FileId(state.contents.len());
                let path = path.to_path_buf();
                state.change(Call::Name(NameChange::Create { path, file }))?;
                file
            }
            (_, found) => {
                state.call()?;
                found?
            }
        };
        Ok(Arc::new(MemoryFile {
            disk: self.clone(),
            file,
            writable: mode != OpenMode::Read,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let file = state.find(from)?;
        state.change(Call::Name(NameChange::Rename {
            from: from.to_path_buf(),
            to: to.to_path_buf(),
            file,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let Ok(file) = state.find(path) else {
            state.call()?;
            return Err(not_found(path));
        };
        let path = path.to_path_buf();
        state.change(Call::Name(NameChange::Remove { path, file }))
    }

    /// Like the real one it removes one name after another; a crash keeps or loses each.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.find_dir(dir)?;
        let files = state.names.seen.files.iter();
        let inside = files.filter(|(path, _)| path.starts_with(dir));
        let inside: Vec<_> = inside.map(|(path, file)| (path.clone(), *file)).collect();
        state.call()?;
        for (path, file) in inside {
            state.apply(Call::Name(NameChange::Remove { path, file }));
        }
        let path = dir.to_path_buf();
        state.apply(Call::Name(NameChange::RemoveDir { path }));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.find_dir(dir)?;
        state.change(Call::SyncDir(dir.to_path_buf()))
    }

    fn own_file_system(&self, _dir: &Path) -> io::Result<Option<Arc<dyn WholeFileSystem>>> {
        Ok(Some(Arc::new(self.clone())))
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        Ok(self.state().space.unwrap_or(ROOMY))
    }
}

impl WholeFileSystem for MemoryDisk {
    fn sync(&self) -> io::Result<()> {
        self.sync_everything()
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    file: FileId,
    writable: bool,
}

impl MemoryFile {
    fn change(&self, change: Change) -> io::Result<()> {
        if self.writable {
            self.disk.state().change(Call::Change(self.file, change))
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
        let mut state = self.disk.state();
        state.call()?;
        u64::try_from(state.contents[self.file.0].seen.len()).map_err(io::Error::other)
    }

    fn read_at(&self, position: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call()?;
        let seen = &state.contents[self.file.0].seen;
        let from = place(position)?.min(seen.len());
        let to = from.saturating_add(len).min(seen.len());
        out.extend_from_slice(&seen[from..to]);
        Ok(())
    }

    fn write_at(&self, position: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let position = place(position)?;
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        let bytes = bytes.collect::<Arc<[u8]>>();
        self.change(Change::Write { position, bytes })
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        let size = place(size)?;
        let seen = self.disk.state().contents[self.file.0].seen.len();
        if size <= seen {
            return self.disk.state().call();
        }
        self.change(Change::Size(size))
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.change(Change::Size(place(size)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.contents[self.file.0].tell() {
            state.call()?;
            state.apply(Call::SyncFailed(self.file));
            return Err(io::Error::other("lost when the file system was synced"));
        }
        state.change(Call::Sync(self.file))
    }

    fn drop_cache(&self, _position: u64, _len: u64) -> io::Result<()> {
        self.disk.state().change(Call::DropCache(self.file))
    }
}
