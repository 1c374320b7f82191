//! DescribeTopicPartitions: topics in the order of their names, a page at a time.
//!
//! ```text
//! limit 3:  a-0 a-1 | b-0  next b-1   ->   cursor b-1:  b-1 b-2 | c-0  next c-1   -> ...
//! ```

use std::collections::BTreeSet;

use headrace_protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
    PAGE_PARTITIONS,
};
use headrace_protocol::metadata::MetadataResponsePartition;
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use super::metadata::{TOPIC_OPERATIONS, described_partition};
use crate::controller::topic_name;
use crate::partition::{Topic, Topics};

pub(super) async fn handle(
    call: Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let topics = call.node.registry.topics();
    if request
        .cursor
        .as_ref()
        .is_some_and(|cursor| cursor.partition_index < 0)
    {
        return malformed(&request);
    }
    let cursor = request.cursor.as_ref();
    let begin = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    let asked = request.topics.iter().map(|topic| topic.name.as_str());
    let names: BTreeSet<&str> = if request.topics.is_empty() {
        topics.iter().map(|topic| &*topic.name).collect()
    } else {
        asked.collect()
    };
    let mut page = Page {
        node_id: call.node.id,
        room: usize::try_from(request.response_partition_limit.clamp(1, PAGE_PARTITIONS))
            .unwrap_or(1),
        response: DescribeTopicPartitionsResponse::default(),
    };
    for name in names.range(begin..) {
        let from = cursor.filter(|cursor| cursor.topic_name == *name);
        let from = from.map_or(0, |cursor| cursor.partition_index);
        if !page.add(&topics, name, from) {
            break;
        }
    }
    page.response
}

/// A page that is being filled.
struct Page {
    node_id: i32,
    /// Partitions that it may still take.
    room: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page {
    /// Adds a topic from one of its partitions on; false if the page is full, and the cursor says where it ends.
    fn add(&mut self, topics: &Topics, name: &str, from: i32) -> bool {
        if self.room == 0 {
            self.end(name, 0);
            return false;
        }
        let Some(topic) = topics.by_name(name) else {
            self.response.topics.push(unknown(name));
            return true;
        };
        let partitions = self.take(topic, from);
        let next = partitions.last().map(|last| last.partition_index + 1);
        let next = next.filter(|next| topic.numbered().any(|(number, _)| number == *next));
        self.response
            .topics
            .push(DescribeTopicPartitionsResponseTopic {
                name: Some(name.into()),
                topic_id: topic.id,
                is_internal: topic.is_internal(),
                partitions,
                topic_authorized_operations: TOPIC_OPERATIONS,
                ..DescribeTopicPartitionsResponseTopic::default()
            });
        if let Some(next) = next {
            self.end(name, next);
        }
        next.is_none()
    }

    fn take(&mut self, topic: &Topic, from: i32) -> Vec<DescribeTopicPartitionsResponsePartition> {
        let wanted = topic.numbered().filter(|(number, _)| *number >= from);
        let described = wanted.take(self.room).map(|(number, partition)| {
            in_page(described_partition(number, partition, self.node_id))
        });
        let partitions: Vec<_> = described.collect();
        self.room -= partitions.len();
        partitions
    }

    fn end(&mut self, name: &str, partition_index: i32) {
        let topic_name = Str::from(name);
        self.response.next_cursor = Some(Cursor {
            topic_name,
            partition_index,
        });
    }
}

/// What is told of a partition is what Metadata tells, and which replicas could lead it: none but those in sync.
fn in_page(partition: MetadataResponsePartition) -> DescribeTopicPartitionsResponsePartition {
    let MetadataResponsePartition {
        error_code,
        partition_index,
        leader_id,
        leader_epoch,
        replica_nodes,
        isr_nodes,
        offline_replicas,
    } = partition;
    DescribeTopicPartitionsResponsePartition {
        error_code,
        partition_index,
        leader_id,
        leader_epoch,
        replica_nodes,
        isr_nodes,
        offline_replicas,
        ..DescribeTopicPartitionsResponsePartition::default()
    }
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: if topic_name::is_valid(name) {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        } else {
            ErrorCode::INVALID_TOPIC_EXCEPTION
        },
        name: Some(name.into()),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

/// A cursor that no page ever gave.
fn malformed(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = |name: &Str| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(name.clone()),
        ..DescribeTopicPartitionsResponseTopic::default()
    };
    DescribeTopicPartitionsResponse {
        topics: request
            .topics
            .iter()
            .map(|topic| refused(&topic.name))
            .collect(),
        ..DescribeTopicPartitionsResponse::default()
    }
}
