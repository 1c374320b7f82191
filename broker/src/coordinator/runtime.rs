//! The owner of one partition's groups: a task that carries what [`Groups`] decides.
//!
//! ```text
//!  ask --bounded inbox--> Owner: groups.step --> answers at once
//!                           |  staged writes --one append at a time--> log (acks=all)
//!                           '--<-- confirmed, in order: groups.written --> answers
//! ```
//! All writes that arrive while an append is under way form the next one. Nothing is answered before
//! what it says is durable. On stop, what is under way is awaited and everything else is refused.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use headrace_storage::record::{Batch, BatchBuilder, Compression};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::group::consumer::machine::Ask;
use super::group::consumer::request;
use super::group::event::{Event, GroupError, Heartbeat, Identity, Join, Sync};
use super::group::offsets::TopicPartition;
use super::group::{GroupId, GroupSettings, Now, Ticket};
use super::groups::Groups;
use super::groups::event::{Answer, AppendError, Commit, LogRecord, Output, WriteId};
use super::is_current;
use super::loader;
use super::log::{BoxFuture, OffsetsLog, TopicSource};
use crate::clock::Clock;

/// Requests that wait for the owner; beyond it they wait in their connections.
const INBOX: usize = 1024;

/// Bytes of writes that may wait for the log before the owner stops taking requests.
const STAGED_BYTES_MAX: usize = 8 << 20;

/// Writes are joined into one batch up to this size: well below what a reader of the topic fetches at once.
const BATCH_BYTES_TARGET: usize = 512 << 10;

/// A single write above this is refused: a group of the largest allowed metadata and assignment fits.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Pause before a partition that could not be loaded is tried again.
const LOAD_AGAIN: Duration = Duration::from_secs(1);

/// Whether a partition's groups can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The log is being read.
    Loading,
    /// All is known.
    Serving,
    /// The owner has ended.
    Stopped,
}

/// What a group is asked.
#[derive(Debug)]
pub enum Body {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    Leave(Vec<Identity>),
    /// ConsumerGroupHeartbeat, checked.
    ConsumerHeartbeat(Box<request::Heartbeat>),
    /// OffsetCommit.
    Commit(Commit),
    /// DeleteGroups, one group of them.
    Delete,
    /// OffsetDelete.
    DeleteOffsets(Vec<TopicPartition>),
}

type Read = Box<dyn FnOnce(&Groups) + Send>;

enum Message {
    Request {
        group: GroupId,
        body: Body,
        reply: oneshot::Sender<Answer>,
    },
    Read(Read),
    TopicsDeleted(Vec<Uuid>),
}

/// The way to one partition's groups.
#[derive(Debug)]
pub struct Partition {
    inbox: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
}

impl Partition {
    /// Starts the owner of a partition; `stop` ends it, and it is then awaited through the handle.
    pub fn start(
        log: Arc<dyn OffsetsLog>,
        topics: Arc<dyn TopicSource>,
        settings: Arc<GroupSettings>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> (Partition, tokio::task::JoinHandle<()>) {
        let (inbox, messages) = mpsc::channel(INBOX);
        let (report, status) = watch::channel(Status::Loading);
        let times = Times {
            clock,
            start: Instant::now(),
        };
        let ends = Ends {
            inbox: messages,
            report,
            stop,
        };
        let task = tokio::spawn(own(log, topics, settings, times, ends));
        (Partition { inbox, status }, task)
    }

    /// Asks one group and waits for the answer.
    pub async fn ask(&self, group: GroupId, body: Body) -> Result<Answer, GroupError> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        self.send(Message::Request { group, body, reply }).await?;
        answer.await.map_err(|_| GroupError::NotCoordinator)
    }

    /// Looks at the groups.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Groups) -> T + Send + 'static,
    ) -> Result<T, GroupError> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        let look: Read = Box::new(move |groups| {
            // The asker may be gone; then nobody misses the answer.
            drop(reply.send(look(groups)));
        });
        self.send(Message::Read(look)).await?;
        answer.await.map_err(|_| GroupError::NotCoordinator)
    }

    /// Tells that topics are gone; nothing if the owner has ended.
    pub async fn topics_deleted(&self, ids: Vec<Uuid>) {
        if self.send(Message::TopicsDeleted(ids)).await.is_err() {
            tracing::debug!("topics deleted while the coordinator stops");
        }
    }

    /// Waits until the groups can be asked; false if that did not happen in time.
    pub async fn serving(&self, within: Duration) -> bool {
        let mut status = self.status.clone();
        let wait = status.wait_for(|status| *status != Status::Loading);
        let result = tokio::time::timeout(within, wait).await;
        matches!(result, Ok(Ok(status)) if *status == Status::Serving)
    }

    fn check(&self) -> Result<(), GroupError> {
        match *self.status.borrow() {
            Status::Loading => Err(GroupError::CoordinatorLoading),
            Status::Serving => Ok(()),
            Status::Stopped => Err(GroupError::NotCoordinator),
        }
    }

    async fn send(&self, message: Message) -> Result<(), GroupError> {
        self.inbox
            .send(message)
            .await
            .map_err(|_| GroupError::NotCoordinator)
    }
}

