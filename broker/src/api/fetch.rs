//! Fetch: whole batches as they lie, or a wait until there are enough of them.
//!
//! Never visits a shard: it reads immutable views (`read`). What is not in memory is read on a thread that
//! may wait for the disk. With too little to give it parks at the high watermark of every partition and
//! reads again when one of them moves. Which partitions it is about a session may know (`fetch_session`).

mod read;

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use headrace_protocol::ErrorCode;
use headrace_protocol::fetch::{FetchRequest, FetchResponse};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use self::read::{Pass, Waits, read};
use super::{Call, leader_hints};
use crate::fetch_session::{Ask, Moment, Wanted};
use crate::partition::{Handle, Parked, Topics};

/// The longest wait, whatever the client would wait for.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// What an answer is about.
struct Asked {
    version: i16,
    isolation_level: i8,
    max_bytes: i32,
    wanted: Vec<Wanted>,
}

pub(super) async fn handle(call: Call, mut request: FetchRequest) -> FetchResponse {
    let sessions = &call.node.fetch_sessions;
    let registry = &call.node.registry;
    let name_of = |id| {
        registry
            .topic_by_id(id)
            .map(|topic| Arc::clone(&topic.name))
    };
    let moment = || Moment {
        now_ms: call.node.clock.wall_ms(),
        name_of: &name_of,
    };
    let begun = sessions.begin(
        moment(),
        Ask::of(&request, call.version),
        take(&mut request.topics),
        &request.forgotten_topics_data,
    );
    let (ticket, wanted) = match begun {
        Ok(begun) => begun,
        Err(error_code) => return failed(error_code),
    };
    let asked = Arc::new(Asked {
        version: call.version,
        isolation_level: request.isolation_level,
        max_bytes: request.max_bytes,
        wanted,
    });
    let pass = match gather(&call, &request, &asked).await {
        Ok(pass) => pass,
        Err(error_code) => return failed(error_code),
    };
    let mut answer = FetchResponse {
        responses: pass.responses,
        ..FetchResponse::default()
    };
    sessions.finish(moment(), ticket, &asked.wanted, &mut answer);
    leader_hints::in_fetch(&call.node, call.version, &mut answer);
    answer
}

fn failed(error_code: ErrorCode) -> FetchResponse {
    FetchResponse {
        error_code,
        ..FetchResponse::default()
    }
}

/// Reads until there is enough, something urgent, or no time left. While there is no room for records in
/// memory nothing is enough: the client is answered without when its time is up, and asks again.
async fn gather(
    call: &Call,
    request: &FetchRequest,
    asked: &Arc<Asked>,
) -> Result<Pass, ErrorCode> {
    let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    let deadline = Instant::now() + Duration::from_millis(wait_ms).min(WAIT_MAX);
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let wake = Arc::new(Notify::new());
    let mut parked: Option<Vec<Parked>> = None;
    loop {
        let topics = call.node.registry.topics();
        let room_bytes = call.node.memory.room_bytes();
        let pass = match read(&topics, asked, room_bytes, Waits::Never) {
            Some(pass) => pass,
            None => read_from_disk(call, asked).await?,
        };
        let done = pass.urgent || pass.size_bytes >= enough || asked.wanted.is_empty();
        if done || Instant::now() >= deadline {
            return Ok(pass);
        }
        if parked.is_none() {
            // parked first, then read again: what came in between is not missed
            parked = Some(park(&topics, asked, &wake));
        } else if timeout_at(deadline, wake.notified()).await.is_err() {
            // time is up: what there is now is the answer, however little
        }
    }
}

/// Reads on a thread that may wait for the disk: the threads that serve all the connections never do.
async fn read_from_disk(call: &Call, asked: &Arc<Asked>) -> Result<Pass, ErrorCode> {
    let places = Arc::clone(&call.node.disk_reads);
    let place = places.acquire_owned().await;
    let (node, asked) = (Arc::clone(&call.node), Arc::clone(asked));
    let pass = spawn_blocking(move || {
        let _place = place.expect("the semaphore is never closed");
        let room_bytes = node.memory.room_bytes();
        read(&node.registry.topics(), &asked, room_bytes, Waits::ForDisk)
    });
    let pass = pass.await.ok().flatten();
    pass.ok_or(ErrorCode::UNKNOWN_SERVER_ERROR)
}

fn find<'a>(
    topics: &'a Topics,
    version: i16,
    wanted: &Wanted,
    partition: i32,
) -> Result<&'a Handle, ErrorCode> {
    let asked = &wanted.topic;
    let topic = if version >= 13 {
        topics
            .by_id(asked.topic_id)
            .ok_or_else(|| gone(topics, wanted))?
    } else {
        topics
            .by_name(&asked.topic)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?
    };
    topic.partition(partition).map_err(ErrorCode::from)
}

/// The code for an id that no topic has: a session may have known it, and its name may be another topic's.
fn gone(topics: &Topics, wanted: &Wanted) -> ErrorCode {
    let name = wanted.known_as.as_deref();
    match name.and_then(|name| topics.by_name(name)) {
        Some(_) => ErrorCode::INCONSISTENT_TOPIC_ID,
        None => ErrorCode::UNKNOWN_TOPIC_ID,
    }
}

fn park(topics: &Topics, asked: &Asked, wake: &Arc<Notify>) -> Vec<Parked> {
    let handles = asked.wanted.iter().flat_map(|wanted| {
        let partitions = wanted.topic.partitions.iter();
        partitions.filter_map(|place| find(topics, asked.version, wanted, place.partition).ok())
    });
    handles.map(|handle| handle.park(wake)).collect()
}
