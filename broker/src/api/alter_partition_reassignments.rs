//! AlterPartitionReassignments: a partition lies on this broker, and nowhere else to be moved to or from.

use headrace_protocol::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use crate::partition::Topic;

pub(super) async fn handle(
    call: Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let node = &call.node;
    let answer = |ReassignableTopic { name, partitions }| {
        let topic = node.registry.topic(&name);
        let partitions = partitions.iter();
        ReassignableTopicResponse {
            partitions: partitions
                .map(|asked| reassigned(topic.as_deref(), asked, node.id))
                .collect(),
            name,
        }
    };
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: request.topics.into_iter().map(answer).collect(),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

fn reassigned(
    topic: Option<&Topic>,
    asked: &ReassignablePartition,
    node_id: i32,
) -> ReassignablePartitionResponse {
    let number = asked.partition_index;
    let exists = topic.is_some_and(|topic| topic.numbered().any(|(found, _)| found == number));
    let refused = match asked.replicas.as_deref() {
        _ if !exists => Some((
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "there is no such partition".to_owned(),
        )),
        None => Some((
            ErrorCode::NO_REASSIGNMENT_IN_PROGRESS,
            "the partition is not being moved".to_owned(),
        )),
        // where it lies already
        Some(replicas) if replicas == [node_id] => None,
        Some(replicas) => Some((
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            format!(
                "replicas {replicas:?}: there is one broker, {node_id}, and one replica of each partition"
            ),
        )),
    };
    let (error_code, error_message) = match refused {
        None => (ErrorCode::NONE, None),
        Some((code, message)) => (code, Some(Str::from(message))),
    };
    ReassignablePartitionResponse {
        partition_index: number,
        error_code,
        error_message,
    }
}
