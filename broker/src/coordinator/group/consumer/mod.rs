//! Groups whose assignment the coordinator makes (KIP-848): the second protocol beside the classic one.
//!
//! A member says in one kind of request what it wants and what it holds. The group has an epoch that grows with
//! every change of who is in it, what they want, or the topics they want; for each epoch the coordinator computes
//! a target assignment, and each member is led to its part of it by the answers to its own heartbeats:
//!
//! ```text
//!  heartbeats, silence --> admission --> subscription --> assign --> reconcile --> changes --> log --> answers
//!                          who is in     topics, epoch    targets    one member    records
//!
//!  a member:   Stable --target lacks some that it holds--> Unrevoked --it holds them no more--> (the rest)
//!              Stable, Unrevoked --some of its target are still held by others--> Unreleased --> ... --> Stable
//!  the group:  Empty | Assigning (no target for its epoch yet) | Reconciling | Stable
//! ```
//! Invariants: a partition is held (assigned, or to be given up and not acknowledged) by one member at a time; an
//! epoch of a member is never larger than that of the group; what an answer says is durable before it is sent.
//!
//! `machine` takes the events, one write under way at a time, and all that arrives meanwhile is the next one. What a
//! turn does is worked out on a copy of the [`state`](state::State); the records are the difference of the two.
//! Source: KIP-848, and Kafka 4.3 where it says nothing.

pub mod assign;
pub mod machine;
pub mod member;
pub mod partitions;
pub mod records;
pub mod request;
pub mod state;
pub mod subscription;
pub mod view;

mod admission;
mod changes;
mod reconcile;

use std::fmt;
use std::time::Duration;

pub use machine::ConsumerGroup;

/// A round: of a group (what is wanted), of its target assignment, of a member (what it was told last).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub i32);

impl Epoch {
    /// What a member sends to come in, and what a group has before its first member.
    pub const JOIN: Epoch = Epoch(0);

    /// What a member sends to go for good.
    pub const LEAVE: Epoch = Epoch(-1);

    /// What a static member sends that will be back within its session.
    pub const LEAVE_STATIC: Epoch = Epoch(-2);

    /// The round after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the broker decides for all members of such groups.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// How often a member shall send a heartbeat (`group.consumer.heartbeat.interval.ms`).
    pub heartbeat_interval: Duration,
    /// Silence after which a member is dropped (`group.consumer.session.timeout.ms`).
    pub session_timeout: Duration,
    /// Most members of one group (`group.consumer.max.size`).
    pub members_max: usize,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        ConsumerSettings {
            heartbeat_interval: Duration::from_secs(5),
            session_timeout: Duration::from_secs(45),
            // as for classic groups; Kafka sets no limit
            members_max: 10_000,
        }
    }
}

/// What a member costs beside its texts.
pub const MEMBER_BYTES: usize = 1024;

/// What a partition costs that a member holds: in its own list, in its target, and in the list of all holders.
pub const HELD_PARTITION_BYTES: usize = 160;

/// Heartbeats that wait for the write under way. Each member has one unanswered request, so this is more than a
/// group has members; beyond it the client is told to try again.
pub const WAITING_MAX: usize = 20_000;

/// Bytes of names one member may bring. Some ten thousand topics fit.
pub const WISHES_BYTES_MAX: usize = 1 << 20;

/// Different patterns the members of one group may subscribe to together. Each is matched against every topic of the
/// broker when topics change; real groups have one.
pub const PATTERNS_MAX: usize = 100;

/// Characters of a pattern.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Patterns are matched anew at most this often, however fast topics come and go (Kafka waits 10 s).
pub const PATTERNS_AGAIN: Duration = Duration::from_secs(1);

/// After a write failed, silent members are dropped again after this time.
pub const EXPIRE_AGAIN: Duration = Duration::from_secs(1);
