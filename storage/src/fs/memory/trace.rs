//! Everything a program did to a disk in memory, call by call, to be done again up to any call.
//!
//! A [`Trace`] begins with the disk as [`MemoryDisk::record`] found it. A [`Replay`] does its calls again
//! on a disk of its own, one by one; between two calls that disk can crash in every way.

use std::path::PathBuf;
use std::sync::Arc;

use super::content::Change;
use super::names::NameChange;
use super::{FileId, MemoryDisk, State};

/// One call that changed something.
#[derive(Clone, Debug)]
pub(super) enum Call {
    MakeDir(PathBuf),
    Name(NameChange),
    SyncDir(PathBuf),
    Change(FileId, Change),
    Sync(FileId),
    SyncFailed(FileId),
    SyncAll,
    SyncAllFailed,
    DropCache(FileId),
    Replace(FileId, Arc<[u8]>),
}

/// The calls recorded on a disk.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) origin: Box<State>,
    pub(super) calls: Vec<Call>,
}

impl Trace {
    /// The number of calls.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The disk as it was before the first call, ready to do them again.
    pub fn replay(&self) -> Replay<'_> {
        Replay {
            disk: MemoryDisk::of((*self.origin).clone()),
            calls: &self.calls,
            done: 0,
        }
    }
}

/// A trace being done again.
#[derive(Debug)]
pub struct Replay<'a> {
    disk: MemoryDisk,
    calls: &'a [Call],
    done: usize,
}

impl Replay<'_> {
    /// The disk after the calls done so far.
    pub fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// The number of calls done so far.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Does the next call; `false` if there is none.
    pub fn step(&mut self) -> bool {
        let Some(call) = self.calls.get(self.done) else {
            return false;
        };
        self.disk.state().apply(call.clone());
        self.done += 1;
        true
    }

    /// What the call before did, for messages.
    pub fn last_call(&self) -> String {
        match self.done.checked_sub(1).and_then(|at| self.calls.get(at)) {
            None => "nothing".to_owned(),
            Some(call) => self.describe(call),
        }
    }

    fn describe(&self, call: &Call) -> String {
        let state = self.disk.state();
        let name = |file: &FileId| {
            let path = state.names.name_of(*file);
            path.map_or_else(|| format!("{file:?}"), |path| path.display().to_string())
        };
        match call {
            Call::MakeDir(dir) => format!("make directory {}", dir.display()),
            Call::Name(change) => format!("{change:?}"),
            Call::SyncDir(dir) => format!("sync directory {}", dir.display()),
            Call::Change(file, Change::Write { position, bytes }) => {
                format!(
                    "write {} bytes at {position} of {}",
                    bytes.len(),
                    name(file)
                )
            }
            Call::Change(file, Change::Size(size)) => format!("size {size} of {}", name(file)),
            Call::Sync(file) => format!("sync {}", name(file)),
            Call::SyncFailed(file) => format!("failed sync of {}", name(file)),
            Call::SyncAll => "sync file system".to_owned(),
            Call::SyncAllFailed => "failed sync of the file system".to_owned(),
            Call::DropCache(file) => format!("drop cache of {}", name(file)),
            Call::Replace(file, _) => format!("damage {}", name(file)),
        }
    }
}
