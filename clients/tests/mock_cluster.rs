//! Producer and readers against librdkafka's mock cluster: order, restarts, offsets out of range, topic ids.
#![allow(clippy::unwrap_used, reason = "a test may panic in its helpers too")]
use std::time::Duration;

use headrace_clients::{
    Admin, AdminError, ClientConfig, Found, GroupConsumer, OffsetAt, ProduceError, Producer,
    ProducerOptions, ReadError, Reader, Start, TopicPartition, last_record, last_records,
    read_to_end,
};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

type Cluster = MockCluster<'static, DefaultProducerContext>;

const PATIENCE: Duration = Duration::from_secs(30);

fn cluster(topic: &str, partitions: i32) -> (Cluster, ClientConfig) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    let config = ClientConfig::new(cluster.bootstrap_servers(), "test");
    (cluster, config)
}

async fn fill(config: &ClientConfig, topic: &str, count: i64) {
    let producer = Producer::new(config).unwrap();
    for n in 0..count {
        let value = n.to_string();
        let sent = producer
            .send(topic, 0, Some(b"key"), Some(value.as_bytes()), &[])
            .await
            .unwrap();
        drop(sent);
    }
    assert!(producer.flush(PATIENCE).await);
}

#[tokio::test]
async fn records_come_back_whole_and_in_order() {
    let (_cluster, config) = cluster("t", 1);
    let producer = Producer::new(&config).unwrap();
    let headers: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"")];
    let first = producer
        .send("t", 0, Some(b"k"), Some(b"v"), headers)
        .await
        .unwrap();
    let tombstone = producer.send("t", 0, Some(b"k"), None, &[]).await.unwrap();
    let empty = producer
        .send("t", 0, Some(b""), Some(b""), &[])
        .await
        .unwrap();
    assert_eq!(
        (
            first.await.unwrap(),
            tombstone.await.unwrap(),
            empty.await.unwrap()
        ),
        (0, 1, 2)
    );

    let mut reader = Reader::open(&config, "t", 0, 0).unwrap();
    let record = reader.next().await.unwrap();
    assert_eq!(
        (record.key.as_deref(), record.value.as_deref()),
        (Some(&b"k"[..]), Some(&b"v"[..]))
    );
    assert!(record.timestamp_ms > 1_700_000_000_000);
    let shown: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    assert_eq!(shown, [("a", Some(&b"1"[..])), ("b", Some(&b""[..]))]);
    let record = reader.next().await.unwrap();
    assert_eq!(
        (record.key.as_deref(), record.value),
        (Some(&b"k"[..]), None)
    );
    let record = reader.next().await.unwrap();
    assert_eq!(
        (record.key.as_deref(), record.value.as_deref()),
        (Some(&b""[..]), Some(&b""[..]))
    );
    assert_eq!(reader.position(), 3);
}

#[tokio::test]
async fn a_reader_starts_at_the_wanted_offset_inside_a_batch() {
    let (_cluster, config) = cluster("t", 1);
    fill(&config, "t", 100).await;
    let mut reader = Reader::open(&config, "t", 0, 57).unwrap();
    let mut offsets = Vec::new();
    while offsets.len() < 43 {
        let batch = reader.poll_batch(10, PATIENCE).await.unwrap();
        assert!(!batch.is_empty() && batch.len() <= 10);
        offsets.extend(batch.iter().map(|record| record.offset));
    }
    assert_eq!(offsets, (57..100).collect::<Vec<_>>());
    assert!(
        reader
            .poll_batch(10, Duration::from_millis(50))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(reader.watermarks().await.unwrap(), (0, 100));
}

#[tokio::test]
async fn an_offset_past_the_end_is_an_error_and_no_reset() {
    let (_cluster, config) = cluster("t", 1);
    fill(&config, "t", 3).await;
    let mut reader = Reader::open(&config, "t", 0, 1000).unwrap();
    let error = tokio::time::timeout(PATIENCE, reader.next())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error,
        ReadError::OffsetOutOfRange {
            topic: "t".into(),
            partition: 0,
            wanted: 1000
        }
    );
}

