//! SyncGroup: the leader's assignment is written, then given to everyone who asks (trap 53).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::classic::{ClassicGroup, Step};
use super::event::{GroupError, Purpose, Reply, Sync, Synced};
use super::timers::TimerKey;
use super::{GROUP_ASSIGNMENT_BYTES_MAX, Generation, GroupState, MemberId, Ticket};

impl ClassicGroup {
    pub(super) fn sync(&mut self, ticket: Ticket, sync: Sync, step: &mut Step) {
        if let Err(error) = self.check_sync(&sync) {
            step.reply(ticket, Reply::Sync(Err(error)));
            return;
        }
        let id = sync.identity.member_id.clone();
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        member.has_synced = true;
        if self.state == GroupState::Stable {
            self.touch(&id, step.now);
            self.stop_sync_phase_if_done();
            step.reply(ticket, Reply::Sync(Ok(self.synced(&id))));
            return;
        }
        if let Some(older) = member.awaits_sync.replace(ticket) {
            step.reply(older, Reply::Sync(Err(GroupError::RebalanceInProgress)));
        }
        self.timers.cancel(&TimerKey::Session(id.clone()));
        if self.members.is_leader(&id) && self.assigning.is_none() {
            self.assign(sync.assignments, step);
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        self.members.check(&sync.identity)?;
        if sync.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |said: &Option<Arc<str>>, own: &Option<Arc<str>>| {
            said.as_ref().is_some_and(|said| Some(said) != own.as_ref())
        };
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        let bytes: usize = sync
            .assignments
            .iter()
            .map(|(_, assignment)| assignment.len())
            .sum();
        if bytes > GROUP_ASSIGNMENT_BYTES_MAX {
            return Err(GroupError::Unknown);
        }
        match self.state {
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::Empty | GroupState::Dead => Err(GroupError::UnknownMemberId),
        }
    }

    fn assign(&mut self, assignments: Vec<(MemberId, Bytes)>, step: &mut Step) {
        let mut assignments: HashMap<MemberId, Bytes> = assignments.into_iter().collect();
        assignments.retain(|id, _| self.members.get(id).is_some());
        let given = |id: &MemberId| assignments.get(id).cloned().unwrap_or_default();
        let metadata = self.snapshot(|member| given(&member.id));
        self.assigning = Some(assignments);
        self.write(Purpose::Assignment(self.generation), metadata, step);
    }

    /// The outcome of writing an assignment; of a generation that is over it means nothing.
    pub(super) fn assigned(
        &mut self,
        generation: Generation,
        result: Result<(), GroupError>,
        step: &mut Step,
    ) {
        if self.state != GroupState::CompletingRebalance || generation != self.generation {
            return;
        }
        let Some(assignments) = self.assigning.take() else {
            return;
        };
        if let Err(error) = result {
            self.fail_syncs(error, step);
            self.prepare_rebalance(step);
            return;
        }
        self.set_state(GroupState::Stable, step.now);
        let mut waiting = Vec::new();
        self.members.assign(assignments);
        for member in self.members.iter_mut() {
            if let Some(ticket) = member.awaits_sync.take() {
                waiting.push((member.id.clone(), ticket));
            }
        }
        for (id, ticket) in waiting {
            self.touch(&id, step.now);
            step.reply(ticket, Reply::Sync(Ok(self.synced(&id))));
        }
        self.stop_sync_phase_if_done();
    }

    /// Members that joined and never asked for their assignment are dropped: it would lie idle.
    pub(super) fn sync_phase_over(&mut self, generation: Generation, step: &mut Step) {
        let in_phase = matches!(
            self.state,
            GroupState::CompletingRebalance | GroupState::Stable
        );
        if generation != self.generation || !in_phase {
            return;
        }
        let absent: Vec<MemberId> = self
            .members
            .iter()
            .filter(|member| !member.has_synced)
            .map(|member| member.id.clone())
            .collect();
        for id in &absent {
            self.remove_member(id, step);
        }
        if !absent.is_empty() {
            self.prepare_rebalance(step);
        }
    }

    /// Answers everyone who waits for an assignment that will not come.
    pub(super) fn fail_syncs(&mut self, error: GroupError, step: &mut Step) {
        let mut waiting = Vec::new();
        for member in self.members.iter_mut() {
            if let Some(ticket) = member.awaits_sync.take() {
                waiting.push((member.id.clone(), ticket));
            }
        }
        for (id, ticket) in waiting {
            self.touch(&id, step.now);
            step.reply(ticket, Reply::Sync(Err(error)));
        }
    }

    fn stop_sync_phase_if_done(&mut self) {
        if self.members.iter().all(|member| member.has_synced) {
            self.timers.cancel(&TimerKey::SyncPhase(self.generation));
        }
    }

    fn synced(&self, id: &MemberId) -> Synced {
        let empty = || Arc::from("");
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_else(empty),
            protocol: self.protocol.clone().unwrap_or_else(empty),
            assignment: self
                .members
                .get(id)
                .map_or_else(Bytes::new, |member| member.assignment.clone()),
        }
    }
}
