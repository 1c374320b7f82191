//! JoinGroup: who may come in, who must first be told its id, and who may simply stay (traps 50, 51, 54).

use std::sync::Arc;

use super::classic::{ClassicGroup, Step};
use super::event::{GroupError, Join, JoinRefused, Joined, JoinedMember, Purpose, Reply};
use super::members::{Member, millis, protocol_bytes};
use super::protocol_choice;
use super::timers::TimerKey;
use super::{
    GROUP_METADATA_BYTES_MAX, GroupState, MemberId, NEW_MEMBER_JOIN_TIMEOUT, PROTOCOLS_MAX, Ticket,
};

impl ClassicGroup {
    pub(super) fn join(&mut self, ticket: Ticket, join: Join, step: &mut Step) {
        let sent_id = join.identity.member_id.clone();
        let result = if sent_id.is_empty() {
            self.join_without_id(ticket, join, step)
        } else {
            self.join_with_id(ticket, &join, step)
        };
        if let Err(error) = result {
            step.reply(ticket, refused(error, sent_id));
        }
    }

    fn join_without_id(
        &mut self,
        ticket: Ticket,
        join: Join,
        step: &mut Step,
    ) -> Result<(), GroupError> {
        let holder = join
            .identity
            .instance_id
            .as_deref()
            .and_then(|id| self.members.holder(id));
        let holder = holder.cloned();
        self.admit(&join, holder.as_ref())?;
        if let Some(old) = holder {
            self.join_as_returned(ticket, join, &old, step);
        } else if join.identity.instance_id.is_none() && join.knows_member_id_required {
            let id = join.fresh_member_id;
            self.timers.set(
                TimerKey::Pending(id.clone()),
                step.now.plus(millis(join.session_timeout_ms)),
            );
            self.members.add_pending(id.clone());
            step.reply(ticket, refused(GroupError::MemberIdRequired, id));
        } else {
            self.add_member(join.fresh_member_id.clone(), ticket, &join, step);
        }
        Ok(())
    }

    fn join_with_id(
        &mut self,
        ticket: Ticket,
        join: &Join,
        step: &mut Step,
    ) -> Result<(), GroupError> {
        let id = join.identity.member_id.clone();
        if self.members.is_pending(&id) {
            if join.identity.instance_id.is_some() {
                // A static member is never told its id first, so this is not the process it was given to.
                return Err(GroupError::UnknownMemberId);
            }
            self.admit(join, Some(&id))?;
            self.timers.cancel(&TimerKey::Pending(id.clone()));
            self.add_member(id, ticket, join, step);
            return Ok(());
        }
        self.members.check(&join.identity)?;
        self.admit(join, Some(&id))?;
        let member = self.members.get(&id).ok_or(GroupError::UnknownMemberId)?;
        let unchanged = member.protocols == join.protocols;
        let leads = self.members.is_leader(&id);
        match self.state {
            // Its answer was lost on the way: the same answer again.
            GroupState::CompletingRebalance if unchanged => self.answer_again(ticket, &id, step),
            // A follower that asks again without news keeps the generation; a leader that asks again has
            // seen something that calls for a new assignment.
            GroupState::Stable if unchanged && !leads => self.answer_again(ticket, &id, step),
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Stable => self.rejoin(&id, ticket, join, step),
            GroupState::Empty | GroupState::Dead => return Err(GroupError::UnknownMemberId),
        }
        Ok(())
    }

    /// Checks bounds and room for a joining client; `known` is the member or pending id it already has.
    fn admit(&self, join: &Join, known: Option<&MemberId>) -> Result<(), GroupError> {
        let session = millis(join.session_timeout_ms);
        if session < self.settings.session_timeout_min
            || session > self.settings.session_timeout_max
        {
            return Err(GroupError::InvalidSessionTimeout);
        }
        let known = known.map_or("", |id| &**id);
        let alone = self.members.iter().all(|member| &*member.id == known);
        let same_type = self
            .protocol_type
            .as_ref()
            .is_none_or(|own| *own == join.protocol_type);
        if join.protocol_type.is_empty()
            || join.protocols.len() > PROTOCOLS_MAX
            || !(same_type || alone)
            || !protocol_choice::fits(&self.members, known, &join.protocols)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        if known.is_empty()
            && self.members.len() + self.members.pending() >= self.settings.members_max
        {
            return Err(GroupError::GroupFull);
        }
        let replaced = self
            .members
            .get(known)
            .map_or(0, |member| protocol_bytes(&member.protocols));
        let bytes = self.members.metadata_bytes() - replaced + protocol_bytes(&join.protocols);
        if bytes > GROUP_METADATA_BYTES_MAX {
            return Err(GroupError::GroupFull);
        }
        Ok(())
    }

