//! Fetch sessions over the wire (KIP-227); their rules are tested beside them, in `fetch_session`.

use headrace_protocol::ErrorCode;
use headrace_protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use headrace_protocol::fetch::{FetchRequest, FetchResponse, ForgottenTopic};

use crate::requests::{
    FETCH, batch, create, create_topic, fetch_request, only_fetched, produced, records, topic,
};
use crate::support::{Client, Server};

/// A server with empty topics of one partition each.
async fn topics(names: &[&str]) -> (Server, Client) {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let topics = names.iter().map(|name| topic(name, 1, &[])).collect();
    create(&mut client, topics).await;
    (server, client)
}

/// A full request for partition 0 of topics, which wants a session.
fn full(names: &[&str]) -> FetchRequest {
    let topics = names.iter().flat_map(|name| fetch_request(name, 0).topics);
    FetchRequest {
        session_epoch: 0,
        topics: topics.collect(),
        ..fetch_request("", 0)
    }
}

/// A request that changes nothing.
fn incremental(session_id: i32, session_epoch: i32) -> FetchRequest {
    FetchRequest {
        session_id,
        session_epoch,
        topics: Vec::new(),
        ..fetch_request("", 0)
    }
}

fn named(response: &FetchResponse) -> Vec<&str> {
    let names = response.responses.iter().map(|topic| topic.topic.as_str());
    names.collect()
}

async fn open(client: &mut Client, names: &[&str]) -> i32 {
    let response = client.call(FETCH, &full(names)).await;
    assert_eq!(response.error_code, ErrorCode::NONE);
    assert_eq!(named(&response), names, "a full answer names them all");
    assert!(response.session_id > 0);
    response.session_id
}

/// trap 35
#[tokio::test]
async fn a_session_answers_with_what_changed_in_every_version() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client, "a", &[]).await;
    let other = create_topic(&mut client, "b", &[]).await;
    for version in 7..=18 {
        let mut request = full(&["a", "b"]);
        request.topics[0].topic_id = id;
        request.topics[1].topic_id = other;
        for topic in &mut request.topics {
            topic.partitions[0].fetch_offset = i64::from(version) - 7;
        }
        let response = client.call(version, &request).await;
        let session = response.session_id;
        assert_eq!((session > 0, response.responses.len()), (true, 2));
        let response = client.call(version, &incremental(session, 1)).await;
        assert_eq!(
            (response.session_id, response.responses.len()),
            (session, 0)
        );
        for name in ["a", "b"] {
            produced(&mut client, name, batch(&["x"])).await;
        }
        // the second one is no longer wanted
        let mut request = incremental(session, 2);
        request.forgotten_topics_data = vec![ForgottenTopic {
            topic: if version <= 12 { "b" } else { "" }.into(),
            topic_id: other,
            partitions: vec![0],
        }];
        let data = only_fetched(client.call(version, &request).await);
        assert_eq!(records(&data).len(), 1);
        client.call(version, &incremental(session, -1)).await;
    }
}

/// trap 35
#[tokio::test]
async fn an_incremental_fetch_waits_for_partitions_it_does_not_name() {
    let (server, mut client) = topics(&["a", "b"]).await;
    let session = open(&mut client, &["a", "b"]).await;
    let waiting = FetchRequest {
        max_wait_ms: 60_000,
        ..incremental(session, 1)
    };
    client.send(FETCH, &waiting).await;
    produced(&mut server.connect().await, "b", batch(&["wakes it"])).await;
    let (_, response) = client.receive::<FetchRequest>(FETCH).await;
    assert_eq!(
        (response.session_id, named(&response)),
        (session, vec!["b"])
    );
    assert_eq!(records(&only_fetched(response)).len(), 1);
}

/// trap 35
#[tokio::test]
async fn sessions_that_are_not_known_or_used_wrongly_have_their_codes() {
    let (_server, mut client) = topics(&["a"]).await;
    let session = open(&mut client, &["a"]).await;
    for (version, request, code) in [
        (
            FETCH,
            incremental(session, 3),
            ErrorCode::INVALID_FETCH_SESSION_EPOCH,
        ),
        (
            FETCH,
            incremental(0, 1),
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        ),
        (
            FETCH,
            incremental(session ^ 1, 1),
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        ),
        (
            13,
            incremental(session, 1),
            ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
        ),
        (FETCH, incremental(session, 1), ErrorCode::NONE),
    ] {
        let response = client.call(version, &request).await;
        assert_eq!(response.error_code, code);
        let expected = if code == ErrorCode::NONE { session } else { 0 };
        assert_eq!(
            (response.session_id, response.responses.len()),
            (expected, 0)
        );
    }
}

/// trap 35
#[tokio::test]
async fn epoch_minus_1_goes_without_a_session_and_ends_one() {
    let (_server, mut client) = topics(&["a"]).await;
    let session = open(&mut client, &["a"]).await;
    let request = FetchRequest {
        session_id: session,
        session_epoch: -1,
        ..full(&["a"])
    };
    let response = client.call(FETCH, &request).await;
    assert_eq!((response.session_id, named(&response)), (0, vec!["a"]));
    let response = client.call(FETCH, &incremental(session, 1)).await;
    assert_eq!(response.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

/// trap 35
#[tokio::test]
async fn a_full_cache_answers_with_session_id_0_and_all_the_same() {
    let server = Server::start_with(|config| config.fetch_sessions_max = 1).await;
    let mut client = server.connect().await;
    create_topic(&mut client, "a", &[]).await;
    let session = open(&mut client, &["a"]).await;
    for _ in 0..3 {
        let response = client.call(FETCH, &full(&["a"])).await;
        assert_eq!((response.session_id, named(&response)), (0, vec!["a"]));
    }
    let response = client.call(FETCH, &incremental(session, 1)).await;
    assert_eq!(response.error_code, ErrorCode::NONE);
}

/// trap 16
#[tokio::test]
async fn a_session_tells_of_a_topic_id_that_went_and_of_a_name_that_is_anothers() {
    let (_server, mut client) = topics(&[]).await;
    let id = create_topic(&mut client, "a", &[]).await;
    let mut request = full(&[""]);
    request.topics[0].topic_id = id;
    let session = client.call(13, &request).await.session_id;
    let by_name = DeleteTopicState {
        name: Some("a".into()),
        ..DeleteTopicState::default()
    };
    let delete = DeleteTopicsRequest {
        topics: vec![by_name],
        ..DeleteTopicsRequest::default()
    };
    client.call(6, &delete).await;
    let gone = only_fetched(client.call(13, &incremental(session, 1)).await);
    assert_eq!(gone.error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    assert_ne!(create_topic(&mut client, "a", &[]).await, id);
    let anothers = only_fetched(client.call(13, &incremental(session, 2)).await);
    assert_eq!(anothers.error_code, ErrorCode::INCONSISTENT_TOPIC_ID);
}
