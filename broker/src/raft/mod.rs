//! Consensus on the order of one partition's entries: raft-rs, driven without input or output.
//!
//! Everything here is pure: no clock, no randomness of its own, no file, no thread. A [`Group`] takes events
//! (a proposal, a tick, a message, "this is durable") and gives [`Output`]s, in an order that the caller keeps.
//!
//! ```text
//! propose, receive, tick ----> RawNode ----> Ready ----> Output: Vote -> journal ---- synced --.
//!        '-- payloads -----> joined by index ---------->         Append -> log ------ durable --+-> PersistQueue
//!                                                                                               |   in order
//!            Committed, Send <------------------------- on_persist_ready <----------------------'
//! ```
//!
//! - raft-rs sees metadata only (index, term, kind): a batch never passes through it. `entry` keeps the payload
//!   until it is handed to the log, `storage` mirrors of the log what raft-rs asks for. What followers need is
//!   read from the log by index when a message is sent.
//! - **Votes before effects**: nothing of a Ready, and of those behind it, leaves before the vote and term that
//!   it states are synced; also for a lone voter (`persist`).
//! - **A proposal is accepted by the leader of the term it was stamped with, or dropped**; none is forwarded.
//! - A panic inside raft-rs (persisted data vanished) quarantines this group, and no other.

mod boot;
mod draws;
mod entry;
mod group;
mod membership;
mod persist;
mod ready;
mod settings;
mod storage;
#[cfg(test)]
mod tests;

use headrace_storage::LeaderEpoch;

pub use boot::{Boot, BootFailure, TermRun};
pub use entry::PayloadsMismatch;
pub use group::{Dropped, Group, Output, Role};
pub use membership::{Change, Membership, VoterSet};
pub use settings::TICK;

/// The name of a replica within its group: never used again, so a disk that lost its data cannot vote twice.
///
/// ```text
/// incarnation (from 1) << 32 | node
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

impl ReplicaId {
    /// The replica of a node; each time it is rebuilt its incarnation grows.
    pub fn new(incarnation: u32, node: u32) -> ReplicaId {
        ReplicaId(u64::from(incarnation) << 32 | u64::from(node))
    }
}

impl std::fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

/// The term as Kafka's leader epoch.
///
/// # Panics
///
/// At 2^31 elections: the group is then quarantined, for no batch can carry such an epoch.
fn epoch_of(term: u64) -> LeaderEpoch {
    LeaderEpoch(i32::try_from(term).expect("a term fits a leader epoch"))
}

/// The leader epoch as a term; a log without entries is of term 0.
fn term_of(epoch: LeaderEpoch) -> u64 {
    u64::try_from(epoch.0).unwrap_or(0)
}
