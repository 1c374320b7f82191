//! The write of one group: everything staged that may go out now, in one vectored write.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use super::entry::{NextSegment, Staged, StagedFrame};
use super::epochs::{EpochRun, EpochRuns};
use super::error::WriteError;
use super::{GROUP_BYTES_MAX, Log};
use crate::index::file::{Kept, Pending, SegmentName};
use crate::index::{ControlPlace, IndexBuilder};
use crate::planted::{Mistake, planted};
use crate::position::{EntryIndex, Offset};
use crate::segment::format::{
    Control, ControlFrame, Seed, SegmentHeader, as_u64, crc_field, kind_field, write_control,
};
use crate::segment::reader::Segment;
use crate::segment::writer::{Start, Writer};
use crate::segment::{Tail, file_name};

/// The active segment and what its summary will need.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) writer: Writer,
    pub(super) runs: Vec<EpochRun>,
    /// How much of its index lies in its file.
    pub(super) kept: Kept,
    /// Where its ROLL lies, once written: nothing follows until that is synced.
    pub(super) rolled: Option<u64>,
}

/// A part of the active segment's index is written each time the segment has grown by so much: what a
/// start after a crash has to read again below the hint. Parts are appended, so a smaller value costs no
/// more bytes, only more calls.
const INDEX_PART_BYTES: u64 = 4 << 20;

impl Active {
    /// The part of the index that is to be written with the sync of everything up to `tail`: when the
    /// segment ends, or has grown enough.
    pub(super) fn due_index(&self, path: PathBuf, tail: Tail) -> Option<Pending> {
        let grown_bytes = self.writer.position - self.kept.segment_bytes;
        (self.rolled.is_some() || grown_bytes >= INDEX_PART_BYTES).then(|| self.index(path, tail))
    }

    /// What of the index does not lie in its file yet.
    pub(super) fn index(&self, path: PathBuf, tail: Tail) -> Pending {
        Pending {
            path,
            name: SegmentName {
                base_offset: self.writer.base_offset,
                base_index: self.writer.base_index,
                header_crc: self.writer.header_crc,
            },
            kept: self.kept,
            builder: self.writer.index.clone(),
            runs: self.runs.clone(),
            end: self.writer.position,
            tail,
            roll_position: self.rolled,
        }
    }
}

impl Log {
    /// Writes what is staged in one vectored write, and returns the new log end.
    ///
    /// Entries stay staged where the bound on unsynced bytes or a ROLL that waits for its sync hold them
    /// back; [`Log::synced`] writes them. The caller then finds the new end in [`Log::log_end`].
    pub fn write(&mut self) -> Result<Offset, WriteError> {
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        let waits = self
            .active
            .as_ref()
            .is_some_and(|active| active.rolled.is_some());
        let room_bytes = match GROUP_BYTES_MAX.saturating_sub(self.unsynced_bytes) {
            _ if planted(Mistake::GroupBeyondBound) => u64::MAX,
            room_bytes => room_bytes,
        };
        let (count, bytes) = self.queue.group(room_bytes, self.unsynced_bytes == 0);
        if count == 0 || waits {
            return Ok(self.written.offset);
        }
        if let Err(error) = self.write_group(count, bytes) {
            self.closed = Some(error.clone());
            return Err(error);
        }
        self.marks.settle(&self.written);
        self.publish();
        Ok(self.written.offset)
    }

    /// Gives back what an idle log holds for its next writes and reads: room in the file, the indexes and
    /// open files of sealed segments (a reader loads them again).
    ///
    /// Called every now and then; idle is a log to which nothing was appended since the call before. A
    /// failure closes the log to writes.
    pub fn trim_idle(&mut self) -> Result<(), WriteError> {
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        let last = self.last_index();
        let is_idle =
            self.idle_at == last && self.flushed == self.written && !self.sync_outstanding;
        self.idle_at = last;
        if !is_idle || self.has_staged() {
            return Ok(());
        }
        self.queue.entries.shrink_to_fit();
        if self
            .sealed
            .iter()
            .any(|segment| segment.at_rest().is_some())
        {
            let rest = |segment: &Segment| segment.at_rest().unwrap_or_else(|| segment.clone());
            self.sealed = Arc::new(self.sealed.iter().map(rest).collect());
            self.publish();
        }
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let trimmed = active.writer.trim();
        trimmed.map(|_| ()).map_err(|error| {
            let error = WriteError::new("trim", &active.writer.path)(error);
            self.closed.insert(error).clone()
        })
    }

