//! The read side of a log: an immutable view, swapped as a whole by the writer.
//!
//! A [`LogReader`] is what other threads keep; [`LogReader::view`] gives the log as it is now, and that
//! view never changes. Positions in it are always in order:
//! `log_start <= last_stable <= high_watermark <= log_end`. The caller says with `upto` how far it may
//! see (the high watermark, or the last stable offset); nothing here hides what lies past it.

use std::ops::ControlFlow;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::epochs::EpochRuns;
use super::error::ReadError;
use crate::index::{AbortedTransaction, NO_TIMESTAMP};
use crate::position::{LeaderEpoch, Offset};
use crate::record::{Batch, BatchHeader};
use crate::scrub::Finding;
use crate::segment::Tail;
use crate::segment::chunk::Chunk;
use crate::segment::gather::{End, Gather};
use crate::segment::reader::{Found, Segment};

/// Gives the current view; cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct LogReader {
    pub(super) shared: Arc<ArcSwap<LogView>>,
}

impl LogReader {
    /// The log as it is now.
    pub fn view(&self) -> Arc<LogView> {
        self.shared.load_full()
    }
}

/// The log at one moment; never changes.
#[derive(Clone, Debug)]
pub struct LogView {
    pub(super) sealed: Arc<Vec<Segment>>,
    pub(super) sealed_bytes: u64,
    pub(super) active: Option<Segment>,
    pub(super) tail: Tail,
    pub(super) log_start: Offset,
    pub(super) high_watermark: Offset,
    pub(super) last_stable: Offset,
    pub(super) epochs: EpochRuns,
    pub(super) decompressed_bytes_max: usize,
}

impl LogView {
    /// The first offset there is.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset up to which transactions are decided; without transactions the high watermark.
    pub fn last_stable(&self) -> Offset {
        self.last_stable
    }

    /// The offset up to which entries are committed.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The offset after the last one written.
    pub fn log_end(&self) -> Offset {
        self.tail.offset
    }

    /// The newest epoch written.
    pub fn epoch(&self) -> LeaderEpoch {
        self.tail.epoch
    }

