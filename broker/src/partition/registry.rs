//! Which topics exist and how to reach their partitions.
//!
//! Readers take the immutable [`Topics`] and never wait. Changes go one after another through a thread of
//! their own, `controller`, which owns the catalogue: a change is durable before it is visible, and visible
//! before it is answered.
//!
//! ```text
//! create: open the logs (directories durable) -> catalogue durable -> visible -> answer
//! grow:   the same, for the partitions that are new
//! alter:  catalogue durable -> visible -> the shards go by it -> answer
//! delete: catalogue durable -> gone from view -> logs dropped -> directories removed -> answer
//! ```
//! A crash in between leaves directories that no topic names; the next start removes them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use headrace_storage::WriteError;
use headrace_storage::data_dir::{DataDir, DataDirError};
use headrace_storage::durability::strategy;
use headrace_storage::votes::{GroupId, VoteJournal, VoteState, VotesError};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::Handle;
use super::owner::{Altered, Change, Owner, forget_votes};
use super::shard;
use super::space::SpaceGuard;
use super::syncer::Syncer;
use super::ticker;
use super::topics::{Topic, Topics};
use super::upkeep::{Ground, Stats, Upkeep, UpkeepSettings};
use super::votes::Votes;
use crate::broker_settings::SettingRefused;
use crate::clock::Clock;
use crate::controller::image::{ImageError, TopicRefused};
use crate::controller::resource::Resource;
use crate::controller::topic_name;
use crate::topic_config::{ConfigError, Edits, Overrides, TopicConfig};

/// Changes that wait for the owner's thread; requests beyond that wait in their connections.
const CHANGES_MAX: usize = 64;

/// Partitions of `__consumer_offsets`. Kafka has 50 to spread groups over many brokers; one broker needs
/// about as many as it may have cores busy with commits, and each costs a log.
pub const CONSUMER_OFFSETS_PARTITIONS: i32 = 8;

/// A topic to make.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions.
    pub partitions: i32,
    /// Its settings, as the client wrote them.
    pub overrides: Overrides,
}

