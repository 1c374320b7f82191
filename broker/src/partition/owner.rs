//! The thread that owns the catalogue and carries out its changes, one after another.
//!
//! It may block: on the disk, and on the shards that take and drop logs for it. The last catalogue written
//! is the truth; an image whose write failed is thrown away.

mod alter;
mod grow;
mod load;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use headrace_storage::data_dir::DataDir;
use headrace_storage::votes::{GroupId, VoteState};
use headrace_storage::{Checkpoints, LogIdentity, LogReader, WriteError};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};
use uuid::Uuid;

pub(super) use alter::Altered;
pub(super) use load::forget_votes;

use super::boot::Identity;
use super::opener::{Existing, OpenFailure, Opened, Place, open_all};
use super::registry::{ChangeFailure, Growth, NewTopic};
use super::settings::{LogSettings, log_config};
use super::shard::{Adopt, Message, Slot, answer};
use super::space::{SpaceGuard, Writer};
use super::topics::{Partition, Topic, Topics};
use super::{Closed, Handle, Inner, Waiters};
use crate::clock::Clock;
use crate::controller::image::{Image, TopicRecord};
use crate::controller::topic_name;
use crate::raft::ReplicaId;
use crate::topic_config::{Defaults, Edits, Overrides, TopicConfig};

/// The file with the catalogue, in the data directory.
const CATALOGUE: &str = "catalogue";

/// The first replica of a partition on a node; one that is rebuilt gets the next.
const FIRST_INCARNATION: u32 = 1;

/// Where an answer goes.
type Reply<T> = oneshot::Sender<Result<T, ChangeFailure>>;

/// What the owner is asked to do.
#[derive(Debug)]
pub(super) enum Change {
    Create {
        topic: NewTopic,
        reply: Reply<Arc<Topic>>,
    },
    Validate {
        topic: NewTopic,
        reply: Reply<TopicConfig>,
    },
    Delete {
        id: Uuid,
        reply: Reply<()>,
    },
    /// Give a topic more partitions, or only check whether it could have so many.
    Grow {
        growth: Growth,
        validate_only: bool,
        reply: Reply<()>,
    },
    /// Change settings, or only check whether they could be so.
    Alter {
        of: Altered,
        edits: Edits,
        validate_only: bool,
        reply: Reply<()>,
    },
    TakeProducerIds {
        reply: Reply<Range<i64>>,
    },
    /// Close all logs, then let go of the data directory.
    Stop {
        reply: oneshot::Sender<Result<(), WriteError>>,
    },
}

/// A log that was handed to its shard.
struct Adopting {
    partition: i32,
    slot: Slot,
    inbox: mpsc::Sender<Message>,
    waiters: Arc<Waiters>,
    closed: Closed,
    answer: oneshot::Receiver<Result<LogReader, OpenFailure>>,
}

/// The state of the thread.
pub(super) struct Owner {
    data: Arc<DataDir>,
    clock: Arc<dyn Clock>,
    shards: Vec<mpsc::Sender<Message>>,
    image: Image,
    /// What the configuration file says for all topics.
    file_defaults: Overrides,
    /// What topics have that do not say otherwise, as of `image`.
    defaults: Defaults,
    /// What readers see; written here only.
    topics: Arc<ArcSwap<Topics>>,
    space: Arc<SpaceGuard>,
    next_slot: u64,
    /// What the vote journals knew at the start, until its log is opened.
    states: HashMap<GroupId, VoteState>,
    /// What a clean stop left of each log, until it is opened.
    checkpoints: Checkpoints,
    /// Topics whose growth may be in the catalogue on disk, or not: its write failed.
    unsure: HashSet<Uuid>,
}

impl Owner {
    pub(super) fn new(
        data: Arc<DataDir>,
        clock: Arc<dyn Clock>,
        shards: Vec<mpsc::Sender<Message>>,
        topics: Arc<ArcSwap<Topics>>,
        space: Arc<SpaceGuard>,
        file_defaults: Overrides,
    ) -> Owner {
        Owner {
            data,
            clock,
            shards,
            image: Image::default(),
            file_defaults,
            defaults: Defaults::default(),
            topics,
            space,
            next_slot: 0,
            states: HashMap::new(),
            checkpoints: Checkpoints::default(),
            unsure: HashSet::new(),
        }
    }

