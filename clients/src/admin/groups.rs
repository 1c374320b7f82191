//! Consumer groups: who is in them, and how far they are.
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::{Admin, AdminError};
use crate::connection::{self, Context, REQUEST_TIMEOUT};

/// A group as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub name: String,
    /// Kafka's name of its state: `Empty`, `Stable`, ...
    pub state: String,
    /// The assignment strategy in use; empty while there is none.
    pub protocol: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Given by the coordinator.
    pub id: String,
    /// Chosen by the client.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
}

/// How far a group is in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Offset the group reads next.
    pub committed: i64,
    /// The high watermark.
    pub end: i64,
}

impl Admin {
    /// All groups.
    pub async fn groups(&self) -> Result<Vec<GroupInfo>, AdminError> {
        self.group_list(None).await
    }

    /// One group; a group without members, offsets or state does not exist.
    pub async fn describe_group(
        &self,
        name: &str,
    ) -> Result<(GroupInfo, Vec<GroupOffset>), AdminError> {
        let groups = self.group_list(Some(name.to_owned())).await?;
        let found = groups
            .into_iter()
            .find(|group| group.name == name && group.state != "Dead");
        let group = found.ok_or_else(|| AdminError::UnknownGroup(name.to_owned()))?;
        Ok((group, self.group_offsets(name).await?))
    }

    async fn group_list(&self, name: Option<String>) -> Result<Vec<GroupInfo>, AdminError> {
        let native = self.native.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let list = native
                .inner()
                .fetch_group_list(name.as_deref(), REQUEST_TIMEOUT)?;
            let member = |member: &rdkafka::groups::GroupMemberInfo| GroupMember {
                id: member.id().to_owned(),
                client_id: member.client_id().to_owned(),
                host: member.client_host().to_owned(),
            };
            let group = |group: &rdkafka::groups::GroupInfo| GroupInfo {
                name: group.name().to_owned(),
                state: group.state().to_owned(),
                protocol: group.protocol().to_owned(),
                members: group.members().iter().map(member).collect(),
            };
            Ok(list.groups().iter().map(group).collect())
        });
        let answer: Result<_, KafkaError> = asked
            .await
            .expect("the question neither panics nor is cancelled");
        answer.map_err(|error| self.unanswered(error))
    }

    async fn group_offsets(&self, group: &str) -> Result<Vec<GroupOffset>, AdminError> {
        let mut all = TopicPartitionList::new();
        for topic in self.topics().await?.iter().filter(|topic| !topic.internal) {
            all.add_partition_range(&topic.name, 0, topic.partitions - 1);
        }
        if all.count() == 0 {
            return Ok(Vec::new());
        }
        let mut native = self.config.native();
        native.set("group.id", group);
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<Context> = connection::create(&native)?;
            let committed = consumer.committed_offsets(all, REQUEST_TIMEOUT)?;
            let mut offsets = Vec::new();
            for place in committed.elements() {
                if let Offset::Offset(committed) = place.offset() {
                    let (topic, partition) = (place.topic().to_owned(), place.partition());
                    let (_, end) = consumer.fetch_watermarks(&topic, partition, REQUEST_TIMEOUT)?;
                    offsets.push(GroupOffset {
                        topic,
                        partition,
                        committed,
                        end,
                    });
                }
            }
            Ok(offsets)
        });
        let answer: Result<_, KafkaError> = asked
            .await
            .expect("the question neither panics nor is cancelled");
        answer.map_err(|error| self.unanswered(error))
    }
}
