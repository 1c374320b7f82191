//! How far a group is in each partition, and how that is changed from outside.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use headrace_protocol::ErrorCode;
use headrace_protocol::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use headrace_protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use headrace_protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
};
use headrace_protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse,
};

use super::offsets::{OffsetAt, by_topic, partition_error};
use super::route::To;
use super::{Admin, AdminError, GroupInfo, TopicPartition, first_code, only};

/// OffsetFetch of several groups, with topics by name (Kafka 3.0 and later).
const OFFSET_FETCH: RangeInclusive<i16> = 8..=9;
/// OffsetCommit without a retention time, with topics by name (Kafka 2.1 and later).
const OFFSET_COMMIT: RangeInclusive<i16> = 5..=9;

/// DeleteGroups (Kafka 1.1 and later).
const DELETE_GROUPS: RangeInclusive<i16> = 0..=2;
/// OffsetDelete (Kafka 2.4 and later).
const OFFSET_DELETE: RangeInclusive<i16> = 0..=0;

/// How far a group is in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The partition.
    pub place: TopicPartition,
    /// Offset the group reads next; `None` if it has committed nothing.
    pub committed: Option<i64>,
    /// The high watermark; `None` if the partition does not exist any more.
    pub end: Option<i64>,
}

impl GroupOffset {
    /// Records that the group has yet to read.
    pub fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}

impl Admin {
    /// One group, and how far it is in each partition that it has read or is assigned.
    pub async fn describe_group(
        &self,
        name: &str,
    ) -> Result<(GroupInfo, Vec<GroupOffset>), AdminError> {
        let group = self.group(name).await?;
        let committed = self.committed(name).await?;
        let assigned = group.members.iter().flat_map(|member| &member.assignment);
        let mut places: BTreeSet<_> = assigned.cloned().collect();
        places.extend(committed.keys().cloned());
        let ends = self
            .offsets_where_known(places.iter().cloned(), OffsetAt::Latest)
            .await?;
        let offset = |place: TopicPartition| GroupOffset {
            committed: committed.get(&place).copied(),
            end: ends.get(&place).and_then(|end| end.as_ref().ok().copied()),
            place,
        };
        Ok((group, places.into_iter().map(offset).collect()))
    }

    /// Every offset that a group has committed.
    pub async fn committed(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, i64>, AdminError> {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: group.into(),
                topics: None,
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let code =
            |answer: &OffsetFetchResponse| first_code(&answer.groups, |group| group.error_code);
        let to = To::Coordinator(group);
        let answer = self.ask(to, OFFSET_FETCH, &request, code).await?;
        let found = only(answer.groups, group)?;
        match found.error_code {
            ErrorCode::NONE => {}
            ErrorCode::GROUP_ID_NOT_FOUND => return Ok(BTreeMap::new()),
            code => return Err(AdminError::refused(group, code, None)),
        }
        let mut committed = BTreeMap::new();
        for topic in found.topics {
            for partition in topic.partitions {
                let place = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                if partition.error_code != ErrorCode::NONE {
                    return Err(partition_error(&place, partition.error_code));
                }
                if partition.committed_offset >= 0 {
                    committed.insert(place, partition.committed_offset);
                }
            }
        }
        Ok(committed)
    }

    /// Commits offsets for a group without members; with members it is refused.
    pub async fn commit_for(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), AdminError> {
        let places: Vec<_> = offsets.keys().cloned().collect();
        let partition = |topic: &str, partition_index: i32| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offsets[&TopicPartition::new(topic, partition_index)],
            ..OffsetCommitRequestPartition::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.into(),
            topics: by_topic(&places)
                .map(|(topic, partitions)| OffsetCommitRequestTopic {
                    name: topic.into(),
                    partitions: partitions.map(|index| partition(topic, index)).collect(),
                    ..OffsetCommitRequestTopic::default()
                })
                .collect(),
            ..OffsetCommitRequest::default()
        };
        let code = |answer: &OffsetCommitResponse| {
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            let mut codes = partitions.map(|partition| partition.error_code);
            let refused = codes.find(|code| *code != ErrorCode::NONE);
            refused.unwrap_or_default()
        };
        let to = To::Coordinator(group);
        let answer = self.ask(to, OFFSET_COMMIT, &request, code).await?;
        for topic in answer.topics {
            for partition in topic.partitions {
                if partition.error_code != ErrorCode::NONE {
                    let place = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    return Err(partition_error(&place, partition.error_code));
                }
            }
        }
        Ok(())
    }

    /// Deletes a group without members, and its offsets.
    pub async fn delete_group(&self, name: &str) -> Result<(), AdminError> {
        let request = DeleteGroupsRequest {
            groups_names: vec![name.into()],
        };
        let code = |answer: &DeleteGroupsResponse| first_code(&answer.results, |g| g.error_code);
        let to = To::Coordinator(name);
        let answer = self.ask(to, DELETE_GROUPS, &request, code).await?;
        match only(answer.results, name)?.error_code {
            ErrorCode::NONE => Ok(()),
            ErrorCode::GROUP_ID_NOT_FOUND => Err(AdminError::UnknownGroup(name.to_owned())),
            code => Err(AdminError::refused(name, code, None)),
        }
    }

    /// Deletes a group's offsets in some partitions; a topic that a member is subscribed to is refused.
    pub async fn delete_offsets(
        &self,
        group: &str,
        places: &[TopicPartition],
    ) -> Result<(), AdminError> {
        let partition = |partition_index| OffsetDeleteRequestPartition { partition_index };
        let request = OffsetDeleteRequest {
            group_id: group.into(),
            topics: by_topic(places)
                .map(|(topic, partitions)| OffsetDeleteRequestTopic {
                    name: topic.into(),
                    partitions: partitions.map(partition).collect(),
                })
                .collect(),
        };
        let code = |answer: &OffsetDeleteResponse| answer.error_code;
        let to = To::Coordinator(group);
        let answer = self.ask(to, OFFSET_DELETE, &request, code).await?;
        match answer.error_code {
            ErrorCode::NONE => {}
            ErrorCode::GROUP_ID_NOT_FOUND => {
                return Err(AdminError::UnknownGroup(group.to_owned()));
            }
            code => return Err(AdminError::refused(group, code, None)),
        }
        for topic in answer.topics {
            for partition in topic.partitions {
                if partition.error_code != ErrorCode::NONE {
                    let place = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    return Err(partition_error(&place, partition.error_code));
                }
            }
        }
        Ok(())
    }
}
