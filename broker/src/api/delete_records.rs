//! DeleteRecords: logs begin later, durably and for every reader, when it is answered.
//!
//! The files go with the upkeep. A topic that is only compacted keeps the last record of each key, which this would
//! take: refused, as Kafka does.

use std::time::Duration;

use headrace_protocol::ErrorCode;
use headrace_protocol::Str;
use headrace_protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteRecordsTopic, DeleteRecordsTopicResult, HIGH_WATERMARK,
};
use headrace_storage::Offset;
use tokio::time::{Instant, timeout_at};

use super::Call;
use crate::partition::{AppendFailure, NotServed, Pending, Topic};

/// A partition of the request: its log start on its way, or why it stays.
struct Begun {
    index: i32,
    state: Result<Pending, ErrorCode>,
}

pub(super) async fn handle(call: Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let limit = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = Instant::now() + limit;
    // all are on their way before the first is waited for: they share syncs
    let mut begun: Vec<(Str, Vec<Begun>)> = Vec::with_capacity(request.topics.len());
    for DeleteRecordsTopic { name, partitions } in request.topics {
        let topic = call.node.registry.topic(&name);
        let mut states = Vec::with_capacity(partitions.len());
        for asked in partitions {
            states.push(Begun {
                index: asked.partition_index,
                state: begin(topic.as_deref(), &asked).await,
            });
        }
        begun.push((name, states));
    }
    let mut topics = Vec::with_capacity(begun.len());
    for (name, states) in begun {
        let mut partitions = Vec::with_capacity(states.len());
        for state in states {
            partitions.push(finish(state, deadline).await);
        }
        topics.push(DeleteRecordsTopicResult { name, partitions });
    }
    DeleteRecordsResponse {
        topics,
        ..DeleteRecordsResponse::default()
    }
}

async fn begin(
    topic: Option<&Topic>,
    asked: &DeleteRecordsPartition,
) -> Result<Pending, ErrorCode> {
    let topic = topic.ok_or(NotServed::Unknown)?;
    if topic.is_internal() {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let handle = topic.partition(asked.partition_index)?;
    if !topic.config.delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let high_watermark = handle.view().high_watermark();
    let below = match asked.offset {
        HIGH_WATERMARK => high_watermark,
        offset => Offset(offset),
    };
    if !(Offset(0)..=high_watermark).contains(&below) {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    handle
        .delete_records(below)
        .await
        .map_err(AppendFailure::code)
}

async fn finish(begun: Begun, deadline: Instant) -> DeleteRecordsPartitionResult {
    let started = match begun.state {
        Err(error_code) => Err(error_code),
        Ok(pending) => timeout_at(deadline, pending.answer())
            .await
            .unwrap_or(Err(AppendFailure::TimedOut))
            .map_err(AppendFailure::code),
    };
    let mut result = DeleteRecordsPartitionResult {
        partition_index: begun.index,
        ..DeleteRecordsPartitionResult::default()
    };
    match started {
        Ok(started) => result.low_watermark = started.log_start.0,
        Err(error_code) => result.error_code = error_code,
    }
    result
}
