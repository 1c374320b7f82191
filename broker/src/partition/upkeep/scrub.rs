//! The scrub of all logs, one after another, so many bytes a second.
//!
//! A round goes through every log; the next begins a day after it began at the earliest, for bytes flip
//! rarely. What it finds is logged as an error, counted, and shown with the partition until the next start.

use std::collections::VecDeque;
use std::sync::Arc;

use arc_swap::ArcSwap;
use headrace_storage::scrub::Scrubber;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::beat::Cause;
use super::is_due;
use super::stats::Stats;
use crate::clock::Clock;
use crate::partition::{Handle, Topics};

/// A round is not begun sooner after the one before.
const ROUND_INTERVAL_MS: i64 = 24 * 3_600_000;

/// The state of the scrub's thread.
pub(super) struct Scrub {
    topics: Arc<ArcSwap<Topics>>,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
    bytes_per_second: u64,
    /// The logs of this round that are still to be read; the first is being read.
    logs: VecDeque<(Uuid, i32)>,
    scrubber: Scrubber,
    round_began_ms: Option<i64>,
}

impl Scrub {
    pub(super) fn new(
        topics: Arc<ArcSwap<Topics>>,
        clock: Arc<dyn Clock>,
        stats: Arc<Stats>,
        bytes_per_second: u64,
    ) -> Scrub {
        Scrub {
            topics,
            clock,
            stats,
            bytes_per_second,
            logs: VecDeque::new(),
            scrubber: Scrubber::default(),
            round_began_ms: None,
        }
    }

    /// Reads a second's bytes; all that is left of a round, begun anew if need be, when it is asked to.
    pub(super) fn turn(&mut self, cause: Cause) {
        let now_ms = self.clock.wall_ms();
        let asked = cause == Cause::Asked;
        let due = is_due(self.round_began_ms, now_ms, ROUND_INTERVAL_MS);
        if self.logs.is_empty() && (asked || due) {
            self.round_began_ms = Some(now_ms);
            self.begin();
        }
        let mut left_bytes = if asked {
            u64::MAX
        } else {
            self.bytes_per_second
        };
        while left_bytes > 0
            && let Some(log) = self.logs.front().copied()
        {
            let Some(handle) = self.handle(log) else {
                self.next();
                continue;
            };
            left_bytes = left_bytes.saturating_sub(self.step(&handle, left_bytes));
        }
        self.stats.scrub_position.set(self.scrubber.position());
    }

    fn begin(&mut self) {
        for topic in self.topics.load().iter() {
            let logs = topic.served();
            self.logs
                .extend(logs.map(|handle| (topic.id, handle.partition())));
        }
    }

    fn handle(&self, (topic, partition): (Uuid, i32)) -> Option<Handle> {
        let topics = self.topics.load();
        topics.by_id(topic)?.partition(partition).ok().cloned()
    }

    fn next(&mut self) {
        self.logs.pop_front();
        self.scrubber = Scrubber::default();
    }

    /// The bytes read.
    fn step(&mut self, handle: &Handle, bytes_max: u64) -> u64 {
        let done = match self.scrubber.step(&handle.view(), bytes_max) {
            Ok(done) => done,
            Err(failed) => {
                warn!(log = ?handle, %failed, "log cannot be read for its check, it is left out of this round");
                self.stats.scrub_errors.add(1);
                self.next();
                return 0;
            }
        };
        self.stats.scrub_read_bytes.add(done.bytes);
        for found in &done.findings {
            self.stats.scrub_errors.add(1);
            error!(
                file = %found.path.display(),
                position = found.position,
                from_offset = found.offsets.start.0,
                upto_offset = found.offsets.end.0,
                reason = found.reason,
                "damage on disk; the records in it are not served"
            );
        }
        for (path, reason) in &done.reindexed {
            info!(file = %path.display(), reason, "index of a sound segment is written anew; no record is lost");
        }
        if done.pass_over {
            self.stats.scrub_passes.add(1);
            self.next();
        }
        done.bytes
    }
}
