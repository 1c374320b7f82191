//! Taking back entries that were never committed: a new leader's log differs from here on.
//!
//! In this order, so that a crash anywhere leaves a shorter or longer prefix of the log, never a hole and
//! never bytes that could be taken for entries again:
//!
//! 1. the hint is lowered and durable, for recovery refuses a log that ends below it;
//! 2. the views that have the entries are cut (`segment/cut`), whoever holds them;
//! 3. segment files behind the one that is cut are removed, newest first, each removal durable;
//! 4. a sealed segment that is cut loses its index file (durably: what is appended may give it the same
//!    size again) and becomes the active one;
//! 5. the file is cut and synced.
//!
//! Entries that are only staged are dropped without a trace.
//!
//! Over several segments this is not one step: **a crash between two removals leaves a longer prefix than was
//! asked for**, and that is as good as a crash before the truncation began. What is too much conflicts with a
//! leader of a later term, so it was never committed; it lies above the lowered hint, so no start takes it for
//! committed; and nobody was told that it is gone, for the reply to that leader waits for the entries in its
//! place, which are appended only when the truncation is durable. The leader meets the conflict again and has
//! it taken back again (`tests/proofs/overwrite.rs`: from every such state a follower arrives at the leader's
//! log). To lose less than all of it is no harm either: votes compare last entries, and whatever was committed
//! lies below the end that was asked for.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Log;
use super::entry::{NextSegment, Queue};
use super::error::{ReadError, WriteError};
use super::hint::Hint;
use super::write::Active;
use crate::fs::OpenMode;
use crate::index::OpenTransactions;
use crate::index::file::{self as index_file, Kept, Resumed, SegmentName};
use crate::planted::{Mistake, planted};
use crate::position::EntryIndex;
use crate::segment::format::{SEGMENT_HEADER_BYTES, Seed, as_u64, crc_field};
use crate::segment::reader::Segment;
use crate::segment::scan::{Expected, Scan, resume, scan, scan_on};
use crate::segment::writer::{Start, Writer};
use crate::segment::{Tail, index_name};

/// Where the log will end.
struct Plan {
    tail: Tail,
    /// The segments from here on are removed; the one before is the last.
    kept: usize,
    /// What the last segment is read as, cut; `None` if it stays as it is, sealed.
    cut: Option<Scan>,
    /// What the segment after the last will start from.
    next: NextSegment,
}

impl Log {
    /// Whether a sync is outstanding: [`Log::truncate`] has to wait for its end.
    pub fn is_syncing(&self) -> bool {
        self.sync_outstanding
    }

    /// Takes back every entry after `last`; durable when this returns.
    ///
    /// `lower` is called first if the flushed hint lies above, with what it must be lowered to; what it
    /// did is durable when it returns. Committed entries, entries before [`Log::first_index`], and a log
    /// with a sync outstanding are refused without harm; any other failure closes the log to writes.
    pub fn truncate(
        &mut self,
        last: EntryIndex,
        lower: &mut dyn FnMut(Hint) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        if last >= self.queue.tail.index {
            return Ok(());
        }
        self.check_truncation(last)?;
        if last < self.written.index
            && let Err(error) = self.truncate_written(last, lower)
        {
            self.closed = Some(error.clone());
            return Err(error);
        }
        let written = self.queue_at_written();
        let identity = self.identity;
        self.queue
            .rewind(last, written, |base_index| Seed::new(&identity, base_index));
        self.marks.truncate(&self.queue.tail);
        self.publish();
        Ok(())
    }

    fn check_truncation(&self, last: EntryIndex) -> Result<(), WriteError> {
        let reason = if last < self.marks.committed {
            format!("entries up to {} are committed", self.marks.committed)
        } else if last.next() < self.first_index {
            format!("entries before {} are fixed", self.first_index)
        } else if self.sync_outstanding && last < self.written.index {
            "a sync is outstanding".to_owned()
        } else {
            return Ok(());
        };
        Err(WriteError::new("truncate", &self.dir)(io::Error::other(
            reason,
        )))
    }

