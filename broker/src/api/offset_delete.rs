//! OffsetDelete (key 47): committed offsets of topics that the group does not read (86) go.
//!
//! A topic or partition that does not exist is refused for itself (3); an offset that was never committed is no
//! error.

use std::sync::Arc;

use headrace_protocol::ErrorCode;
use headrace_protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::Call;
use super::group::{code, kept};
use crate::coordinator::Coordinator;
use crate::coordinator::group::offsets::TopicPartition;

pub(super) async fn handle(call: Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    answer(request, &call.node.coordinator).await
}

/// Answers the request when all of it is durable.
pub(super) async fn answer(
    request: OffsetDeleteRequest,
    coordinator: &Coordinator,
) -> OffsetDeleteResponse {
    let mut places = Vec::new();
    for topic in &request.topics {
        let Some(facts) = coordinator.topics().by_name(&topic.name) else {
            continue;
        };
        for number in numbers(topic).filter(|number| (0..facts.partitions).contains(number)) {
            places.push(TopicPartition {
                topic: Arc::clone(&facts.name),
                partition: number,
            });
        }
    }
    let group = kept(&request.group_id);
    let results = match coordinator.delete_offsets(group, places.clone()).await {
        Ok(results) => results,
        Err(error) => {
            return OffsetDeleteResponse {
                error_code: error.code(),
                ..OffsetDeleteResponse::default()
            };
        }
    };
    let mut done = places.into_iter().zip(results).peekable();
    let topics = request.topics.iter().map(|topic| {
        let partitions = numbers(topic).map(|partition_index| {
            let here =
                done.next_if(|(at, _)| *at.topic == *topic.name && at.partition == partition_index);
            OffsetDeleteResponsePartition {
                partition_index,
                error_code: here.map_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, |(_, result)| {
                    code(result)
                }),
            }
        });
        OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            partitions: partitions.collect(),
        }
    });
    OffsetDeleteResponse {
        topics: topics.collect(),
        ..OffsetDeleteResponse::default()
    }
}

fn numbers(topic: &OffsetDeleteRequestTopic) -> impl Iterator<Item = i32> {
    topic
        .partitions
        .iter()
        .map(|partition| partition.partition_index)
}
