//! The compaction worker: asks the shards how dirty their logs are, and cleans those that are due, the dirtiest
//! first, one at a time.
//!
//! ```text
//! worker  Dirtiness -> all shards, sorted -> Begin -> job -> clean (reads, writes) ... Finish -> metrics
//! shard                                        '- pins         '- Swap per group         '- unpins
//! ```
//! A log whose segments cannot be cleaned is left alone until one of them is gone or the broker starts anew, as
//! Kafka's uncleanable partitions: it is counted, and told once.
//!
//! One worker: one key map is as large as the memory for keys allows, and a log is read in fewer passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use headrace_storage::compaction::{
    CleaningClock, CleaningError, CleaningJob, KeyMapBudget, Throttle, Tools, clean,
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use super::UpkeepSettings;
use super::stats::Stats;
use crate::clock::Clock;
use crate::partition::shard::{Cleaning, Message, Slot};

/// The state of the worker.
pub(super) struct Cleaner {
    shards: Vec<mpsc::Sender<Message>>,
    budget: Arc<KeyMapBudget>,
    throttle: Throttle,
    clock: WorkerClock,
    stats: Arc<Stats>,
    /// Set by the stop: a cleaning that runs ends early, what it swapped stays.
    stopping: Arc<AtomicBool>,
}

/// A log that could be cleaned.
struct Candidate {
    shard: usize,
    slot: Slot,
    dirtiness: f64,
}

impl Cleaner {
    pub(super) fn new(
        settings: &UpkeepSettings,
        shards: Vec<mpsc::Sender<Message>>,
        clock: Arc<dyn Clock>,
        stats: Arc<Stats>,
        stopping: Arc<AtomicBool>,
    ) -> Cleaner {
        let rate = settings.cleaner_bytes_per_second;
        let limit = (rate > 0).then(|| u32::try_from(rate).unwrap_or(u32::MAX));
        Cleaner {
            shards,
            budget: KeyMapBudget::new(settings.cleaner_memory_bytes),
            throttle: Throttle::new(limit),
            clock: WorkerClock {
                clock,
                started: Instant::now(),
            },
            stats,
            stopping,
        }
    }

    /// Cleans all that is due.
    pub(super) fn turn(&self) {
        for candidate in self.candidates() {
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            let inbox = &self.shards[candidate.shard];
            let slot = candidate.slot;
            let begin = |reply| Cleaning::Begin { slot, reply };
            if let Some(Some(job)) = ask(inbox, begin) {
                self.clean(inbox, &candidate, job);
            }
        }
    }

    /// The dirtiest first.
    fn candidates(&self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut uncleanable = 0;
        for (shard, inbox) in self.shards.iter().enumerate() {
            let dirty = ask(inbox, |reply| Cleaning::Dirtiness { reply });
            let dirty = dirty.unwrap_or_default();
            uncleanable += dirty.uncleanable;
            let logs = dirty.logs.into_iter();
            candidates.extend(logs.map(|(slot, dirtiness)| Candidate {
                shard,
                slot,
                dirtiness,
            }));
        }
        self.stats.uncleanable_logs.set(uncleanable);
        candidates.sort_by(|one, other| other.dirtiness.total_cmp(&one.dirtiness));
        candidates
    }

    fn clean(&self, inbox: &mpsc::Sender<Message>, of: &Candidate, job: CleaningJob) {
        let slot = of.slot;
        let dir = job.dir().to_path_buf();
        self.stats.cleaning_bytes.set(job.size_bytes());
        debug!(
            dir = %dir.display(),
            dirtiness = of.dirtiness,
            bytes = job.size_bytes(),
            "compaction begins"
        );
        let tools = Tools {
            budget: &self.budget,
            throttle: &self.throttle,
            clock: &self.clock,
            cancelled: &self.stopping,
            seed: rand::random(),
        };
        let mut swap =
            |swap| ask(inbox, |reply| Cleaning::Swap { slot, swap, reply }) == Some(true);
        let cleaned = clean(job, &tools, &mut swap);
        match &cleaned.result {
            Ok(()) => self.stats.cleanings.add(1),
            Err(CleaningError::Cancelled | CleaningError::Busy | CleaningError::LogGone) => {}
            Err(failed) if failed.is_lasting() => {
                self.stats.cleanings_failed.add(1);
                self.stats.uncleanable_logs.add(1);
                error!(dir = %dir.display(), %failed, "log cannot be compacted, it is left alone until its segments change");
            }
            Err(failed) => {
                self.stats.cleanings_failed.add(1);
                warn!(dir = %dir.display(), %failed, "compaction of a log failed, it is tried again");
            }
        }
        let cleaned = Box::new(cleaned);
        let done = ask(inbox, |reply| Cleaning::Finish {
            slot,
            cleaned,
            reply,
        });
        self.stats.cleaning_bytes.set(0);
        if let Some(done) = done {
            self.stats.cleaned(&done);
            info!(
                read_bytes = done.bytes_read,
                input_bytes = done.input_bytes,
                output_bytes = done.output_bytes,
                passes = done.passes,
                "log is compacted"
            );
        }
    }
}

/// Asks a shard and waits for its answer; `None` if it is gone.
fn ask<T>(
    inbox: &mpsc::Sender<Message>,
    message: impl FnOnce(oneshot::Sender<T>) -> Cleaning,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let message = Message::Cleaning(message(reply));
    inbox.blocking_send(message).ok()?;
    answer.blocking_recv().ok()
}

/// The broker's clock, and the time that passes on this thread.
struct WorkerClock {
    clock: Arc<dyn Clock>,
    started: Instant,
}

impl CleaningClock for WorkerClock {
    fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn pause(&self, time: Duration) {
        thread::park_timeout(time);
    }
}
