//! A shard: one OS thread that owns logs outright, so that no lock lies on the write path.
//!
//! ```text
//! drain the inbox -> core.step -> touched: core.turn -> effects -> votes: one write, one sync for all groups
//!        ^                            ^                        '-> logs: one write each, one sync each
//!        '---- Synced, VotesSynced ---'- Written, Durable, VotesSynced        (syncs run on workers)
//! ```
//! All that arrives for a log while its sync runs forms its next group. Under write caching a sync may wait
//! (`caching`). At most one tick is taken per turn of the loop, so nothing is replayed after a pause.
//!
//! The thread ends when it is told to stop (logs are closed) or when all senders are gone (they are not:
//! what was acknowledged is durable, or written under write caching; the next start recovers).

mod caching;
mod effects;
mod upkeep;
mod writes;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread;

use headrace_storage::record::Batch;
use headrace_storage::votes::{GroupId, JournalSynced};
use headrace_storage::{Checkpoints, Log, LogReader, Offset, SyncDone, WriteError};
use tokio::sync::{mpsc, oneshot};

use super::core::{Append, Core, Effect, Event};
use super::opener::{OpenFailure, Opened, close_all};
use super::producers::Known;
use super::settings::LogSettings;
use super::syncer::Syncer;
use super::upkeep::{Rules, Stats};
use super::votes::Votes;
use super::{Acks, AppendFailure, Appended, Closed, Waiters};
use crate::clock::Clock;
use crate::topic_config::Flush;
use caching::{Cache, Deadlines};

pub(super) use upkeep::Cleaning;

/// Messages that wait for a shard before senders have to. Each stands for one batch of a request that is
/// bounded elsewhere; a few hundred are one turn's work, more would only add to latency.
const INBOX_MESSAGES_MAX: usize = 1024;

/// Ticks between two writes of flushed hints without regard to how much they cover: a second. Damage below a
/// hint is never taken for a torn tail.
const HINT_TICKS: u32 = 10;

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
    pub(super) settings: LogSettings,
    pub(super) waiters: Arc<Waiters>,
    pub(super) closed: Closed,
    /// Answered when this node leads the partition: its no-op is committed. A partition whose consensus is
    /// quarantined can be read.
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
    VotesSynced(JournalSynced),
    /// A tenth of a second went by.
    Tick,
    /// End the segment: its time has come.
    Roll {
        slot: Slot,
    },
    /// Answer for batches like this from now on.
    Flush {
        slot: Slot,
        flush: Flush,
    },
    /// Go by these settings from now on.
    Configure {
        slot: Slot,
        settings: Box<LogSettings>,
        reply: oneshot::Sender<()>,
    },
    /// Records below are no longer needed.
    MoveLogStart {
        slot: Slot,
        to: Offset,
    },
    /// The same, and an answer once the log begins there durably; all but the log start of it means nothing.
    DeleteRecords {
        slot: Slot,
        below: Offset,
        reply: Reply,
    },
    /// Tell of the producers that are known.
    Producers {
        slot: Slot,
        reply: oneshot::Sender<Vec<Known>>,
    },
    /// Do what is due for all logs.
    Upkeep {
        stats: Arc<Stats>,
        reply: oneshot::Sender<()>,
    },
    /// A step of a compaction.
    Cleaning(Cleaning),
    /// Let go of the log without closing it.
    Drop {
        slot: Slot,
        /// Its partition is no more: its files are about to be removed, its votes count no longer.
        for_good: bool,
        reply: oneshot::Sender<()>,
    },
    /// Make everything durable, close all logs, end.
    Stop {
        reply: oneshot::Sender<Result<Checkpoints, WriteError>>,
    },
}