    /// The epoch that wrote the record at `offset`; at and past the log end the newest.
    pub fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        self.epochs.epoch_at(offset)
    }

    /// The greatest epoch not above `epoch`, and the offset where it ends (KIP-101).
    ///
    /// `None` if `epoch` is newer than all there are, or there are none.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset_for_epoch(epoch, self.tail.offset)
    }

    /// The bytes of the log on disk, preallocated room aside.
    pub fn size_bytes(&self) -> u64 {
        self.sealed_bytes + self.active.as_ref().map_or(0, |segment| segment.size_bytes)
    }

    /// The bytes of the segment that is being written.
    pub fn active_bytes(&self) -> u64 {
        self.active.as_ref().map_or(0, |segment| segment.size_bytes)
    }

    /// The greatest timestamp in the segment that is being written; `None` without records.
    pub fn active_max_timestamp(&self) -> Option<i64> {
        let max = self.active.as_ref()?.max_timestamp;
        (max != NO_TIMESTAMP).then_some(max)
    }

    /// The sealed segments, oldest first.
    pub(crate) fn sealed(&self) -> &[Segment] {
        &self.sealed
    }

    /// What the scrub found in the sealed segments.
    pub fn findings(&self) -> Vec<Finding> {
        let sealed = self.sealed.iter().filter_map(Segment::sealed_file);
        sealed.flat_map(|file| file.damage.findings()).collect()
    }

    /// The segments from the one in which `offset` lies.
    fn segments_from(&self, offset: Offset) -> impl Iterator<Item = &Segment> {
        let after = self
            .sealed
            .partition_point(|segment| segment.end_offset <= offset);
        self.sealed[after..].iter().chain(&self.active)
    }

    /// Whole batches from the one that contains `from`, all ending below `upto`, in at most `bytes_max`
    /// bytes; with `at_least_one` the first is given even if it alone is larger.
    ///
    /// The first batch may begin below `from`. Control frames are left out; `from` at the log end gives
    /// nothing. Each element is one or more batches; they follow each other in offset order. Waits for the
    /// disk where it must: what it gives is in memory, or mapped and read ahead.
    pub fn read(
        &self,
        from: Offset,
        upto: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Vec<Chunk>, ReadError> {
        let mut gather = Gather {
            from,
            upto,
            left_bytes: bytes_max,
            at_least_one,
            committed: upto <= self.high_watermark,
            resident_only: false,
            chunks: Vec::new(),
        };
        self.gather(&mut gather)?;
        Ok(gather.chunks)
    }

    /// What [`LogView::read`] gives, if all of it seems to be in memory; `None` if the disk would have to
    /// be waited for.
    pub fn read_resident(
        &self,
        from: Offset,
        upto: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Option<Vec<Chunk>>, ReadError> {
        let mut gather = Gather {
            from,
            upto,
            left_bytes: bytes_max,
            at_least_one,
            committed: upto <= self.high_watermark,
            resident_only: true,
            chunks: Vec::new(),
        };
        let end = self.gather(&mut gather)?;
        Ok((end == End::Complete).then_some(gather.chunks))
    }

    fn gather(&self, gather: &mut Gather) -> Result<End, ReadError> {
        let (log_start, log_end) = (self.log_start(), self.log_end());
        if gather.from < log_start || gather.from > log_end {
            return Err(ReadError::OutOfRange {
                offset: gather.from,
                log_start,
                log_end,
            });
        }
        gather.upto = gather.upto.min(log_end);
        for segment in self.segments_from(gather.from) {
            if segment.base_offset >= gather.upto {
                break;
            }
            let damage = segment
                .sealed_file()
                .and_then(|sealed| sealed.damage.from(gather.from));
            if let Some(damage) = damage {
                return sound_part(segment, gather, damage);
            }
            if let ControlFlow::Break(end) = segment.gather(gather)? {
                return Ok(end);
            }
        }
        Ok(End::Complete)
    }

    /// The aborted transactions that have records from `from` on and below `upto`, in the order of their
    /// markers: what a reader of committed records must leave out of that range.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        upto: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let mut found = Vec::new();
        for segment in self.segments_from(from) {
            if segment
                .aborted_transactions(from, upto, &mut found)?
                .is_break()
            {
                break;
            }
        }
        Ok(found)
    }

    /// The first record below `upto` whose timestamp is at least `timestamp_ms`, and its timestamp.
    ///
    /// Exact to the record; a batch whose records cannot be decoded is passed over.
    pub fn find_timestamp(
        &self,
        timestamp_ms: i64,
        upto: Offset,
    ) -> Result<Option<(Offset, i64)>, ReadError> {
        for segment in self.segments_from(self.log_start()) {
            if segment.base_offset >= upto {
                break;
            }
            if segment.max_timestamp < timestamp_ms {
                continue;
            }
            let found = segment.at_or_after_time(timestamp_ms, &mut |found| {
                if found.header.last_offset() >= upto {
                    return ControlFlow::Break(Ok(None));
                }
                match self.first_at(segment, &found, timestamp_ms) {
                    Ok(None) => ControlFlow::Continue(()),
                    other => ControlFlow::Break(other),
                }
            })?;
            if let Some(found) = found {
                return found;
            }
        }
        Ok(None)
    }

    /// The first of the records below `upto` that have the greatest timestamp, and that timestamp.
    pub fn max_timestamp(&self, upto: Offset) -> Result<Option<(Offset, i64)>, ReadError> {
        let mut greatest: Option<(i64, &Segment)> = None;
        for segment in self.segments_from(self.log_start()) {
            if segment.base_offset >= upto {
                break;
            }
            if let Some(max) = segment.max_timestamp_below(upto)?
                && greatest.is_none_or(|(before, _)| before < max)
            {
                greatest = Some((max, segment));
            }
        }
        let Some((max, segment)) = greatest else {
            return Ok(None);
        };
        let batch = segment.at_or_after_time(max, &mut ControlFlow::Break)?;
        let Some(batch) = batch else { return Ok(None) };
        let exact = self.first_at(segment, &batch, max)?;
        Ok(Some(exact.unwrap_or((batch.header.last_offset(), max))))
    }

    /// The first record of a batch at or after a time, at or past the log start.
    fn first_at(
        &self,
        segment: &Segment,
        found: &Found,
        timestamp_ms: i64,
    ) -> Result<Option<(Offset, i64)>, ReadError> {
        let bytes = segment.batch_bytes(found)?;
        let records =
            Batch::check_stored(bytes).and_then(|batch| batch.records(self.decompressed_bytes_max));
        let records = match records {
            Ok(records) => records,
            Err(error) => {
                let path = segment.path().display();
                tracing::warn!(%path, position = found.position, %error, "batch passed over in a look-up by time");
                return Ok(None);
            }
        };
        let mut matching = records
            .iter()
            .filter(|record| record.timestamp >= timestamp_ms && record.offset >= self.log_start());
        Ok(matching
            .next()
            .map(|record| (record.offset, record.timestamp)))
    }

    /// Gives the headers of the data batches from the one that contains `from` on.
    pub(super) fn replay(
        &self,
        from: Offset,
        each: &mut dyn FnMut(&BatchHeader),
    ) -> Result<(), ReadError> {
        for segment in self.segments_from(from) {
            segment.replay(from, each)?;
        }
        Ok(())
    }
}

/// What lies before the damaged bytes of a segment; an error if the range begins with them.
fn sound_part(segment: &Segment, gather: &mut Gather, damage: Finding) -> Result<End, ReadError> {
    let begin = gather.from.max(segment.base_offset);
    if damage.offsets.start > begin {
        gather.upto = gather.upto.min(damage.offsets.start);
        let end = segment.gather(gather)?;
        return Ok(end.break_value().unwrap_or(End::Complete));
    }
    if gather.chunks.is_empty() {
        return Err(ReadError::Damaged {
            file: damage.path,
            position: damage.position,
            reason: damage.reason,
        });
    }
    Ok(End::Complete)
}
