//! CreatePartitions: the new partitions are durable and can be used when it is answered.
//!
//! Keys are assigned to partitions by their number, so records of a key may lie in two partitions afterwards, and
//! no reader sees them in order. That is the client's decision; topics in which the broker itself finds things by
//! that number cannot grow.

use std::collections::HashSet;

use headrace_protocol::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use crate::partition::registry::{ChangeFailure, Growth};

/// A refusal: the code and a text for people.
type Refused = (ErrorCode, String);

pub(super) async fn handle(
    call: Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in &request.topics {
        if !seen.insert(topic.name.as_str()) {
            twice.insert(topic.name.as_str());
        }
    }
    let mut results: Vec<CreatePartitionsTopicResult> = Vec::with_capacity(seen.len());
    for topic in &request.topics {
        // one answer for each name
        if !seen.remove(topic.name.as_str()) {
            continue;
        }
        let grown = if twice.contains(topic.name.as_str()) {
            let message = format!("{} stands in the request more than once", topic.name);
            Err((ErrorCode::INVALID_REQUEST, message))
        } else {
            grow(&call, topic, request.validate_only).await
        };
        results.push(result(topic.name.clone(), grown.err()));
    }
    CreatePartitionsResponse {
        results,
        ..CreatePartitionsResponse::default()
    }
}

fn result(name: Str, refused: Option<Refused>) -> CreatePartitionsTopicResult {
    let (error_code, message) = refused.unzip();
    CreatePartitionsTopicResult {
        name,
        error_code: error_code.unwrap_or(ErrorCode::NONE),
        error_message: message.map(Str::from),
    }
}

async fn grow(
    call: &Call,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refused> {
    let registry = &call.node.registry;
    let Some(topic) = registry.topic(&asked.name) else {
        let message = format!("there is no topic {}", asked.name);
        return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    };
    let growth = Growth {
        id: topic.id,
        partitions: asked.count,
    };
    let failed = |failure: ChangeFailure| (failure.code(), failure.to_string());
    registry.validate_growth(growth).await.map_err(failed)?;
    if let Some(assignments) = &asked.assignments {
        check_assignments(
            call.node.id,
            assignments,
            asked.count,
            topic.partitions.len(),
        )?;
    }
    if validate_only {
        return Ok(());
    }
    registry.grow(growth).await.map_err(failed)
}

/// There is one broker to put partitions on.
fn check_assignments(
    node_id: i32,
    assignments: &[CreatePartitionsAssignment],
    count: i32,
    has: usize,
) -> Result<(), Refused> {
    let more = usize::try_from(count).unwrap_or(0).saturating_sub(has);
    let message = if assignments.len() != more {
        format!(
            "{more} new partitions, but {} assignments",
            assignments.len()
        )
    } else if let Some(wrong) = assignments.iter().find(|one| one.broker_ids != [node_id]) {
        let brokers = &wrong.broker_ids;
        format!(
            "replicas {brokers:?}: there is one broker, {node_id}, and one replica of each partition"
        )
    } else {
        return Ok(());
    };
    Err((ErrorCode::INVALID_REPLICA_ASSIGNMENT, message))
}
