//! One member: what it wants (key 5 of the log) and what it holds (key 8), each shared until it changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Epoch;
use super::partitions::{Held, Partitions};
use crate::coordinator::group::members::millis;
use crate::coordinator::group::{InstanceId, MemberId};

/// What a member says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Its instance id, if static.
    pub instance_id: Option<InstanceId>,
    /// Where it runs, as the client is configured.
    pub rack_id: Option<Arc<str>>,
    /// The client's own name.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// Topics by name.
    pub topics: BTreeSet<Arc<str>>,
    /// A pattern of topic names; empty is as good as none.
    pub pattern: Option<Arc<str>>,
    /// How long it may take to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub assignor: Option<Arc<str>>,
}

impl Wishes {
    /// The pattern, unless it is empty.
    pub fn pattern(&self) -> Option<&Arc<str>> {
        self.pattern.as_ref().filter(|pattern| !pattern.is_empty())
    }

    /// How long it may take to give partitions up.
    pub fn rebalance_timeout(&self) -> Duration {
        millis(self.rebalance_timeout_ms)
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        let optional = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        optional(&self.instance_id)
            + optional(&self.rack_id)
            + self.client_id.len()
            + self.client_host.len()
            + self.topics.iter().map(|topic| topic.len()).sum::<usize>()
            + optional(&self.pattern)
            + optional(&self.assignor)
    }
}

/// How far a member is on its way to its target. The numbers are Kafka's, in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// It has what the target of its epoch gave it.
    #[default]
    Stable,
    /// It has been asked to give partitions up and has not said that it did.
    Unrevoked,
    /// It lacks partitions that others have not given up yet.
    Unreleased,
}

impl Phase {
    /// The number in the log.
    pub fn number(self) -> i8 {
        match self {
            Phase::Stable => 0,
            Phase::Unrevoked => 1,
            Phase::Unreleased => 2,
        }
    }

    /// The phase of a number; one that is not known is as if partitions were missing: it is led on from there.
    pub fn of(number: i8) -> Phase {
        match number {
            0 => Phase::Stable,
            1 => Phase::Unrevoked,
            _ => Phase::Unreleased,
        }
    }
}

/// What a member was told to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hold {
    /// Its epoch, [`Epoch::LEAVE_STATIC`] for a static member that said it would be back.
    pub epoch: Epoch,
    /// The epoch before, accepted once more: the answer that told the new one may have been lost.
    pub previous_epoch: Epoch,
    /// How far it is.
    pub phase: Phase,
    /// What it may use.
    pub assigned: Held,
    /// What it must give up and may still be using.
    pub revoking: Held,
}

impl Hold {
    /// Whether there is nothing left to do towards the target of this epoch.
    pub fn is_at(&self, target: Epoch) -> bool {
        self.phase == Phase::Stable && self.epoch == target
    }

    /// Moves to an epoch.
    pub(super) fn enter(&mut self, epoch: Epoch) {
        if self.epoch != epoch {
            self.previous_epoch = self.epoch;
            self.epoch = epoch;
        }
    }

    /// Whether all of these are among what it may use.
    pub fn covers(&self, owned: &Partitions) -> bool {
        owned
            .iter()
            .all(|(topic, partition)| self.assigned.since(topic, partition).is_some())
    }
}

/// A member of a group.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// What it wants.
    pub wishes: Arc<Wishes>,
    /// What it holds.
    pub hold: Arc<Hold>,
}

impl Member {
    /// Whether this is the id of a process that went and said it would be back.
    pub fn is_away(&self) -> bool {
        self.hold.epoch == Epoch::LEAVE_STATIC
    }

    /// Whether it holds a partition, for use or to be given up.
    pub fn holds(&self) -> impl Iterator<Item = (uuid::Uuid, i32)> + '_ {
        let place = |(topic, partition, _)| (topic, partition);
        self.hold
            .assigned
            .iter()
            .map(place)
            .chain(self.hold.revoking.iter().map(place))
    }
}

/// Members by id.
pub type MembersById = std::collections::BTreeMap<MemberId, Member>;