#[tokio::test]
async fn producer_and_reader_survive_a_broker_restart() {
    let (cluster, config) = cluster("t", 1);
    let producer = Producer::new(&config).unwrap();
    let mut reader = Reader::open(&config, "t", 0, 0).unwrap();
    let before = producer
        .send("t", 0, None, Some(b"before"), &[])
        .await
        .unwrap();
    before.await.unwrap();
    assert_eq!(reader.next().await.unwrap().offset, 0);

    cluster.broker_down(1).unwrap();
    let during = producer
        .send("t", 0, None, Some(b"during"), &[])
        .await
        .unwrap();
    assert!(
        !producer.flush(Duration::from_millis(300)).await,
        "nothing is delivered while the broker is away"
    );
    assert!(
        reader
            .poll_batch(1, Duration::from_millis(300))
            .await
            .unwrap()
            .is_empty()
    );
    cluster.broker_up(1).unwrap();

    assert_eq!(during.await.unwrap(), 1);
    let record = tokio::time::timeout(PATIENCE, reader.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.value.as_deref(), Some(&b"during"[..]));
}

#[tokio::test]
async fn a_full_queue_makes_send_wait() {
    let (cluster, config) = cluster("t", 1);
    let options = ProducerOptions {
        queue_bytes_max: 4096,
        ..ProducerOptions::default()
    };
    let producer = Producer::with(&config, &options).unwrap();
    cluster.broker_down(1).unwrap();
    let value = [b'x'; 3000];
    let first = producer
        .send("t", 0, None, Some(&value), &[])
        .await
        .unwrap();
    let second = producer.send("t", 0, None, Some(&value), &[]);
    let second = tokio::time::timeout(Duration::from_millis(200), second).await;
    assert!(second.is_err(), "the queue is full");
    cluster.broker_up(1).unwrap();
    first.await.unwrap();
    let third =
        tokio::time::timeout(PATIENCE, producer.send("t", 0, None, Some(&value), &[])).await;
    third.unwrap().unwrap().await.unwrap();
}

#[tokio::test]
async fn a_record_larger_than_the_queue_still_goes() {
    let (_cluster, config) = cluster("t", 1);
    let options = ProducerOptions {
        queue_bytes_max: 1,
        ..ProducerOptions::default()
    };
    let producer = Producer::with(&config, &options).unwrap();
    let value = vec![b'x'; 3_000_000];
    assert_eq!(
        producer
            .send("t", 0, None, Some(&value), &[])
            .await
            .unwrap()
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn a_record_above_64_mib_is_refused_by_size() {
    let (_cluster, config) = cluster("t", 1);
    let producer = Producer::new(&config).unwrap();
    let value = vec![0; 64 * 1024 * 1024 + 1];
    let error = producer
        .send("t", 0, None, Some(&value), &[])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ProduceError::TooLarge {
                size_bytes: 67_108_865,
                ..
            }
        ),
        "{error}"
    );
    let small = producer.send("t", 0, None, Some(b"ok"), &[]).await.unwrap();
    assert_eq!(small.await.unwrap(), 0);
}

#[tokio::test]
async fn small_topics_are_read_to_their_end() {
    let (_cluster, config) = cluster("t", 1);
    assert!(read_to_end(&config, "t", 0).await.unwrap().is_empty());
    assert_eq!(last_record(&config, "t", 0).await.unwrap(), None);
    fill(&config, "t", 20).await;
    assert_eq!(read_to_end(&config, "t", 0).await.unwrap().len(), 20);
    assert_eq!(
        last_record(&config, "t", 0).await.unwrap().unwrap().offset,
        19
    );
}

