//! The requests that most tests need, with little to say.

use bytes::Bytes;
use headrace_protocol::ErrorCode;
use headrace_protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use headrace_protocol::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use headrace_protocol::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData,
};
use headrace_storage::record::{Batch, BatchBuilder, Compression, batches};

use crate::support::Client;

/// The version of Produce in most tests: the last one with topic names.
pub(crate) const PRODUCE: i16 = 12;
/// The version of Fetch in most tests: the last one with topic names.
pub(crate) const FETCH: i16 = 12;

pub(crate) fn topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
    };
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}

pub(crate) async fn create(
    client: &mut Client,
    topics: Vec<CreatableTopic>,
) -> CreateTopicsResponse {
    let request = CreateTopicsRequest {
        topics,
        ..CreateTopicsRequest::default()
    };
    client.call(7, &request).await
}

/// Makes a topic of one partition; its id.
pub(crate) async fn create_topic(
    client: &mut Client,
    name: &str,
    configs: &[(&str, &str)],
) -> uuid::Uuid {
    let response = create(client, vec![topic(name, 1, configs)]).await;
    assert_eq!(
        response.topics[0].error_code,
        ErrorCode::NONE,
        "{response:?}"
    );
    response.topics[0].topic_id
}

/// A batch of these values, from no idempotent producer.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    sequenced(-1, -1, -1, values)
}

pub(crate) fn sequenced(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None).producer(id, epoch, sequence);
    for (timestamp, value) in (1_000..).zip(values) {
        builder.push(timestamp, Some(b"k"), Some(value.as_bytes()), &[]);
    }
    builder.build().to_bytes()
}

pub(crate) fn produce_request(topic: &str, acks: i16, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(records.into()),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// The only partition of a response.
pub(crate) fn only(response: ProduceResponse) -> PartitionProduceResponse {
    let [topic] = <[_; 1]>::try_from(response.responses).unwrap();
    let [partition] = <[_; 1]>::try_from(topic.partition_responses).unwrap();
    partition
}

/// Produces with acks=all to partition 0.
pub(crate) async fn produce(
    client: &mut Client,
    topic: &str,
    records: Bytes,
) -> PartitionProduceResponse {
    only(
        client
            .call(PRODUCE, &produce_request(topic, -1, records))
            .await,
    )
}

/// Produces and expects success; the base offset.
pub(crate) async fn produced(client: &mut Client, topic: &str, records: Bytes) -> i64 {
    let answer = produce(client, topic, records).await;
    assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
    answer.base_offset
}

/// A fetch of partition 0 that does not wait.
pub(crate) fn fetch_request(topic: &str, from: i64) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                fetch_offset: from,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// The only partition of a response.
pub(crate) fn only_fetched(response: FetchResponse) -> PartitionData {
    assert_eq!(response.error_code, ErrorCode::NONE);
    let [topic] = <[_; 1]>::try_from(response.responses).unwrap();
    let [partition] = <[_; 1]>::try_from(topic.partitions).unwrap();
    partition
}

pub(crate) async fn fetch(client: &mut Client, topic: &str, from: i64) -> PartitionData {
    only_fetched(client.call(FETCH, &fetch_request(topic, from)).await)
}

/// The batches of a fetched partition.
pub(crate) fn fetched_batches(data: &PartitionData) -> Vec<Batch> {
    let records = data
        .records
        .clone()
        .map_or(Bytes::new(), |records| records.into_bytes().unwrap());
    batches(records).collect::<Result<_, _>>().unwrap()
}

/// `(offset, value)` of the records of a fetched partition.
pub(crate) fn records(data: &PartitionData) -> Vec<(i64, String)> {
    let batches = fetched_batches(data);
    let records = batches
        .iter()
        .flat_map(|batch| batch.records(1 << 20).unwrap());
    let text = |value: Option<Bytes>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    records
        .map(|record| (record.offset.0, text(record.value)))
        .collect()
}

/// Everything in partition 0, fetched to its end.
pub(crate) async fn read_all(client: &mut Client, topic: &str) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    loop {
        let from = all.last().map_or(0, |(offset, _)| offset + 1);
        let data = fetch(client, topic, from).await;
        assert_eq!(data.error_code, ErrorCode::NONE);
        let new = records(&data);
        if new.is_empty() {
            assert_eq!(data.high_watermark, from, "stopped before the end");
            return all;
        }
        all.extend(new.into_iter().filter(|(offset, _)| *offset >= from));
    }
}