/// Starts a shard's thread; it ends when it is stopped or the last sender is dropped.
pub(super) fn start(
    number: usize,
    clock: Arc<dyn Clock>,
    syncer: Syncer,
    votes: Votes,
) -> io::Result<mpsc::Sender<Message>> {
    let (sender, inbox) = mpsc::channel(INBOX_MESSAGES_MAX);
    let shard = Shard {
        clock,
        syncer,
        votes,
        own_inbox: sender.downgrade(),
        partitions: HashMap::new(),
        touched: BTreeSet::new(),
        unwritten: BTreeSet::new(),
        deadlines: Deadlines::default(),
        effects: Vec::new(),
        ticked: false,
        ticks: 0,
        now_ms: i64::MIN,
        stop: None,
    };
    thread::Builder::new()
        .name(format!("shard-{number}"))
        .spawn(move || shard.run(inbox))?;
    Ok(sender)
}

/// A partition and what this thread does for it.
pub(super) struct Owned {
    id: GroupId,
    pub(super) log: Log,
    core: Core<Reply>,
    waiters: Arc<Waiters>,
    closed: Closed,
    pub(super) log_append_time: bool,
    pub(super) rules: Rules,
    /// Set by the upkeep when the log start moves.
    removal: upkeep::Removal,
    syncing: bool,
    pub(super) cache: Cache,
    /// Effects from a cut on that has to wait for the sync that is under way.
    held: VecDeque<Effect<Reply>>,
    /// Who waits for this node to lead.
    opening: Option<oneshot::Sender<Result<LogReader, OpenFailure>>>,
}

impl Owned {
    /// From now on the partition can be used.
    fn opened(&mut self) {
        if let Some(opening) = self.opening.take() {
            answer(opening, Ok(self.log.reader()));
        }
    }

    /// Says why it takes no more writes; the first reason counts.
    fn close(&self, reason: Arc<str>) {
        drop(self.closed.set(reason));
    }
}

pub(super) struct Shard {
    clock: Arc<dyn Clock>,
    syncer: Syncer,
    votes: Votes,
    /// Weak, so that the thread ends with its last user.
    own_inbox: mpsc::WeakSender<Message>,
    pub(super) partitions: HashMap<Slot, Owned>,
    /// Partitions whose core has something to decide.
    touched: BTreeSet<Slot>,
    /// Logs with something to write or sync.
    unwritten: BTreeSet<Slot>,
    /// Logs that need not be synced yet.
    deadlines: Deadlines,
    /// Reused by every turn.
    effects: Vec<Effect<Reply>>,
    ticked: bool,
    /// Since the start.
    ticks: u32,
    /// The clock when this turn of the loop began.
    now_ms: i64,
    stop: Option<oneshot::Sender<Result<Checkpoints, WriteError>>>,
}

