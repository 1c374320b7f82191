//! Going: LeaveGroup for one or several members, silence, and ids that nobody joined with.

use std::sync::Arc;

use super::classic::{ClassicGroup, Step};
use super::event::{GroupError, Identity, Reply};
use super::members::take_awaited;
use super::timers::TimerKey;
use super::{GroupState, MemberId, Ticket};

impl ClassicGroup {
    pub(super) fn leave(&mut self, ticket: Ticket, identities: &[Identity], step: &mut Step) {
        let results = identities
            .iter()
            .map(|identity| self.leave_one(identity, step))
            .collect::<Vec<_>>();
        let any = results.iter().any(Result::is_ok);
        step.reply(ticket, Reply::Leave(results));
        if any {
            self.someone_left(step);
        }
    }

    /// A static member is named by its instance id alone, or with its member id to be sure.
    fn leave_one(&mut self, identity: &Identity, step: &mut Step) -> Result<(), GroupError> {
        let id = if let Some(instance) = &identity.instance_id {
            let holder = self
                .members
                .holder(instance)
                .ok_or(GroupError::UnknownMemberId)?;
            if !identity.member_id.is_empty() && identity.member_id != *holder {
                return Err(GroupError::FencedInstanceId);
            }
            holder.clone()
        } else {
            identity.member_id.clone()
        };
        if self.members.remove_pending(&id) {
            self.timers.cancel(&TimerKey::Pending(id));
            return Ok(());
        }
        if self.members.get(&id).is_none() {
            return Err(GroupError::UnknownMemberId);
        }
        self.remove_member(&id, step);
        Ok(())
    }

    /// A member was silent for its session, or a newcomer waited too long.
    pub(super) fn expire(&mut self, id: &MemberId, step: &mut Step) {
        if self.members.get(id).is_some() {
            self.remove_member(id, step);
            self.someone_left(step);
        }
    }

    pub(super) fn forget_pending(&mut self, id: &MemberId, step: &mut Step) {
        if self.members.remove_pending(id) {
            self.complete_if_all_joined(step);
        }
    }

    /// Takes a member out and answers what it still waits for; the caller starts what follows.
    pub(super) fn remove_member(&mut self, id: &MemberId, step: &mut Step) {
        self.timers.cancel(&TimerKey::Session(Arc::clone(id)));
        if let Some(mut member) = self.members.remove(id) {
            ClassicGroup::abandon(take_awaited(&mut member), GroupError::UnknownMemberId, step);
        }
    }

    fn someone_left(&mut self, step: &mut Step) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(step),
            GroupState::PreparingRebalance => self.complete_if_all_joined(step),
            GroupState::Empty | GroupState::Dead => {}
        }
    }
}
