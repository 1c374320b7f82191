//! AlterPartitionReassignments (key 45): moves partitions to other brokers, or stops such a move (KIP-455).

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api AlterPartitionReassignments [0..=1, flexible 0]:
        AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse;

    /// The moves.
    pub struct AlterPartitionReassignmentsRequest {
        timeout_ms: i32 [..] = 60_000;
        allow_replication_factor_change: bool [1..] = true;
        topics: Vec<ReassignableTopic> [..];
    }

    /// The partitions of one topic.
    pub struct ReassignableTopic {
        name: Str [..];
        partitions: Vec<ReassignablePartition> [..];
    }

    /// Where one partition shall lie.
    pub struct ReassignablePartition {
        partition_index: i32 [..];
        /// The brokers; null stops the move that is under way.
        replicas: Option<Vec<i32>> [..];
    }

    /// What became of each move.
    pub struct AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32 [..];
        allow_replication_factor_change: bool [1.., ignorable] = true;
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        responses: Vec<ReassignableTopicResponse> [..];
    }

    /// The partitions of one topic.
    pub struct ReassignableTopicResponse {
        name: Str [..];
        partitions: Vec<ReassignablePartitionResponse> [..];
    }

    /// What became of one move.
    pub struct ReassignablePartitionResponse {
        partition_index: i32 [..];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
    }
}
