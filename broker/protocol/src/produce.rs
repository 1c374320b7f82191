//! Produce (key 0): appends record batches to partitions. A request with `acks` 0 has no response.
//!
//! Versions 0 to 2 are advertised but not served, see `ApiKey::advertised`.

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::records::Records;
use crate::text::Str;

messages! {
    api Produce [3..=13, flexible 9]: ProduceRequest => ProduceResponse;

    /// Batches for partitions of several topics.
    pub struct ProduceRequest {
        transactional_id: Option<Str> [..];
        /// 0 none, 1 the leader, -1 all replicas in sync.
        acks: i16 [..] = -1;
        timeout_ms: i32 [..];
        topic_data: Vec<TopicProduceData> [..];
    }

    /// The batches for one topic, by name or (version 13) by id.
    pub struct TopicProduceData {
        name: Str [..=12, ignorable];
        topic_id: Uuid [13.., ignorable];
        partition_data: Vec<PartitionProduceData> [..];
    }

    /// The batch for one partition.
    pub struct PartitionProduceData {
        index: i32 [..];
        records: Option<Records> [..] = Some(Records::default());
    }

    /// What became of each partition's batch.
    pub struct ProduceResponse {
        responses: Vec<TopicProduceResponse> [..];
        throttle_time_ms: i32 [..];
        /// Of the leaders named in the partitions (KIP-951).
        node_endpoints: Vec<NodeEndpoint> [10.., tagged 0];
    }

    /// The results for one topic.
    pub struct TopicProduceResponse {
        name: Str [..=12, ignorable];
        topic_id: Uuid [13.., ignorable];
        partition_responses: Vec<PartitionProduceResponse> [..];
    }

    /// The result for one partition.
    pub struct PartitionProduceResponse {
        index: i32 [..];
        error_code: ErrorCode [..];
        /// Offset of the first record; -1 with an error.
        base_offset: i64 [..] = -1;
        /// -1 unless the topic's timestamps are of log append time.
        log_append_time_ms: i64 [..] = -1;
        log_start_offset: i64 [5.., ignorable] = -1;
        record_errors: Vec<BatchIndexAndErrorMessage> [8.., ignorable];
        error_message: Option<Str> [8.., ignorable];
        current_leader: LeaderIdAndEpoch [10.., tagged 0];
    }

    /// A record that made its batch be refused.
    pub struct BatchIndexAndErrorMessage {
        batch_index: i32 [8..];
        batch_index_error_message: Option<Str> [8..];
    }

    /// The leader to send to instead; -1 if unknown.
    pub struct LeaderIdAndEpoch {
        leader_id: i32 [10..] = -1;
        leader_epoch: i32 [10..] = -1;
    }

    /// How to dial a leader.
    pub struct NodeEndpoint {
        node_id: i32 [10..];
        host: Str [10..];
        port: i32 [10..];
        rack: Option<Str> [10..];
    }
}
