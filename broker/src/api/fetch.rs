//! Fetch: whole batches as they lie, or a wait until there are enough of them.
//!
//! Never visits a shard: it reads immutable views (`read`). What is not in memory is read on a thread that
//! may wait for the disk. With too little to give it parks at the high watermark of every partition and
//! reads again when one of them moves. Sessions (KIP-227) are declined with id 0, which every client
//! understands as "send it all each time".

mod read;

use std::sync::Arc;
use std::time::Duration;

use headrace_protocol::ErrorCode;
use headrace_protocol::fetch::{FetchRequest, FetchResponse, FetchTopic};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use self::read::{Pass, Waits, read};
use super::Call;
use crate::partition::{Handle, Parked, Topics};

/// The longest wait, whatever the client would wait for.
const WAIT_MAX: Duration = Duration::from_mins(5);

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
    let request = Arc::new(request);
    loop {
        let topics = call.node.registry.topics();
        let pass = match read(&call, &topics, &request, Waits::Never) {
            Some(pass) => pass,
            None => match read_from_disk(&call, &request).await {
                Ok(pass) => pass,
                Err(refused) => return refused,
            },
        };
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

/// Reads on a thread that may wait for the disk: the threads that serve all the connections never do.
async fn read_from_disk(call: &Call, request: &Arc<FetchRequest>) -> Result<Pass, FetchResponse> {
    let places = Arc::clone(&call.node.disk_reads);
    let place = places.acquire_owned().await;
    let (call, request) = (call.clone(), Arc::clone(request));
    let pass = spawn_blocking(move || {
        let _place = place.expect("the semaphore is never closed");
        read(
            &call,
            &call.node.registry.topics(),
            &request,
            Waits::ForDisk,
        )
    });
    pass.await.ok().flatten().ok_or_else(|| FetchResponse {
        error_code: ErrorCode::UNKNOWN_SERVER_ERROR,
        ..FetchResponse::default()
    })
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
    topic.partition(partition).map_err(ErrorCode::from)
}

fn park(call: &Call, topics: &Topics, request: &FetchRequest, wake: &Arc<Notify>) -> Vec<Parked> {
    let handles = request.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.filter_map(|asked| find(call, topics, topic, asked.partition).ok())
    });
    handles.map(|handle| handle.park(wake)).collect()
}
