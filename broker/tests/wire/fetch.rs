//! Fetch: whole batches, limits, waiting, sessions, epochs.

use std::time::{Duration, Instant};

use headrace_protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use headrace_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use headrace_protocol::{ErrorCode, Records};
use headrace_storage::record::{BatchBuilder, Compression};

use crate::requests::{
    FETCH, batch, create, create_topic, fetch, fetch_request, fetched_batches, only_fetched,
    produced, records, topic,
};
use crate::support::{Client, Server};

/// A topic with one batch of three records and one of two.
async fn five_records() -> (Server, Client) {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["a", "b", "c"])).await;
    produced(&mut client, "t", batch(&["d", "e"])).await;
    (server, client)
}

#[tokio::test]
async fn every_version_reads_the_same_records() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["a", "b"])).await;
    for version in 4..=18 {
        let mut request = fetch_request("t", 0);
        request.topics[0].topic_id = id;
        let data = only_fetched(client.call(version, &request).await);
        assert_eq!(records(&data).len(), 2, "version {version}");
        assert_eq!((data.high_watermark, data.last_stable_offset), (2, 2));
        assert_eq!(data.log_start_offset, if version >= 5 { 0 } else { -1 });
    }
}

/// trap 32
#[tokio::test]
async fn a_fetch_starts_with_the_batch_that_contains_the_offset() {
    let (_server, mut client) = five_records().await;
    let data = fetch(&mut client, "t", 1).await;
    assert_eq!(fetched_batches(&data)[0].base_offset().0, 0);
    let data = fetch(&mut client, "t", 4).await;
    assert_eq!(fetched_batches(&data)[0].base_offset().0, 3);
}

/// trap 32, trap 34
#[tokio::test]
async fn the_log_end_is_empty_and_beyond_it_is_out_of_range() {
    let (_server, mut client) = five_records().await;
    let data = fetch(&mut client, "t", 5).await;
    assert_eq!(data.error_code, ErrorCode::NONE);
    assert_eq!(
        data.records.as_ref().map(Records::len),
        Some(0),
        "empty, not null"
    );
    assert_eq!((data.high_watermark, data.log_start_offset), (5, 0));
    for outside in [6, -1] {
        let data = fetch(&mut client, "t", outside).await;
        assert_eq!(data.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
        let positions = (
            data.high_watermark,
            data.last_stable_offset,
            data.log_start_offset,
        );
        assert_eq!(positions, (-1, -1, -1));
    }
}

/// trap 32
#[tokio::test]
async fn the_first_batch_is_returned_even_above_the_limits() {
    let (_server, mut client) = five_records().await;
    let mut request = fetch_request("t", 0);
    request.max_bytes = 1;
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let data = only_fetched(client.call(FETCH, &request).await);
    assert_eq!(records(&data).len(), 3, "one whole batch and no more");
}

/// trap 32, trap 73
#[tokio::test]
async fn only_the_first_partition_with_data_may_exceed_the_limit() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create(
        &mut client,
        vec![topic("a", 1, &[]), topic("b", 1, &[]), topic("c", 1, &[])],
    )
    .await;
    produced(&mut client, "b", batch(&["x"])).await;
    produced(&mut client, "c", batch(&["x"])).await;
    let mut request = FetchRequest {
        max_bytes: 1,
        ..fetch_request("a", 0)
    };
    for name in ["b", "c"] {
        request.topics.extend(fetch_request(name, 0).topics);
    }
    let response = client.call(FETCH, &request).await;
    let sizes = response
        .responses
        .iter()
        .map(|topic| records(&topic.partitions[0]).len());
    assert_eq!(sizes.collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(
        response.responses[2].partitions[0].high_watermark, 1,
        "correct all the same"
    );
}

/// trap 33
#[tokio::test]
async fn a_fetch_waits_until_max_wait_for_min_bytes() {
    let (_server, mut client) = five_records().await;
    let began = Instant::now();
    let waiting = FetchRequest {
        max_wait_ms: 200,
        ..fetch_request("t", 5)
    };
    let data = only_fetched(client.call(FETCH, &waiting).await);
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert!(records(&data).is_empty());
    let greedy = FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1 << 20,
        ..fetch_request("t", 0)
    };
    let data = only_fetched(client.call(FETCH, &greedy).await);
    assert_eq!(records(&data).len(), 5, "what there is when the time is up");
}

/// trap 33
#[tokio::test]
async fn a_waiting_fetch_wakes_when_enough_was_appended() {
    let (server, mut client) = five_records().await;
    let one = batch(&["x"]).len();
    let waiting = FetchRequest {
        max_wait_ms: 60_000,
        min_bytes: i32::try_from(2 * one).unwrap(),
        ..fetch_request("t", 5)
    };
    client.send(FETCH, &waiting).await;
    let mut other = server.connect().await;
    produced(&mut other, "t", batch(&["x"])).await;
    produced(&mut other, "t", batch(&["y"])).await;
    let (_, response) = client.receive::<FetchRequest>(FETCH).await;
    assert_eq!(records(&only_fetched(response)).len(), 2);
}

