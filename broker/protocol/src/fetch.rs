//! Fetch (key 1): record batches from partitions, as they lie in the log.
//!
//! Sessions (versions 7 and up, KIP-227) let a request name only what changed; topics go by name up to version 12 and
//! by id from version 13 on.

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::records::Records;
use crate::text::Str;

messages! {
    api Fetch [4..=18, flexible 12]: FetchRequest => FetchResponse;

    /// Positions to read from, and how long to wait for how much.
    pub struct FetchRequest {
        cluster_id: Option<Str> [12.., tagged 0, ignorable];
        /// -1 for a consumer.
        replica_id: i32 [..=14] = -1;
        replica_state: ReplicaState [15.., tagged 1];
        max_wait_ms: i32 [..];
        min_bytes: i32 [..];
        max_bytes: i32 [..] = i32::MAX;
        /// 0 read uncommitted, 1 read committed.
        isolation_level: i8 [..];
        session_id: i32 [7.., ignorable];
        session_epoch: i32 [7.., ignorable] = -1;
        topics: Vec<FetchTopic> [..];
        forgotten_topics_data: Vec<ForgottenTopic> [7..];
        rack_id: Str [11.., ignorable];
    }

    /// The follower that asks.
    pub struct ReplicaState {
        replica_id: i32 [15..] = -1;
        replica_epoch: i64 [15..] = -1;
    }

    /// The partitions of one topic.
    pub struct FetchTopic {
        topic: Str [..=12, ignorable];
        topic_id: Uuid [13.., ignorable];
        partitions: Vec<FetchPartition> [..];
    }

    /// A position in one partition.
    pub struct FetchPartition {
        partition: i32 [..];
        /// -1 to leave the fencing out (KIP-320).
        current_leader_epoch: i32 [9.., ignorable] = -1;
        fetch_offset: i64 [..];
        last_fetched_epoch: i32 [12..] = -1;
        log_start_offset: i64 [5.., ignorable] = -1;
        partition_max_bytes: i32 [..];
        replica_directory_id: Uuid [17.., tagged 0, ignorable];
        /// -1 if the follower does not know it, the largest number if it does not send it.
        high_watermark: i64 [18.., tagged 1, ignorable] = i64::MAX;
    }

    /// Partitions to remove from the session.
    pub struct ForgottenTopic {
        topic: Str [7..=12, ignorable];
        topic_id: Uuid [13.., ignorable];
        partitions: Vec<i32> [7..];
    }

    /// Batches by topic and partition.
    pub struct FetchResponse {
        throttle_time_ms: i32 [..];
        error_code: ErrorCode [7.., ignorable];
        /// 0 if the answer belongs to no session.
        session_id: i32 [7..];
        responses: Vec<FetchableTopicResponse> [..];
        /// Of the leaders named in the partitions (KIP-951).
        node_endpoints: Vec<NodeEndpoint> [16.., tagged 0];
    }

    /// The partitions of one topic.
    pub struct FetchableTopicResponse {
        topic: Str [..=12, ignorable];
        topic_id: Uuid [13.., ignorable];
        partitions: Vec<PartitionData> [..];
    }

    /// Offsets and batches of one partition.
    pub struct PartitionData {
        partition_index: i32 [..];
        error_code: ErrorCode [..];
        /// The three offsets are -1 with an error.
        high_watermark: i64 [..] = -1;
        last_stable_offset: i64 [..] = -1;
        log_start_offset: i64 [5.., ignorable] = -1;
        diverging_epoch: EpochEndOffset [12.., tagged 0];
        current_leader: LeaderIdAndEpoch [12.., tagged 1];
        snapshot_id: SnapshotId [12.., tagged 2];
        /// In the order of their first offsets; null unless the request reads committed.
        aborted_transactions: Option<Vec<AbortedTransaction>> [..];
        preferred_read_replica: i32 [11..] = -1;
        /// Whole batches. Nothing to read is an empty set, not null, for librdkafka's sake.
        records: Option<Records> [..] = Some(Records::default());
    }

    /// Where the log of a follower parts from the leader's.
    pub struct EpochEndOffset {
        epoch: i32 [12..] = -1;
        end_offset: i64 [12..] = -1;
    }

    /// The leader to fetch from instead; -1 if unknown.
    pub struct LeaderIdAndEpoch {
        leader_id: i32 [12..] = -1;
        leader_epoch: i32 [12..] = -1;
    }

    /// The snapshot that a follower below the log start begins with.
    pub struct SnapshotId {
        end_offset: i64 [..] = -1;
        epoch: i32 [..] = -1;
    }

    /// A producer whose records from this offset on were aborted.
    pub struct AbortedTransaction {
        producer_id: i64 [..];
        first_offset: i64 [..];
    }

    /// How to dial a leader.
    pub struct NodeEndpoint {
        node_id: i32 [16..];
        host: Str [16..];
        port: i32 [16..];
        rack: Option<Str> [16..];
    }
}
