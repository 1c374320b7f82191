//! OffsetFetch (key 9): what groups have committed; several groups from version 8, topics by id in version 10.
//!
//! A group, topic or partition without a committed offset is no error: offset -1, epoch -1, no text (trap 40).
//! Null topics ask for all. There are no transactions yet, so `require_stable` never has to refuse.

use std::collections::HashMap;
use std::sync::Arc;

use headrace_protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use headrace_protocol::{ErrorCode, Str};
use uuid::Uuid;

use super::Call;
use super::group::{kept, text};
use crate::coordinator::Coordinator;
use crate::coordinator::group::consumer::Epoch;
use crate::coordinator::group::event::GroupError;
use crate::coordinator::group::offsets::{CommittedOffset, TopicPartition};
use crate::coordinator::log::TopicSource;

/// First version with several groups.
const FIRST_BATCHED: i16 = 8;
/// First version with an error for the whole group.
const FIRST_GROUP_ERROR: i16 = 2;
/// Partitions one group may be asked for at once: an answer takes some twenty times the memory of the question.
const PARTITIONS_AT_ONCE_MAX: usize = 1 << 20;
/// First version with topic ids in place of names.
const FIRST_TOPIC_IDS: i16 = 10;

pub(super) async fn handle(call: Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    answer(request, call.version, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: OffsetFetchRequest,
    version: i16,
    coordinator: &Coordinator,
) -> OffsetFetchResponse {
    if version < FIRST_BATCHED {
        return fetch_one(request, version, coordinator).await;
    }
    let mut groups = Vec::new();
    for group in request.groups {
        groups.push(fetch_group(group, version, coordinator).await);
    }
    OffsetFetchResponse {
        groups,
        ..OffsetFetchResponse::default()
    }
}

/// A topic that is asked for.
struct Asked {
    name: Str,
    id: Uuid,
    partitions: Vec<i32>,
    /// The topic cannot be: every partition of it is refused.
    refused: Option<ErrorCode>,
}

/// The answer for one topic; an offset that was never committed is `None`.
struct Found {
    name: Str,
    id: Uuid,
    partitions: Vec<(i32, Result<Option<CommittedOffset>, ErrorCode>)>,
}

async fn fetch_one(
    request: OffsetFetchRequest,
    version: i16,
    coordinator: &Coordinator,
) -> OffsetFetchResponse {
    let lists = request.topics.iter().flatten();
    if too_many(lists.map(|topic| topic.partition_indexes.len())) {
        // the first version has no place for the error
        return OffsetFetchResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            ..OffsetFetchResponse::default()
        };
    }
    let asked: Option<Vec<Asked>> = request.topics.map(|topics| {
        let asked = topics.into_iter().map(|topic| Asked {
            name: topic.name,
            id: Uuid::nil(),
            partitions: topic.partition_indexes,
            refused: None,
        });
        asked.collect()
    });
    let places = asked.as_deref().map(places);
    match coordinator.offsets(kept(&request.group_id), places).await {
        Ok(offsets) => OffsetFetchResponse {
            topics: join(asked, offsets, coordinator.topics())
                .into_iter()
                .map(old_topic)
                .collect(),
            ..OffsetFetchResponse::default()
        },
        Err(error) if version >= FIRST_GROUP_ERROR => OffsetFetchResponse {
            error_code: error.code(),
            ..OffsetFetchResponse::default()
        },
        Err(error) => OffsetFetchResponse {
            topics: refuse_all(asked.unwrap_or_default(), error)
                .into_iter()
                .map(old_topic)
                .collect(),
            ..OffsetFetchResponse::default()
        },
    }
}

async fn fetch_group(
    group: OffsetFetchRequestGroup,
    version: i16,
    coordinator: &Coordinator,
) -> OffsetFetchResponseGroup {
    let (member_id, epoch) = (
        group.member_id.as_ref().map(kept),
        Epoch(group.member_epoch),
    );
    let allowed = coordinator.check_fetch(kept(&group.group_id), member_id, epoch);
    if let Err(error) = allowed.await {
        return OffsetFetchResponseGroup {
            group_id: group.group_id,
            error_code: error.code(),
            ..OffsetFetchResponseGroup::default()
        };
    }
    let by_id = version >= FIRST_TOPIC_IDS;
    let lists = group.topics.iter().flatten();
    if too_many(lists.map(|topic| topic.partition_indexes.len())) {
        return OffsetFetchResponseGroup {
            group_id: group.group_id,
            error_code: ErrorCode::INVALID_REQUEST,
            ..OffsetFetchResponseGroup::default()
        };
    }
    let asked: Option<Vec<Asked>> = group.topics.map(|topics| {
        let asked = topics.into_iter().map(|topic| {
            let mut asked = Asked {
                name: topic.name,
                id: topic.topic_id,
                partitions: topic.partition_indexes,
                refused: None,
            };
            if by_id {
                match coordinator.topics().by_id(asked.id) {
                    Some(facts) => asked.name = text(&facts.name),
                    None => asked.refused = Some(ErrorCode::UNKNOWN_TOPIC_ID),
                }
            }
            asked
        });
        asked.collect()
    });
    let places = asked.as_deref().map(places);
    match coordinator.offsets(kept(&group.group_id), places).await {
        Ok(offsets) => OffsetFetchResponseGroup {
            group_id: group.group_id,
            topics: join(asked, offsets, coordinator.topics())
                .into_iter()
                .map(topic)
                .collect(),
            ..OffsetFetchResponseGroup::default()
        },
        Err(error) => OffsetFetchResponseGroup {
            group_id: group.group_id,
            error_code: error.code(),
            ..OffsetFetchResponseGroup::default()
        },
    }
}

