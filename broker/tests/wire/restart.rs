//! What survives a stop, and what survives a power cut.

use headrace_broker::{Broker, BrokerConfig, StartError};
use headrace_protocol::ErrorCode;
use headrace_protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, RESOURCE_TOPIC,
};
use headrace_protocol::metadata::MetadataRequest;

use crate::requests::{
    PRODUCE, batch, create, create_topic, only, produce, produce_request, produced, read_all,
    sequenced, topic,
};
use crate::support::{Client, Server};

async fn metadata(client: &mut Client) -> Vec<(String, uuid::Uuid, usize, i32)> {
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let response = client.call(12, &all).await;
    let facts = response.topics.into_iter().map(|topic| {
        let epoch = topic.partitions[0].leader_epoch;
        (
            topic.name.unwrap().into(),
            topic.topic_id,
            topic.partitions.len(),
            epoch,
        )
    });
    facts.collect()
}

#[tokio::test]
async fn topics_ids_settings_and_records_survive_a_restart() {
    let server = Server::start().await;
    let cluster_id = server.broker.cluster_id();
    let mut client = server.connect().await;
    create(
        &mut client,
        vec![topic("a", 3, &[]), topic("b", 1, &[("retention.ms", "9")])],
    )
    .await;
    produced(&mut client, "a", batch(&["x", "y"])).await;
    let before = metadata(&mut client).await;
    let server = server.restart().await;
    let mut client = server.connect().await;
    assert_eq!(server.broker.cluster_id(), cluster_id);
    let after = metadata(&mut client).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&before.0, before.1, before.2),
            (&after.0, after.1, after.2)
        );
        assert!(after.3 > before.3, "each start leads in a new epoch");
    }
    assert_eq!(read_all(&mut client, "a").await.len(), 2);
    assert_eq!(produced(&mut client, "a", batch(&["z"])).await, 2);
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: RESOURCE_TOPIC,
            resource_name: "b".into(),
            configuration_keys: Some(vec!["retention.ms".into()]),
        }],
        ..DescribeConfigsRequest::default()
    };
    let described = client.call(4, &request).await;
    assert_eq!(described.results[0].configs[0].value.as_deref(), Some("9"));
}

/// trap 30
#[tokio::test]
async fn a_repeat_after_a_restart_gets_the_original_offset() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for sequence in 0..7 {
        produced(&mut client, "t", sequenced(7, 0, sequence, &["x"])).await;
    }
    for clean in [true, false, true] {
        server = if clean {
            server.restart().await
        } else {
            server.crash().await
        };
        let mut client = server.connect().await;
        for sequence in 2..7 {
            let repeat = sequenced(7, 0, sequence, &["x"]);
            assert_eq!(
                produced(&mut client, "t", repeat).await,
                i64::from(sequence)
            );
        }
        let gap = produce(&mut client, "t", sequenced(7, 0, 8, &["x"])).await;
        assert_eq!(gap.error_code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    let mut client = server.connect().await;
    assert_eq!(
        produced(&mut client, "t", sequenced(7, 0, 7, &["next"])).await,
        7
    );
}

#[tokio::test]
async fn the_death_of_the_process_loses_nothing_under_write_caching() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    let settings = [("write.caching", "true"), ("flush.ms", "3600000")];
    create_topic(&mut client, "t", &settings).await;
    let mut sent = 0;
    for _ in 0..3 {
        for sequence in sent..sent + 8 {
            let batch = sequenced(7, 0, sequence, &["x"]);
            let offset = produced(&mut client, "t", batch).await;
            assert_eq!(offset, i64::from(sequence));
        }
        sent += 8;
        assert_eq!(
            read_all(&mut client, "t").await.len(),
            usize::try_from(sent).unwrap()
        );
        server = server.kill().await;
        client = server.connect().await;
        assert_eq!(
            read_all(&mut client, "t").await.len(),
            usize::try_from(sent).unwrap()
        );
    }
    let repeat = sequenced(7, 0, sent - 1, &["x"]);
    let original = produced(&mut client, "t", repeat).await;
    assert_eq!(original, i64::from(sent - 1), "its producer is known too");
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    let mut expected = Vec::new();
    for round in 0..5 {
        for number in 0..20 {
            let value = format!("{round}-{number}");
            let offset = produced(&mut client, "t", batch(&[&value])).await;
            expected.push((offset, value));
        }
        // on their way when the power goes: each is there or not, but whole and in order
        for number in 0..10 {
            let value = format!("late-{round}-{number}");
            client
                .send(PRODUCE, &produce_request("t", -1, batch(&[&value])))
                .await;
        }
        server = server.crash().await;
        client = server.connect().await;
        let found = read_all(&mut client, "t").await;
        let (kept, late) = found.split_at(expected.len());
        assert_eq!(kept, expected);
        for (number, (_, value)) in late.iter().enumerate() {
            assert_eq!(*value, format!("late-{round}-{number}"));
        }
        expected = found;
    }
}

#[tokio::test]
async fn a_deleted_topic_stays_deleted_after_a_power_cut() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    let id = server.broker.registry().topic("t").unwrap().id;
    server.broker.registry().delete(id).await.unwrap();
    let server = server.crash().await;
    assert!(metadata(&mut server.connect().await).await.is_empty());
}

