//! What a log was when it was closed, so that the next start need not read it.
//!
//! ```text
//! version u16 | end offset i64 | end index u64 | end epoch i32 | log start i64
//! created ms i64 | CRC field of the last ROLL u32                      for the last segment's header
//! count u32 | { epoch i32 | start offset i64 | index u64 }             runs of the whole log
//! count u32 | { producer id i64 | first offset i64 }                   transactions open where the last begins
//! count u32 | { index u64 | offset i64 }                               log starts and their entries
//! sealed u32 | { segment | greatest timestamp i64 | aborts u8 | earliest open i64 (-1: none)
//!               | transactions open where it begins }
//! active u8 | segment                                                  0 or 1
//! segment: base offset i64 | base index u64 | generation u32 | end offset i64 | last index u64 | size u64
//! ```
//!
//! Made by [`Log::close`] when everything is durable, kept by the data directory for one start, and gone
//! (durably) before anything is written. It counts only if the directory holds exactly the files that it
//! names, with their sizes, if it does not contradict the flushed hint, and if the index of the last
//! segment covers all of it and its last frame is where that says. Then nothing else is read, and nothing
//! synced. Otherwise the log is recovered as after a crash.

use bytes::{Buf, BufMut};

use super::Log;
use super::entry::NextSegment;
use super::epochs::{EpochRun, EpochRuns};
use super::error::OpenError;
use super::hint::Hint;
use super::recovery::{Found, Recovery};
use crate::fs::OpenMode;
use crate::index::file::{
    put_count, put_open, put_runs, put_tail, take_count, take_open, take_runs, take_tail,
};
use crate::index::{OpenTransactions, TransactionSummary};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::reader::Segment;
use crate::segment::{Span, Tail};

const VERSION: u16 = 1;
const NONE_OPEN: i64 = -1;

/// A log as it was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCheckpoint {
    tail: Tail,
    next: NextSegment,
    runs: Vec<EpochRun>,
    open: OpenTransactions,
    log_starts: Vec<(EntryIndex, Offset)>,
    sealed: Vec<SealedCheckpoint>,
    active: Option<FileCheckpoint>,
}

/// A file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileCheckpoint {
    span: Span,
    /// Of a compacted segment; else 0.
    generation: u32,
    size_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SealedCheckpoint {
    file: FileCheckpoint,
    max_timestamp: i64,
    transactions: TransactionSummary,
    open_before: OpenTransactions,
}

impl Log {
    /// What the next start may take over; everything is synced.
    pub(super) fn checkpoint(&self) -> LogCheckpoint {
        let file = |segment: &Segment| FileCheckpoint {
            span: Span {
                base_offset: segment.base_offset,
                base_index: segment.base_index,
                end_offset: segment.end_offset,
                last_index: segment.last_index,
            },
            generation: segment
                .compacted()
                .map_or(0, |compacted| compacted.generation),
            size_bytes: segment.size_bytes,
        };
        let sealed = |segment: &Segment| SealedCheckpoint {
            file: file(segment),
            max_timestamp: segment.max_timestamp,
            transactions: segment.transactions,
            open_before: segment.open_before().cloned().unwrap_or_default(),
        };
        let view = self.shared.load();
        LogCheckpoint {
            tail: self.written,
            next: self.next,
            runs: self.epochs.all().to_vec(),
            open: self.open_transactions.clone(),
            log_starts: self.marks.log_starts(),
            sealed: self.sealed.iter().map(sealed).collect(),
            active: view.active.as_ref().map(file),
        }
    }
}

impl LogCheckpoint {
    /// How far the log was durable: all of it.
    pub fn hint(&self) -> Hint {
        Hint::of(self.tail)
    }

    /// The first offset there was.
    pub fn log_start(&self) -> Offset {
        self.tail.log_start
    }

    /// How many segment files there were, the active one included.
    pub fn segments(&self) -> usize {
        self.files().count()
    }

