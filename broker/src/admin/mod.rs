//! The broker's part of the HTTP interface: `GET /v1/broker`.
//!
//! ```json
//! {"cluster_id": "…", "node_id": 1, "advertised": "127.0.0.1:9092",
//!  "disk": {"free_bytes": 9, "total_bytes": 99, "reserve_bytes": 5, "appends": "all"},
//!  "topics": [{"name": "t", "id": "…", "internal": false, "partitions": [
//!    {"partition": 0, "leader_epoch": 3, "log_start": 0, "high_watermark": 9, "log_end": 9, "size_bytes": 812,
//!     "refused": null, "closed": null, "damaged": []}]}]}
//! ```
//! `appends` is `all`, `internal` (clients are refused: the disk is nearly full) or `none`; `refused` is why the
//! partition is not served at all, `closed` why its log takes no more writes, `damaged` what the scrub found since the start.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use headrace_storage::scrub::Finding;
use serde::Serialize;

use crate::node::Node;
use crate::partition::space::{Room, SpaceGuard};
use crate::partition::{Partition, Topic};

#[derive(Serialize)]
struct Broker {
    cluster_id: String,
    node_id: i32,
    advertised: String,
    disk: DiskState,
    topics: Vec<TopicState>,
}

#[derive(Serialize)]
struct DiskState {
    free_bytes: u64,
    total_bytes: u64,
    reserve_bytes: u64,
    appends: &'static str,
}

#[derive(Serialize)]
struct TopicState {
    name: String,
    id: String,
    internal: bool,
    partitions: Vec<PartitionState>,
}

#[derive(Serialize, Default)]
struct PartitionState {
    partition: i32,
    leader_epoch: i32,
    log_start: i64,
    high_watermark: i64,
    log_end: i64,
    size_bytes: u64,
    refused: Option<String>,
    closed: Option<String>,
    damaged: Vec<String>,
}

/// The routes.
pub(crate) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/broker", get(broker))
        .with_state(node)
}

async fn broker(State(node): State<Arc<Node>>) -> Json<Broker> {
    let topics = node.registry.topics();
    Json(Broker {
        cluster_id: node.cluster_id.to_string(),
        node_id: node.id,
        advertised: format!("{}:{}", node.advertised.host, node.advertised.port),
        disk: disk_state(node.registry.space()),
        topics: topics.iter().map(|topic| topic_state(topic)).collect(),
    })
}

fn disk_state(guard: &SpaceGuard) -> DiskState {
    let space = guard.space();
    DiskState {
        free_bytes: space.free_bytes,
        total_bytes: space.total_bytes,
        reserve_bytes: guard.reserve_bytes(),
        appends: match guard.room() {
            Room::Ample => "all",
            Room::Short => "internal",
            Room::Spent => "none",
        },
    }
}

/// A damaged place, in words.
fn damage(found: &Finding) -> String {
    let Finding {
        path,
        position,
        offsets,
        reason,
    } = found;
    let (from, upto) = (offsets.start, offsets.end);
    let place = format!("{} at byte {position}: {reason}", path.display());
    if from == upto {
        return place;
    }
    format!("{place}; offsets {from} up to {upto} are not served")
}

/// What a person should look at, one sentence each; empty in a sound broker.
pub(crate) fn troubles(node: &Node) -> Vec<String> {
    let guard = node.registry.space();
    let mut troubles = Vec::new();
    if guard.room() != Room::Ample {
        troubles.push(format!(
            "the disk is nearly full: {} bytes are free, appends are taken again above {}",
            guard.space().free_bytes,
            guard.reserve_bytes()
        ));
    }
    for topic in node.registry.topics().iter() {
        for (partition, found) in topic.numbered() {
            let name = &topic.name;
            let handle = match found {
                Partition::Served(handle) => handle,
                Partition::Refused(reason) => {
                    troubles.push(format!(
                        "partition {partition} of topic {name} is not served: {reason}"
                    ));
                    continue;
                }
            };
            for found in handle.view().findings() {
                troubles.push(format!(
                    "partition {partition} of topic {name} is damaged on disk: {}",
                    damage(&found)
                ));
            }
            if let Some(reason) = handle.closed() {
                troubles.push(format!(
                    "partition {partition} of topic {name} takes no writes until the next start: {reason}"
                ));
            }
        }
    }
    troubles
}

fn topic_state(topic: &Topic) -> TopicState {
    TopicState {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        internal: topic.is_internal(),
        partitions: topic.numbered().map(partition_state).collect(),
    }
}

fn partition_state((partition, found): (i32, &Partition)) -> PartitionState {
    let handle = match found {
        Partition::Served(handle) => handle,
        Partition::Refused(reason) => {
            return PartitionState {
                partition,
                refused: Some(reason.to_string()),
                ..PartitionState::default()
            };
        }
    };
    let view = handle.view();
    PartitionState {
        partition,
        refused: None,
        leader_epoch: view.epoch().0,
        log_start: view.log_start().0,
        high_watermark: view.high_watermark().0,
        log_end: view.log_end().0,
        size_bytes: view.size_bytes(),
        closed: handle.closed().map(str::to_owned),
        damaged: view.findings().iter().map(damage).collect(),
    }
}
