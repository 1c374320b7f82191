//! CreateTopics and DeleteTopics.

use headrace_protocol::ErrorCode;
use headrace_protocol::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use headrace_protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use headrace_protocol::metadata::MetadataRequest;
use headrace_protocol::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use uuid::Uuid;

use crate::requests::{
    batch, create, create_topic, fetch, produced, read_all, records, sequenced, topic,
};
use crate::support::{Client, Server};

async fn created(client: &mut Client, topic: CreatableTopic) -> ErrorCode {
    create(client, vec![topic]).await.topics[0].error_code
}

async fn delete(client: &mut Client, name: Option<&str>, topic_id: Uuid) -> ErrorCode {
    let state = DeleteTopicState {
        name: name.map(Into::into),
        topic_id,
    };
    let request = DeleteTopicsRequest {
        topics: vec![state],
        ..DeleteTopicsRequest::default()
    };
    client.call(6, &request).await.responses[0].error_code
}

/// `(epoch, end)` of the greatest epoch of partition 0 of `t` that is not above this one.
async fn end_of_epoch(client: &mut Client, leader_epoch: i32) -> (i32, i64) {
    let request = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![OffsetForLeaderPartition {
                leader_epoch,
                ..OffsetForLeaderPartition::default()
            }],
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let answer = client.call(4, &request).await;
    let found = &answer.topics[0].partitions[0];
    (found.leader_epoch, found.end_offset)
}

async fn topic_count(client: &mut Client) -> usize {
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    client.call(12, &all).await.topics.len()
}

#[tokio::test]
async fn write_caching_can_be_set_but_not_where_a_power_cut_may_lose_nothing() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let cached = |name| topic(name, 1, &[("write.caching", "true"), ("flush.ms", "500")]);
    assert_eq!(created(&mut client, cached("t")).await, ErrorCode::NONE);
    let made = create(&mut client, vec![cached("__headrace_positions")]).await;
    let refused = &made.topics[0];
    assert_eq!(refused.error_code, ErrorCode::INVALID_CONFIG);
    let message = refused.error_message.as_deref().unwrap();
    assert!(
        message.contains("write.caching") && message.contains("power cut"),
        "{message}"
    );
}

/// Trap 18, trap 60.
#[tokio::test]
async fn every_version_creates_a_topic_and_says_what_it_made() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for version in 2..=7 {
        let name = format!("t{version}");
        let topics = vec![topic(&name, 2, &[("retention.ms", "1000")])];
        let request = CreateTopicsRequest {
            topics,
            ..CreateTopicsRequest::default()
        };
        let made = &client.call(version, &request).await.topics[0];
        assert_eq!(made.error_code, ErrorCode::NONE);
        assert_eq!(made.topic_id.is_nil(), version < 7);
        if version >= 5 {
            assert_eq!((made.num_partitions, made.replication_factor), (2, 1));
            let configs = made.configs.as_ref().unwrap();
            let valid = |source: i8| source == 1 || source == 5;
            assert!(
                configs.iter().all(|config| valid(config.config_source)),
                "-1 kills Connect"
            );
            let own = configs
                .iter()
                .find(|config| config.config_source == 1)
                .unwrap();
            assert_eq!(
                (own.name.as_str(), own.value.as_deref()),
                ("retention.ms", Some("1000"))
            );
        }
    }
}

/// Trap 18.
#[tokio::test]
async fn minus_1_asks_for_the_defaults_in_every_version() {
    let server = Server::start_with(|config| config.partitions = 4).await;
    let mut client = server.connect().await;
    let request = |name| CreateTopicsRequest {
        topics: vec![CreatableTopic {
            replication_factor: -1,
            ..topic(name, -1, &[])
        }],
        ..CreateTopicsRequest::default()
    };
    // as kafkajs sends it
    let old = client.call(3, &request("old")).await.topics[0].error_code;
    assert_eq!(old, ErrorCode::NONE);
    let new = client.call(5, &request("new")).await.topics[0].num_partitions;
    assert_eq!(new, 4);
}

