//! The log by entry, as the consensus layer sees it: which entries there are, their epochs, their bytes.
//!
//! ```text
//!   first_index - 1 | first_index ........ written | staged ... last_index
//!     epoch known   |        read from files       |  from memory
//! ```
//!
//! Entries below `first_index` may still be in the files (or be compacted, or gone); they are no longer
//! given out, so that the files may change.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;

use super::error::ReadError;
use super::view::LogView;
use super::{Log, StoredEntry};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::entries::EntryRange;
use crate::segment::format::Seed;
use crate::segment::reader::Segment;

/// A sealed segment, as those see it who decide what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its first offset.
    pub base_offset: Offset,
    /// The offset after its last record.
    pub end_offset: Offset,
    /// Its first entry.
    pub base_index: EntryIndex,
    /// Its last entry: the ROLL.
    pub last_index: EntryIndex,
    /// The size of its file.
    pub size_bytes: u64,
    /// The greatest timestamp in it; `None` without records.
    pub max_timestamp: Option<i64>,
    /// Whether entries are missing from it.
    pub compacted: bool,
    /// Its file.
    pub path: PathBuf,
}

impl LogView {
    /// The sealed segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.sealed.iter().map(Segment::info).collect()
    }
}

impl Log {
    /// The sealed segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.sealed.iter().map(Segment::info).collect()
    }

    /// The oldest entry that [`Log::entries`] gives; the one after the last if there is none.
    pub fn first_index(&self) -> EntryIndex {
        self.first_index
    }

    /// Stops giving out the entries below `to`; their segments may then be compacted or removed.
    ///
    /// The caller sees to it that they are committed and applied. Does not go back.
    pub fn raise_first_index(&mut self, to: EntryIndex) {
        let end = self.queue.tail.index.next();
        self.first_index = self.first_index.max(to.min(end));
    }

    /// The epoch of an entry, from the one before the first to the last staged; 0 before all entries.
    pub fn term(&self, index: EntryIndex) -> Option<LeaderEpoch> {
        if index.next() < self.first_index || index > self.queue.tail.index {
            return None;
        }
        if index == EntryIndex(0) {
            return Some(LeaderEpoch(0));
        }
        match self.queue.get(index) {
            Some(staged) => Some(staged.after.epoch),
            None => self.epochs.of_entry(index),
        }
    }

    /// The entries from `from` on, all below `upto`, in about `bytes_max` bytes but at least one.
    ///
    /// Staged ones are among them. What comes from files has been checked, body included.
    pub fn entries(
        &self,
        from: EntryIndex,
        upto: EntryIndex,
        bytes_max: usize,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        let last_index = self.queue.tail.index;
        if from < self.first_index || (from > last_index && from < upto) {
            return Err(ReadError::NoSuchEntry {
                index: from,
                first_index: self.first_index,
                last_index,
            });
        }
        let upto = upto.min(last_index.next());
        let mut range = EntryRange {
            from,
            upto,
            left_bytes: bytes_max,
            found: Vec::new(),
        };
        self.written_entries(&mut range)?;
        while !range.is_complete()
            && let Some(staged) = self.queue.get(range.from)
        {
            let size = usize::try_from(staged.size_bytes()).unwrap_or(usize::MAX);
            if size > range.left_bytes && !range.found.is_empty() {
                break;
            }
            range.left_bytes = range.left_bytes.saturating_sub(size);
            range.found.push(staged.stored());
            range.from = range.from.next();
        }
        Ok(range.found)
    }

    fn written_entries(&self, range: &mut EntryRange) -> Result<(), ReadError> {
        if range.from > self.written.index {
            return Ok(());
        }
        let view = self.shared.load();
        let after = view
            .sealed
            .partition_point(|segment| segment.last_index < range.from);
        for segment in view.sealed[after..].iter().chain(&view.active) {
            if range.is_complete() {
                break;
            }
            let seed = self.seed_of(segment);
            if segment.gather_entries(seed, &self.epochs, range)? == ControlFlow::Break(()) {
                range.left_bytes = 0;
                break;
            }
        }
        Ok(())
    }

    /// The voter set as of an entry, and the entry that set it; `None` if the log never said.
    pub fn membership(&self, upto: EntryIndex) -> Result<Option<(EntryIndex, Bytes)>, ReadError> {
        self.membership_after(EntryIndex(0), upto)
    }

    /// The last voter set among the entries behind `after` and up to `upto`. Segments that end before are
    /// not looked at, and their indexes not loaded.
    pub fn membership_after(
        &self,
        after: EntryIndex,
        upto: EntryIndex,
    ) -> Result<Option<(EntryIndex, Bytes)>, ReadError> {
        let staged = self.queue.entries.iter().rev();
        let in_range = |index: EntryIndex| index > after && index <= upto;
        for staged in staged.filter(|staged| in_range(staged.after.index)) {
            if let Some(content) = staged.membership() {
                return Ok(Some((staged.after.index, content)));
            }
        }
        let view = self.shared.load();
        for segment in view.sealed.iter().chain(&view.active).rev() {
            if segment.base_index > upto {
                continue;
            }
            if segment.last_index <= after {
                break;
            }
            let found = segment.membership(upto, self.seed_of(segment))?;
            if let Some((index, content)) = found {
                return Ok((index > after).then_some((index, content)));
            }
        }
        let known = self.membership_before.as_ref();
        Ok(known.filter(|(index, _)| in_range(*index)).cloned())
    }

    /// Tells the log of a voter set whose entry is no longer in its files.
    pub fn restore_membership(&mut self, index: EntryIndex, content: Bytes) {
        let known = self.membership_before.as_ref();
        if known.is_none_or(|(before, _)| *before < index) {
            self.membership_before = Some((index, content));
        }
    }

    pub(super) fn seed_of(&self, segment: &Segment) -> Seed {
        Seed::new(&self.identity, segment.base_index)
    }
}
