//! The log of one partition: one writer that stages, writes and syncs; any number of readers.
//!
//! ```text
//!   append          write            SyncPoint::run (worker)      synced
//!   staged  ----->  page cache ----> disk, then the hint  ----->  flushed
//!                   '-- seen by readers (LogView)
//! ```
//!
//! - Order of positions: `log_start <= last_stable <= high_watermark <= log_end`, `flushed <= log_end`.
//! - All that is staged goes out in one vectored write; one sync is outstanding at a time, and what
//!   arrives meanwhile forms the next round (group commit).
//! - **At most 4 MiB are written and not synced, or one batch where a batch is larger**, and a new
//!   segment is begun only when the one before is synced with its ROLL. Recovery rests on both. So
//!   [`Log::write`] may leave entries staged; [`Log::synced`] goes on with them.
//! - The first failed write or sync closes the log to writes until it is opened anew; reads go on.
//!
//! Reading is in `view`, opening in `recovery`, the sync round in `sync`.

mod config;
mod entry;
pub(crate) mod epochs;
mod error;
pub(crate) mod hint;
mod recovery;
mod sync;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

pub use config::{LogConfig, LogIdentity};
pub use entry::Entry;
pub use error::{AppendError, OpenError, ReadError, WriteError};
pub use sync::{SyncDone, SyncPoint};
pub use view::{LogReader, LogView};

use crate::fs::{Disk, read_atomic, write_atomic};
use crate::index::file::Summary;
use crate::index::{IndexBuilder, NO_TIMESTAMP};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::BatchHeader;
use crate::segment::format::{
    Control, ControlFrame, Seed, SegmentHeader, as_u64, crc_field, write_control,
};
use crate::segment::reader::{SealedFile, Segment};
use crate::segment::writer::{Start, Writer};
use crate::segment::{Tail, file_name, index_name};
use entry::{NextSegment, Queue, Staged, StagedFrame};
use epochs::{EpochRun, EpochRuns};
use hint::{Hint, HintFile};
use sync::Seal;

/// The most that is written and not synced, unless a single batch is larger (replication.md, recovery 1).
pub(crate) const GROUP_BYTES_MAX: u64 = 4 << 20;

/// The write side of one partition's log; owned by one thread.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: LogIdentity,
    config: LogConfig,
    hint: Arc<HintFile>,
    shared: Arc<ArcSwap<LogView>>,
    queue: Queue,
    /// The end of what is written: what readers see.
    written: Tail,
    /// The end of what is known durable; moved by `synced`.
    flushed: Tail,
    /// Written after `flushed`.
    unsynced_bytes: u64,
    /// The file being written; `None` until the first write after the start or a sealed ROLL.
    active: Option<Active>,
    /// What the next segment's header will say.
    next: NextSegment,
    sealed: Arc<Vec<Segment>>,
    sealed_bytes: u64,
    epochs: EpochRuns,
    high_watermark: Offset,
    /// Whether a file was made whose name is not synced.
    names_unsynced: bool,
    sync_outstanding: bool,
    closed: Option<WriteError>,
}

/// The active segment and what its summary will need.
#[derive(Debug)]
struct Active {
    writer: Writer,
    path: Arc<Path>,
    runs: Vec<EpochRun>,
    /// Where its ROLL lies, once written: nothing follows until that is synced.
    rolled: Option<u64>,
}

