//! From batches that arrived to proposals: judged, stamped and stepped in one turn, in the term they carry.
//!
//! A run is what goes into one proposal. It ends where the log wants a new segment (the ROLL is a run of its
//! own, so that the log has counted all before it), where a producer's second batch does not simply follow its
//! first (it is judged when that has its place), and at [`RUN_BYTES_MAX`].

use headrace_storage::record::BatchHeader;
use headrace_storage::{Entry, LeaderEpoch, Offset};

use super::{Append, Core, Effect};
use crate::partition::producers::{Verdict, follows};
use crate::partition::{Acks, AppendFailure, Appended};

/// A run becomes durable as a whole, so it must not be long: a quarter of what a log writes at once.
const RUN_BYTES_MAX: usize = 1 << 20;

/// The batches of one proposal, in order.
struct Run<T> {
    entries: Vec<Entry>,
    stamped: Vec<Stamped<T>>,
    next_offset: Offset,
    bytes: usize,
}

/// A batch of a run, and what its producer is told once it is where it should be.
struct Stamped<T> {
    header: BatchHeader,
    now_ms: i64,
    acks: Acks,
    token: T,
    answer: Appended,
}

impl<T> Core<T> {
    /// Proposes one run. True: there is more.
    pub(super) fn propose(
        &mut self,
        roll: &dyn Fn(usize) -> bool,
        effects: &mut Vec<Effect<T>>,
    ) -> bool {
        if self.failed || self.arriving.is_empty() && self.wanted.is_empty() {
            return false;
        }
        let Some(term) = self.leads else {
            self.wanted.clear();
            self.refuse_all(AppendFailure::NotLeader, effects);
            return false;
        };
        if let Some(first) = self.arriving.front()
            && roll(first.batch.size_bytes())
        {
            let at_ms = first.now_ms;
            self.want(Entry::Roll { at_ms });
        }
        if !self.wanted.is_empty() {
            let wanted = std::mem::take(&mut self.wanted);
            // what is dropped here is wanted again by whoever leads
            let proposed = self.group.propose(term, wanted);
            if proposed.is_err() {
                self.refuse_all(AppendFailure::NotLeader, effects);
            }
            return !self.arriving.is_empty();
        }
        let run = self.gather(term, roll, effects);
        self.propose_run(term, run, effects);
        !self.arriving.is_empty()
    }

    /// Takes the batches of the next run out of those that arrived. Nothing else changes.
    fn gather(
        &mut self,
        term: LeaderEpoch,
        roll: &dyn Fn(usize) -> bool,
        effects: &mut Vec<Effect<T>>,
    ) -> Run<T> {
        let mut run = Run {
            entries: Vec::with_capacity(self.arriving.len()),
            stamped: Vec::with_capacity(self.arriving.len()),
            next_offset: self.next_offset,
            bytes: 0,
        };
        while let Some(first) = self.arriving.front() {
            let bytes = run.bytes + first.batch.size_bytes();
            let full = bytes > RUN_BYTES_MAX || roll(bytes);
            let before = run.last_of(first.batch.header());
            let follows = before.map(|before| follows(before, first.batch.header()));
            if !run.entries.is_empty() && (full || follows == Some(false)) {
                break;
            }
            let Some(append) = self.arriving.pop_front() else {
                break;
            };
            let verdict = match follows {
                Some(_) => Ok(Verdict::Fresh),
                None => self.producers.check(append.batch.header()),
            };
            match verdict {
                Err(refused) => {
                    let refused = Err(AppendFailure::Sequence(refused));
                    effects.push(Effect::Reply(append.token, refused));
                }
                Ok(Verdict::Duplicate(original)) => {
                    let answer = Appended {
                        base_offset: original.base_offset,
                        last_offset: original.last_offset,
                        log_append_time: original.log_append_time,
                        log_start: self.log_start,
                    };
                    self.answers.park(append.acks, append.token, answer);
                }
                Ok(Verdict::Fresh) => run.add(append, term, self.log_start),
            }
        }
        run
    }

    /// Steps a run; only if it is accepted, offsets and producers move.
    fn propose_run(&mut self, term: LeaderEpoch, run: Run<T>, effects: &mut Vec<Effect<T>>) {
        let Run {
            entries,
            stamped,
            next_offset,
            ..
        } = run;
        let accepted = self.group.propose(term, entries).is_ok();
        if accepted {
            self.next_offset = next_offset;
        }
        for batch in stamped {
            if accepted {
                self.producers.record(&batch.header, batch.now_ms);
                self.answers.park(batch.acks, batch.token, batch.answer);
            } else {
                let failure = Err(AppendFailure::NotLeader);
                effects.push(Effect::Reply(batch.token, failure));
            }
        }
    }
}

impl<T> Run<T> {
    /// The last batch of the same producer.
    fn last_of(&self, header: &BatchHeader) -> Option<&BatchHeader> {
        let id = header.producer_id;
        let mut headers = self.stamped.iter().rev().map(|batch| &batch.header);
        headers.find(|other| id >= 0 && other.producer_id == id)
    }

    /// Stamps a batch and puts it at the end.
    fn add(&mut self, append: Append<T>, term: LeaderEpoch, log_start: Offset) {
        let Append {
            mut batch,
            acks,
            token,
            log_append_time,
            now_ms,
        } = append;
        self.bytes += batch.size_bytes();
        batch.stamp(self.next_offset, term);
        if log_append_time {
            batch.stamp_log_append_time(now_ms);
        }
        self.next_offset = batch.last_offset().plus(1);
        let answer = Appended {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            log_append_time: if log_append_time { now_ms } else { -1 },
            log_start,
        };
        let header = *batch.header();
        self.entries.push(Entry::Batch(batch));
        self.stamped.push(Stamped {
            header,
            now_ms,
            acks,
            token,
            answer,
        });
    }
}
