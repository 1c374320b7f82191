//! ElectLeaders (key 43): has the preferred replica of partitions lead again, or any replica at all (KIP-460).

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// Election of the first replica of the assignment.
pub const PREFERRED: i8 = 0;
/// Election of any replica that lives, even one that lacks records.
pub const UNCLEAN: i8 = 1;

messages! {
    api ElectLeaders [0..=2, flexible 2]: ElectLeadersRequest => ElectLeadersResponse;

    /// The partitions to elect leaders of.
    pub struct ElectLeadersRequest {
        election_type: i8 [1..];
        /// Null for all.
        topic_partitions: Option<Vec<TopicPartitions>> [..] = Some(Vec::new());
        timeout_ms: i32 [..] = 60_000;
    }

    /// The partitions of one topic.
    pub struct TopicPartitions {
        topic: Str [..];
        partitions: Vec<i32> [..];
    }

    /// What became of each election.
    pub struct ElectLeadersResponse {
        throttle_time_ms: i32 [..];
        error_code: ErrorCode [1..];
        replica_election_results: Vec<ReplicaElectionResult> [..];
    }

    /// The partitions of one topic.
    pub struct ReplicaElectionResult {
        topic: Str [..];
        partition_result: Vec<PartitionResult> [..];
    }

    /// What became of one election.
    pub struct PartitionResult {
        partition_id: i32 [..];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
    }
}
