//! OffsetDelete (key 47): deletes committed offsets of a group, topic by topic. Never flexible.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api OffsetDelete [0..=0, never_flexible]: OffsetDeleteRequest => OffsetDeleteResponse;

    /// Places whose offsets are to go.
    pub struct OffsetDeleteRequest {
        group_id: Str [..];
        topics: Vec<OffsetDeleteRequestTopic> [..];
    }

    /// A topic of a request.
    pub struct OffsetDeleteRequestTopic {
        name: Str [..];
        partitions: Vec<OffsetDeleteRequestPartition> [..];
    }

    /// A partition of a request.
    pub struct OffsetDeleteRequestPartition {
        partition_index: i32 [..];
    }

    /// What became of each offset, or why none was touched.
    pub struct OffsetDeleteResponse {
        error_code: ErrorCode [..];
        throttle_time_ms: i32 [.., ignorable];
        topics: Vec<OffsetDeleteResponseTopic> [..];
    }

    /// A topic of a response.
    pub struct OffsetDeleteResponseTopic {
        name: Str [..];
        partitions: Vec<OffsetDeleteResponsePartition> [..];
    }

    /// The result for one partition.
    pub struct OffsetDeleteResponsePartition {
        partition_index: i32 [..];
        error_code: ErrorCode [..];
    }
}
