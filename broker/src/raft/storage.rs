//! What raft-rs may ask about the log, kept in memory: it is asked on the shard's thread, many times per entry.
//!
//! ```text
//!      first - 1      first                             last
//! ---------|------------|---------------------------------|
//!   term known,    entries that followers may be sent;
//!   entry gone     terms as runs, membership changes by index until they are applied
//! ```
//!
//! `last` counts what is staged, for raft-rs only asks whether it can be read; what is durable it learns from
//! `on_persist_ready`. Entries given out carry metadata only.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::boot::TermRun;
use super::settings::ENTRIES_AT_ONCE_MAX;
use super::{epoch_of, term_of};
use headrace_storage::{EntryIndex, LeaderEpoch};

/// The mirror of one log.
#[derive(Debug)]
pub(super) struct Mirror {
    /// As of the start; raft-rs keeps its own from there on.
    pub(super) started: RaftState,
    first: u64,
    last: u64,
    /// Terms never fall; the first run reaches down to `first - 1` at least.
    runs: Vec<TermRun>,
    /// Entries that change the membership and are not applied.
    memberships: BTreeMap<u64, Bytes>,
}

impl Mirror {
    pub(super) fn new(
        hard_state: HardState,
        conf_state: ConfState,
        first: EntryIndex,
        last: EntryIndex,
        runs: Vec<TermRun>,
    ) -> Mirror {
        Mirror {
            started: RaftState::new(hard_state, conf_state),
            first: first.0,
            last: last.0,
            runs,
            memberships: BTreeMap::new(),
        }
    }

    pub(super) fn last(&self) -> EntryIndex {
        EntryIndex(self.last)
    }

    /// Takes note of an entry that is handed to the log.
    pub(super) fn append(&mut self, index: EntryIndex, epoch: LeaderEpoch) {
        assert_eq!(index.0, self.last + 1, "entries follow each other");
        if self.runs.last().is_none_or(|run| run.epoch < epoch) {
            let from = index;
            self.runs.push(TermRun { from, epoch });
        }
        self.last = index.0;
    }

    pub(super) fn put_membership(&mut self, index: EntryIndex, content: Bytes) {
        self.memberships.insert(index.0, content);
    }

    pub(super) fn take_membership(&mut self, index: EntryIndex) -> Option<Bytes> {
        self.memberships.remove(&index.0)
    }

    /// Forgets the entries behind `last`.
    pub(super) fn truncate(&mut self, last: EntryIndex) {
        assert!(self.first <= last.0 + 1, "what is gone cannot be cut");
        self.last = last.0;
        self.runs.retain(|run| run.from <= last);
        self.memberships.split_off(&(last.0 + 1));
    }

    /// Moves the window's start; its caller knows that nobody needs the entries below.
    pub(super) fn raise_first(&mut self, to: EntryIndex) {
        self.first = self.first.max(to.0.min(self.last + 1));
        let before = self.first.saturating_sub(1);
        let needed = self.runs.partition_point(|run| run.from.0 <= before);
        self.runs.drain(..needed.saturating_sub(1));
    }

    fn epoch(&self, index: u64) -> LeaderEpoch {
        let after = self.runs.partition_point(|run| run.from.0 <= index);
        let run = after.checked_sub(1).map(|at| self.runs[at]);
        run.map_or(LeaderEpoch(0), |run| run.epoch)
    }

    fn entry(&self, index: u64) -> Entry {
        let term = term_of(self.epoch(index));
        let mut entry = Entry {
            index,
            term,
            ..Entry::default()
        };
        if self.memberships.contains_key(&index) {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
        }
        entry
    }
}

impl Storage for Mirror {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.started.clone())
    }

    /// Metadata of entries; limited in number wherever raft-rs would limit their bytes. Without a limit it
    /// looks for membership changes, and must see all.
    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let high = match max_size.into() {
            Some(_) => high.min(low.saturating_add(ENTRIES_AT_ONCE_MAX)),
            None => high,
        };
        Ok((low..high).map(|index| self.entry(index)).collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index + 1 < self.first {
            return Err(StorageError::Compacted.into());
        }
        if index > self.last {
            return Err(StorageError::Unavailable.into());
        }
        Ok(term_of(self.epoch(index)))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last)
    }

    /// A manifest of segment files goes beside raft-rs, which then waits.
    fn snapshot(&self, _: u64, _: u64) -> raft::Result<Snapshot> {
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}

/// The index and epoch of an entry as raft-rs numbers it.
pub(super) fn place_of(entry: &Entry) -> (EntryIndex, LeaderEpoch) {
    (EntryIndex(entry.index), epoch_of(entry.term))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> Mirror {
        let mut mirror = Mirror::new(
            HardState::default(),
            ConfState::default(),
            EntryIndex(1),
            EntryIndex(0),
            Vec::new(),
        );
        for (index, epoch) in [(1, 1), (2, 1), (3, 4), (4, 4), (5, 6)] {
            mirror.append(EntryIndex(index), LeaderEpoch(epoch));
        }
        mirror
    }

    fn terms(mirror: &Mirror) -> Vec<Option<u64>> {
        (0..=6).map(|index| mirror.term(index).ok()).collect()
    }

    #[test]
    fn terms_are_known_from_before_the_first_entry_to_the_last() {
        let mut mirror = mirror();
        assert_eq!(
            terms(&mirror),
            [Some(0), Some(1), Some(1), Some(4), Some(4), Some(6), None]
        );
        mirror.raise_first(EntryIndex(4));
        assert_eq!(
            terms(&mirror),
            [None, None, None, Some(4), Some(4), Some(6), None]
        );
        mirror.raise_first(EntryIndex(99));
        assert_eq!(mirror.first_index().ok(), Some(6));
        assert_eq!(
            terms(&mirror),
            [None, None, None, None, None, Some(6), None]
        );
    }

    #[test]
    fn a_cut_forgets_terms_and_memberships_behind_it() {
        let mut mirror = mirror();
        mirror.put_membership(EntryIndex(5), Bytes::new());
        mirror.truncate(EntryIndex(3));
        assert_eq!(
            (mirror.last(), mirror.term(3).ok()),
            (EntryIndex(3), Some(4))
        );
        mirror.append(EntryIndex(4), LeaderEpoch(7));
        assert_eq!(mirror.term(4).ok(), Some(7));
        assert_eq!(mirror.take_membership(EntryIndex(5)), None);
    }

    #[test]
    fn entries_are_limited_in_number_only_where_a_limit_is_asked_for() {
        let mut mirror = mirror();
        for index in 6..=500 {
            mirror.append(EntryIndex(index), LeaderEpoch(6));
        }
        let count = |limit: Option<u64>| {
            let entries = mirror.entries(2, 501, limit, GetEntriesContext::empty(false));
            entries.unwrap().len()
        };
        assert_eq!(count(None), 499);
        assert_eq!(count(Some(u64::MAX)), 128);
        let compacted = mirror.entries(0, 3, None, GetEntriesContext::empty(false));
        assert!(compacted.is_err());
    }
}