fn too_many(counts: impl Iterator<Item = usize>) -> bool {
    counts.sum::<usize>() > PARTITIONS_AT_ONCE_MAX
}

fn places(asked: &[Asked]) -> Vec<TopicPartition> {
    let mut places = Vec::new();
    for topic in asked.iter().filter(|topic| topic.refused.is_none()) {
        let name = kept(&topic.name);
        places.extend(topic.partitions.iter().map(|partition| TopicPartition {
            topic: Arc::clone(&name),
            partition: *partition,
        }));
    }
    places
}

/// Puts the offsets in the order asked; all of them, by topic, if nothing in particular was asked.
fn join(
    asked: Option<Vec<Asked>>,
    offsets: Vec<(TopicPartition, CommittedOffset)>,
    topics: &dyn TopicSource,
) -> Vec<Found> {
    let Some(asked) = asked else {
        return all(offsets, topics);
    };
    let mut offsets: HashMap<(Str, i32), CommittedOffset> = offsets
        .into_iter()
        .map(|(place, offset)| ((text(&place.topic), place.partition), offset))
        .collect();
    let found = asked.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let result = match topic.refused {
                Some(error) => Err(error),
                None => Ok(offsets.remove(&(topic.name.clone(), *partition))),
            };
            (*partition, result)
        });
        Found {
            partitions: partitions.collect(),
            name: topic.name,
            id: topic.id,
        }
    });
    found.collect()
}

fn all(offsets: Vec<(TopicPartition, CommittedOffset)>, topics: &dyn TopicSource) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (place, offset) in offsets {
        let partition = (place.partition, Ok(Some(offset)));
        match found.last_mut() {
            Some(last) if *last.name == *place.topic => last.partitions.push(partition),
            _ => found.push(Found {
                name: text(&place.topic),
                id: topics
                    .by_name(&place.topic)
                    .map_or_else(Uuid::nil, |facts| facts.id),
                partitions: vec![partition],
            }),
        }
    }
    found
}

fn refuse_all(asked: Vec<Asked>, error: GroupError) -> Vec<Found> {
    let refused = asked.into_iter().map(|topic| Found {
        partitions: topic
            .partitions
            .iter()
            .map(|number| (*number, Err(error.code())))
            .collect(),
        name: topic.name,
        id: topic.id,
    });
    refused.collect()
}

fn topic(found: Found) -> OffsetFetchResponseTopics {
    let partitions = found
        .partitions
        .into_iter()
        .map(|(partition_index, result)| {
            let blank = OffsetFetchResponsePartitions {
                partition_index,
                ..OffsetFetchResponsePartitions::default()
            };
            match result {
                Ok(None) => blank,
                Ok(Some(offset)) => OffsetFetchResponsePartitions {
                    committed_offset: offset.offset,
                    committed_leader_epoch: offset.leader_epoch,
                    metadata: Some(text(&offset.metadata)),
                    ..blank
                },
                Err(error_code) => OffsetFetchResponsePartitions {
                    error_code,
                    ..blank
                },
            }
        });
    OffsetFetchResponseTopics {
        partitions: partitions.collect(),
        name: found.name,
        topic_id: found.id,
    }
}

fn old_topic(found: Found) -> OffsetFetchResponseTopic {
    let topic = topic(found);
    let partitions = topic
        .partitions
        .into_iter()
        .map(|partition| OffsetFetchResponsePartition {
            partition_index: partition.partition_index,
            committed_offset: partition.committed_offset,
            committed_leader_epoch: partition.committed_leader_epoch,
            metadata: partition.metadata,
            error_code: partition.error_code,
        });
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions.collect(),
    }
}