    /// Their bytes.
    pub fn size_bytes(&self) -> u64 {
        self.files().map(|file| file.size_bytes).sum()
    }

    /// The bytes for the data directory.
    pub(crate) fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        out.put_u16(VERSION);
        put_tail(&mut out, &self.tail);
        out.put_i64(self.next.created_ms);
        out.put_u32(self.next.previous_crc);
        put_runs(&mut out, &self.runs)?;
        put_open(&mut out, &self.open)?;
        put_count(&mut out, self.log_starts.len())?;
        for (index, offset) in &self.log_starts {
            out.put_u64(index.0);
            out.put_i64(offset.0);
        }
        put_count(&mut out, self.sealed.len())?;
        for sealed in &self.sealed {
            sealed.file.encode(&mut out);
            out.put_i64(sealed.max_timestamp);
            out.put_u8(u8::from(sealed.transactions.any_aborted));
            let earliest = sealed.transactions.earliest_open;
            out.put_i64(earliest.map_or(NONE_OPEN, |offset| offset.0));
            put_open(&mut out, &sealed.open_before)?;
        }
        out.put_u8(u8::from(self.active.is_some()));
        if let Some(active) = &self.active {
            active.encode(&mut out);
        }
        Ok(out)
    }

    /// Reads it back; `None` if the bytes are not what was written, or of another version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<LogCheckpoint> {
        let from = &mut { bytes };
        if from.try_get_u16().ok()? != VERSION {
            return None;
        }
        let tail = take_tail(from)?;
        let next = NextSegment {
            created_ms: from.try_get_i64().ok()?,
            previous_crc: from.try_get_u32().ok()?,
        };
        let mut runs = Vec::new();
        take_runs(from, &mut runs)?;
        let open = take_open(from)?;
        let mut log_starts = Vec::new();
        for _ in 0..take_count(from)? {
            let index = EntryIndex(from.try_get_u64().ok()?);
            log_starts.push((index, Offset(from.try_get_i64().ok()?)));
        }
        let mut sealed = Vec::new();
        for _ in 0..take_count(from)? {
            sealed.push(SealedCheckpoint {
                file: FileCheckpoint::decode(from)?,
                max_timestamp: from.try_get_i64().ok()?,
                transactions: TransactionSummary {
                    any_aborted: from.try_get_u8().ok()? != 0,
                    earliest_open: Some(from.try_get_i64().ok()?)
                        .filter(|offset| *offset != NONE_OPEN)
                        .map(Offset),
                },
                open_before: take_open(from)?,
            });
        }
        let active = match from.try_get_u8().ok()? {
            0 => None,
            _ => Some(FileCheckpoint::decode(from)?),
        };
        let checkpoint = LogCheckpoint {
            tail,
            next,
            runs,
            open,
            log_starts,
            sealed,
            active,
        };
        from.is_empty().then_some(checkpoint)
    }

    /// What the header of the last segment has to continue.
    fn before(&self, active: &FileCheckpoint) -> Option<(Tail, u32)> {
        let last = self.sealed.last()?.file.span;
        let before = |run: &&EpochRun| run.index <= last.last_index;
        let run = self.runs.iter().rev().find(before);
        let tail = Tail {
            offset: active.span.base_offset,
            index: last.last_index,
            epoch: run.map_or(LeaderEpoch(0), |run| run.epoch),
            log_start: Offset(0),
        };
        Some((tail, self.next.previous_crc))
    }

    fn files(&self) -> impl Iterator<Item = &FileCheckpoint> {
        let sealed = self.sealed.iter().map(|sealed| &sealed.file);
        sealed.chain(&self.active)
    }
}

