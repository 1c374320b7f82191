//! When a log is synced: at once where somebody waits for it, else when a bound of write caching is reached.
//!
//! ```text
//! written ---> answered, read ----------------------------------------> on disk
//!    '-- flush.bytes, flush.messages, flush.ms, or a control entry: a sync begins --'
//! ```
//!
//! The bounds say when a sync begins. What is written while it runs is answered for too, until 4 MiB are not
//! synced: then the log writes nothing (`storage`), and with that nothing is answered. A control entry (ROLL, log
//! start, voters) has its effect when it is committed, so its sync does not wait.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Owned, Shard, Slot};
use crate::clock::Clock;
use crate::partition::core::Event;
use crate::raft::TICK;
use crate::topic_config::Flush;

/// What one log may leave unsynced.
#[derive(Debug)]
pub(in crate::partition) struct Cache {
    flush: Flush,
    /// Something waits for the next sync, or a bound was reached.
    pressing: bool,
    /// When the oldest bytes that no sync covers have to be on their way to the disk.
    due_at: Option<Instant>,
}

/// What is written to a log and not synced.
#[derive(Debug, Clone, Copy)]
struct Unsynced {
    bytes: u64,
    records: u64,
    /// More waits to be written, which only a sync makes room for.
    held_back: bool,
}

/// When to look at the logs that wait: at most one time for each.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, Slot)>);

impl Cache {
    pub(super) fn new(flush: Flush) -> Cache {
        Cache {
            flush,
            pressing: false,
            due_at: None,
        }
    }

    /// What it goes by.
    pub(in crate::partition) fn flush(&self) -> Flush {
        self.flush
    }

    fn is_on(&self) -> bool {
        matches!(self.flush, Flush::Cached { .. })
    }

    /// The next sync waits for nothing.
    pub(super) fn press(&mut self) {
        self.pressing = true;
    }

    /// Whether a sync should begin. Times below a tick cannot be waited for.
    fn is_due(&self, unsynced: Unsynced, now: Instant) -> bool {
        let Flush::Cached {
            bytes_max,
            interval,
            records_max,
        } = self.flush
        else {
            return true;
        };
        self.pressing
            || unsynced.held_back
            || unsynced.bytes >= bytes_max
            || records_max.is_some_and(|max| unsynced.records >= max)
            || interval < TICK
            || self.due_at.is_some_and(|due_at| due_at <= now)
    }

    /// When what is written now has to be on its way to the disk.
    fn due_at(&self, now: Instant) -> Instant {
        let interval = match self.flush {
            Flush::BeforeAck => Duration::ZERO,
            Flush::Cached { interval, .. } => interval,
        };
        // beyond all time: as good as now
        now.checked_add(interval).unwrap_or(now)
    }
}

impl Deadlines {
    /// Something waits for its sync from now on, if nothing did before.
    fn begin(&mut self, slot: Slot, cache: &mut Cache, now: Instant) {
        if cache.due_at.is_none() {
            let due_at = cache.due_at(now);
            cache.due_at = Some(due_at);
            self.0.insert((due_at, slot));
        }
    }

    /// Nothing waits for a sync that has not begun; `held_back` says whether something is to be written yet.
    pub(super) fn end(&mut self, slot: Slot, cache: &mut Cache, held_back: bool) {
        cache.pressing &= held_back;
        if let Some(due_at) = cache.due_at.take() {
            self.0.remove(&(due_at, slot));
        }
    }

    /// Takes out one that is due.
    fn pop(&mut self, upto: Instant) -> Option<Slot> {
        let first = *self.0.first()?;
        (first.0 <= upto).then(|| {
            self.0.remove(&first);
            first.1
        })
    }
}

impl Owned {
    fn unsynced(&self) -> Unsynced {
        let records = self.log.log_end().0 - self.log.flushed().0;
        Unsynced {
            bytes: self.log.unsynced_bytes(),
            records: u64::try_from(records).unwrap_or(0),
            held_back: self.log.has_staged(),
        }
    }

