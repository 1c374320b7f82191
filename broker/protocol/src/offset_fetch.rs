//! OffsetFetch (key 9): how far a group has read; from version 8 several groups, in version 10 topics by id.
//!
//! A group or partition without a committed offset is no error: offset -1, epoch -1, empty metadata, which are the
//! defaults here. Null topics ask for all, an empty list for none.

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::find_coordinator::GROUPS_AT_ONCE_MAX;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api OffsetFetch [1..=10, flexible 6]: OffsetFetchRequest => OffsetFetchResponse;

    /// Partitions of one group (up to version 7) or of several.
    pub struct OffsetFetchRequest {
        group_id: Str [..=7];
        topics: Option<Vec<OffsetFetchRequestTopic>> [..=7, nullable 2..=7] = Some(Vec::new());
        groups: Vec<OffsetFetchRequestGroup> [8.., at_most GROUPS_AT_ONCE_MAX];
        /// Refuse an offset that an open transaction may still change.
        require_stable: bool [7..];
    }

    /// The partitions of one topic, up to version 7.
    pub struct OffsetFetchRequestTopic {
        name: Str [..=7];
        partition_indexes: Vec<i32> [..=7];
    }

    /// The partitions of one group.
    pub struct OffsetFetchRequestGroup {
        group_id: Str [8..];
        member_id: Option<Str> [9.., ignorable];
        member_epoch: i32 [9.., ignorable] = -1;
        topics: Option<Vec<OffsetFetchRequestTopics>> [8..];
    }

    /// The partitions of one topic.
    pub struct OffsetFetchRequestTopics {
        name: Str [8..=9, ignorable];
        topic_id: Uuid [10.., ignorable];
        partition_indexes: Vec<i32> [8..];
    }

    /// The offsets of one group (up to version 7) or of several.
    pub struct OffsetFetchResponse {
        throttle_time_ms: i32 [3.., ignorable];
        topics: Vec<OffsetFetchResponseTopic> [..=7];
        error_code: ErrorCode [2..=7, ignorable];
        groups: Vec<OffsetFetchResponseGroup> [8..];
    }

    /// The offsets of one topic, up to version 7.
    pub struct OffsetFetchResponseTopic {
        name: Str [..=7];
        partitions: Vec<OffsetFetchResponsePartition> [..=7];
    }

    /// The offset of one partition, up to version 7.
    pub struct OffsetFetchResponsePartition {
        partition_index: i32 [..=7];
        /// -1 if none is committed.
        committed_offset: i64 [..=7] = -1;
        committed_leader_epoch: i32 [5..=7, ignorable] = -1;
        metadata: Option<Str> [..=7] = Some(Str::default());
        error_code: ErrorCode [..=7];
    }

    /// The offsets of one group.
    pub struct OffsetFetchResponseGroup {
        group_id: Str [8..];
        topics: Vec<OffsetFetchResponseTopics> [8..];
        error_code: ErrorCode [8..];
    }

    /// The offsets of one topic.
    pub struct OffsetFetchResponseTopics {
        name: Str [8..=9, ignorable];
        topic_id: Uuid [10.., ignorable];
        partitions: Vec<OffsetFetchResponsePartitions> [8..];
    }

    /// The offset of one partition.
    pub struct OffsetFetchResponsePartitions {
        partition_index: i32 [8..];
        /// -1 if none is committed.
        committed_offset: i64 [8..] = -1;
        committed_leader_epoch: i32 [8.., ignorable] = -1;
        metadata: Option<Str> [8..] = Some(Str::default());
        error_code: ErrorCode [8..];
    }
}
