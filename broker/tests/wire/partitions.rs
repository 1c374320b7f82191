//! CreatePartitions: topics grow.

use headrace_protocol::ErrorCode;
use headrace_protocol::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use headrace_protocol::find_coordinator::FindCoordinatorRequest;
use headrace_protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use headrace_storage::fs::Fault;

use crate::requests::{
    PRODUCE, batch, create, create_topic, fetch_request, only, only_fetched, produce_request,
    read_all, records, topic,
};
use crate::support::{Client, Server};

fn growth(name: &str, count: i32, replicas: Option<&[&[i32]]>) -> CreatePartitionsTopic {
    let assigned = |broker_ids: &&[i32]| CreatePartitionsAssignment {
        broker_ids: broker_ids.to_vec(),
    };
    CreatePartitionsTopic {
        name: name.into(),
        count,
        assignments: replicas.map(|replicas| replicas.iter().map(assigned).collect()),
    }
}

async fn results(
    client: &mut Client,
    topics: Vec<CreatePartitionsTopic>,
) -> Vec<CreatePartitionsTopicResult> {
    let request = CreatePartitionsRequest {
        topics,
        timeout_ms: 10_000,
        ..CreatePartitionsRequest::default()
    };
    client.call(3, &request).await.results
}

async fn grow(client: &mut Client, name: &str, count: i32) -> ErrorCode {
    results(client, vec![growth(name, count, None)]).await[0].error_code
}

/// The numbers of a topic's partitions, all led by this broker.
async fn partitions(client: &mut Client, name: &str) -> Vec<i32> {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name.into()),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let found = client.call(12, &request).await.topics.remove(0).partitions;
    assert!(found.iter().all(|partition| partition.leader_id == 1));
    assert!(found.iter().all(|partition| partition.leader_epoch > 0));
    found
        .iter()
        .map(|partition| partition.partition_index)
        .collect()
}

async fn produced(client: &mut Client, topic: &str, partition: i32, value: &str) -> i64 {
    let mut request = produce_request(topic, -1, batch(&[value]));
    request.topic_data[0].partition_data[0].index = partition;
    let answer = only(client.call(PRODUCE, &request).await);
    assert_eq!(answer.error_code, ErrorCode::NONE);
    answer.base_offset
}

async fn values(client: &mut Client, topic: &str, partition: i32) -> Vec<(i64, String)> {
    let mut request = fetch_request(topic, 0);
    request.topics[0].partitions[0].partition = partition;
    records(&only_fetched(client.call(12, &request).await))
}

#[tokio::test]
async fn every_version_gives_a_topic_more_partitions() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client, "t", &[]).await;
    for version in 0..=3 {
        let count = i32::from(version) + 2;
        let request = CreatePartitionsRequest {
            topics: vec![growth("t", count, None)],
            ..CreatePartitionsRequest::default()
        };
        let results = client.call(version, &request).await.results;
        assert_eq!(
            (&*results[0].name, results[0].error_code),
            ("t", ErrorCode::NONE)
        );
        assert_eq!(
            partitions(&mut client, "t").await,
            (0..count).collect::<Vec<_>>()
        );
    }
    assert_eq!(
        server.broker.registry().topic("t").unwrap().id,
        id,
        "it is the same topic"
    );
}

/// Trap 20.
#[tokio::test]
async fn no_topic_grows_to_what_it_has_or_less() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create(&mut client, vec![topic("t", 3, &[])]).await;
    for count in [3, 2, 0, -1] {
        let refused = results(&mut client, vec![growth("t", count, None)]).await;
        assert_eq!(refused[0].error_code, ErrorCode::INVALID_PARTITIONS);
        let message = refused[0].error_message.as_deref().unwrap();
        assert!(message.contains("t has 3 partitions already"), "{message}");
    }
    for count in [10_001, i32::MAX] {
        assert_eq!(
            grow(&mut client, "t", count).await,
            ErrorCode::INVALID_PARTITIONS
        );
    }
    assert_eq!(partitions(&mut client, "t").await, [0, 1, 2]);
}

#[tokio::test]
async fn growth_that_cannot_be_is_refused_with_its_code() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create(
        &mut client,
        vec![topic("t", 1, &[]), topic("__headrace_claims", 1, &[])],
    )
    .await;
    let offsets = FindCoordinatorRequest {
        key: "group".into(),
        ..FindCoordinatorRequest::default()
    };
    client.call(3, &offsets).await;
    for (asked, code) in [
        (
            growth("nowhere", 3, None),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ),
        (
            growth("__consumer_offsets", 60, None),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        ),
        (
            growth("__headrace_claims", 2, None),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        ),
        (
            growth("t", 3, Some(&[&[1]])),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        ),
        (
            growth("t", 3, Some(&[])),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        ),
        (
            growth("t", 2, Some(&[&[2]])),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        ),
        (
            growth("t", 2, Some(&[&[1, 2]])),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        ),
        (
            growth("t", 2, Some(&[&[]])),
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        ),
        (growth("t", 1, Some(&[])), ErrorCode::INVALID_PARTITIONS),
    ] {
        let refused = results(&mut client, vec![asked]).await;
        assert_eq!(refused[0].error_code, code, "{refused:?}");
        assert!(refused[0].error_message.is_some());
    }
    let twice = vec![growth("t", 2, None), growth("t", 3, None)];
    let twice = results(&mut client, twice).await;
    assert_eq!(twice.len(), 1);
    assert_eq!(twice[0].error_code, ErrorCode::INVALID_REQUEST);
    assert_eq!(partitions(&mut client, "t").await, [0]);
    let placed = results(&mut client, vec![growth("t", 3, Some(&[&[1], &[1]]))]).await;
    assert_eq!(placed[0].error_code, ErrorCode::NONE);
    assert_eq!(partitions(&mut client, "t").await, [0, 1, 2]);
}

