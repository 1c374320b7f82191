//! What one group is: epochs, members, targets, resolved patterns. A value: copied for each turn, replaced when the
//! turn is durable, and equal to what replaying the log gives.
//!
//! Who holds a partition and which member has an instance id follow from the members; both are kept beside them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::assign::Assignor;
use super::member::{Hold, Member, MembersById, Wishes};
use super::partitions::Partitions;
use super::subscription::Resolved;
use super::{Epoch, HELD_PARTITION_BYTES, MEMBER_BYTES};
use crate::coordinator::group::{InstanceId, MemberId};

/// Where a group stands; the names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No members; it may hold offsets.
    Empty,
    /// There are no targets for its epoch yet: the next heartbeat brings them.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// Everyone holds its target.
    Stable,
}

impl Standing {
    /// The name on the wire, exactly as Kafka spells it.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Empty => "Empty",
            Standing::Assigning => "Assigning",
            Standing::Reconciling => "Reconciling",
            Standing::Stable => "Stable",
        }
    }
}

/// One group.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Grows with each change that calls for another assignment.
    pub epoch: Epoch,
    /// Of the topics that the members want, as they were when the epoch began.
    pub metadata_hash: i64,
    /// The epoch that the targets are for.
    pub assignment_epoch: Epoch,
    /// When the targets were computed, milliseconds since 1970; 0 if not told.
    pub assigned_at_ms: i64,
    /// What each member shall hold in the end.
    pub targets: BTreeMap<MemberId, Arc<Partitions>>,
    /// The topics behind each pattern of a member.
    pub patterns: BTreeMap<Arc<str>, Arc<Resolved>>,
    members: MembersById,
    by_instance: HashMap<InstanceId, MemberId>,
    holders: HashMap<(Uuid, i32), MemberId>,
}

impl State {
    /// All members by their ids.
    pub fn members(&self) -> &MembersById {
        &self.members
    }

    /// One member.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    /// The member that has an instance id.
    pub fn instance(&self, instance: &str) -> Option<&MemberId> {
        self.by_instance.get(instance)
    }

    /// The member that holds a partition, for use or to be given up.
    pub fn holder(&self, topic: Uuid, partition: i32) -> Option<&MemberId> {
        self.holders.get(&(topic, partition))
    }

    /// What a member shall hold in the end.
    pub fn target(&self, id: &str) -> Arc<Partitions> {
        self.targets.get(id).cloned().unwrap_or_default()
    }

    /// Adds a member, or puts another in its place.
    pub fn put(&mut self, id: &MemberId, member: Member) {
        self.forget(id);
        if let Some(instance) = &member.wishes.instance_id {
            self.by_instance.insert(instance.clone(), id.clone());
        }
        for place in member.holds() {
            let before = self.holders.insert(place, id.clone());
            debug_assert!(before.is_none(), "{place:?} is held by {before:?}");
        }
        self.members.insert(id.clone(), member);
    }

    /// Changes what a member wants.
    pub fn set_wishes(&mut self, id: &MemberId, wishes: Arc<Wishes>) {
        let hold = self.member(id).map(|member| Arc::clone(&member.hold));
        let hold = hold.unwrap_or_default();
        self.put(id, Member { wishes, hold });
    }

    /// Changes what a member holds.
    pub fn set_hold(&mut self, id: &MemberId, hold: Arc<Hold>) {
        let wishes = self.member(id).map(|member| Arc::clone(&member.wishes));
        let wishes = wishes.unwrap_or_default();
        self.put(id, Member { wishes, hold });
    }