    fn add_member(&mut self, id: MemberId, ticket: Ticket, join: &Join, step: &mut Step) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        let mut member = Member::new(id.clone(), join);
        member.awaits_join = Some(ticket);
        self.members.add(member);
        self.timers.set(
            TimerKey::Session(id),
            step.now.plus(NEW_MEMBER_JOIN_TIMEOUT),
        );
        if let Some(delay) = &mut self.initial_delay {
            delay.newcomer = true;
        }
        self.want_rebalance(step);
    }

    /// A known member is ready for the next generation.
    fn rejoin(&mut self, id: &MemberId, ticket: Ticket, join: &Join, step: &mut Step) {
        self.members.update(id, join);
        if self.members.len() == 1 {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Some(member) = self.members.get_mut(id) {
            // A second request of the same member: the connection of the first is gone or confused.
            let older = member.awaits_join.replace(ticket);
            let session = TimerKey::Session(id.clone());
            if member.is_new {
                self.timers
                    .set(session, step.now.plus(NEW_MEMBER_JOIN_TIMEOUT));
            } else {
                self.timers.cancel(&session);
            }
            if let Some(older) = older {
                step.reply(older, refused(GroupError::RebalanceInProgress, id.clone()));
            }
        }
        self.want_rebalance(step);
    }

    /// A static member came back as a new process: it takes the place of the old one.
    fn join_as_returned(&mut self, ticket: Ticket, join: Join, old: &MemberId, step: &mut Step) {
        if self.state == GroupState::Stable && self.choice_with(old, &join) == self.protocol {
            // Nobody else notices. The new id is written first: were it lost, the returned process would
            // be fenced by its own predecessor after a restart of the broker.
            let metadata = self.snapshot_with(old, &join);
            self.write(
                Purpose::StaticReturn(ticket, Box::new(join)),
                metadata,
                step,
            );
            return;
        }
        let id = self.replace(old, &join, step);
        self.rejoin(&id, ticket, &join, step);
    }

    /// The outcome of writing a static member's new id.
    pub(super) fn returned(
        &mut self,
        ticket: Ticket,
        join: Join,
        result: Result<(), GroupError>,
        step: &mut Step,
    ) {
        if let Err(error) = result {
            step.reply(ticket, refused(error, join.identity.member_id));
            return;
        }
        let instance = join.identity.instance_id.as_deref().unwrap_or("");
        let Some(old) = self.members.holder(instance).cloned() else {
            // It left or expired meanwhile: an ordinary newcomer.
            self.join(ticket, join, step);
            return;
        };
        if self.state != GroupState::Stable || self.choice_with(&old, &join) != self.protocol {
            self.join(ticket, join, step);
            return;
        }
        let leader_before = self.members.leader().cloned();
        let id = self.replace(&old, &join, step);
        self.members.update(&id, &join);
        self.touch(&id, step.now);
        let mut joined = self.joined(&id);
        if self.members.is_leader(&id) {
            if join.can_skip_assignment {
                joined.skip_assignment = true;
            } else {
                // An older client would assign for a generation that has its assignment: it is told that
                // its former self leads, which it does not recognise.
                joined.leader = leader_before.unwrap_or(joined.leader);
                joined.members.clear();
            }
        }
        step.reply(ticket, Reply::Join(Ok(joined)));
    }

    /// Puts the new id in the place of the old one and fences whoever still waits under the old.
    fn replace(&mut self, old: &MemberId, join: &Join, step: &mut Step) -> MemberId {
        let id = join.fresh_member_id.clone();
        let abandoned = self.members.rename(old, id.clone());
        self.timers.cancel(&TimerKey::Session(old.clone()));
        ClassicGroup::abandon(abandoned, GroupError::FencedInstanceId, step);
        id
    }

    /// The protocol that would be chosen if `id` had the wishes of `join`.
    fn choice_with(&self, id: &MemberId, join: &Join) -> Option<Arc<str>> {
        protocol_choice::choose_with(&self.members, id, &join.protocols)
    }

    fn snapshot_with(&self, old: &MemberId, join: &Join) -> super::records::GroupMetadata {
        let mut metadata = self.snapshot(|member| member.assignment.clone());
        if metadata.leader.as_ref() == Some(old) {
            metadata.leader = Some(join.fresh_member_id.clone());
        }
        let protocol = self.protocol.as_deref().unwrap_or("");
        for member in metadata
            .members
            .iter_mut()
            .filter(|member| member.member_id == *old)
        {
            let new = Member::new(join.fresh_member_id.clone(), join);
            member.member_id = join.fresh_member_id.clone();
            member.client_id = join.client_id.clone();
            member.client_host = join.client_host.clone();
            member.session_timeout_ms = join.session_timeout_ms;
            member.rebalance_timeout_ms = join.rebalance_timeout_ms;
            member.subscription = new.metadata(protocol);
        }
        metadata
    }

    fn answer_again(&mut self, ticket: Ticket, id: &MemberId, step: &mut Step) {
        self.touch(id, step.now);
        step.reply(ticket, Reply::Join(Ok(self.joined(id))));
    }

    /// The answer of this generation for one member; only the leader gets the others (trap 52).
    pub(super) fn joined(&self, id: &MemberId) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_else(|| Arc::from(""));
        let members = if self.members.is_leader(id) {
            let joined = self.members.iter().map(|member| JoinedMember {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(&protocol),
            });
            joined.collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| Arc::from("")),
            protocol,
            leader: self
                .members
                .leader()
                .cloned()
                .unwrap_or_else(|| Arc::from("")),
            member_id: id.clone(),
            skip_assignment: false,
            members,
        }
    }
}

pub(super) fn refused(error: GroupError, member_id: MemberId) -> Reply {
    Reply::Join(Err(JoinRefused { error, member_id }))
}