/// Trap 18.
#[tokio::test]
async fn what_cannot_be_made_is_refused_with_its_code() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "there", &[]).await;
    let replicas = |factor| CreatableTopic {
        replication_factor: factor,
        ..topic("t", 1, &[])
    };
    let valueless = {
        let mut topic = topic("t", 1, &[("retention.ms", "1")]);
        topic.configs[0].value = None;
        topic
    };
    for (topic, code) in [
        (topic("there", 1, &[]), ErrorCode::TOPIC_ALREADY_EXISTS),
        (
            topic("not/valid", 1, &[]),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        ),
        (
            topic("__consumer_offsets", 1, &[]),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        ),
        (topic("t", 0, &[]), ErrorCode::INVALID_PARTITIONS),
        (topic("t", -2, &[]), ErrorCode::INVALID_PARTITIONS),
        (topic("t", i32::MAX, &[]), ErrorCode::INVALID_PARTITIONS),
        (replicas(0), ErrorCode::INVALID_REPLICATION_FACTOR),
        (replicas(2), ErrorCode::INVALID_REPLICATION_FACTOR),
        (
            topic("t", 1, &[("retention.ms", "1"), ("retention.ms", "2")]),
            ErrorCode::INVALID_CONFIG,
        ),
        (
            topic("t", 1, &[("no.such.setting", "1")]),
            ErrorCode::INVALID_CONFIG,
        ),
        (
            topic("t", 1, &[("retention.ms", "soon")]),
            ErrorCode::INVALID_CONFIG,
        ),
        (
            topic("t", 1, &[("segment.bytes", "1048575")]),
            ErrorCode::INVALID_CONFIG,
        ),
        (valueless, ErrorCode::INVALID_CONFIG),
    ] {
        let described = format!("{topic:?}");
        assert_eq!(created(&mut client, topic).await, code, "{described}");
    }
    assert_eq!(topic_count(&mut client).await, 1);
}

/// Trap 18.
#[tokio::test]
async fn a_topic_that_stands_twice_in_a_request_is_invalid() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let topics = vec![topic("t", 1, &[]), topic("u", 1, &[]), topic("t", 1, &[])];
    let response = create(&mut client, topics).await;
    let codes = response
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.error_code));
    let expected = [("t", ErrorCode::INVALID_REQUEST), ("u", ErrorCode::NONE)];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}

/// What is wrong, where, and what to do.
#[tokio::test]
async fn a_refusal_says_what_is_wrong_where_and_what_to_do() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "there", &[]).await;
    let three = CreatableTopic {
        replication_factor: 3,
        ..topic("orders", 1, &[])
    };
    for (asked, words) in [
        (topic("there", 1, &[]), ["there", "already exists"]),
        (three, ["topic orders", "ask for 1"]),
        (topic("orders", 0, &[]), ["0 partitions", "1 to 10000"]),
        (topic("a/b", 1, &[]), ["topic names", "letters"]),
        (
            topic("orders", 1, &[("retention.ms", "soon")]),
            ["retention.ms", "soon"],
        ),
        (
            topic("orders", 1, &[("retention.m", "5")]),
            ["setting", "retention.m"],
        ),
    ] {
        let refused = create(&mut client, vec![asked]).await.topics.remove(0);
        let message = refused.error_message.expect("a text");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    let gone = DeleteTopicsRequest {
        topic_names: vec!["orders".into()],
        ..DeleteTopicsRequest::default()
    };
    let refused = client.call(5, &gone).await.responses.remove(0);
    assert_eq!(
        refused.error_message.as_deref(),
        Some("there is no topic orders")
    );
}

/// Trap 19.
#[tokio::test]
async fn a_topic_named_twice_in_a_deletion_stays() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    create_topic(&mut client, "u", &[]).await;
    let request = DeleteTopicsRequest {
        topic_names: vec!["t".into(), "u".into(), "t".into()],
        ..DeleteTopicsRequest::default()
    };
    let answer = client.call(5, &request).await;
    let codes = answer
        .responses
        .iter()
        .map(|topic| (topic.name.as_deref(), topic.error_code));
    let expected = [
        (Some("t"), ErrorCode::INVALID_REQUEST),
        (Some("u"), ErrorCode::NONE),
    ];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    assert_eq!(topic_count(&mut client).await, 1);
}

