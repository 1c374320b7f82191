//! DescribeProducers: what partitions remember of their producers.

use headrace_protocol::ErrorCode;
use headrace_protocol::describe_producers::{
    DescribeProducersRequest, PartitionResponse, TopicRequest,
};

use crate::requests::{batch, create_topic, produced, sequenced};
use crate::support::{Client, Server};

async fn described(client: &mut Client, name: &str, partition: i32) -> PartitionResponse {
    let request = DescribeProducersRequest {
        topics: vec![TopicRequest {
            name: name.into(),
            partition_indexes: vec![partition],
        }],
    };
    let mut answer = client.call(0, &request).await;
    answer.topics.remove(0).partitions.remove(0)
}

/// `(id, epoch, last sequence)` of each.
async fn known(client: &mut Client) -> Vec<(i64, i32, i32)> {
    let described = described(client, "t", 0).await;
    assert_eq!(described.error_code, ErrorCode::NONE);
    let producers = described.active_producers.iter();
    producers
        .map(|producer| {
            assert_eq!(producer.current_txn_start_offset, -1);
            assert_eq!(producer.coordinator_epoch, -1);
            (
                producer.producer_id,
                producer.producer_epoch,
                producer.last_sequence,
            )
        })
        .collect()
}

#[tokio::test]
async fn idempotent_producers_are_told_of_with_their_last_sequence() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["of nobody"])).await;
    assert_eq!(known(&mut client).await, []);
    produced(&mut client, "t", sequenced(9, 0, 0, &["a", "b"])).await;
    produced(&mut client, "t", sequenced(7, 1, 0, &["a"])).await;
    produced(&mut client, "t", sequenced(9, 0, 2, &["c"])).await;
    assert_eq!(known(&mut client).await, [(7, 1, 0), (9, 0, 2)]);
    let seen_ms = described(&mut client, "t", 0).await.active_producers[0].last_timestamp;
    assert!((server.now_ms() - seen_ms).abs() < 60_000, "{seen_ms}");
    let server = server.restart().await;
    let mut client = server.connect().await;
    assert_eq!(known(&mut client).await, [(7, 1, 0), (9, 0, 2)]);
}

#[tokio::test]
async fn the_producers_of_a_partition_that_is_not_there_are_unknown() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for (name, partition) in [("t", 1), ("t", -1), ("nowhere", 0)] {
        let described = described(&mut client, name, partition).await;
        assert_eq!(described.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert!(described.active_producers.is_empty());
    }
}
