//! Building a segment's index while its frames pass by: written, or scanned.

use super::{ControlPlace, IndexEntry, NO_TIMESTAMP, SparseIndex};
use crate::position::EntryIndex;
use crate::record::BatchHeader;

/// Takes every frame of a segment, in order.
#[derive(Clone, Debug)]
pub(crate) struct IndexBuilder {
    index: SparseIndex,
    interval_bytes: u64,
    indexed_to: Option<u64>,
    max_timestamp: i64,
    first_timestamp: i64,
}

impl IndexBuilder {
    /// An empty index with an entry about every `interval_bytes`.
    pub(crate) fn new(interval_bytes: u64) -> IndexBuilder {
        IndexBuilder {
            index: SparseIndex::default(),
            interval_bytes,
            indexed_to: None,
            max_timestamp: NO_TIMESTAMP,
            first_timestamp: NO_TIMESTAMP,
        }
    }

    /// Takes note of the batch with this ordinal at `position`.
    pub(crate) fn batch(&mut self, header: &BatchHeader, index: EntryIndex, position: u64) {
        let due = match self.indexed_to {
            None => true,
            Some(last) => position - last >= self.interval_bytes,
        };
        if due {
            self.index.push(IndexEntry {
                offset: header.base_offset,
                index,
                position,
                max_timestamp_before: self.max_timestamp,
            });
            self.indexed_to = Some(position);
        }
        if self.first_timestamp == NO_TIMESTAMP {
            self.first_timestamp = header.max_timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// Takes note of a control frame.
    pub(crate) fn control(&mut self, place: ControlPlace) {
        self.index.push_control(place);
    }

    /// The index so far.
    pub(crate) fn index(&self) -> &SparseIndex {
        &self.index
    }

    /// The size of the index's file if the segment ended here, its summary aside.
    pub(crate) fn size_bytes(&self) -> u64 {
        super::file::part_bytes(&self.index)
    }

    /// The greatest timestamp so far, or [`NO_TIMESTAMP`].
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The (greatest) timestamp of the first batch, or [`NO_TIMESTAMP`].
    pub(crate) fn first_timestamp(&self) -> i64 {
        self.first_timestamp
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
        let mut builder = IndexBuilder::new(100);
        let mut header = header(0, 0);
        for at in 0_i64..1000 {
            header.base_offset = Offset(at * 2);
            header.max_timestamp = if at == 500 { 10_000 } else { at };
            let (index, position) = (EntryIndex(at.unsigned_abs() + 7), at.unsigned_abs() * 30);
            builder.batch(&header, index, position);
        }
        let index = builder.index();
        assert_eq!(index.len(), 250);
        assert_eq!(index.iter().count(), 250);
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
        let mut builder = IndexBuilder::new(0);
        let header = header(0, 1);
        builder.batch(&header, EntryIndex(1), 0);
        let snapshot = builder.index().clone();
        for at in 1..200 {
            builder.batch(&header, EntryIndex(at + 1), at);
        }
        assert_eq!(snapshot.len(), 1);
        assert_eq!(builder.index().len(), 200);
        assert_eq!(snapshot.get(0), builder.index().get(0));
    }

    #[test]
    fn control_frames_are_found_from_a_position() {
        let mut builder = IndexBuilder::new(0);
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
