//! Reading a sealed segment frame by frame, for the survey and for the rewriting.
//!
//! The bytes of every batch that is looked into, or copied, are checked against the batch's CRC first:
//! compaction must not carry a flipped byte into a file whose checksum then vouches for it. In a segment
//! as it was written offsets are dense; in a compacted one they rise.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::{self, CompactedHeader};
use super::{CleaningError, Pace};
use crate::fs::DiskFile;
use crate::log::LogIdentity;
use crate::position::Offset;
use crate::record::{BatchHeader, CRC_COVERS_FROM};
use crate::segment::format::{
    CONTROL_BYTES_MIN, Control, ControlFrame, Head, SEGMENT_HEADER_BYTES, Seed, SegmentHeader,
    as_u64, crc_field, read_control, read_head,
};
use crate::segment::reader::Segment;
use crate::segment::window::Window;

/// How much is read at once where bodies are needed: large enough that the call costs nothing.
const READ_BYTES: usize = 256 * 1024;
/// How much is read at once where only heads are: a page, so that bodies of large batches are skipped.
const HEADS_BYTES: usize = 4096;

/// What stands in front of a segment's frames.
#[derive(Clone, Debug)]
pub(super) enum First {
    Written(SegmentHeader, ControlFrame),
    Compacted(Arc<CompactedHeader>),
}

/// A segment to be cleaned.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) segment: Segment,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) first: First,
    /// Where its first frame after the header lies.
    frames_from: u64,
}

impl Input {
    /// Opens a segment and reads its header.
    pub(super) fn open(segment: &Segment, identity: &LogIdentity) -> Result<Input, CleaningError> {
        let path = segment.path().to_path_buf();
        let base_index = segment.base_index;
        let file = Arc::clone(segment.file()?);
        let mut head = Vec::new();
        file.read_at(0, CONTROL_BYTES_MIN, &mut head)
            .map_err(CleaningError::io("read", &path))?;
        let corrupt = |reason: &str| CleaningError::corrupt(&path, 0, reason);
        let size = header::stated_size(&head).unwrap_or(SEGMENT_HEADER_BYTES);
        let mut frame = Vec::new();
        file.read_at(0, size, &mut frame)
            .map_err(CleaningError::io("read", &path))?;
        let first = if header::stated_size(&head).is_some() {
            let header = CompactedHeader::read(&frame).map_err(corrupt)?;
            First::Compacted(Arc::new(header))
        } else {
            let seed = Seed::new(identity, base_index);
            let frame = read_control(&frame, seed)
                .map_err(|_| corrupt("segment header's checksum does not match"))?;
            let Control::SegmentHeader(header) = frame.control else {
                return Err(corrupt("file does not begin with a segment header"));
            };
            First::Written(header, frame)
        };
        let found = match &first {
            First::Written(header, frame) => (header.identity, frame.offset, frame.index),
            First::Compacted(header) => (header.identity, header.base_offset, header.base_index),
        };
        if found != (*identity, segment.base_offset, base_index) {
            return Err(corrupt("header and file name differ"));
        }
        Ok(Input {
            segment: segment.clone(),
            path,
            file,
            first,
            frames_from: as_u64(size),
        })
    }

    /// A walk over its frames.
    pub(super) fn walk<'a>(&'a self, identity: &LogIdentity, bodies: bool) -> Walk<'a> {
        let read_bytes = if bodies { READ_BYTES } else { HEADS_BYTES };
        Walk {
            window: Window::new(&*self.file, self.segment.size_bytes, read_bytes),
            path: &self.path,
            seed: Seed::new(identity, self.segment.base_index),
            dense: matches!(self.first, First::Written(..)),
            next: self.segment.base_offset,
            at: self.frames_from,
            head_bytes: 0,
            end: self.segment.size_bytes,
        }
    }
}

/// A walk over the frames of one segment. Each step looks at a head; the body is read if it is asked for.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    window: Window<'a>,
    path: &'a Path,
    seed: Seed,
    dense: bool,
    /// The least offset that the next batch may begin with.
    next: Offset,
    at: u64,
    /// The size of the frame at `at`, once its head was given.
    head_bytes: u64,
    end: u64,
}

impl Walk<'_> {
    /// The head of the next frame, paid for by its whole size; `None` at the end of the segment.
    pub(super) fn next(&mut self, pace: &Pace<'_>) -> Result<Option<Head>, CleaningError> {
        self.at += self.head_bytes;
        if self.at >= self.end {
            return Ok(None);
        }
        let head = self
            .window
            .head(self.at)
            .map_err(CleaningError::io("read", self.path))?;
        let head = read_head(head).map_err(|reason| self.corrupt(reason))?;
        self.head_bytes = head.size_bytes();
        if self.head_bytes > self.end - self.at {
            return Err(self.corrupt("frame reaches past the segment"));
        }
        let fits = match &head {
            Head::Batch(header) if self.dense => {
                header.check_counts().is_ok() && header.base_offset == self.next
            }
            Head::Batch(header) => {
                header.check_stored_counts().is_ok() && header.base_offset >= self.next
            }
            Head::Control { offset, .. } => self.dense && *offset == self.next,
        };
        if !fits {
            return Err(self.corrupt("frame does not continue the log"));
        }
        if let Head::Batch(header) = &head {
            self.next = header.last_offset().plus(1);
        }
        pace.pay(self.head_bytes)?;
        Ok(Some(head))
    }

    /// The whole batch whose head was given last, checked.
    pub(super) fn batch(&mut self, header: &BatchHeader) -> Result<&[u8], CleaningError> {
        let (at, path) = (self.at, self.path);
        let frame = self
            .window
            .get(at, header.size_bytes())
            .map_err(CleaningError::io("read", path))?;
        let sound = frame.len() == header.size_bytes()
            && crc32c::crc32c(&frame[CRC_COVERS_FROM..]) == header.crc;
        if sound {
            Ok(frame)
        } else {
            let reason = "batch checksum does not match";
            Err(CleaningError::corrupt(path, at, reason))
        }
    }

    /// The control frame whose head was given last, checked, and its CRC field.
    pub(super) fn control(&mut self) -> Result<(ControlFrame, u32), CleaningError> {
        let len = usize::try_from(self.head_bytes).unwrap_or(usize::MAX);
        let (at, path) = (self.at, self.path);
        let frame = self
            .window
            .get(at, len)
            .map_err(CleaningError::io("read", path))?;
        let control = read_control(frame, self.seed).map_err(|_| {
            CleaningError::corrupt(path, at, "control frame is damaged or of an unknown kind")
        })?;
        Ok((control, crc_field(frame)))
    }

    /// An error at the frame whose head was given last.
    pub(super) fn corrupt(&self, reason: &str) -> CleaningError {
        CleaningError::corrupt(self.path, self.at, reason)
    }
}