    fn truncate_written(
        &mut self,
        last: EntryIndex,
        lower: &mut dyn FnMut(Hint) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let view = self.shared.load_full();
        let segments: Vec<&Segment> = view.sealed.iter().chain(&view.active).collect();
        let plan = self.plan(&segments, last).map_err(|error| {
            WriteError::new("truncate", &self.dir)(io::Error::other(error.to_string()))
        })?;
        if self.flushed.index > last && !planted(Mistake::HintNotLowered) {
            let hint = Hint::of(plan.tail);
            lower(hint).map_err(WriteError::new("lower the hint of", &self.dir))?;
        }
        let cut_at = plan.cut.as_ref().map(|scan| scan.end);
        if let (Some(position), Some(segment)) = (cut_at, segments.get(plan.kept - 1)) {
            segment.cut().lower(position);
        }
        for segment in &segments[plan.kept..] {
            segment.cut().lower(0);
        }
        let mut gone = segments[plan.kept..].to_vec();
        if !planted(Mistake::TruncatedOldestFirst) {
            gone.reverse();
        }
        self.remove_in_order(&gone)?;
        self.settle_on(plan, &segments)
    }

    /// Finds the new end; reads, changes nothing.
    fn plan(&self, segments: &[&Segment], last: EntryIndex) -> Result<Plan, ReadError> {
        let kept = segments
            .partition_point(|segment| segment.base_index <= last)
            .max(1);
        let target = segments.get(kept - 1).copied();
        let target = target.expect("what is written lies in a segment");
        if target.last_index == last
            && let Some(after) = segments.get(kept)
        {
            let (header, tail) = after.header(&self.identity)?;
            return Ok(Plan {
                tail,
                kept,
                cut: None,
                next: NextSegment {
                    created_ms: header.created_ms,
                    previous_crc: header.previous_crc,
                },
            });
        }
        let position = if last < target.base_index {
            as_u64(SEGMENT_HEADER_BYTES)
        } else {
            target.place_of_entry(last.next())?.position
        };
        let scan = self.scan_prefix(target, position)?;
        // as before a ROLL that goes with what is cut: what the header of the segment itself said
        let next = scan.header.map_or(self.next, |header| NextSegment {
            created_ms: header.created_ms,
            previous_crc: header.previous_crc,
        });
        Ok(Plan {
            tail: scan.tail,
            kept,
            cut: Some(scan),
            next,
        })
    }

    /// Reads a segment up to a frame's end; whatever is not sound there is corruption.
    fn scan_prefix(&self, segment: &Segment, position: u64) -> Result<Scan, ReadError> {
        let expected = Expected {
            identity: &self.identity,
            base_offset: segment.base_offset,
            base_index: segment.base_index,
            before: None,
            open: self.open_before(segment),
            hint: None,
            index_interval_bytes: self.config.index_interval_bytes,
        };
        let file = &**segment.file()?;
        let scan = match self.kept_index(segment, position)? {
            Some(kept) => resume(file, position, &expected, kept).map(|begun| match begun {
                Some(begun) => scan_on(file, position, &expected, begun),
                None => scan(file, position, &expected),
            }),
            None => Ok(scan(file, position, &expected)),
        };
        let scan = scan.flatten().map_err(ReadError::io(segment.path()))?;
        match &scan.stop {
            None if scan.end == position => Ok(scan),
            stop => Err(segment.corrupt(scan.end, &format!("{stop:?}"))),
        }
    }

    /// The index of a segment as far as it was kept below a position: what lies before is not read again.
    fn kept_index(&self, segment: &Segment, position: u64) -> Result<Option<Resumed>, ReadError> {
        let header = segment.range(0, SEGMENT_HEADER_BYTES)?;
        let name = SegmentName {
            base_offset: segment.base_offset,
            base_index: segment.base_index,
            header_crc: crc_field(&header),
        };
        Ok(index_file::resume(
            &*self.disk,
            &self.index_path_of(segment),
            &name,
            self.config.index_interval_bytes,
            |end| end.end <= position,
        ))
    }

