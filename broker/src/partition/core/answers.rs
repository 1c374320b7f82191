//! Answers that wait until what they speak of is written or committed, or the log begins where they say.

use std::collections::VecDeque;

use headrace_storage::Offset;

use super::Effect;
use crate::partition::{Acks, AppendFailure, Appended};

/// An answer that waits until everything up to `needs` is written or committed.
#[derive(Debug)]
struct Waiting<T> {
    needs: Offset,
    token: T,
    answer: Appended,
}

/// The answers of one partition; the first two lists are ordered by what their answers need.
#[derive(Debug)]
pub(super) struct Answers<T> {
    /// To acks=1 (and 0, which the wire does not carry).
    written: VecDeque<Waiting<T>>,
    /// To acks=all.
    committed: VecDeque<Waiting<T>>,
    /// To who wants the log to begin at `needs`, in no order: they are few.
    started: Vec<(Offset, T)>,
}

impl<T> Default for Answers<T> {
    fn default() -> Answers<T> {
        Answers {
            written: VecDeque::new(),
            committed: VecDeque::new(),
            started: Vec::new(),
        }
    }
}

impl<T> Answers<T> {
    /// Parks an answer; at the end of the turn it may go out at once, as it does for most repeats.
    pub(super) fn park(&mut self, acks: Acks, token: T, answer: Appended) {
        let needs = answer.last_offset.plus(1);
        let waiting = match acks {
            Acks::None | Acks::Leader => &mut self.written,
            Acks::All => &mut self.committed,
        };
        let parked = Waiting {
            needs,
            token,
            answer,
        };
        if waiting.back().is_none_or(|last| last.needs <= needs) {
            return waiting.push_back(parked);
        }
        // a repeat of one that is on its way
        let place = waiting.partition_point(|other| other.needs <= needs);
        waiting.insert(place, parked);
    }

    /// Parks the answer to who wants the log to begin at `start`.
    pub(super) fn park_until_start(&mut self, start: Offset, token: T) {
        self.started.push((start, token));
    }

    /// The log begins here, durably.
    pub(super) fn started(&mut self, log_start: Offset, effects: &mut Vec<Effect<T>>) {
        let there = |waiting: &mut (Offset, T)| waiting.0 <= log_start;
        let answered = self.started.extract_if(.., there);
        effects.extend(answered.map(|(_, token)| {
            let answer = Appended {
                base_offset: log_start,
                last_offset: log_start,
                log_append_time: -1,
                log_start,
            };
            Effect::Reply(token, Ok(answer))
        }));
    }

    pub(super) fn written(&mut self, upto: Offset, effects: &mut Vec<Effect<T>>) {
        answer(&mut self.written, upto, effects);
    }

    pub(super) fn committed(&mut self, upto: Offset, effects: &mut Vec<Effect<T>>) {
        answer(&mut self.committed, upto, effects);
    }

    /// Tells all that wait that it came to nothing.
    pub(super) fn refuse(&mut self, failure: AppendFailure, effects: &mut Vec<Effect<T>>) {
        let written = self.written.drain(..);
        let waiting = written.chain(self.committed.drain(..));
        effects.extend(waiting.map(|waiting| Effect::Reply(waiting.token, Err(failure))));
        let starting = self.started.drain(..);
        effects.extend(starting.map(|(_, token)| Effect::Reply(token, Err(failure))));
    }
}

/// Answers all that waited for `reached`, in offset order.
fn answer<T>(waiting: &mut VecDeque<Waiting<T>>, reached: Offset, effects: &mut Vec<Effect<T>>) {
    while waiting.front().is_some_and(|first| first.needs <= reached) {
        if let Some(Waiting { token, answer, .. }) = waiting.pop_front() {
            effects.push(Effect::Reply(token, Ok(answer)));
        }
    }
}
