//! The join phase: when it starts, how long it waits, and the generation it ends in (traps 51, 55).

use super::classic::{ClassicGroup, InitialDelay, Step};
use super::event::{GroupError, Purpose, Reply};
use super::protocol_choice;
use super::timers::TimerKey;
use super::{GroupState, MemberId};

impl ClassicGroup {
    /// Something changed that the next generation must know.
    pub(super) fn want_rebalance(&mut self, step: &mut Step) {
        match self.state {
            GroupState::PreparingRebalance => self.complete_if_all_joined(step),
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.prepare_rebalance(step);
            }
            GroupState::Dead => {}
        }
    }

    pub(super) fn prepare_rebalance(&mut self, step: &mut Step) {
        let from_empty = self.state == GroupState::Empty;
        self.fail_syncs(GroupError::RebalanceInProgress, step);
        self.assigning = None;
        self.timers.cancel(&TimerKey::SyncPhase(self.generation));
        self.set_state(GroupState::PreparingRebalance, step.now);
        let wait = self.members.rebalance_timeout_max();
        if from_empty {
            let delay = self.settings.initial_rebalance_delay.min(wait);
            if delay.is_zero() {
                self.complete_join(step);
                return;
            }
            self.initial_delay = Some(InitialDelay {
                remaining: wait.saturating_sub(delay),
                newcomer: false,
            });
            self.timers.set(TimerKey::JoinPhase, step.now.plus(delay));
        } else {
            self.timers.set(TimerKey::JoinPhase, step.now.plus(wait));
            self.complete_if_all_joined(step);
        }
    }

    /// Ends the join phase as soon as nobody is missing; the first one of an empty group takes its time.
    pub(super) fn complete_if_all_joined(&mut self, step: &mut Step) {
        if self.state == GroupState::PreparingRebalance
            && self.initial_delay.is_none()
            && self.members.all_joined()
        {
            self.complete_join(step);
        }
    }

    pub(super) fn join_phase_over(&mut self, step: &mut Step) {
        if self.state != GroupState::PreparingRebalance {
            return;
        }
        if let Some(initial) = &mut self.initial_delay
            && initial.newcomer
            && !initial.remaining.is_zero()
        {
            let delay = self.settings.initial_rebalance_delay.min(initial.remaining);
            initial.remaining -= delay;
            initial.newcomer = false;
            self.timers.set(TimerKey::JoinPhase, step.now.plus(delay));
            return;
        }
        self.complete_join(step);
    }

    /// Starts the next generation with whoever joined; static members that did not are kept, they expire
    /// by their session.
    fn complete_join(&mut self, step: &mut Step) {
        self.initial_delay = None;
        self.timers.cancel(&TimerKey::JoinPhase);
        self.drop_absent(step);
        if !self.members.is_empty() && !self.elect_leader() {
            // Only absent static members are left: wait for one of them, or for their sessions.
            let wait = self.members.rebalance_timeout_max();
            self.timers
                .set(TimerKey::JoinPhase, step.now.plus(wait.max(MIN_WAIT)));
            return;
        }
        self.generation = self.generation.next();
        self.protocol = protocol_choice::choose(&self.members);
        if self.members.is_empty() {
            self.set_state(GroupState::Empty, step.now);
            let metadata = self.snapshot(|member| member.assignment.clone());
            self.write(Purpose::Emptied, metadata, step);
            return;
        }
        self.set_state(GroupState::CompletingRebalance, step.now);
        let wait = self.members.rebalance_timeout_max();
        self.timers
            .set(TimerKey::SyncPhase(self.generation), step.now.plus(wait));
        let ids: Vec<MemberId> = self
            .members
            .iter()
            .map(|member| member.id.clone())
            .collect();
        for id in ids {
            self.enter_generation(&id, step);
        }
    }

    fn enter_generation(&mut self, id: &MemberId, step: &mut Step) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let ticket = member.awaits_join.take();
        member.has_synced = ticket.is_none();
        member.is_new = false;
        if let Some(ticket) = ticket {
            self.touch(id, step.now);
            step.reply(ticket, Reply::Join(Ok(self.joined(id))));
        }
    }

    fn drop_absent(&mut self, step: &mut Step) {
        let absent: Vec<MemberId> = self
            .members
            .iter()
            .filter(|member| member.awaits_join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in absent {
            self.remove_member(&id, step);
        }
    }

    /// The leader is one who joined: false if nobody did.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &MemberId| {
            self.members
                .get(id)
                .is_some_and(|m| m.awaits_join.is_some())
        };
        if self.members.leader().is_some_and(joined) {
            return true;
        }
        let next = self
            .members
            .iter()
            .find(|member| member.awaits_join.is_some());
        let Some(next) = next.map(|member| member.id.clone()) else {
            return false;
        };
        self.members.set_leader(next);
        true
    }
}

/// A phase that waits for clients lasts at least this long, whatever timeout they asked for.
const MIN_WAIT: std::time::Duration = std::time::Duration::from_secs(1);
