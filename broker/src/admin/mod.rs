//! The broker's part of the HTTP interface: `GET /v1/broker`.
//!
//! ```json
//! {"cluster_id": "…", "node_id": 1, "advertised": "127.0.0.1:9092",
//!  "topics": [{"name": "t", "id": "…", "internal": false, "partitions": [
//!    {"partition": 0, "leader_epoch": 3, "log_start": 0, "high_watermark": 9, "log_end": 9, "size_bytes": 812}]}]}
//! ```

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::node::Node;
use crate::partition::{Handle, Topic};

#[derive(Serialize)]
struct Broker {
    cluster_id: String,
    node_id: i32,
    advertised: String,
    topics: Vec<TopicState>,
}

#[derive(Serialize)]
struct TopicState {
    name: String,
    id: String,
    internal: bool,
    partitions: Vec<PartitionState>,
}

#[derive(Serialize)]
struct PartitionState {
    partition: i32,
    leader_epoch: i32,
    log_start: i64,
    high_watermark: i64,
    log_end: i64,
    size_bytes: u64,
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
        topics: topics.iter().map(|topic| topic_state(topic)).collect(),
    })
}

fn topic_state(topic: &Topic) -> TopicState {
    TopicState {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        internal: topic.is_internal(),
        partitions: topic.partitions.iter().map(partition_state).collect(),
    }
}

fn partition_state(handle: &Handle) -> PartitionState {
    let view = handle.view();
    PartitionState {
        partition: handle.partition(),
        leader_epoch: view.epoch().0,
        log_start: view.log_start().0,
        high_watermark: view.high_watermark().0,
        log_end: view.log_end().0,
        size_bytes: view.size_bytes(),
    }
}
