//! A shard: one OS thread that owns logs outright, so that no lock lies on the write path.
//!
//! Its turn: drain the inbox -> `core.step` per message -> one write per touched log -> hand the sync to a
//! worker. All that arrives for a log while its sync runs forms its next group. A finished sync comes back
//! as a message and moves the high watermark.
//!
//! The thread ends when it is told to stop (logs are closed) or when all senders are gone (they are not:
//! what was acknowledged is durable, the next start recovers).

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::thread;

use headrace_storage::record::Batch;
use headrace_storage::{Log, LogReader, SyncDone, WriteError};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::core::{Append, Core, Effect, Event};
use super::opener::{OpenFailure, Opened, PRODUCERS_FILE, close_all};
use super::syncer::Syncer;
use super::{Acks, AppendFailure, Appended, Waiters};
use crate::clock::Clock;

/// Messages that wait for a shard before senders have to. Each stands for one batch of a request that is
/// bounded elsewhere; a few hundred are one turn's work, more would only add to latency.
const INBOX_MESSAGES_MAX: usize = 1024;

/// Messages taken per turn: enough for a full group, few enough that syncs are noticed soon.
const TURN_MESSAGES_MAX: usize = 256;

/// A partition's name within its shard; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(pub(super) u64);

/// Where an answer to an append goes.
pub(super) type Reply = oneshot::Sender<Result<Appended, AppendFailure>>;

/// A log that was opened, for this shard to own.
#[derive(Debug)]
pub(super) struct Adopt {
    pub(super) slot: Slot,
    pub(super) opened: Opened,
    pub(super) log_append_time: bool,
    pub(super) waiters: Arc<Waiters>,
    /// Answered when this node leads the partition: its no-op is durable.
    pub(super) reply: oneshot::Sender<Result<LogReader, OpenFailure>>,
}

/// What a shard is told.
#[derive(Debug)]
pub(super) enum Message {
    Adopt(Box<Adopt>),
    Append {
        slot: Slot,
        batch: Batch,
        acks: Acks,
        reply: Reply,
    },
    Synced {
        slot: Slot,
        done: SyncDone,
    },
    /// Forget the log without closing it; its files are about to be removed.
    Drop {
        slot: Slot,
        reply: oneshot::Sender<()>,
    },
    /// Make everything durable, close all logs, end.
    Stop {
        reply: oneshot::Sender<Result<(), WriteError>>,
    },
}

/// Starts a shard's thread; it ends when it is stopped or the last sender is dropped.
pub(super) fn start(
    number: usize,
    clock: Arc<dyn Clock>,
    syncer: Syncer,
) -> io::Result<mpsc::Sender<Message>> {
    let (sender, inbox) = mpsc::channel(INBOX_MESSAGES_MAX);
    let shard = Shard {
        clock,
        syncer,
        own_inbox: sender.downgrade(),
        partitions: HashMap::new(),
        touched: BTreeSet::new(),
        effects: Vec::new(),
        stop: None,
    };
    thread::Builder::new()
        .name(format!("shard-{number}"))
        .spawn(move || shard.run(inbox))?;
    Ok(sender)
}

/// A partition and what this thread does for it.
struct Owned {
    log: Log,
    core: Core<Reply>,
    waiters: Arc<Waiters>,
    log_append_time: bool,
    syncing: bool,
    /// Who waits for the no-op of this term.
    opening: Option<oneshot::Sender<Result<LogReader, OpenFailure>>>,
}

impl Owned {
    /// The first entry of this term is durable: from now on the partition can be used.
    fn opened(&mut self) {
        if let Some(opening) = self.opening.take() {
            self.log.set_high_watermark(self.log.flushed());
            answer(opening, Ok(self.log.reader()));
        }
    }
}

struct Shard {
    clock: Arc<dyn Clock>,
    syncer: Syncer,
    /// Weak, so that the thread ends with its last user.
    own_inbox: mpsc::WeakSender<Message>,
    partitions: HashMap<Slot, Owned>,
    /// Logs with something to write or sync in this turn.
    touched: BTreeSet<Slot>,
    /// Reused by every step.
    effects: Vec<Effect<Reply>>,
    stop: Option<oneshot::Sender<Result<(), WriteError>>>,
}

