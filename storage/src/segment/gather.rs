//! A segment's part of a range that a fetch collects, as chunks.
//!
//! ```text
//!            start                              end      limit = start + budget
//!   | batch | batch | batch | control | batch | batch | batch |
//!             '------ chunk ----'       '-chunk-'
//! ```
//!
//! Both ends are found in `ends`; control frames are cut out by the index. So the bytes of records are not
//! touched here: a segment gives slices of its mapping, a sealed one always, the active one where the range is
//! committed (so that nothing ever takes it back) and long. Else the active one is read by `pread` as a whole,
//! and its heads are walked in memory. Nothing larger than the caller's budget is allocated, but for a first
//! batch that must be given.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use super::chunk::Chunk;
use super::ends::{First, Last, Wanted};
use super::format::{Head, as_u64, read_head};
use super::reader::{Segment, Source};
use super::window::LOOK_UP_BYTES;
use crate::fs::Mapping;
use crate::index::SparseIndex;
use crate::log::ReadError;
use crate::position::Offset;

/// From this many bytes on the active segment is mapped: a shorter range costs less to copy than to find its
/// end by the index and to have its pages mapped.
const MAPPED_BYTES_MIN: u64 = 64 << 10;

/// The active segment is mapped in steps of this, past its end: room that is not used costs addresses only,
/// and a segment of 1 GiB is mapped 16 times while it grows.
const MAPPED_STEP_BYTES: u64 = 64 << 20;

/// A range that is collected over one or more segments.
#[derive(Debug)]
pub(crate) struct Gather {
    /// The range begins with the batch that contains this offset.
    pub(crate) from: Offset,
    /// All batches end below it.
    pub(crate) upto: Offset,
    pub(crate) left_bytes: usize,
    /// Whether the first batch is given however large it is.
    pub(crate) at_least_one: bool,
    /// Whether everything below `upto` is committed: no truncation comes near it.
    pub(crate) committed: bool,
    /// Whether to stop where the disk would have to be waited for.
    pub(crate) resident_only: bool,
    pub(crate) chunks: Vec<Chunk>,
}

/// Why a range ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All that was asked for is there, or all that fits.
    Complete,
    /// What comes next is not in memory, and only what is was asked for.
    Cold,
}

impl Gather {
    /// Takes a chunk of batches; nothing if it is empty.
    fn take(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.left_bytes = self.left_bytes.saturating_sub(chunk.len());
            self.chunks.push(chunk);
        }
    }
}

impl Segment {
    /// Adds this segment's part of a range; `Break` when the range ends in it.
    pub(crate) fn gather(&self, gather: &mut Gather) -> Result<ControlFlow<End>, ReadError> {
        if gather.resident_only && !self.is_ready() {
            return Ok(ControlFlow::Break(End::Cold));
        }
        let index = self.index()?;
        let index = &*index;
        let Some(near) = self.near(index, gather.from) else {
            return Ok(ControlFlow::Continue(()));
        };
        if gather.resident_only && !self.is_resident(near.position, gather)? {
            return Ok(ControlFlow::Break(End::Cold));
        }
        let wanted = Wanted {
            from: gather.from,
            upto: gather.upto,
            bytes: as_u64(gather.left_bytes),
        };
        let Some(first) = self.first(index, near, wanted)? else {
            return Ok(ControlFlow::Continue(()));
        };
        if first.end > gather.upto {
            return Ok(ControlFlow::Break(End::Complete));
        }
        let must_bytes = if gather.at_least_one && gather.chunks.is_empty() {
            first.size_bytes
        } else {
            0
        };
        let budget = as_u64(gather.left_bytes).max(must_bytes);
        if budget < first.size_bytes {
            return Ok(ControlFlow::Break(End::Complete));
        }
        let limit = self.size_bytes.min(first.position.saturating_add(budget));
        if self.is_mapped(limit - first.position, gather) {
            let last = self.last(index, first, limit, gather.upto)?;
            self.take_mapped(index, first.position, last, gather)
        } else {
            self.take_read(first, limit, gather)
        }
    }

    /// Whether a range of so many bytes is given as slices of a mapping.
    fn is_mapped(&self, bytes: u64, gather: &Gather) -> bool {
        match self.source {
            Source::Active { .. } => gather.committed && bytes >= MAPPED_BYTES_MIN,
            Source::Sealed(_) => true,
        }
    }

    /// Whether file and index are at hand. (A file closed by a cache is opened anew; that is quick.)
    fn is_ready(&self) -> bool {
        match &self.source {
            Source::Active { .. } => true,
            Source::Sealed(sealed) => sealed.file.get().is_some() && sealed.index.get().is_some(),
        }
    }

