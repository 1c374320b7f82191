//! DeleteRecords (key 21): moves the start of logs up (KIP-107).

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// Offset that stands for the high watermark.
pub const HIGH_WATERMARK: i64 = -1;

messages! {
    api DeleteRecords [0..=2, flexible 2]: DeleteRecordsRequest => DeleteRecordsResponse;

    /// The partitions to shorten.
    pub struct DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic> [..];
        timeout_ms: i32 [..];
    }

    /// The partitions of one topic.
    pub struct DeleteRecordsTopic {
        name: Str [..];
        partitions: Vec<DeleteRecordsPartition> [..];
    }

    /// What to delete of one partition.
    pub struct DeleteRecordsPartition {
        partition_index: i32 [..];
        /// Records below go; -1 for the high watermark.
        offset: i64 [..];
    }

    /// Where the logs begin now.
    pub struct DeleteRecordsResponse {
        throttle_time_ms: i32 [..];
        topics: Vec<DeleteRecordsTopicResult> [..];
    }

    /// The partitions of one topic.
    pub struct DeleteRecordsTopicResult {
        name: Str [..];
        partitions: Vec<DeleteRecordsPartitionResult> [..];
    }

    /// Where one log begins.
    pub struct DeleteRecordsPartitionResult {
        partition_index: i32 [..];
        /// The log start on the replica where it is least; -1 with an error.
        low_watermark: i64 [..] = -1;
        error_code: ErrorCode [..];
    }
}
