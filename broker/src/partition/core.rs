//! What a replica decides about its partition: events in, effects out, and nothing else.
//!
//! No tokio, no clock, no file: the shard turns effects into writes and replies, a simulator can do the
//! same. Consensus (`raft`) sits in the middle of it:
//!
//! ```text
//! Append -> wait for the turn -> sequence check -> stamped -> proposed in this term -> Effect::Append
//!                                     '-> repeat, refusal: Reply     '-> dropped: NotLeader, nothing moved
//!   ... Written -> replies to acks=1     ... Durable -> committed -> Effect::Committed, replies to acks=all
//!           '-> under write caching: Effect::Visible, replies to acks=all
//! ```
//!
//! The caller's turn: [`Core::step`] for whatever happened, then [`Core::turn`], then do the effects in order;
//! `turn` again if it says so.
//!
//! Invariants, asserted by [`Core::assert_order`]: log start <= high watermark <= written <= next offset, and
//! committed <= high watermark, which are the same without write caching (`caching`). The high watermark never
//! goes back. `next_offset` moves only with an accepted proposal. Nothing is answered before it satisfies the acks
//! asked for, a repeat included, nor before this replica's vote is synced. After a failed write, or a panic of the
//! consensus, nothing is appended or acknowledged again.

mod answers;
mod caching;
mod proposals;
mod tail;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use headrace_storage::record::Batch;
use headrace_storage::{Entry, EntryIndex, LeaderEpoch, Offset};
use raft::eraftpb::Message;

use super::producers::Producers;
use super::{Acks, AppendFailure, Appended};
use crate::raft::{Group, Output, Role};
use answers::Answers;
use tail::{Tail, What};

/// What a recovered log says about itself.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The first offset there is.
    pub log_start: Offset,
    /// The offset after what is known to be committed.
    pub high_watermark: Offset,
    /// The offset after the last one; all below is durable.
    pub log_end: Offset,
    /// The last entry.
    pub last_index: EntryIndex,
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
    /// The topic's timestamps are the broker's.
    pub log_append_time: bool,
    /// The broker's clock, milliseconds since 1970.
    pub now_ms: i64,
}

/// What happens to a partition.
#[derive(Debug)]
pub enum Event<T> {
    /// Ask to lead, in a term of its own. A lone voter then does.
    Campaign,
    /// A tick of the consensus went by; only while [`Core::needs_ticks`].
    Tick,
    /// A produce request.
    Append(Append<T>),
    /// End the segment, if it has anything in it: its time has come.
    Roll {
        /// The broker's clock, milliseconds since 1970.
        now_ms: i64,
    },
    /// Whether what is written is answered for from now on, before it is synced. What was shown stays shown.
    WriteCaching(bool),
    /// Records below the offset are no longer needed. Moves at most to the high watermark, and not back.
    MoveLogStart(Offset),
    /// The same, and an answer once the log begins there durably.
    DeleteRecords {
        /// The offset.
        below: Offset,
        /// Comes back in [`Effect::Reply`].
        token: T,
    },
    /// Everything below the offset is written.
    Written(Offset),
    /// Everything up to the entry is durable.
    Durable(EntryIndex),
    /// Votes up to this number are synced.
    VotesSynced(u64),
    /// Producers as of the log's new end, after it was cut.
    Producers(Producers),
    /// A write or sync failed; the log is closed to writes for good.
    WriteFailed,
    /// The partition goes away; all that waits gets this failure.
    Abandon(AppendFailure),
}

/// What the caller must do, in this order.
#[derive(Debug)]
pub enum Effect<T> {
    /// Stage term and vote in the journal; [`Event::VotesSynced`] with the number once it is synced.
    Vote {
        /// The term.
        term: LeaderEpoch,
        /// Whom this replica voted for; 0 is nobody.
        vote: u64,
        /// The number of the change.
        number: u64,
    },
    /// Stage the voters as of an entry in the journal, as with a vote.
    Membership {
        /// The entry.
        index: EntryIndex,
        /// The voters.
        content: Bytes,
        /// The number of the change.
        number: u64,
    },
    /// Cut the log behind the entry, durably; then [`Event::Producers`].
    Truncate(EntryIndex),
    /// Stage the entries in the log; the first gets exactly this index, the others follow.
    Append(EntryIndex, Vec<Entry>),
    /// Send the message, with the payloads of the entries it names.
    Send(Box<Message>),
    /// Everything up to the entry is committed: show readers the high watermark, and wake those that wait.
    Committed(EntryIndex, Offset),
    /// Everything below the offset is written, and shown before it is committed: as with a commit.
    Visible(Offset),
    /// The entry that begins this leader's term is committed: the partition can be used.
    Serves,
    /// Nobody asks for entries below: segments may be compacted, or removed if the log start passed them.
    Window(EntryIndex),
    /// Keep this producer snapshot; what it says is committed.
    Snapshot(Vec<u8>),
    /// The consensus of this partition ended with a panic, and with it all writes.
    Quarantined(Arc<str>),
    /// Answer.
    Reply(T, Result<Appended, AppendFailure>),
}

