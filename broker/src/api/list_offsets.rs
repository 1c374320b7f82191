//! ListOffsets: the ends of a log, and the first record at or after a time.
//!
//! A search reads the disk, so it runs on a thread that may block.

use std::sync::Arc;

use headrace_protocol::ErrorCode;
use headrace_protocol::list_offsets::{
    EARLIEST, EARLIEST_LOCAL, LATEST, LATEST_TIERED, ListOffsetsPartition,
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
    ListOffsetsTopicResponse, MAX_TIMESTAMP,
};
use headrace_storage::{LogView, Offset, ReadError};
use tokio::task::spawn_blocking;

use super::Call;
use crate::error::read_code;
use crate::partition::{NotServed, Topic};

/// An offset, and the timestamp it was found by (-1 if by none).
type Found = Option<(Offset, i64)>;

pub(super) async fn handle(call: Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for ListOffsetsTopic { name, partitions } in request.topics {
        let topic = call.node.registry.topic(&name);
        let mut answers = Vec::with_capacity(partitions.len());
        for asked in partitions {
            answers.push(answer(&call, topic.as_ref(), &asked).await);
        }
        topics.push(ListOffsetsTopicResponse {
            name,
            partitions: answers,
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

async fn answer(
    call: &Call,
    topic: Option<&Arc<Topic>>,
    asked: &ListOffsetsPartition,
) -> ListOffsetsPartitionResponse {
    let mut answer = ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        ..ListOffsetsPartitionResponse::default()
    };
    let topic = topic.ok_or(NotServed::Unknown);
    let handle = match topic.and_then(|topic| topic.partition(asked.partition_index)) {
        Ok(handle) => handle,
        Err(reason) => {
            answer.error_code = reason.into();
            return answer;
        }
    };
    let view = handle.view();
    match find(&view, asked, call.version).await {
        Err(error_code) => answer.error_code = error_code,
        Ok(None) => {}
        Ok(Some((offset, timestamp))) => {
            answer.offset = offset.0;
            answer.timestamp = timestamp;
            if call.version >= 4 {
                answer.leader_epoch = view.epoch_at(offset).0;
            }
        }
    }
    answer
}

async fn find(
    view: &Arc<LogView>,
    asked: &ListOffsetsPartition,
    version: i16,
) -> Result<Found, ErrorCode> {
    check_epoch(view, asked.current_leader_epoch)?;
    let upto = view.last_stable();
    match asked.timestamp {
        LATEST => Ok(Some((upto, -1))),
        EARLIEST => Ok(Some((view.log_start(), -1))),
        MAX_TIMESTAMP if version >= 7 => search(view, move |view| view.max_timestamp(upto)).await,
        EARLIEST_LOCAL if version >= 8 => Ok(Some((view.log_start(), -1))),
        // nothing is in tiered storage
        LATEST_TIERED if version >= 9 => Ok(None),
        timestamp if timestamp >= 0 => {
            search(view, move |view| view.find_timestamp(timestamp, upto)).await
        }
        _ => Err(ErrorCode::UNSUPPORTED_VERSION),
    }
}

async fn search(
    view: &Arc<LogView>,
    search: impl FnOnce(&LogView) -> Result<Found, ReadError> + Send + 'static,
) -> Result<Found, ErrorCode> {
    let view = Arc::clone(view);
    match spawn_blocking(move || search(&view)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(failed)) => {
            tracing::error!(%failed, "log cannot be searched");
            Err(read_code(&failed))
        }
        Err(_) => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

/// Whether the client and this broker mean the same leader (KIP-320); -1 asks for no check.
pub(super) fn check_epoch(view: &LogView, current_leader_epoch: i32) -> Result<(), ErrorCode> {
    let ours = view.epoch().0;
    match current_leader_epoch {
        -1 => Ok(()),
        theirs if theirs < ours => Err(ErrorCode::FENCED_LEADER_EPOCH),
        theirs if theirs > ours => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}