/// Trap 18.
#[tokio::test]
async fn validate_only_makes_nothing() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for (configs, code) in [
        (&[][..], ErrorCode::NONE),
        (&[("x", "y")][..], ErrorCode::INVALID_CONFIG),
    ] {
        let request = CreateTopicsRequest {
            topics: vec![topic("t", 1, configs)],
            validate_only: true,
            ..CreateTopicsRequest::default()
        };
        assert_eq!(client.call(7, &request).await.topics[0].error_code, code);
    }
    assert_eq!(topic_count(&mut client).await, 0);
}

/// Trap 18.
#[tokio::test]
async fn assignments_must_be_dense_and_on_this_broker() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let assigned = |name: &str, places: &[(i32, i32)]| CreatableTopic {
        replication_factor: -1,
        assignments: places
            .iter()
            .map(|(partition_index, broker)| CreatableReplicaAssignment {
                partition_index: *partition_index,
                broker_ids: vec![*broker],
            })
            .collect(),
        ..topic(name, -1, &[])
    };
    let good = create(&mut client, vec![assigned("t", &[(1, 1), (0, 1)])]).await;
    assert_eq!(good.topics[0].num_partitions, 2);
    for wrong in [assigned("u", &[(0, 2)]), assigned("u", &[(1, 1)])] {
        let code = created(&mut client, wrong).await;
        assert_eq!(code, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    }
}

/// Trap 19.
#[tokio::test]
async fn topics_are_deleted_by_name_or_id() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let one = create_topic(&mut client, "one", &[]).await;
    create_topic(&mut client, "two", &[]).await;
    assert_eq!(delete(&mut client, None, one).await, ErrorCode::NONE);
    let names = DeleteTopicsRequest {
        topic_names: vec!["two".into(), "three".into()],
        ..DeleteTopicsRequest::default()
    };
    let response = client.call(5, &names).await;
    assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
    assert_eq!(
        response.responses[1].error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    assert_eq!(
        delete(&mut client, None, one).await,
        ErrorCode::UNKNOWN_TOPIC_ID
    );
    assert_eq!(
        delete(&mut client, Some("one"), one).await,
        ErrorCode::INVALID_REQUEST
    );
    assert_eq!(
        delete(&mut client, None, Uuid::nil()).await,
        ErrorCode::INVALID_REQUEST
    );
    assert_eq!(topic_count(&mut client).await, 0);
}

/// No records, no producers, no epoch, another id: trap 16, trap 19. The offsets of groups are in `groups`.
#[tokio::test]
async fn a_topic_made_again_inherits_nothing() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let before = create_topic(&mut client, "t", &[]).await;
    let server = server.restart().await;
    let mut client = server.connect().await;
    produced(&mut client, "t", sequenced(7, 0, 0, &["old"])).await;
    assert_eq!(end_of_epoch(&mut client, 2).await, (2, 1));
    delete(&mut client, Some("t"), Uuid::nil()).await;
    let after = create_topic(&mut client, "t", &[]).await;
    assert_ne!(before, after);
    assert!(read_all(&mut client, "t").await.is_empty());
    let again = sequenced(7, 0, 0, &["new"]);
    assert_eq!(
        produced(&mut client, "t", again).await,
        0,
        "no repeat of a producer that is gone"
    );
    let data = fetch(&mut client, "t", 0).await;
    assert_eq!(records(&data), [(0, "new".to_owned())]);
    let ends = end_of_epoch(&mut client, 1).await;
    assert_eq!(
        ends,
        (1, 1),
        "the first epoch of the new topic, and nothing of the old one's"
    );
}

#[tokio::test]
async fn the_directory_of_a_deleted_topic_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let config = headrace_broker::BrokerConfig {
        listen: "127.0.0.1:0".to_owned(),
        data: dir.path().to_owned(),
        ..headrace_broker::BrokerConfig::default()
    };
    let broker = headrace_broker::Broker::start(config).await.unwrap();
    let mut client = Client::connect(broker.local_addr()).await;
    let logs = || {
        std::fs::read_dir(dir.path().join("topics"))
            .unwrap()
            .count()
    };
    create(&mut client, vec![topic("t", 3, &[])]).await;
    produced(&mut client, "t", batch(&["x"])).await;
    assert_eq!(logs(), 3);
    delete(&mut client, Some("t"), Uuid::nil()).await;
    assert_eq!(logs(), 0);
    broker.shutdown().await.unwrap();
}