/// trap 30
#[tokio::test]
async fn producers_state_survives_many_segments() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let small = [
        ("segment.bytes", "1048576"),
        ("max.message.bytes", "1048576"),
    ];
    create_topic(&mut client, "t", &small).await;
    let value = "x".repeat(300_000);
    for sequence in 0..12 {
        produced(&mut client, "t", sequenced(7, 0, sequence, &[&value])).await;
    }
    let server = server.crash().await;
    let mut client = server.connect().await;
    assert_eq!(
        produced(&mut client, "t", sequenced(7, 0, 11, &[&value])).await,
        11
    );
    assert_eq!(
        produced(&mut client, "t", sequenced(7, 0, 12, &["y"])).await,
        12
    );
}

/// trap 28
#[tokio::test]
async fn acks_1_is_kept_by_a_clean_stop() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for expected in 0..10 {
        let answer = client
            .call(PRODUCE, &produce_request("t", 1, batch(&["x"])))
            .await;
        assert_eq!(only(answer).base_offset, expected);
    }
    let server = server.restart().await;
    assert_eq!(read_all(&mut server.connect().await, "t").await.len(), 10);
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_broker() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        listen: "127.0.0.1:0".to_owned(),
        data: dir.path().to_owned(),
        ..BrokerConfig::default()
    };
    let first = Broker::start(config.clone()).await.unwrap();
    let refused = Broker::start(config.clone()).await.unwrap_err();
    assert!(matches!(refused, StartError::DataDir(_)), "{refused}");
    first.shutdown().await.unwrap();
    let second = Broker::start(config).await.unwrap();
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_ends_the_start() {
    let first = Server::start().await;
    let config = BrokerConfig {
        listen: first.broker.local_addr().to_string(),
        data: tempfile::tempdir().unwrap().path().to_owned(),
        ..BrokerConfig::default()
    };
    let refused = Broker::start(config).await.unwrap_err();
    assert!(matches!(refused, StartError::Bind { .. }), "{refused}");
}

#[tokio::test]
async fn logs_without_a_catalogue_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        listen: "127.0.0.1:0".to_owned(),
        data: dir.path().to_owned(),
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config.clone()).await.unwrap();
    let mut client = Client::connect(broker.local_addr()).await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["x"])).await;
    broker.shutdown().await.unwrap();
    std::fs::remove_file(dir.path().join("catalogue")).unwrap();
    let refused = Broker::start(config).await.unwrap_err();
    assert!(matches!(refused, StartError::Load(_)), "{refused}");
    assert_eq!(
        std::fs::read_dir(dir.path().join("topics"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn a_log_that_no_topic_names_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        listen: "127.0.0.1:0".to_owned(),
        data: dir.path().to_owned(),
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config.clone()).await.unwrap();
    create_topic(&mut Client::connect(broker.local_addr()).await, "t", &[]).await;
    broker.shutdown().await.unwrap();
    // what a crash in the middle of making a topic leaves
    let orphan = dir
        .path()
        .join("topics")
        .join(format!("{}-0", uuid::Uuid::from_u128(5)));
    std::fs::create_dir(&orphan).unwrap();
    let broker = Broker::start(config).await.unwrap();
    assert!(!orphan.exists());
    let mut client = Client::connect(broker.local_addr()).await;
    assert_eq!(produced(&mut client, "t", batch(&["x"])).await, 0);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_crash_while_the_first_topic_is_made_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        listen: "127.0.0.1:0".to_owned(),
        data: dir.path().to_owned(),
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config.clone()).await.unwrap();
    create_topic(&mut Client::connect(broker.local_addr()).await, "t", &[]).await;
    broker.shutdown().await.unwrap();
    std::fs::remove_file(dir.path().join("catalogue")).unwrap();
    let broker = Broker::start(config).await.unwrap();
    let logs = std::fs::read_dir(dir.path().join("topics")).unwrap();
    assert_eq!(logs.count(), 0);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_old_catalogue_does_not_remove_records_and_a_deletion_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        listen: "127.0.0.1:0".to_owned(),
        data: dir.path().to_owned(),
        ..BrokerConfig::default()
    };
    let (catalogue, topics) = (dir.path().join("catalogue"), dir.path().join("topics"));
    let broker = Broker::start(config.clone()).await.unwrap();
    let mut client = Client::connect(broker.local_addr()).await;
    create_topic(&mut client, "old", &[]).await;
    let before = std::fs::read(&catalogue).unwrap();
    for name in ["new", "gone"] {
        create_topic(&mut client, name, &[]).await;
        produced(&mut client, name, batch(&["x"])).await;
    }
    let with_all = std::fs::read(&catalogue).unwrap();
    let log = |name: &str| {
        let id = broker.registry().topic(name).unwrap().id;
        topics.join(format!("{id}-0"))
    };
    let (kept, marked) = (log("new"), log("gone"));
    broker.shutdown().await.unwrap();
    // as a crash leaves it after the catalogue was written without the topic
    std::fs::write(marked.join("deleted"), "").unwrap();
    std::fs::write(&catalogue, before).unwrap();
    let broker = Broker::start(config.clone()).await.unwrap();
    assert!(kept.exists() && !marked.exists());
    broker.shutdown().await.unwrap();
    // as a crash leaves it before the catalogue was written
    std::fs::write(kept.join("deleted"), "").unwrap();
    std::fs::write(&catalogue, with_all).unwrap();
    let broker = Broker::start(config).await.unwrap();
    let mut client = Client::connect(broker.local_addr()).await;
    assert_eq!(read_all(&mut client, "new").await.len(), 1);
    assert!(!kept.join("deleted").exists());
    broker.shutdown().await.unwrap();
}
