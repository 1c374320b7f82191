//! What goes into a log, and the queue in which it waits to be written.
//!
//! Control frames are encoded when they are staged: their bytes depend on the segment they will land in,
//! which is known then. Batches stay shared until the one vectored write of their group.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::Batch;
use crate::segment::Tail;
use crate::segment::format::{
    Control, ControlFrame, SEGMENT_HEADER_BYTES, Seed, as_u64, crc_field, write_control,
};

/// What can be appended.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Data, stamped with the log's next offset and its epoch.
    Batch(Batch),
    /// The first entry of a leader's term (or, in the log's own epoch, an entry that says nothing).
    NoOp {
        /// The term; the log's epoch from here on.
        term: LeaderEpoch,
    },
    /// Ends the segment; only the leader decides this, so that all replicas' files are alike.
    Roll {
        /// The leader's clock, milliseconds since 1970: the age of the next segment counts from it.
        at_ms: i64,
    },
    /// Moves the log start; records below it are gone.
    LogStart {
        /// The new first offset, at most the log end.
        offset: Offset,
    },
    /// A voter set, opaque here.
    Membership {
        /// The consensus layer's bytes.
        content: Bytes,
    },
}

/// An entry that waits to be written.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) frame: StagedFrame,
    /// The log's tail once the entry is written.
    pub(super) after: Tail,
}

#[derive(Debug)]
pub(super) enum StagedFrame {
    Batch(Batch),
    Control(Vec<u8>),
    Roll { frame: Vec<u8>, next: NextSegment },
}

/// What the segment after a ROLL starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NextSegment {
    pub(super) created_ms: i64,
    pub(super) previous_crc: u32,
}

impl NextSegment {
    /// The first segment of a log follows no ROLL.
    pub(super) const FIRST: NextSegment = NextSegment {
        created_ms: -1,
        previous_crc: 0,
    };
}

impl Staged {
    pub(super) fn size_bytes(&self) -> u64 {
        as_u64(match &self.frame {
            StagedFrame::Batch(batch) => batch.size_bytes(),
            StagedFrame::Control(frame) | StagedFrame::Roll { frame, .. } => frame.len(),
        })
    }

    pub(super) fn is_roll(&self) -> bool {
        matches!(self.frame, StagedFrame::Roll { .. })
    }
}

/// The entries staged and not yet written, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) entries: VecDeque<Staged>,
    /// The log's tail once all are written.
    pub(super) tail: Tail,
    /// The seed of the segment in which the next entry lands, and its first entry.
    seed: Seed,
    /// The size of that segment once all are written.
    pub(super) segment_bytes: u64,
    /// Whether it has a batch.
    pub(super) segment_has_data: bool,
}

impl Queue {
    pub(super) fn new(tail: Tail, seed: Seed, segment_bytes: u64, segment_has_data: bool) -> Queue {
        Queue {
            entries: VecDeque::new(),
            tail,
            seed,
            segment_bytes,
            segment_has_data,
        }
    }

    /// Puts a batch at the end; its offset and epoch have been checked.
    pub(super) fn push_batch(&mut self, batch: Batch) {
        self.tail.offset = batch.last_offset().plus(1);
        self.tail.index = self.tail.index.next();
        self.segment_has_data = true;
        self.push(StagedFrame::Batch(batch));
    }

    /// Puts a control frame at the end; `after_roll` gives the seed of the segment that begins at an index.
    pub(super) fn push_control(
        &mut self,
        epoch: LeaderEpoch,
        control: Control,
        after_roll: impl FnOnce(EntryIndex) -> Seed,
    ) {
        self.tail.epoch = epoch;
        self.tail.index = self.tail.index.next();
        if let Control::LogStart(offset) = control {
            self.tail.log_start = self.tail.log_start.max(offset);
        }
        let roll_at = if let Control::Roll { at_ms } = control {
            Some(at_ms)
        } else {
            None
        };
        let frame = ControlFrame {
            offset: self.tail.offset,
            epoch,
            index: self.tail.index,
            control,
        };
        let frame = write_control(&frame, self.seed);
        let Some(created_ms) = roll_at else {
            return self.push(StagedFrame::Control(frame));
        };
        let next = NextSegment {
            created_ms,
            previous_crc: crc_field(&frame),
        };
        self.push(StagedFrame::Roll { frame, next });
        self.seed = after_roll(self.tail.index.next());
        self.segment_bytes = as_u64(SEGMENT_HEADER_BYTES);
        self.segment_has_data = false;
    }

    fn push(&mut self, frame: StagedFrame) {
        let staged = Staged {
            frame,
            after: self.tail,
        };
        self.segment_bytes += staged.size_bytes();
        self.entries.push_back(staged);
    }

    /// How many entries form the next group: up to the first ROLL, in at most `room_bytes`, but if
    /// `first_alone` the first however large it is.
    pub(super) fn group(&self, room_bytes: u64, first_alone: bool) -> (usize, u64) {
        let (mut count, mut bytes) = (0, 0);
        for entry in &self.entries {
            let size = entry.size_bytes();
            if bytes + size > room_bytes && !(first_alone && count == 0) {
                break;
            }
            count += 1;
            bytes += size;
            if entry.is_roll() {
                break;
            }
        }
        (count, bytes)
    }
}