    /// Takes a member out, with its target.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.forget(id);
        self.targets.remove(id);
        member
    }

    /// Gives a member another id: the same static member as a new process.
    pub fn rename(&mut self, old: &str, new: &MemberId) {
        let target = self.targets.get(old).cloned();
        if let Some(member) = self.remove(old) {
            self.put(new, member);
            if let Some(target) = target {
                self.targets.insert(new.clone(), target);
            }
        }
    }

    fn forget(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        for place in member.holds() {
            if self
                .holders
                .get(&place)
                .is_some_and(|holder| **holder == *id)
            {
                self.holders.remove(&place);
            }
        }
        if let Some(instance) = &member.wishes.instance_id
            && self
                .instance(instance)
                .is_some_and(|holder| **holder == *id)
        {
            self.by_instance.remove(instance);
        }
        Some(member)
    }

    /// Where the group stands.
    pub fn standing(&self) -> Standing {
        if self.members.is_empty() {
            return Standing::Empty;
        }
        if self.epoch > self.assignment_epoch {
            return Standing::Assigning;
        }
        let done = |member: &Member| member.hold.is_at(self.assignment_epoch);
        if self.members.values().all(done) {
            Standing::Stable
        } else {
            Standing::Reconciling
        }
    }

    /// The assignor that most members ask for; the default if none asks.
    pub fn assignor(&self) -> Assignor {
        let mut votes = [0_usize; Assignor::ALL.len()];
        for member in self.members.values() {
            let wanted = member.wishes.assignor.as_deref().and_then(Assignor::named);
            if let Some(vote) = wanted.and_then(|wanted| votes.get_mut(wanted.place())) {
                *vote += 1;
            }
        }
        let most = votes.iter().copied().max().unwrap_or(0);
        let chosen = Assignor::ALL
            .iter()
            .zip(votes)
            .find(|(_, votes)| *votes == most);
        chosen.map_or_else(Assignor::default, |(assignor, _)| *assignor)
    }

    /// Bytes of all members' texts.
    pub fn wishes_bytes(&self) -> usize {
        self.members
            .iter()
            .map(|(id, member)| id.len() + member.wishes.bytes())
            .sum()
    }

    /// Bytes of memory it holds on to, about.
    pub fn held_bytes(&self) -> usize {
        let ids: usize = self.members.keys().map(|id| 3 * id.len()).sum();
        let patterns = self.patterns.iter().map(|(text, resolved)| {
            text.len() + resolved.topics.iter().map(|name| name.len()).sum::<usize>()
        });
        self.members.len() * MEMBER_BYTES
            + self.holders.len() * HELD_PARTITION_BYTES
            + ids
            + self.wishes_bytes()
            + patterns.sum::<usize>()
    }

    /// Whether a member subscribes to this topic, by name or by a pattern.
    pub fn subscribes(&self, topic: &str) -> bool {
        let named = |member: &Member| member.wishes.topics.contains(topic);
        self.members.values().any(named)
            || self
                .patterns
                .values()
                .any(|resolved| resolved.topics.contains(topic))
    }

    /// What the log says of a member's wishes, in whatever order; [`State::replayed`] comes at the end.
    pub fn replay_wishes(&mut self, id: MemberId, wishes: Option<Wishes>) {
        match wishes {
            Some(wishes) => self.members.entry(id).or_default().wishes = Arc::new(wishes),
            None => drop(self.members.remove(&id)),
        }
    }

    /// As [`State::replay_wishes`], of what it holds.
    pub fn replay_hold(&mut self, id: MemberId, hold: Option<Hold>) {
        if let Some(hold) = hold {
            self.members.entry(id).or_default().hold = Arc::new(hold);
        } else if let Some(member) = self.members.get_mut(&id) {
            member.hold = Arc::default();
        }
    }

    /// The log has been read: what follows from the members is worked out.
    pub fn replayed(&mut self) {
        let members = std::mem::take(&mut self.members);
        self.by_instance.clear();
        self.holders.clear();
        for (id, mut member) in members {
            // Two holders of one partition cannot be in a log of ours; the second must come for it again.
            let held_twice = member
                .holds()
                .any(|place| self.holders.contains_key(&place));
            if held_twice {
                member.hold = Arc::default();
            }
            self.put(&id, member);
        }
        let members = &self.members;
        self.targets.retain(|id, _| members.contains_key(id));
    }
}
