//! What a leader decides about its partition: `step(event) -> effects`, and nothing else.
//!
//! No tokio, no clock, no file: the shard turns effects into writes and replies, a simulator can do the
//! same. Consensus slots in between [`Effect::Append`] and [`Event::Flushed`]; today what is durable here
//! is committed.
//!
//! ```text
//! Append -> sequence check -> offset and epoch stamped -> Effect::Append ... Written -> replies to acks=1
//!                |                                                       ... Flushed -> HighWatermark,
//!                '-> repeat, refusal: Reply                                             replies to acks=all
//! ```
//!
//! Invariants, asserted by [`Core::assert_order`]: log start <= high watermark <= written <= next offset.
//! The high watermark never goes back. Nothing is answered before it satisfies the acks asked for, a
//! repeat included. After a failed write nothing is appended or acknowledged again.

use std::collections::VecDeque;

use headrace_storage::record::Batch;
use headrace_storage::{Entry, LeaderEpoch, Offset};

use super::producers::{Producers, Verdict};
use super::{Acks, AppendFailure, Appended};

/// What a recovered log says about itself.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The first offset there is.
    pub log_start: Offset,
    /// The offset after the last one; all below is durable.
    pub log_end: Offset,
    /// The newest epoch.
    pub epoch: LeaderEpoch,
    /// Producers as of the log end.
    pub producers: Producers,
    /// Where the producer snapshot beside the log was taken, if there is one.
    pub snapshot: Option<Offset>,
}

/// A batch that wants to be appended; `T` is whatever the caller answers with.
#[derive(Debug)]
pub struct Append<T> {
    /// The batch, checked.
    pub batch: Batch,
    /// When to answer.
    pub acks: Acks,
    /// Comes back in [`Effect::Reply`].
    pub token: T,
    /// The log wants to end its segment before a batch of this size.
    pub roll: bool,
    /// The topic's timestamps are the broker's.
    pub log_append_time: bool,
    /// The broker's clock, milliseconds since 1970.
    pub now_ms: i64,
}

/// What happens to a partition.
#[derive(Debug)]
pub enum Event<T> {
    /// This node leads from now on, in a term of its own.
    Lead,
    /// A produce request.
    Append(Append<T>),
    /// Everything below the offset is written.
    Written(Offset),
    /// Everything below the offset is durable.
    Flushed(Offset),
    /// A write or sync failed; the log is closed to writes for good.
    WriteFailed,
    /// The partition goes away; all that waits gets this failure.
    Abandon(AppendFailure),
}

/// What the caller must do, in this order.
#[derive(Debug)]
pub enum Effect<T> {
    /// Stage the entry in the log.
    Append(Entry),
    /// Show readers the new high watermark, and wake those that wait for it.
    HighWatermark(Offset),
    /// Keep this producer snapshot; what it says is durable.
    Snapshot(Vec<u8>),
    /// Answer.
    Reply(T, Result<Appended, AppendFailure>),
}

/// An answer that waits until everything up to `needs` is written or durable.
#[derive(Debug)]
struct Waiting<T> {
    needs: Offset,
    token: T,
    answer: Appended,
}

/// The leader's state of one partition.
#[derive(Debug)]
pub struct Core<T> {
    epoch: LeaderEpoch,
    log_start: Offset,
    /// The offset that the next record gets.
    next_offset: Offset,
    written: Offset,
    high_watermark: Offset,
    producers: Producers,
    /// Answers to acks=1 (and 0, which the wire does not carry), ordered by `needs`.
    until_written: VecDeque<Waiting<T>>,
    /// Answers to acks=all, ordered by `needs`.
    until_flushed: VecDeque<Waiting<T>>,
    /// Taken at a roll, kept back until all that it describes is durable.
    snapshot: Option<(Offset, Vec<u8>)>,
    /// Where the one beside the log was taken.
    snapshot_kept: Option<Offset>,
    failed: bool,
}

impl<T> Core<T> {
    /// Takes over a recovered log; it leads after [`Event::Lead`].
    pub fn new(recovered: Recovered) -> Core<T> {
        Core {
            epoch: recovered.epoch,
            log_start: recovered.log_start,
            next_offset: recovered.log_end,
            written: recovered.log_end,
            high_watermark: recovered.log_end,
            producers: recovered.producers,
            until_written: VecDeque::new(),
            until_flushed: VecDeque::new(),
            snapshot: None,
            snapshot_kept: recovered.snapshot,
            failed: false,
        }
    }

    /// Decides about one event; effects are added behind those already in `effects`.
    pub fn step(&mut self, event: Event<T>, effects: &mut Vec<Effect<T>>) {
        match event {
            Event::Lead => {
                self.epoch = LeaderEpoch(self.epoch.0.saturating_add(1));
                effects.push(Effect::Append(Entry::NoOp { term: self.epoch }));
            }
            Event::Append(append) => self.append(append, effects),
            Event::Written(offset) => {
                self.written = self.written.max(offset);
                answer(&mut self.until_written, self.written, effects);
            }
            Event::Flushed(offset) => self.flushed(offset, effects),
            Event::WriteFailed => {
                self.failed = true;
                self.refuse_waiting(AppendFailure::LogClosed, effects);
            }
            Event::Abandon(failure) => {
                self.failed = true;
                self.refuse_waiting(failure, effects);
            }
        }
        self.assert_order();
    }

