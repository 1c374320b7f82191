//! DescribeTopicPartitions (key 75): topics with their partitions in pages (KIP-966).
//!
//! Topics come in the order of their names; a page that is full says with a cursor where the next one begins.

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::metadata::OPERATIONS_NOT_ASKED;
use crate::text::Str;

/// Partitions of a page, unless less is asked for.
pub const PAGE_PARTITIONS: i32 = 2000;

messages! {
    api DescribeTopicPartitions [0..=0, flexible 0]:
        DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse;

    /// The topics asked about.
    pub struct DescribeTopicPartitionsRequest {
        /// None at all asks for every topic.
        topics: Vec<TopicRequest> [..];
        response_partition_limit: i32 [..] = PAGE_PARTITIONS;
        /// Where to begin; null for the first page.
        cursor: Option<Cursor> [..];
    }

    /// A topic by name.
    pub struct TopicRequest {
        name: Str [..];
    }

    /// The first partition of a page.
    pub struct Cursor {
        topic_name: Str [..];
        partition_index: i32 [..];
    }

    /// A page of topics.
    pub struct DescribeTopicPartitionsResponse {
        throttle_time_ms: i32 [.., ignorable];
        topics: Vec<DescribeTopicPartitionsResponseTopic> [..];
        /// Where the next page begins; null behind the last.
        next_cursor: Option<Cursor> [..];
    }

    /// A topic, or the error of one asked for.
    pub struct DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode [..];
        name: Option<Str> [..] = Some(Str::default());
        topic_id: Uuid [.., ignorable];
        is_internal: bool [.., ignorable];
        /// Those of this page.
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [..];
        topic_authorized_operations: i32 [..] = OPERATIONS_NOT_ASKED;
    }

    /// A partition and its replicas.
    pub struct DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode [..];
        partition_index: i32 [..];
        /// -1 while there is none.
        leader_id: i32 [..] = -1;
        leader_epoch: i32 [.., ignorable] = -1;
        replica_nodes: Vec<i32> [..];
        isr_nodes: Vec<i32> [..];
        /// Never null in an answer of a broker: Java's admin client fails over it.
        eligible_leader_replicas: Option<Vec<i32>> [..] = Some(Vec::new());
        /// Never null either.
        last_known_elr: Option<Vec<i32>> [..] = Some(Vec::new());
        offline_replicas: Vec<i32> [.., ignorable];
    }
}
