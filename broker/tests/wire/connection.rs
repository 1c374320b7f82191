//! Frames, order, and what closes a connection.

use std::time::{Duration, Instant};

use headrace_protocol::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use headrace_protocol::fetch::FetchRequest;
use headrace_protocol::metadata::MetadataRequest;
use headrace_protocol::produce::ProduceRequest;
use headrace_protocol::{Decoder, ErrorCode, Message};
use headrace_storage::fs::raise_descriptor_limit;

use crate::refused::metrics;
use crate::requests::{
    FETCH, PRODUCE, batch, create_topic, fetch_request, only, only_fetched, produce_request,
    produced, read_all, records, sequenced,
};
use crate::support::{Client, Server};

/// A frame with this header and body.
fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut request = [key.to_be_bytes(), version.to_be_bytes()].concat();
    request.extend([0, 0, 0, 9, 0xff, 0xff]);
    request.extend(body);
    let length = i32::try_from(request.len()).unwrap();
    [&length.to_be_bytes()[..], &request].concat()
}

async fn software(client: &mut Client, name: &str) -> ApiVersionsResponse {
    let request = ApiVersionsRequest {
        client_software_name: name.into(),
        client_software_version: "1.0".into(),
    };
    client.call(4, &request).await
}

/// trap 1
#[tokio::test]
async fn unknown_api_versions_is_answered_in_version_0_with_error_35() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send_raw(&frame(18, 99, &[0])).await;
    let answer = client.receive_raw().await.unwrap();
    assert_eq!(
        answer[..4],
        [0, 0, 0, 9],
        "correlation id, and no tag buffer behind it"
    );
    let mut body = Decoder::new(answer.slice(4..));
    let response = ApiVersionsResponse::decode(&mut body, 0).unwrap();
    assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!((response.api_keys[0].api_key, body.left()), (18, 0));
    assert_eq!(
        software(&mut client, "kcat").await.error_code,
        ErrorCode::NONE
    );
}

/// trap 3
#[tokio::test]
async fn api_versions_lists_what_is_served_in_every_version() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for version in 0..=4 {
        let request = ApiVersionsRequest {
            client_software_name: "x".into(),
            client_software_version: "1".into(),
        };
        let response = client.call(version, &request).await;
        let range = |key: i16| {
            let found = response.api_keys.iter().find(|api| api.api_key == key);
            found.map(|api| (api.min_version, api.max_version))
        };
        assert_eq!(
            range(0),
            Some((0, 13)),
            "old librdkafka compresses only if it sees Produce 0"
        );
        assert_eq!(range(1), Some((4, 18)));
        assert_eq!(range(3), Some((0, 13)));
        assert!(
            (24..=28).all(|key| range(key).is_none()),
            "no transactions yet"
        );
        assert!([4, 5, 6, 7, 71].iter().all(|key| range(*key).is_none()));
    }
}

/// trap 5
#[tokio::test]
async fn an_invalid_software_name_is_an_invalid_request() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let refused = software(&mut client, "-bad name-").await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_REQUEST);
}

/// trap 3, trap 4, trap 8
#[tokio::test]
async fn what_is_not_a_request_closes_that_connection_only() {
    let server = Server::start().await;
    let mut bystander = server.connect().await;
    for nonsense in [
        frame(3, 99, &[]),                           // a version that does not exist
        frame(0, 2, &[]),                            // advertised, but gone (trap 3)
        frame(999, 0, &[]),                          // no such API
        frame(24, 0, &[]),                           // not served
        frame(3, 1, &[0x7f, 0xff, 0xff, 0xff]),      // a count beyond the frame
        frame(0, 3, &[0xff]),                        // cut inside a field
        (-5_i32).to_be_bytes().to_vec(),             // a negative length
        (101_i32 << 20).to_be_bytes().to_vec(),      // a frame above 100 MiB
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".into(), // another protocol
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".into(), // a TLS handshake
    ] {
        let mut client = server.connect().await;
        client.send_raw(&nonsense).await;
        assert_eq!(client.receive_raw().await, None, "{nonsense:?}");
    }
    assert_eq!(
        software(&mut bystander, "kcat").await.error_code,
        ErrorCode::NONE
    );
}

/// trap 6
#[tokio::test]
async fn answers_keep_the_order_of_the_requests_behind_a_waiting_fetch() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    let waiting = FetchRequest {
        max_wait_ms: 60_000,
        ..fetch_request("t", 0)
    };
    let fetch = client.send(FETCH, &waiting).await;
    let metadata = client.send(9, &MetadataRequest::default()).await;
    let mut other = server.connect().await;
    produced(&mut other, "t", batch(&["wakes it"])).await;
    let (first, answer) = client.receive::<FetchRequest>(FETCH).await;
    assert_eq!(records(&only_fetched(answer)), [(0, "wakes it".to_owned())]);
    let (second, _) = client.receive::<MetadataRequest>(9).await;
    assert_eq!((first, second), (fetch, metadata));
}

