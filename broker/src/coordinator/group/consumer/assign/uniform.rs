//! Uniform: loads differ by one at most where subscriptions allow it, and what need not move stays.
//!
//! 1. Each member keeps what it had, as far as it still wants it and it still exists.
//! 2. What nobody has goes to the one with the least among those who want it, topics that few want first.
//! 3. As long as some partition could go to one with at least two fewer than its holder, it does.
//!
//! Each move of step 3 makes the sum of the squares of the loads smaller, so it ends; afterwards no single move makes
//! loads more even. With one subscription for all, that is a difference of at most one.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Problem;
use crate::coordinator::group::MemberId;
use crate::coordinator::group::consumer::partitions::Partitions;

/// A member, as its place in the problem.
type Place = usize;

struct Topic {
    id: Uuid,
    wanting: Vec<Place>,
    holders: Vec<Option<Place>>,
}

/// How much each member has, and the members in the order of that.
struct Loads {
    of: Vec<usize>,
    order: BTreeSet<(usize, Place)>,
}

impl Loads {
    fn new(members: usize) -> Loads {
        Loads {
            of: vec![0; members],
            order: (0..members).map(|place| (0, place)).collect(),
        }
    }

    fn of(&self, place: Place) -> usize {
        self.of.get(place).copied().unwrap_or(0)
    }

    fn set(&mut self, place: Place, load: usize) {
        if let Some(old) = self.of.get_mut(place) {
            self.order.remove(&(*old, place));
            self.order.insert((load, place));
            *old = load;
        }
    }

    fn add(&mut self, place: Place) {
        self.set(place, self.of(place) + 1);
    }

    fn take(&mut self, place: Place) {
        self.set(place, self.of(place).saturating_sub(1));
    }

    /// The one with the least among these; all of them are found without a look at each.
    fn least(&self, among: &[Place]) -> Option<Place> {
        if among.len() == self.of.len() {
            return self.order.first().map(|(_, place)| *place);
        }
        among
            .iter()
            .copied()
            .min_by_key(|place| (self.of(*place), *place))
    }
}

pub(super) fn assign(problem: &Problem) -> BTreeMap<MemberId, Partitions> {
    let mut topics = topics(problem);
    let mut loads = Loads::new(problem.members.len());
    keep(problem, &mut topics, &mut loads);
    topics.sort_by_key(|topic| (topic.wanting.len(), topic.id));
    for topic in &mut topics {
        give(topic, &mut loads);
    }
    // Not folded into one call: each topic must have its turn.
    while topics
        .iter_mut()
        .map(|topic| even_out(topic, &mut loads))
        .fold(false, |any, moved| any | moved)
    {}
    shares(problem, &topics)
}

fn topics(problem: &Problem) -> Vec<Topic> {
    let mut wanting: BTreeMap<Uuid, Vec<Place>> = BTreeMap::new();
    for (place, member) in problem.members.iter().enumerate() {
        for topic in &member.topics {
            wanting.entry(*topic).or_default().push(place);
        }
    }
    let topic = |(id, wanting): (Uuid, Vec<Place>)| {
        let count = problem.topics.get(&id).copied().unwrap_or(0);
        Topic {
            id,
            wanting,
            holders: vec![None; usize::try_from(count).unwrap_or(0)],
        }
    };
    wanting.into_iter().map(topic).collect()
}

fn keep(problem: &Problem, topics: &mut [Topic], loads: &mut Loads) {
    // `topics` is still in the order of the ids.
    for (place, member) in problem.members.iter().enumerate() {
        for (topic, partition) in member.before.iter() {
            if !member.topics.contains(&topic) {
                continue;
            }
            let found = topics.binary_search_by_key(&topic, |topic| topic.id);
            let holder = found
                .ok()
                .and_then(|at| topics.get_mut(at))
                .zip(usize::try_from(partition).ok())
                .and_then(|(topic, number)| topic.holders.get_mut(number));
            if let Some(holder) = holder
                && holder.is_none()
            {
                *holder = Some(place);
                loads.add(place);
            }
        }
    }
}

fn give(topic: &mut Topic, loads: &mut Loads) {
    for holder in topic.holders.iter_mut().filter(|holder| holder.is_none()) {
        if let Some(place) = loads.least(&topic.wanting) {
            *holder = Some(place);
            loads.add(place);
        }
    }
}

/// Moves partitions of one topic as long as that makes loads more even; whether any moved.
fn even_out(topic: &mut Topic, loads: &mut Loads) -> bool {
    let mut moved = false;
    while let Some(least) = loads.least(&topic.wanting) {
        // The last of the fullest holder, so that the first ones stay together.
        let fullest = topic
            .holders
            .iter_mut()
            .filter_map(|holder| holder.map(|place| (place, holder)))
            .max_by_key(|(place, _)| loads.of(*place));
        let Some((place, holder)) =
            fullest.filter(|(place, _)| loads.of(*place) > loads.of(least) + 1)
        else {
            break;
        };
        *holder = Some(least);
        loads.take(place);
        loads.add(least);
        moved = true;
    }
    moved
}

fn shares(problem: &Problem, topics: &[Topic]) -> BTreeMap<MemberId, Partitions> {
    let mut shares = vec![Partitions::default(); problem.members.len()];
    for topic in topics {
        for (partition, holder) in (0..).zip(&topic.holders) {
            if let Some(share) = holder.and_then(|place| shares.get_mut(place)) {
                share.insert(topic.id, partition);
            }
        }
    }
    let ids = problem.members.iter().map(|member| member.id.clone());
    ids.zip(shares).collect()
}
