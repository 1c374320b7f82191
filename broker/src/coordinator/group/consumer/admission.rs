//! One turn over a group: who comes in, stays and goes, what follows for its epoch and its targets, and what each member
//! is answered. Works on a copy of the state; nothing else notices until the copy is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assign::{Candidate, Problem};
use super::member::{Hold, Member, Wishes};
use super::reconcile::{self, Target};
use super::request::{Answer, Beat, Heartbeat, Refused};
use super::state::State;
use super::subscription::{Resolved, TopicShape, Topics, compile, resolve};
use super::{ConsumerSettings, Epoch, PATTERNS_MAX, WISHES_BYTES_MAX};
use crate::coordinator::group::event::GroupError;
use crate::coordinator::group::{GROUP_METADATA_BYTES_MAX, MemberId, Now};

/// A turn that is being worked out.
pub(super) struct Turn<'a> {
    pub(super) state: State,
    group: &'a str,
    settings: &'a ConsumerSettings,
    topics: &'a dyn Topics,
    now: Now,
    /// Something calls for another assignment.
    changed: bool,
}

/// What became of a heartbeat that was taken.
pub(super) enum Admitted {
    /// The member is in; what it held before the turn.
    In(Arc<Hold>),
    /// It went, and this is its answer.
    Gone(Beat),
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        state: State,
        group: &'a str,
        settings: &'a ConsumerSettings,
        topics: &'a dyn Topics,
        now: Now,
    ) -> Turn<'a> {
        Turn {
            state,
            group,
            settings,
            topics,
            now,
            changed: false,
        }
    }

    /// Takes a heartbeat, or says why not; then nothing has changed.
    pub(super) fn admit(&mut self, beat: &Heartbeat) -> Result<Admitted, Refused> {
        if beat.epoch < Epoch::JOIN {
            return self.leave(beat).map(Admitted::Gone);
        }
        let holder = beat
            .instance_id
            .as_ref()
            .and_then(|instance| self.state.instance(instance))
            .cloned();
        let returns = match (&beat.instance_id, &holder) {
            (Some(instance), Some(holder)) => self.check_holder(beat, instance, holder)?,
            (Some(instance), None) if beat.epoch > Epoch::JOIN => {
                return Err(unknown_instance(instance));
            }
            _ => false,
        };
        let known = if returns {
            holder.as_deref()
        } else {
            Some(&*beat.member_id)
        };
        let member = known.and_then(|id| self.state.member(id)).cloned();
        match &member {
            Some(member) if !returns => check_epoch(member, beat)?,
            None => self.check_newcomer(beat)?,
            Some(_) => {}
        }
        let newcomer = member.is_none();
        let before = member.unwrap_or_default();
        let wishes = self.wishes(&before.wishes, beat, known)?;
        self.changed |= newcomer;
        if returns && let Some(old) = &holder {
            self.state.rename(old, &beat.member_id);
            let mut hold = Hold::clone(&before.hold);
            (hold.epoch, hold.previous_epoch) = (Epoch::JOIN, Epoch::JOIN);
            self.state.set_hold(&beat.member_id, Arc::new(hold));
        }
        if newcomer || *wishes != *before.wishes {
            self.state.set_wishes(&beat.member_id, wishes);
        }
        Ok(Admitted::In(before.hold))
    }

    /// Whether a static member comes back as a new process.
    fn check_holder(
        &self,
        beat: &Heartbeat,
        instance: &str,
        holder: &MemberId,
    ) -> Result<bool, Refused> {
        let away = self.state.member(holder).is_some_and(Member::is_away);
        let id = &beat.member_id;
        if holder == id {
            return Ok(away && beat.epoch == Epoch::JOIN);
        }
        if beat.epoch > Epoch::JOIN {
            let text = format!(
                "Static member {id} with instance id {instance} was fenced by member {holder}."
            );
            return Err(Refused::new(GroupError::FencedInstanceId, text));
        }
        if away {
            return Ok(true);
        }
        let text = format!(
            "Static member {id} with instance id {instance} cannot join the group because the instance id is owned by {holder} member."
        );
        Err(Refused::new(GroupError::UnreleasedInstanceId, text))
    }

    fn check_newcomer(&self, beat: &Heartbeat) -> Result<(), Refused> {
        if beat.epoch > Epoch::JOIN {
            return Err(self.unknown_member(&beat.member_id));
        }
        let most = self.settings.members_max;
        if self.state.members().len() >= most {
            let text =
                format!("The consumer group has reached its maximum capacity of {most} members.");
            return Err(Refused::new(GroupError::GroupFull, text));
        }
        Ok(())
    }

    fn unknown_member(&self, id: &str) -> Refused {
        let text = format!("Member {id} is not a member of group {}.", self.group);
        Refused::new(GroupError::UnknownMemberId, text)
    }

    /// What the member wants now; a new pattern is resolved. Changes nothing if it refuses. `known` is the id it has in the group.
    fn wishes(
        &mut self,
        before: &Arc<Wishes>,
        beat: &Heartbeat,
        known: Option<&str>,
    ) -> Result<Arc<Wishes>, Refused> {
        let mut wishes = Wishes::clone(before);
        let set = |to: &mut Option<Arc<str>>, from: &Option<Arc<str>>| {
            if from.is_some() {
                to.clone_from(from);
            }
        };
        set(&mut wishes.instance_id, &beat.instance_id);
        set(&mut wishes.rack_id, &beat.rack_id);
        set(&mut wishes.assignor, &beat.assignor);
        set(&mut wishes.pattern, &beat.pattern);
        wishes.client_id = Arc::clone(&beat.client_id);
        wishes.client_host = Arc::clone(&beat.client_host);
        if let Some(ms) = beat.rebalance_timeout_ms {
            wishes.rebalance_timeout_ms = ms;
        }
        if let Some(topics) = &beat.topics {
            wishes.topics.clone_from(topics);
        }
        if wishes == **before {
            return Ok(Arc::clone(before));
        }
        self.check_size(&wishes, before, known)?;
        if wishes.pattern() != before.pattern() {
            self.take_pattern(&wishes)?;
            self.changed = true;
        }
        self.changed |= wishes.topics != before.topics;
        Ok(Arc::new(wishes))
    }

    fn check_size(
        &self,
        wishes: &Wishes,
        before: &Wishes,
        known: Option<&str>,
    ) -> Result<(), Refused> {
        let bytes = wishes.bytes();
        if bytes > WISHES_BYTES_MAX {
            let text = format!("A member's subscription may have {WISHES_BYTES_MAX} bytes.");
            return Err(Refused::new(GroupError::InvalidRequest, text));
        }
        let own = known
            .filter(|id| self.state.member(id).is_some())
            .map_or(0, |_| before.bytes());
        // Only growth is checked: a group that is too large can still become smaller.
        if bytes > own && self.state.wishes_bytes() - own + bytes > GROUP_METADATA_BYTES_MAX {
            let text = format!(
                "The subscriptions of a group may have {GROUP_METADATA_BYTES_MAX} bytes together."
            );
            return Err(Refused::new(GroupError::GroupFull, text));
        }
        Ok(())
    }

    fn take_pattern(&mut self, wishes: &Wishes) -> Result<(), Refused> {
        let Some(text) = wishes.pattern() else {
            return Ok(());
        };
        if self.state.patterns.contains_key(text) {
            return Ok(());
        }
        Heartbeat::check_pattern(text)?;
        let compiled = compile(text)?;
        if self.state.patterns.len() >= PATTERNS_MAX {
            let why = format!("the group has {PATTERNS_MAX} others already");
            return Err(Refused::pattern(text, &why));
        }
        let resolved = resolve(&compiled, self.topics, self.now.wall_ms);
        self.state.patterns.insert(text.clone(), Arc::new(resolved));
        Ok(())
    }

    fn leave(&mut self, beat: &Heartbeat) -> Result<Beat, Refused> {
        let id = &beat.member_id;
        if let Some(instance) = &beat.instance_id {
            let holder = self.state.instance(instance);
            let holder = holder.ok_or_else(|| unknown_instance(instance))?;
            if holder != id {
                let text = format!(
                    "Static member {id} with instance id {instance} was fenced by member {holder}."
                );
                return Err(Refused::new(GroupError::FencedInstanceId, text));
            }
        }
        let member = self.state.member(id);
        let member = member.ok_or_else(|| self.unknown_member(id))?;
        if beat.epoch == Epoch::LEAVE_STATIC {
            let mut hold = Hold::clone(&member.hold);
            hold.epoch = Epoch::LEAVE_STATIC;
            hold.revoking = super::partitions::Held::default();
            self.state.set_hold(id, Arc::new(hold));
        } else {
            self.fence(id);
        }
        Ok(Beat {
            member_id: id.clone(),
            epoch: beat.epoch,
            assignment: None,
            heartbeat_interval_ms: 0,
        })
    }

    /// Takes a member out: it left, or was silent or too slow.
    pub(super) fn fence(&mut self, id: &str) {
        self.changed |= self.state.remove(id).is_some();
    }

    /// Looks at the topics again: all patterns too if `patterns` says so.
    pub(super) fn look(&mut self, patterns: bool) {
        let used: BTreeSet<Arc<str>> = self
            .state
            .members()
            .values()
            .filter_map(|member| member.wishes.pattern().cloned())
            .collect();
        self.state.patterns.retain(|text, _| used.contains(text));
        if patterns {
            for (text, before) in &mut self.state.patterns {
                // One that came from a log and that this release does not take has no topics.
                let resolved = compile(text).map_or_else(
                    |_| Resolved::default(),
                    |pattern| resolve(&pattern, self.topics, self.now.wall_ms),
                );
                if resolved.topics != before.topics {
                    *before = Arc::new(resolved);
                    self.changed = true;
                }
            }
        }
        let hash = self.state.hash_of(self.topics);
        self.changed |= hash != self.state.metadata_hash;
        self.state.metadata_hash = hash;
    }

    /// Begins another epoch if something calls for it.
    pub(super) fn bump(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.state.epoch = self.state.epoch.next();
        }
    }

    /// Whether something calls for another epoch so far.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Computes the targets of the group's epoch if they are for an older one.
    pub(super) fn assign(&mut self) {
        if self.state.epoch <= self.state.assignment_epoch {
            return;
        }
        let shares = self.state.assignor().assign(&self.problem());
        for (id, share) in shares {
            let before = self.state.targets.get(&id);
            let same = before.map_or(share.is_empty(), |before| **before == share);
            if !same {
                self.state.targets.insert(id, Arc::new(share));
            }
        }
        self.state.assignment_epoch = self.state.epoch;
        self.state.assigned_at_ms = self.now.wall_ms;
    }

    fn problem(&self) -> Problem {
        let mut shapes: BTreeMap<Arc<str>, Option<TopicShape>> = BTreeMap::new();
        for name in self.state.subscribed() {
            shapes.insert(Arc::clone(name), self.topics.shape(name));
        }
        let members = self.state.members().iter().map(|(id, member)| {
            let names = self.state.subscription(member);
            let shape = |name: &Arc<str>| shapes.get(name).copied().flatten();
            Candidate {
                id: id.clone(),
                instance_id: member.wishes.instance_id.clone(),
                topics: names
                    .iter()
                    .filter_map(shape)
                    .map(|shape| shape.id)
                    .collect(),
                before: self.state.target(id),
            }
        });
        Problem {
            members: members.collect(),
            topics: shapes
                .values()
                .flatten()
                .map(|shape| (shape.id, shape.partitions))
                .collect(),
        }
    }

    /// Leads a member on and answers it; `before` is what it held when its heartbeat came.
    pub(super) fn answer(&mut self, beat: &Heartbeat, before: &Hold) -> Answer {
        let id = &beat.member_id;
        let Some(member) = self.state.member(id) else {
            // It was taken out in the same turn.
            return Err(self.unknown_member(id));
        };
        let target = self.state.target(id);
        let target = Target {
            epoch: self.state.assignment_epoch,
            partitions: &target,
            owned: beat.owned.as_ref(),
        };
        let is_free = |topic, partition| {
            let holder = self.state.holder(topic, partition);
            holder.is_none_or(|holder| holder == id)
        };
        let next = reconcile::step(&member.hold, &target, is_free);
        let hold = next.unwrap_or_else(|| Arc::clone(&member.hold));
        if !Arc::ptr_eq(&hold, &member.hold) {
            self.state.set_hold(id, Arc::clone(&hold));
        }
        Ok(beat_of(beat, before, &hold, self.settings))
    }
}

