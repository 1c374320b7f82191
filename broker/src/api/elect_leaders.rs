//! ElectLeaders: the one replica of a partition leads it already, or nobody can.

use headrace_protocol::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PREFERRED, PartitionResult, ReplicaElectionResult,
    TopicPartitions, UNCLEAN,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use crate::partition::{NotServed, Topic};

pub(super) async fn handle(call: Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let registry = &call.node.registry;
    let kind = request.election_type;
    if kind != PREFERRED && kind != UNCLEAN {
        return ElectLeadersResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            ..ElectLeadersResponse::default()
        };
    }
    let replica_election_results = match request.topic_partitions {
        Some(asked) => asked
            .into_iter()
            .map(|asked| named(&call, asked, kind))
            .collect(),
        None => registry
            .topics()
            .iter()
            .filter_map(|topic| all_of(topic, kind))
            .collect(),
    };
    ElectLeadersResponse {
        replica_election_results,
        ..ElectLeadersResponse::default()
    }
}

fn named(call: &Call, asked: TopicPartitions, kind: i8) -> ReplicaElectionResult {
    let TopicPartitions { topic, partitions } = asked;
    let found = call.node.registry.topic(&topic);
    let results = partitions
        .into_iter()
        .map(|number| elected(found.as_deref(), number, kind));
    ReplicaElectionResult {
        partition_result: results.collect(),
        topic,
    }
}

/// Of all partitions only those are told of that had something to elect.
fn all_of(topic: &Topic, kind: i8) -> Option<ReplicaElectionResult> {
    let results = topic
        .numbered()
        .map(|(number, _)| elected(Some(topic), number, kind));
    let partition_result: Vec<_> = results
        .filter(|result| result.error_code != ErrorCode::ELECTION_NOT_NEEDED)
        .collect();
    (!partition_result.is_empty()).then(|| ReplicaElectionResult {
        topic: Str::from(&*topic.name),
        partition_result,
    })
}

fn elected(topic: Option<&Topic>, partition_id: i32, kind: i8) -> PartitionResult {
    let found = topic
        .ok_or(NotServed::Unknown)
        .and_then(|topic| topic.partition(partition_id));
    let (error_code, message) = match found {
        Ok(_) => (ErrorCode::ELECTION_NOT_NEEDED, "its only replica leads it"),
        Err(NotServed::Unknown) => (
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "there is no such partition",
        ),
        Err(NotServed::Refused) if kind == PREFERRED => (
            ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
            "the log of its only replica is not served; the broker's health says why",
        ),
        Err(NotServed::Refused) => (
            ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
            "the log of its only replica is not served; the broker's health says why",
        ),
    };
    PartitionResult {
        partition_id,
        error_code,
        error_message: Some(Str::from_static(message)),
    }
}
