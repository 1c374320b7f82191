//! The coordinator: consumer groups and their offsets, kept in `__consumer_offsets`.
//!
//! ```text
//!  api/<group API> --> Coordinator --by hash of the group--> runtime (one owner task per partition)
//!                                                             |  groups: all groups of the partition, pure
//!                                                             |    group: one group, pure
//!                                                             '--append, acks=all--> log --read by--> loader
//! ```
//! `log` says what the coordinator needs of the broker, `registry` takes it from the broker's partitions,
//! `partitioning` finds a group's partition. The topic is made when the first client looks for a
//! coordinator; a group can be asked once its partition has been read (14 until then).

pub mod group;
pub mod groups;
pub mod loader;
pub mod log;
pub mod partitioning;
pub mod registry;
pub mod runtime;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use group::consumer::view::ConsumerDescription;
use group::consumer::{Epoch, request};
use group::event::{
    GroupError, Heartbeat, Identity, Join, JoinRefused, Joined, Reply, Sync, Synced,
};
use group::offsets::{CommittedOffset, Offsets, TopicPartition};
use group::{GroupId, GroupSettings};
use groups::event::{Answer, Commit, Description, Overview};
use log::{OffsetsLog, TopicSource};
use runtime::{Body, Partition};

/// How long FindCoordinator waits for a partition to be read before it says "not yet" (15): shorter than
/// the request timeout of any client.
const SERVING_WITHIN: Duration = Duration::from_secs(5);