impl Log {
    /// Creates the log in `dir`, or recovers it by the four rules of `recovery`.
    ///
    /// When this returns everything readers see is durable. The high watermark starts at the hint.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: LogIdentity,
        config: LogConfig,
    ) -> Result<Log, OpenError> {
        recovery::open(disk, dir, identity, config)
    }

    /// A handle for readers.
    pub fn reader(&self) -> LogReader {
        LogReader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The first offset there is.
    pub fn log_start(&self) -> Offset {
        self.written.log_start
    }

    /// The offset after the last one written.
    pub fn log_end(&self) -> Offset {
        self.written.offset
    }

    /// The offset after the last one staged: what the next batch is stamped with.
    pub fn next_offset(&self) -> Offset {
        self.queue.tail.offset
    }

    /// Everything below is durable.
    pub fn flushed(&self) -> Offset {
        self.flushed.offset
    }

    /// The last durable entry.
    pub fn flushed_index(&self) -> EntryIndex {
        self.flushed.index
    }

    /// The index of the last entry staged.
    pub fn last_index(&self) -> EntryIndex {
        self.queue.tail.index
    }

    /// The epoch of the last entry staged: what the next batch is stamped with.
    pub fn epoch(&self) -> LeaderEpoch {
        self.queue.tail.epoch
    }

    /// Whether entries are staged that are not written yet (see [`Log::write`]).
    pub fn has_staged(&self) -> bool {
        !self.queue.entries.is_empty()
    }

    /// Why the log is closed to writes.
    pub fn write_error(&self) -> Option<&WriteError> {
        self.closed.as_ref()
    }

    /// Stages an entry and gives its index. Nothing is written, nothing copied.
    pub fn append(&mut self, entry: Entry) -> Result<EntryIndex, AppendError> {
        if let Some(error) = &self.closed {
            return Err(error.clone().into());
        }
        let tail = self.queue.tail;
        let (offset, epoch) = match &entry {
            Entry::Batch(batch) => (batch.base_offset(), batch.header().epoch),
            Entry::NoOp { term } => (tail.offset, (*term).max(tail.epoch)),
            _ => (tail.offset, tail.epoch),
        };
        let continues = match &entry {
            Entry::Batch(_) => offset == tail.offset && epoch == tail.epoch,
            Entry::NoOp { term } => *term >= tail.epoch,
            Entry::LogStart { offset } => *offset <= tail.offset,
            Entry::Roll { .. } | Entry::Membership { .. } => true,
        };
        if !continues {
            let (log_end, log_epoch) = (tail.offset, tail.epoch);
            return Err(AppendError::Discontinuous {
                offset,
                epoch,
                log_end,
                log_epoch,
            });
        }
        let identity = self.identity;
        let seed = |base_index| Seed::new(&identity, base_index);
        match entry {
            Entry::Batch(batch) => self.queue.push_batch(batch),
            Entry::NoOp { .. } => self.queue.push_control(epoch, Control::NoOp, seed),
            Entry::Roll { at_ms } => self
                .queue
                .push_control(epoch, Control::Roll { at_ms }, seed),
            Entry::LogStart { offset } => {
                self.queue
                    .push_control(epoch, Control::LogStart(offset), seed);
            }
            Entry::Membership { content } => {
                self.queue
                    .push_control(epoch, Control::Membership(content), seed);
            }
        }
        Ok(self.queue.tail.index)
    }

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
        let room_bytes = GROUP_BYTES_MAX.saturating_sub(self.unsynced_bytes);
        let (count, bytes) = self.queue.group(room_bytes, self.unsynced_bytes == 0);
        if count == 0 || waits {
            return Ok(self.written.offset);
        }
        if let Err(error) = self.write_group(count, bytes) {
            self.closed = Some(error.clone());
            return Err(error);
        }
        self.publish();
        Ok(self.written.offset)
    }

    fn write_group(&mut self, count: usize, bytes: u64) -> Result<(), WriteError> {
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
                StagedFrame::Control(frame) | StagedFrame::Roll { frame, .. } => {
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
            index: IndexBuilder::new(self.config.index_interval_bytes),
        };
        let writer =
            Writer::create(&*self.disk, &path, start).map_err(WriteError::new("create", &path))?;
        self.names_unsynced = true;
        Ok(Active {
            writer,
            path: path.into(),
            runs: Vec::new(),
            rolled: None,
        })
    }

    /// What is written and not synced; `None` if there is nothing, one sync is outstanding, or the log
    /// is closed.
    pub fn sync_point(&mut self) -> Option<SyncPoint> {
        if self.sync_outstanding || self.closed.is_some() || self.unsynced_bytes == 0 {
            return None;
        }
        let active = self.active.as_ref()?;
        let seal = active.rolled.map(|roll_position| Seal {
            index_path: self.index_path(active),
            summary: Summary {
                segment_bytes: active.writer.position,
                header_crc: active.writer.header_crc,
                roll_position,
                tail: self.written,
                max_timestamp: active.writer.index.max_timestamp(),
                runs: active.runs.clone(),
            },
            index: active.writer.index.index().clone(),
        });
        let point = SyncPoint {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            path: active.writer.path.clone(),
            file: Arc::clone(&active.writer.file),
            names: std::mem::take(&mut self.names_unsynced),
            seal,
            hint: Arc::clone(&self.hint),
            tail: self.written,
            bytes: self.unsynced_bytes,
        };
        self.sync_outstanding = true;
        Some(point)
    }

    fn index_path(&self, active: &Active) -> PathBuf {
        self.dir.join(index_name(
            active.writer.base_offset,
            active.writer.base_index,
        ))
    }

    /// Takes note of a sync, writes what the sync made room for, and returns the flushed offset.
    pub fn synced(&mut self, done: SyncDone) -> Result<Offset, WriteError> {
        self.sync_outstanding = false;
        if let Err(error) = done.result {
            return Err(self.closed.get_or_insert(error).clone());
        }
        self.flushed = done.tail;
        self.unsynced_bytes -= done.bytes;
        if done.sealed
            && let Some(active) = self.active.take()
        {
            self.seal(active);
            self.publish();
        }
        self.write()?;
        Ok(self.flushed.offset)
    }

    /// Hands a synced, rolled file to the readers as a segment that never changes again.
    fn seal(&mut self, active: Active) {
        let index_path = self.index_path(&active);
        let Writer {
            path,
            file,
            base_offset,
            position,
            index,
            ..
        } = active.writer;
        let sealed = SealedFile {
            disk: Arc::clone(&self.disk),
            path,
            index_path,
            index_interval_bytes: self.config.index_interval_bytes,
            file: OnceLock::from(file),
            index: OnceLock::from(index.index().clone()),
        };
        let max_timestamp = index.max_timestamp();
        let segment = Segment::sealed(
            base_offset,
            self.written.offset,
            position,
            max_timestamp,
            sealed,
        );
        Arc::make_mut(&mut self.sealed).push(segment);
        self.sealed_bytes += position;
    }

    /// Shows readers the log as it is now.
    fn publish(&self) {
        let active = self.active.as_ref().map(|active| {
            Segment::active(
                active.writer.base_offset,
                self.written.offset,
                active.writer.position,
                &active.path,
                &active.writer.file,
                &active.writer.index,
            )
        });
        self.shared.store(Arc::new(LogView {
            sealed: Arc::clone(&self.sealed),
            sealed_bytes: self.sealed_bytes,
            active,
            tail: self.written,
            high_watermark: self.high_watermark.max(self.written.log_start),
            epochs: self.epochs.clone(),
            decompressed_bytes_max: self.config.decompressed_bytes_max,
        }));
    }

    /// Shows readers a new high watermark (and, without transactions, last stable offset).
    ///
    /// It is held between the log start and the log end, and does not go back.
    pub fn set_high_watermark(&mut self, offset: Offset) {
        let offset = offset.min(self.written.offset).max(self.written.log_start);
        if offset > self.high_watermark {
            self.high_watermark = offset;
            let mut view = LogView::clone(&self.shared.load());
            view.high_watermark = offset;
            self.shared.store(Arc::new(view));
        }
    }

    /// Whether the leader should append a [`Entry::Roll`] before a batch of this size: the segment would
    /// outgrow its limit, or is too old. A segment without data is never rolled.
    ///
    /// Age counts from the ROLL before; in the first segment from its first batch's timestamp.
    pub fn should_roll(&self, next_batch_bytes: usize, now_ms: i64) -> bool {
        if !self.queue.segment_has_data {
            return false;
        }
        let size = self
            .queue
            .segment_bytes
            .saturating_add(as_u64(next_batch_bytes));
        if size > self.config.segment_bytes_max {
            return true;
        }
        let Some(active) = &self.active else {
            return false;
        };
        if active.rolled.is_some() || self.queue.entries.iter().any(Staged::is_roll) {
            return false;
        }
        let created_ms = match (
            active.writer.created_ms,
            active.writer.index.first_timestamp(),
        ) {
            (-1, NO_TIMESTAMP) => return false,
            (-1, first) => first,
            (created_ms, _) => created_ms,
        };
        now_ms.saturating_sub(created_ms) > self.config.segment_age_ms_max
    }

    /// Gives the headers of the written data batches from the one that contains `from` on.
    pub fn replay(
        &self,
        from: Offset,
        each: &mut dyn FnMut(&BatchHeader),
    ) -> Result<(), ReadError> {
        self.shared.load().replay(from, each)
    }

    /// Replaces a checksummed file beside the log, durably.
    pub fn write_side_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        write_atomic(&*self.disk, &self.dir.join(name), bytes)
    }

    /// Reads it back; `None` if it was never written.
    pub fn read_side_file(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_atomic(&*self.disk, &self.dir.join(name)).map_err(io::Error::other)
    }

    /// Writes and syncs everything, trims the preallocated room and settles the hint.
    ///
    /// A [`SyncPoint`] that is outstanding must have come back first; otherwise its failure could be
    /// lost, so the log is left for recovery and an error returned.
    pub fn close(mut self) -> Result<(), WriteError> {
        if self.sync_outstanding {
            let error = io::Error::other("a sync is outstanding");
            return Err(WriteError::new("close", &self.dir)(error));
        }
        self.write()?;
        while let Some(point) = self.sync_point() {
            self.synced(point.run())?;
        }
        if let Some(active) = &self.active {
            let Writer {
                path,
                file,
                position,
                ..
            } = &active.writer;
            file.set_size(*position)
                .map_err(WriteError::new("trim", path))?;
            file.sync_data().map_err(WriteError::new("sync", path))?;
        }
        let settle = self.hint.settle(Hint::of(self.written));
        settle.map_err(WriteError::new("write", self.hint.path()))
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
            active
                .writer
                .index
                .batch(header.base_offset, position, header.max_timestamp);
        }
        StagedFrame::Roll {
            next: after_roll, ..
        } => {
            active.rolled = Some(position);
            *next = *after_roll;
        }
        StagedFrame::Control(_) => {}
    }
    if let Some(run) = EpochRun::begins(before, &staged.after) {
        active.runs.push(run);
        epochs.push(run);
    }
}
