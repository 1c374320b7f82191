//! The write side of one shard's vote journal.
//!
//! The shard stages changes, writes them as one round, and has a worker sync it; what is staged meanwhile is
//! the next round. A call that blocks ([`VoteJournal::settle`]) waits for the worker, by the file's lock.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::file::{File, JournalSync, JournalSynced, TEMPORARY, lock, replace};
use super::format::put_record;
use super::load::{self, Loaded};
use super::{GroupId, Sequence, VoteState, VotesError, file_name, parse_file_name};
use crate::fs::Disk;
use crate::log::{Hint, WriteError};
use crate::position::{EntryIndex, LeaderEpoch};

/// Data synced between two writes of hints alone: as much as a recovery reads without noticing.
const HINT_WRITE_BYTES: u64 = 4 << 20;
/// Data synced between two syncs of hints alone; bounds how much a damaged tail could hide (replication.md).
const HINT_SYNC_BYTES: u64 = 64 << 20;

/// A group's newest state, and when it changed.
#[derive(Debug)]
struct Entry {
    sequence: Sequence,
    /// When something changed that must be synced; a raised hint need not.
    needed: Sequence,
    /// When it was last forgotten: what is older does not count.
    since: Sequence,
    /// Whether it was known at the start: then the other journals have it too.
    shared: bool,
    /// `None` once it is forgotten.
    state: Option<VoteState>,
}

/// The vote journal of one shard.
#[derive(Debug)]
pub struct VoteJournal {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    path: PathBuf,
    file: Arc<Mutex<File>>,
    entries: HashMap<GroupId, Entry>,
    /// Changed since the last round.
    staged: BTreeSet<GroupId>,
    /// The newest change.
    sequence: Sequence,
    /// The newest change that must be synced.
    needed: Sequence,
    written: Sequence,
    durable: Sequence,
    /// As the file says ([`File::outgrown`]); a copy, because a worker may hold its lock.
    outgrown: bool,
    /// Data synced since hints were last written, and last synced.
    unwritten_data: u64,
    unsynced_data: u64,
    sync_outstanding: bool,
    closed: Option<WriteError>,
}

impl VoteJournal {
    /// Reads all journals in the data directory, whatever shards wrote them.
    pub fn load(disk: &dyn Disk, root: &Path) -> Result<Loaded, VotesError> {
        load::load(disk, root)
    }

    /// Begins the journal of a shard with **all** groups' states, durably; it replaces what bore its name.
    ///
    /// The states of groups that this shard does not own stay in it, older than what their owner writes.
    pub fn create(
        disk: Arc<dyn Disk>,
        root: &Path,
        shard: usize,
        loaded: &Loaded,
    ) -> Result<VoteJournal, WriteError> {
        let path = root.join(file_name(shard));
        let mut sequence = loaded.sequence;
        let mut entries = HashMap::with_capacity(loaded.states.len());
        for (group, state) in &loaded.states {
            sequence = sequence.next();
            let entry = Entry {
                sequence,
                needed: sequence,
                since: loaded.since.get(group).copied().unwrap_or_default(),
                shared: true,
                state: Some(state.clone()),
            };
            entries.insert(*group, entry);
        }
        for (group, since) in &loaded.since {
            entries.entry(*group).or_insert(Entry {
                sequence: *since,
                needed: *since,
                since: *since,
                shared: true,
                state: None,
            });
        }
        let file = replace(&*disk, root, &path, &payload_of(entries.iter()))?;
        Ok(VoteJournal {
            disk,
            root: root.to_path_buf(),
            path,
            file: Arc::new(Mutex::new(file)),
            entries,
            staged: BTreeSet::new(),
            sequence,
            needed: sequence,
            written: sequence,
            durable: sequence,
            outgrown: false,
            unwritten_data: 0,
            unsynced_data: 0,
            sync_outstanding: false,
            closed: None,
        })
    }

    /// Removes the journals of shards that are no more, durably; to be called when all new ones are made.
    pub fn remove_others(disk: &dyn Disk, root: &Path, shards: usize) -> Result<(), WriteError> {
        let names = disk.list(root).map_err(WriteError::new("list", root))?;
        for name in names {
            let shard = parse_file_name(name.strip_suffix(TEMPORARY).unwrap_or(&name));
            let temporary = name.ends_with(TEMPORARY);
            if shard.is_some_and(|shard| temporary || shard >= shards) {
                let path = root.join(name);
                disk.remove(&path)
                    .map_err(WriteError::new("remove", &path))?;
            }
        }
        disk.sync_dir(root).map_err(WriteError::new("sync", root))
    }

