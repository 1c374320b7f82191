//! Reading a segment by entry, as the consensus layer does: every frame, control frames included.
//!
//! Entries are counted from the segment's first one, as recovery counts them. Whatever is given out has
//! been checked by itself (CRC) and against its place (ordinal), for it goes on to other replicas.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::Tail;
use super::format::{
    Control, ControlKind, Head, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, as_u64, read_control,
    read_head,
};
use super::reader::Segment;
use super::window::{LOOK_UP_BYTES, Window};
use crate::index::{ControlPlace, NO_TIMESTAMP};
use crate::log::epochs::EpochRuns;
use crate::log::{Entry, LogIdentity, ReadError, SegmentInfo, StoredEntry};
use crate::position::{EntryIndex, Offset};
use crate::record::Batch;

/// A range of entries that is collected over one or more segments.
#[derive(Debug)]
pub(crate) struct EntryRange {
    /// The next one wanted.
    pub(crate) from: EntryIndex,
    /// The first one not wanted.
    pub(crate) upto: EntryIndex,
    /// The first entry is given however large it is.
    pub(crate) left_bytes: usize,
    pub(crate) found: Vec<StoredEntry>,
}

impl EntryRange {
    /// Whether no more are wanted.
    pub(crate) fn is_complete(&self) -> bool {
        self.from >= self.upto || (self.left_bytes == 0 && !self.found.is_empty())
    }
}

/// Where an entry lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryPlace {
    pub(crate) position: u64,
    /// The next offset before it.
    pub(crate) offset: Offset,
    pub(crate) head: Head,
}

impl Segment {
    /// What the segment's header says, and where the log stood when it was begun.
    pub(crate) fn header(
        &self,
        identity: &LogIdentity,
    ) -> Result<(SegmentHeader, Tail), ReadError> {
        if let Some(compacted) = self.compacted() {
            return Ok(compacted.as_written());
        }
        let bytes = self.range(0, SEGMENT_HEADER_BYTES)?;
        let seed = Seed::new(identity, self.base_index);
        let frame = read_control(&bytes, seed);
        let Ok((frame, Control::SegmentHeader(header))) =
            frame.map(|frame| (frame.clone(), frame.control))
        else {
            return Err(self.corrupt(0, "segment header is not sound"));
        };
        let tail = Tail {
            offset: frame.offset,
            index: EntryIndex(frame.index.0.saturating_sub(1)),
            epoch: frame.epoch,
            log_start: header.log_start,
        };
        Ok((header, tail))
    }

    /// The segment as it is told to others.
    pub(crate) fn info(&self) -> SegmentInfo {
        SegmentInfo {
            base_offset: self.base_offset,
            end_offset: self.end_offset,
            base_index: self.base_index,
            last_index: self.last_index,
            size_bytes: self.size_bytes,
            max_timestamp: (self.max_timestamp != NO_TIMESTAMP).then_some(self.max_timestamp),
            compacted: self.compacted().is_some(),
            path: self.path().to_path_buf(),
        }
    }

    /// Finds an entry; it must lie in this segment.
    pub(crate) fn place_of_entry(&self, wanted: EntryIndex) -> Result<EntryPlace, ReadError> {
        let mut place = match self.index()?.at_index(wanted) {
            Some(entry) => (entry.position, entry.index, entry.offset),
            None => (
                as_u64(SEGMENT_HEADER_BYTES),
                self.base_index,
                self.base_offset,
            ),
        };
        let file = self.file()?;
        let mut window = Window::new(&**file, self.size_bytes, LOOK_UP_BYTES);
        loop {
            let (position, index, offset) = place;
            let head = window.head(position).map_err(ReadError::io(self.path()));
            let head = head.map(read_head)?;
            self.check_cut(position.saturating_add(1))?;
            let head = head.map_err(|reason| self.corrupt(position, reason))?;
            if head.base_offset() != offset {
                return Err(self.corrupt(position, "frame is not at the next offset"));
            }
            if index == wanted {
                return Ok(EntryPlace {
                    position,
                    offset,
                    head,
                });
            }
            place = (
                position + head.size_bytes(),
                index.next(),
                head.end_offset(),
            );
        }
    }

