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

/// An entry with its place in the log, as it is read back.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    /// Its ordinal.
    pub index: EntryIndex,
    /// The epoch in which it was appended.
    pub epoch: LeaderEpoch,
    /// What was appended.
    pub entry: Entry,
}

impl Entry {
    /// What a control frame of this epoch says; `None` for a segment header, which is no entry.
    pub(crate) fn of_control(control: Control, epoch: LeaderEpoch) -> Option<Entry> {
        Some(match control {
            Control::SegmentHeader(_) => return None,
            Control::NoOp => Entry::NoOp { term: epoch },
            Control::Membership(content) => Entry::Membership { content },
            Control::Roll { at_ms } => Entry::Roll { at_ms },
            Control::LogStart(offset) => Entry::LogStart { offset },
        })
    }
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
    Control { frame: Vec<u8>, entry: Entry },
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
            StagedFrame::Control { frame, .. } | StagedFrame::Roll { frame, .. } => frame.len(),
        })
    }

    /// The entry as it would be read back once written.
    pub(super) fn stored(&self) -> StoredEntry {
        let entry = match &self.frame {
            StagedFrame::Batch(batch) => Entry::Batch(batch.clone()),
            StagedFrame::Control { entry, .. } => entry.clone(),
            StagedFrame::Roll { next, .. } => Entry::Roll {
                at_ms: next.created_ms,
            },
        };
        StoredEntry {
            index: self.after.index,
            epoch: self.after.epoch,
            entry,
        }
    }

    /// The voter set it brings, if it does.
    pub(super) fn membership(&self) -> Option<Bytes> {
        match &self.frame {
            StagedFrame::Control {
                entry: Entry::Membership { content },
                ..
            } => Some(content.clone()),
            _ => None,
        }
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

    /// Puts an entry that is no batch at the end; `after_roll` gives the seed of the segment that begins
    /// at an index.
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
        let frame = ControlFrame {
            offset: self.tail.offset,
            epoch,
            index: self.tail.index,
            control: control.clone(),
        };
        let frame = write_control(&frame, self.seed);
        let entry = Entry::of_control(control, epoch).expect("segment headers are never staged");
        let Entry::Roll { at_ms } = entry else {
            return self.push(StagedFrame::Control { frame, entry });
        };
        let next = NextSegment {
            created_ms: at_ms,
            previous_crc: crc_field(&frame),
        };
        self.push(StagedFrame::Roll { frame, next });
        self.begin_segment(after_roll(self.tail.index.next()));
    }

    /// The next entry lands in a new segment.
    fn begin_segment(&mut self, seed: Seed) {
        self.seed = seed;
        self.segment_bytes = as_u64(SEGMENT_HEADER_BYTES);
        self.segment_has_data = false;
    }

    /// Drops the entries after `last`; `written` is an empty queue at the end of what is written.
    pub(super) fn rewind(
        &mut self,
        last: EntryIndex,
        written: Queue,
        after_roll: impl Fn(EntryIndex) -> Seed,
    ) {
        let before = std::mem::replace(self, written);
        for staged in before.entries {
            if staged.after.index > last {
                break;
            }
            self.tail = staged.after;
            self.segment_bytes += staged.size_bytes();
            self.segment_has_data |= matches!(staged.frame, StagedFrame::Batch(_));
            if staged.is_roll() {
                self.begin_segment(after_roll(staged.after.index.next()));
            }
            self.entries.push_back(staged);
        }
    }

    /// The entry with this ordinal, if it is staged.
    pub(super) fn get(&self, index: EntryIndex) -> Option<&Staged> {
        let first = self.entries.front()?.after.index;
        let at = index.0.checked_sub(first.0)?;
        self.entries.get(usize::try_from(at).ok()?)
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
