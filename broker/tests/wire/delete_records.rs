//! DeleteRecords: logs begin later.

use std::time::Duration;

use headrace_protocol::ErrorCode;
use headrace_protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use headrace_protocol::find_coordinator::FindCoordinatorRequest;
use headrace_protocol::list_offsets::{
    EARLIEST, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use headrace_storage::fs::Fault;

use crate::requests::{batch, create, create_topic, fetch, produced, records, sequenced, topic};
use crate::support::{Client, Server};

fn request(name: &str, partition_index: i32, offset: i64) -> DeleteRecordsRequest {
    DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: name.into(),
            partitions: vec![DeleteRecordsPartition {
                partition_index,
                offset,
            }],
        }],
        timeout_ms: 10_000,
    }
}

/// `(error, low watermark)` of the newest version.
async fn delete(client: &mut Client, name: &str, offset: i64) -> (ErrorCode, i64) {
    let answer = client.call(2, &request(name, 0, offset)).await;
    let result = &answer.topics[0].partitions[0];
    (result.error_code, result.low_watermark)
}

async fn earliest(client: &mut Client, name: &str) -> i64 {
    let request = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: name.into(),
            partitions: vec![ListOffsetsPartition {
                timestamp: EARLIEST,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    client.call(10, &request).await.topics[0].partitions[0].offset
}

async fn with_records(values: &[&str]) -> (Server, Client) {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for value in values {
        produced(&mut client, "t", batch(&[value])).await;
    }
    (server, client)
}

/// Trap 47.
#[tokio::test]
async fn deleted_records_are_gone_for_every_reader_when_it_is_answered() {
    let (_server, mut client) = with_records(&["a", "b", "c", "d"]).await;
    for version in 0..=2 {
        let below = i64::from(version) + 1;
        let answer = client.call(version, &request("t", 0, below)).await;
        let result = &answer.topics[0].partitions[0];
        assert_eq!(
            (result.error_code, result.low_watermark),
            (ErrorCode::NONE, below)
        );
        assert_eq!(earliest(&mut client, "t").await, below);
        let gone = fetch(&mut client, "t", below - 1).await;
        assert_eq!(gone.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
        let rest = fetch(&mut client, "t", below).await;
        assert_eq!(
            (rest.error_code, rest.log_start_offset),
            (ErrorCode::NONE, below)
        );
        assert_eq!(records(&rest)[0].0, below);
    }
}

/// Trap 47.
#[tokio::test]
async fn minus_1_deletes_all_there_is_and_producing_goes_on() {
    let (_server, mut client) = with_records(&["a", "b"]).await;
    assert_eq!(delete(&mut client, "t", -1).await, (ErrorCode::NONE, 2));
    assert_eq!(earliest(&mut client, "t").await, 2);
    assert_eq!(produced(&mut client, "t", batch(&["c"])).await, 2);
    assert_eq!(
        records(&fetch(&mut client, "t", 2).await),
        [(2, "c".to_owned())]
    );
    let (_server, mut client) = with_records(&[]).await;
    assert_eq!(
        delete(&mut client, "t", -1).await,
        (ErrorCode::NONE, 0),
        "an empty log"
    );
}

/// Trap 47.
#[tokio::test]
async fn offsets_past_the_high_watermark_are_out_of_range() {
    let (_server, mut client) = with_records(&["a", "b"]).await;
    for offset in [3, i64::MAX, -2, i64::MIN] {
        let refused = delete(&mut client, "t", offset).await;
        assert_eq!(refused, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    }
    assert_eq!(earliest(&mut client, "t").await, 0);
}

#[tokio::test]
async fn a_log_start_never_goes_back() {
    let (_server, mut client) = with_records(&["a", "b", "c"]).await;
    assert_eq!(delete(&mut client, "t", 2).await, (ErrorCode::NONE, 2));
    for offset in [1, 0, 2] {
        assert_eq!(delete(&mut client, "t", offset).await, (ErrorCode::NONE, 2));
    }
    // both are there before the shard looks at either
    let both: Vec<_> = [3, 1].map(|offset| request("t", 0, offset)).into();
    let partitions = both
        .into_iter()
        .flat_map(|mut asked| asked.topics.remove(0).partitions);
    let both = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "t".into(),
            partitions: partitions.collect(),
        }],
        timeout_ms: 10_000,
    };
    let answer = client.call(2, &both).await;
    assert!(
        answer.topics[0]
            .partitions
            .iter()
            .all(|result| result.error_code.is_ok())
    );
    assert_eq!(earliest(&mut client, "t").await, 3);
}

/// Durable before it is answered: trap 47.
#[tokio::test]
async fn a_log_start_that_was_answered_survives_a_crash() {
    let (server, mut client) = with_records(&["a", "b", "c"]).await;
    assert_eq!(delete(&mut client, "t", 2).await, (ErrorCode::NONE, 2));
    let server = server.crash().await;
    let mut client = server.connect().await;
    assert_eq!(earliest(&mut client, "t").await, 2);
    assert_eq!(
        records(&fetch(&mut client, "t", 2).await),
        [(2, "c".to_owned())]
    );
    assert_eq!(delete(&mut client, "t", -1).await, (ErrorCode::NONE, 3));
    let server = server.kill().await;
    let mut client = server.connect().await;
    assert_eq!(earliest(&mut client, "t").await, 3);
    assert_eq!(produced(&mut client, "t", batch(&["d"])).await, 3);
}

#[tokio::test]
async fn only_topics_with_a_policy_of_deletion_lose_records() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let compacted = topic("compacted", 1, &[("cleanup.policy", "compact")]);
    let both = topic("both", 1, &[("cleanup.policy", "compact,delete")]);
    create(&mut client, vec![compacted, both]).await;
    let offsets = FindCoordinatorRequest {
        key: "group".into(),
        ..FindCoordinatorRequest::default()
    };
    client.call(3, &offsets).await;
    for (name, code) in [
        ("compacted", ErrorCode::POLICY_VIOLATION),
        ("both", ErrorCode::NONE),
        ("__consumer_offsets", ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("nowhere", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        assert_eq!(delete(&mut client, name, 0).await.0, code, "{name}");
    }
    let answer = client.call(2, &request("both", 7, 0)).await;
    let code = answer.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn the_files_of_deleted_records_go_with_the_upkeep() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let settings = [
        ("segment.bytes", "1048576"),
        ("retention.ms", "-1"),
        ("file.delete.delay.ms", "0"),
    ];
    create_topic(&mut client, "t", &settings).await;
    let large = "x".repeat(600_000);
    for _ in 0..4 {
        produced(&mut client, "t", batch(&[&large])).await;
    }
    let size_bytes = || {
        let handle = server.broker.registry().partition("t", 0).unwrap();
        handle.view().size_bytes()
    };
    let before_bytes = size_bytes();
    assert_eq!(delete(&mut client, "t", 3).await, (ErrorCode::NONE, 3));
    for _ in 0..3 {
        server.broker.registry().upkeep_now().await;
        server.clock.advance(1_000);
    }
    assert!(
        size_bytes() < before_bytes / 2,
        "{} of {before_bytes}",
        size_bytes()
    );
    assert_eq!(records(&fetch(&mut client, "t", 3).await)[0].0, 3);
}

/// Nobody waits for a log that takes no more writes.
#[tokio::test]
async fn a_log_that_is_closed_to_writes_keeps_its_start() {
    let (server, mut client) = with_records(&["a", "b"]).await;
    server.disk().fail(Fault {
        at_call: 0,
        kind: std::io::ErrorKind::Other,
        lasting: true,
    });
    let asked = tokio::time::timeout(Duration::from_secs(5), async {
        let first = delete(&mut client, "t", 1).await;
        (first, delete(&mut client, "t", 1).await)
    });
    let refused = (ErrorCode::KAFKA_STORAGE_ERROR, -1);
    assert_eq!(asked.await.expect("an answer"), (refused, refused));
    server.disk().heal();
    assert_eq!(earliest(&mut client, "t").await, 0);
}

/// What is known of producers is not in the records that went.
#[tokio::test]
async fn a_producer_goes_on_after_its_records_were_deleted() {
    let (server, mut client) = with_records(&[]).await;
    produced(&mut client, "t", sequenced(7, 0, 0, &["a", "b"])).await;
    assert_eq!(delete(&mut client, "t", -1).await, (ErrorCode::NONE, 2));
    let repeated = produced(&mut client, "t", sequenced(7, 0, 0, &["a", "b"])).await;
    assert_eq!(repeated, 0, "a repeat gets its first answer");
    let server = server.restart().await;
    let mut client = server.connect().await;
    assert_eq!(
        produced(&mut client, "t", sequenced(7, 0, 2, &["c"])).await,
        2
    );
}