    /// Adds this segment's part of a range of entries; `Break` when the budget is used up.
    pub(crate) fn gather_entries(
        &self,
        seed: Seed,
        epochs: &EpochRuns,
        range: &mut EntryRange,
    ) -> Result<ControlFlow<()>, ReadError> {
        if range.from > self.last_index {
            return Ok(ControlFlow::Continue(()));
        }
        let first = self.place_of_entry(range.from)?;
        let (position, mut offset) = (first.position, first.offset);
        let first_bytes = usize::try_from(first.head.size_bytes()).unwrap_or(usize::MAX);
        if first_bytes > range.left_bytes && !range.found.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        let bytes = Bytes::from(self.range(position, range.left_bytes.max(first_bytes))?);
        let mut at = 0;
        while range.from <= self.last_index && range.from < range.upto {
            let place = position + as_u64(at);
            let rest = bytes.slice(at..);
            let Ok(head) = read_head(&rest) else { break };
            let Some(frame) = whole(&rest, &head) else {
                break;
            };
            at += frame.len();
            range.left_bytes = range.left_bytes.saturating_sub(frame.len());
            let found = self.entry(place, frame, &head, range.from, seed)?;
            if head.base_offset() != offset || Some(found.epoch) != epochs.of_entry(found.index) {
                return Err(self.corrupt(place, "frame does not continue the log"));
            }
            offset = head.end_offset();
            range.found.push(found);
            range.from = range.from.next();
        }
        if at == 0 {
            self.check_cut(position + first.head.size_bytes())?;
            return Err(self.corrupt(position, "frame reaches past the segment"));
        }
        let rest_wanted = range.from <= self.last_index && range.from < range.upto;
        Ok(if rest_wanted {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// The last membership entry up to `upto`.
    pub(crate) fn membership(
        &self,
        upto: EntryIndex,
        seed: Seed,
    ) -> Result<Option<(EntryIndex, Bytes)>, ReadError> {
        if let Some(compacted) = self.compacted() {
            let set = compacted.membership.as_ref();
            return Ok(set.filter(|(index, _)| *index <= upto).cloned());
        }
        let is_it =
            |place: &&ControlPlace| place.kind == ControlKind::Membership && place.index <= upto;
        let index = self.index()?;
        let Some(place) = index.controls().iter().filter(is_it).last() else {
            return Ok(None);
        };
        match self.control_at(place, seed)? {
            Control::Membership(content) => Ok(Some((place.index, content))),
            _ => Err(self.corrupt(place.position, "not the voter set that the index names")),
        }
    }

    /// The log start as of an entry of this segment; in a compacted one as of its end.
    pub(crate) fn log_start(
        &self,
        upto: EntryIndex,
        identity: &LogIdentity,
    ) -> Result<Offset, ReadError> {
        if let Some(compacted) = self.compacted() {
            return Ok(compacted.end.log_start);
        }
        let (header, _) = self.header(identity)?;
        let seed = Seed::new(identity, self.base_index);
        let mut log_start = header.log_start;
        for place in self.index()?.controls().iter() {
            if place.kind == ControlKind::LogStart
                && place.index <= upto
                && let Control::LogStart(offset) = self.control_at(place, seed)?
            {
                log_start = log_start.max(offset);
            }
        }
        Ok(log_start)
    }

    /// Reads a control frame that the index names.
    fn control_at(&self, place: &ControlPlace, seed: Seed) -> Result<Control, ReadError> {
        let len = usize::try_from(place.size_bytes).unwrap_or(usize::MAX);
        let bytes = self.range(place.position, len)?;
        match read_control(&bytes, seed) {
            Ok(frame) if frame.index == place.index => Ok(frame.control),
            _ => Err(self.corrupt(place.position, "control frame is not sound")),
        }
    }

    /// Checks one frame and its place.
    fn entry(
        &self,
        place: u64,
        frame: Bytes,
        head: &Head,
        index: EntryIndex,
        seed: Seed,
    ) -> Result<StoredEntry, ReadError> {
        if let Head::Batch(header) = head {
            let epoch = header.epoch;
            let batch =
                Batch::check(frame).map_err(|error| self.corrupt(place, &error.to_string()))?;
            return Ok(StoredEntry {
                index,
                epoch,
                entry: Entry::Batch(batch),
            });
        }
        let control = read_control(&frame, seed)
            .map_err(|_| self.corrupt(place, "control frame is not sound"))?;
        if control.index != index {
            return Err(self.corrupt(place, "control frame is not in its place"));
        }
        let epoch = control.epoch;
        let entry = Entry::of_control(control.control, epoch)
            .ok_or_else(|| self.corrupt(place, "segment header inside a segment"))?;
        Ok(StoredEntry {
            index,
            epoch,
            entry,
        })
    }
}

/// The first frame of `bytes`, if it is whole.
fn whole(bytes: &Bytes, head: &Head) -> Option<Bytes> {
    let size = usize::try_from(head.size_bytes()).ok()?;
    (size <= bytes.len()).then(|| bytes.slice(..size))
}