    /// What is staged of a group; `None` if nothing is known of it.
    pub fn state(&self, group: &GroupId) -> Option<&VoteState> {
        self.entries.get(group)?.state.as_ref()
    }

    /// Stages a term and the vote given in it (0: none).
    ///
    /// Nothing that rests on them may leave before [`VoteJournal::durable`] reaches the sequence returned.
    pub fn set_vote(&mut self, group: GroupId, term: LeaderEpoch, vote: u64) -> Sequence {
        self.change(group, true, |state| {
            (state.term, state.vote) = (term, vote);
        })
    }

    /// Stages a membership and the entry that brought it; durable as [`VoteJournal::set_vote`] says.
    pub fn set_membership(&mut self, group: GroupId, membership: (EntryIndex, Bytes)) -> Sequence {
        self.change(group, true, |state| state.membership = Some(membership))
    }

    /// Stages how far a log is durable: only after the sync that made it so.
    pub fn set_hint(&mut self, group: GroupId, hint: Hint) {
        let known = self.state(&group).and_then(|state| state.hint);
        let lowered = known.is_some_and(|known| hint.index < known.index);
        self.change(group, lowered, |state| state.hint = Some(hint));
    }

    /// Counts data that was synced: hints are written and synced once per so many bytes.
    pub fn note_synced_bytes(&mut self, bytes: u64) {
        self.unwritten_data = self.unwritten_data.saturating_add(bytes);
        self.unsynced_data = self.unsynced_data.saturating_add(bytes);
    }

    /// Has the next write take hints along that wait for more data. Called every now and then, so that a
    /// process that dies leaves hints behind that are no older than that: below them nothing is ever cut.
    pub fn press_hints(&mut self) {
        if self.unwritten_data > 0 {
            self.unwritten_data = self.unwritten_data.max(HINT_WRITE_BYTES);
        }
    }

    /// Stages that a group is no more, and has it written without waiting for others.
    ///
    /// That it is gone stays in the file as long as another journal may hold an older state of it.
    pub fn forget(&mut self, group: GroupId) {
        if let Some(entry) = self.entries.get_mut(&group) {
            self.sequence = self.sequence.next();
            entry.sequence = self.sequence;
            entry.needed = self.sequence;
            entry.since = self.sequence;
            entry.state = None;
            self.needed = self.sequence;
            self.staged.insert(group);
        }
    }

    /// Changes a state; gives the sequence that makes it safe, an older one if nothing changes.
    fn change(
        &mut self,
        group: GroupId,
        needs_sync: bool,
        change: impl FnOnce(&mut VoteState),
    ) -> Sequence {
        let entry = self.entries.entry(group).or_insert(Entry {
            sequence: Sequence(0),
            needed: Sequence(0),
            since: Sequence(0),
            shared: false,
            state: None,
        });
        let mut after = entry.state.clone().unwrap_or_default();
        change(&mut after);
        if entry.state.as_ref() == Some(&after) {
            return entry.needed;
        }
        entry.state = Some(after);
        self.sequence = self.sequence.next();
        entry.sequence = self.sequence;
        if needs_sync {
            entry.needed = self.sequence;
            self.needed = self.sequence;
        }
        self.staged.insert(group);
        self.sequence
    }

    /// Everything staged up to here is durable.
    pub fn durable(&self) -> Sequence {
        self.durable
    }

    /// Whether a vote, term, membership or lowered hint is staged or written, and not durable.
    pub fn needs_sync(&self) -> bool {
        self.needed > self.durable
    }

    /// Why the journal is closed; no group of it may vote or lead any more.
    pub fn write_error(&self) -> Option<&WriteError> {
        self.closed.as_ref()
    }

    /// Writes what is staged as one round. Hints alone wait for a few MiB of data; everything waits while
    /// a sync is outstanding, and if the file is to be written anew (which [`JournalSync::run`] does).
    pub fn write(&mut self) -> Result<(), WriteError> {
        if let Some(closed) = &self.closed {
            return Err(closed.clone());
        }
        let hints_due = self.unwritten_data >= HINT_WRITE_BYTES;
        let due = hints_due || self.needed > self.written;
        if self.staged.is_empty() || !due || self.sync_outstanding || self.outgrown {
            return Ok(());
        }
        self.write_round()
    }