/// More partitions for a topic.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// The topic's id.
    pub id: Uuid,
    /// How many it shall have, with those it has.
    pub partitions: i32,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFailure {
    /// The topic cannot be made.
    #[error(transparent)]
    Refused(#[from] TopicRefused),
    /// A broker does not get a setting.
    #[error(transparent)]
    Setting(#[from] SettingRefused),
    /// There is no such topic.
    #[error("unknown topic")]
    Unknown,
    /// The disk failed; the text says how.
    #[error("{0}")]
    Disk(String),
    /// The disk is nearly full.
    #[error("the disk is nearly full: nothing new is made until there is room")]
    NoSpace,
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// Why the topics of a data directory cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The directory or the catalogue cannot be read.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The vote journals cannot be read.
    #[error(transparent)]
    Votes(#[from] VotesError),
    /// A vote journal cannot be begun.
    #[error("cannot begin a vote journal: {0}")]
    Journal(#[from] WriteError),
    /// The catalogue makes no sense.
    #[error("{0}; the data directory is left as it is")]
    Catalogue(#[from] ImageError),
    /// There are logs, but no catalogue that names them.
    #[error("the data directory has {0} logs but no catalogue; it is left as it is")]
    CatalogueMissing(usize),
    /// No partition that the catalogue names has its directory.
    #[error(
        "none of the {count} partitions has a directory in {dir}: is the disk mounted? Nothing was changed"
    )]
    LogsMissing {
        /// How many there should be.
        count: usize,
        /// Where.
        dir: String,
    },
    /// A log that the broker itself needs cannot be opened.
    #[error("partition {partition} of the internal topic {topic}: {reason}")]
    Log {
        /// The topic's name.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// Why.
        reason: Arc<str>,
    },
    /// What the configuration file says for all topics does not go with one of them.
    #[error("topic_defaults do not go with topic {topic}: {reason}")]
    Defaults {
        /// The topic.
        topic: Arc<str>,
        /// Why.
        reason: ConfigError,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Topics, their partitions and the threads below them.
#[derive(Debug)]
pub struct Registry {
    topics: Arc<ArcSwap<Topics>>,
    changes: mpsc::Sender<Change>,
    space: Arc<SpaceGuard>,
    upkeep: Upkeep,
}

impl Registry {
    /// Starts the threads and opens every log of the catalogue; returns when all can be used. Blocks.
    pub fn open(
        data: Arc<DataDir>,
        clock: &Arc<dyn Clock>,
        shard_count: usize,
        settings: &UpkeepSettings,
    ) -> Result<Registry, LoadError> {
        Registry::open_with(data, clock, shard_count, settings, Overrides::new())
    }

    /// The same with what the configuration file says for all topics.
    pub fn open_with(
        data: Arc<DataDir>,
        clock: &Arc<dyn Clock>,
        shard_count: usize,
        settings: &UpkeepSettings,
        topic_defaults: Overrides,
    ) -> Result<Registry, LoadError> {
        let root = data.root().to_path_buf();
        let space = Arc::new(SpaceGuard::new(data.disk(), root, settings.space));
        let syncer = Syncer::start(strategy(&*data.disk(), data.root())?)?;
        let (states, journals) = open_journals(&data, shard_count.max(1))?;
        let shards = (0..)
            .zip(journals)
            .map(|(number, journal)| {
                let votes = Votes::new(journal);
                shard::start(number, Arc::clone(clock), syncer.clone(), votes)
            })
            .collect::<Result<Vec<_>, _>>()?;
        ticker::start(shards.iter().map(mpsc::Sender::downgrade).collect())?;
        let topics = Arc::new(ArcSwap::from_pointee(Topics::default()));
        let mut owner = Owner::new(
            data,
            Arc::clone(clock),
            shards.clone(),
            Arc::clone(&topics),
            Arc::clone(&space),
            topic_defaults,
        );
        owner.load(states)?;
        let ground = Ground {
            topics: Arc::clone(&topics),
            shards,
            clock: Arc::clone(clock),
            space: Arc::clone(&space),
        };
        let upkeep = Upkeep::start(settings, ground)?;
        let (changes, inbox) = mpsc::channel(CHANGES_MAX);
        std::thread::Builder::new()
            .name("controller".to_owned())
            .spawn(move || owner.run(inbox))?;
        Ok(Registry {
            topics,
            changes,
            space,
            upkeep,
        })
    }

    /// The room on the disk.
    pub fn space(&self) -> &SpaceGuard {
        &self.space
    }

    /// Checks all sealed segments now, without regard to rate and interval.
    pub async fn scrub_now(&self) {
        self.upkeep.scrub().await;
    }

    /// What the upkeep did so far.
    pub fn upkeep_stats(&self) -> &Stats {
        self.upkeep.stats()
    }

    /// Does all upkeep that is due now, without waiting for its interval.
    pub async fn upkeep_now(&self) {
        self.upkeep.turn().await;
    }

    /// The topics as they are now.
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.load_full()
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.load().by_name(name).cloned()
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.topics.load().by_id(id).cloned()
    }

    /// A partition by topic name and number.
    pub fn partition(&self, name: &str, partition: i32) -> Option<Handle> {
        self.topic(name)?.partition(partition).ok().cloned()
    }

    /// Makes a topic; it is durable and usable when this returns.
    pub async fn create(&self, topic: NewTopic) -> Result<Arc<Topic>, ChangeFailure> {
        self.change(|reply| Change::Create { topic, reply }).await
    }

    /// Checks whether a topic could be made, and makes nothing.
    pub async fn validate(&self, topic: NewTopic) -> Result<TopicConfig, ChangeFailure> {
        self.change(|reply| Change::Validate { topic, reply }).await
    }

    /// Changes a topic's settings, or checks whether it could; they are durable and in effect when this returns.
    pub async fn alter_topic(
        &self,
        name: &str,
        edits: Edits,
        validate_only: bool,
    ) -> Result<(), ChangeFailure> {
        let of = Altered::Topic(name.into());
        self.alter(of, edits, validate_only).await
    }

    /// The same for a broker, or all of them.
    pub async fn alter_resource(
        &self,
        resource: Resource,
        edits: Edits,
        validate_only: bool,
    ) -> Result<(), ChangeFailure> {
        let of = Altered::Resource(resource);
        self.alter(of, edits, validate_only).await
    }

    async fn alter(
        &self,
        of: Altered,
        edits: Edits,
        validate_only: bool,
    ) -> Result<(), ChangeFailure> {
        let change = |reply| Change::Alter {
            of,
            edits,
            validate_only,
            reply,
        };
        self.change(change).await
    }

    /// Deletes a topic and its data; it is gone for good when this returns.
    pub async fn delete(&self, id: Uuid) -> Result<(), ChangeFailure> {
        self.change(|reply| Change::Delete { id, reply }).await
    }

    /// Gives a topic more partitions; they are durable and usable when this returns.
    pub async fn grow(&self, growth: Growth) -> Result<(), ChangeFailure> {
        self.change(|reply| Change::Grow {
            growth,
            validate_only: false,
            reply,
        })
        .await
    }

    /// Checks whether a topic could have so many partitions, and makes none.
    pub async fn validate_growth(&self, growth: Growth) -> Result<(), ChangeFailure> {
        self.change(|reply| Change::Grow {
            growth,
            validate_only: true,
            reply,
        })
        .await
    }

    /// Takes a block of producer ids that nobody else gets, also after a crash.
    pub async fn take_producer_ids(&self) -> Result<Range<i64>, ChangeFailure> {
        self.change(|reply| Change::TakeProducerIds { reply }).await
    }

    /// The topic with the groups' offsets, made if it is not there yet.
    pub async fn consumer_offsets(&self) -> Result<Arc<Topic>, ChangeFailure> {
        let name = topic_name::CONSUMER_OFFSETS;
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        let text = |text: &str| text.to_owned();
        let overrides = Overrides::from([
            (text("cleanup.policy"), text("compact")),
            // Kafka's, so that compaction and loading deal with small files
            (text("segment.bytes"), text("104857600")),
        ]);
        let partitions = CONSUMER_OFFSETS_PARTITIONS;
        let made = self
            .create(NewTopic {
                name: name.into(),
                partitions,
                overrides,
            })
            .await;
        match made {
            // someone else was faster
            Err(ChangeFailure::Refused(TopicRefused::Exists(_))) => {
                self.topic(name).ok_or(ChangeFailure::Unknown)
            }
            other => other,
        }
    }

    async fn change<T>(
        &self,
        change: impl FnOnce(oneshot::Sender<Result<T, ChangeFailure>>) -> Change,
    ) -> Result<T, ChangeFailure> {
        let (reply, answer) = oneshot::channel();
        let sent = self.changes.send(change(reply)).await;
        sent.map_err(|_| ChangeFailure::Stopping)?;
        answer.await.unwrap_or(Err(ChangeFailure::Stopping))
    }

    /// Stops taking changes and appends, makes everything durable, closes all logs, and lets go of the
    /// data directory.
    pub async fn close(&self) -> Result<(), WriteError> {
        self.upkeep.stop().await;
        let (reply, answer) = oneshot::channel();
        if self.changes.send(Change::Stop { reply }).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }
}

/// Reads all vote journals, whatever number of shards wrote them, and begins one for each shard of now, with the
/// partitions that there are.
fn open_journals(
    data: &DataDir,
    shards: usize,
) -> Result<(HashMap<GroupId, VoteState>, Vec<VoteJournal>), LoadError> {
    let (disk, root) = (data.disk(), data.root());
    let mut loaded = VoteJournal::load(&*disk, root)?;
    forget_votes(data, &mut loaded)?;
    let create = |shard| VoteJournal::create(Arc::clone(&disk), root, shard, &loaded);
    let journals = (0..shards).map(create).collect::<Result<_, _>>()?;
    VoteJournal::remove_others(&*disk, root, shards)?;
    Ok((loaded.states, journals))
}