impl Shard {
    fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(TURN_MESSAGES_MAX);
        while inbox.blocking_recv_many(&mut messages, TURN_MESSAGES_MAX) > 0 {
            self.now_ms = self.clock.wall_ms();
            for message in messages.drain(..) {
                self.take(message);
            }
            let ticked = std::mem::take(&mut self.ticked);
            if ticked {
                self.tick();
            }
            self.sync_due(ticked);
            self.turns();
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
            Message::VotesSynced(done) => self.votes_synced(done),
            Message::Tick => self.ticked = true,
            Message::Roll { slot } => {
                let now_ms = self.now_ms;
                self.step(slot, Event::Roll { now_ms });
            }
            Message::Flush { slot, flush } => self.set_flush(slot, flush),
            Message::Configure {
                slot,
                settings,
                reply,
            } => {
                self.configure(slot, *settings);
                answer(reply, ());
            }
            Message::MoveLogStart { slot, to } => self.step(slot, Event::MoveLogStart(to)),
            Message::DeleteRecords { slot, below, reply } => {
                self.delete_records(slot, below, reply);
            }
            Message::Producers { slot, reply } => {
                if let Some(owned) = self.partitions.get(&slot) {
                    answer(reply, owned.core.producers().known().collect());
                }
            }
            Message::Upkeep { stats, reply } => {
                self.upkeep(&stats);
                answer(reply, ());
            }
            Message::Cleaning(asked) => self.cleaning(asked),
            Message::Drop {
                slot,
                for_good,
                reply,
            } => {
                self.step(slot, Event::Abandon(AppendFailure::Deleted));
                if let Some(mut owned) = self.partitions.remove(&slot) {
                    self.votes.leave(slot);
                    if for_good {
                        self.votes.forget(owned.id);
                    }
                    self.deadlines.end(slot, &mut owned.cache, false);
                    owned.waiters.wake();
                }
                answer(reply, ());
            }
            Message::Stop { reply } => {
                self.stop = Some(reply);
                self.sync_all();
            }
        }
    }

    fn adopt(&mut self, adopt: Adopt) {
        let Adopt {
            slot,
            opened,
            settings,
            waiters,
            closed,
            reply,
        } = adopt;
        let owned = Owned {
            id: opened.id,
            log: opened.log,
            core: Core::new(opened.recovered, opened.group),
            waiters,
            closed,
            log_append_time: settings.log_append_time,
            rules: settings.rules,
            removal: upkeep::Removal::NONE,
            syncing: false,
            cache: Cache::new(settings.flush),
            held: VecDeque::new(),
            opening: Some(reply),
        };
        self.votes.hint(owned.id, owned.log.hint(), 0);
        self.partitions.insert(slot, owned);
        if settings.flush != Flush::BeforeAck {
            self.step(slot, Event::WriteCaching(true));
        }
        self.step(slot, Event::Campaign);
    }

    fn append(&mut self, slot: Slot, batch: Batch, acks: Acks, token: Reply) {
        // once per batch: one look-up
        let refused = match self.partitions.get_mut(&slot) {
            _ if self.stop.is_some() => AppendFailure::Stopping,
            None => AppendFailure::Deleted,
            Some(owned) => {
                let append = Append {
                    batch,
                    acks,
                    token,
                    log_append_time: owned.log_append_time,
                    now_ms: self.now_ms,
                };
                owned.core.step(Event::Append(append), &mut self.effects);
                self.touched.insert(slot);
                return self.perform(slot);
            }
        };
        answer(token, Err(refused));
    }

    fn delete_records(&mut self, slot: Slot, below: Offset, token: Reply) {
        if self.stop.is_some() {
            answer(token, Err(AppendFailure::Stopping));
        } else if self.partitions.contains_key(&slot) {
            self.step(slot, Event::DeleteRecords { below, token });
        } else {
            answer(token, Err(AppendFailure::Deleted));
        }
    }

    /// A tenth of a second went by, or more if the thread was busy. Lone voters do not mind.
    fn tick(&mut self) {
        let mind = |(slot, owned): (&Slot, &Owned)| owned.core.needs_ticks().then_some(*slot);
        let slots: Vec<Slot> = self.partitions.iter().filter_map(mind).collect();
        for slot in slots {
            self.step(slot, Event::Tick);
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(HINT_TICKS) {
            self.votes.press_hints();
        }
    }

    /// Tells the core of an event; it decides at the end of the turn.
    fn step(&mut self, slot: Slot, event: Event<Reply>) {
        if let Some(owned) = self.partitions.get_mut(&slot) {
            owned.core.step(event, &mut self.effects);
            self.touched.insert(slot);
            self.perform(slot);
        }
    }

    fn is_idle(&self) -> bool {
        let busy =
            |owned: &Owned| owned.syncing || owned.log.has_staged() || owned.core.has_arrivals();
        let writing = |owned: &&Owned| owned.log.write_error().is_none();
        !self.partitions.values().filter(writing).any(busy) && self.votes.is_idle()
    }

    /// Closes all logs if it was told to stop.
    fn close(mut self) {
        let Some(stop) = self.stop.take() else { return };
        let open = |owned: &Owned| owned.log.write_error().is_none();
        let logs = self.partitions.into_values().filter(open);
        let closing = logs.map(|owned| (owned.log, owned.core.snapshot_at_close()));
        let closed = close_all(closing.collect());
        let settled = self.votes.settle();
        answer(stop, closed.and_then(|logs| settled.map(|()| logs)));
    }
}

/// Answers someone who may have gone away meanwhile.
pub(super) fn answer<T>(to: oneshot::Sender<T>, what: T) {
    drop(to.send(what));
}
