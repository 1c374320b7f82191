//! ConsumerGroupHeartbeat (key 68): a member of a group whose assignment the broker makes joins, lives, leaves (trap 62).

use std::collections::BTreeSet;
use std::sync::Arc;

use headrace_protocol::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use headrace_protocol::{ErrorCode, Str};
use uuid::Uuid;

use super::Call;
use super::group::{Client, kept, text};
use crate::coordinator::Coordinator;
use crate::coordinator::group::consumer::Epoch;
use crate::coordinator::group::consumer::partitions::Partitions;
use crate::coordinator::group::consumer::request::{Beat, Heartbeat, Refused};

/// First version whose clients make their own ids (KIP-1082).
const FIRST_OWN_ID: i16 = 1;

pub(super) async fn handle(
    call: Call,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let client = Client::of(&call);
    answer(request, call.version, &client, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: ConsumerGroupHeartbeatRequest,
    version: i16,
    client: &Client,
    coordinator: &Coordinator,
) -> ConsumerGroupHeartbeatResponse {
    let group = kept(&request.group_id);
    let mut heartbeat = heartbeat(&request, client);
    drop(request);
    if let Err(refused) = heartbeat.check(&group, version >= FIRST_OWN_ID) {
        return refusal(&refused);
    }
    if heartbeat.member_id.is_empty() {
        heartbeat.member_id = Arc::from(Uuid::new_v4().to_string());
    }
    match coordinator.consumer_heartbeat(group, heartbeat).await {
        Ok(beat) => response(&beat),
        Err(refused) => refusal(&refused),
    }
}

fn heartbeat(request: &ConsumerGroupHeartbeatRequest, client: &Client) -> Heartbeat {
    let names = |names: &Vec<Str>| names.iter().map(kept).collect::<BTreeSet<_>>();
    Heartbeat {
        member_id: kept(&request.member_id),
        epoch: Epoch(request.member_epoch),
        instance_id: request.instance_id.as_ref().map(kept),
        rack_id: request.rack_id.as_ref().map(kept),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|ms| *ms != -1),
        topics: request.subscribed_topic_names.as_ref().map(names),
        pattern: request.subscribed_topic_regex.as_ref().map(kept),
        assignor: request.server_assignor.as_ref().map(kept),
        owned: request.topic_partitions.as_deref().map(owned),
        client_id: kept(&client.id),
        client_host: kept(&client.host),
    }
}

fn owned(topics: &[TopicPartitions]) -> Partitions {
    let places = |topic: &TopicPartitions| {
        let id = topic.topic_id;
        let numbers = topic.partitions.iter();
        numbers.map(move |number| (id, *number)).collect::<Vec<_>>()
    };
    topics.iter().flat_map(places).collect()
}

fn response(beat: &Beat) -> ConsumerGroupHeartbeatResponse {
    let topic_partitions = |partitions: &Partitions| {
        let topics = partitions
            .topics()
            .map(|(topic_id, numbers)| TopicPartitions {
                topic_id,
                partitions: numbers.iter().copied().collect(),
            });
        topics.collect()
    };
    ConsumerGroupHeartbeatResponse {
        member_id: Some(text(&beat.member_id)),
        member_epoch: beat.epoch.0,
        heartbeat_interval_ms: beat.heartbeat_interval_ms,
        assignment: beat.assignment.as_ref().map(|partitions| Assignment {
            topic_partitions: topic_partitions(partitions),
        }),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

fn refusal(refused: &Refused) -> ConsumerGroupHeartbeatResponse {
    let error_code: ErrorCode = refused.error.code();
    ConsumerGroupHeartbeatResponse {
        error_code,
        error_message: Some(Str::from(refused.text.as_str())),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}
