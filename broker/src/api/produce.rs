//! Produce: batches are checked, take their place in the logs, and are answered when their acks hold.
//!
//! Two halves. The first runs as the request is read, so that requests which arrive one behind the other
//! share a group commit; the second waits. `acks=0` has no answer: a failure closes the connection.

mod batch;

use std::sync::Arc;
use std::time::Duration;

use headrace_protocol::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use headrace_protocol::{ErrorCode, Str};
use tokio::time::{Instant, timeout_at};

use super::{Answer, Call, Outcome, Refusal, encoded, leader_hints};
use crate::controller::topic_name;
use crate::partition::{Acks, AppendFailure, Pending, Topic};
use batch::Rejected;

/// Time for a write with acks 0 or 1. A disk that takes longer is broken; the client may ask again.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// A partition of the request: on its way into the log, or refused.
struct Begun {
    index: i32,
    log_start: i64,
    state: Result<Pending, Rejected>,
}

struct BegunTopic {
    name: Str,
    topic_id: uuid::Uuid,
    partitions: Vec<Begun>,
}

/// The first half; the answer is the second.
pub(super) async fn begin(request: ProduceRequest, call: Call) -> Answer {
    let acks = match request.acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    };
    // the client's limit is for replication; what a file takes is not its to bound
    let limit = match acks {
        Some(Acks::All) => Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)),
        _ => WRITE_TIME,
    };
    let deadline = Instant::now() + limit;
    let (correlation_id, version) = (call.correlation_id, call.version);
    // not the call: it would keep the request's frame
    let node = Arc::clone(&call.node);
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        topics.push(begin_topic(&call, topic, acks).await);
    }
    Box::pin(async move {
        let mut response = finish(topics, deadline).await;
        leader_hints::in_produce(&node, version, &mut response);
        if acks == Some(Acks::None) {
            return silence(&response);
        }
        encoded::<ProduceRequest>(correlation_id, version, &response)
    })
}

async fn begin_topic(call: &Call, asked: TopicProduceData, acks: Option<Acks>) -> BegunTopic {
    let TopicProduceData {
        name,
        topic_id,
        partition_data,
    } = asked;
    let topic = find(call, &name, topic_id);
    let mut partitions = Vec::with_capacity(partition_data.len());
    for partition in partition_data {
        partitions.push(match (&topic, acks) {
            (_, None) => refused(partition.index, ErrorCode::INVALID_REQUIRED_ACKS),
            (Err(error_code), _) => refused(partition.index, *error_code),
            (Ok(topic), Some(acks)) => begin_partition(call, topic, partition, acks).await,
        });
    }
    BegunTopic {
        // the batches are in the log while their answer waits: nothing else may keep the frame
        name: name.detached(),
        topic_id,
        partitions,
    }
}

fn find(call: &Call, name: &str, id: uuid::Uuid) -> Result<Arc<Topic>, ErrorCode> {
    let registry = &call.node.registry;
    let topic = if call.version >= 13 {
        registry
            .topic_by_id(id)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?
    } else if topic_name::is_valid(name) {
        registry
            .topic(name)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?
    } else {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    };
    if topic.is_internal() {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    Ok(topic)
}

async fn begin_partition(
    call: &Call,
    topic: &Topic,
    data: PartitionProduceData,
    acks: Acks,
) -> Begun {
    let handle = match topic.partition(data.index) {
        Ok(handle) => handle,
        Err(reason) => return refused(data.index, reason.into()),
    };
    let now_ms = call.node.clock.wall_ms();
    let state = match batch::check(data.records, &topic.config, call.version, now_ms) {
        Err(rejected) => Err(rejected),
        // this replica is the only one, and in sync
        Ok(_) if acks == Acks::All && topic.config.insync_replicas_min > 1 => {
            Err(Rejected::from(ErrorCode::NOT_ENOUGH_REPLICAS))
        }
        Ok(batch) => handle.submit(batch, acks).await.map_err(Rejected::from),
    };
    let log_start = handle.view().log_start().0;
    Begun {
        index: data.index,
        log_start,
        state,
    }
}

fn refused(index: i32, code: ErrorCode) -> Begun {
    Begun {
        index,
        log_start: -1,
        state: Err(Rejected::from(code)),
    }
}

/// Waits for every partition; none longer than the request allows.
async fn finish(topics: Vec<BegunTopic>, deadline: Instant) -> ProduceResponse {
    let mut responses = Vec::with_capacity(topics.len());
    for BegunTopic {
        name,
        topic_id,
        partitions,
    } in topics
    {
        let mut partition_responses = Vec::with_capacity(partitions.len());
        for begun in partitions {
            partition_responses.push(finish_partition(begun, deadline).await);
        }
        responses.push(TopicProduceResponse {
            name,
            topic_id,
            partition_responses,
        });
    }
    ProduceResponse {
        responses,
        ..ProduceResponse::default()
    }
}

async fn finish_partition(begun: Begun, deadline: Instant) -> PartitionProduceResponse {
    let Begun {
        index,
        log_start,
        state,
    } = begun;
    let appended = match state {
        Err(rejected) => Err(rejected),
        Ok(pending) => timeout_at(deadline, pending.answer())
            .await
            .unwrap_or(Err(AppendFailure::TimedOut))
            .map_err(Rejected::from),
    };
    match appended {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset.0,
            log_append_time_ms: appended.log_append_time,
            log_start_offset: appended.log_start.0,
            ..PartitionProduceResponse::default()
        },
        Err(Rejected {
            code,
            message,
            records,
        }) => PartitionProduceResponse {
            index,
            error_code: code,
            log_start_offset: log_start,
            error_message: message.map(Str::from),
            record_errors: records.into_iter().map(record_error).collect(),
            ..PartitionProduceResponse::default()
        },
    }
}

fn record_error((batch_index, message): (i32, &'static str)) -> BatchIndexAndErrorMessage {
    let batch_index_error_message = Some(Str::from_static(message));
    BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message,
    }
}

/// What a client that wants no answer gets.
fn silence(response: &ProduceResponse) -> Outcome {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    // waiting in vain is no failure: the batch may be written yet
    let failed = |code: ErrorCode| code.is_err() && code != ErrorCode::REQUEST_TIMED_OUT;
    let mut codes = partitions.map(|partition| partition.error_code);
    match codes.find(|code| failed(*code)) {
        Some(code) => Outcome::Close(Refusal::Unanswerable(code.to_string())),
        None => Outcome::Silence,
    }
}
