//! Sets of partitions by topic id, and what a member holds: partitions with the epoch in which it got each.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Epoch;

/// A set of partitions; a topic in it has at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partitions(BTreeMap<Uuid, BTreeSet<i32>>);

impl Partitions {
    /// Adds a partition.
    pub fn insert(&mut self, topic: Uuid, partition: i32) {
        self.0.entry(topic).or_default().insert(partition);
    }

    /// Takes a partition out; whether it was in.
    pub fn remove(&mut self, topic: Uuid, partition: i32) -> bool {
        let Some(numbers) = self.0.get_mut(&topic) else {
            return false;
        };
        let removed = numbers.remove(&partition);
        if numbers.is_empty() {
            self.0.remove(&topic);
        }
        removed
    }

    /// Whether a partition is in it.
    pub fn contains(&self, topic: Uuid, partition: i32) -> bool {
        self.0
            .get(&topic)
            .is_some_and(|numbers| numbers.contains(&partition))
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many partitions.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// The topics with their partitions, in order.
    pub fn topics(&self) -> impl Iterator<Item = (Uuid, &BTreeSet<i32>)> {
        self.0.iter().map(|(topic, numbers)| (*topic, numbers))
    }

    /// Every partition, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, i32)> {
        self.topics()
            .flat_map(|(topic, numbers)| numbers.iter().map(move |number| (topic, *number)))
    }
}

impl FromIterator<(Uuid, i32)> for Partitions {
    fn from_iter<I: IntoIterator<Item = (Uuid, i32)>>(all: I) -> Partitions {
        let mut partitions = Partitions::default();
        for (topic, partition) in all {
            partitions.insert(topic, partition);
        }
        partitions
    }
}

/// Partitions and the epoch in which the member got each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held(BTreeMap<Uuid, BTreeMap<i32, Epoch>>);

impl Held {
    /// Adds a partition.
    pub fn insert(&mut self, topic: Uuid, partition: i32, since: Epoch) {
        self.0.entry(topic).or_default().insert(partition, since);
    }

    /// Since when a partition is held.
    pub fn since(&self, topic: Uuid, partition: i32) -> Option<Epoch> {
        self.0.get(&topic)?.get(&partition).copied()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The topics with their partitions, in order.
    pub fn topics(&self) -> impl Iterator<Item = (Uuid, &BTreeMap<i32, Epoch>)> {
        self.0.iter().map(|(topic, numbers)| (*topic, numbers))
    }

    /// Every partition, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, i32, Epoch)> {
        self.topics().flat_map(|(topic, numbers)| {
            numbers
                .iter()
                .map(move |(number, since)| (topic, *number, *since))
        })
    }

    /// The partitions alone.
    pub fn partitions(&self) -> Partitions {
        self.iter()
            .map(|(topic, partition, _)| (topic, partition))
            .collect()
    }

    /// Whether both hold the same partitions, whenever they got them.
    pub fn same_partitions(&self, other: &Held) -> bool {
        let places = |held: &Held| -> Vec<_> {
            held.iter()
                .map(|(topic, partition, _)| (topic, partition))
                .collect()
        };
        self == other || places(self) == places(other)
    }
}
