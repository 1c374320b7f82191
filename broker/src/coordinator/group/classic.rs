//! The classic group protocol as a state machine: `step(event, now)` changes one group and tells what to do.
//!
//! What a reply acknowledges is durable before the reply: the assignment of a generation and the change of
//! a static member's id go out as a write first, and take effect when it is confirmed. A failed write leaves
//! the group as if it had not been asked, except that members are told to join again.
//!
//! The questions are answered in sibling files: who is in it (`members`), joining (`join`), the join phase
//! (`rebalance`), the protocol (`protocol_choice`), the assignment (`sync`), going (`leave`).
//! Invariants: members exist only outside Empty; a member's session runs unless its join or sync is
//! unanswered; a generation's assignment is set once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::event::{Effect, Event, GroupError, Heartbeat, Identity, Purpose, Reply};
use super::members::{Awaited, Member, Members, Protocol, millis};
use super::records::{GroupMetadata, MemberRecord};
use super::timers::{TimerKey, Timers};
use super::{Generation, GroupSettings, GroupState, MemberId, Now, Ticket};

/// One group.
#[derive(Debug)]
pub struct ClassicGroup {
    pub(super) settings: Arc<GroupSettings>,
    pub(super) state: GroupState,
    pub(super) generation: Generation,
    /// Set by the first member, kept while empty; `None` for a group that only ever held offsets.
    pub(super) protocol_type: Option<Arc<str>>,
    /// The protocol of this generation; `None` while Empty.
    pub(super) protocol: Option<Arc<str>>,
    pub(super) members: Members,
    pub(super) timers: Timers,
    /// The first rebalance of an empty group waits for more members.
    pub(super) initial_delay: Option<InitialDelay>,
    /// The assignment of this generation, handed to the log and not yet confirmed.
    pub(super) assigning: Option<HashMap<MemberId, Bytes>>,
    /// Writes handed out and not yet confirmed.
    pub(super) writes: usize,
    /// When the state last changed, milliseconds since 1970.
    pub(super) state_since_ms: i64,
}

/// How the first join phase of an empty group is stretched while newcomers arrive.
#[derive(Debug)]
pub(super) struct InitialDelay {
    /// How much longer it may be stretched.
    pub(super) remaining: Duration,
    /// Somebody joined since it was last stretched.
    pub(super) newcomer: bool,
}

/// What a step reads and fills.
pub(super) struct Step {
    pub(super) now: Now,
    pub(super) out: Vec<Effect>,
}

impl Step {
    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.out.push(Effect::Reply(ticket, reply));
    }
}

impl ClassicGroup {
    /// A group nobody has joined yet.
    pub fn new(settings: Arc<GroupSettings>) -> ClassicGroup {
        ClassicGroup {
            settings,
            state: GroupState::Empty,
            generation: Generation(0),
            protocol_type: None,
            protocol: None,
            members: Members::default(),
            timers: Timers::default(),
            initial_delay: None,
            assigning: None,
            writes: 0,
            state_since_ms: -1,
        }
    }

    /// A group as the log holds it; every member gets a fresh session (trap 67).
    pub fn restore(
        metadata: GroupMetadata,
        settings: Arc<GroupSettings>,
        now: Now,
    ) -> ClassicGroup {
        let mut group = ClassicGroup::new(settings);
        group.generation = metadata.generation;
        group.state_since_ms = metadata.state_since_ms;
        if !metadata.protocol_type.is_empty() {
            group.protocol_type = Some(metadata.protocol_type);
        }
        if metadata.members.is_empty() {
            return group;
        }
        let protocol = metadata.protocol.unwrap_or_else(|| Arc::from(""));
        for record in metadata.members {
            if group.members.get(&record.member_id).is_some() {
                continue;
            }
            let member = restored_member(record, &protocol);
            group.timers.set(
                TimerKey::Session(member.id.clone()),
                now.plus(member.session_timeout),
            );
            group.members.add(member);
        }
        if let Some(leader) = metadata.leader.filter(|id| group.members.get(id).is_some()) {
            group.members.set_leader(leader);
        }
        group.protocol = Some(protocol);
        group.state = GroupState::Stable;
        group
    }

    /// Gives every member a fresh session: the log has been read, clients can be heard from now on.
    pub fn restart_sessions(&mut self, now: Now) {
        let ids: Vec<MemberId> = self
            .members
            .iter()
            .map(|member| member.id.clone())
            .collect();
        for id in ids {
            self.touch(&id, now);
        }
    }