impl FileCheckpoint {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.span.base_offset.0);
        out.put_u64(self.span.base_index.0);
        out.put_u32(self.generation);
        out.put_i64(self.span.end_offset.0);
        out.put_u64(self.span.last_index.0);
        out.put_u64(self.size_bytes);
    }

    fn decode(from: &mut &[u8]) -> Option<FileCheckpoint> {
        let base_offset = Offset(from.try_get_i64().ok()?);
        let base_index = EntryIndex(from.try_get_u64().ok()?);
        let generation = from.try_get_u32().ok()?;
        Some(FileCheckpoint {
            span: Span {
                base_offset,
                base_index,
                end_offset: Offset(from.try_get_i64().ok()?),
                last_index: EntryIndex(from.try_get_u64().ok()?),
            },
            generation,
            size_bytes: from.try_get_u64().ok()?,
        })
    }

    fn is(&self, found: &Found) -> bool {
        let generation = found
            .compacted
            .as_ref()
            .map_or(0, |file| file.header.generation);
        let base = (found.base_offset, found.base_index);
        (self.span.base_offset, self.span.base_index) == base && self.generation == generation
    }
}

impl Recovery {
    /// Takes over what the checkpoint says, if it fits; `false` leaves this as it was, and the disk.
    pub(super) fn take_checkpoint(
        &mut self,
        checkpoint: &LogCheckpoint,
        found: &[Found],
    ) -> Result<bool, OpenError> {
        if !self.fits(checkpoint, found)? {
            return Ok(false);
        }
        let active = match (&checkpoint.active, found.split_last()) {
            (Some(file), Some((last, _))) => {
                self.before = checkpoint.before(file);
                self.open = checkpoint.open.clone();
                let active = self.closed_segment(last, file.size_bytes, checkpoint.tail)?;
                if active.is_none() {
                    self.before = None;
                    self.open = OpenTransactions::default();
                    return Ok(false);
                }
                active
            }
            _ => None,
        };
        self.active = active;
        for (sealed, file) in checkpoint.sealed.iter().zip(found) {
            if let Some(compacted) = &file.compacted {
                // its header says more than a checkpoint, and was read to find it
                self.before = None;
                self.compacted_segment(compacted)?;
            } else {
                self.push_checkpointed(sealed, file);
            }
        }
        self.open = checkpoint.open.clone();
        self.epochs = EpochRuns::of_all(&checkpoint.runs);
        let starts = checkpoint.log_starts.iter();
        self.log_starts = starts
            .map(|(index, log_start)| Tail {
                index: *index,
                log_start: *log_start,
                ..Tail::EMPTY
            })
            .collect();
        self.hint = Some(checkpoint.hint());
        self.next = checkpoint.next;
        self.before = Some((checkpoint.tail, checkpoint.next.previous_crc));
        Ok(true)
    }

    /// Whether the directory holds the files of the checkpoint and no others, and the hint agrees.
    fn fits(&self, checkpoint: &LogCheckpoint, found: &[Found]) -> Result<bool, OpenError> {
        let flushed = checkpoint.hint();
        let contradicts = |hint: &Hint| hint.index >= flushed.index && *hint != flushed;
        let files = checkpoint.files().count();
        if self.hint.as_ref().is_some_and(contradicts) || files == 0 || files != found.len() {
            return Ok(false);
        }
        for (file, found) in checkpoint.files().zip(found) {
            let path = &found.path;
            let opened = self.disk.open(path, OpenMode::Read);
            let opened = opened.map_err(OpenError::io("open", path))?;
            let size = opened.size().map_err(OpenError::io("measure", path))?;
            if !file.is(found) || file.size_bytes != size {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn push_checkpointed(&mut self, sealed: &SealedCheckpoint, found: &Found) {
        let file = self.sealed_file(found, sealed.open_before.clone());
        let FileCheckpoint {
            span, size_bytes, ..
        } = sealed.file;
        let (max_timestamp, transactions) = (sealed.max_timestamp, sealed.transactions);
        let segment = Segment::sealed(span, size_bytes, max_timestamp, transactions, file);
        self.sealed.push(segment);
        self.sealed_bytes += size_bytes;
    }
}