    fn write_round(&mut self) -> Result<(), WriteError> {
        let payload = self.take_staged();
        let mut file = lock(&self.file);
        let result = file.append(&payload);
        self.outgrown = file.outgrown();
        drop(file);
        result.map_err(|failed| self.close_with(failed))
    }

    /// What is staged, as a round that will be written.
    fn take_staged(&mut self) -> Vec<u8> {
        let staged = std::mem::take(&mut self.staged);
        let entries = staged
            .iter()
            .filter_map(|group| self.entries.get_key_value(group));
        let payload = payload_of(entries);
        self.written = self.sequence;
        self.unwritten_data = 0;
        payload
    }

    /// The states of all groups, as the round that a new file begins with. Groups that are gone and were never
    /// in another journal leave nothing behind.
    fn take_all(&mut self) -> Vec<u8> {
        self.entries
            .retain(|_, entry| entry.shared || entry.state.is_some());
        self.staged.clear();
        self.written = self.sequence;
        self.unwritten_data = 0;
        payload_of(self.entries.iter())
    }

    /// What a worker has to do; `None` if nothing must be synced, a sync is outstanding, or the journal is
    /// closed. Call it after [`VoteJournal::write`].
    pub fn sync_point(&mut self) -> Option<JournalSync> {
        if self.sync_outstanding || self.closed.is_some() {
            return None;
        }
        let hints_due = self.unsynced_data >= HINT_SYNC_BYTES;
        let due = self.written > self.durable && (self.needs_sync() || hints_due);
        if !(self.outgrown || due) {
            return None;
        }
        if self.outgrown {
            let anew = self.take_all();
            lock(&self.file).anew = Some(anew);
        }
        self.unsynced_data = 0;
        self.sync_outstanding = true;
        Some(JournalSync {
            disk: Arc::clone(&self.disk),
            root: self.root.clone(),
            file: Arc::clone(&self.file),
            upto: self.written,
        })
    }

    /// Takes note of a sync; gives what [`VoteJournal::durable`] says from now on.
    pub fn synced(&mut self, done: JournalSynced) -> Result<Sequence, WriteError> {
        self.sync_outstanding = false;
        done.result.map_err(|failed| self.close_with(failed))?;
        self.durable = self.durable.max(done.upto);
        self.outgrown = lock(&self.file).outgrown();
        Ok(self.durable)
    }

    /// Lowers a hint durably: before the truncation that needs it. Blocks, also for a sync that is outstanding.
    pub fn lower_hint(&mut self, group: GroupId, hint: Hint) -> Result<(), WriteError> {
        self.set_hint(group, hint);
        self.settle()
    }

    /// Writes and syncs all that is staged, raised hints too; blocks.
    pub fn settle(&mut self) -> Result<(), WriteError> {
        if let Some(closed) = &self.closed {
            return Err(closed.clone());
        }
        self.settle_file()
            .map_err(|failed| self.close_with(failed))?;
        self.durable = self.written;
        self.unsynced_data = 0;
        Ok(())
    }

    fn settle_file(&mut self) -> Result<(), WriteError> {
        let file = Arc::clone(&self.file);
        let mut file = lock(&file);
        // a worker that was to write the file anew from older states must not do so any more
        if file.anew.take().is_some() {
            let anew = self.take_all();
            self.outgrown = false;
            return file.replace(&*self.disk, &self.root, &anew);
        }
        if !self.staged.is_empty() {
            let staged = self.take_staged();
            file.append(&staged)?;
            self.outgrown = file.outgrown();
        }
        if self.written > self.durable {
            file.sync()?;
        }
        Ok(())
    }

    fn close_with(&mut self, failed: WriteError) -> WriteError {
        tracing::error!(path = %self.path.display(), %failed, "vote journal is closed");
        self.closed.get_or_insert(failed).clone()
    }
}

fn payload_of<'a>(entries: impl Iterator<Item = (&'a GroupId, &'a Entry)>) -> Vec<u8> {
    let mut payload = Vec::new();
    for (group, entry) in entries {
        let order = (entry.sequence, entry.since);
        put_record(&mut payload, group, order, entry.state.as_ref());
    }
    payload
}
