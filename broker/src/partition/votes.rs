//! One shard's vote journal, and who waits for what in it.
//!
//! All groups of a shard share it, so however many start at once cost a few syncs: one is on its way, and all
//! that is staged meanwhile is the next round.

use std::io;

use bytes::Bytes;
use headrace_storage::votes::{GroupId, JournalSync, JournalSynced, Sequence, VoteJournal};
use headrace_storage::{EntryIndex, Hint, LeaderEpoch, WriteError};

use super::shard::Slot;

/// A change that its group must know durable.
#[derive(Debug)]
struct Waiting {
    sequence: Sequence,
    slot: Slot,
    /// The group's own number of it.
    number: u64,
}

/// The journal of one shard.
#[derive(Debug)]
pub(super) struct Votes {
    journal: VoteJournal,
    waiting: Vec<Waiting>,
    syncing: bool,
}

impl Votes {
    pub(super) fn new(journal: VoteJournal) -> Votes {
        Votes {
            journal,
            waiting: Vec::new(),
            syncing: false,
        }
    }

    /// Stages a term and a vote.
    pub(super) fn vote(
        &mut self,
        (slot, group): (Slot, GroupId),
        (term, vote): (LeaderEpoch, u64),
        number: u64,
    ) {
        let sequence = self.journal.set_vote(group, term, vote);
        self.wait(slot, sequence, number);
    }

    /// Stages who votes as of an entry.
    pub(super) fn membership(
        &mut self,
        (slot, group): (Slot, GroupId),
        membership: (EntryIndex, Bytes),
        number: u64,
    ) {
        let sequence = self.journal.set_membership(group, membership);
        self.wait(slot, sequence, number);
    }

    fn wait(&mut self, slot: Slot, sequence: Sequence, number: u64) {
        self.waiting.push(Waiting {
            sequence,
            slot,
            number,
        });
    }

    /// Stages how far a log is durable, after the sync of so many bytes that made it so.
    pub(super) fn hint(&mut self, group: GroupId, hint: Hint, synced_bytes: u64) {
        self.journal.set_hint(group, hint);
        self.journal.note_synced_bytes(synced_bytes);
    }

    /// Has the next write take the hints along that wait for more data.
    pub(super) fn press_hints(&mut self) {
        self.journal.press_hints();
    }

    /// Lowers a hint, durably: a log is about to be cut. Blocks.
    pub(super) fn lower_hint(&mut self, group: GroupId, hint: Hint) -> io::Result<()> {
        let lowered = self.journal.lower_hint(group, hint);
        lowered.map_err(io::Error::other)
    }

    /// Nobody waits for a partition's votes any more.
    pub(super) fn leave(&mut self, slot: Slot) {
        self.waiting.retain(|waiting| waiting.slot != slot);
    }

    /// A partition is no more.
    pub(super) fn forget(&mut self, group: GroupId) {
        self.journal.forget(group);
    }

    /// Writes what is staged; gives the sync to run, if one is due.
    pub(super) fn write(&mut self) -> Result<Option<JournalSync>, WriteError> {
        self.journal.write()?;
        let point = self.journal.sync_point();
        self.syncing |= point.is_some();
        Ok(point)
    }

    /// Takes note of a sync.
    pub(super) fn synced(&mut self, done: JournalSynced) -> Result<(), WriteError> {
        self.syncing = false;
        self.journal.synced(done).map(drop)
    }

    /// The changes that have become durable, by slot and number.
    pub(super) fn durable(&mut self) -> Vec<(Slot, u64)> {
        let durable = self.journal.durable();
        let reached = self
            .waiting
            .extract_if(.., |waiting| waiting.sequence <= durable);
        reached
            .map(|waiting| (waiting.slot, waiting.number))
            .collect()
    }

    /// Gives up: the partitions whose votes will never be durable.
    pub(super) fn give_up(&mut self) -> Vec<Slot> {
        let waiting = self.waiting.drain(..);
        waiting.map(|waiting| waiting.slot).collect()
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.syncing && self.waiting.is_empty()
    }

    /// Makes all that is staged durable; blocks.
    pub(super) fn settle(&mut self) -> Result<(), WriteError> {
        self.journal.settle()
    }
}
