//! One consumer group: who is in it, which generation holds, which offsets it committed.
//!
//! Everything below this folder decides and nothing else: no tokio, no clock, no file, no randomness.
//! Time comes in as [`Now`], new member ids come in with the request, and what must be written or
//! answered goes out as an [`Effect`](event::Effect). Texts and metadata are owned copies (`Arc<str>`,
//! copied `Bytes`), never slices of a request frame: a group lives for days, a frame must not.
//!
//! ```text
//!            join                    all joined, or deadline            leader's assignment is durable
//!  Empty ----------> PreparingRebalance ----------> CompletingRebalance ----------> Stable
//!    ^                  |    ^                              |                          |
//!    +------------------+    +------------------------------+--------------------------+
//!       nobody is left            a member joins, rejoins, leaves or expires
//! ```

pub mod classic;
pub mod consumer;
pub mod event;
pub mod members;
pub mod offsets;
pub mod protocol_choice;
pub mod records;
pub mod subscription;
pub mod timers;

mod join;
mod leave;
mod rebalance;
mod record_bytes;
mod sync;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use consumer::ConsumerSettings;

/// The name of a group, as the client wrote it.
pub type GroupId = Arc<str>;

/// The name of a member, made by the coordinator: client id (or instance id), a dash, a random part.
pub type MemberId = Arc<str>;

/// The name a static member keeps over restarts (`group.instance.id`, KIP-345).
pub type InstanceId = Arc<str>;

/// The round of a group's assignment; grows by one with each completed join phase, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub i32);

impl Generation {
    /// What a client sends that is in no generation.
    pub const NONE: Generation = Generation(-1);

    /// The round after this one; starts at 1 again after 2^31 - 1.
    #[must_use]
    pub fn next(self) -> Generation {
        Generation(self.0.checked_add(1).unwrap_or(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request that waits for its answer; given by the caller, unique among the unanswered ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One reading of both clocks, the argument of every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back, from any start: timers.
    pub tick_ms: u64,
    /// Milliseconds since 1970: timestamps inside records.
    pub wall_ms: i64,
}

impl Now {
    /// The tick `after` from now.
    pub fn plus(self, after: Duration) -> u64 {
        self.tick_ms
            .saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Where a group stands; the names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// No members; it may hold offsets.
    Empty,
    /// Members are joining; heartbeats answer "rebalance in progress".
    PreparingRebalance,
    /// Everyone joined; the leader's assignment is awaited or being written.
    CompletingRebalance,
    /// The assignment of this generation is durable.
    Stable,
    /// What a group that does not exist is described as.
    Dead,
}

impl GroupState {
    /// The name on the wire, exactly as Kafka spells it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// Limits and delays of every group of a broker.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// How long the first rebalance of an empty group waits for more members
    /// (`group.initial.rebalance.delay.ms`).
    pub initial_rebalance_delay: Duration,
    /// Shortest session timeout a member may ask for (`group.min.session.timeout.ms`).
    pub session_timeout_min: Duration,
    /// Longest session timeout a member may ask for (`group.max.session.timeout.ms`).
    pub session_timeout_max: Duration,
    /// Most members of one group (`group.max.size`).
    pub members_max: usize,
    /// Bytes that all groups of one partition of `__consumer_offsets` may hold in memory.
    pub memory_bytes_max: usize,
    /// How long offsets outlive their group's last member (`offsets.retention.minutes`).
    pub offsets_retention: Duration,
    /// How often that is looked at (`offsets.retention.check.interval.ms`).
    pub offsets_retention_check: Duration,
    /// Of the groups whose assignment the broker makes.
    pub consumer: ConsumerSettings,
}

impl Default for GroupSettings {
    fn default() -> Self {
        GroupSettings {
            initial_rebalance_delay: Duration::from_secs(3),
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_mins(30),
            // Kafka sets no limit. One join round answers the leader with every member's metadata, so
            // some limit is needed; the largest groups known in practice have a few thousand members.
            members_max: 10_000,
            memory_bytes_max: PARTITION_BYTES_MAX,
            offsets_retention: Duration::from_hours(7 * 24),
            offsets_retention_check: Duration::from_mins(10),
            consumer: ConsumerSettings::default(),
        }
    }
}

/// A new member that waits longer than this for its join to complete is dropped: its client cannot send
/// heartbeats yet, so a vanished one would stay for ever (Kafka's constant, KAFKA-7610).
pub const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_mins(5);

/// An empty group without offsets is forgotten after this time (Kafka looks every 10 minutes).
pub const EMPTY_GROUP_KEPT: Duration = Duration::from_mins(10);

/// Bytes that the groups of one partition may hold: half a million offsets, or ten groups of 10,000 members.
/// Without a bound clients that invent groups and members fill the memory.
pub const PARTITION_BYTES_MAX: usize = 128 << 20;

/// Members one request may name (SyncGroup's assignments, LeaveGroup's list): more than a group ever has.
pub const NAMED_MEMBERS_MAX: usize = 1 << 17;

/// Offsets one request may commit: more than fit in the largest batch.
pub const COMMITTED_AT_ONCE_MAX: usize = 1 << 18;

/// Bytes of protocol metadata all members of one group may hold together. Only the leader is sent all of
/// it and one record must hold it, so it stays below the largest batch of `__consumer_offsets`.
pub const GROUP_METADATA_BYTES_MAX: usize = 6 << 20;

/// Bytes of assignments one leader may hand out, for the same reason as [`GROUP_METADATA_BYTES_MAX`].
pub const GROUP_ASSIGNMENT_BYTES_MAX: usize = 6 << 20;

/// Protocols one member may offer. Clients offer one to three; the votes are counted pairwise.
pub const PROTOCOLS_MAX: usize = 64;
