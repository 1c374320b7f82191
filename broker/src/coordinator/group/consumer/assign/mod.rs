//! Who shall hold what: the assignors that the broker has. Pure functions of members, topics and what was before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::partitions::Partitions;
use crate::coordinator::group::{InstanceId, MemberId};

mod range;
mod uniform;

#[cfg(test)]
mod tests;

/// A way to assign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assignor {
    /// As many partitions for each as for any other, and as few as possible change hands.
    #[default]
    Uniform,
    /// Ranges of each topic in the order of the members: the same numbers of topics of the same size go together.
    Range,
}

impl Assignor {
    /// All of them; the first is the one that is used when no member asks for any.
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// The name by which members ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor of this name.
    pub fn named(name: &str) -> Option<Assignor> {
        Assignor::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// Its place in [`Assignor::ALL`].
    pub fn place(self) -> usize {
        match self {
            Assignor::Uniform => 0,
            Assignor::Range => 1,
        }
    }

    /// What each member shall hold. Every partition of a topic that somebody wants goes to one who wants it.
    pub fn assign(self, problem: &Problem) -> BTreeMap<MemberId, Partitions> {
        match self {
            Assignor::Uniform => uniform::assign(problem),
            Assignor::Range => range::assign(problem),
        }
    }
}

/// A member that can be given partitions.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its id.
    pub id: MemberId,
    /// Its instance id, if static.
    pub instance_id: Option<InstanceId>,
    /// The topics it wants; all of them are in [`Problem::topics`].
    pub topics: BTreeSet<Uuid>,
    /// What it was to hold until now.
    pub before: Arc<Partitions>,
}

/// What is to be assigned.
#[derive(Debug, Clone, Default)]
pub struct Problem {
    /// The members, in the order of their ids.
    pub members: Vec<Candidate>,
    /// How many partitions each topic has.
    pub topics: BTreeMap<Uuid, i32>,
}
