//! Building a segment's index while its frames pass by: written, or scanned.

use super::{
    ControlPlace, IndexEntry, NO_TIMESTAMP, OpenTransactions, SparseIndex, TransactionSummary,
};
use crate::position::EntryIndex;
use crate::record::{BatchHeader, MarkerKind};

/// Takes every frame of a segment, in order.
#[derive(Clone, Debug)]
pub(crate) struct IndexBuilder {
    index: SparseIndex,
    interval_bytes: u64,
    state: BuilderState,
}

/// What a builder knows beside the index itself: with it, building goes on where it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuilderState {
    /// The last batch with an entry.
    pub(crate) indexed_to: Option<u64>,
    /// Where the last frame begins.
    pub(crate) last_frame: u64,
    /// The greatest timestamp, or [`NO_TIMESTAMP`].
    pub(crate) max_timestamp: i64,
    /// The (greatest) timestamp of the first batch, or [`NO_TIMESTAMP`].
    pub(crate) first_timestamp: i64,
    /// The transactions without a marker yet, also those of earlier segments.
    pub(crate) open: OpenTransactions,
}

impl IndexBuilder {
    /// An empty index with an entry about every `interval_bytes`, for a segment that begins with these
    /// transactions open.
    pub(crate) fn new(interval_bytes: u64, open: OpenTransactions) -> IndexBuilder {
        let state = BuilderState {
            indexed_to: None,
            last_frame: 0,
            max_timestamp: NO_TIMESTAMP,
            first_timestamp: NO_TIMESTAMP,
            open,
        };
        IndexBuilder::resume(interval_bytes, SparseIndex::default(), state)
    }

    /// Goes on with an index that was kept.
    pub(crate) fn resume(
        interval_bytes: u64,
        index: SparseIndex,
        state: BuilderState,
    ) -> IndexBuilder {
        IndexBuilder {
            index,
            interval_bytes,
            state,
        }
    }

    /// Takes note of the batch with this ordinal at `position`; of a control batch with its marker.
    pub(crate) fn batch(
        &mut self,
        header: &BatchHeader,
        index: EntryIndex,
        position: u64,
        marker: Option<MarkerKind>,
    ) {
        let state = &mut self.state;
        let due = match state.indexed_to {
            None => true,
            Some(last) => position - last >= self.interval_bytes,
        };
        if due {
            self.index.push(IndexEntry {
                offset: header.base_offset,
                index,
                position,
                max_timestamp_before: state.max_timestamp,
            });
            state.indexed_to = Some(position);
        }
        if state.first_timestamp == NO_TIMESTAMP {
            state.first_timestamp = header.max_timestamp;
        }
        state.max_timestamp = state.max_timestamp.max(header.max_timestamp);
        state.last_frame = position;
        if let Some(aborted) = state.open.take(header, marker) {
            self.index.push_aborted(aborted);
        }
    }

    /// Takes note of a control frame.
    pub(crate) fn control(&mut self, place: ControlPlace) {
        self.state.last_frame = place.position;
        self.index.push_control(place);
    }

    /// The index so far.
    pub(crate) fn index(&self) -> &SparseIndex {
        &self.index
    }

    /// The size of the index's file if the segment ended here, what parts cost aside.
    pub(crate) fn size_bytes(&self) -> u64 {
        super::file::content_bytes(&self.index)
    }

    /// What is known beside it.
    pub(crate) fn state(&self) -> &BuilderState {
        &self.state
    }

    /// The greatest timestamp so far, or [`NO_TIMESTAMP`].
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.state.max_timestamp
    }

    /// The (greatest) timestamp of the first batch, or [`NO_TIMESTAMP`].
    pub(crate) fn first_timestamp(&self) -> i64 {
        self.state.first_timestamp
    }

    /// What readers want to know of the transactions without the index.
    pub(crate) fn transactions(&self) -> TransactionSummary {
        TransactionSummary {
            any_aborted: self.index.aborted().len() > 0,
            earliest_open: self.state.open.earliest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Offset;
    use crate::record::{BatchBuilder, Compression};
    use crate::segment::format::ControlKind;

    fn header(offset: i64, time: i64) -> BatchHeader {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(time, None, Some(b"value"), &[]);
        let mut header = *builder.build().header();
        header.base_offset = Offset(offset);
        header
    }

    #[test]
    fn entries_are_sparse_and_found() {
        let mut builder = IndexBuilder::new(100, OpenTransactions::default());
        let mut header = header(0, 0);
        for at in 0_i64..1000 {
            header.base_offset = Offset(at * 2);
            header.max_timestamp = if at == 500 { 10_000 } else { at };
            let (index, position) = (EntryIndex(at.unsigned_abs() + 7), at.unsigned_abs() * 30);
            builder.batch(&header, index, position, None);
        }
        let index = builder.index();
        assert_eq!(index.len(), 250);
        assert_eq!(index.entries().iter().count(), 250);
        assert_eq!(index.at_offset(Offset(0)).unwrap().position, 0);
        assert_eq!(index.at_offset(Offset(17)).unwrap().offset, Offset(16));
        assert_eq!(index.at_offset(Offset(15)).unwrap().offset, Offset(8));
        assert_eq!(index.at_offset(Offset(-1)), None);
        assert_eq!(index.at_index(EntryIndex(6)), None);
        assert_eq!(index.at_index(EntryIndex(7)).unwrap().position, 0);
        assert_eq!(index.at_index(EntryIndex(10)).unwrap().position, 0);
        assert_eq!(index.at_index(EntryIndex(11)).unwrap().position, 120);
        assert_eq!(
            index.at_index(EntryIndex(u64::MAX)).unwrap().position,
            29_880
        );
        assert_eq!(index.before_time(0).unwrap().position, 0);
        assert_eq!(index.before_time(9_000).unwrap().offset, Offset(1000));
        assert_eq!(index.before_time(20_000).unwrap().offset, Offset(1992));
        assert_eq!(builder.max_timestamp(), 10_000);
    }

    #[test]
    fn snapshot_is_not_changed_by_later_entries() {
        let mut builder = IndexBuilder::new(0, OpenTransactions::default());
        let header = header(0, 1);
        builder.batch(&header, EntryIndex(1), 0, None);
        let snapshot = builder.index().clone();
        for at in 1..200 {
            builder.batch(&header, EntryIndex(at + 1), at, None);
        }
        assert_eq!(snapshot.len(), 1);
        assert_eq!(builder.index().len(), 200);
        assert_eq!(snapshot.get(0), builder.index().get(0));
    }

    #[test]
    fn control_frames_are_found_from_a_position() {
        let mut builder = IndexBuilder::new(0, OpenTransactions::default());
        let place = |position| ControlPlace {
            position,
            size_bytes: 10,
            index: EntryIndex(position),
            kind: ControlKind::NoOp,
        };
        for at in 0..150 {
            builder.control(place(at * 20));
        }
        let mut from = builder.index().controls_from(2001);
        assert_eq!(from.next(), Some(&place(2020)));
        assert_eq!(from.count(), 48);
        assert_eq!(builder.index().controls_from(2980).count(), 1);
        assert_eq!(builder.index().controls_from(2981).count(), 0);
    }
}