/// One replica's state of one partition.
#[derive(Debug)]
pub struct Core<T> {
    group: Group,
    /// The term in which this replica leads.
    leads: Option<LeaderEpoch>,
    /// The last term that it led in whose first entry is committed.
    serves: Option<LeaderEpoch>,
    /// Whether the topic's batches are answered for before they are synced.
    caching: bool,
    log_start: Offset,
    /// The offset that the next record gets.
    next_offset: Offset,
    written: Offset,
    /// The offset after the last entry that is committed; never goes back.
    committed: Offset,
    /// What readers see: `committed`, or more under write caching.
    high_watermark: Offset,
    producers: Producers,
    /// Batches that came in this turn and have no place yet.
    arriving: VecDeque<Append<T>>,
    /// Control entries to propose before them.
    wanted: Vec<Entry>,
    /// What is in the log and not committed.
    tail: Tail,
    answers: Answers<T>,
    /// Where the producer snapshot beside the log was taken.
    snapshot_kept: Option<Offset>,
    /// Whether the window's start may be behind what it could be.
    window_due: bool,
    failed: bool,
}

impl<T> Core<T> {
    /// Takes over a recovered log; it leads once it campaigned and won.
    pub fn new(recovered: Recovered, group: Group) -> Core<T> {
        Core {
            group,
            leads: None,
            serves: None,
            caching: false,
            log_start: recovered.log_start,
            next_offset: recovered.log_end,
            written: recovered.log_end,
            committed: recovered.high_watermark,
            high_watermark: recovered.high_watermark,
            producers: recovered.producers,
            arriving: VecDeque::new(),
            wanted: Vec::new(),
            tail: Tail::recovered(recovered.last_index, recovered.log_end),
            answers: Answers::default(),
            snapshot_kept: recovered.snapshot,
            window_due: false,
            failed: false,
        }
    }

    /// Takes note of one event; effects are added behind those already in `effects`.
    pub fn step(&mut self, event: Event<T>, effects: &mut Vec<Effect<T>>) {
        match event {
            Event::Campaign => self.group.campaign(),
            Event::Tick => self.group.tick(),
            Event::Append(append) if self.failed => {
                let closed = Err(AppendFailure::LogClosed);
                effects.push(Effect::Reply(append.token, closed));
            }
            Event::Append(append) => self.arriving.push_back(append),
            Event::WriteCaching(on) => self.caching = on,
            Event::Roll { now_ms } => self.want(Entry::Roll { at_ms: now_ms }),
            Event::MoveLogStart(offset) => self.move_log_start(offset),
            Event::DeleteRecords { token, .. } if self.failed => {
                effects.push(Effect::Reply(token, Err(AppendFailure::LogClosed)));
            }
            Event::DeleteRecords { below, token } => {
                let below = below.min(self.high_watermark);
                self.move_log_start(below);
                self.answers.park_until_start(below, token);
            }
            Event::Written(offset) => self.written = self.written.max(offset),
            Event::Durable(index) => self.group.durable(index),
            Event::VotesSynced(number) => self.group.votes_synced(number),
            Event::Producers(producers) => self.producers = producers,
            Event::WriteFailed => self.end(AppendFailure::LogClosed, effects),
            Event::Abandon(failure) => self.end(failure, effects),
        }
    }

