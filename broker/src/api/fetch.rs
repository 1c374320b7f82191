//! Fetch: whole batches as they lie, or a wait until there are enough of them.
//!
//! Never visits a shard: it reads immutable views. With too little to give it parks at the high watermark
//! of every partition and reads again when one of them moves. Sessions (KIP-227) are declined with id 0,
//! which every client understands as "send it all each time".

use std::sync::Arc;
use std::time::Duration;

use headrace_protocol::fetch::{
    EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchTopic,
    FetchableTopicResponse, PartitionData,
};
use headrace_protocol::{ErrorCode, Records};
use headrace_storage::{LeaderEpoch, LogView, Offset};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Call;
use super::list_offsets::check_epoch;
use crate::error::read_code;
use crate::partition::{Handle, Parked, Topics};

/// Bytes of one response, whatever the client would take (Kafka's `fetch.max.bytes`); the first batch may
/// be larger.
const RESPONSE_BYTES_MAX: usize = 55 << 20;

/// The longest wait, whatever the client would wait for.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// The first version of Fetch whose clients know zstd.
const ZSTD_FROM_VERSION: i16 = 10;

/// One pass over the partitions of a request.
struct Pass {
    responses: Vec<FetchableTopicResponse>,
    size_bytes: usize,
    /// Something that the client must see at once.
    urgent: bool,
}

pub(super) async fn handle(call: Call, request: FetchRequest) -> FetchResponse {
    if let Some(error_code) = check_session(&request) {
        return FetchResponse {
            error_code,
            ..FetchResponse::default()
        };
    }
    let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    let deadline = Instant::now() + Duration::from_millis(wait_ms).min(WAIT_MAX);
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let wake = Arc::new(Notify::new());
    let mut parked: Option<Vec<Parked>> = None;
    loop {
        let topics = call.node.registry.topics();
        let pass = read(&call, &topics, &request);
        let done = pass.urgent || pass.size_bytes >= enough || request.topics.is_empty();
        if done || Instant::now() >= deadline {
            return FetchResponse {
                responses: pass.responses,
                ..FetchResponse::default()
            };
        }
        if parked.is_none() {
            // parked first, then read again: what came in between is not missed
            parked = Some(park(&call, &topics, &request, &wake));
        } else if timeout_at(deadline, wake.notified()).await.is_err() {
            // time is up: what there is now is the answer, however little
        }
    }
}

/// No session was ever given out, so any that is named is not known.
fn check_session(request: &FetchRequest) -> Option<ErrorCode> {
    match (request.session_id, request.session_epoch) {
        (0, -1 | 0) => None,
        (0, _) => Some(ErrorCode::INVALID_FETCH_SESSION_EPOCH),
        _ => Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND),
    }
}

fn find<'a>(
    call: &Call,
    topics: &'a Topics,
    asked: &FetchTopic,
    partition: i32,
) -> Result<&'a Handle, ErrorCode> {
    let topic = if call.version >= 13 {
        topics
            .by_id(asked.topic_id)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?
    } else {
        topics
            .by_name(&asked.topic)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?
    };
    topic
        .partition(partition)
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn park(call: &Call, topics: &Topics, request: &FetchRequest, wake: &Arc<Notify>) -> Vec<Parked> {
    let handles = request.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.filter_map(|asked| find(call, topics, topic, asked.partition).ok())
    });
    handles.map(|handle| handle.park(wake)).collect()
}

fn read(call: &Call, topics: &Topics, request: &FetchRequest) -> Pass {
    let wanted = usize::try_from(request.max_bytes).unwrap_or(0);
    let mut pass = Pass {
        responses: Vec::with_capacity(request.topics.len()),
        size_bytes: 0,
        urgent: false,
    };
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let left = wanted
                .min(RESPONSE_BYTES_MAX)
                .saturating_sub(pass.size_bytes);
            let at_least_one = pass.size_bytes == 0;
            let read = find(call, topics, topic, asked.partition)
                .and_then(|handle| read_partition(call, &handle.view(), asked, left, at_least_one));
            let mut data = read.unwrap_or_else(|error_code| PartitionData {
                error_code,
                ..PartitionData::default()
            });
            data.partition_index = asked.partition;
            if request.isolation_level == 1 && data.error_code.is_ok() {
                // nobody can have aborted anything yet
                data.aborted_transactions = Some(Vec::new());
            }
            pass.size_bytes += data.records.as_ref().map_or(0, Records::len);
            pass.urgent |= data.error_code.is_err() || data.diverging_epoch.end_offset >= 0;
            partitions.push(data);
        }
        pass.responses.push(FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions,
        });
    }
    pass
}

fn read_partition(
    call: &Call,
    view: &LogView,
    asked: &FetchPartition,
    left_bytes: usize,
    at_least_one: bool,
) -> Result<PartitionData, ErrorCode> {
    check_epoch(view, asked.current_leader_epoch)?;
    let from = Offset(asked.fetch_offset);
    if from < view.log_start() || from > view.log_end() {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    let mut data = PartitionData {
        high_watermark: view.high_watermark().0,
        last_stable_offset: view.last_stable().0,
        log_start_offset: view.log_start().0,
        ..PartitionData::default()
    };
    if let Some(diverging) = diverging(view, asked) {
        data.diverging_epoch = diverging;
        return Ok(data);
    }
    let upto = view.last_stable();
    let partition_bytes = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
    let bytes_max = partition_bytes.min(left_bytes);
    if from < upto && (bytes_max > 0 || at_least_one) {
        let pieces = view
            .read(from, upto, bytes_max, at_least_one)
            .map_err(|failed| {
                tracing::error!(%failed, "log cannot be read");
                read_code(&failed)
            })?;
        if call.version < ZSTD_FROM_VERSION && pieces.iter().any(|piece| holds_zstd(piece)) {
            return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        }
        data.records = Some(Records::from(pieces));
    }
    Ok(data)
}

/// Whether what the client read last was written by an epoch that ended earlier here (KIP-595).
fn diverging(view: &LogView, asked: &FetchPartition) -> Option<EpochEndOffset> {
    if asked.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end_offset) = view.end_offset_for_epoch(LeaderEpoch(asked.last_fetched_epoch))?;
    let diverges = epoch.0 < asked.last_fetched_epoch || end_offset.0 < asked.fetch_offset;
    diverges.then_some(EpochEndOffset {
        epoch: epoch.0,
        end_offset: end_offset.0,
    })
}

/// Walks the headers of whole batches.
fn holds_zstd(mut batches: &[u8]) -> bool {
    while let Some(header) = batches.first_chunk::<23>() {
        let length = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if header[22] & 0x07 == 4 {
            return true;
        }
        let size = usize::try_from(length).map_or(usize::MAX, |length| length + 12);
        batches = batches.get(size..).unwrap_or_default();
    }
    false
}