/// trap 33
#[tokio::test]
async fn an_error_in_one_partition_ends_the_wait() {
    let (_server, mut client) = five_records().await;
    let mut request = FetchRequest {
        max_wait_ms: 60_000,
        ..fetch_request("t", 5)
    };
    request.topics.extend(fetch_request("nowhere", 0).topics);
    let response = client.call(FETCH, &request).await;
    let code = response.responses[1].partitions[0].error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

/// trap 33
#[tokio::test]
async fn deleting_the_topic_ends_the_wait() {
    let (server, mut client) = five_records().await;
    client
        .send(
            FETCH,
            &FetchRequest {
                max_wait_ms: 60_000,
                ..fetch_request("t", 5)
            },
        )
        .await;
    let by_name = DeleteTopicState {
        name: Some("t".into()),
        ..DeleteTopicState::default()
    };
    let delete = DeleteTopicsRequest {
        topics: vec![by_name],
        ..DeleteTopicsRequest::default()
    };
    server.connect().await.call(6, &delete).await;
    let (_, response) = client.receive::<FetchRequest>(FETCH).await;
    let code = only_fetched(response).error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

/// trap 36
#[tokio::test]
async fn other_leader_epochs_are_fenced() {
    let (server, mut client) = five_records().await;
    let handle = server.broker.registry().partition("t", 0).unwrap();
    let ours = handle.view().epoch().0;
    for (epoch, code) in [
        (ours, ErrorCode::NONE),
        (-1, ErrorCode::NONE),
        (ours - 1, ErrorCode::FENCED_LEADER_EPOCH),
        (ours + 1, ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        let mut request = fetch_request("t", 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let data = only_fetched(client.call(FETCH, &request).await);
        assert_eq!(data.error_code, code, "epoch {epoch}");
    }
}

/// trap 16
#[tokio::test]
async fn unknown_topic_ids_have_their_code() {
    let (_server, mut client) = five_records().await;
    let mut request = fetch_request("", 0);
    request.topics[0].topic_id = uuid::Uuid::from_u128(5);
    let data = only_fetched(client.call(13, &request).await);
    assert_eq!(data.error_code, ErrorCode::UNKNOWN_TOPIC_ID);
}

/// trap 37
#[tokio::test]
async fn read_committed_lists_aborted_transactions_and_read_uncommitted_does_not() {
    let (_server, mut client) = five_records().await;
    let committed = FetchRequest {
        isolation_level: 1,
        ..fetch_request("t", 0)
    };
    let data = only_fetched(client.call(FETCH, &committed).await);
    assert_eq!(data.aborted_transactions, Some(Vec::new()));
    assert_eq!(records(&data).len(), 5);
    assert_eq!(fetch(&mut client, "t", 0).await.aborted_transactions, None);
}

/// trap 26
#[tokio::test]
async fn zstd_needs_fetch_10() {
    let (_server, mut client) = five_records().await;
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.push(5, Some(b"k"), Some(b"v"), &[]);
    produced(&mut client, "t", builder.build().to_bytes()).await;
    let request = fetch_request("t", 0);
    let refused = only_fetched(client.call(9, &request).await);
    assert_eq!(refused.error_code, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    assert_eq!(
        records(&only_fetched(client.call(10, &request).await)).len(),
        6
    );
}

#[tokio::test]
async fn a_request_without_partitions_is_answered_at_once() {
    let (_server, mut client) = five_records().await;
    let nothing = FetchRequest {
        max_wait_ms: 60_000,
        topics: Vec::new(),
        ..fetch_request("t", 0)
    };
    assert!(client.call(FETCH, &nothing).await.responses.is_empty());
}

#[tokio::test]
async fn a_partition_that_does_not_exist_is_unknown() {
    let (_server, mut client) = five_records().await;
    for partition in [1, -1, i32::MAX] {
        let mut request = fetch_request("t", 0);
        request.topics = vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                partition,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }];
        let data = only_fetched(client.call(FETCH, &request).await);
        let found = (data.error_code, data.partition_index);
        assert_eq!(found, (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, partition));
    }
}

/// trap 73
#[tokio::test]
async fn an_answer_has_55_mib_at_most_and_partitions_are_served_in_the_order_asked() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let names = ["a", "b", "c"];
    create(&mut client, names.map(|name| topic(name, 1, &[])).into()).await;
    let value = "x".repeat(1_000_000);
    for name in names {
        for _ in 0..30 {
            produced(&mut client, name, batch(&[&value])).await;
        }
    }
    for order in [["a", "b", "c"], ["c", "a", "b"]] {
        let mut request = FetchRequest {
            max_bytes: i32::MAX,
            topics: Vec::new(),
            ..fetch_request("", 0)
        };
        for name in order {
            let mut asked = fetch_request(name, 0).topics;
            asked[0].partitions[0].partition_max_bytes = i32::MAX;
            request.topics.extend(asked);
        }
        let response = client.call(FETCH, &request).await;
        let counts = response.responses.iter().map(|topic| {
            let batches = fetched_batches(&topic.partitions[0]);
            (topic.topic.as_str(), batches.len())
        });
        // 55 MiB hold 57 of them
        let expected = [(order[0], 30), (order[1], 27), (order[2], 0)];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
    }
}
