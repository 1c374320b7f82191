//! The sparse index of one segment: from offset, entry or time to a position in the file.
//!
//! About every 4 KiB of frames (`index_interval_bytes`) one batch gets an entry: its base offset, its
//! ordinal, its position, and the greatest timestamp of all batches **before** it in the segment.
//! Timestamps are not monotone, that running maximum is: the first record at or after a time lies between
//! the last entry whose maximum is below it and the next one. The first batch of a segment always has an
//! entry. Beside the batches every control frame is listed with its place and size, so that a range is
//! split at them without a look at the bytes of records; and every transaction that a marker in the segment
//! aborts (`transactions`).
//!
//! The index grows with the active segment; a snapshot shares its blocks, so each view of the log has its
//! own. Indexes are derived data: `file` keeps those of segments beside them, and whatever does not match
//! the segment is built anew.

mod blocks;
mod builder;
mod cache;
pub(crate) mod file;
pub(crate) mod rebuild;
mod transactions;

use blocks::Blocks;
pub(crate) use builder::IndexBuilder;
pub(crate) use cache::{CachedIndex, IndexRef};
pub use transactions::AbortedTransaction;
pub(crate) use transactions::{OpenTransactions, TransactionSummary};

use crate::position::{EntryIndex, Offset};
use crate::segment::format::ControlKind;

/// A timestamp below all others: no batch yet.
pub(crate) const NO_TIMESTAMP: i64 = i64::MIN;

/// One indexed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Its base offset.
    pub(crate) offset: Offset,
    /// Its ordinal in the log.
    pub(crate) index: EntryIndex,
    /// Where it begins in the file.
    pub(crate) position: u64,
    /// The greatest timestamp of the batches before it in the segment, or [`NO_TIMESTAMP`].
    pub(crate) max_timestamp_before: i64,
}

/// Where a control frame lies; the segment header is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControlPlace {
    /// Where it begins in the file.
    pub(crate) position: u64,
    /// The whole frame.
    pub(crate) size_bytes: u32,
    /// Its ordinal; of a segment header that of the first entry behind it.
    pub(crate) index: EntryIndex,
    pub(crate) kind: ControlKind,
}

/// The index of a segment as it stands; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseIndex {
    entries: Blocks<IndexEntry>,
    controls: Blocks<ControlPlace>,
    aborted: Blocks<AbortedTransaction>,
}

impl SparseIndex {
    /// Adds an entry; offsets, ordinals and positions rise.
    pub(crate) fn push(&mut self, entry: IndexEntry) {
        self.entries.push(entry);
    }

    /// Adds a control frame; positions rise.
    pub(crate) fn push_control(&mut self, place: ControlPlace) {
        self.controls.push(place);
    }

    /// Adds an aborted transaction; markers rise.
    pub(crate) fn push_aborted(&mut self, transaction: AbortedTransaction) {
        self.aborted.push(transaction);
    }

    /// Whether an entry of the segment brings a voter set.
    pub(crate) fn has_memberships(&self) -> bool {
        let mut controls = self.controls.iter();
        controls.any(|place| place.kind == ControlKind::Membership)
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The `at`-th entry.
    pub(crate) fn get(&self, at: usize) -> Option<&IndexEntry> {
        self.entries.get(at)
    }

    /// How many entries at the beginning satisfy `holds`, which must hold for a prefix of them.
    ///
    /// The search begins after such a `part` of `whole` of them.
    pub(crate) fn entries_while(
        &self,
        (part, whole): (u64, u64),
        holds: impl Fn(&IndexEntry) -> bool,
    ) -> usize {
        let part = u128::from(part.min(whole)) * (self.len() as u128);
        let guess = usize::try_from(part / u128::from(whole.max(1))).unwrap_or(0);
        self.entries.partition_point_near(guess, holds)
    }

    /// All entries in order.
    pub(crate) fn entries(&self) -> &Blocks<IndexEntry> {
        &self.entries
    }

    /// All control frames in order.
    pub(crate) fn controls(&self) -> &Blocks<ControlPlace> {
        &self.controls
    }

    /// The transactions that a marker in this segment aborts, in the order of their markers.
    pub(crate) fn aborted(&self) -> &Blocks<AbortedTransaction> {
        &self.aborted
    }

    /// The control frames that begin at or after `position`, in order.
    pub(crate) fn controls_from(&self, position: u64) -> impl Iterator<Item = &ControlPlace> {
        let from = self
            .controls
            .partition_point(|place| place.position < position);
        self.controls.iter_from(from)
    }

    /// The last entry at or before `offset`; `None` if all lie behind it.
    pub(crate) fn at_offset(&self, offset: Offset) -> Option<&IndexEntry> {
        self.entries.last_where(|entry| entry.offset <= offset)
    }

    /// The last entry at or before the batch or control frame with this ordinal; `None` if all lie
    /// behind it (the walk then begins behind the segment header).
    pub(crate) fn at_index(&self, index: EntryIndex) -> Option<&IndexEntry> {
        self.entries.last_where(|entry| entry.index <= index)
    }

    /// The last entry before which every timestamp is below `timestamp`.
    pub(crate) fn before_time(&self, timestamp: i64) -> Option<&IndexEntry> {
        self.entries
            .last_where(|entry| entry.max_timestamp_before < timestamp)
    }
}

impl PartialEq for SparseIndex {
    fn eq(&self, other: &SparseIndex) -> bool {
        self.entries.iter().eq(other.entries.iter())
            && self.controls.iter().eq(other.controls.iter())
            && self.aborted.iter().eq(other.aborted.iter())
    }
}
