//! Writes and syncs of a shard: of its logs, and of the votes of all its groups.

use headrace_storage::votes::JournalSynced;
use headrace_storage::{SyncDone, WriteError};
use tracing::error;

use super::{Message, Shard, Slot, answer};
use crate::partition::core::Event;

impl Shard {
    /// One write for all that was staged, and the sync of what is written, unless that may wait.
    pub(super) fn write(&mut self, slot: Slot) {
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        match owned.log.write() {
            Ok(log_end) => {
                self.step(slot, Event::Written(log_end));
                self.sync(slot);
            }
            Err(failed) => self.fail(slot, &failed),
        }
    }

    fn sync(&mut self, slot: Slot) {
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        let stops = self.stop.is_some();
        let waits = !stops && owned.may_wait(slot, &*self.clock, &mut self.deadlines);
        if waits || owned.syncing {
            return;
        }
        let Some(point) = owned.log.sync_point() else {
            return;
        };
        owned.syncing = true;
        let held_back = owned.log.has_staged();
        self.deadlines.end(slot, &mut owned.cache, held_back);
        let inbox = self.own_inbox.clone();
        self.syncer.submit(point, move |done| {
            if let Some(inbox) = inbox.upgrade() {
                // a shard that is gone needs no news
                drop(inbox.blocking_send(Message::Synced { slot, done }));
            }
        });
    }

    pub(super) fn synced(&mut self, slot: Slot, done: SyncDone) {
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        owned.syncing = false;
        let bytes = done.bytes();
        if let Err(failed) = owned.log.synced(done) {
            return self.fail(slot, &failed);
        }
        self.votes.hint(owned.id, owned.log.hint(), bytes);
        self.perform_held(slot);
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        let (written, durable) = (owned.log.log_end(), owned.log.flushed_index());
        self.step(slot, Event::Written(written));
        self.step(slot, Event::Durable(durable));
        self.unwritten.insert(slot);
    }

    /// Writes the votes of all groups that stated one, and tells those whose are durable.
    pub(super) fn write_votes(&mut self) {
        match self.votes.write() {
            Ok(None) => {}
            Ok(Some(point)) => {
                let inbox = self.own_inbox.clone();
                self.syncer.run(move || {
                    let done = point.run();
                    if let Some(inbox) = inbox.upgrade() {
                        drop(inbox.blocking_send(Message::VotesSynced(done)));
                    }
                });
            }
            Err(failed) => self.fail_votes(&failed),
        }
        self.tell_of_votes();
    }

    pub(super) fn votes_synced(&mut self, done: JournalSynced) {
        if let Err(failed) = self.votes.synced(done) {
            self.fail_votes(&failed);
        }
        self.tell_of_votes();
    }

    fn tell_of_votes(&mut self) {
        for (slot, number) in self.votes.durable() {
            self.step(slot, Event::VotesSynced(number));
        }
    }

    /// What is not durable in the journal never will be: those partitions cannot lead. The others state no
    /// vote while they lead, and go on.
    fn fail_votes(&mut self, failed: &WriteError) {
        for slot in self.votes.give_up() {
            self.fail(slot, failed);
        }
    }

    /// The partition takes no more writes; whoever waits is told, readers go on.
    pub(super) fn fail(&mut self, slot: Slot, failed: &WriteError) {
        error!(%failed, "log is closed to writes");
        if let Some(owned) = self.partitions.get(&slot) {
            // whoever is refused may ask at once for the reason
            owned.close(failed.to_string().into());
        }
        self.step(slot, Event::WriteFailed);
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        if let Some(opening) = owned.opening.take() {
            // nobody ever got a handle to it
            self.partitions.remove(&slot);
            answer(opening, Err(failed.clone().into()));
        }
    }
}
