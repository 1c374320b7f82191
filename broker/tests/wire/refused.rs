//! A partition whose log cannot be opened takes no other along.

use std::fs;
use std::path::{Path, PathBuf};

use headrace_broker::{Broker, BrokerConfig, StartError};
use headrace_protocol::ErrorCode;
use headrace_protocol::elect_leaders::ElectLeadersRequest;
use headrace_protocol::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use headrace_protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::requests::{batch, create_topic, fetch, produce, produced, read_all};
use crate::support::Client;

fn config(data: &Path) -> BrokerConfig {
    BrokerConfig {
        listen: "127.0.0.1:0".to_owned(),
        data: data.to_owned(),
        ..BrokerConfig::default()
    }
}

/// Two topics with a record each; gives the directories of their logs.
async fn two_topics(data: &Path) -> [PathBuf; 2] {
    let broker = Broker::start(config(data)).await.unwrap();
    let mut client = Client::connect(broker.local_addr()).await;
    let mut dirs = Vec::new();
    for name in ["bad", "good"] {
        let id = create_topic(&mut client, name, &[]).await;
        produced(&mut client, name, batch(&[name])).await;
        dirs.push(data.join("topics").join(format!("{id}-0")));
    }
    broker.shutdown().await.unwrap();
    // as after a crash: every byte is read
    fs::remove_file(data.join("checkpoint")).unwrap();
    dirs.try_into().unwrap()
}

fn flip_last_byte(log: &Path) -> PathBuf {
    let mut files = fs::read_dir(log).unwrap().map(|file| file.unwrap().path());
    let segment = files.find(|path| path.extension().is_some_and(|is| is == "log"));
    let segment = segment.unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&segment, bytes).unwrap();
    segment
}

async fn latest(client: &mut Client, topic: &str) -> ErrorCode {
    let partition = ListOffsetsPartition {
        timestamp: -1,
        ..ListOffsetsPartition::default()
    };
    let request = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: topic.into(),
            partitions: vec![partition],
        }],
        ..ListOffsetsRequest::default()
    };
    client.call(7, &request).await.topics[0].partitions[0].error_code
}

pub(crate) fn metrics(broker: &Broker) -> String {
    let mut registry = Registry::default();
    broker.register_metrics(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

/// Everything about the bad topic is refused, and nothing about the good one.
/// No replica can lead a partition that is not served: trap 68.
async fn check_elections(client: &mut Client) {
    for (election_type, code) in [
        (0, ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE),
        (1, ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE),
    ] {
        let everything = ElectLeadersRequest {
            election_type,
            topic_partitions: None,
            ..ElectLeadersRequest::default()
        };
        let elected = client.call(2, &everything).await.replica_election_results;
        let [of_bad] = &elected[..] else {
            panic!("{elected:?}");
        };
        assert_eq!(&*of_bad.topic, "bad");
        assert_eq!(of_bad.partition_result[0].error_code, code);
    }
}

async fn only_good_is_served(broker: &Broker, reason: &str) {
    let mut client = Client::connect(broker.local_addr()).await;
    let asked = MetadataRequestTopic {
        name: Some("bad".into()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![asked]),
        ..MetadataRequest::default()
    };
    let told = client.call(12, &request).await;
    let partition = &told.topics[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::LEADER_NOT_AVAILABLE);
    assert_eq!(partition.leader_id, -1);
    assert_eq!(partition.offline_replicas, [1]);
    let storage = ErrorCode::KAFKA_STORAGE_ERROR;
    let refused = produce(&mut client, "bad", batch(&["x"])).await;
    assert_eq!(refused.error_code, storage);
    assert_eq!(fetch(&mut client, "bad", 0).await.error_code, storage);
    assert_eq!(latest(&mut client, "bad").await, storage);
    assert_eq!(latest(&mut client, "good").await, ErrorCode::NONE);
    check_elections(&mut client).await;
    assert_eq!(read_all(&mut client, "good").await[0].1, "good");
    let metrics = metrics(broker);
    assert!(
        metrics.contains("headrace_broker_partitions_refused 1\n"),
        "{metrics}"
    );
    let troubles = broker.troubles()();
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    let head = "partition 0 of topic bad is not served: ";
    assert!(troubles[0].starts_with(head), "{troubles:?}");
    assert!(troubles[0].contains(reason), "{troubles:?}");
}

#[tokio::test]
async fn damaged_log_is_refused_alone_left_as_it_is_and_served_once_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let [bad, _] = two_topics(dir.path()).await;
    let segment = flip_last_byte(&bad);
    let damaged = fs::read(&segment).unwrap();
    for _ in 0..2 {
        let broker = Broker::start(config(dir.path())).await.unwrap();
        only_good_is_served(&broker, segment.to_str().unwrap()).await;
        broker.shutdown().await.unwrap();
        assert_eq!(fs::read(&segment).unwrap(), damaged);
    }
    flip_last_byte(&bad);
    let broker = Broker::start(config(dir.path())).await.unwrap();
    let mut client = Client::connect(broker.local_addr()).await;
    assert_eq!(read_all(&mut client, "bad").await[0].1, "bad");
    assert_eq!(produced(&mut client, "bad", batch(&["x"])).await, 1);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn missing_directory_is_not_made_anew_and_its_topic_can_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let [bad, _] = two_topics(dir.path()).await;
    fs::remove_dir_all(&bad).unwrap();
    let broker = Broker::start(config(dir.path())).await.unwrap();
    only_good_is_served(&broker, "is missing").await;
    assert!(!bad.exists());
    let id = broker.registry().topic("bad").unwrap().id;
    broker.registry().delete(id).await.unwrap();
    assert_eq!(broker.troubles()(), Vec::<String>::new());
    let mut client = Client::connect(broker.local_addr()).await;
    create_topic(&mut client, "bad", &[]).await;
    assert_eq!(produced(&mut client, "bad", batch(&["x"])).await, 0);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn start_ends_if_all_directories_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    two_topics(dir.path()).await;
    let topics = dir.path().join("topics");
    fs::rename(&topics, dir.path().join("elsewhere")).unwrap();
    let refused = Broker::start(config(dir.path())).await.unwrap_err();
    assert!(matches!(refused, StartError::Load(_)), "{refused}");
    assert!(
        refused.to_string().contains("is the disk mounted?"),
        "{refused}"
    );
}
