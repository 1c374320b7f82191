//! Where a segment's part of a range begins and ends.
//!
//! ```text
//!   entry              entry              entry              entry          entry
//!   | batch | batch | batch | batch | batch | batch |  ...  | batch | batch | batch |
//!   '- near -'  ^ from                                      '-- last --'  ^ limit
//! ```
//!
//! The index says it all where batches are as large as its steps, and where a range begins at an entry. Else
//! heads are walked from the entry before. A long range is ended at an entry rather than walked to its last
//! batch: then the next one begins at an entry, and reading on and on looks at no head.

use std::ops::ControlFlow;

use super::format::{Head, as_u64};
use super::reader::Segment;
use super::window::LOOK_UP_BYTES;
use crate::index::{IndexEntry, SparseIndex};
use crate::log::ReadError;
use crate::position::Offset;

/// Up to this part of what fits is left for the next read, rather than to walk heads: a walk costs as much
/// as this part of a request does.
const LEFT_PART: u64 = 16;

/// What is wanted of a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The range begins with the batch that contains this offset.
    pub(super) from: Offset,
    /// All batches end below it.
    pub(super) upto: Offset,
    /// How much of it there may be.
    pub(super) bytes: u64,
}

/// The entry from which on a range is looked for: the last at or before its first offset, else the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    at: usize,
    offset: Offset,
    pub(super) position: u64,
}

/// The first batch of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) position: u64,
    /// Its size; or more, if that is wanted too.
    pub(super) size_bytes: u64,
    /// The offset after it; or after as many batches.
    pub(super) end: Offset,
}

/// A part's end, and whether the range ends with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) position: u64,
    pub(super) complete: bool,
}

impl Last {
    fn complete(position: u64) -> Last {
        Last {
            position,
            complete: true,
        }
    }
}

impl Segment {
    /// The entry nearest to an offset; `None` without any batches.
    pub(super) fn near(&self, index: &SparseIndex, from: Offset) -> Option<Near> {
        let span =
            |end: Offset| u64::try_from(end.0.saturating_sub(self.base_offset.0)).unwrap_or(0);
        let share = (span(from), span(self.end_offset));
        let after = index.entries_while(share, |entry| entry.offset <= from);
        let at = after.saturating_sub(1);
        let IndexEntry {
            offset, position, ..
        } = *index.get(at)?;
        Some(Near {
            at,
            offset,
            position,
        })
    }

    /// The first batch that ends behind `from`, without a look at the file where the index says it all.
    pub(super) fn first(
        &self,
        index: &SparseIndex,
        near: Near,
        wanted: Wanted,
    ) -> Result<Option<First>, ReadError> {
        if let Some(batch) = self.alone(index, near.at) {
            return Ok(Some(batch));
        }
        // where all up to the next entry is wanted, it does not matter how much of it is the first batch
        if near.offset >= wanted.from
            && let Some(next) = index.get(near.at + 1)
            && next.offset <= wanted.upto
            && next.position - near.position <= wanted.bytes
        {
            return Ok(Some(First {
                position: near.position,
                size_bytes: next.position - near.position,
                end: next.offset,
            }));
        }
        let found = self.find_from(near.position, wanted.from)?;
        Ok(found.map(|found| First {
            position: found.position,
            size_bytes: as_u64(found.header.size_bytes()),
            end: found.header.last_offset().plus(1),
        }))
    }

    /// The batch of the `at`-th entry, if the next entry is the very next frame: then the index knows where
    /// it ends. (Compaction leaves gaps between batches: there it does not.)
    fn alone(&self, index: &SparseIndex, at: usize) -> Option<First> {
        let (entry, next) = (index.get(at)?, index.get(at + 1)?);
        let adjoins = entry.index.next() == next.index && self.compacted().is_none();
        adjoins.then(|| First {
            position: entry.position,
            size_bytes: next.position - entry.position,
            end: next.offset,
        })
    }

    /// Where the last batch ends that lies below both `limit` and `upto`, or one shortly before it.
    pub(super) fn last(
        &self,
        index: &SparseIndex,
        first: First,
        limit: u64,
        upto: Offset,
    ) -> Result<Last, ReadError> {
        if limit == self.size_bytes && self.end_offset <= upto {
            return Ok(Last {
                position: limit,
                complete: false,
            });
        }
        let after = index.entries_while((limit, self.size_bytes), |entry| {
            entry.position <= limit && entry.offset < upto
        });
        let at = after.saturating_sub(1);
        if let Some(batch) = self.alone(index, at) {
            let end = batch.position + batch.size_bytes;
            let whole = end <= limit && batch.end <= upto;
            return Ok(Last::complete(if whole { end } else { batch.position }));
        }
        let entry = index.get(at).map_or(first.position, |entry| entry.position);
        let ends_by_limit = index.get(after).is_some_and(|next| next.offset < upto);
        if ends_by_limit && limit - entry <= limit.saturating_sub(first.position) / LEFT_PART {
            return Ok(Last::complete(entry));
        }
        self.last_by_heads(entry.max(first.position), limit, upto)
    }

    /// The same, by a walk from a frame that lies below both.
    fn last_by_heads(&self, from: u64, limit: u64, upto: Offset) -> Result<Last, ReadError> {
        let cut = self.walk_frames(from, LOOK_UP_BYTES, &mut |position, head| {
            let next = match head {
                Head::Batch(header) => header.last_offset().plus(1),
                Head::Control { .. } => head.base_offset(),
            };
            if next > upto || head.size_bytes() > limit - position {
                ControlFlow::Break(position)
            } else if next == upto {
                // nothing behind it is wanted, not even a look at it
                ControlFlow::Break(position + head.size_bytes())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(cut.map_or(
            Last {
                position: self.size_bytes,
                complete: false,
            },
            Last::complete,
        ))
    }
}