/// trap 6
#[tokio::test]
async fn produce_requests_overlap_and_keep_their_order() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    let mut sent = Vec::new();
    for sequence in 0..100 {
        let records = sequenced(7, 0, sequence, &[&sequence.to_string()]);
        sent.push(
            client
                .send(PRODUCE, &produce_request("t", -1, records))
                .await,
        );
    }
    for (base, expected) in (0..).zip(sent) {
        let (answered, response) = client.receive::<ProduceRequest>(PRODUCE).await;
        assert_eq!(answered, expected);
        let partition = only(response);
        assert_eq!(
            (partition.error_code, partition.base_offset),
            (ErrorCode::NONE, base)
        );
    }
}

/// trap 6
#[tokio::test]
async fn acks_0_has_no_response() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    client
        .send(PRODUCE, &produce_request("t", 0, batch(&["quiet"])))
        .await;
    let loud = client
        .send(PRODUCE, &produce_request("t", -1, batch(&["loud"])))
        .await;
    let (answered, response) = client.receive::<ProduceRequest>(PRODUCE).await;
    assert_eq!((answered, only(response).base_offset), (loud, 1));
    assert_eq!(read_all(&mut client, "t").await.len(), 2);
}

/// trap 6
#[tokio::test]
async fn a_failed_acks_0_closes_the_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client
        .send(PRODUCE, &produce_request("nowhere", 0, batch(&["x"])))
        .await;
    assert_eq!(client.receive_raw().await, None);
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_at_once() {
    let server = Server::start_with(|config| config.connections_max = 1).await;
    let mut first = server.connect().await;
    assert_eq!(
        software(&mut first, "kcat").await.error_code,
        ErrorCode::NONE
    );
    let mut second = server.connect().await;
    assert_eq!(second.receive_raw().await, None);
    assert_eq!(
        software(&mut first, "kcat").await.error_code,
        ErrorCode::NONE
    );
}

#[tokio::test]
async fn a_request_above_the_whole_budget_is_served_alone() {
    let server = Server::start_with(|config| config.request_bytes_max = 16 << 20).await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[("max.message.bytes", "20000000")]).await;
    let large = "x".repeat(17_000_000);
    for expected in 0..2 {
        assert_eq!(produced(&mut client, "t", batch(&[&large])).await, expected);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_that_waits_for_an_answer_is_not() {
    let server = Server::start_with(|config| config.connections_max_idle_ms = 200).await;
    let mut waits = server.connect().await;
    create_topic(&mut waits, "t", &[]).await;
    let long = FetchRequest {
        max_wait_ms: 1_000,
        ..fetch_request("t", 0)
    };
    let sent = waits.send(FETCH, &long).await;
    let mut idle = server.connect().await;
    let began = Instant::now();
    assert_eq!(idle.receive_raw().await, None);
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(waits.receive::<FetchRequest>(FETCH).await.0, sent);
}

#[tokio::test]
async fn a_client_that_stops_reading_holds_bounded_memory_and_nobody_up() {
    let server = Server::start_with(|config| config.request_bytes_max = 32 << 20).await;
    let mut client = server.connect().await;
    create_topic(&mut client, "large", &[("max.message.bytes", "20000000")]).await;
    create_topic(&mut client, "small", &[]).await;
    let large = "x".repeat(18_000_000);
    produced(&mut client, "large", batch(&[&large])).await;
    let mut stuck = Client::connect_narrowly(server.broker.local_addr()).await;
    for _ in 0..500 {
        stuck.send(FETCH, &fetch_request("large", 0)).await;
    }
    while held_bytes(&server) < 18_000_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // requests are heard; records would have to be read into memory, and there is no room for them
    produced(&mut client, "small", batch(&["a"])).await;
    let request = FetchRequest {
        max_wait_ms: 50,
        ..fetch_request("small", 0)
    };
    let answer = only_fetched(client.call(FETCH, &request).await);
    assert_eq!(
        (answer.error_code, answer.high_watermark),
        (ErrorCode::NONE, 1)
    );
    assert!(records(&answer).is_empty());
    assert!(held_bytes(&server) < 32 << 20);
    drop(stuck);
    while held_bytes(&server) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(read_all(&mut client, "small").await.len(), 1);
}

fn held_bytes(server: &Server) -> usize {
    let metrics = metrics(&server.broker);
    let name = "headrace_broker_memory_held_bytes ";
    let held = metrics.lines().find_map(|line| line.strip_prefix(name));
    held.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_thousand_idle_and_a_thousand_slow_connections_disturb_nobody() {
    raise_descriptor_limit();
    let server = Server::start().await;
    let mut bystander = server.connect().await;
    create_topic(&mut bystander, "t", &[]).await;
    let mut idle = Vec::new();
    let mut slow = Vec::new();
    for _ in 0..1_000 {
        idle.push(server.connect().await);
        slow.push(server.connect().await);
    }
    let bytes = frame(18, 0, &[]);
    for (count, byte) in (0..).zip(&bytes) {
        for client in &mut slow {
            client.send_raw(&[*byte]).await;
        }
        assert_eq!(produced(&mut bystander, "t", batch(&["x"])).await, count);
    }
    for client in &mut idle {
        client.send_raw(&bytes).await;
    }
    for client in slow.iter_mut().chain(&mut idle) {
        let answer = client.receive_raw().await.unwrap();
        assert_eq!(
            answer[..6],
            [0, 0, 0, 9, 0, 0],
            "its own answer, without an error"
        );
    }
}
