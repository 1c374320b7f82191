//! What a shard does for the upkeep of its logs: rolls by age, removals, room of idle logs, and the owner's
//! part of compaction.

use std::sync::Arc;

use headrace_storage::compaction::{Cleaned, CleaningMetrics, Swap};
use headrace_storage::{Offset, WriteError};
use tokio::sync::oneshot;

use super::{Shard, Slot, answer};
use crate::partition::core::Event;
use crate::partition::upkeep::Stats;

/// The next removal of files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Removal {
    /// Those of records below go; the log start when it was set.
    below: Offset,
    /// Not sooner.
    due_ms: i64,
}

impl Removal {
    /// Before the log was looked at: nothing waits.
    pub(super) const NONE: Removal = Removal {
        below: Offset(0),
        due_ms: i64::MIN,
    };
}

/// What is asked of a shard for compaction.
#[derive(Debug)]
pub(in crate::partition) enum Cleaning {
    /// Which logs could be cleaned.
    Dirtiness { reply: oneshot::Sender<Dirtiness> },
    /// A job for the log, if it is due.
    Begin {
        slot: Slot,
        reply: oneshot::Sender<Option<headrace_storage::compaction::CleaningJob>>,
    },
    /// A compacted file takes the place of its inputs.
    Swap {
        slot: Slot,
        swap: Swap,
        reply: oneshot::Sender<bool>,
    },
    /// The job is over.
    Finish {
        slot: Slot,
        cleaned: Box<Cleaned>,
        reply: oneshot::Sender<CleaningMetrics>,
    },
}

/// What compaction finds in a shard.
#[derive(Debug, Default)]
pub(in crate::partition) struct Dirtiness {
    /// Logs that could be cleaned, and how dirty they are (0 to 1).
    pub(in crate::partition) logs: Vec<(Slot, f64)>,
    /// How many logs it leaves alone until their segments change.
    pub(in crate::partition) uncleanable: u64,
}

impl Shard {
    /// Looks at all logs: idle ones too end their segments in time.
    pub(super) fn upkeep(&mut self, stats: &Arc<Stats>) {
        let slots: Vec<Slot> = self.partitions.keys().copied().collect();
        for slot in slots {
            self.keep(slot, stats);
        }
    }

    fn keep(&mut self, slot: Slot, stats: &Stats) {
        let now_ms = self.clock.wall_ms();
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        if owned.log.write_error().is_some() {
            return;
        }
        let kept = owned.remove_due(stats, now_ms);
        if let Err(failed) = kept.and_then(|()| owned.log.trim_idle()) {
            return self.fail(slot, &failed);
        }
        if owned.log.should_roll(0, now_ms) {
            stats.rolls.add(1);
            self.step(slot, Event::Roll { now_ms });
        }
    }

    pub(super) fn cleaning(&mut self, asked: Cleaning) {
        let now_ms = self.clock.wall_ms();
        match asked {
            Cleaning::Dirtiness { reply } => {
                let mut dirtiness = Dirtiness::default();
                for (slot, owned) in &self.partitions {
                    let Some(cleaning) = &owned.rules.cleaning else {
                        continue;
                    };
                    dirtiness.uncleanable += u64::from(owned.log.is_uncleanable());
                    let dirty = owned.log.dirty_ratio(cleaning, now_ms);
                    dirtiness.logs.extend(dirty.map(|ratio| (*slot, ratio)));
                }
                answer(reply, dirtiness);
            }
            Cleaning::Begin { slot, reply } => {
                let job = self.partitions.get_mut(&slot).and_then(|owned| {
                    let cleaning = owned.rules.cleaning.clone()?;
                    let job = owned.log.begin_cleaning(&cleaning, now_ms)?;
                    // who is forgotten here begins anew with whatever it sends
                    let producers = owned.core.producers().ids().collect();
                    Some(job.with_producers(producers))
                });
                answer(reply, job);
            }
            Cleaning::Swap { slot, swap, reply } => {
                let owned = self.partitions.get_mut(&slot);
                answer(
                    reply,
                    owned.is_some_and(|owned| owned.log.swap_cleaned(swap)),
                );
            }
            Cleaning::Finish {
                slot,
                cleaned,
                reply,
            } => {
                let Some(owned) = self.partitions.get_mut(&slot) else {
                    return answer(reply, cleaned.metrics);
                };
                answer(reply, owned.log.finish_cleaning(*cleaned));
                if let Some(failed) = owned.log.write_error().cloned()
                    && owned.closed.get().is_none()
                {
                    self.fail(slot, &failed);
                }
            }
        }
    }
}

impl super::Owned {
    /// Removes the segments below the log start that has waited for its time. What moved since waits in turn: a
    /// start that moves at every look would put a common time off for ever.
    fn remove_due(&mut self, stats: &Stats, now_ms: i64) -> Result<(), WriteError> {
        while self.removal.due_ms <= now_ms {
            let below = self.removal.below;
            self.remove(below, stats)?;
            let start = self.log.log_start();
            if start == below {
                break;
            }
            self.removal = Removal {
                below: start,
                due_ms: now_ms.saturating_add(self.rules.delete_delay_ms),
            };
        }
        Ok(())
    }

    fn remove(&mut self, below: Offset, stats: &Stats) -> Result<(), WriteError> {
        let reader = self.log.reader();
        let before_bytes = reader.view().size_bytes();
        let removed = self.log.remove_below(below)?;
        if removed > 0 {
            stats.segments_removed.add(removed);
            let after_bytes = reader.view().size_bytes();
            stats
                .removed_bytes
                .add(before_bytes.saturating_sub(after_bytes));
        }
        Ok(())
    }
}