/// Both clocks of the groups.
struct Times {
    clock: Arc<dyn Clock>,
    start: Instant,
}

impl Times {
    fn now(&self) -> Now {
        let tick = self.start.elapsed().as_millis();
        Now {
            tick_ms: u64::try_from(tick).unwrap_or(u64::MAX),
            wall_ms: self.clock.wall_ms(),
        }
    }

    fn instant(&self, tick_ms: u64) -> Instant {
        self.start + Duration::from_millis(tick_ms)
    }
}

/// What ties an owner to those who ask it.
struct Ends {
    inbox: mpsc::Receiver<Message>,
    report: watch::Sender<Status>,
    stop: CancellationToken,
}

async fn own(
    log: Arc<dyn OffsetsLog>,
    topics: Arc<dyn TopicSource>,
    settings: Arc<GroupSettings>,
    times: Times,
    ends: Ends,
) {
    let Ends {
        inbox,
        report,
        stop,
    } = ends;
    let check_every = settings.offsets_retention_check;
    let Some(mut groups) = load(&log, settings, &times, &stop).await else {
        report.send_replace(Status::Stopped);
        return;
    };
    groups.loaded(times.now());
    report.send_replace(Status::Serving);
    let owner = Owner {
        groups,
        log,
        topics,
        times,
        check_every,
        next_check: Instant::now() + check_every,
        inbox,
        next_ticket: 0,
        tickets: HashMap::new(),
        staged: VecDeque::new(),
        staged_bytes: 0,
        in_flight: None,
    };
    owner.run(&stop).await;
    report.send_replace(Status::Stopped);
}

