//! The file of a vote journal, and its sync round.
//!
//! **Only one thread writes or syncs it at a time** (it lies behind a lock that a worker holds while it syncs):
//! the kernel tells a failed sync to one caller only, so a second one beside it would believe in bytes that
//! were lost.
//!
//! A file that has outgrown its bound is written anew beside its place, synced, renamed, and the directory
//! synced. The old file stays what it was until then.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Sequence;
use super::format::{PAIR_BYTES, Round, write_round};
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::log::WriteError;
use crate::planted::{Mistake, planted};
use crate::segment::format::as_u64;

/// A journal is written anew when it has outgrown this: 2,000 small rounds, read in a few milliseconds.
pub(super) const FILE_BYTES_MAX: u64 = 16 << 20;
/// A journal of many groups is written anew when it has this many times the size of their states.
const GROWTH_MAX: u64 = 8;
/// What a new file bears until it is whole.
pub(super) const TEMPORARY: &str = ".tmp";

/// The file itself; whoever holds its lock writes and syncs.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    handle: Arc<dyn DiskFile>,
    pairs: u64,
    round: Round,
    durable: Round,
    /// The size right after it was written anew.
    fresh_pairs: u64,
    /// The states of all groups, if it is to be written anew by the sync that is outstanding.
    pub(super) anew: Option<Vec<u8>>,
    failed: Option<WriteError>,
}

impl File {
    pub(super) fn append(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        self.unless_failed(|file| {
            let round = Round(file.round.0 + 1);
            let (bytes, pairs) = write_round(round, file.durable, file.pairs, payload);
            file.handle
                .write_at(file.bytes(), &mut [IoSlice::new(&bytes)])
                .map_err(WriteError::new("write", &file.path))?;
            file.round = round;
            file.pairs += pairs;
            Ok(())
        })
    }

    pub(super) fn sync(&mut self) -> Result<(), WriteError> {
        self.unless_failed(|file| {
            file.handle
                .sync_data()
                .map_err(WriteError::new("sync", &file.path))?;
            file.durable = file.round;
            Ok(())
        })
    }

    pub(super) fn replace(
        &mut self,
        disk: &dyn Disk,
        root: &Path,
        payload: &[u8],
    ) -> Result<(), WriteError> {
        self.unless_failed(|file| {
            *file = replace(disk, root, &file.path, payload)?;
            Ok(())
        })
    }

    fn unless_failed(
        &mut self,
        work: impl FnOnce(&mut File) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        work(self).inspect_err(|failed| self.failed = Some(failed.clone()))
    }

    fn bytes(&self) -> u64 {
        self.pairs * as_u64(PAIR_BYTES)
    }

    /// Whether it is time to write it anew.
    pub(super) fn outgrown(&self) -> bool {
        let bound = self.fresh_pairs.saturating_mul(GROWTH_MAX);
        self.pairs > bound.max(FILE_BYTES_MAX / as_u64(PAIR_BYTES))
    }
}

/// What is written and not yet durable; at most one is outstanding per journal.
#[derive(Debug)]
#[must_use = "a journal's sync that is not run leaves its votes waiting for ever"]
pub struct JournalSync {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) root: PathBuf,
    pub(super) file: Arc<Mutex<File>>,
    pub(super) upto: Sequence,
}

/// The outcome of [`JournalSync::run`], for [`VoteJournal::synced`].
#[derive(Debug)]
#[must_use = "the journal learns of the sync only from this"]
pub struct JournalSynced {
    pub(super) result: Result<(), WriteError>,
    pub(super) upto: Sequence,
}

impl JournalSync {
    /// Makes it durable; blocks, so it runs on a worker thread.
    pub fn run(self) -> JournalSynced {
        let mut file = lock(&self.file);
        let result = match file.anew.take() {
            None if planted(Mistake::VoteNotSynced) => Ok(()),
            None => file.sync(),
            Some(payload) => file.replace(&*self.disk, &self.root, &payload),
        };
        let upto = self.upto;
        JournalSynced { result, upto }
    }
}

/// Writes a journal of one round beside its place and puts it there, durably.
pub(super) fn replace(
    disk: &dyn Disk,
    root: &Path,
    path: &Path,
    payload: &[u8],
) -> Result<File, WriteError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(TEMPORARY);
    let beside = PathBuf::from(beside);
    let created = match disk.open(&beside, OpenMode::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk
            .remove(&beside)
            .and_then(|()| disk.open(&beside, OpenMode::Create)),
        other => other,
    };
    let mut file = File {
        path: beside.clone(),
        handle: created.map_err(WriteError::new("create", &beside))?,
        pairs: 0,
        round: Round(0),
        durable: Round(0),
        fresh_pairs: 0,
        anew: None,
        failed: None,
    };
    file.append(payload)?;
    file.fresh_pairs = file.pairs;
    if !planted(Mistake::JournalReplacedWithoutSync) {
        file.sync()?;
    }
    disk.rename(&beside, path)
        .map_err(WriteError::new("rename", &beside))?;
    disk.sync_dir(root).map_err(WriteError::new("sync", root))?;
    file.path = path.to_path_buf();
    Ok(file)
}

/// A panic of one thread must not hide the file from the other: it says itself whether it failed.
pub(super) fn lock(file: &Mutex<File>) -> MutexGuard<'_, File> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}
