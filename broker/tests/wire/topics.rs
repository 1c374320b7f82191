//! CreateTopics and DeleteTopics.

use headrace_protocol::ErrorCode;
use headrace_protocol::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use headrace_protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use headrace_protocol::metadata::MetadataRequest;
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

#[tokio::test]
async fn minus_1_asks_for_the_defaults_from_version_4_on() {
    let server = Server::start_with(|config| config.partitions = 4).await;
    let mut client = server.connect().await;
    let defaults = CreatableTopic {
        replication_factor: -1,
        ..topic("t", -1, &[])
    };
    let request = CreateTopicsRequest {
        topics: vec![defaults],
        ..CreateTopicsRequest::default()
    };
    let old = client.call(3, &request).await.topics[0].error_code;
    assert_eq!(old, ErrorCode::INVALID_REPLICATION_FACTOR);
    assert_eq!(client.call(5, &request).await.topics[0].num_partitions, 4);
}

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

#[tokio::test]
async fn a_topic_made_again_inherits_nothing() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let before = create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", sequenced(7, 0, 0, &["old"])).await;
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
