//! OffsetCommit (key 8): stores how far a group has read; topics by name up to version 9, by id in version 10.

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api OffsetCommit [2..=10, flexible 8]: OffsetCommitRequest => OffsetCommitResponse;

    /// Offsets of one group.
    pub struct OffsetCommitRequest {
        group_id: Str [..];
        /// -1 with an empty member id: no member, a consumer that assigns its partitions itself.
        generation_id_or_member_epoch: i32 [..] = -1;
        member_id: Str [..];
        /// Set by a static member.
        group_instance_id: Option<Str> [7..];
        retention_time_ms: i64 [..=4, ignorable] = -1;
        topics: Vec<OffsetCommitRequestTopic> [..];
    }

    /// The partitions of one topic.
    pub struct OffsetCommitRequestTopic {
        name: Str [..=9, ignorable];
        topic_id: Uuid [10.., ignorable];
        partitions: Vec<OffsetCommitRequestPartition> [..];
    }

    /// The offset of one partition.
    pub struct OffsetCommitRequestPartition {
        partition_index: i32 [..];
        /// Offset of the next record to read.
        committed_offset: i64 [..];
        committed_leader_epoch: i32 [6.., ignorable] = -1;
        committed_metadata: Option<Str> [..] = Some(Str::default());
    }

    /// What became of each offset.
    pub struct OffsetCommitResponse {
        throttle_time_ms: i32 [3.., ignorable];
        topics: Vec<OffsetCommitResponseTopic> [..];
    }

    /// The partitions of one topic.
    pub struct OffsetCommitResponseTopic {
        name: Str [..=9, ignorable];
        topic_id: Uuid [10.., ignorable];
        partitions: Vec<OffsetCommitResponsePartition> [..];
    }

    /// The result for one partition.
    pub struct OffsetCommitResponsePartition {
        partition_index: i32 [..];
        error_code: ErrorCode [..];
    }
}
