//! OffsetForLeaderEpoch, and the fencing of clients that know another leader.

use headrace_protocol::ErrorCode;
use headrace_protocol::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::requests::{batch, create_topic, produced};
use crate::support::{Client, Server};

async fn end(client: &mut Client, current: i32, epoch: i32) -> EpochEndOffset {
    let request = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: current,
                leader_epoch: epoch,
            }],
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let mut answers = Vec::new();
    for version in 2..=4 {
        let mut answer = client.call(version, &request).await;
        answers.push(answer.topics.remove(0).partitions.remove(0));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    answers.remove(0)
}

/// `(epoch, end)` of a good answer.
async fn ends(client: &mut Client, epoch: i32) -> (i32, i64) {
    let answer = end(client, -1, epoch).await;
    assert_eq!(answer.error_code, ErrorCode::NONE);
    (answer.leader_epoch, answer.end_offset)
}

/// Trap 36, and 14: an epoch for each start, never less than before, found again from the log alone.
#[tokio::test]
async fn the_end_of_the_greatest_epoch_not_above_the_one_asked_for_is_told() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["a", "b"])).await;
    for stop_cleanly in [true, false] {
        server = if stop_cleanly {
            server.restart().await
        } else {
            server.crash().await
        };
        let mut client = server.connect().await;
        produced(&mut client, "t", batch(&["c"])).await;
    }
    let mut client = server.connect().await;
    let found = [
        ends(&mut client, 0).await,
        ends(&mut client, 1).await,
        ends(&mut client, 2).await,
        ends(&mut client, 3).await,
        ends(&mut client, 4).await,
        ends(&mut client, -1).await,
    ];
    // an epoch before all ends where the first begins; one that nobody led in is unknown
    assert_eq!(found, [(0, 0), (1, 2), (2, 3), (3, 4), (-1, -1), (-1, -1)]);
}

/// Trap 36.
#[tokio::test]
async fn a_client_of_another_epoch_is_fenced() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    for (current, code) in [
        (0, ErrorCode::FENCED_LEADER_EPOCH),
        (1, ErrorCode::NONE),
        (2, ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        let answer = end(&mut client, current, 1).await;
        assert_eq!(answer.error_code, code);
        assert_eq!(answer.end_offset, if code.is_ok() { 0 } else { -1 });
    }
}

#[tokio::test]
async fn the_epochs_of_a_partition_that_is_not_there_are_unknown() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let answer = end(&mut client, -1, 1).await;
    assert_eq!(answer.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}