    /// Whether nobody waits for a sync of what is written; if a later one must be begun, `deadlines` says when.
    pub(super) fn may_wait(
        &mut self,
        slot: Slot,
        clock: &dyn Clock,
        deadlines: &mut Deadlines,
    ) -> bool {
        if !self.cache.is_on() || !self.core.answers_when_written() {
            return false;
        }
        let unsynced = self.unsynced();
        if unsynced.bytes == 0 {
            deadlines.end(slot, &mut self.cache, unsynced.held_back);
            return true;
        }
        let now = clock.instant();
        let due = self.cache.is_due(unsynced, now);
        // while one runs, more may be written than it covers
        if !due || self.syncing {
            deadlines.begin(slot, &mut self.cache, now);
        }
        !due
    }
}

impl Shard {
    /// Has logs synced whose time has come, at a tick also those whose time comes before the next.
    pub(super) fn sync_due(&mut self, ticked: bool) {
        if self.deadlines.0.is_empty() {
            return;
        }
        let ahead = if ticked { TICK } else { Duration::ZERO };
        let upto = self.clock.instant() + ahead;
        while let Some(slot) = self.deadlines.pop(upto) {
            self.press(slot);
        }
    }

    fn press(&mut self, slot: Slot) {
        if let Some(owned) = self.partitions.get_mut(&slot)
            && owned.log.write_error().is_none()
        {
            owned.cache.press();
            self.unwritten.insert(slot);
        }
    }

    /// Has all logs synced: the shard is to stop.
    pub(super) fn sync_all(&mut self) {
        let waiting = self
            .partitions
            .iter()
            .filter(|(_, owned)| owned.cache.due_at.is_some() && owned.log.write_error().is_none());
        self.unwritten.extend(waiting.map(|(slot, _)| *slot));
    }

    /// From now on batches are answered for like this; what was answered for before a sync is synced now.
    pub(in crate::partition) fn set_flush(&mut self, slot: Slot, flush: Flush) {
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        owned.cache.flush = flush;
        let on = owned.cache.is_on();
        if owned.log.unsynced_bytes() > 0 && owned.log.write_error().is_none() {
            owned.cache.press();
            self.unwritten.insert(slot);
        }
        self.step(slot, Event::WriteCaching(on));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_waited_for_is_not() {
        let unsynced = Unsynced {
            bytes: 1,
            records: 1,
            held_back: false,
        };
        for (interval_ms, due) in [(0, true), (99, true), (100, false), (101, false)] {
            let cache = Cache::new(Flush::Cached {
                bytes_max: 2,
                interval: Duration::from_millis(interval_ms),
                records_max: None,
            });
            assert_eq!(cache.is_due(unsynced, Instant::now()), due, "{interval_ms}");
        }
    }

    #[test]
    fn one_time_is_kept_for_each_log_that_waits_and_none_for_others() {
        let interval = Duration::from_hours(1);
        let mut cache = Cache::new(Flush::Cached {
            bytes_max: 1,
            interval,
            records_max: None,
        });
        let (mut deadlines, begun) = (Deadlines::default(), Instant::now());
        for number in 0..1000 {
            let now = begun + Duration::from_millis(number);
            deadlines.begin(Slot(7), &mut cache, now);
            deadlines.begin(Slot(7), &mut cache, now + interval);
            assert_eq!(cache.due_at, Some(now + interval), "of the oldest bytes");
            assert_eq!(deadlines.0.len(), 1);
            deadlines.end(Slot(7), &mut cache, false);
            assert!(deadlines.0.is_empty());
        }
        deadlines.begin(Slot(7), &mut cache, begun);
        assert_eq!(deadlines.pop(begun), None);
        assert_eq!(deadlines.pop(begun + interval), Some(Slot(7)));
        deadlines.end(Slot(7), &mut cache, false);
        assert_eq!(deadlines.pop(begun + interval), None);
    }
}