    fn write_group(&mut self, count: usize, bytes: u64) -> Result<(), WriteError> {
        if count == 1 {
            self.note_largest(bytes)?;
        }
        let mut header = Vec::new();
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.begin_segment(&mut header)?,
        };
        let mut slices = Vec::with_capacity(2 * count + 1);
        slices.push(IoSlice::new(&header));
        for staged in self.queue.entries.iter().take(count) {
            match &staged.frame {
                StagedFrame::Batch(batch) => slices.extend(batch.parts().map(IoSlice::new)),
                StagedFrame::Control { frame, .. } | StagedFrame::Roll { frame, .. } => {
                    slices.push(IoSlice::new(frame));
                }
            }
        }
        let len = bytes + as_u64(header.len());
        let mut position = active.writer.position + as_u64(header.len());
        active
            .writer
            .write(&mut slices, len, self.config.segment_bytes_max)
            .map_err(WriteError::new("write", &active.writer.path))?;
        self.unsynced_bytes += len;
        drop(slices);
        for staged in self.queue.entries.drain(..count) {
            note_written(
                &mut active,
                &mut self.next,
                &mut self.epochs,
                &self.written,
                &staged,
                position,
            );
            position += staged.size_bytes();
            self.written = staged.after;
        }
        self.active = Some(active);
        Ok(())
    }

    /// Makes the next segment's file and its header frame (written with the first group).
    fn begin_segment(&mut self, header: &mut Vec<u8>) -> Result<Active, WriteError> {
        let (base_offset, base_index) = (self.written.offset, self.written.index.next());
        let path = self.dir.join(file_name(base_offset, base_index));
        let seed = Seed::new(&self.identity, base_index);
        let segment = SegmentHeader {
            identity: self.identity,
            log_start: self.written.log_start,
            created_ms: self.next.created_ms,
            previous_crc: self.next.previous_crc,
        };
        let control = Control::SegmentHeader(segment);
        let epoch = self.written.epoch;
        let frame = ControlFrame {
            offset: base_offset,
            epoch,
            index: base_index,
            control,
        };
        *header = write_control(&frame, seed);
        let start = Start {
            base_offset,
            base_index,
            seed,
            header_crc: crc_field(header),
            created_ms: self.next.created_ms,
            position: 0,
            allocated: 0,
            index: IndexBuilder::new(
                self.config.index_interval_bytes,
                self.open_transactions.clone(),
            ),
        };
        let writer =
            Writer::create(&*self.disk, &path, start).map_err(WriteError::new("create", &path))?;
        self.names_unsynced = true;
        let mut active = Active {
            writer,
            runs: Vec::new(),
            kept: Kept::default(),
            rolled: None,
        };
        note_control(&mut active, header, base_index, 0);
        Ok(active)
    }
}

/// Takes a written entry into the index and the epochs of its segment.
fn note_written(
    active: &mut Active,
    next: &mut NextSegment,
    epochs: &mut EpochRuns,
    before: &Tail,
    staged: &Staged,
    position: u64,
) {
    match &staged.frame {
        StagedFrame::Batch(batch) => {
            let header = batch.header();
            let marker = batch.control_marker().map(|marker| marker.kind);
            active
                .writer
                .index
                .batch(header, staged.after.index, position, marker);
        }
        StagedFrame::Roll {
            next: after_roll,
            frame,
        } => {
            active.rolled = Some(position);
            *next = *after_roll;
            note_control(active, frame, staged.after.index, position);
        }
        StagedFrame::Control { frame, .. } => {
            note_control(active, frame, staged.after.index, position);
        }
    }
    if let Some(run) = EpochRun::begins(before, &staged.after) {
        active.runs.push(run);
        epochs.push(run);
    }
}

fn note_control(active: &mut Active, frame: &[u8], index: EntryIndex, position: u64) {
    active.writer.index.control(ControlPlace {
        position,
        size_bytes: u32::try_from(frame.len()).expect("a control frame is below 2 GiB"),
        index,
        kind: kind_field(frame).expect("a frame that was just encoded"),
    });
}
