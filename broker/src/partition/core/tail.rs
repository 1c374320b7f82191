//! The entries of the log that are not committed, as offsets and as what their commit brings about.

use std::collections::VecDeque;

use headrace_storage::{EntryIndex, LeaderEpoch, Offset};

/// What happens when an entry is committed.
#[derive(Debug)]
pub(super) enum What {
    /// Nothing but that the high watermark moves.
    Other,
    /// The leader of this term may be used.
    NoOp(LeaderEpoch),
    /// The producers as of the segment's end may be kept.
    Roll(Vec<u8>),
    /// Records below are gone.
    LogStart(Offset),
}

#[derive(Debug)]
struct Placed {
    index: EntryIndex,
    /// The offset after it.
    end: Offset,
    what: What,
}

/// The uncommitted end of the log.
#[derive(Debug)]
pub(super) struct Tail {
    placed: VecDeque<Placed>,
    end: Offset,
}

impl Tail {
    /// What recovery found counts as one entry: nothing is known of those in between, and a high watermark
    /// that moves late is right too.
    pub(super) fn recovered(last: EntryIndex, end: Offset) -> Tail {
        let found = Placed {
            index: last,
            end,
            what: What::Other,
        };
        let placed = VecDeque::from([found]);
        Tail { placed, end }
    }

    /// The offset after the last entry.
    pub(super) fn end(&self) -> Offset {
        self.end
    }

    pub(super) fn push(&mut self, index: EntryIndex, end: Offset, what: What) {
        assert!(self.end <= end, "offsets are dense");
        self.end = end;
        self.placed.push_back(Placed { index, end, what });
    }

    /// The first entry, if it is not behind `upto`.
    pub(super) fn pop(&mut self, upto: EntryIndex) -> Option<(Offset, What)> {
        let first = self.placed.pop_front_if(|first| first.index <= upto)?;
        Some((first.end, first.what))
    }

    /// Forgets the entries behind `last`; gives the offset after it, which is at least what is committed.
    pub(super) fn truncate(&mut self, last: EntryIndex, committed: Offset) -> Offset {
        while self
            .placed
            .pop_back_if(|entry| entry.index > last)
            .is_some()
        {}
        let end = self.placed.back().map_or(committed, |entry| entry.end);
        self.end = end;
        end
    }
}
