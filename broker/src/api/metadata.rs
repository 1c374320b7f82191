//! Metadata: brokers, topics, leaders; and the making of topics that someone asks for.
//!
//! A topic that is made here is answered with LEADER_NOT_AVAILABLE, as Kafka's clients expect: they ask
//! again and find it.

use std::collections::BTreeMap;
use std::sync::Arc;

use headrace_protocol::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use headrace_protocol::{ErrorCode, Str};
use tracing::warn;

use super::Call;
use crate::controller::topic_name;
use crate::node::Node;
use crate::partition::registry::NewTopic;
use crate::partition::{Partition, Topic};

/// All operations on a topic, as bits: without an authorizer everyone may do everything.
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// All operations on the cluster, as bits.
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

pub(super) async fn handle(call: Call, request: MetadataRequest) -> MetadataResponse {
    let node = &call.node;
    let topic_operations = request
        .include_topic_authorized_operations
        .then_some(TOPIC_OPERATIONS);
    let mut topics = match &request.topics {
        None => every_topic(node),
        // before version 1 there was no null
        Some(asked) if asked.is_empty() && call.version == 0 => every_topic(node),
        Some(asked) => {
            let may_create = request.allow_auto_topic_creation && node.config.auto_create;
            named_topics(&call, asked, may_create).await
        }
    };
    for topic in &mut topics {
        if let Some(operations) = topic_operations.filter(|_| topic.error_code.is_ok()) {
            topic.topic_authorized_operations = operations;
        }
    }
    let mut response = MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: node.id,
            host: node.advertised.host.as_str().into(),
            port: node.advertised.port.into(),
            rack: None,
        }],
        cluster_id: Some(node.cluster_id.to_string().into()),
        controller_id: node.id,
        topics,
        ..MetadataResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}

fn every_topic(node: &Node) -> Vec<MetadataResponseTopic> {
    let topics = node.registry.topics();
    topics
        .iter()
        .map(|topic| described(topic, node.id))
        .collect()
}

async fn named_topics(
    call: &Call,
    asked: &[MetadataRequestTopic],
    may_create: bool,
) -> Vec<MetadataResponseTopic> {
    let node = &call.node;
    let mut answers = Vec::with_capacity(asked.len().min(1024));
    for topic in asked {
        let answer = match &topic.name {
            _ if !topic.topic_id.is_nil() => match node.registry.topic_by_id(topic.topic_id) {
                Some(topic) => described(&topic, node.id),
                None => MetadataResponseTopic {
                    error_code: ErrorCode::UNKNOWN_TOPIC_ID,
                    topic_id: topic.topic_id,
                    name: (call.version < 12).then(Str::default),
                    ..MetadataResponseTopic::default()
                },
            },
            None => failed("".into(), ErrorCode::INVALID_TOPIC_EXCEPTION),
            Some(name) => match node.registry.topic(name) {
                Some(topic) => described(&topic, node.id),
                None => failed(name.clone(), create(node, name, may_create).await),
            },
        };
        answers.push(answer);
    }
    answers
}

/// What is said about a topic that is not there, after making it if that is allowed.
async fn create(node: &Node, name: &str, may_create: bool) -> ErrorCode {
    if !topic_name::is_valid(name) {
        return ErrorCode::INVALID_TOPIC_EXCEPTION;
    }
    if !may_create || name == topic_name::TRANSACTION_STATE {
        return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    }
    let made = if name == topic_name::CONSUMER_OFFSETS {
        node.registry.consumer_offsets().await
    } else {
        let partitions = node.config.partitions;
        let overrides = BTreeMap::new();
        node.registry
            .create(NewTopic {
                name: name.into(),
                partitions,
                overrides,
            })
            .await
    };
    match made {
        Ok(_) => ErrorCode::LEADER_NOT_AVAILABLE,
        Err(failure) if failure.code() == ErrorCode::TOPIC_ALREADY_EXISTS => {
            ErrorCode::LEADER_NOT_AVAILABLE
        }
        Err(failure) => {
            warn!(topic = name, %failure, "topic is not created on demand");
            failure.code()
        }
    }
}

fn failed(name: Str, error_code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code,
        name: Some(name),
        ..MetadataResponseTopic::default()
    }
}

fn described(topic: &Arc<Topic>, node_id: i32) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(Str::from(&*topic.name)),
        topic_id: topic.id,
        is_internal: topic.is_internal(),
        partitions: topic
            .numbered()
            .map(|(number, partition)| described_partition(number, partition, node_id))
            .collect(),
        ..MetadataResponseTopic::default()
    }
}

/// What is told of one partition.
pub(super) fn described_partition(
    number: i32,
    partition: &Partition,
    node_id: i32,
) -> MetadataResponsePartition {
    let described = MetadataResponsePartition {
        partition_index: number,
        replica_nodes: vec![node_id],
        ..MetadataResponsePartition::default()
    };
    match partition {
        Partition::Served(handle) => MetadataResponsePartition {
            leader_id: node_id,
            leader_epoch: handle.view().epoch().0,
            isr_nodes: vec![node_id],
            ..described
        },
        // as Kafka tells of a partition whose only replica is offline
        Partition::Refused(_) => MetadataResponsePartition {
            error_code: ErrorCode::LEADER_NOT_AVAILABLE,
            leader_id: -1,
            leader_epoch: -1,
            offline_replicas: vec![node_id],
            ..described
        },
    }
}