    /// The transactions open where a segment begins.
    fn open_before<'a>(&'a self, segment: &'a Segment) -> &'a OpenTransactions {
        segment.open_before().unwrap_or(&self.open_transactions)
    }

    /// Cuts the last segment's file and takes the new end as what is written and durable.
    fn settle_on(&mut self, plan: Plan, segments: &[&Segment]) -> Result<(), WriteError> {
        let next = plan.kept - usize::from(plan.cut.is_some());
        self.open_transactions = self.open_before(segments[next]).clone();
        let active = match plan.cut {
            None => None,
            Some(scan) => Some(self.cut_file(segments[plan.kept - 1], scan)?),
        };
        let sealed = plan.kept - usize::from(active.is_some());
        Arc::make_mut(&mut self.sealed).truncate(sealed);
        self.sealed_bytes = self.sealed.iter().map(|segment| segment.size_bytes).sum();
        self.active = active;
        self.next = plan.next;
        if self.names_unsynced {
            self.sync_names()?;
        }
        self.epochs.truncate(plan.tail.index);
        self.written = plan.tail;
        self.flushed = plan.tail;
        self.unsynced_bytes = 0;
        Ok(())
    }

    /// Cuts a file, durably, and makes it the active one.
    fn cut_file(&mut self, segment: &Segment, scan: Scan) -> Result<Active, WriteError> {
        let path = segment.path();
        self.remove_index(segment)?;
        let file = match self.active.take() {
            // what is left of its index is compared with the log, the names need no sync
            Some(active) if &*active.writer.path == path => active.writer.file,
            _ => {
                self.sync_names()?;
                let opened = self.disk.open(path, OpenMode::Write);
                opened.map_err(WriteError::new("open", path))?
            }
        };
        file.set_size(scan.end)
            .map_err(WriteError::new("truncate", path))?;
        if !planted(Mistake::TruncationNotSynced) {
            file.sync_data().map_err(WriteError::new("sync", path))?;
        }
        let start = Start {
            base_offset: segment.base_offset,
            base_index: segment.base_index,
            seed: self.seed_of(segment),
            header_crc: scan.header_crc,
            created_ms: scan.header.map_or(-1, |header| header.created_ms),
            position: scan.end,
            allocated: scan.end,
            index: scan.index,
        };
        Ok(Active {
            writer: Writer::open(path, file, start),
            runs: scan.runs,
            kept: Kept::default(),
            rolled: None,
        })
    }

    /// An empty queue behind what is written.
    fn queue_at_written(&self) -> Queue {
        match &self.active {
            Some(active) if active.rolled.is_none() => {
                let writer = &active.writer;
                let has_data = writer.index.index().len() > 0;
                Queue::new(self.written, writer.seed, writer.position, has_data)
            }
            _ => {
                let seed = Seed::new(&self.identity, self.written.index.next());
                let segment_bytes = as_u64(SEGMENT_HEADER_BYTES);
                Queue::new(self.written, seed, segment_bytes, false)
            }
        }
    }

    /// Removes segments, each durably before the next.
    fn remove_in_order(&mut self, segments: &[&Segment]) -> Result<(), WriteError> {
        for segment in segments {
            self.remove_index(segment)?;
            self.disk
                .remove(segment.path())
                .map_err(WriteError::new("remove", segment.path()))?;
            self.sync_names()?;
        }
        Ok(())
    }

    fn remove_index(&self, segment: &Segment) -> Result<(), WriteError> {
        let path = self.index_path_of(segment);
        index_file::remove(&*self.disk, &path).map_err(WriteError::new("remove", &path))
    }

    fn index_path_of(&self, segment: &Segment) -> PathBuf {
        self.dir
            .join(index_name(segment.base_offset, segment.base_index))
    }

    fn sync_names(&mut self) -> Result<(), WriteError> {
        self.disk
            .sync_dir(&self.dir)
            .map_err(WriteError::new("sync", &self.dir))?;
        self.names_unsynced = false;
        Ok(())
    }
}
