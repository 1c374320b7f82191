//! Metadata: brokers, topics, and the making of topics on demand.

use headrace_protocol::ErrorCode;
use headrace_protocol::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, OPERATIONS_NOT_ASKED,
};
use uuid::Uuid;

use crate::requests::create_topic;
use crate::support::{Client, Server};

fn ask(names: &[&str], allow_auto_topic_creation: bool) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic {
        name: Some((*name).into()),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation,
        ..MetadataRequest::default()
    }
}

async fn code(client: &mut Client, version: i16, name: &str, may_create: bool) -> ErrorCode {
    let response = client.call(version, &ask(&[name], may_create)).await;
    response.topics[0].error_code
}

fn names(response: &MetadataResponse) -> Vec<&str> {
    let topics = response.topics.iter();
    topics.map(|topic| topic.name.as_deref().unwrap()).collect()
}

/// A controller that lives, a real epoch, and at least one broker: trap 13, trap 14, trap 15.
#[tokio::test]
async fn the_broker_is_its_own_controller_and_leads_everything() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client, "t", &[]).await;
    for version in 0..=13 {
        let response = client.call(version, &ask(&["t"], version < 4)).await;
        assert_eq!(response.brokers.len(), 1);
        let port = i32::from(server.broker.local_addr().port());
        assert_eq!(
            (response.brokers[0].node_id, response.brokers[0].port),
            (1, port)
        );
        assert_eq!(response.brokers[0].host, "127.0.0.1");
        assert_eq!(response.controller_id, if version >= 1 { 1 } else { -1 });
        let topic = &response.topics[0];
        assert_eq!(topic.error_code, ErrorCode::NONE);
        assert_eq!(topic.topic_id, if version >= 10 { id } else { Uuid::nil() });
        assert_eq!(topic.topic_authorized_operations, OPERATIONS_NOT_ASKED);
        assert_eq!(topic.partitions[0].leader_id, 1);
        assert_eq!(
            topic.partitions[0].leader_epoch,
            if version >= 7 { 1 } else { -1 }
        );
        assert_eq!(topic.partitions[0].isr_nodes, [1]);
        if version >= 2 {
            let cluster_id = server.broker.cluster_id().to_string();
            assert_eq!(response.cluster_id.as_deref(), Some(cluster_id.as_str()));
        }
    }
}

/// Trap 10.
#[tokio::test]
async fn null_asks_for_all_topics_and_an_empty_list_for_none() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "b", &[]).await;
    create_topic(&mut client, "a", &[]).await;
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    for version in 1..=13 {
        assert_eq!(names(&client.call(version, &all).await), ["a", "b"]);
        assert!(
            client
                .call(version, &ask(&[], true))
                .await
                .topics
                .is_empty()
        );
    }
    let old = client.call(0, &ask(&[], true)).await;
    assert_eq!(names(&old), ["a", "b"], "version 0 has no null");
}

/// Trap 11.
#[tokio::test]
async fn an_unknown_topic_is_made_on_demand_and_found_at_the_next_request() {
    let server = Server::start_with(|config| config.partitions = 3).await;
    let mut client = server.connect().await;
    for (version, name) in [(0, "zero"), (4, "four"), (13, "thirteen")] {
        let first = code(&mut client, version, name, true).await;
        assert_eq!(first, ErrorCode::LEADER_NOT_AVAILABLE);
        let response = client.call(version, &ask(&[name], true)).await;
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
        assert_eq!(response.topics[0].partitions.len(), 3);
    }
}

/// Trap 11.
#[tokio::test]
async fn no_topic_is_made_without_both_permissions() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for _ in 0..2 {
        let unknown = code(&mut client, 12, "t", false).await;
        assert_eq!(unknown, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    let server = Server::start_with(|config| config.auto_create = false).await;
    let mut client = server.connect().await;
    for _ in 0..2 {
        let unknown = code(&mut client, 12, "t", true).await;
        assert_eq!(unknown, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
}

/// Trap 12.
#[tokio::test]
async fn invalid_names_are_said_to_be_so() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for name in ["", ".", "a b", "a/b", &"x".repeat(250)] {
        let refused = code(&mut client, 12, name, true).await;
        assert_eq!(refused, ErrorCode::INVALID_TOPIC_EXCEPTION, "{name}");
    }
}

/// Trap 16.
#[tokio::test]
async fn topics_are_found_by_id() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client, "t", &[]).await;
    let by_id = |topic_id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            topic_id,
            name: None,
        }]),
        ..MetadataRequest::default()
    };
    let found = client.call(12, &by_id(id)).await;
    assert_eq!(found.topics[0].name.as_deref(), Some("t"));
    let unknown = client.call(12, &by_id(Uuid::from_u128(7))).await;
    assert_eq!(unknown.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
}

/// Trap 17.
#[tokio::test]
async fn operations_are_listed_when_asked_for() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    let request = MetadataRequest {
        include_topic_authorized_operations: true,
        include_cluster_authorized_operations: true,
        ..ask(&["t"], false)
    };
    let response = client.call(8, &request).await;
    assert_eq!(response.topics[0].topic_authorized_operations, 3576);
    assert_eq!(response.cluster_authorized_operations, 8096);
}

/// Trap 15.
#[tokio::test]
async fn clients_are_told_the_advertised_address() {
    let advertised = Some("kafka.example:1234".to_owned());
    let server = Server::start_with(|config| config.advertised = advertised).await;
    let response = server.connect().await.call(12, &ask(&[], false)).await;
    assert_eq!(response.brokers[0].host, "kafka.example");
    assert_eq!(response.brokers[0].port, 1234);
}
