//! Payloads on their way from a proposal or a message to the log.
//!
//! raft-rs decides which entries become part of the log and says so in the Ready of the same turn, by index and
//! term. What was handed in and is not named there was not taken (an append that conflicts, or is a repeat).

use std::collections::VecDeque;

use headrace_storage::{Entry, EntryIndex, LeaderEpoch};
use raft::eraftpb::EntryType;

use super::storage::place_of;

/// A message brought more or fewer payloads than it names entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message names {named} entries and brings {brought}")]
pub struct PayloadsMismatch {
    /// Entries in the message.
    pub named: usize,
    /// Payloads beside it.
    pub brought: usize,
}

/// The payloads of this turn, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Payloads {
    waiting: VecDeque<(EntryIndex, LeaderEpoch, Entry)>,
}

impl Payloads {
    pub(super) fn put(&mut self, index: EntryIndex, epoch: LeaderEpoch, payload: Entry) {
        self.waiting.push_back((index, epoch, payload));
    }

    /// What goes into the log for an entry that raft-rs took.
    ///
    /// An entry without a payload is raft-rs's own: the no-op of a new leader, or what it made of a refused
    /// membership change. Both are written as a no-op; the first of its term is *the* no-op.
    pub(super) fn take(&mut self, taken: &raft::eraftpb::Entry) -> Entry {
        let (index, epoch) = place_of(taken);
        let is_it = |(at, of, _): &(_, _, _)| (*at, *of) == (index, epoch);
        let payload = match self.waiting.pop_front_if(|first| is_it(first)) {
            Some(first) => Some(first),
            None => self.waiting.iter().position(is_it).and_then(|place| {
                // those before it were not taken
                self.waiting.drain(..place);
                self.waiting.pop_front()
            }),
        };
        match (payload, taken.get_entry_type()) {
            (Some((.., payload)), _) => payload,
            (None, EntryType::EntryNormal) => Entry::NoOp { term: epoch },
            (None, kind) => panic!("entry {index} of kind {kind:?} has no payload"),
        }
    }

    /// Forgets what was not taken.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
