//! What keeps logs in order beside the traffic: free space, retention, rolls, compaction, scrub.
//!
//! ```text
//! upkeep, every second     the free space on the disk
//!         every interval   what is due, from the logs' views; the shards are told, the leader decides
//! ```
//! Nothing here owns a log: views are read, and messages are sent. The clock is an argument; a test moves it
//! and asks for a turn ([`Upkeep::turn`]).

mod beat;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::space::{SpaceGuard, SpaceRule};
use crate::clock::Clock;
use beat::{Beat, Cause};

/// How often the free space is looked at: a second's writes are far less than the reserve.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// How logs are kept in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpkeepSettings {
    /// How often logs are looked at.
    pub interval: Duration,
    /// Memory for the keys of the logs that are being compacted.
    pub cleaner_memory_bytes: usize,
    /// Bytes that compaction reads and writes per second; 0: no limit.
    pub cleaner_bytes_per_second: u64,
    /// Bytes that the scrub reads per second; 0: off.
    pub scrub_bytes_per_second: u64,
    /// The room that appends leave on the disk.
    pub space: SpaceRule,
}

/// The threads; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Upkeep {
    upkeep: Beat,
}

impl Upkeep {
    /// Starts the threads.
    pub(super) fn start(
        settings: UpkeepSettings,
        clock: Arc<dyn Clock>,
        space: Arc<SpaceGuard>,
    ) -> io::Result<Upkeep> {
        let mut worker = Worker {
            interval_ms: i64::try_from(settings.interval.as_millis()).unwrap_or(i64::MAX),
            clock,
            space,
            looked_ms: i64::MIN,
        };
        let every = SPACE_INTERVAL.min(settings.interval);
        let upkeep = Beat::start("upkeep", every, move |cause| worker.turn(cause))?;
        Ok(Upkeep { upkeep })
    }

    /// Does everything that is due by the clock; ready when it is done.
    pub(super) async fn turn(&self) {
        self.upkeep.turn().await;
    }

    /// Ends the threads; before the shards, which they send to.
    pub(super) async fn stop(&self) {
        self.upkeep.stop().await;
    }
}

/// The state of the upkeep thread.
struct Worker {
    interval_ms: i64,
    clock: Arc<dyn Clock>,
    space: Arc<SpaceGuard>,
    /// When the logs were looked at last.
    looked_ms: i64,
}

impl Worker {
    fn turn(&mut self, cause: Cause) {
        self.space.check();
        let now_ms = self.clock.wall_ms();
        if cause == Cause::Asked || is_due(self.looked_ms, now_ms, self.interval_ms) {
            self.looked_ms = now_ms;
        }
    }
}

/// Whether an interval has passed. A clock that was set back does not stop the upkeep.
fn is_due(last_ms: i64, now_ms: i64, interval_ms: i64) -> bool {
    let passed = now_ms.saturating_sub(last_ms);
    passed >= interval_ms || passed < 0
}
