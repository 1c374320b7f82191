//! CreatePartitions (key 37): gives topics more partitions, or checks that it could.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api CreatePartitions [0..=3, flexible 2]: CreatePartitionsRequest => CreatePartitionsResponse;

    /// The topics to grow.
    pub struct CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic> [..];
        timeout_ms: i32 [..];
        /// Check only.
        validate_only: bool [..];
    }

    /// How many partitions a topic shall have.
    pub struct CreatePartitionsTopic {
        name: Str [..];
        /// With those it has.
        count: i32 [..];
        /// The brokers of each new partition; null leaves them to the cluster.
        assignments: Option<Vec<CreatePartitionsAssignment>> [..];
    }

    /// The brokers of one new partition.
    pub struct CreatePartitionsAssignment {
        broker_ids: Vec<i32> [..];
    }

    /// What became of each topic.
    pub struct CreatePartitionsResponse {
        throttle_time_ms: i32 [..];
        results: Vec<CreatePartitionsTopicResult> [..];
    }

    /// Whether one topic has its new partitions.
    pub struct CreatePartitionsTopicResult {
        name: Str [..];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
    }
}
