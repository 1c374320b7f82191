//! Produce: what is taken, what is refused, and with which code.

use bytes::Bytes;
use headrace_protocol::ErrorCode;
use headrace_protocol::init_producer_id::InitProducerIdRequest;
use headrace_protocol::metadata::MetadataRequest;
use headrace_protocol::produce::ProduceRequest;
use headrace_storage::fs::Fault;
use headrace_storage::record::{BatchBuilder, Compression};

use crate::requests::{
    FETCH, PRODUCE, batch, create_topic, fetch, fetch_request, fetched_batches, only, produce,
    produce_request, produced, read_all, sequenced,
};
use crate::support::{Client, Server};

async fn one_topic(configs: &[(&str, &str)]) -> (Server, Client) {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", configs).await;
    (server, client)
}

#[tokio::test]
async fn offsets_are_dense_from_zero_in_every_version() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client, "t", &[]).await;
    let mut expected = 0;
    for version in 3..=13 {
        let mut request = produce_request("t", -1, batch(&["a", "b"]));
        request.topic_data[0].topic_id = id;
        let answer = only(client.call(version, &request).await);
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (ErrorCode::NONE, expected)
        );
        assert_eq!(answer.log_append_time_ms, -1);
        expected += 2;
    }
    assert_eq!(read_all(&mut client, "t").await.len(), 22);
}

