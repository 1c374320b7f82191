//! One member's next step towards its target: what it keeps, what it must give up first, what it may take now.
//!
//! ```text
//!  Stable, Unreleased --something to give up--> Unrevoked --it holds none of that any more--.
//!        '------------nothing to give up------> takes what is free <----------------------'
//!                                               all of the target: Stable, else Unreleased
//! ```
//! A member enters the target's epoch only when it has nothing to give up.

use std::sync::Arc;

use uuid::Uuid;

use super::Epoch;
use super::member::{Hold, Phase};
use super::partitions::{Held, Partitions};

/// Where a member shall get to.
pub(super) struct Target<'a> {
    /// The epoch of the target.
    pub(super) epoch: Epoch,
    /// What it shall hold in the end.
    pub(super) partitions: &'a Partitions,
    /// What it says it holds; `None` if it did not say.
    pub(super) owned: Option<&'a Partitions>,
}

/// The next step of a member; `is_free` tells whether nobody else holds a partition. `None`: it stays as it is.
pub(super) fn step(
    hold: &Hold,
    target: &Target<'_>,
    is_free: impl Fn(Uuid, i32) -> bool,
) -> Option<Arc<Hold>> {
    let from = match hold.phase {
        Phase::Stable if hold.epoch == target.epoch => return None,
        Phase::Unrevoked if target.still_owns(&hold.revoking) => return None,
        Phase::Unrevoked => hold.epoch.next().min(target.epoch),
        Phase::Stable | Phase::Unreleased => hold.epoch,
    };
    let next = onwards(hold, from, target, is_free);
    (next != *hold).then(|| Arc::new(next))
}

fn onwards(
    hold: &Hold,
    from: Epoch,
    target: &Target<'_>,
    is_free: impl Fn(Uuid, i32) -> bool,
) -> Hold {
    let mut next = hold.clone();
    let mut revoking = Held::default();
    next.assigned = Held::default();
    for (topic, partition, since) in hold.assigned.iter() {
        if target.partitions.contains(topic, partition) {
            next.assigned.insert(topic, partition, since);
        } else {
            revoking.insert(topic, partition, since);
        }
    }
    if !revoking.is_empty() && target.still_owns(&revoking) {
        next.enter(from);
        next.phase = Phase::Unrevoked;
        next.revoking = revoking;
        return next;
    }
    next.revoking = Held::default();
    next.enter(target.epoch);
    next.phase = Phase::Stable;
    for (topic, partition) in target.partitions.iter() {
        if next.assigned.since(topic, partition).is_some() {
            continue;
        }
        if is_free(topic, partition) {
            next.assigned.insert(topic, partition, target.epoch);
        } else {
            next.phase = Phase::Unreleased;
        }
    }
    next
}

impl Target<'_> {
    /// Whether the member may still be using some of these: it says so, or says nothing.
    fn still_owns(&self, held: &Held) -> bool {
        self.owned.is_none_or(|owned| {
            held.iter()
                .any(|(topic, partition, _)| owned.contains(topic, partition))
        })
    }
}