    /// Takes one event; the effects are to be carried out in order.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut step = Step {
            now,
            out: Vec::new(),
        };
        match event {
            Event::Join(ticket, join) => self.join(ticket, join, &mut step),
            Event::Sync(ticket, sync) => self.sync(ticket, sync, &mut step),
            Event::Heartbeat(ticket, heartbeat) => {
                let result = self.heartbeat(&heartbeat, now);
                step.reply(ticket, Reply::Heartbeat(result));
            }
            Event::Leave(ticket, identities) => self.leave(ticket, &identities, &mut step),
            Event::Written(purpose, result) => self.written(purpose, result, &mut step),
            Event::Tick => self.tick(&mut step),
        }
        step.out
    }

    /// The tick at which [`Event::Tick`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Where the group stands.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// The generation that holds, or was last.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The protocol type; empty for a group that only holds offsets.
    pub fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or("")
    }

    /// The protocol of this generation.
    pub fn protocol(&self) -> Option<&Arc<str>> {
        self.protocol.as_ref()
    }

    /// Who is in it.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Whether nothing but offsets could make it worth keeping.
    pub fn is_idle(&self) -> bool {
        self.state == GroupState::Empty && self.members.pending() == 0 && self.writes == 0
    }

    /// Whether a commit of this sender may be stored now (trap 56); a valid one is a sign of life.
    pub fn check_commit(
        &mut self,
        identity: &Identity,
        generation: Generation,
        now: Now,
    ) -> Result<(), GroupError> {
        if generation.0 < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        let named =
            generation.0 >= 0 || !identity.member_id.is_empty() || identity.instance_id.is_some();
        if !named {
            return Err(GroupError::UnknownMemberId);
        }
        self.members.check(identity)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.touch(&identity.member_id, now);
        if self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat, now: Now) -> Result<(), GroupError> {
        self.members.check(&heartbeat.identity)?;
        if heartbeat.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.touch(&heartbeat.identity.member_id, now);
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(GroupError::UnknownMemberId),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    fn written(&mut self, purpose: Purpose, result: Result<(), GroupError>, step: &mut Step) {
        self.writes = self.writes.saturating_sub(1);
        match purpose {
            Purpose::Assignment(generation) => self.assigned(generation, result, step),
            Purpose::StaticReturn(ticket, join) => self.returned(ticket, *join, result, step),
            Purpose::Emptied => {}
        }
    }

    fn tick(&mut self, step: &mut Step) {
        while let Some(key) = self.timers.pop_due(step.now.tick_ms) {
            match key {
                TimerKey::JoinPhase => self.join_phase_over(step),
                TimerKey::SyncPhase(generation) => self.sync_phase_over(generation, step),
                TimerKey::Pending(id) => self.forget_pending(&id, step),
                TimerKey::Session(id) => self.expire(&id, step),
            }
        }
    }

    /// Restarts a member's session, unless it is held alive by an unanswered join or sync.
    pub(super) fn touch(&mut self, id: &str, now: Now) {
        if let Some(member) = self.members.get(id)
            && member.awaits_join.is_none()
            && member.awaits_sync.is_none()
        {
            self.timers.set(
                TimerKey::Session(member.id.clone()),
                now.plus(member.session_timeout),
            );
        }
    }

    pub(super) fn set_state(&mut self, state: GroupState, now: Now) {
        self.state = state;
        self.state_since_ms = now.wall_ms;
    }

    /// Asks for the group to be made durable with these assignments.
    pub(super) fn write(&mut self, purpose: Purpose, metadata: GroupMetadata, step: &mut Step) {
        self.writes += 1;
        step.out.push(Effect::Write { purpose, metadata });
    }

    /// The group as a record, each member with the assignment that `assignment` gives.
    pub(super) fn snapshot(&self, assignment: impl Fn(&Member) -> Bytes) -> GroupMetadata {
        let protocol = self.protocol.clone();
        let members = self.members.iter().map(|member| MemberRecord {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: wire_ms(member.rebalance_timeout),
            session_timeout_ms: wire_ms(member.session_timeout),
            subscription: member.metadata(protocol.as_deref().unwrap_or("")),
            assignment: assignment(member),
        });
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| Arc::from("")),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.members.leader().cloned(),
            state_since_ms: self.state_since_ms,
            members: members.collect(),
        }
    }

    /// Answers requests of a member that is no longer the one that asked.
    pub(super) fn abandon(awaited: Vec<(Ticket, Awaited)>, error: GroupError, step: &mut Step) {
        for (ticket, kind) in awaited {
            let reply = match kind {
                Awaited::Join => Reply::Join(Err(super::event::JoinRefused {
                    error,
                    member_id: Arc::from(""),
                })),
                Awaited::Sync => Reply::Sync(Err(error)),
            };
            step.reply(ticket, reply);
        }
    }
}

/// A duration that came from the wire, back in milliseconds.
pub(super) fn wire_ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn restored_member(record: MemberRecord, protocol: &Arc<str>) -> Member {
    Member {
        id: record.member_id,
        instance_id: record.instance_id,
        client_id: record.client_id,
        client_host: record.client_host,
        session_timeout: millis(record.session_timeout_ms),
        rebalance_timeout: millis(record.rebalance_timeout_ms),
        protocols: vec![Protocol {
            name: protocol.clone(),
            metadata: record.subscription,
        }],
        assignment: record.assignment,
        is_new: false,
        awaits_join: None,
        awaits_sync: None,
        has_synced: true,
    }
}
