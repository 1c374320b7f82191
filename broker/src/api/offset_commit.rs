//! OffsetCommit (key 8): answered when durable; topics by name up to version 9, by id in version 10.
//!
//! A topic or partition that does not exist is refused for itself (3, or 100 by id); the rest is committed.

use std::sync::Arc;

use headrace_protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use super::group::{code, identity, kept};
use crate::coordinator::Coordinator;
use crate::coordinator::group::offsets::{CommittedOffset, TopicPartition};
use crate::coordinator::group::{COMMITTED_AT_ONCE_MAX, Generation};
use crate::coordinator::groups::event::Commit;
use crate::coordinator::log::{TopicFacts, TopicSource};

/// First version whose clients know the errors of member epochs.
const FIRST_MEMBER_EPOCHS: i16 = 9;
/// First version with topic ids in place of names.
const FIRST_TOPIC_IDS: i16 = 10;

pub(super) async fn handle(call: Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    answer(
        request,
        call.version,
        call.node.clock.wall_ms(),
        &call.node.coordinator,
    )
    .await
}

/// Answers the request; `now_ms` becomes the time of the commit.
pub(super) async fn answer(
    request: OffsetCommitRequest,
    version: i16,
    now_ms: i64,
    coordinator: &Coordinator,
) -> OffsetCommitResponse {
    let expiry_time_ms =
        (request.retention_time_ms >= 0).then(|| now_ms.saturating_add(request.retention_time_ms));
    let count: usize = request
        .topics
        .iter()
        .map(|topic| topic.partitions.len())
        .sum();
    let mut offsets = Vec::new();
    let mut topics = Vec::new();
    for topic in &request.topics {
        let found = find(coordinator.topics(), topic, version);
        let mut partitions = Vec::new();
        for partition in &topic.partitions {
            let place = found.as_ref().map_err(|error| *error).and_then(|facts| {
                if count > COMMITTED_AT_ONCE_MAX {
                    return Err(ErrorCode::INVALID_COMMIT_OFFSET_SIZE);
                }
                let exists = (0..facts.partitions).contains(&partition.partition_index);
                if exists {
                    Ok(facts)
                } else {
                    Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                }
            });
            let result = place.map(|facts| {
                offsets.push(committed(facts, partition, now_ms, expiry_time_ms));
            });
            partitions.push((partition.partition_index, result));
        }
        topics.push((topic, partitions));
    }
    let results = commit(&request, version, offsets, coordinator).await;
    let mut results = results.into_iter();
    let answer =
        |(topic, partitions): (&OffsetCommitRequestTopic, Vec<_>)| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: partitions
                .into_iter()
                .map(|(partition_index, refused): (i32, Result<(), ErrorCode>)| {
                    let error_code = match refused {
                        Err(error) => error,
                        Ok(()) => results.next().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR),
                    };
                    OffsetCommitResponsePartition {
                        partition_index,
                        error_code,
                    }
                })
                .collect(),
        };
    OffsetCommitResponse {
        topics: topics.into_iter().map(answer).collect(),
        ..OffsetCommitResponse::default()
    }
}

/// Commits what exists; one code for each offset. A request without any does not reach the group.
async fn commit(
    request: &OffsetCommitRequest,
    version: i16,
    offsets: Vec<(TopicPartition, CommittedOffset)>,
    coordinator: &Coordinator,
) -> Vec<ErrorCode> {
    let count = offsets.len();
    if count == 0 {
        return Vec::new();
    }
    let commit = Commit {
        identity: identity(&request.member_id, request.group_instance_id.as_ref()),
        generation: Generation(request.generation_id_or_member_epoch),
        knows_epochs: version >= FIRST_MEMBER_EPOCHS,
        offsets,
    };
    match coordinator.commit(kept(&request.group_id), commit).await {
        Ok(results) => results.into_iter().map(code).collect(),
        Err(error) => vec![error.code(); count],
    }
}

fn find(
    topics: &dyn TopicSource,
    topic: &OffsetCommitRequestTopic,
    version: i16,
) -> Result<TopicFacts, ErrorCode> {
    if version >= FIRST_TOPIC_IDS {
        topics
            .by_id(topic.topic_id)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_ID)
    } else {
        topics
            .by_name(&topic.name)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }
}

fn committed(
    topic: &TopicFacts,
    partition: &OffsetCommitRequestPartition,
    commit_time_ms: i64,
    expiry_time_ms: Option<i64>,
) -> (TopicPartition, CommittedOffset) {
    let place = TopicPartition {
        topic: Arc::clone(&topic.name),
        partition: partition.partition_index,
    };
    let offset = CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition
            .committed_metadata
            .as_ref()
            .map_or_else(|| kept(&Str::default()), kept),
        commit_time_ms,
        expiry_time_ms,
        topic_id: topic.id,
    };
    (place, offset)
}
