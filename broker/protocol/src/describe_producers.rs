//! DescribeProducers (key 61): what partitions remember of their idempotent producers (KIP-664).

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api DescribeProducers [0..=0, flexible 0]: DescribeProducersRequest => DescribeProducersResponse;

    /// The partitions asked about.
    pub struct DescribeProducersRequest {
        topics: Vec<TopicRequest> [..];
    }

    /// The partitions of one topic.
    pub struct TopicRequest {
        name: Str [..];
        partition_indexes: Vec<i32> [..];
    }

    /// The producers of each partition.
    pub struct DescribeProducersResponse {
        throttle_time_ms: i32 [.., ignorable];
        topics: Vec<TopicResponse> [..];
    }

    /// The partitions of one topic.
    pub struct TopicResponse {
        name: Str [..];
        partitions: Vec<PartitionResponse> [..];
    }

    /// The producers of one partition.
    pub struct PartitionResponse {
        partition_index: i32 [..];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        active_producers: Vec<ProducerState> [..];
    }

    /// One producer.
    pub struct ProducerState {
        producer_id: i64 [..];
        producer_epoch: i32 [..];
        /// Of its last record, -1 if none is known.
        last_sequence: i32 [..] = -1;
        /// When it last wrote, -1 if that is not known.
        last_timestamp: i64 [..] = -1;
        coordinator_epoch: i32 [..];
        /// First offset of its open transaction, -1 if there is none.
        current_txn_start_offset: i64 [..] = -1;
    }
}
