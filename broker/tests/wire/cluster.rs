//! What admin clients ask of the cluster itself: brokers, disks, leaders, moves, rules.

use headrace_protocol::ErrorCode;
use headrace_protocol::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use headrace_protocol::create_acls::{AclCreation, CreateAclsRequest};
use headrace_protocol::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use headrace_protocol::describe_acls::DescribeAclsRequest;
use headrace_protocol::describe_cluster::DescribeClusterRequest;
use headrace_protocol::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use headrace_protocol::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use headrace_protocol::list_partition_reassignments::ListPartitionReassignmentsRequest;
use headrace_protocol::metadata::OPERATIONS_NOT_ASKED;

use crate::requests::{batch, create, create_topic, produced, topic};
use crate::support::{Client, Server};

/// A controller of -1 would have admin clients wait for one for ever: trap 13. The brokers are never none, and are
/// named as they are to be dialled: trap 15.
#[tokio::test]
async fn the_cluster_has_a_broker_that_lives_and_controls_it() {
    let advertised = Some("kafka.example:1234".to_owned());
    let server = Server::start_with(|config| config.advertised = advertised).await;
    let mut client = server.connect().await;
    for version in 0..=2 {
        let cluster = client
            .call(version, &DescribeClusterRequest::default())
            .await;
        assert_eq!(cluster.error_code, ErrorCode::NONE);
        assert_eq!(cluster.controller_id, 1);
        assert_eq!(*cluster.cluster_id, *server.broker.cluster_id().to_string());
        let [broker] = &cluster.brokers[..] else {
            panic!("{cluster:?}");
        };
        assert_eq!((broker.broker_id, broker.is_fenced), (1, false));
        assert_eq!((&*broker.host, broker.port), ("kafka.example", 1234));
    }
}

/// Trap 17.
#[tokio::test]
async fn operations_on_the_cluster_are_told_only_when_asked_for() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for version in 0..=2 {
        for (include_cluster_authorized_operations, operations) in
            [(false, OPERATIONS_NOT_ASKED), (true, 8096)]
        {
            let request = DescribeClusterRequest {
                include_cluster_authorized_operations,
                ..DescribeClusterRequest::default()
            };
            let cluster = client.call(version, &request).await;
            assert_eq!(cluster.cluster_authorized_operations, operations);
        }
    }
}

#[tokio::test]
async fn who_looks_for_controllers_is_told_that_this_is_a_broker() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for (endpoint_type, code) in [
        (2, ErrorCode::MISMATCHED_ENDPOINT_TYPE),
        (3, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
        (0, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
    ] {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..DescribeClusterRequest::default()
        };
        let refused = client.call(1, &request).await;
        assert_eq!(refused.error_code, code);
        assert!(refused.error_message.is_some() && refused.brokers.is_empty());
    }
}

/// Trap 65, without an authorizer.
#[tokio::test]
async fn acls_are_answered_with_security_disabled() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for version in 1..=3 {
        let found = client.call(version, &DescribeAclsRequest::default()).await;
        assert_eq!(found.error_code, ErrorCode::SECURITY_DISABLED);
        assert!(found.resources.is_empty());
        let made = CreateAclsRequest {
            creations: vec![AclCreation::default(); 2],
        };
        let made = client.call(version, &made).await.results;
        let codes = made.iter().map(|result| result.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [ErrorCode::SECURITY_DISABLED; 2]);
        let removed = DeleteAclsRequest {
            filters: vec![DeleteAclsFilter::default()],
        };
        let removed = client.call(version, &removed).await.filter_results;
        assert_eq!(removed.len(), 1);
        assert_eq!(removed[0].error_code, ErrorCode::SECURITY_DISABLED);
        assert!(
            removed[0]
                .error_message
                .as_deref()
                .unwrap()
                .contains("no authorizer")
        );
    }
}

