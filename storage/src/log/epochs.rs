//! Which epoch wrote which offsets: runs of entries with the same leader epoch.
//!
//! A run begins at the no-op of its term. A term in which nothing was produced has a run that begins
//! where the next one does. The runs are found again from the segments (and kept in their indexes).

use std::sync::Arc;

use crate::manifest::TermRun;
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::Tail;

/// The beginning of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochRun {
    pub(crate) epoch: LeaderEpoch,
    /// The next offset when its first entry was written.
    pub(crate) start: Offset,
    /// Its first entry.
    pub(crate) index: EntryIndex,
}

impl EpochRun {
    /// The run that begins with the entry between two tails: the log's first, or one of a new epoch.
    pub(crate) fn begins(before: &Tail, after: &Tail) -> Option<EpochRun> {
        let first = before.index == EntryIndex(0);
        let (epoch, index) = (after.epoch, after.index);
        (first || epoch > before.epoch).then_some(EpochRun {
            epoch,
            start: before.offset,
            index,
        })
    }
}

/// All runs of a log, oldest first, epochs rising; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct EpochRuns {
    runs: Arc<Vec<EpochRun>>,
}

impl EpochRuns {
    /// Adds a run; one that is not newer than the last is ignored.
    pub(crate) fn push(&mut self, run: EpochRun) {
        if self.runs.last().is_none_or(|last| last.epoch < run.epoch) {
            Arc::make_mut(&mut self.runs).push(run);
        }
    }

    /// Says in which epoch the entry before a log's oldest file was written, and where that file begins:
    /// the first run of a log whose beginning is gone.
    pub(crate) fn begin(&mut self, first: EpochRun) {
        let runs = Arc::make_mut(&mut self.runs);
        let gone = runs.partition_point(|run| run.epoch <= first.epoch);
        runs.splice(..gone, [first]);
    }

    /// Forgets the entries after `last`.
    pub(crate) fn truncate(&mut self, last: EntryIndex) {
        let kept = self.runs.partition_point(|run| run.index <= last);
        if kept < self.runs.len() {
            Arc::make_mut(&mut self.runs).truncate(kept);
        }
    }

    /// All runs, oldest first.
    pub(crate) fn all(&self) -> &[EpochRun] {
        &self.runs
    }

    /// Takes all runs, oldest first.
    pub(crate) fn of_all(runs: &[EpochRun]) -> EpochRuns {
        EpochRuns {
            runs: Arc::new(runs.to_vec()),
        }
    }

    /// The runs that begin at or before an entry.
    pub(crate) fn upto(&self, index: EntryIndex) -> Vec<TermRun> {
        let runs = self.runs.iter().take_while(|run| run.index <= index);
        let public = |run: &EpochRun| TermRun {
            epoch: run.epoch,
            start: run.start,
            index: run.index,
        };
        runs.map(public).collect()
    }

    /// The epoch of an entry that is not after the last; before all runs none.
    pub(crate) fn of_entry(&self, index: EntryIndex) -> Option<LeaderEpoch> {
        let after = self.runs.partition_point(|run| run.index <= index);
        after.checked_sub(1).map(|at| self.runs[at].epoch)
    }

    /// The epoch that wrote the record at `offset`; past the log end the newest, before all runs 0.
    pub(crate) fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        let after = self.runs.partition_point(|run| run.start <= offset);
        after
            .checked_sub(1)
            .map_or(LeaderEpoch(0), |at| self.runs[at].epoch)
    }

    /// The greatest epoch not above `asked`, and where it ends (KIP-101, KIP-279).
    ///
    /// An epoch before all runs ends where the first begins; one that is newer than all is unknown.
    pub(crate) fn end_offset_for_epoch(
        &self,
        asked: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let after = self.runs.partition_point(|run| run.epoch <= asked);
        let end = self.runs.get(after).map(|next| next.start);
        match (after.checked_sub(1).map(|at| self.runs[at]), end) {
            (Some(run), Some(end)) => Some((run.epoch, end)),
            (Some(run), None) => (run.epoch == asked).then_some((asked, log_end)),
            (None, Some(end)) => Some((asked, end)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> EpochRuns {
        let mut runs = EpochRuns::default();
        for (epoch, start, index) in [(1, 0, 1), (3, 10, 5), (4, 10, 6), (4, 12, 9), (7, 20, 15)] {
            let (epoch, start, index) = (LeaderEpoch(epoch), Offset(start), EntryIndex(index));
            runs.push(EpochRun {
                epoch,
                start,
                index,
            });
        }
        runs
    }

    #[test]
    fn offset_belongs_to_the_newest_epoch_that_began_by_then() {
        let epochs: Vec<i32> = [0, 9, 10, 19, 20, 99]
            .map(|at| runs().epoch_at(Offset(at)).0)
            .to_vec();
        assert_eq!(epochs, [1, 1, 4, 4, 7, 7]);
        assert_eq!(EpochRuns::default().epoch_at(Offset(3)), LeaderEpoch(0));
    }

    #[test]
    fn epoch_ends_where_the_next_one_begins() {
        let end = |epoch| {
            runs()
                .end_offset_for_epoch(LeaderEpoch(epoch), Offset(33))
                .map(|(run, end)| (run.0, end.0))
        };
        assert_eq!(end(0), Some((0, 0)));
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(2), Some((1, 10)));
        assert_eq!(end(3), Some((3, 10)));
        assert_eq!(end(6), Some((4, 20)));
        assert_eq!(end(7), Some((7, 33)));
        assert_eq!(end(8), None);
    }
}
