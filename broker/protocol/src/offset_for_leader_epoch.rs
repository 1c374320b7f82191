//! OffsetForLeaderEpoch (key 23): where a leader's epoch ended, for clients that ask whether the log they read was cut
//! behind them (KIP-101, KIP-320).

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api OffsetForLeaderEpoch [2..=4, flexible 4]: OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse;

    /// The partitions and epochs asked about.
    pub struct OffsetForLeaderEpochRequest {
        /// -1 for a consumer; -2 from a broker too old to say.
        replica_id: i32 [3.., ignorable] = -2;
        topics: Vec<OffsetForLeaderTopic> [..];
    }

    /// The partitions of one topic.
    pub struct OffsetForLeaderTopic {
        topic: Str [..];
        partitions: Vec<OffsetForLeaderPartition> [..];
    }

    /// An epoch of one partition.
    pub struct OffsetForLeaderPartition {
        partition: i32 [..];
        /// The epoch that the client knows its leader by, -1 to leave the fencing out.
        current_leader_epoch: i32 [..] = -1;
        /// The epoch whose end is asked for.
        leader_epoch: i32 [..];
    }

    /// Where the epochs end.
    pub struct OffsetForLeaderEpochResponse {
        throttle_time_ms: i32 [.., ignorable];
        topics: Vec<OffsetForLeaderTopicResult> [..];
    }

    /// The partitions of one topic.
    pub struct OffsetForLeaderTopicResult {
        topic: Str [..];
        partitions: Vec<EpochEndOffset> [..];
    }

    /// Where an epoch of one partition ends.
    pub struct EpochEndOffset {
        error_code: ErrorCode [..];
        partition: i32 [..];
        /// The greatest epoch not above the one asked for; -1 if there is none.
        leader_epoch: i32 [.., ignorable] = -1;
        /// One past its last record; -1 if there is none.
        end_offset: i64 [..] = -1;
    }
}