#[tokio::test]
async fn a_group_member_reads_and_commits() {
    let (_cluster, config) = cluster("t", 1);
    fill(&config, "t", 5).await;
    let consumer = GroupConsumer::join(&config, "g", "t", Start::Beginning).unwrap();
    for wanted in 0..3 {
        let Found::Record(partition, record) = consumer.next().await.unwrap() else {
            panic!("five records come before the end");
        };
        assert_eq!((partition, record.offset), (0, wanted));
        consumer.done(partition, &record).unwrap();
    }
    consumer.commit().unwrap();
    // a second commit has nothing new to say
    consumer.commit().unwrap();
}

#[tokio::test]
async fn all_partitions_are_read_without_a_group() {
    let (_cluster, config) = cluster("t", 2);
    fill(&config, "t", 2).await;
    let consumer = GroupConsumer::assign(&config, "t", [(0, 0), (1, 0)]).unwrap();
    let (mut offsets, mut ended) = (Vec::new(), Vec::new());
    while ended.len() < 2 {
        match consumer.next().await.unwrap() {
            Found::Record(partition, record) => offsets.push((partition, record.offset)),
            Found::End(partition) => ended.push(partition),
        }
    }
    assert_eq!(offsets, [(0, 0), (0, 1)]);
    ended.sort_unstable();
    assert_eq!(ended, [0, 1]);
}

#[tokio::test]
async fn the_last_records_are_found_and_never_more_than_there_are() {
    let (_cluster, config) = cluster("t", 1);
    assert_eq!(last_records(&config, "t", 0, 3).await.unwrap(), []);
    fill(&config, "t", 5).await;
    for (count, wanted) in [(1, vec![4]), (3, vec![2, 3, 4]), (9, vec![0, 1, 2, 3, 4])] {
        let records = last_records(&config, "t", 0, count).await.unwrap();
        let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, wanted);
    }
}

#[tokio::test]
async fn offsets_are_asked_of_the_leaders() {
    let (_cluster, config) = cluster("t", 2);
    fill(&config, "t", 3).await;
    let admin = Admin::new(&config).unwrap();
    let places = [0, 1].map(|partition| TopicPartition::new("t", partition));
    let ends = admin
        .offsets(places.clone(), OffsetAt::Latest)
        .await
        .unwrap();
    let ends: Vec<_> = ends.into_values().collect();
    assert_eq!(ends, [Some(3), Some(0)]);
    let starts = admin.offsets(places, OffsetAt::Earliest).await.unwrap();
    assert_eq!(starts.into_values().collect::<Vec<_>>(), [Some(0), Some(0)]);
    let unknown = [TopicPartition::new("t", 2)];
    let error = admin.offsets(unknown, OffsetAt::Latest).await.unwrap_err();
    assert!(error.to_string().starts_with("t/2: "), "{error}");
}

#[tokio::test]
async fn a_topic_is_described_with_its_id_and_never_created_by_asking() {
    let (_cluster, config) = cluster("t", 3);
    let admin = Admin::new(&config).unwrap();
    let topic = admin.describe_topic("t").await.unwrap();
    assert_eq!(
        (topic.name.as_str(), topic.partitions, topic.internal),
        ("t", 3, false)
    );
    assert!(!topic.topic_id.is_nil());
    assert_eq!(admin.topic_id("t").await.unwrap(), topic.topic_id);
    assert_eq!(admin.topics().await.unwrap(), [topic]);
    assert!(!admin.cluster_id().await.unwrap().is_empty());
    assert_eq!(
        admin.describe_topic("none").await,
        Err(AdminError::UnknownTopic("none".into()))
    );
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_named() {
    let admin = Admin::new(&ClientConfig::new("127.0.0.1:1", "test")).unwrap();
    let error = admin.describe_topic("t").await.unwrap_err();
    assert!(
        matches!(&error, AdminError::Unreachable { bootstrap, .. } if bootstrap == "127.0.0.1:1"),
        "{error}"
    );
}