/// trap 12
#[tokio::test]
async fn unknown_and_invalid_topics_have_their_codes() {
    let (_server, mut client) = one_topic(&[]).await;
    let code = |name: &str, version| {
        let request = produce_request(name, 1, batch(&["x"]));
        (request, version)
    };
    for ((request, version), expected) in [
        (code("nowhere", 12), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (code("not/valid", 12), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (code("", 13), ErrorCode::UNKNOWN_TOPIC_ID),
    ] {
        let answer = only(client.call(version, &request).await);
        assert_eq!(answer.error_code, expected);
    }
    let mut request = produce_request("t", 1, batch(&["x"]));
    request.topic_data[0].partition_data[0].index = 1;
    let answer = only(client.call(PRODUCE, &request).await);
    assert_eq!(answer.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

/// trap 28
#[tokio::test]
async fn acks_other_than_minus_1_0_and_1_are_refused() {
    let (_server, mut client) = one_topic(&[]).await;
    for acks in [2, -2, i16::MAX] {
        let answer: ProduceRequest = produce_request("t", acks, batch(&["x"]));
        let answer = only(client.call(PRODUCE, &answer).await);
        assert_eq!(answer.error_code, ErrorCode::INVALID_REQUIRED_ACKS);
    }
    assert!(read_all(&mut client, "t").await.is_empty());
}

/// trap 22
#[tokio::test]
async fn malformed_batches_get_their_code_and_leave_nothing_behind() {
    let (_server, mut client) = one_topic(&[]).await;
    let good = batch(&["x"]);
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let twice = Bytes::from([&good[..], &good[..]].concat());
    for (bytes, code) in [
        (Bytes::new(), ErrorCode::INVALID_RECORD),
        (Bytes::from_static(b"nonsense"), ErrorCode::CORRUPT_MESSAGE),
        (damaged.into(), ErrorCode::CORRUPT_MESSAGE),
        (good.slice(..good.len() - 1), ErrorCode::CORRUPT_MESSAGE),
        (twice, ErrorCode::INVALID_RECORD),
    ] {
        assert_eq!(produce(&mut client, "t", bytes).await.error_code, code);
    }
    assert!(read_all(&mut client, "t").await.is_empty());
    assert_eq!(produced(&mut client, "t", good).await, 0);
}

/// trap 26
#[tokio::test]
async fn every_codec_comes_back_as_it_was_sent() {
    let (_server, mut client) = one_topic(&[]).await;
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let mut from = 0;
    for codec in codecs {
        let mut builder = BatchBuilder::new(codec);
        builder.push(
            5,
            Some(b"k"),
            Some(b"v"),
            &[(b"h", None), (b"h", Some(b"2"))],
        );
        builder.push(4, None, None, &[]);
        let sent = builder.build();
        assert_eq!(produced(&mut client, "t", sent.to_bytes()).await, from);
        let found = fetched_batches(&fetch(&mut client, "t", from).await);
        assert_eq!(
            found[0].to_bytes()[61..],
            sent.to_bytes()[61..],
            "the records' bytes"
        );
        assert_eq!(found[0].header().max_timestamp, 5);
        from += 2;
    }
}

/// trap 26
#[tokio::test]
async fn zstd_needs_produce_7() {
    let (_server, mut client) = one_topic(&[]).await;
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.push(5, None, Some(b"v"), &[]);
    let request = produce_request("t", -1, builder.build().to_bytes());
    let refused = only(client.call(6, &request).await);
    assert_eq!(refused.error_code, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    assert_eq!(
        only(client.call(7, &request).await).error_code,
        ErrorCode::NONE
    );
}

/// trap 26
#[tokio::test]
async fn another_compression_type_recompresses() {
    let (_server, mut client) = one_topic(&[("compression.type", "lz4")]).await;
    let sent = batch(&["some value", "some value", "some value"]);
    assert_eq!(produced(&mut client, "t", sent).await, 0);
    let found = fetched_batches(&fetch(&mut client, "t", 0).await);
    assert_eq!(found[0].compression(), Compression::Lz4);
    assert_eq!(read_all(&mut client, "t").await.len(), 3);
}

/// trap 25
#[tokio::test]
async fn log_append_time_is_the_brokers_and_is_returned() {
    let (_server, mut client) = one_topic(&[("message.timestamp.type", "LogAppendTime")]).await;
    let answer = produce(&mut client, "t", batch(&["x"])).await;
    assert!(answer.log_append_time_ms > 1_600_000_000_000);
    let found = fetched_batches(&fetch(&mut client, "t", 0).await);
    assert!(found[0].header().is_log_append_time());
    let records = found[0].records(1 << 20).unwrap();
    assert_eq!(records[0].timestamp, answer.log_append_time_ms);
}

/// trap 27
#[tokio::test]
async fn a_compacted_topic_names_each_record_without_a_key() {
    let (_server, mut client) = one_topic(&[("cleanup.policy", "compact")]).await;
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(5, Some(b"k"), Some(b"v"), &[]);
    builder.push(5, None, Some(b"v"), &[]);
    let records = builder.build().to_bytes();
    let refused = produce(&mut client, "t", records.clone()).await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_RECORD);
    assert_eq!(refused.record_errors.len(), 1);
    assert_eq!(refused.record_errors[0].batch_index, 1);
    let old = only(client.call(7, &produce_request("t", -1, records)).await);
    assert_eq!(old.error_code, ErrorCode::INVALID_RECORD);
}

/// trap 24
#[tokio::test]
async fn batches_above_max_message_bytes_are_too_large() {
    let (_server, mut client) = one_topic(&[("max.message.bytes", "200")]).await;
    let refused = produce(&mut client, "t", batch(&[&"x".repeat(200)])).await;
    assert_eq!(refused.error_code, ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(produced(&mut client, "t", batch(&["x"])).await, 0);
}

/// trap 29
#[tokio::test]
async fn a_repeat_gets_the_original_offset_and_is_not_appended() {
    let (_server, mut client) = one_topic(&[]).await;
    let first = sequenced(7, 0, 0, &["a", "b"]);
    assert_eq!(produced(&mut client, "t", first.clone()).await, 0);
    assert_eq!(
        produced(&mut client, "t", sequenced(7, 0, 2, &["c"])).await,
        2
    );
    assert_eq!(produced(&mut client, "t", first).await, 0);
    assert_eq!(read_all(&mut client, "t").await.len(), 3);
}

/// trap 29
#[tokio::test]
async fn gaps_and_old_epochs_of_a_producer_are_refused() {
    let (_server, mut client) = one_topic(&[]).await;
    assert_eq!(
        produced(&mut client, "t", sequenced(7, 1, 0, &["a"])).await,
        0
    );
    for (epoch, sequence, code) in [
        (1, 2, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
        (2, 1, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
        (0, 1, ErrorCode::INVALID_PRODUCER_EPOCH),
    ] {
        let refused = produce(&mut client, "t", sequenced(7, epoch, sequence, &["x"])).await;
        assert_eq!(refused.error_code, code);
    }
    assert_eq!(
        produced(&mut client, "t", sequenced(7, 2, 0, &["b"])).await,
        1
    );
}

/// trap 28
#[tokio::test]
async fn a_failed_write_answers_56_for_good_and_reads_go_on() {
    let (server, mut client) = one_topic(&[]).await;
    assert_eq!(produced(&mut client, "t", batch(&["kept"])).await, 0);
    let kind = std::io::ErrorKind::StorageFull;
    server.disk().fail(Fault {
        at_call: 0,
        kind,
        lasting: true,
    });
    for healed in [false, true] {
        let refused = produce(&mut client, "t", batch(&["lost"])).await;
        assert_eq!(refused.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
        if !healed {
            server.disk().heal();
        }
    }
    assert_eq!(read_all(&mut client, "t").await.len(), 1);
}

/// trap 66
#[tokio::test]
async fn every_producer_gets_an_id_of_its_own() {
    let (server, mut client) = one_topic(&[]).await;
    let request = InitProducerIdRequest::default();
    let mut ids = std::collections::BTreeSet::new();
    for version in (0..=5).cycle().take(1_500) {
        let response = client.call(version, &request).await;
        assert_eq!(
            (response.error_code, response.producer_epoch),
            (ErrorCode::NONE, 0)
        );
        assert!(ids.insert(response.producer_id), "given twice");
    }
    let server = server.crash().await;
    let after = server.connect().await.call(5, &request).await;
    assert!(
        !ids.contains(&after.producer_id),
        "given again after a crash"
    );
}

#[tokio::test]
async fn a_transactional_id_is_an_invalid_request() {
    let (_server, mut client) = one_topic(&[]).await;
    let request = InitProducerIdRequest {
        transactional_id: Some("tx".into()),
        ..InitProducerIdRequest::default()
    };
    let refused = client.call(5, &request).await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_REQUEST);
    assert_eq!((refused.producer_id, refused.producer_epoch), (-1, -1));
}

/// trap 28
#[tokio::test]
async fn a_timeout_of_zero_does_not_bound_acks_1() {
    let (_server, mut client) = one_topic(&[]).await;
    let mut request = produce_request("t", 1, batch(&["x"]));
    request.timeout_ms = 0;
    let answer = only(client.call(PRODUCE, &request).await);
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (ErrorCode::NONE, 0)
    );
    request.acks = -1;
    let answer = only(client.call(PRODUCE, &request).await);
    let late = ErrorCode::REQUEST_TIMED_OUT;
    assert!(
        answer.error_code == late || answer.base_offset == 1,
        "{answer:?}"
    );
}

#[tokio::test]
async fn bombs_are_refused_before_they_are_inflated() {
    let (_server, mut client) = one_topic(&[("cleanup.policy", "compact")]).await;
    let zeros = vec![0; 20 << 20];
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut builder = BatchBuilder::new(codec);
        builder.push(5, Some(b"k"), Some(&zeros), &[]);
        let bomb = builder.build().to_bytes();
        assert!(bomb.len() < zeros.len() / 10, "{codec:?}");
        let refused = produce(&mut client, "t", bomb).await;
        assert_eq!(
            refused.error_code,
            ErrorCode::MESSAGE_TOO_LARGE,
            "{codec:?}"
        );
    }
    assert!(read_all(&mut client, "t").await.is_empty());
}

/// trap 9
#[tokio::test]
async fn nothing_is_throttled_and_answers_say_so() {
    let (_server, mut client) = one_topic(&[]).await;
    let request = produce_request("t", -1, batch(&["x"]));
    assert_eq!(client.call(PRODUCE, &request).await.throttle_time_ms, 0);
    let request = fetch_request("t", 0);
    assert_eq!(client.call(FETCH, &request).await.throttle_time_ms, 0);
    let request = MetadataRequest::default();
    assert_eq!(client.call(12, &request).await.throttle_time_ms, 0);
}

/// trap 22, trap 23
#[tokio::test]
async fn base_offset_and_leader_epoch_of_a_stored_batch_are_the_brokers() {
    let (server, mut client) = one_topic(&[]).await;
    produced(&mut client, "t", batch(&["first"])).await;
    let mut sent = batch(&["second"]).to_vec();
    sent[12..16].copy_from_slice(&777_i32.to_be_bytes());
    produced(&mut client, "t", sent.clone().into()).await;
    let found = fetched_batches(&fetch(&mut client, "t", 1).await);
    let ours = server.broker.registry().partition("t", 0).unwrap();
    let header = found[0].header();
    assert_eq!(
        (header.base_offset.0, header.epoch),
        (1, ours.view().epoch())
    );
    assert_eq!(
        found[0].to_bytes()[16..],
        sent[16..],
        "the CRC covers neither"
    );
}

/// trap 75
#[tokio::test]
async fn records_without_a_timestamp_are_taken() {
    let (_server, mut client) = one_topic(&[]).await;
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(-1, None, Some(b"v"), &[]);
    produced(&mut client, "t", builder.build().to_bytes()).await;
    let found = fetched_batches(&fetch(&mut client, "t", 0).await);
    assert_eq!(found[0].header().max_timestamp, -1);
}
