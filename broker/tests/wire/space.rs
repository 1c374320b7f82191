//! A disk that fills up: who is refused when, what goes on, and that it heals by itself.

use headrace_protocol::ErrorCode;
use headrace_protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use headrace_protocol::find_coordinator::FindCoordinatorRequest;
use headrace_protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use headrace_storage::fs::Space;

use crate::admin::get;
use crate::requests::{batch, create, create_topic, produce, produced, read_all, topic};
use crate::support::{Client, Server};

const TOTAL_BYTES: u64 = 100 << 30;
/// Five percent, which is more than 2 GiB.
const RESERVE_BYTES: u64 = 5 << 30;

/// Fills or empties the disk, and has the broker look.
async fn leave(server: &Server, free_bytes: u64) {
    let total_bytes = TOTAL_BYTES;
    server.disk().set_space(Space {
        free_bytes,
        total_bytes,
    });
    server.broker.registry().upkeep_now().await;
}

/// Commits an offset of a group without members; the code.
async fn commit(client: &mut Client) -> ErrorCode {
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 1,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    loop {
        let answer = client.call(8, &request).await;
        match answer.topics[0].partitions[0].error_code {
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR => {}
            code => return code,
        }
    }
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_appends_until_there_is_room() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["before"])).await;
    let find = FindCoordinatorRequest {
        key: "g".into(),
        ..FindCoordinatorRequest::default()
    };
    client.call(2, &find).await;
    assert_eq!(commit(&mut client).await, ErrorCode::NONE);

    leave(&server, RESERVE_BYTES - 1).await;
    let refused = produce(&mut client, "t", batch(&["during"])).await;
    assert_eq!(refused.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(read_all(&mut client, "t").await, [(0, "before".to_owned())]);
    assert_eq!(commit(&mut client).await, ErrorCode::NONE);
    let made = create(&mut client, vec![topic("u", 1, &[])]).await;
    assert_eq!(made.topics[0].error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    assert!(
        get(&server, "/v1/broker")
            .await
            .contains(r#""appends":"internal""#)
    );
    assert!(server.broker.troubles()()[0].starts_with("the disk is nearly full: "));

    leave(&server, RESERVE_BYTES / 2 - 1).await;
    assert_eq!(
        commit(&mut client).await,
        ErrorCode::COORDINATOR_NOT_AVAILABLE
    );
    assert!(
        get(&server, "/v1/broker")
            .await
            .contains(r#""appends":"none""#)
    );

    leave(&server, RESERVE_BYTES + 1).await;
    let refused = produce(&mut client, "t", batch(&["a little room"])).await;
    assert_eq!(refused.error_code, ErrorCode::KAFKA_STORAGE_ERROR);

    leave(&server, 2 * RESERVE_BYTES).await;
    assert_eq!(produced(&mut client, "t", batch(&["after"])).await, 1);
    assert_eq!(commit(&mut client).await, ErrorCode::NONE);
    assert!(server.broker.troubles()().is_empty());
}

#[tokio::test]
async fn topics_are_deleted_on_a_full_disk() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["x"])).await;
    leave(&server, 0).await;
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("t".into()),
            ..DeleteTopicState::default()
        }],
        timeout_ms: 1000,
        ..DeleteTopicsRequest::default()
    };
    let answer = client.call(6, &request).await;
    assert_eq!(answer.responses[0].error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn the_reserve_is_a_setting() {
    let server = Server::start_with(|config| {
        config.free_space_min_bytes = 0;
        config.free_space_min_percent = 0;
    })
    .await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    leave(&server, 0).await;
    produced(&mut client, "t", batch(&["x"])).await;
}