    /// The thread: until it is told to stop, or nobody can ask any more.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Change>) {
        while let Some(change) = inbox.blocking_recv() {
            match change {
                Change::Create { topic, reply } => answer(reply, self.create(topic)),
                Change::Validate { topic, reply } => answer(reply, self.check(&topic)),
                Change::Delete { id, reply } => answer(reply, self.delete(id)),
                Change::Grow {
                    growth,
                    validate_only: true,
                    reply,
                } => answer(reply, self.check_growth(&growth).map(drop)),
                Change::Grow { growth, reply, .. } => answer(reply, self.grow(&growth)),
                Change::Alter {
                    of,
                    edits,
                    validate_only,
                    reply,
                } => answer(reply, self.alter(&of, &edits, validate_only)),
                Change::TakeProducerIds { reply } => answer(reply, self.take_producer_ids()),
                Change::Stop { reply } => {
                    let result = self.stop_shards();
                    // whoever waits may open the directory again
                    drop(self);
                    return answer(reply, result);
                }
            }
        }
    }

    fn stop_shards(&self) -> Result<(), WriteError> {
        let stop = |shard: &mpsc::Sender<Message>| {
            let (reply, answer) = oneshot::channel();
            drop(shard.blocking_send(Message::Stop { reply }));
            answer
        };
        let stopping: Vec<_> = self.shards.iter().map(stop).collect();
        let mut closed = Ok(Checkpoints::default());
        for answer in stopping {
            let logs = answer.blocking_recv().unwrap_or(Ok(Checkpoints::default()));
            closed = closed.and_then(|mut all| {
                all.extend(logs?);
                Ok(all)
            });
        }
        let closed = closed?;
        if let Err(failed) = self.data.write_checkpoint(&closed) {
            warn!(%failed, "checkpoint is not written, the next start recovers every log");
        }
        Ok(())
    }

    fn check(&self, topic: &NewTopic) -> Result<TopicConfig, ChangeFailure> {
        let NewTopic {
            name,
            partitions,
            overrides,
        } = topic;
        let config = self
            .image
            .check(name, *partitions, overrides, &self.defaults)?;
        if self.space.admits(writer(&topic.name)) {
            Ok(config)
        } else {
            Err(ChangeFailure::NoSpace)
        }
    }

    fn create(&mut self, topic: NewTopic) -> Result<Arc<Topic>, ChangeFailure> {
        self.check(&topic)?;
        let NewTopic {
            name,
            partitions,
            overrides,
        } = topic;
        let record = TopicRecord {
            id: Uuid::new_v4(),
            name,
            partitions,
            overrides,
        };
        let handles = self.open_new(&record, 0..partitions)?;
        let mut image = self.image.clone();
        image.insert(record.clone());
        if let Err(failed) = self.write(image) {
            // directories and votes stay: the catalogue on disk may name them by now; the next start knows
            drop_logs(&handles, Votes::Stay);
            return Err(failed);
        }
        info!(topic = %record.name, id = %record.id, partitions, "topic is created");
        let partitions = handles.into_iter().map(Partition::Served).collect();
        let config = self.config_of(&record);
        let topic = Arc::new(publishable(record, config, partitions));
        let mut topics = Topics::clone(&self.topics.load());
        topics.insert(Arc::clone(&topic));
        self.topics.store(Arc::new(topics));
        Ok(topic)
    }

    fn delete(&mut self, id: Uuid) -> Result<(), ChangeFailure> {
        let mut image = self.image.clone();
        let record = image.remove(id).ok_or(ChangeFailure::Unknown)?;
        for partition in 0..record.partitions {
            if let Err(failed) = self.data.mark_deleted(id, partition) {
                warn!(%failed, "directory of a deleted partition is not marked");
            }
        }
        self.write(image)?;
        let mut topics = Topics::clone(&self.topics.load());
        let topic = topics.remove(id);
        self.topics.store(Arc::new(topics));
        let served = topic.iter().flat_map(|topic| topic.served());
        drop_logs(&served.cloned().collect::<Vec<_>>(), Votes::Go);
        self.remove_logs(id, 0..record.partitions);
        info!(topic = %record.name, %id, "topic is deleted");
        Ok(())
    }

    fn take_producer_ids(&mut self) -> Result<Range<i64>, ChangeFailure> {
        let mut image = self.image.clone();
        let block = image.take_producer_ids();
        self.write(image)?;
        Ok(block)
    }

    /// Makes the image durable; only then it is the truth.
    fn write(&mut self, image: Image) -> Result<(), ChangeFailure> {
        if let Err(failed) = self.data.write_file(CATALOGUE, &image.encode()) {
            warn!(%failed, "catalogue is not written");
            return Err(ChangeFailure::Disk(failed.to_string()));
        }
        self.image = image;
        Ok(())
    }

    /// Removes directories; what stays behind is removed by the next start.
    fn remove_logs(&self, id: Uuid, partitions: Range<i32>) {
        for partition in partitions {
            if let Err(failed) = self.data.remove_log(id, partition) {
                warn!(%failed, "directory of a deleted partition is not removed");
            }
        }
    }

    /// Makes the logs of new partitions and has them served; all of them, or none.
    fn open_new(
        &mut self,
        topic: &TopicRecord,
        partitions: Range<i32>,
    ) -> Result<Vec<Handle>, ChangeFailure> {
        let opened = self.open(&[(topic, partitions.clone())], Existing::May);
        let handles = all_or_none(partitions.clone().zip(opened.into_iter().flatten()));
        handles.map_err(|(partition, reason)| {
            warn!(topic = %topic.name, partition, %reason, "partitions are not created");
            self.remove_logs(topic.id, partitions);
            ChangeFailure::Disk(reason.to_string())
        })
    }

    /// Opens these partitions of topics side by side and hands them to the shards; one result for each topic, in
    /// their order, with one for each of its partitions.
    fn open(&mut self, topics: &[Wanted<'_>], existing: Existing) -> Vec<Vec<OpenedPartition>> {
        let places = topics.iter();
        let places = places.flat_map(|wanted| self.places(wanted, existing));
        let places = places.collect();
        let opened = open_all(&self.data.disk(), places, self.clock.wall_ms());
        let mut opened = opened.into_iter();
        let mut adopting = Vec::with_capacity(topics.len());
        for (topic, partitions) in topics {
            let config = self.config_of(topic);
            let adopt = |(partition, opened): (i32, Result<Opened, OpenFailure>)| {
                opened.map(|opened| self.adopt(partition, opened, &config))
            };
            let logs: Vec<_> = partitions.clone().zip(&mut opened).map(adopt).collect();
            adopting.push((*topic, logs));
        }
        let finish = adopting
            .into_iter()
            .map(|(topic, logs)| finish_opening(topic, &self.space, logs));
        finish.collect()
    }

    fn places(&mut self, (topic, partitions): &Wanted<'_>, existing: Existing) -> Vec<Place> {
        let config = log_config(&self.config_of(topic));
        let node = u32::try_from(self.data.node_id()).expect("node ids are not negative");
        let place = |partition| {
            let identity = LogIdentity {
                cluster_id: self.data.cluster_id(),
                topic_id: topic.id,
                partition,
            };
            Place {
                dir: self.data.log_dir(topic.id, partition),
                identity,
                config,
                existing,
                replica: Identity {
                    replica: ReplicaId::new(FIRST_INCARNATION, node),
                    seed: rand::random(),
                },
                state: self.states.remove(&GroupId::from(&identity)),
                checkpoint: self.checkpoints.remove(&GroupId::from(&identity)),
            }
        };
        partitions.clone().map(place).collect()
    }

    /// Hands a log to the next shard in turn.
    fn adopt(&mut self, partition: i32, opened: Opened, config: &TopicConfig) -> Adopting {
        let slot = Slot(self.next_slot);
        self.next_slot += 1;
        let shards = u64::try_from(self.shards.len()).expect("few threads");
        let shard = usize::try_from(slot.0 % shards).expect("below the number of threads");
        let inbox = self.shards[shard].clone();
        let waiters = Arc::new(Waiters::default());
        let closed = Arc::new(OnceLock::new());
        let (reply, answer) = oneshot::channel();
        let adopt = Adopt {
            slot,
            opened,
            settings: LogSettings::of(config),
            waiters: Arc::clone(&waiters),
            closed: Arc::clone(&closed),
            reply,
        };
        // a shard that is gone drops the message and with it `reply`: seen when the answer is awaited
        drop(inbox.blocking_send(Message::Adopt(Box::new(adopt))));
        Adopting {
            partition,
            slot,
            inbox,
            waiters,
            closed,
            answer,
        }
    }
}

