//! ListOffsets: ends, times, versions.

use headrace_protocol::ErrorCode;
use headrace_protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use headrace_storage::record::{BatchBuilder, Compression};

use crate::requests::{create_topic, produced};
use crate::support::{Client, Server};

fn request(topic: &str, timestamp: i64, epoch: i32) -> ListOffsetsRequest {
    ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: topic.into(),
            partitions: vec![ListOffsetsPartition {
                timestamp,
                current_leader_epoch: epoch,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    }
}

async fn list(client: &mut Client, version: i16, timestamp: i64) -> ListOffsetsPartitionResponse {
    let response = client.call(version, &request("t", timestamp, -1)).await;
    response.topics[0].partitions[0].clone()
}

/// `(error, offset, timestamp)` of the newest version.
async fn found(client: &mut Client, timestamp: i64) -> (ErrorCode, i64, i64) {
    let answer = list(client, 11, timestamp).await;
    (answer.error_code, answer.offset, answer.timestamp)
}

/// Records at the times 10, 20, 20, 15 in one compressed batch, then 30 and 5.
async fn timed() -> (Server, Client) {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for (codec, times) in [
        (Compression::Lz4, &[10, 20, 20, 15][..]),
        (Compression::None, &[30, 5]),
    ] {
        let mut builder = BatchBuilder::new(codec);
        for time in times {
            builder.push(*time, None, Some(b"v"), &[]);
        }
        produced(&mut client, "t", builder.build().to_bytes()).await;
    }
    (server, client)
}

/// trap 39
#[tokio::test]
async fn the_ends_have_no_timestamp() {
    let (_server, mut client) = timed().await;
    for version in 1..=11 {
        let latest = list(&mut client, version, -1).await;
        assert_eq!((latest.offset, latest.timestamp), (6, -1));
        let earliest = list(&mut client, version, -2).await;
        assert_eq!((earliest.offset, earliest.timestamp), (0, -1));
        assert_eq!(earliest.leader_epoch > 0, version >= 4);
    }
    assert_eq!(found(&mut client, -4).await, (ErrorCode::NONE, 0, -1));
    assert_eq!(found(&mut client, -5).await, (ErrorCode::NONE, -1, -1));
    assert_eq!(found(&mut client, -6).await, (ErrorCode::NONE, -1, -1));
}

/// trap 39, trap 75
#[tokio::test]
async fn a_time_finds_the_first_record_at_or_after_it() {
    let (_server, mut client) = timed().await;
    for (time, offset, timestamp) in [
        (0, 0, 10),
        (10, 0, 10),
        (11, 1, 20),
        (20, 1, 20),
        (21, 4, 30),
    ] {
        assert_eq!(
            found(&mut client, time).await,
            (ErrorCode::NONE, offset, timestamp)
        );
    }
    assert_eq!(
        found(&mut client, 31).await,
        (ErrorCode::NONE, -1, -1),
        "none, and no error"
    );
}

/// trap 39, trap 75
#[tokio::test]
async fn the_greatest_timestamp_is_found() {
    let (_server, mut client) = timed().await;
    assert_eq!(found(&mut client, -3).await, (ErrorCode::NONE, 4, 30));
}

/// trap 39
#[tokio::test]
async fn an_empty_partition_begins_and_ends_at_0() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    assert_eq!(found(&mut client, -1).await, (ErrorCode::NONE, 0, -1));
    assert_eq!(found(&mut client, -2).await, (ErrorCode::NONE, 0, -1));
    assert_eq!(found(&mut client, -3).await, (ErrorCode::NONE, -1, -1));
    assert_eq!(found(&mut client, 5).await, (ErrorCode::NONE, -1, -1));
}

/// Trap 39.
#[tokio::test]
async fn questions_that_a_version_lacks_are_unsupported() {
    let (_server, mut client) = timed().await;
    for (version, timestamp) in [(6, -3), (7, -4), (8, -5), (10, -6), (11, -7)] {
        let code = list(&mut client, version, timestamp).await.error_code;
        assert_eq!(code, ErrorCode::UNSUPPORTED_VERSION);
    }
}

/// Trap 36, trap 39.
#[tokio::test]
async fn unknown_topics_and_other_epochs_have_their_codes() {
    let (_server, mut client) = timed().await;
    for (topic, epoch, code) in [
        ("nowhere", -1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("t", 0, ErrorCode::FENCED_LEADER_EPOCH),
        ("t", 99, ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        let response = client.call(10, &request(topic, -1, epoch)).await;
        assert_eq!(response.topics[0].partitions[0].error_code, code);
    }
}
