//! ListOffsets (key 2): the offset at a point in time, or at an end of the log.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// Timestamp that asks for the end of what the reader may see.
pub const LATEST: i64 = -1;
/// Timestamp that asks for the start of the log.
pub const EARLIEST: i64 = -2;
/// Timestamp that asks for the record with the largest timestamp (version 7).
pub const MAX_TIMESTAMP: i64 = -3;
/// Timestamp that asks for the first offset on local disk (version 8, KIP-405).
pub const EARLIEST_LOCAL: i64 = -4;
/// Timestamp that asks for the last offset in tiered storage (version 9, KIP-1005).
pub const LATEST_TIERED: i64 = -5;
/// Timestamp that asks for the first offset that is not in tiered storage yet (version 11, KIP-1023).
pub const EARLIEST_PENDING_UPLOAD: i64 = -6;

messages! {
    api ListOffsets [1..=11, flexible 6]: ListOffsetsRequest => ListOffsetsResponse;

    /// Points in partitions of several topics.
    pub struct ListOffsetsRequest {
        /// -1 for a consumer.
        replica_id: i32 [..] = -1;
        /// 0 read uncommitted, 1 read committed.
        isolation_level: i8 [2..];
        topics: Vec<ListOffsetsTopic> [..];
        timeout_ms: i32 [10.., ignorable];
    }

    /// The partitions of one topic.
    pub struct ListOffsetsTopic {
        name: Str [..];
        partitions: Vec<ListOffsetsPartition> [..];
    }

    /// A point in one partition.
    pub struct ListOffsetsPartition {
        partition_index: i32 [..];
        /// -1 to leave the fencing out (KIP-320).
        current_leader_epoch: i32 [4.., ignorable] = -1;
        /// Milliseconds since 1970, or one of the negative constants of this module.
        timestamp: i64 [..];
    }

    /// The offsets found.
    pub struct ListOffsetsResponse {
        throttle_time_ms: i32 [2.., ignorable];
        topics: Vec<ListOffsetsTopicResponse> [..];
    }

    /// The partitions of one topic.
    pub struct ListOffsetsTopicResponse {
        name: Str [..];
        partitions: Vec<ListOffsetsPartitionResponse> [..];
    }

    /// The offset of one partition.
    pub struct ListOffsetsPartitionResponse {
        partition_index: i32 [..];
        error_code: ErrorCode [..];
        /// -1 when an end of the log was asked for, or nothing was found.
        timestamp: i64 [..] = -1;
        /// -1 if nothing was found.
        offset: i64 [..] = -1;
        leader_epoch: i32 [4..] = -1;
    }
}
