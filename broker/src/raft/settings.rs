//! How raft-rs is set, and why; the traps are of version 0.7.0 (replication notes).

use std::time::Duration;

use raft::{Config, NO_LIMIT, ReadOnlyOption};
use slog::{Discard, Logger, o};

use super::ReplicaId;

/// The unit of raft-rs's clock. Groups of one voter need none.
pub const TICK: Duration = Duration::from_millis(100);

/// A leader is heard from every 300 ms.
const HEARTBEAT_TICKS: usize = 3;

/// A follower that heard nothing for 1.5 to 3 s campaigns.
pub(super) const ELECTION_TICKS: usize = 15;

/// Appends on their way to a follower. It counts messages: what they may weigh is bounded by who fills them.
const MESSAGES_IN_FLIGHT_MAX: usize = 64;

/// Entries in one append or one Ready: they carry metadata here, so raft-rs's own limit in bytes says nothing.
/// With 16 KiB batches a message then stays near 2 MiB, and an applied piece of a recovered log near 20 KiB.
pub(super) const ENTRIES_AT_ONCE_MAX: u64 = 128;

/// The settings of one group that has applied everything up to `applied`.
pub(super) fn config(id: ReplicaId, applied: u64) -> Config {
    Config {
        id: id.0,
        applied,
        heartbeat_tick: HEARTBEAT_TICKS,
        election_tick: ELECTION_TICKS,
        pre_vote: true,
        check_quorum: true,
        // a lease needs clocks that can be trusted
        read_only_option: ReadOnlyOption::Safe,
        // anything else left a live majority without a leader for ever; preference is by transfer
        priority: 0,
        // sizes would be those of metadata; producers are bounded by the inbox
        max_uncommitted_size: NO_LIMIT,
        // the storage counts entries instead; it limits whenever it is given a limit
        max_size_per_msg: NO_LIMIT,
        max_committed_size_per_ready: NO_LIMIT,
        max_inflight_msgs: MESSAGES_IN_FLIGHT_MAX,
        ..Config::default()
    }
}

/// raft-rs insists on a logger. What matters comes out as roles and panics.
pub(super) fn logger() -> Logger {
    Logger::root(Discard, o!())
}