/// A topic, and which of its partitions to open.
type Wanted<'a> = (&'a TopicRecord, Range<i32>);

/// A partition that was opened, or why it was not.
type OpenedPartition = Result<Handle, OpenFailure>;

/// Waits for all partitions of a topic.
fn finish_opening(
    topic: &TopicRecord,
    space: &Arc<SpaceGuard>,
    logs: Vec<Result<Adopting, OpenFailure>>,
) -> Vec<OpenedPartition> {
    let finish = |adopting: Adopting| {
        let Adopting {
            partition,
            slot,
            inbox,
            waiters,
            closed,
            answer,
        } = adopting;
        let answer = answer.blocking_recv().unwrap_or(Err(OpenFailure::Stopped));
        answer.map(|reader| {
            Handle::new(Inner {
                topic_id: topic.id,
                partition,
                slot,
                inbox,
                reader,
                waiters,
                closed,
                space: Arc::clone(space),
                writer: writer(&topic.name),
            })
        })
    };
    let finished = logs.into_iter().map(|log| log.and_then(finish));
    finished.collect()
}

/// The handles of new partitions; if one failed, those that opened are dropped again.
fn all_or_none(
    opened: impl Iterator<Item = (i32, OpenedPartition)>,
) -> Result<Vec<Handle>, (i32, OpenFailure)> {
    let mut handles = Vec::new();
    let mut failed = None;
    for (partition, opened) in opened {
        match opened {
            Ok(handle) => handles.push(handle),
            Err(reason) => failed = failed.or(Some((partition, reason))),
        }
    }
    match failed {
        None => Ok(handles),
        Some(failed) => {
            drop_logs(&handles, Votes::Go);
            Err(failed)
        }
    }
}

/// What becomes of the votes of a partition whose log is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Votes {
    /// The partition may exist.
    Stay,
    /// It does not, for good.
    Go,
}

/// Has the shards forget logs, and waits until no thread writes to them.
fn drop_logs(handles: &[Handle], votes: Votes) {
    let ask = |handle: &Handle| {
        let (reply, answer) = oneshot::channel();
        let slot = handle.0.slot;
        let for_good = votes == Votes::Go;
        drop(handle.0.inbox.blocking_send(Message::Drop {
            slot,
            for_good,
            reply,
        }));
        answer
    };
    let answers: Vec<_> = handles.iter().map(ask).collect();
    for answer in answers {
        drop(answer.blocking_recv());
    }
}

/// Who appends to the topic.
fn writer(topic: &str) -> Writer {
    if topic_name::is_internal(topic) {
        Writer::Internal
    } else {
        Writer::Client
    }
}

fn publishable(record: TopicRecord, config: TopicConfig, partitions: Vec<Partition>) -> Topic {
    let TopicRecord {
        id,
        name,
        overrides,
        ..
    } = record;
    Topic {
        id,
        name,
        overrides,
        config,
        partitions,
    }
}