    /// The producer state to keep when the log is closed: only if everything is durable, and there is
    /// something that the snapshot beside the log does not say.
    pub fn snapshot_at_close(&self) -> Option<Vec<u8>> {
        let clean = !self.failed && self.high_watermark == self.next_offset;
        let kept = self.snapshot_kept.unwrap_or(self.log_start);
        let news = kept < self.next_offset;
        (clean && news).then(|| self.producers.snapshot(self.next_offset))
    }

    fn append(&mut self, append: Append<T>, effects: &mut Vec<Effect<T>>) {
        let Append {
            mut batch,
            acks,
            token,
            ..
        } = append;
        if self.failed {
            return refuse(token, AppendFailure::LogClosed, effects);
        }
        let answer = match self.producers.check(batch.header()) {
            Err(refused) => return refuse(token, AppendFailure::Sequence(refused), effects),
            Ok(Verdict::Duplicate(original)) => Appended {
                base_offset: original.base_offset,
                last_offset: original.last_offset,
                log_append_time: original.log_append_time,
                log_start: self.log_start,
            },
            Ok(Verdict::Fresh) => {
                if append.roll {
                    self.roll(append.now_ms, effects);
                }
                batch.stamp(self.next_offset, self.epoch);
                if append.log_append_time {
                    batch.stamp_log_append_time(append.now_ms);
                }
                self.next_offset = batch.last_offset().plus(1);
                self.producers.record(batch.header(), append.now_ms);
                let answer = Appended {
                    base_offset: batch.base_offset(),
                    last_offset: batch.last_offset(),
                    log_append_time: if append.log_append_time {
                        append.now_ms
                    } else {
                        -1
                    },
                    log_start: self.log_start,
                };
                effects.push(Effect::Append(Entry::Batch(batch)));
                answer
            }
        };
        self.answer_when(acks, token, answer, effects);
    }

    /// Ends the segment; the producers that are silent for too long are forgotten at this place.
    fn roll(&mut self, now_ms: i64, effects: &mut Vec<Effect<T>>) {
        effects.push(Effect::Append(Entry::Roll { at_ms: now_ms }));
        self.producers.expire(now_ms);
        let bytes = self.producers.snapshot(self.next_offset);
        self.snapshot = Some((self.next_offset, bytes));
    }

    fn flushed(&mut self, offset: Offset, effects: &mut Vec<Effect<T>>) {
        self.written = self.written.max(offset);
        if offset > self.high_watermark {
            self.high_watermark = offset;
            effects.push(Effect::HighWatermark(offset));
        }
        if let Some((at, bytes)) = self.snapshot.take_if(|(at, _)| *at <= offset) {
            self.snapshot_kept = Some(at);
            effects.push(Effect::Snapshot(bytes));
        }
        answer(&mut self.until_written, self.written, effects);
        answer(&mut self.until_flushed, self.high_watermark, effects);
    }

    /// Answers at once if the acks are satisfied, as they are for most repeats, or parks the answer.
    fn answer_when(
        &mut self,
        acks: Acks,
        token: T,
        answer: Appended,
        effects: &mut Vec<Effect<T>>,
    ) {
        let needs = answer.last_offset.plus(1);
        let (reached, waiting) = match acks {
            Acks::None | Acks::Leader => (self.written, &mut self.until_written),
            Acks::All => (self.high_watermark, &mut self.until_flushed),
        };
        if needs <= reached {
            effects.push(Effect::Reply(token, Ok(answer)));
            return;
        }
        // new batches go to the back; only a repeat of one that is on its way goes in between
        let place = waiting.partition_point(|other| other.needs <= needs);
        waiting.insert(
            place,
            Waiting {
                needs,
                token,
                answer,
            },
        );
    }

    fn refuse_waiting(&mut self, failure: AppendFailure, effects: &mut Vec<Effect<T>>) {
        let waiting = self
            .until_written
            .drain(..)
            .chain(self.until_flushed.drain(..));
        effects.extend(waiting.map(|waiting| Effect::Reply(waiting.token, Err(failure))));
    }

    /// The order of positions that everything relies on (replication notes).
    fn assert_order(&self) {
        assert!(
            self.log_start <= self.high_watermark
                && self.high_watermark <= self.written
                && self.written <= self.next_offset,
            "positions are out of order: {} {} {} {}",
            self.log_start,
            self.high_watermark,
            self.written,
            self.next_offset
        );
    }
}

fn refuse<T>(token: T, failure: AppendFailure, effects: &mut Vec<Effect<T>>) {
    effects.push(Effect::Reply(token, Err(failure)));
}

/// Answers all that waited for `reached`, in offset order.
fn answer<T>(waiting: &mut VecDeque<Waiting<T>>, reached: Offset, effects: &mut Vec<Effect<T>>) {
    while waiting.front().is_some_and(|first| first.needs <= reached) {
        if let Some(Waiting { token, answer, .. }) = waiting.pop_front() {
            effects.push(Effect::Reply(token, Ok(answer)));
        }
    }
}