/// Trap 70.
#[tokio::test]
async fn log_dirs_tell_the_size_of_every_partition_and_the_room_on_the_disk() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create(&mut client, vec![topic("t", 2, &[]), topic("u", 1, &[])]).await;
    let all = DescribeLogDirsRequest { topics: None };
    let before = client.call(4, &all).await.results;
    produced(&mut client, "t", batch(&["x"])).await;
    for version in 1..=5 {
        let answer = client.call(version, &all).await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let [dir] = &answer.results[..] else {
            panic!("{answer:?}");
        };
        assert_eq!((&*dir.log_dir, dir.error_code), ("/data", ErrorCode::NONE));
        let names: Vec<_> = dir.topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["t", "u"]);
        let sizes = dir.topics[0]
            .partitions
            .iter()
            .map(|partition| partition.partition_size);
        let was = before[0].topics[0]
            .partitions
            .iter()
            .map(|partition| partition.partition_size);
        let grown: Vec<_> = sizes
            .zip(was)
            .map(|(now, was)| now > was && was >= 0)
            .collect();
        assert_eq!(grown, [true, false]);
        assert_eq!(dir.total_bytes > 0 && dir.usable_bytes > 0, version >= 4);
        assert!(!dir.is_cordoned);
    }
}

#[tokio::test]
async fn log_dirs_name_only_partitions_that_are_asked_for_and_there() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create(&mut client, vec![topic("t", 2, &[]), topic("u", 1, &[])]).await;
    let asked = |name: &str, partitions: &[i32]| DescribableLogDirTopic {
        topic: name.into(),
        partitions: partitions.to_vec(),
    };
    for (topics, found) in [
        (vec![asked("t", &[1, 9]), asked("nowhere", &[0])], vec![1]),
        (vec![asked("t", &[9])], vec![]),
        (vec![], vec![]),
    ] {
        let request = DescribeLogDirsRequest {
            topics: Some(topics),
        };
        let answer = client.call(4, &request).await;
        let topics = answer.results[0].topics.iter();
        let numbers = topics.flat_map(|topic| &topic.partitions);
        let numbers: Vec<_> = numbers.map(|partition| partition.partition_index).collect();
        assert_eq!(numbers, found);
    }
}

fn election(election_type: i8, topic: &str, partitions: &[i32]) -> ElectLeadersRequest {
    ElectLeadersRequest {
        election_type,
        topic_partitions: Some(vec![TopicPartitions {
            topic: topic.into(),
            partitions: partitions.to_vec(),
        }]),
        ..ElectLeadersRequest::default()
    }
}

/// Clients take ELECTION_NOT_NEEDED for success: trap 68.
#[tokio::test]
async fn an_election_is_not_needed_where_the_preferred_replica_leads() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for (version, kind) in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)] {
        let answer = client.call(version, &election(kind, "t", &[0, 7])).await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let results = answer.replica_election_results[0].partition_result.iter();
        let codes: Vec<_> = results.map(|result| result.error_code).collect();
        let expected = [
            ErrorCode::ELECTION_NOT_NEEDED,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ];
        assert_eq!(codes, expected);
    }
    let everything = ElectLeadersRequest {
        topic_partitions: None,
        ..ElectLeadersRequest::default()
    };
    let all = client.call(2, &everything).await;
    assert!(all.replica_election_results.is_empty(), "{all:?}");
    let unknown = client.call(2, &election(7, "t", &[0])).await;
    assert_eq!(unknown.error_code, ErrorCode::INVALID_REQUEST);
}

async fn reassign(client: &mut Client, partition: i32, replicas: Option<&[i32]>) -> ErrorCode {
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![ReassignableTopic {
            name: "t".into(),
            partitions: vec![ReassignablePartition {
                partition_index: partition,
                replicas: replicas.map(<[i32]>::to_vec),
            }],
        }],
        ..AlterPartitionReassignmentsRequest::default()
    };
    for version in 0..=1 {
        let answer = client.call(version, &request).await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let result = &answer.responses[0].partitions[0];
        assert_eq!(result.error_message.is_some(), result.error_code.is_err());
        if version == 1 {
            return result.error_code;
        }
    }
    unreachable!("the loop ends with version 1")
}

#[tokio::test]
async fn a_partition_cannot_be_moved_to_a_broker_that_does_not_exist() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for (partition, replicas, code) in [
        (0, Some(&[1][..]), ErrorCode::NONE),
        (0, Some(&[2]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (0, Some(&[1, 2]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (0, Some(&[1, 1]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (0, Some(&[]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (0, None, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
        (9, Some(&[1]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        assert_eq!(reassign(&mut client, partition, replicas).await, code);
    }
    let moving = ListPartitionReassignmentsRequest::default();
    let moving = client.call(0, &moving).await;
    assert_eq!(moving.error_code, ErrorCode::NONE);
    assert!(moving.topics.is_empty());
}
