//! Every frame of one segment file, in order, with what is wrong with it.
//!
//! A walk stands by itself: it takes the log's identity from the file's own header, needs no other file,
//! and goes on as long as heads can be followed. What a frame is worth in its log (does it continue the
//! one before, may it be cut) is `verify`'s question.

use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::compaction::header::{self as compacted, CompactedHeader};
use crate::fs::DiskFile;
use crate::log::LogIdentity;
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::{Batch, BatchHeader};
use crate::segment::format::{Control, ControlError, Head, Seed, read_control, read_head};
use crate::segment::window::{SCAN_BYTES, Window};

/// A frame, where it lies, and whether it is sound.
#[derive(Debug)]
pub struct Frame {
    /// Its first byte in the file.
    pub position: u64,
    /// All of its bytes.
    pub size_bytes: u64,
    /// The offset of its first record; of the next record for a control frame.
    pub offset: Offset,
    /// The epoch it was written in.
    pub epoch: LeaderEpoch,
    /// What it is.
    pub content: Content,
}

/// What a frame says.
#[derive(Debug)]
pub enum Content {
    /// The first frame of a file.
    SegmentHeader {
        /// The first entry that follows.
        first_index: EntryIndex,
        /// Whose log the file belongs to.
        identity: LogIdentity,
        /// The first offset that counted when the segment began.
        log_start: Offset,
        /// When the ROLL before was proposed, milliseconds since 1970; -1 in the first segment.
        created_ms: i64,
    },
    /// The first frame of a compacted file.
    CompactedHeader {
        /// The first entry of its inputs.
        first_index: EntryIndex,
        /// The last entry of its inputs.
        last_index: EntryIndex,
        /// Whose log the file belongs to.
        identity: LogIdentity,
        /// The offset after its inputs' last record.
        end_offset: Offset,
        /// How often its entries were compacted.
        generation: u32,
        /// Every record here that another one below this offset supersedes is gone.
        cleaned_to: Offset,
        /// The bytes of batches that follow.
        content_bytes: u64,
    },
    /// Data.
    Batch {
        /// Its header.
        header: BatchHeader,
        /// The batch, checked; or why it is not sound.
        batch: Result<Batch, String>,
    },
    /// The first entry of a term, or an entry that says nothing.
    NoOp {
        /// The entry.
        index: EntryIndex,
    },
    /// A voter set, opaque here.
    Membership {
        /// The entry.
        index: EntryIndex,
        /// Its bytes.
        content: Bytes,
    },
    /// The end of the segment.
    Roll {
        /// The entry.
        index: EntryIndex,
        /// When the leader proposed it, milliseconds since 1970.
        at_ms: i64,
    },
    /// Records below an offset are gone.
    LogStart {
        /// The entry.
        index: EntryIndex,
        /// The first offset that counts.
        log_start: Offset,
    },
    /// A control frame that is not sound.
    Unsound {
        /// Why.
        reason: String,
    },
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With the last byte of the file, or because the caller had enough.
    Complete,
    /// With zeros up to the end of the file: room reserved ahead.
    Room {
        /// How many.
        bytes: u64,
    },
    /// At bytes that are no frame.
    NoFrame {
        /// Where.
        position: u64,
        /// Why.
        reason: String,
    },
}

/// Gives every frame of a segment file to `each`, until it breaks off.
pub(super) fn walk(
    file: &dyn DiskFile,
    each: &mut dyn FnMut(Frame) -> ControlFlow<()>,
) -> io::Result<End> {
    let size = file.size()?;
    let mut window = Window::new(file, size, SCAN_BYTES);
    let mut seed = None;
    let mut position = 0;
    while position < size {
        let head = match read_head(window.head(position)?) {
            Ok(head) => head,
            Err(reason) => return no_frame(&mut window, position, size, reason),
        };
        let size_bytes = head.size_bytes();
        let len = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        let bytes = window.get(position, len)?;
        if bytes.len() < len {
            return no_frame(
                &mut window,
                position,
                size,
                "frame reaches past the end of the file",
            );
        }
        let frame = read(&head, bytes, position, &mut seed);
        if each(frame).is_break() {
            break;
        }
        position += size_bytes;
    }
    Ok(End::Complete)
}

fn no_frame(window: &mut Window<'_>, position: u64, size: u64, reason: &str) -> io::Result<End> {
    if window.last_not_zero(position)?.is_none() {
        return Ok(End::Room {
            bytes: size - position,
        });
    }
    let reason = reason.to_owned();
    Ok(End::NoFrame { position, reason })
}

/// Reads a whole frame. `seed` is that of the file, known once its header was read.
fn read(head: &Head, bytes: &[u8], position: u64, seed: &mut Option<Seed>) -> Frame {
    let (offset, epoch, content) = match head {
        Head::Batch(header) => {
            let batch = Batch::check(Bytes::copy_from_slice(bytes));
            let content = Content::Batch {
                header: *header,
                batch: batch.map_err(|error| error.to_string()),
            };
            (header.base_offset, header.epoch, content)
        }
        Head::Control { offset, epoch, .. } => (*offset, *epoch, control(bytes, seed)),
    };
    Frame {
        position,
        size_bytes: head.size_bytes(),
        offset,
        epoch,
        content,
    }
}

fn control(bytes: &[u8], seed: &mut Option<Seed>) -> Content {
    if compacted::stated_size(bytes).is_some() {
        return compacted_header(bytes);
    }
    // a header's checksum is not seeded, so any seed reads it
    let reading = seed.unwrap_or_default();
    let frame = match read_control(bytes, reading) {
        Ok(frame) => frame,
        Err(error) => {
            let reason = describe(error, seed.is_some());
            return Content::Unsound { reason };
        }
    };
    let index = frame.index;
    match frame.control {
        Control::SegmentHeader(header) => {
            *seed = Some(Seed::new(&header.identity, index));
            Content::SegmentHeader {
                first_index: index,
                identity: header.identity,
                log_start: header.log_start,
                created_ms: header.created_ms,
            }
        }
        Control::NoOp => Content::NoOp { index },
        Control::Membership(content) => Content::Membership { index, content },
        Control::Roll { at_ms } => Content::Roll { index, at_ms },
        Control::LogStart(log_start) => Content::LogStart { index, log_start },
    }
}

fn compacted_header(bytes: &[u8]) -> Content {
    match CompactedHeader::read(bytes) {
        Ok(header) => Content::CompactedHeader {
            first_index: header.base_index,
            last_index: header.end.index,
            identity: header.identity,
            end_offset: header.end.offset,
            generation: header.generation,
            cleaned_to: header.cleaned_to,
            content_bytes: header.content_bytes,
        },
        Err(reason) => Content::Unsound {
            reason: reason.to_owned(),
        },
    }
}

fn describe(error: ControlError, header_known: bool) -> String {
    match error {
        ControlError::Crc if header_known => "control frame checksum does not match".to_owned(),
        ControlError::Crc => {
            "control frame checksum does not match, or it cannot be told without the file's header"
                .to_owned()
        }
        ControlError::Unknown { kind, version } => {
            format!("control frame of unknown kind {kind}, version {version}")
        }
        ControlError::Payload { kind } => {
            format!("control frame of kind {kind} has a payload of unknown format")
        }
    }
}