/// Reads the log until that succeeds; `None` if it is time to stop.
async fn load(
    log: &Arc<dyn OffsetsLog>,
    settings: Arc<GroupSettings>,
    times: &Times,
    stop: &CancellationToken,
) -> Option<Groups> {
    loop {
        let loaded = tokio::select! {
            () = stop.cancelled() => return None,
            loaded = loader::load(log, Arc::clone(&settings), times.now()) => loaded,
        };
        match loaded {
            Ok(groups) => {
                let (count, offsets) = groups.sizes();
                tracing::info!(groups = count, offsets, ?log, "groups loaded");
                return Some(groups);
            }
            Err(error) => tracing::error!(%error, ?log, "groups cannot be loaded"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(LOAD_AGAIN) => {}
        }
    }
}

struct Write {
    id: WriteId,
    records: Vec<LogRecord>,
    size_bytes: usize,
}

struct InFlight {
    writes: Vec<WriteId>,
    result: BoxFuture<'static, Result<(), AppendError>>,
}

struct Owner {
    groups: Groups,
    log: Arc<dyn OffsetsLog>,
    topics: Arc<dyn TopicSource>,
    times: Times,
    /// How often offsets are looked at for their retention, and when next.
    check_every: Duration,
    next_check: Instant,
    inbox: mpsc::Receiver<Message>,
    next_ticket: u64,
    tickets: HashMap<Ticket, oneshot::Sender<Answer>>,
    staged: VecDeque<Write>,
    staged_bytes: usize,
    in_flight: Option<InFlight>,
}

impl Owner {
    async fn run(mut self, stop: &CancellationToken) {
        loop {
            self.carry_out();
            let deadline = self.groups.next_deadline().map(|at| self.times.instant(at));
            let takes = self.staged_bytes < STAGED_BYTES_MAX;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                result = confirmed(&mut self.in_flight) => self.written(result),
                () = until(deadline) => self.tick(),
                () = sleep_until(self.next_check) => self.expire(),
                message = self.inbox.recv(), if takes => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
            }
        }
        if self.in_flight.is_some() {
            let result = confirmed(&mut self.in_flight).await;
            self.written(result);
            self.answer_all();
        }
    }

    fn take(&mut self, message: Message) {
        let now = self.times.now();
        match message {
            Message::Request { group, body, reply } => {
                self.next_ticket += 1;
                let ticket = Ticket(self.next_ticket);
                self.tickets.insert(ticket, reply);
                match body {
                    Body::Join(join) => {
                        self.groups
                            .group_event(&group, Event::Join(ticket, join), now);
                    }
                    Body::Sync(sync) => {
                        self.groups
                            .group_event(&group, Event::Sync(ticket, sync), now);
                    }
                    Body::Heartbeat(heartbeat) => {
                        self.groups
                            .group_event(&group, Event::Heartbeat(ticket, heartbeat), now);
                    }
                    Body::Leave(who) => {
                        self.groups
                            .group_event(&group, Event::Leave(ticket, who), now);
                    }
                    Body::ConsumerHeartbeat(heartbeat) => {
                        let topics = self.topics.snapshot();
                        let ask = Ask {
                            ticket,
                            heartbeat: *heartbeat,
                            topics,
                        };
                        self.groups.consumer_heartbeat(&group, ask, now);
                    }
                    Body::Commit(commit) => self.groups.commit(&group, commit, ticket, now),
                    Body::Delete => self.groups.delete(&group, ticket, now),
                    Body::DeleteOffsets(places) => {
                        self.groups.delete_offsets(&group, places, ticket, now);
                    }
                }
            }
            Message::Read(look) => look(&self.groups),
            Message::TopicsDeleted(ids) => self.groups.topics_deleted(&ids, now),
        }
    }

    /// Signs of life that already arrived count before deadlines do.
    fn tick(&mut self) {
        for _ in 0..INBOX {
            let Ok(message) = self.inbox.try_recv() else {
                break;
            };
            self.take(message);
        }
        self.groups.tick(self.times.now());
    }

    /// Offsets that had their time go, and those of topics that are gone: a crash may have come between the end of
    /// a topic and the tombstones of its offsets.
    fn expire(&mut self) {
        self.next_check = Instant::now() + self.check_every;
        let topics = Arc::clone(&self.topics);
        self.groups.expire(
            &|place, offset| is_current(&*topics, place, offset),
            self.times.now(),
        );
        let refused = self.groups.take_refusals();
        if refused > 0 {
            tracing::warn!(refused, log = ?self.log, "no room in memory for what groups asked for");
        }
    }

    fn written(&mut self, (writes, result): (Vec<WriteId>, Result<(), AppendError>)) {
        if let Err(error) = result {
            tracing::warn!(%error, writes = writes.len(), log = ?self.log, "group state not written");
        }
        let now = self.times.now();
        for id in writes {
            self.groups.written(id, result, now);
        }
    }

    /// Answers what can be answered, stages what must be written, and starts the next append.
    fn carry_out(&mut self) {
        loop {
            self.answer_all();
            if self.in_flight.is_some() || self.staged.is_empty() {
                return;
            }
            self.start_append();
        }
    }

    fn answer_all(&mut self) {
        for output in self.groups.take_outputs() {
            match output {
                Output::Answer(ticket, answer) => {
                    if let Some(reply) = self.tickets.remove(&ticket) {
                        // The connection may be gone; the state it asked for holds all the same.
                        drop(reply.send(answer));
                    }
                }
                Output::Append(id, records) => {
                    let size_bytes = records.iter().map(size_bytes).sum();
                    self.staged_bytes += size_bytes;
                    self.staged.push_back(Write {
                        id,
                        records,
                        size_bytes,
                    });
                }
            }
        }
    }

    fn start_append(&mut self) {
        let mut writes = Vec::new();
        let mut builder = BatchBuilder::new(Compression::None);
        let timestamp = self.times.now().wall_ms;
        while let Some(write) = self.staged.front() {
            let fits = builder.size_bytes() + write.size_bytes <= BATCH_BYTES_TARGET;
            if !(fits || writes.is_empty()) {
                break;
            }
            let Some(write) = self.staged.pop_front() else {
                break;
            };
            self.staged_bytes -= write.size_bytes;
            if write.size_bytes > BATCH_BYTES_MAX {
                self.written((vec![write.id], Err(AppendError::TooLarge)));
                return;
            }
            writes.push(write.id);
            for record in &write.records {
                builder.push(timestamp, Some(&record.key), record.value.as_deref(), &[]);
            }
        }
        let batch: Batch = builder.build();
        self.in_flight = Some(InFlight {
            writes,
            result: self.log.append(batch),
        });
    }
}

fn size_bytes(record: &LogRecord) -> usize {
    // Length, attributes, deltas and field lengths of a record take at most this much.
    const AROUND: usize = 32;
    AROUND + record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len)
}

/// The outcome of the append under way; waits for ever if there is none.
async fn confirmed(in_flight: &mut Option<InFlight>) -> (Vec<WriteId>, Result<(), AppendError>) {
    let Some(append) = in_flight else {
        return std::future::pending().await;
    };
    let result = append.result.as_mut().await;
    let writes = in_flight
        .take()
        .map(|append| append.writes)
        .unwrap_or_default();
    (writes, result)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
