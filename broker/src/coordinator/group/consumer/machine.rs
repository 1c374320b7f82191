//! One group as events and effects: heartbeats, silence and the outcome of writes go in, answers and writes come out.
//!
//! ```text
//!  heartbeat --> nothing to do and no write under way: answered at once
//!           \--> waiting --turn--> a copy of the state --+-- no difference: answered
//!                                                        '-- write under way ... durable: it is the state; answered
//!                                                                           '... failed: dropped; told to try again
//! ```
//! One write is under way at a time, and what arrives meanwhile shares the next turn. So the state is always one that
//! the log holds, and a crowd of members that join at once costs a few writes and a few assignments.
//! Invariants: every member has a session timer, unless it is among the silent; a member that has been asked to give
//! partitions up has a revocation timer, unless it is among the slow.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::admission::{Admitted, Turn, beat_of, check_epoch};
use super::changes;
use super::member::{Hold, Member, Phase};
use super::records::Record;
use super::request::{Answer, Heartbeat, Refused};
use super::state::State;
use super::subscription::Topics;
use super::{EXPIRE_AGAIN, Epoch, PATTERNS_AGAIN, WAITING_MAX};
use crate::coordinator::group::event::GroupError;
use crate::coordinator::group::timers::Timers;
use crate::coordinator::group::{GroupId, GroupSettings, MemberId, Now, Ticket};

/// A heartbeat, with the topics as they were when it came.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who waits for the answer.
    pub ticket: Ticket,
    /// What is said.
    pub heartbeat: Heartbeat,
    /// The topics.
    pub topics: Arc<dyn Topics>,
}

/// What happens to a group.
#[derive(Debug)]
pub enum Event {
    /// ConsumerGroupHeartbeat; its [`check`](Heartbeat::check) has been made.
    Heartbeat(Box<Ask>),
    /// The write under way is durable, or failed.
    Written(Result<(), GroupError>),
    /// A deadline may have passed.
    Tick,
}

/// What the caller must do after a step, in order.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request.
    Reply(Ticket, Answer),
    /// Make these durable as one piece, then hand the outcome back.
    Write(Vec<Record>),
}

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Deadline {
    /// A member has been silent for its session.
    Session(MemberId),
    /// A member has not given up in time what it was asked to.
    Revocation(MemberId),
}

/// What a turn led to, until it is durable.
#[derive(Debug)]
struct UnderWay {
    state: State,
    replies: Vec<(Ticket, Answer)>,
    looked: Looked,
    /// Deadlines that have passed and were seen to: they pass again if the write fails.
    seen_to: Vec<Deadline>,
}

/// How far the group has looked at the topics.
#[derive(Debug, Clone, Copy, Default)]
struct Looked {
    /// The version of the topics, `None` before the first look.
    topics: Option<u64>,
    /// The version that patterns were matched against, and when.
    patterns: Option<(u64, u64)>,
}

impl Looked {
    /// Whether patterns must be matched against this version now.
    fn wants_patterns(self, version: u64, now: Now) -> bool {
        self.patterns.is_none_or(|(seen, at)| {
            let again = u64::try_from(PATTERNS_AGAIN.as_millis()).unwrap_or(u64::MAX);
            seen < version && now.tick_ms.saturating_sub(at) >= again
        })
    }
}

/// One group.
#[derive(Debug)]
pub struct ConsumerGroup {
    name: GroupId,
    settings: Arc<GroupSettings>,
    pub(super) state: State,
    waiting: Vec<Ask>,
    under_way: Option<UnderWay>,
    timers: Timers<Deadline>,
    /// Members whose session has passed, until the next turn.
    silent: BTreeSet<MemberId>,
    /// Members that did not give up in time, and the epoch they are stuck in.
    slow: BTreeSet<(MemberId, Epoch)>,
    looked: Looked,
    /// The newest topics that a request brought: what turns without a request go by.
    topics: Option<Arc<dyn Topics>>,
    /// Of the state, counted when it changes.
    held_bytes: usize,
}