/// The answer to a member that now holds this.
pub(super) fn beat_of(
    beat: &Heartbeat,
    before: &Hold,
    hold: &Hold,
    settings: &ConsumerSettings,
) -> Beat {
    let told = beat.is_full() || !before.assigned.same_partitions(&hold.assigned);
    let interval = settings.heartbeat_interval.as_millis();
    Beat {
        member_id: beat.member_id.clone(),
        epoch: hold.epoch,
        assignment: told.then(|| hold.assigned.partitions()),
        heartbeat_interval_ms: i32::try_from(interval).unwrap_or(i32::MAX),
    }
}

/// Whether a member's epoch is the one it was told, or the one before with no more than it was given: the answer that
/// told it the newer one may have been lost.
pub(super) fn check_epoch(member: &Member, beat: &Heartbeat) -> Result<(), Refused> {
    let (hold, sent) = (&member.hold, beat.epoch);
    if sent == Epoch::JOIN || sent == hold.epoch {
        return Ok(());
    }
    let lost = sent == hold.previous_epoch
        && sent < hold.epoch
        && beat.owned.as_ref().is_some_and(|owned| hold.covers(owned));
    if lost {
        return Ok(());
    }
    let order = if sent > hold.epoch {
        "greater"
    } else {
        "smaller"
    };
    let text = format!(
        "The consumer group member has a {order} member epoch ({sent}) than the one known by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
        hold.epoch
    );
    Err(Refused::new(GroupError::FencedMemberEpoch, text))
}

fn unknown_instance(instance: &str) -> Refused {
    let text = format!("Instance id {instance} is unknown.");
    Refused::new(GroupError::UnknownMemberId, text)
}