#[tokio::test]
async fn validate_only_adds_no_partition() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for (count, code) in [(5, ErrorCode::NONE), (1, ErrorCode::INVALID_PARTITIONS)] {
        let request = CreatePartitionsRequest {
            topics: vec![growth("t", count, None)],
            validate_only: true,
            ..CreatePartitionsRequest::default()
        };
        assert_eq!(client.call(3, &request).await.results[0].error_code, code);
        assert_eq!(partitions(&mut client, "t").await, [0]);
    }
}

/// What was answered is there after any end of the process, old records and new partitions alike.
#[tokio::test]
async fn new_partitions_survive_a_crash_with_their_records() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", 0, "old").await;
    assert_eq!(grow(&mut client, "t", 3).await, ErrorCode::NONE);
    assert_eq!(produced(&mut client, "t", 2, "new").await, 0);
    let server = server.crash().await;
    let mut client = server.connect().await;
    assert_eq!(partitions(&mut client, "t").await, [0, 1, 2]);
    assert_eq!(values(&mut client, "t", 0).await, [(0, "old".to_owned())]);
    assert_eq!(values(&mut client, "t", 2).await, [(0, "new".to_owned())]);
    assert_eq!(produced(&mut client, "t", 1, "more").await, 0);
    assert_eq!(grow(&mut client, "t", 4).await, ErrorCode::NONE);
    let server = server.restart().await;
    let mut client = server.connect().await;
    assert_eq!(partitions(&mut client, "t").await, [0, 1, 2, 3]);
    assert_eq!(values(&mut client, "t", 1).await, [(0, "more".to_owned())]);
}

/// At every call that a growth makes to the disk, the power goes: the next start has all of the new partitions or none,
/// and takes records in each.
#[tokio::test]
async fn a_growth_that_a_power_cut_interrupts_is_whole_or_was_not() {
    let mut seen = [false; 2];
    for at_call in 0.. {
        let server = Server::start().await;
        let mut client = server.connect().await;
        create_topic(&mut client, "t", &[]).await;
        produced(&mut client, "t", 0, "old").await;
        server.disk().fail(Fault {
            at_call,
            kind: std::io::ErrorKind::Other,
            lasting: true,
        });
        let grown = grow(&mut client, "t", 3).await;
        server.disk().heal();
        let server = server.crash().await;
        let mut client = server.connect().await;
        let found = partitions(&mut client, "t").await;
        assert!(
            found == [0] || found == [0, 1, 2],
            "{found:?} after call {at_call}"
        );
        assert!(
            grown.is_err() || found.len() == 3,
            "what was answered is there"
        );
        seen[usize::from(found.len() == 3)] = true;
        for partition in found {
            let expected = i64::from(partition == 0);
            let offset = produced(&mut client, "t", partition, "new").await;
            assert_eq!(
                offset, expected,
                "partition {partition} after call {at_call}"
            );
        }
        if grown.is_ok() {
            break;
        }
    }
    assert_eq!(seen, [true, true]);
}

/// Its logs are there, but whether they count only the next start can tell.
#[tokio::test]
async fn a_topic_whose_growth_could_not_be_recorded_does_not_grow_before_the_next_start() {
    let mut refused_again = 0;
    for at_call in 0.. {
        let server = Server::start().await;
        let mut client = server.connect().await;
        create_topic(&mut client, "t", &[]).await;
        server.disk().fail(Fault {
            at_call,
            kind: std::io::ErrorKind::Other,
            lasting: true,
        });
        let first = grow(&mut client, "t", 3).await;
        server.disk().heal();
        if first.is_ok() {
            break;
        }
        let again = results(&mut client, vec![growth("t", 3, None)])
            .await
            .remove(0);
        // a log or a journal that a failed write closed says so itself
        if again
            .error_message
            .is_some_and(|message| message.contains("restart the broker"))
        {
            refused_again += 1;
            assert_eq!(again.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
        }
        assert_eq!(read_all(&mut client, "t").await, []);
        let server = server.kill().await;
        let mut client = server.connect().await;
        let grown = grow(&mut client, "t", 4).await;
        assert_eq!(grown, ErrorCode::NONE, "after call {at_call}");
        assert_eq!(produced(&mut client, "t", 3, "new").await, 0);
    }
    assert!(refused_again > 0);
}
