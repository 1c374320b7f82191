//! What keeps logs in order beside the traffic: free space, retention, rolls, compaction, scrub.
//!
//! ```text
//! upkeep    every second     the free space on the disk
//!           every interval   retention, from the logs' views: MoveLogStart, Roll -> shard -> an entry of the log
//!                            Upkeep -> every shard: rolls by age, files below log starts, room of idle logs
//! cleaner   every interval   compaction, the dirtiest log first
//! scrub     every second     as many bytes of sealed segments as a second has
//! ```
//! Nothing here owns a log: views are read, and messages are sent; the leader decides. The clock is an argument;
//! a test moves it and asks for a turn ([`Upkeep::turn`]). The threads are stopped before the shards.

mod beat;
mod cleaner;
mod rules;
mod scrub;
mod stats;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use headrace_storage::LogView;
use headrace_storage::retention::Extent;
use tokio::sync::{mpsc, oneshot};

use super::shard::Message;
use super::space::{SpaceGuard, SpaceRule};
use super::{Handle, Topics};
use crate::clock::Clock;
use beat::{Beat, Cause};
use cleaner::Cleaner;
use scrub::Scrub;

pub(super) use rules::{Rules, millis};
pub use stats::{Count, Stats};

/// How often the free space is looked at: a second's writes are far less than the reserve.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// When the logs are looked at first after a start: 30 s as in Kafka (`log.initial.task.delay.ms`), so that a
/// start has the disk for itself.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// How often the scrub reads the bytes that its rate gives it.
const SCRUB_INTERVAL: Duration = Duration::from_secs(1);

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

/// What the threads work on.
pub(super) struct Ground {
    /// The topics as they are.
    pub(super) topics: Arc<ArcSwap<Topics>>,
    /// All shards.
    pub(super) shards: Vec<mpsc::Sender<Message>>,
    /// The clock.
    pub(super) clock: Arc<dyn Clock>,
    /// The room on the disk.
    pub(super) space: Arc<SpaceGuard>,
}

/// The threads; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Upkeep {
    logs: Beat,
    cleaner: Beat,
    /// Unless it is turned off.
    scrub: Option<Beat>,
    stats: Arc<Stats>,
    stopping: Arc<AtomicBool>,
}

impl Upkeep {
    /// Starts the threads.
    pub(super) fn start(settings: &UpkeepSettings, ground: Ground) -> io::Result<Upkeep> {
        let stats = Arc::new(Stats::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let cleaner = Cleaner::new(
            settings,
            ground.shards.clone(),
            Arc::clone(&ground.clock),
            Arc::clone(&stats),
            Arc::clone(&stopping),
        );
        let cleaner = Beat::start("cleaner", settings.interval, move |_| cleaner.turn())?;
        let rate = settings.scrub_bytes_per_second;
        let mut scrub = Scrub::new(
            Arc::clone(&ground.topics),
            Arc::clone(&ground.clock),
            Arc::clone(&stats),
            rate,
        );
        let scrub = (rate > 0).then(|| {
            let turn = move |cause| scrub.turn(cause);
            Beat::start("scrub", SCRUB_INTERVAL, turn)
        });
        let scrub = scrub.transpose()?;
        let since_look = settings.interval.saturating_sub(FIRST_LOOK);
        let mut worker = Worker {
            interval_ms: millis(settings.interval),
            looked_ms: ground.clock.wall_ms() - millis(since_look),
            ground,
            stats: Arc::clone(&stats),
        };
        let every = SPACE_INTERVAL.min(settings.interval);
        let logs = Beat::start("upkeep", every, move |cause| worker.turn(cause))?;
        Ok(Upkeep {
            logs,
            cleaner,
            scrub,
            stats,
            stopping,
        })
    }

    /// What was done so far.
    pub(super) fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Does everything that is due by the clock; ready when it is done.
    pub(super) async fn turn(&self) {
        self.logs.turn().await;
        self.cleaner.turn().await;
    }

    /// Checks all sealed segments now; ready when it is done.
    pub(super) async fn scrub(&self) {
        if let Some(scrub) = &self.scrub {
            scrub.turn().await;
        }
    }

    /// Ends the threads; before the shards, which they send to.
    pub(super) async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.logs.stop().await;
        self.cleaner.stop().await;
        if let Some(scrub) = &self.scrub {
            scrub.stop().await;
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// The state of the upkeep thread.
struct Worker {
    interval_ms: i64,
    ground: Ground,
    stats: Arc<Stats>,
    /// When the logs were looked at last, or would have been for the first look to come in time.
    looked_ms: i64,
}

impl Worker {
    fn turn(&mut self, cause: Cause) {
        self.ground.space.check();
        let now_ms = self.ground.clock.wall_ms();
        if cause == Cause::Asked || is_due(Some(self.looked_ms), now_ms, self.interval_ms) {
            self.looked_ms = now_ms;
            self.look(now_ms);
        }
    }

    /// Looks at all logs.
    fn look(&self, now_ms: i64) {
        for topic in self.ground.topics.load().iter() {
            let rules = Rules::of(&topic.config);
            for handle in topic.served() {
                if handle.closed().is_none() {
                    self.retain(handle, &rules, now_ms);
                }
            }
        }
        let ask = |shard: &mpsc::Sender<Message>| {
            let (reply, answer) = oneshot::channel();
            let stats = Arc::clone(&self.stats);
            drop(shard.blocking_send(Message::Upkeep { stats, reply }));
            answer
        };
        let asked: Vec<_> = self.ground.shards.iter().map(ask).collect();
        for answer in asked {
            drop(answer.blocking_recv());
        }
    }

    fn retain(&self, handle: &Handle, rules: &Rules, now_ms: i64) {
        let view = handle.view();
        let slot = handle.0.slot;
        let message = match due(&view, rules, now_ms) {
            Some(Due::MoveLogStart(to)) => {
                self.stats.retentions.add(1);
                Message::MoveLogStart { slot, to }
            }
            Some(Due::Roll) => Message::Roll { slot },
            None => return,
        };
        drop(handle.0.inbox.blocking_send(message));
    }
}

/// What retention asks of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Records below may go.
    MoveLogStart(headrace_storage::Offset),
    /// All records of the active segment are too old; they go once it is sealed, as in Kafka.
    Roll,
}

fn due(view: &LogView, rules: &Rules, now_ms: i64) -> Option<Due> {
    let sealed = view.segments();
    let extent = Extent {
        sealed: &sealed,
        active_bytes: view.active_bytes(),
        log_start: view.log_start(),
        high_watermark: view.high_watermark(),
    };
    if let Some(to) = rules.retention.log_start(extent, now_ms) {
        return Some(Due::MoveLogStart(to));
    }
    let newest = view.active_max_timestamp().filter(|newest| *newest >= 0)?;
    rules
        .retention
        .is_expired(newest, now_ms)
        .then_some(Due::Roll)
}

/// Whether an interval has passed. A clock that was set back does not stop the upkeep.
fn is_due(last_ms: Option<i64>, now_ms: i64, interval_ms: i64) -> bool {
    let Some(last_ms) = last_ms else { return true };
    let passed = now_ms.saturating_sub(last_ms);
    passed >= interval_ms || passed < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_counts_from_the_last_look_also_when_the_clock_goes_back() {
        assert!(is_due(None, 0, 100));
        assert!(!is_due(Some(1_000), 1_099, 100));
        assert!(is_due(Some(1_000), 1_100, 100));
        assert!(is_due(Some(1_000), 999, 100));
    }
}