    /// Whether what a read of this range looks at and gives seems to be in memory.
    fn is_resident(&self, position: u64, gather: &Gather) -> Result<bool, ReadError> {
        let len = as_u64(gather.left_bytes.max(LOOK_UP_BYTES));
        let len = len.min(self.size_bytes.saturating_sub(position));
        Ok(self.file()?.is_resident(position, len))
    }

    /// Gives a range as slices of the segment's mapping, if that can be had.
    fn take_mapped(
        &self,
        index: &SparseIndex,
        start: u64,
        last: Last,
        gather: &mut Gather,
    ) -> Result<ControlFlow<End>, ReadError> {
        let file = self.file()?;
        let mapped_bytes = match self.source {
            Source::Active { .. } => self.size_bytes.next_multiple_of(MAPPED_STEP_BYTES),
            Source::Sealed(_) => self.size_bytes,
        };
        let mapping = file.map(mapped_bytes);
        let mapping = mapping.map_err(ReadError::io(self.path()))?;
        let part = start..last.position;
        if let Some(mapping) = mapping {
            self.take_slices(&mapping, index, part, gather)?;
        } else {
            // run by run: a ROLL at the end may have been taken back, what lies before it was not
            for run in runs(index, part) {
                gather.take(Chunk::Memory(self.whole(run)?));
            }
        }
        Ok(if last.complete {
            ControlFlow::Break(End::Complete)
        } else {
            ControlFlow::Continue(())
        })
    }

    fn take_slices(
        &self,
        mapping: &Mapping,
        index: &SparseIndex,
        part: Range<u64>,
        gather: &mut Gather,
    ) -> Result<(), ReadError> {
        for run in runs(index, part) {
            let slice = mapping.slice(within(&run, 0));
            let slice = slice.ok_or_else(|| self.corrupt(run.start, "range past the segment"))?;
            self.check_cut(run.end)?;
            if !gather.resident_only {
                slice.make_resident().map_err(ReadError::io(self.path()))?;
            }
            gather.take(Chunk::Mapped(slice));
        }
        Ok(())
    }

    /// Exactly these bytes of the file.
    fn whole(&self, part: Range<u64>) -> Result<Bytes, ReadError> {
        let wanted = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
        let bytes = self.range(part.start, wanted)?;
        if bytes.len() < wanted {
            self.check_cut(part.end)?;
            return Err(self.corrupt(part.start, "file ends inside the segment"));
        }
        Ok(bytes.into())
    }

    /// Reads a range of the active segment and cuts it into runs of whole batches.
    fn take_read(
        &self,
        first: First,
        limit: u64,
        gather: &mut Gather,
    ) -> Result<ControlFlow<End>, ReadError> {
        let start = first.position;
        let wanted = usize::try_from(limit - start).unwrap_or(usize::MAX);
        let bytes = Bytes::from(self.range(start, wanted)?);
        if as_u64(bytes.len()) < first.size_bytes {
            self.check_cut(start + first.size_bytes)?;
            return Err(self.corrupt(start, "file ends inside the segment"));
        }
        let (mut at, mut run_from) = (0, 0);
        let mut complete = false;
        while at < bytes.len() {
            let is_cut = |size: u64| size > as_u64(bytes.len() - at);
            let place = start + as_u64(at);
            let head = match read_head(&bytes[at..]) {
                Ok(head) if !is_cut(head.size_bytes()) => head,
                // What does not fit in the bytes asked for was not asked for; a segment has no torn end.
                _ if start + as_u64(bytes.len()) < self.size_bytes => break,
                Ok(_) => return Err(self.corrupt(place, "frame reaches past the segment")),
                Err(reason) => return Err(self.corrupt(place, reason)),
            };
            let size = usize::try_from(head.size_bytes()).unwrap_or(usize::MAX);
            match head {
                Head::Batch(header) if header.last_offset() >= gather.upto => {
                    complete = true;
                    break;
                }
                Head::Batch(_) => {}
                Head::Control { .. } => {
                    gather.take(Chunk::Memory(bytes.slice(run_from..at)));
                    run_from = at + size;
                }
            }
            at += size;
        }
        gather.take(Chunk::Memory(bytes.slice(run_from..at)));
        if complete || start + as_u64(at) < self.size_bytes {
            return Ok(ControlFlow::Break(End::Complete));
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A part of a file without its control frames.
fn runs(index: &SparseIndex, part: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = part.start;
    let mut controls = index
        .controls_from(part.start)
        .take_while(move |place| place.position < part.end)
        .map(|place| (place.position, place.position + u64::from(place.size_bytes)))
        .chain([(part.end, part.end)]);
    std::iter::from_fn(move || {
        let (end, next) = controls.next()?;
        let run = at..end;
        at = next;
        Some(run)
    })
}

/// A range of a file as a range of what was read or mapped from `start` on.
fn within(run: &Range<u64>, start: u64) -> Range<usize> {
    let place = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
    place(run.start)..place(run.end)
}
