//! The sparse index of one segment: from offset or time to a position in the file.
//!
//! About every 4 KiB of frames (`index_interval_bytes`) one batch gets an entry: its base offset, its
//! position, and the greatest timestamp of all batches **before** it in the segment. Timestamps are not
//! monotone, that running maximum is: the first record at or after a time lies between the last entry
//! whose maximum is below it and the next one. The first batch of a segment always has an entry.
//!
//! The index grows with the active segment. A snapshot shares full blocks of entries and copies at most
//! one block, so each view of the log has its own. Indexes are derived data: `file` keeps those of sealed
//! segments beside them, and whatever does not match the segment is built anew.

pub(crate) mod file;

use std::sync::Arc;

use crate::position::Offset;

/// A timestamp below all others: no batch yet.
pub(crate) const NO_TIMESTAMP: i64 = i64::MIN;
/// Copied when an entry is added, hence small; shared lists of blocks grow by one per so many entries.
const BLOCK_ENTRIES: usize = 64;

/// One indexed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Its base offset.
    pub(crate) offset: Offset,
    /// Where it begins in the file.
    pub(crate) position: u64,
    /// The greatest timestamp of the batches before it in the segment, or [`NO_TIMESTAMP`].
    pub(crate) max_timestamp_before: i64,
}

/// The index of a segment as it stands; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseIndex {
    blocks: Arc<Vec<Arc<[IndexEntry]>>>,
    last: Arc<Vec<IndexEntry>>,
}

impl SparseIndex {
    /// Adds an entry; offsets and positions rise.
    pub(crate) fn push(&mut self, entry: IndexEntry) {
        let last = Arc::make_mut(&mut self.last);
        last.push(entry);
        if last.len() == BLOCK_ENTRIES {
            let block = std::mem::take(last).into();
            Arc::make_mut(&mut self.blocks).push(block);
        }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len() * BLOCK_ENTRIES + self.last.len()
    }

    /// The `at`-th entry.
    pub(crate) fn get(&self, at: usize) -> Option<&IndexEntry> {
        match self.blocks.get(at / BLOCK_ENTRIES) {
            Some(block) => block.get(at % BLOCK_ENTRIES),
            None => self.last.get(at - self.blocks.len() * BLOCK_ENTRIES),
        }
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &IndexEntry> {
        self.blocks
            .iter()
            .flat_map(|block| block.iter())
            .chain(self.last.iter())
    }

    /// The last entry at or before `offset`; `None` if all lie behind it.
    pub(crate) fn at_offset(&self, offset: Offset) -> Option<&IndexEntry> {
        self.last_where(|entry| entry.offset <= offset)
    }

    /// The last entry before which every timestamp is below `timestamp`.
    pub(crate) fn before_time(&self, timestamp: i64) -> Option<&IndexEntry> {
        self.last_where(|entry| entry.max_timestamp_before < timestamp)
    }

    /// The last entry for which `holds`, which must hold for a prefix of the entries.
    fn last_where(&self, holds: impl Fn(&IndexEntry) -> bool) -> Option<&IndexEntry> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&holds) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).and_then(|at| self.get(at))
    }
}

/// Builds a segment's index while its frames pass by, in order.
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

    /// Takes note of a batch at `position`.
    pub(crate) fn batch(&mut self, offset: Offset, position: u64, max_timestamp: i64) {
        let due = match self.indexed_to {
            None => true,
            Some(last) => position - last >= self.interval_bytes,
        };
        if due {
            let max_timestamp_before = self.max_timestamp;
            self.index.push(IndexEntry {
                offset,
                position,
                max_timestamp_before,
            });
            self.indexed_to = Some(position);
        }
        if self.first_timestamp == NO_TIMESTAMP {
            self.first_timestamp = max_timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
    }

    /// The index so far.
    pub(crate) fn index(&self) -> &SparseIndex {
        &self.index
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

    #[test]
    fn entries_are_sparse_and_found() {
        let mut builder = IndexBuilder::new(100);
        for at in 0_i64..1000 {
            let time = if at == 500 { 10_000 } else { at };
            builder.batch(Offset(at * 2), at.unsigned_abs() * 30, time);
        }
        let index = builder.index();
        assert_eq!(index.len(), 250);
        assert_eq!(index.iter().count(), 250);
        assert_eq!(index.at_offset(Offset(0)).unwrap().position, 0);
        assert_eq!(index.at_offset(Offset(17)).unwrap().offset, Offset(16));
        assert_eq!(index.at_offset(Offset(15)).unwrap().offset, Offset(8));
        assert_eq!(index.at_offset(Offset(-1)), None);
        assert_eq!(index.before_time(0).unwrap().position, 0);
        assert_eq!(index.before_time(9_000).unwrap().offset, Offset(1000));
        assert_eq!(index.before_time(20_000).unwrap().offset, Offset(1992));
        assert_eq!(builder.max_timestamp(), 10_000);
    }

    #[test]
    fn snapshot_is_not_changed_by_later_entries() {
        let mut builder = IndexBuilder::new(0);
        builder.batch(Offset(0), 0, 1);
        let snapshot = builder.index().clone();
        for at in 1_i64..200 {
            builder.batch(Offset(at), at.unsigned_abs(), 1);
        }
        assert_eq!(snapshot.len(), 1);
        assert_eq!(builder.index().len(), 200);
    }
}