impl Shard {
    fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(TURN_MESSAGES_MAX);
        while inbox.blocking_recv_many(&mut messages, TURN_MESSAGES_MAX) > 0 {
            for message in messages.drain(..) {
                self.take(message);
            }
            while let Some(slot) = self.touched.pop_first() {
                self.write(slot);
            }
            if self.stop.is_some() && self.is_idle() {
                break;
            }
        }
        self.close();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Adopt(adopt) => self.adopt(*adopt),
            Message::Append {
                slot,
                batch,
                acks,
                reply,
            } => self.append(slot, batch, acks, reply),
            Message::Synced { slot, done } => self.synced(slot, done),
            Message::Drop { slot, reply } => {
                self.step(slot, Event::Abandon(AppendFailure::Deleted));
                if let Some(owned) = self.partitions.remove(&slot) {
                    owned.waiters.wake();
                }
                answer(reply, ());
            }
            Message::Stop { reply } => self.stop = Some(reply),
        }
    }

    fn adopt(&mut self, adopt: Adopt) {
        let Adopt {
            slot,
            opened,
            log_append_time,
            waiters,
            reply,
        } = adopt;
        let owned = Owned {
            log: opened.log,
            core: Core::new(opened.recovered),
            waiters,
            log_append_time,
            syncing: false,
            opening: Some(reply),
        };
        self.partitions.insert(slot, owned);
        self.step(slot, Event::Lead);
    }

    fn append(&mut self, slot: Slot, batch: Batch, acks: Acks, token: Reply) {
        let refused = match self.partitions.get(&slot) {
            _ if self.stop.is_some() => AppendFailure::Stopping,
            None => AppendFailure::Deleted,
            Some(owned) => {
                let now_ms = self.clock.wall_ms();
                let roll = owned.log.should_roll(batch.size_bytes(), now_ms);
                let log_append_time = owned.log_append_time;
                let append = Append {
                    batch,
                    acks,
                    token,
                    roll,
                    log_append_time,
                    now_ms,
                };
                return self.step(slot, Event::Append(append));
            }
        };
        answer(token, Err(refused));
    }

    /// Lets the core decide, and does what it says.
    fn step(&mut self, slot: Slot, event: Event<Reply>) {
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        let mut effects = std::mem::take(&mut self.effects);
        let mut refused = false;
        owned.core.step(event, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Append(entry) => {
                    if let Err(failed) = owned.log.append(entry) {
                        error!(%failed, "log does not take an entry");
                        refused = true;
                    }
                    self.touched.insert(slot);
                }
                Effect::HighWatermark(offset) => {
                    owned.log.set_high_watermark(offset);
                    owned.waiters.wake();
                }
                Effect::Snapshot(bytes) => {
                    // the state is then replayed from an older one
                    if let Err(failed) = owned.log.write_side_file(PRODUCERS_FILE, &bytes) {
                        warn!(%failed, "producer snapshot is not written");
                    }
                }
                Effect::Reply(reply, result) => answer(reply, result),
            }
        }
        self.effects = effects;
        if refused {
            self.step(slot, Event::WriteFailed);
        }
    }

    /// One write for all that was staged, and the sync of what is written.
    fn write(&mut self, slot: Slot) {
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
        if owned.syncing {
            return;
        }
        let Some(point) = owned.log.sync_point() else {
            return owned.opened();
        };
        owned.syncing = true;
        let inbox = self.own_inbox.clone();
        self.syncer.submit(point, move |done| {
            if let Some(inbox) = inbox.upgrade() {
                // a shard that is gone needs no news
                drop(inbox.blocking_send(Message::Synced { slot, done }));
            }
        });
    }

    fn synced(&mut self, slot: Slot, done: SyncDone) {
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        owned.syncing = false;
        match owned.log.synced(done) {
            Ok(flushed) => {
                owned.opened();
                self.step(slot, Event::Flushed(flushed));
                self.touched.insert(slot);
            }
            Err(failed) => self.fail(slot, &failed),
        }
    }

    /// The log takes no more writes; whoever waits is told, readers go on.
    fn fail(&mut self, slot: Slot, failed: &WriteError) {
        error!(%failed, "log is closed to writes");
        self.step(slot, Event::WriteFailed);
        let opening = self.partitions.get_mut(&slot);
        if let Some(opening) = opening.and_then(|owned| owned.opening.take()) {
            // nobody ever got a handle to it
            self.partitions.remove(&slot);
            answer(opening, Err(failed.clone().into()));
        }
    }

    fn is_idle(&self) -> bool {
        let busy = |owned: &Owned| owned.syncing || owned.log.has_staged();
        !self
            .partitions
            .values()
            .any(|owned| owned.log.write_error().is_none() && busy(owned))
    }

    /// Closes all logs if it was told to stop.
    fn close(mut self) {
        let Some(stop) = self.stop.take() else { return };
        let open = |owned: &Owned| owned.log.write_error().is_none();
        let logs = self.partitions.into_values().filter(open);
        let closing = logs.map(|owned| (owned.log, owned.core.snapshot_at_close()));
        answer(stop, close_all(closing.collect()));
    }
}

/// Answers someone who may have gone away meanwhile.
pub(super) fn answer<T>(to: oneshot::Sender<T>, what: T) {
    drop(to.send(what));
}
