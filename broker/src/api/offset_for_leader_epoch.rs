//! OffsetForLeaderEpoch: where a leader's epoch ended, as the log itself says.

use headrace_protocol::ErrorCode;
use headrace_protocol::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopic, OffsetForLeaderTopicResult,
};
use headrace_storage::LeaderEpoch;

use super::Call;
use super::list_offsets::check_epoch;
use crate::partition::{NotServed, Topic};

pub(super) async fn handle(
    call: Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let answer = |OffsetForLeaderTopic { topic, partitions }| {
        let found = call.node.registry.topic(&topic);
        let end = |asked: &OffsetForLeaderPartition| match end(found.as_deref(), asked) {
            Ok(found) => found,
            Err(error_code) => EpochEndOffset {
                error_code,
                partition: asked.partition,
                ..EpochEndOffset::default()
            },
        };
        OffsetForLeaderTopicResult {
            partitions: partitions.iter().map(end).collect(),
            topic,
        }
    };
    OffsetForLeaderEpochResponse {
        topics: request.topics.into_iter().map(answer).collect(),
        ..OffsetForLeaderEpochResponse::default()
    }
}

fn end(
    topic: Option<&Topic>,
    asked: &OffsetForLeaderPartition,
) -> Result<EpochEndOffset, ErrorCode> {
    let topic = topic.ok_or(NotServed::Unknown)?;
    let view = topic.partition(asked.partition)?.view();
    check_epoch(&view, asked.current_leader_epoch)?;
    let mut answer = EpochEndOffset {
        partition: asked.partition,
        ..EpochEndOffset::default()
    };
    // a negative epoch is none: nothing was ever written in it
    let epoch = Some(LeaderEpoch(asked.leader_epoch)).filter(|epoch| epoch.0 >= 0);
    if let Some((epoch, end)) = epoch.and_then(|epoch| view.end_offset_for_epoch(epoch)) {
        answer.leader_epoch = epoch.0;
        answer.end_offset = end.0;
    }
    Ok(answer)
}