impl ConsumerGroup {
    /// A group without members.
    pub fn new(name: GroupId, settings: Arc<GroupSettings>) -> ConsumerGroup {
        ConsumerGroup {
            name,
            settings,
            state: State::default(),
            waiting: Vec::new(),
            under_way: None,
            timers: Timers::default(),
            silent: BTreeSet::new(),
            slow: BTreeSet::new(),
            looked: Looked::default(),
            topics: None,
            held_bytes: 0,
        }
    }

    /// A record of the log, while it is being read; [`ConsumerGroup::loaded`] comes at the end.
    pub fn replay(&mut self, record: Record) {
        self.state.replay(record);
    }

    /// The log has been read: sessions run from now (trap 67).
    pub fn loaded(&mut self, now: Now) {
        self.state.replayed();
        self.held_bytes = self.state.held_bytes();
        let members: Vec<_> = self.state.members().keys().cloned().collect();
        for id in members {
            self.touch(&id, now);
            self.watch_revocation(&id, now);
        }
    }

    /// Takes one event.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Heartbeat(ask) => self.heartbeat(*ask, now, &mut out),
            Event::Written(result) => self.written(result, now, &mut out),
            Event::Tick => self.tick(now),
        }
        while self.under_way.is_none() && self.has_work() {
            self.turn(now, &mut out);
        }
        out
    }

    /// When [`Event::Tick`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Whether nothing but offsets could make it worth keeping.
    pub fn is_idle(&self) -> bool {
        self.state.members().is_empty() && self.under_way.is_none() && !self.has_work()
    }

    /// Bytes of memory it holds on to, about.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Tombstones for all that the log may hold of it.
    pub fn tombstones(&self) -> Vec<Record> {
        changes::tombstones(&self.state)
    }

    fn has_work(&self) -> bool {
        !(self.waiting.is_empty() && self.silent.is_empty() && self.slow.is_empty())
    }

    fn heartbeat(&mut self, ask: Ask, now: Now, out: &mut Vec<Effect>) {
        let newer = |known: &Arc<dyn Topics>| ask.topics.version() > known.version();
        if self.topics.as_ref().is_none_or(newer) {
            self.topics = Some(Arc::clone(&ask.topics));
        }
        if self.under_way.is_none()
            && !self.has_work()
            && let Some(answer) = self.nothing_to_do(&ask.heartbeat, now)
        {
            self.touch(&ask.heartbeat.member_id, now);
            out.push(Effect::Reply(ask.ticket, Ok(answer)));
        } else if self.waiting.len() >= WAITING_MAX {
            let refused = Refused::from(GroupError::CoordinatorNotAvailable);
            out.push(Effect::Reply(ask.ticket, Err(refused)));
        } else {
            self.waiting.push(ask);
        }
    }

    /// The answer to a heartbeat that changes nothing, which nearly all do not: no copy is made for it.
    fn nothing_to_do(&self, beat: &Heartbeat, now: Now) -> Option<super::request::Beat> {
        let state = &self.state;
        let member = state.member(&beat.member_id)?;
        let version = self.topics.as_ref().map(|topics| topics.version());
        let patterns_due =
            !state.patterns.is_empty() && self.looked.wants_patterns(version.unwrap_or(0), now);
        let quiet = beat.epoch > Epoch::JOIN
            && state.epoch == state.assignment_epoch
            && member.hold.is_at(state.assignment_epoch)
            && self.looked.topics == version
            && !patterns_due
            && says_nothing_new(member, beat)
            && check_epoch(member, beat).is_ok();
        quiet.then(|| beat_of(beat, &member.hold, &member.hold, &self.settings.consumer))
    }

    fn turn(&mut self, now: Now, out: &mut Vec<Effect>) {
        let asks = std::mem::take(&mut self.waiting);
        let Some(topics) = self.topics.clone() else {
            self.turn_without_topics(now, out);
            return;
        };
        let mut looked = self.looked;
        let settings = Arc::clone(&self.settings);
        let name = Arc::clone(&self.name);
        let mut turn = Turn::new(self.state.clone(), &name, &settings.consumer, &*topics, now);
        let mut seen_to = self.fence_slow(&mut turn);
        let mut replies = Vec::new();
        let mut inside = Vec::new();
        for ask in asks {
            match turn.admit(&ask.heartbeat) {
                Ok(Admitted::In(before)) => {
                    self.touch(&ask.heartbeat.member_id, now);
                    inside.push((ask, before));
                }
                Ok(Admitted::Gone(beat)) => replies.push((ask.ticket, Ok(beat))),
                Err(refused) => replies.push((ask.ticket, Err(refused))),
            }
        }
        seen_to.extend(self.fence_silent(&mut turn));
        let version = topics.version();
        let patterns = looked.wants_patterns(version, now);
        if turn.has_changed() || patterns || looked.topics != Some(version) {
            turn.look(patterns);
            looked.topics = Some(version);
            if patterns {
                looked.patterns = Some((version, now.tick_ms));
            }
        }
        turn.bump();
        if !inside.is_empty() {
            turn.assign();
        }
        for (ask, before) in inside {
            replies.push((ask.ticket, turn.answer(&ask.heartbeat, &before)));
        }
        let state = turn.state;
        self.finish(
            UnderWay {
                state,
                replies,
                looked,
                seen_to,
            },
            now,
            out,
        );
    }

    /// Before the first request after a load only silence can be dealt with.
    fn turn_without_topics(&mut self, now: Now, out: &mut Vec<Effect>) {
        let topics = NoTopics;
        let settings = Arc::clone(&self.settings);
        let name = Arc::clone(&self.name);
        let mut turn = Turn::new(self.state.clone(), &name, &settings.consumer, &topics, now);
        let mut seen_to = self.fence_slow(&mut turn);
        seen_to.extend(self.fence_silent(&mut turn));
        turn.bump();
        let (state, looked) = (turn.state, self.looked);
        let replies = Vec::new();
        self.finish(
            UnderWay {
                state,
                replies,
                looked,
                seen_to,
            },
            now,
            out,
        );
    }

    /// Takes out who did not give up in time and still has not. One that left or was replaced in this turn is as it was
    /// if the write fails, so its deadline is kept as well.
    fn fence_slow(&mut self, turn: &mut Turn<'_>) -> Vec<Deadline> {
        let mut seen_to = Vec::new();
        for (id, epoch) in std::mem::take(&mut self.slow) {
            let stuck = turn.state.member(&id).is_some_and(|member| {
                member.hold.phase == Phase::Unrevoked && member.hold.epoch == epoch
            });
            if stuck {
                tracing::info!(group = %self.name, member = %id, "member dropped: it did not give partitions up in time");
                turn.fence(&id);
            }
            seen_to.push(Deadline::Revocation(id));
        }
        seen_to
    }

    /// Takes out who has been silent; those heard in this turn are no more among them. As in `fence_slow`, every deadline
    /// is kept.
    fn fence_silent(&mut self, turn: &mut Turn<'_>) -> Vec<Deadline> {
        let mut seen_to = Vec::new();
        for id in std::mem::take(&mut self.silent) {
            if turn.state.member(&id).is_some() {
                tracing::info!(group = %self.name, member = %id, "member dropped: its session has passed");
                turn.fence(&id);
            }
            seen_to.push(Deadline::Session(id));
        }
        seen_to
    }

    fn finish(&mut self, under_way: UnderWay, now: Now, out: &mut Vec<Effect>) {
        let records = changes::between(&self.state, &under_way.state);
        if records.is_empty() {
            self.adopt(under_way, now, out);
        } else {
            self.under_way = Some(under_way);
            out.push(Effect::Write(records));
        }
    }

    fn written(&mut self, result: Result<(), GroupError>, now: Now, out: &mut Vec<Effect>) {
        let Some(under_way) = self.under_way.take() else {
            return;
        };
        let Err(error) = result else {
            self.adopt(under_way, now, out);
            return;
        };
        for (ticket, answer) in under_way.replies {
            let answer = answer.and(Err(Refused::from(error)));
            out.push(Effect::Reply(ticket, answer));
        }
        for deadline in under_way.seen_to {
            self.timers.set(deadline, now.plus(EXPIRE_AGAIN));
        }
    }

    /// What was worked out is durable: it is the state now.
    fn adopt(&mut self, under_way: UnderWay, now: Now, out: &mut Vec<Effect>) {
        let old = std::mem::replace(&mut self.state, under_way.state);
        self.looked = under_way.looked;
        self.held_bytes = self.state.held_bytes();
        for id in old
            .members()
            .keys()
            .filter(|id| self.state.member(id).is_none())
        {
            self.timers.cancel(&Deadline::Session(id.clone()));
            self.timers.cancel(&Deadline::Revocation(id.clone()));
        }
        let moved = |(id, member): (&MemberId, &Member)| {
            let before = old.member(id).map(|before| &before.hold);
            let same = before.is_some_and(|before| Arc::ptr_eq(before, &member.hold));
            (!same).then(|| id.clone())
        };
        let moved: Vec<_> = self.state.members().iter().filter_map(moved).collect();
        for id in moved {
            self.watch_revocation(&id, now);
        }
        for (ticket, answer) in under_way.replies {
            out.push(Effect::Reply(ticket, answer));
        }
    }

    fn tick(&mut self, now: Now) {
        while let Some(deadline) = self.timers.pop_due(now.tick_ms) {
            match deadline {
                Deadline::Session(id) => {
                    self.silent.insert(id);
                }
                Deadline::Revocation(id) => {
                    if let Some(member) = self.state.member(&id) {
                        let epoch = member.hold.epoch;
                        self.slow.insert((id, epoch));
                    }
                }
            }
        }
    }

    /// A sign of life.
    fn touch(&mut self, id: &MemberId, now: Now) {
        self.silent.remove(id);
        let at = now.plus(self.settings.consumer.session_timeout);
        self.timers.set(Deadline::Session(id.clone()), at);
    }

    /// The time to give partitions up begins with each time a member is asked to.
    fn watch_revocation(&mut self, id: &MemberId, now: Now) {
        let deadline = Deadline::Revocation(id.clone());
        let asked = |hold: &Hold| hold.phase == Phase::Unrevoked && !hold.revoking.is_empty();
        match self.state.member(id).filter(|member| asked(&member.hold)) {
            Some(member) => {
                let at = now.plus(member.wishes.rebalance_timeout());
                self.timers.set(deadline, at);
            }
            None => self.timers.cancel(&deadline),
        }
    }
}

/// Whether everything that a heartbeat says is known.
fn says_nothing_new(member: &Member, beat: &Heartbeat) -> bool {
    let wishes = &member.wishes;
    let same = |said: &Option<Arc<str>>, known: &Option<Arc<str>>| said.is_none() || said == known;
    same(&beat.instance_id, &wishes.instance_id)
        && same(&beat.rack_id, &wishes.rack_id)
        && same(&beat.pattern, &wishes.pattern)
        && same(&beat.assignor, &wishes.assignor)
        && beat.client_id == wishes.client_id
        && beat.client_host == wishes.client_host
        && beat
            .rebalance_timeout_ms
            .is_none_or(|ms| ms == wishes.rebalance_timeout_ms)
        && beat
            .topics
            .as_ref()
            .is_none_or(|topics| *topics == wishes.topics)
}

/// No topics at all: for a turn that does not look at them.
#[derive(Debug)]
struct NoTopics;

impl Topics for NoTopics {
    fn version(&self) -> u64 {
        0
    }

    fn shape(&self, _name: &str) -> Option<super::subscription::TopicShape> {
        None
    }

    fn names(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
}