/// All groups of this broker; cheap to clone.
#[derive(Debug, Clone)]
pub struct Coordinator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topics: Arc<dyn TopicSource>,
    settings: Arc<GroupSettings>,
    clock: Arc<dyn Clock>,
    partitions: OnceLock<Vec<Partition>>,
    /// Held while the topic is being made and its owners started, and by the stop.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Coordinator {
    /// A coordinator over these topics. If `__consumer_offsets` exists it begins to read it.
    pub async fn start(
        topics: Arc<dyn TopicSource>,
        settings: GroupSettings,
        clock: Arc<dyn Clock>,
    ) -> Coordinator {
        let coordinator = Coordinator(Arc::new(Inner {
            topics,
            settings: Arc::new(settings),
            clock,
            partitions: OnceLock::new(),
            tasks: Mutex::new(Vec::new()),
            stop: CancellationToken::new(),
        }));
        if let Some(logs) = coordinator.0.topics.offsets_topic() {
            let mut tasks = coordinator.0.tasks.lock().await;
            coordinator.own(logs, &mut tasks);
        }
        coordinator
    }

    /// Ends the owners: what is being written is awaited, every other request is refused.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        let tasks = std::mem::take(&mut *self.0.tasks.lock().await);
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the owner of a group partition ended badly");
            }
        }
    }

    /// The topics that requests name.
    pub fn topics(&self) -> &dyn TopicSource {
        &*self.0.topics
    }

    /// Makes sure that this broker can serve a group, as its coordinator (trap 58); 15 if it cannot yet.
    pub async fn find(&self, group: &str) -> Result<(), GroupError> {
        let partition = self.partition(group).await?;
        if partition.serving(SERVING_WITHIN).await {
            Ok(())
        } else {
            Err(GroupError::CoordinatorNotAvailable)
        }
    }

    /// JoinGroup.
    pub async fn join(&self, group: GroupId, join: Join) -> Result<Joined, JoinRefused> {
        let member_id = join.identity.member_id.clone();
        match self.ask_named(group, Body::Join(join)).await {
            Ok(Reply::Join(result)) => result,
            Ok(_) => Err(JoinRefused {
                error: GroupError::Unknown,
                member_id,
            }),
            Err(error) => Err(JoinRefused { error, member_id }),
        }
    }

    /// SyncGroup.
    pub async fn sync(&self, group: GroupId, sync: Sync) -> Result<Synced, GroupError> {
        match self.ask_named(group, Body::Sync(sync)).await? {
            Reply::Sync(result) => result,
            Reply::Join(_) | Reply::Heartbeat(_) | Reply::Leave(_) => Err(GroupError::Unknown),
        }
    }

    /// Heartbeat.
    pub async fn heartbeat(&self, group: GroupId, heartbeat: Heartbeat) -> Result<(), GroupError> {
        match self.ask_named(group, Body::Heartbeat(heartbeat)).await? {
            Reply::Heartbeat(result) => result,
            Reply::Join(_) | Reply::Sync(_) | Reply::Leave(_) => Err(GroupError::Unknown),
        }
    }

    /// LeaveGroup; one result for each member, in the order asked.
    pub async fn leave(
        &self,
        group: GroupId,
        members: Vec<Identity>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.ask_named(group, Body::Leave(members)).await? {
            Reply::Leave(results) => Ok(results),
            Reply::Join(_) | Reply::Sync(_) | Reply::Heartbeat(_) => Err(GroupError::Unknown),
        }
    }

    /// ConsumerGroupHeartbeat that has been [checked](request::Heartbeat::check).
    pub async fn consumer_heartbeat(
        &self,
        group: GroupId,
        heartbeat: request::Heartbeat,
    ) -> request::Answer {
        let body = Body::ConsumerHeartbeat(Box::new(heartbeat));
        match self.ask(group, body).await? {
            Answer::ConsumerHeartbeat(answer) => answer,
            Answer::Group(_)
            | Answer::Commit(_)
            | Answer::Deleted(_)
            | Answer::OffsetsDeleted(_) => Err(GroupError::Unknown.into()),
        }
    }

    /// ConsumerGroupDescribe: one group of the newer protocol, `None` if there is none of the name.
    pub async fn describe_consumer(
        &self,
        group: GroupId,
    ) -> Result<Option<ConsumerDescription>, GroupError> {
        match self.existing(&group) {
            Some(partition) => {
                let look = move |groups: &groups::Groups| groups.describe_consumer(&group);
                partition.read(look).await
            }
            None => Ok(None),
        }
    }

    /// Whether a member may read the offsets of its group; tools, that name no member, always may (trap 63).
    pub async fn check_fetch(
        &self,
        group: GroupId,
        member_id: Option<Arc<str>>,
        epoch: Epoch,
    ) -> Result<(), GroupError> {
        match self.existing(&group) {
            Some(partition) => {
                let look = move |groups: &groups::Groups| {
                    groups.check_fetch(&group, member_id.as_deref(), epoch)
                };
                partition.read(look).await?
            }
            None => Ok(()),
        }
    }

    /// OffsetCommit; one result for each offset, in the order given. Ready when durable.
    pub async fn commit(
        &self,
        group: GroupId,
        commit: Commit,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.ask(group, Body::Commit(commit)).await? {
            Answer::Commit(results) => Ok(results),
            Answer::Group(_)
            | Answer::ConsumerHeartbeat(_)
            | Answer::Deleted(_)
            | Answer::OffsetsDeleted(_) => Err(GroupError::Unknown),
        }
    }

    /// DeleteGroups, one group of them. Ready when durable.
    pub async fn delete(&self, group: GroupId) -> Result<(), GroupError> {
        match self.ask(group, Body::Delete).await? {
            Answer::Deleted(result) => result,
            Answer::Group(_)
            | Answer::ConsumerHeartbeat(_)
            | Answer::Commit(_)
            | Answer::OffsetsDeleted(_) => Err(GroupError::Unknown),
        }
    }

    /// OffsetDelete; one result for each place, in the order given. Ready when durable.
    pub async fn delete_offsets(
        &self,
        group: GroupId,
        places: Vec<TopicPartition>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        match self.ask(group, Body::DeleteOffsets(places)).await? {
            Answer::OffsetsDeleted(results) => results,
            Answer::Group(_)
            | Answer::ConsumerHeartbeat(_)
            | Answer::Commit(_)
            | Answer::Deleted(_) => Err(GroupError::Unknown),
        }
    }

    /// OffsetFetch: the committed offsets of these places (all if `None`) whose topics still are the ones
    /// that were committed. A place without one is left out (trap 40).
    pub async fn offsets(
        &self,
        group: GroupId,
        places: Option<Vec<TopicPartition>>,
    ) -> Result<Vec<(TopicPartition, CommittedOffset)>, GroupError> {
        let Some(partition) = self.existing(&group) else {
            return Ok(Vec::new());
        };
        let topics = Arc::clone(&self.0.topics);
        partition
            .read(move |groups| {
                let Some(offsets) = groups.offsets(&group) else {
                    return Vec::new();
                };
                let mut found = select(offsets, places);
                found.retain(|(place, offset)| is_current(&*topics, place, offset));
                found
            })
            .await
    }

    /// ListGroups: every group.
    pub async fn list(&self) -> Result<Vec<Overview>, GroupError> {
        let mut all = Vec::new();
        for partition in self
            .0
            .partitions
            .get()
            .map(Vec::as_slice)
            .unwrap_or_default()
        {
            all.extend(partition.read(groups::Groups::list).await?);
        }
        all.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(all)
    }

    /// DescribeGroups: one group, `None` if there is none of the name.
    pub async fn describe(&self, group: GroupId) -> Result<Option<Description>, GroupError> {
        match self.existing(&group) {
            Some(partition) => partition.read(move |groups| groups.describe(&group)).await,
            None => Ok(None),
        }
    }

    /// Topics of these ids are gone, and with them the offsets committed in them.
    pub async fn topics_deleted(&self, ids: Vec<Uuid>) {
        for partition in self
            .0
            .partitions
            .get()
            .map(Vec::as_slice)
            .unwrap_or_default()
        {
            partition.topics_deleted(ids.clone()).await;
        }
    }

    async fn ask_named(&self, group: GroupId, body: Body) -> Result<Reply, GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        match self.ask(group, body).await? {
            Answer::Group(reply) => Ok(reply),
            Answer::ConsumerHeartbeat(_)
            | Answer::Commit(_)
            | Answer::Deleted(_)
            | Answer::OffsetsDeleted(_) => Err(GroupError::Unknown),
        }
    }

    async fn ask(&self, group: GroupId, body: Body) -> Result<Answer, GroupError> {
        let partition = self.partition(&group).await?;
        partition.ask(group, body).await
    }

    fn existing(&self, group: &str) -> Option<&Partition> {
        let partitions = self.0.partitions.get()?;
        partitions.get(partitioning::partition_of(group, partitions.len()))
    }

    /// The partition of a group; the topic is made if it does not exist.
    async fn partition(&self, group: &str) -> Result<&Partition, GroupError> {
        if self.0.partitions.get().is_none() {
            let mut tasks = self.0.tasks.lock().await;
            if self.0.partitions.get().is_none() {
                let logs = self
                    .0
                    .topics
                    .create_offsets_topic()
                    .await
                    .map_err(|error| {
                        tracing::error!(%error, "the topic of the groups cannot be made");
                        GroupError::CoordinatorNotAvailable
                    })?;
                self.own(logs, &mut tasks);
            }
        }
        self.existing(group)
            .ok_or(GroupError::CoordinatorNotAvailable)
    }

    fn own(&self, logs: Vec<Arc<dyn OffsetsLog>>, tasks: &mut Vec<JoinHandle<()>>) {
        let start = |log| {
            let (settings, clock) = (Arc::clone(&self.0.settings), Arc::clone(&self.0.clock));
            let (topics, stop) = (Arc::clone(&self.0.topics), self.0.stop.clone());
            let (partition, task) = Partition::start(log, topics, settings, clock, stop);
            tasks.push(task);
            partition
        };
        let partitions: Vec<Partition> = logs.into_iter().map(start).collect();
        if self.0.partitions.set(partitions).is_err() {
            tracing::error!("the owners of the group partitions were started twice");
        }
    }
}

fn select(
    offsets: &Offsets,
    places: Option<Vec<TopicPartition>>,
) -> Vec<(TopicPartition, CommittedOffset)> {
    match places {
        None => offsets
            .iter()
            .map(|(place, offset)| (place.clone(), offset.clone()))
            .collect(),
        Some(places) => places
            .into_iter()
            .filter_map(|place| offsets.get(&place).cloned().map(|offset| (place, offset)))
            .collect(),
    }
}

/// Whether the topic of the name still is the one the offset was committed in (trap 19).
fn is_current(topics: &dyn TopicSource, place: &TopicPartition, offset: &CommittedOffset) -> bool {
    topics
        .by_name(&place.topic)
        .is_some_and(|topic| offset.topic_id.is_nil() || topic.id == offset.topic_id)
}