    /// Proposes what has arrived and gives what follows from all events. `roll` says whether the log wants to
    /// end its segment before so many more bytes. True: once the effects are done there is more to propose.
    pub fn turn(&mut self, roll: &dyn Fn(usize) -> bool, effects: &mut Vec<Effect<T>>) -> bool {
        let more = self.propose(roll, effects);
        self.drain(effects);
        self.show_written(effects);
        if self.group.vote_is_synced() {
            self.answers.written(self.written, effects);
        }
        self.answers.committed(self.high_watermark, effects);
        self.answers.started(self.log_start, effects);
        self.yield_window(effects);
        self.assert_order();
        more && !self.failed
    }

    /// Whether [`Event::Tick`] means anything to it.
    pub fn needs_ticks(&self) -> bool {
        self.group.needs_ticks()
    }

    /// Whether batches wait for [`Core::turn`].
    pub fn has_arrivals(&self) -> bool {
        !self.arriving.is_empty()
    }

    /// Where the log begins, as it says after a commit: recovered entries may have moved it too.
    pub fn log_starts(&mut self, at: Offset) {
        self.log_start = self.log_start.max(at);
    }

    /// Why its consensus ended.
    pub fn quarantined(&self) -> Option<&Arc<str>> {
        self.group.quarantined()
    }

    /// The producers whose last sequence numbers still matter.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The producer state to keep when the log is closed: only if everything is committed, and there is
    /// something that the snapshot beside the log does not say.
    pub fn snapshot_at_close(&self) -> Option<Vec<u8>> {
        let clean = !self.failed && self.committed == self.next_offset;
        let kept = self.snapshot_kept.unwrap_or(self.log_start);
        let news = kept < self.next_offset;
        (clean && news).then(|| self.producers.snapshot(self.next_offset))
    }

    /// Takes the group's outputs, in their order.
    fn drain(&mut self, effects: &mut Vec<Effect<T>>) {
        if self.failed {
            return;
        }
        let mut outputs = Vec::new();
        self.group.drain(&mut outputs);
        // readers are shown the last commit of a turn only
        let (mut committed, mut then) = (None, Vec::new());
        for output in outputs {
            match output {
                Output::Role(role) => self.take_role(role, effects),
                Output::Vote { term, vote, number } => {
                    effects.push(Effect::Vote { term, vote, number });
                }
                Output::Membership {
                    index,
                    content,
                    number,
                } => effects.push(Effect::Membership {
                    index,
                    content,
                    number,
                }),
                Output::Truncate(last) => {
                    self.next_offset = self.tail.truncate(last, self.committed);
                    self.written = self.written.min(self.next_offset);
                    effects.push(Effect::Truncate(last));
                }
                Output::Append(first, entries) => {
                    for (index, entry) in (first.0..).map(EntryIndex).zip(&entries) {
                        self.place(index, entry);
                    }
                    effects.push(Effect::Append(first, entries));
                }
                Output::Send(message) => effects.push(Effect::Send(Box::new(message))),
                Output::Committed(upto) => {
                    committed = Some(upto);
                    self.commit(upto, &mut then);
                }
            }
        }
        if let Some(upto) = committed {
            effects.push(Effect::Committed(upto, self.high_watermark));
            effects.append(&mut then);
        }
        if let Some(reason) = self.group.quarantined() {
            effects.push(Effect::Quarantined(Arc::clone(reason)));
            self.end(AppendFailure::LogClosed, effects);
        }
    }

    fn take_role(&mut self, role: Role, effects: &mut Vec<Effect<T>>) {
        let before = self.leads;
        self.leads = match role {
            Role::Leader(term) => Some(term),
            Role::Follower { .. } | Role::Candidate(_) => None,
        };
        if before.is_some() && self.leads != before {
            self.refuse_all(AppendFailure::NotLeader, effects);
        }
    }

    /// Takes note of an entry that becomes part of the log.
    fn place(&mut self, index: EntryIndex, entry: &Entry) {
        let (end, what) = match entry {
            Entry::Batch(batch) => (batch.last_offset().plus(1), What::Other),
            Entry::Roll { at_ms } => {
                // silent producers are forgotten here, by the leader's clock
                self.producers.expire(*at_ms);
                let bytes = self.producers.snapshot(self.tail.end());
                (self.tail.end(), What::Roll(bytes))
            }
            Entry::LogStart { offset } => (self.tail.end(), What::LogStart(*offset)),
            Entry::NoOp { term } if self.leads == Some(*term) => {
                (self.tail.end(), What::NoOp(*term))
            }
            Entry::NoOp { .. } | Entry::Membership { .. } => (self.tail.end(), What::Other),
        };
        self.tail.push(index, end, what);
        self.next_offset = self.next_offset.max(end);
    }

