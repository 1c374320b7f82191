//! How far the log is committed, stable and gone: what the consensus layer tells it.
//!
//! ```text
//!   log start  <=  last stable  <=  high watermark  <=  log end
//! ```
//!
//! None of these goes back (truncation, which takes back only what was never committed, may pull them
//! with the log end). A log start that was appended **counts only once its entry is committed**: the file
//! says at once where it will be, readers see it move at the commit. At the start the log cannot know what
//! is committed, so it begins with what must have been: the start of the oldest file that is left.

use std::collections::VecDeque;
use std::sync::Arc;

use super::epochs::EpochRun;
use super::{Log, LogView, ReadError};
use crate::position::{EntryIndex, Offset};
use crate::segment::Tail;
use crate::segment::reader::Segment;

/// The marks as readers see them, and the log starts to come.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) log_start: Offset,
    pub(super) last_stable: Offset,
    pub(super) high_watermark: Offset,
    /// Committed as far as was said; may lie past what is written here.
    pub(super) committed: EntryIndex,
    /// The entry that moved the log start to where it is; 0 if it was found there.
    start_index: EntryIndex,
    /// Log starts whose entries are not committed or not written yet, oldest first.
    starts: VecDeque<(EntryIndex, Offset)>,
}

impl Marks {
    pub(super) fn new(high_watermark: Offset) -> Marks {
        Marks {
            log_start: Offset(0),
            last_stable: Offset(0),
            high_watermark,
            committed: EntryIndex(0),
            start_index: EntryIndex(0),
            starts: VecDeque::new(),
        }
    }

    /// Takes the start of the oldest file that is left; entries before it were committed.
    pub(super) fn begin(&mut self, log_start: Offset) {
        let log_start = self.log_start.max(log_start);
        self.log_start = log_start;
        self.starts.retain(|(_, offset)| *offset > log_start);
        self.high_watermark = self.high_watermark.max(log_start);
        self.last_stable = self.last_stable.max(log_start);
    }

    /// Takes note of a log start when the entry that moves it has been staged or found.
    pub(super) fn staged(&mut self, tail: &Tail) {
        let newest = self.starts.back().map_or(self.log_start, |(_, at)| *at);
        if tail.log_start > newest {
            self.starts.push_back((tail.index, tail.log_start));
        }
    }

    /// Lets log starts that are committed and written take effect.
    pub(super) fn settle(&mut self, written: &Tail) -> bool {
        let effective = self.committed.min(written.index);
        let mut moved = false;
        while let Some((index, offset)) = self.starts.pop_front_if(|(at, _)| *at <= effective) {
            self.log_start = offset;
            self.start_index = index;
            moved = true;
        }
        self.high_watermark = self.high_watermark.max(self.log_start);
        self.last_stable = self.last_stable.max(self.log_start);
        moved
    }

    /// The log start if a power cut would not move it back, else the beginning.
    pub(super) fn durable_log_start(&self, flushed: &Tail) -> Offset {
        if self.start_index <= flushed.index {
            self.log_start
        } else {
            Offset(0)
        }
    }

    /// The log starts and the entries that move it there, oldest first, also those in effect.
    pub(super) fn log_starts(&self) -> Vec<(EntryIndex, Offset)> {
        let moved =
            (self.start_index > EntryIndex(0)).then_some((self.start_index, self.log_start));
        moved
            .into_iter()
            .chain(self.starts.iter().copied())
            .collect()
    }

    /// Forgets what was said by entries after the new tail.
    pub(super) fn truncate(&mut self, tail: &Tail) {
        self.starts.retain(|(index, _)| *index <= tail.index);
        self.staged(tail);
        self.high_watermark = self.high_watermark.min(tail.offset);
        self.last_stable = self.last_stable.min(tail.offset);
    }
}

impl Log {
    /// Shows readers how far the log is committed and stable (all transactions decided).
    ///
    /// Both are held between the log start and the log end, the second below the first, and do not go back.
    pub fn set_marks(&mut self, high_watermark: Offset, last_stable: Offset) {
        let marks = &mut self.marks;
        let before = (marks.high_watermark, marks.last_stable);
        let end = self.written.offset;
        marks.high_watermark = marks.high_watermark.max(high_watermark.min(end));
        let stable = last_stable.min(marks.high_watermark);
        marks.last_stable = marks.last_stable.max(stable);
        if before != (marks.high_watermark, marks.last_stable) {
            self.publish_marks();
        }
    }

    /// [`Log::set_marks`] for a log without transactions.
    pub fn set_high_watermark(&mut self, offset: Offset) {
        self.set_marks(offset, offset);
    }

    /// Takes note that everything up to an entry is committed: it is never truncated again, and the log
    /// starts it moves take effect (as soon as they are written here too).
    ///
    /// Called at the start too, with what consensus knows then. Does not go back.
    pub fn commit(&mut self, index: EntryIndex) {
        self.marks.committed = self.marks.committed.max(index);
        if self.marks.settle(&self.written) {
            self.publish_marks();
        }
    }

    /// Finds where the log begins, if its first files are gone.
    pub(super) fn take_beginning(&mut self) -> Result<(), ReadError> {
        self.publish();
        let view = self.shared.load_full();
        let Some(first) = view.sealed.first().or(view.active.as_ref()) else {
            return Ok(());
        };
        if first.base_index > EntryIndex(1) {
            let (header, before) = first.header(&self.identity)?;
            self.epochs.begin(EpochRun {
                epoch: before.epoch,
                start: before.offset,
                index: before.index,
            });
            self.first_index = self.first_index.max(first.base_index);
            self.marks.begin(header.log_start.max(before.offset));
        }
        let compacted = view.sealed.iter().rev().find_map(Segment::compacted);
        if let Some(compacted) = compacted {
            // what was compacted was committed, log starts included, and entries are missing from it
            self.first_index = self.first_index.max(compacted.end.index.next());
            let start = compacted.end.log_start.max(self.marks.log_start);
            self.marks.begin(start);
        }
        Ok(())
    }

    fn publish_marks(&self) {
        let mut view = LogView::clone(&self.shared.load());
        view.log_start = self.marks.log_start;
        view.high_watermark = self.marks.high_watermark;
        view.last_stable = self.marks.last_stable;
        self.shared.store(Arc::new(view));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_never_moves_the_log_start_back() {
        let mut marks = Marks::new(Offset(5));
        let tail = |index, log_start| Tail {
            index: EntryIndex(index),
            log_start: Offset(log_start),
            offset: Offset(100),
            ..Tail::EMPTY
        };
        marks.staged(&tail(7, 30));
        marks.staged(&tail(9, 60));
        marks.begin(Offset(50));
        marks.begin(Offset(10));
        assert_eq!(marks.log_start, Offset(50));
        assert_eq!(
            (marks.last_stable, marks.high_watermark),
            (Offset(50), Offset(50))
        );
        marks.committed = EntryIndex(7);
        assert!(!marks.settle(&tail(9, 60)));
        marks.committed = EntryIndex(9);
        assert!(!marks.settle(&tail(8, 30)), "not written");
        assert!(marks.settle(&tail(9, 60)));
        assert_eq!(marks.log_start, Offset(60));
    }
}
