//! Messages of admin clients: bytes that Kafka 4.3.1's own classes write, for what the oracle lacks and for the cursor,
//! which can be null.

use headrace_protocol::DecodeError;
use headrace_protocol::Str;
use headrace_protocol::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest,
    DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use headrace_protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, TopicRequest,
};
use headrace_protocol::list_offsets::{
    EARLIEST_PENDING_UPLOAD, ListOffsetsPartition, ListOffsetsPartitionResponse,
    ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};

use super::{decode, golden, hex};

fn topic() -> Str {
    Str::from_static("t")
}

#[test]
fn the_newest_log_dirs_are_as_kafka_writes_them() {
    let request = DescribeLogDirsRequest {
        topics: Some(vec![DescribableLogDirTopic {
            topic: topic(),
            partitions: vec![1],
        }]),
    };
    golden(&request, 5, "02 02 74 02 00000001 00 00");
    let partition = DescribeLogDirsPartition {
        partition_index: 1,
        partition_size: 9,
        offset_lag: 2,
        is_future_key: false,
    };
    let response = DescribeLogDirsResponse {
        throttle_time_ms: 3,
        results: vec![DescribeLogDirsResult {
            log_dir: Str::from_static("/d"),
            topics: vec![DescribeLogDirsTopic {
                name: topic(),
                partitions: vec![partition],
            }],
            total_bytes: 7,
            usable_bytes: 5,
            is_cordoned: true,
            ..DescribeLogDirsResult::default()
        }],
        ..DescribeLogDirsResponse::default()
    };
    golden(
        &response,
        5,
        "00000003 0000 02 0000 03 2f64 02 02 74 02 00000001 0000000000000009 0000000000000002 00 00 00
         0000000000000007 0000000000000005 01 00 00",
    );
}

#[test]
fn the_newest_offsets_are_as_kafka_writes_them() {
    let request = ListOffsetsRequest {
        isolation_level: 1,
        topics: vec![ListOffsetsTopic {
            name: topic(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 1,
                current_leader_epoch: 2,
                timestamp: EARLIEST_PENDING_UPLOAD,
            }],
        }],
        timeout_ms: 250,
        ..ListOffsetsRequest::default()
    };
    golden(
        &request,
        11,
        "ffffffff 01 02 02 74 02 00000001 00000002 fffffffffffffffa 00 00 000000fa 00",
    );
    let response = ListOffsetsResponse {
        throttle_time_ms: 3,
        topics: vec![ListOffsetsTopicResponse {
            name: topic(),
            partitions: vec![ListOffsetsPartitionResponse {
                partition_index: 1,
                offset: 9,
                leader_epoch: 4,
                ..ListOffsetsPartitionResponse::default()
            }],
        }],
    };
    golden(
        &response,
        11,
        "00000003 02 02 74 02 00000001 0000 ffffffffffffffff 0000000000000009 00000004 00 00 00",
    );
}

#[test]
fn a_cursor_can_be_null() {
    let cursor = Cursor {
        topic_name: topic(),
        partition_index: 3,
    };
    let request = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest { name: topic() }],
        cursor: Some(cursor.clone()),
        ..DescribeTopicPartitionsRequest::default()
    };
    golden(&request, 0, "02 02 74 00 000007d0 01 02 74 00000003 00 00");
    let first_page = DescribeTopicPartitionsRequest::default();
    golden(&first_page, 0, "01 000007d0 ff 00");
    let response = DescribeTopicPartitionsResponse {
        throttle_time_ms: 1,
        next_cursor: Some(cursor),
        ..DescribeTopicPartitionsResponse::default()
    };
    golden(&response, 0, "00000001 01 01 02 74 00000003 00 00");
    let cut = decode::<DescribeTopicPartitionsRequest>(&hex("01 000007d0 01 02"), 0);
    assert!(matches!(cut, Err(DecodeError::Short { .. })), "{cut:?}");
}

#[test]
fn lists_that_a_client_must_not_get_as_null_are_empty() {
    let partition = DescribeTopicPartitionsResponsePartition::default();
    assert_eq!(partition.eligible_leader_replicas, Some(Vec::new()));
    assert_eq!(partition.last_known_elr, Some(Vec::new()));
}
