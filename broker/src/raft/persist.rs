//! Readies whose effects wait for the disk.
//!
//! ```text
//!           votes synced      entries durable too
//! Ready 4  ----------------> a leader's messages
//!          --------------------------------------> a follower's messages, then on_persist_ready(4)
//! Ready 5        only after Ready 4, even if it has nothing to write
//! ```
//!
//! A change of term or vote has a number; the journal answers with the greatest number that is synced. Voters
//! that are stated have one too, but only the window's start waits for these: the log has them as well.
//! Followers are sent entries before the leader's own sync, never before the sync of its vote.

use std::collections::VecDeque;

use headrace_storage::EntryIndex;
use raft::eraftpb::Message;

#[derive(Debug)]
struct Unpersisted {
    number: u64,
    /// The last change of term or vote up to and with this Ready.
    vote: u64,
    /// Its last entry; lowered when that is cut off again.
    last: EntryIndex,
    /// Leave once the votes are synced.
    early: Vec<Message>,
    /// Leave once everything is.
    late: Vec<Message>,
}

/// The Readies of one group, oldest first.
#[derive(Debug, Default)]
pub(super) struct PersistQueue {
    waiting: VecDeque<Unpersisted>,
    /// The last number given.
    staged: u64,
    /// The last that was a term or vote.
    vote: u64,
    synced: u64,
    durable: EntryIndex,
}

/// What a Ready states, for the queue.
#[derive(Debug, Default)]
pub(super) struct Stated {
    pub(super) number: u64,
    pub(super) last: EntryIndex,
    pub(super) early: Vec<Message>,
    pub(super) late: Vec<Message>,
}

impl PersistQueue {
    /// The number of a term or vote that goes to the journal.
    pub(super) fn stage_vote(&mut self) -> u64 {
        self.vote = self.stage_voters();
        self.vote
    }

    /// The number of voters that go to the journal.
    pub(super) fn stage_voters(&mut self) -> u64 {
        self.staged += 1;
        self.staged
    }

    /// Whether every term and vote is synced.
    pub(super) fn vote_is_synced(&self) -> bool {
        self.synced >= self.vote
    }

    /// Whether everything that was handed to the journal is synced.
    pub(super) fn all_is_synced(&self) -> bool {
        self.synced == self.staged
    }

    pub(super) fn push(&mut self, stated: Stated) {
        let Stated {
            number,
            last,
            early,
            late,
        } = stated;
        self.waiting.push_back(Unpersisted {
            number,
            vote: self.vote,
            last,
            early,
            late,
        });
    }

    /// The log's entries behind `last` are gone, and with them the wait for their sync.
    pub(super) fn truncated(&mut self, last: EntryIndex) {
        self.durable = self.durable.min(last);
        for ready in &mut self.waiting {
            ready.last = ready.last.min(last);
        }
    }

    /// Changes of the journal up to this number are synced.
    pub(super) fn votes_synced(&mut self, number: u64) {
        self.synced = self.synced.max(number);
    }

    /// The log is durable up to this entry.
    pub(super) fn durable(&mut self, last: EntryIndex) {
        self.durable = last;
    }

    /// Messages that may leave now, in order; and the last Ready that is persisted with all before it.
    pub(super) fn release(&mut self, send: &mut Vec<Message>) -> Option<u64> {
        let mut persisted = None;
        while let Some(first) = self.waiting.front() {
            if first.vote > self.synced || first.last > self.durable {
                break;
            }
            let ready = self.waiting.pop_front().expect("looked at above");
            send.extend(ready.early);
            send.extend(ready.late);
            persisted = Some(ready.number);
        }
        for ready in &mut self.waiting {
            if ready.vote > self.synced {
                break;
            }
            send.append(&mut ready.early);
        }
        persisted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(commit: u64) -> Message {
        Message {
            commit,
            ..Message::default()
        }
    }

    fn released(queue: &mut PersistQueue) -> (Vec<u64>, Option<u64>) {
        let mut send = Vec::new();
        let persisted = queue.release(&mut send);
        (
            send.iter().map(|message| message.commit).collect(),
            persisted,
        )
    }

    fn stated(number: u64, last: u64, early: &[u64], late: &[u64]) -> Stated {
        Stated {
            number,
            last: EntryIndex(last),
            early: early.iter().copied().map(message).collect(),
            late: late.iter().copied().map(message).collect(),
        }
    }

    #[test]
    fn nothing_leaves_before_the_votes_of_its_own_and_earlier_readies_are_synced() {
        let mut queue = PersistQueue::default();
        let vote = queue.stage_vote();
        queue.push(stated(1, 0, &[10], &[11]));
        queue.push(stated(2, 0, &[20], &[]));
        queue.durable(EntryIndex(9));
        assert_eq!(released(&mut queue), (vec![], None));
        queue.votes_synced(vote);
        assert_eq!(released(&mut queue), (vec![10, 11, 20], Some(2)));
    }

    #[test]
    fn voters_are_not_waited_for() {
        let mut queue = PersistQueue::default();
        let voters = queue.stage_voters();
        queue.push(stated(1, 0, &[10], &[11]));
        assert_eq!(released(&mut queue), (vec![10, 11], Some(1)));
        assert!(queue.vote_is_synced() && !queue.all_is_synced());
        queue.votes_synced(voters);
        assert!(queue.all_is_synced());
    }

    #[test]
    fn a_leaders_messages_do_not_wait_for_its_entries() {
        let mut queue = PersistQueue::default();
        queue.push(stated(1, 5, &[10], &[]));
        queue.push(stated(2, 6, &[20], &[]));
        assert_eq!(released(&mut queue), (vec![10, 20], None));
        queue.durable(EntryIndex(5));
        assert_eq!(released(&mut queue), (vec![], Some(1)));
        queue.durable(EntryIndex(6));
        assert_eq!(released(&mut queue), (vec![], Some(2)));
    }

    #[test]
    fn a_reply_waits_for_earlier_readies_even_if_its_own_writes_nothing() {
        let mut queue = PersistQueue::default();
        queue.push(stated(1, 5, &[], &[10]));
        queue.push(stated(2, 0, &[], &[20]));
        queue.durable(EntryIndex(4));
        assert_eq!(released(&mut queue), (vec![], None));
        queue.durable(EntryIndex(5));
        assert_eq!(released(&mut queue), (vec![10, 20], Some(2)));
    }

    #[test]
    fn entries_that_were_cut_off_are_not_waited_for() {
        let mut queue = PersistQueue::default();
        queue.push(stated(1, 8, &[], &[10]));
        queue.durable(EntryIndex(4));
        queue.truncated(EntryIndex(3));
        queue.push(stated(2, 4, &[], &[20]));
        queue.durable(EntryIndex(3));
        assert_eq!(released(&mut queue), (vec![10], Some(1)));
        queue.durable(EntryIndex(4));
        assert_eq!(released(&mut queue), (vec![20], Some(2)));
    }
}
