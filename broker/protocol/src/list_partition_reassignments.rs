//! ListPartitionReassignments (key 46): the partitions that are moving to other brokers (KIP-455).

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api ListPartitionReassignments [0..=0, flexible 0]:
        ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse;

    /// The partitions asked about.
    pub struct ListPartitionReassignmentsRequest {
        timeout_ms: i32 [..] = 60_000;
        /// Null for all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [..];
    }

    /// The partitions of one topic.
    pub struct ListPartitionReassignmentsTopics {
        name: Str [..];
        partition_indexes: Vec<i32> [..];
    }

    /// The moves under way.
    pub struct ListPartitionReassignmentsResponse {
        throttle_time_ms: i32 [..];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        topics: Vec<OngoingTopicReassignment> [..];
    }

    /// The partitions of one topic.
    pub struct OngoingTopicReassignment {
        name: Str [..];
        partitions: Vec<OngoingPartitionReassignment> [..];
    }

    /// One move.
    pub struct OngoingPartitionReassignment {
        partition_index: i32 [..];
        replicas: Vec<i32> [..];
        adding_replicas: Vec<i32> [..];
        removing_replicas: Vec<i32> [..];
    }
}
