//! Turns of the cores, and doing what they say.

use std::collections::BTreeSet;
use std::sync::Arc;

use headrace_storage::{Entry, EntryIndex, Log};
use tracing::{error, warn};

use super::{Owned, Reply, Shard, Slot, answer};
use crate::clock::Clock;
use crate::partition::core::{Effect, Event};
use crate::partition::opener::{PRODUCERS_FILE, read_producers};
use crate::partition::votes::Votes;

impl Shard {
    /// Has the touched partitions decide, then writes votes and logs, until nothing is left to do but to wait.
    pub(super) fn turns(&mut self) {
        loop {
            while let Some(slot) = self.touched.pop_first() {
                self.turn(slot);
            }
            self.write_votes();
            while let Some(slot) = self.unwritten.pop_first() {
                self.write(slot);
            }
            if self.touched.is_empty() {
                return;
            }
        }
    }

    fn turn(&mut self, slot: Slot) {
        loop {
            let Some(owned) = self.partitions.get_mut(&slot) else {
                return;
            };
            if !owned.held.is_empty() {
                // the sync that it waits for touches it again
                return;
            }
            // asked once for all batches of a run
            let room_bytes = owned.log.segment_room_bytes(self.now_ms);
            let roll = |bytes| room_bytes.is_none_or(|room_bytes| bytes > room_bytes);
            let more = owned.core.turn(&roll, &mut self.effects);
            self.perform(slot);
            if !more {
                return;
            }
        }
    }

    /// Does all effects, in order.
    pub(super) fn perform(&mut self, slot: Slot) {
        if self.effects.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        let mut refused = false;
        if let Some(owned) = self.partitions.get_mut(&slot) {
            let mut hands = Hands {
                slot,
                votes: &mut self.votes,
                unwritten: &mut self.unwritten,
                clock: &*self.clock,
            };
            for effect in effects.drain(..) {
                refused |= !hands.perform(owned, effect);
            }
        }
        effects.clear();
        self.effects = effects;
        if refused {
            self.refused(slot);
        }
    }

    /// The log did not take what its group counts as part of it: nothing may be built on that.
    fn refused(&mut self, slot: Slot) {
        if let Some(owned) = self.partitions.get(&slot) {
            let reason = owned.log.write_error().map(ToString::to_string);
            let reason = reason.unwrap_or_else(|| "the log does not take an entry".to_owned());
            owned.close(reason.into());
        }
        self.step(slot, Event::WriteFailed);
    }

    /// Does what had to wait for a sync.
    pub(super) fn perform_held(&mut self, slot: Slot) {
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        self.effects.extend(owned.held.drain(..));
        self.perform(slot);
    }
}

/// What effects of a partition reach beyond it.
struct Hands<'a> {
    slot: Slot,
    votes: &'a mut Votes,
    unwritten: &'a mut BTreeSet<Slot>,
    clock: &'a dyn Clock,
}

impl Hands<'_> {
    /// Does one effect; false if the log refused it.
    fn perform(&mut self, owned: &mut Owned, effect: Effect<Reply>) -> bool {
        let waits = matches!(effect, Effect::Truncate(_)) && owned.log.is_syncing();
        if waits || !owned.held.is_empty() {
            owned.held.push_back(effect);
            return true;
        }
        let votes = &mut *self.votes;
        let key = (self.slot, owned.id);
        match effect {
            Effect::Vote { term, vote, number } => votes.vote(key, (term, vote), number),
            Effect::Membership {
                index,
                content,
                number,
            } => votes.membership(key, (index, content), number),
            Effect::Truncate(last) => {
                let mut lower = |hint| votes.lower_hint(key.1, hint);
                let cut = owned.log.truncate(last, &mut lower);
                return cut.is_ok_and(|()| reread_producers(owned, self.clock.wall_ms()));
            }
            Effect::Append(first, entries) => {
                self.unwritten.insert(self.slot);
                let decides = |entry: &Entry| !matches!(entry, Entry::Batch(_));
                if entries.iter().any(decides) {
                    // it has its effect when it is committed
                    owned.cache.press();
                }
                return append(&mut owned.log, first, entries);
            }
            // there are no peers yet
            Effect::Send(message) => drop(message),
            Effect::Committed(index, high_watermark) => {
                owned.log.commit(index);
                owned.log.set_high_watermark(high_watermark);
                owned.core.log_starts(owned.log.log_start());
                owned.waiters.wake();
            }
            Effect::Visible(high_watermark) => {
                owned.log.set_high_watermark(high_watermark);
                owned.waiters.wake();
            }
            Effect::Serves => owned.opened(),
            // what lies below the log start goes with the upkeep, after file.delete.delay.ms
            Effect::Window(start) => owned.log.raise_first_index(start),
            Effect::Snapshot(bytes) => {
                // the state is then replayed from an older one
                if let Err(failed) = owned.log.write_side_file(PRODUCERS_FILE, &bytes) {
                    warn!(%failed, "producer snapshot is not written");
                }
            }
            Effect::Quarantined(reason) => quarantine(owned, reason),
            Effect::Reply(reply, result) => answer(reply, result),
        }
        true
    }
}

/// Stages entries; false if the log refuses one.
fn append(log: &mut Log, first: EntryIndex, entries: Vec<Entry>) -> bool {
    for (index, entry) in (first.0..).map(EntryIndex).zip(entries) {
        match log.append(entry) {
            Ok(at) if at == index => {}
            Ok(at) => {
                error!(%at, %index, "log and consensus count entries differently");
                return false;
            }
            Err(failed) => {
                error!(%failed, "log does not take an entry");
                return false;
            }
        }
    }
    true
}

/// After a cut the log is the truth about producers too. Rare, so the shard may read it itself.
fn reread_producers(owned: &mut Owned, now_ms: i64) -> bool {
    match read_producers(&owned.log, now_ms) {
        Ok((_, producers)) => {
            let mut none = Vec::new();
            owned.core.step(Event::Producers(producers), &mut none);
            true
        }
        Err(failed) => {
            error!(%failed, "producers cannot be read back after a cut");
            false
        }
    }
}

/// Its consensus panicked: it takes no more writes, readers go on, and so do all other partitions.
fn quarantine(owned: &mut Owned, reason: Arc<str>) {
    error!(topic_id = %owned.id.topic_id, partition = owned.id.partition, %reason, "partition is closed to writes: its consensus failed");
    owned.close(reason);
    owned.opened();
}