    /// Everything up to the entry is committed: what waited for that has its effect, once readers know.
    fn commit(&mut self, upto: EntryIndex, then: &mut Vec<Effect<T>>) {
        while let Some((end, what)) = self.tail.pop(upto) {
            self.committed = self.committed.max(end);
            match what {
                What::Other => {}
                What::NoOp(term) => {
                    self.serves = Some(term);
                    then.push(Effect::Serves);
                    self.restate_voters(then);
                }
                What::Roll(bytes) => {
                    self.snapshot_kept = Some(end);
                    then.push(Effect::Snapshot(bytes));
                    self.restate_voters(then);
                }
                What::LogStart(offset) => {
                    self.log_start = self.log_start.max(offset);
                    self.window_due = true;
                }
            }
        }
        self.high_watermark = self.high_watermark.max(self.committed);
    }

    /// Has the journal say again who votes, so that a start need not look for it through all segments.
    fn restate_voters(&mut self, effects: &mut Vec<Effect<T>>) {
        self.window_due = true;
        // as of what is applied by now, which may lie past the entry that asks for it
        if let Some((index, content, number)) = self.group.restate_voters() {
            effects.push(Effect::Membership {
                index,
                content,
                number,
            });
        }
    }

    fn yield_window(&mut self, effects: &mut Vec<Effect<T>>) {
        if self.window_due
            && let Some(start) = self.group.window_may_start()
        {
            self.window_due = false;
            self.group.window_starts(start);
            effects.push(Effect::Window(start));
        }
    }

    fn move_log_start(&mut self, to: Offset) {
        let to = to.min(self.high_watermark);
        let wanted = self.wanted.iter().filter_map(|entry| match entry {
            Entry::LogStart { offset } => Some(*offset),
            _ => None,
        });
        // what somebody wanted in this turn already may lie further
        let offset = wanted.fold(to, Offset::max);
        if offset > self.log_start {
            self.want(Entry::LogStart { offset });
        }
    }

    fn want(&mut self, entry: Entry) {
        let same = |other: &Entry| std::mem::discriminant(other) == std::mem::discriminant(&entry);
        self.wanted.retain(|other| !same(other));
        self.wanted.push(entry);
    }

    /// No more writes.
    fn end(&mut self, failure: AppendFailure, effects: &mut Vec<Effect<T>>) {
        self.failed = true;
        self.wanted.clear();
        self.refuse_all(failure, effects);
    }

    fn refuse_all(&mut self, failure: AppendFailure, effects: &mut Vec<Effect<T>>) {
        self.answers.refuse(failure, effects);
        let arriving = self.arriving.drain(..);
        effects.extend(arriving.map(|append| Effect::Reply(append.token, Err(failure))));
    }

    /// As after a role change that the group has not told yet.
    #[cfg(test)]
    pub(super) fn testing_stop_leading(&mut self) {
        self.leads = None;
    }

    #[cfg(test)]
    pub(super) fn testing_lead_in(&mut self, term: LeaderEpoch) {
        self.leads = Some(term);
    }

    #[cfg(test)]
    pub(super) fn testing_propose_voter(&mut self, voter: crate::raft::ReplicaId) {
        let second = [crate::raft::Change::AddVoter(voter)];
        let proposed = self.group.propose_membership(&second);
        proposed.expect("it leads");
    }

    /// Hands the group what makes it panic.
    #[cfg(test)]
    pub(super) fn testing_break_consensus(&mut self) {
        let content = Bytes::new();
        let mistaken = vec![Entry::Membership { content }];
        let term = self.leads.expect("it leads");
        assert!(self.group.propose(term, mistaken).is_err());
    }

    /// The order of positions that everything relies on (replication notes).
    fn assert_order(&self) {
        assert!(
            self.log_start <= self.high_watermark
                && self.committed <= self.high_watermark
                && self.high_watermark <= self.written
                && self.written <= self.next_offset,
            "positions are out of order: {} {} {} {} {}",
            self.log_start,
            self.committed,
            self.high_watermark,
            self.written,
            self.next_offset
        );
    }
}
