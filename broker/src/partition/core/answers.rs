//! Answers that wait until what they speak of is written, or committed.

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

/// The answers of one partition, each list ordered by what it needs.
#[derive(Debug)]
pub(super) struct Answers<T> {
    /// To acks=1 (and 0, which the wire does not carry).
    until_written: VecDeque<Waiting<T>>,
    /// To acks=all.
    until_committed: VecDeque<Waiting<T>>,
}

impl<T> Default for Answers<T> {
    fn default() -> Answers<T> {
        Answers {
            until_written: VecDeque::new(),
            until_committed: VecDeque::new(),
        }
    }
}

impl<T> Answers<T> {
    /// Parks an answer; at the end of the turn it may go out at once, as it does for most repeats.
    pub(super) fn park(&mut self, acks: Acks, token: T, answer: Appended) {
        let needs = answer.last_offset.plus(1);
        let waiting = match acks {
            Acks::None | Acks::Leader => &mut self.until_written,
            Acks::All => &mut self.until_committed,
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

    pub(super) fn written(&mut self, upto: Offset, effects: &mut Vec<Effect<T>>) {
        answer(&mut self.until_written, upto, effects);
    }

    pub(super) fn committed(&mut self, upto: Offset, effects: &mut Vec<Effect<T>>) {
        answer(&mut self.until_committed, upto, effects);
    }

    /// Tells all that wait that it came to nothing.
    pub(super) fn refuse(&mut self, failure: AppendFailure, effects: &mut Vec<Effect<T>>) {
        let written = self.until_written.drain(..);
        let waiting = written.chain(self.until_committed.drain(..));
        effects.extend(waiting.map(|waiting| Effect::Reply(waiting.token, Err(failure))));
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
