//! Damaged frames by the thousand through the real connection: nothing panics, hangs or leaks, and nobody is
//! given the answer to another's request. `HEADRACE_MUTATED_FRAMES` says how many (`make soak`: a million).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headrace_protocol::header::encode_request_frame;
use headrace_protocol::{ErrorCode, Request};
use headrace_protocol::{
    api_versions, create_topics, delete_topics, describe_configs, describe_groups, fetch,
    find_coordinator, heartbeat, init_producer_id, join_group, leave_group, list_groups,
    list_offsets, metadata, offset_commit, offset_fetch, sync_group,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::random::Random;
use crate::requests::{batch, create_topic, fetch_request, produce_request, produced, read_all};
use crate::support::{Client, Server};

/// Frames of a usual run: some seconds.
const FRAMES: usize = 20_000;
/// Connections at a time.
const SENDERS: usize = 16;
/// The correlation ids of the damaged frame and of the sound one behind it.
const DAMAGED: i32 = 0x0dad_0dad;
const SOUND: i32 = 0x50bd_50bd;
/// A frame that the broker waits behind (a fetch, a rebalance) is left after this.
const PATIENCE: Duration = Duration::from_millis(100);
/// Whoever waits for longer than this hangs.
const HANG: Duration = Duration::from_secs(20);

/// A sound frame of every API and version.
fn sound_frames() -> Vec<Bytes> {
    let session = fetch::FetchRequest {
        session_epoch: 0,
        ..fetch_request("t", 0)
    };
    [
        framed(&produce_request("t", -1, batch(&["a", "b"]))),
        framed(&produce_request("t", 0, batch(&["a", "b"]))),
        framed(&fetch_request("t", 0)),
        framed(&session),
        framed(&list_offsets()),
        usual::<metadata::MetadataRequest>(),
        usual::<offset_commit::OffsetCommitRequest>(),
        usual::<offset_fetch::OffsetFetchRequest>(),
        usual::<find_coordinator::FindCoordinatorRequest>(),
        usual::<join_group::JoinGroupRequest>(),
        usual::<heartbeat::HeartbeatRequest>(),
        usual::<leave_group::LeaveGroupRequest>(),
        usual::<sync_group::SyncGroupRequest>(),
        usual::<describe_groups::DescribeGroupsRequest>(),
        usual::<list_groups::ListGroupsRequest>(),
        usual::<api_versions::ApiVersionsRequest>(),
        usual::<create_topics::CreateTopicsRequest>(),
        usual::<delete_topics::DeleteTopicsRequest>(),
        usual::<init_producer_id::InitProducerIdRequest>(),
        usual::<describe_configs::DescribeConfigsRequest>(),
    ]
    .concat()
}

/// A request in every version that can carry it.
fn framed<R: Request>(request: &R) -> Vec<Bytes> {
    let versions = R::KEY.served().into_iter().flatten();
    let frames = versions.filter_map(|version| {
        let frame = encode_request_frame(DAMAGED, Some("mutant".into()), version, request);
        frame.ok().map(|frame| Bytes::from(frame.concat()))
    });
    frames.collect()
}

fn usual<R: Request + Default>() -> Vec<Bytes> {
    framed(&R::default())
}

fn list_offsets() -> list_offsets::ListOffsetsRequest {
    list_offsets::ListOffsetsRequest {
        topics: vec![list_offsets::ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![list_offsets::ListOffsetsPartition {
                timestamp: 5,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

/// The same frame with some of it changed, cut out, put twice, or made a number of moment.
fn mutate(frame: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    for _ in 0..=random.below(3) {
        // the length itself now and then
        let from = if random.below(16) == 0 { 0 } else { 4 };
        if bytes.len() <= from {
            break;
        }
        let at = from + random.below(bytes.len() - from);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.bytes(1)[0],
            2 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
            3 => {
                let length = random.below(40);
                let more = random.bytes(length);
                bytes.splice(at..at, more);
            }
            4 => {
                let numbers = [-1_i32, 0, 1, i32::MAX, i32::MIN, 0x00ff_ffff];
                let number = numbers[random.below(numbers.len())].to_be_bytes();
                let end = (at + 4).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            _ => {
                let end = (at + random.below(60)).min(bytes.len());
                let twice = bytes[at..end].to_vec();
                bytes.splice(at..at, twice);
            }
        }
    }
    // mostly the length is right, so that what lies behind it is read
    if random.below(8) > 0 && bytes.len() >= 4 {
        let length = i32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// How a damaged frame ended.
#[derive(Default)]
struct Ends {
    answered: AtomicUsize,
    closed: AtomicUsize,
    waits: AtomicUsize,
}

/// The correlation ids of the frames that lie in these bytes, as far as their lengths go.
fn asked(mut bytes: &[u8]) -> Vec<i32> {
    let number = |bytes: &[u8]| i32::from_be_bytes(*bytes.first_chunk().unwrap());
    let mut ids = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::try_from(number(bytes)).unwrap_or(usize::MAX);
        let Some((frame, rest)) = bytes[4..].split_at_checked(length) else {
            break;
        };
        ids.extend(frame.get(4..8).map(number));
        bytes = rest;
    }
    ids
}

/// Sends a damaged frame and a sound one, and looks at what comes back: answers to what was asked, in its
/// order. What is not a request has none and closes the connection; acks=0 has none.
async fn try_one(server: &Server, damaged: &[u8], sound: &[u8], ends: &Ends) {
    let mut client = server.connect().await;
    let sent = [damaged, sound].concat();
    client.send_quietly(&sent).await;
    let mut expected = asked(&sent);
    loop {
        let Ok(frame) = timeout(PATIENCE, client.receive_raw()).await else {
            ends.waits.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let Some(frame) = frame else {
            ends.closed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let id = i32::from_be_bytes(frame[..4].try_into().unwrap());
        let place = expected.iter().position(|expected| *expected == id);
        let place = place.unwrap_or_else(|| panic!("answer {id:#x} to {damaged:02x?}"));
        expected.drain(..=place);
        if expected.is_empty() {
            ends.answered.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}

/// Writes and reads in a topic of its own, and finds it as it left it.
async fn bystander(server: Arc<Server>, stop: Arc<AtomicUsize>) -> usize {
    let mut client = server.connect().await;
    let mut count = 0;
    while stop.load(Ordering::SeqCst) == 0 {
        let value = count.to_string();
        let sent = produced(&mut client, "neighbour", batch(&[&value]));
        let base = timeout(HANG, sent).await.expect("a bystander is answered");
        assert_eq!(base, i64::try_from(count).unwrap());
        count += 1;
        sleep(Duration::from_millis(5)).await;
    }
    count
}

/// trap 8: and the traps about framing in all their combinations
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_frames_panic_nothing_hang_nothing_leak_nothing_and_get_no_others_answer() {
    let frames_max = std::env::var("HEADRACE_MUTATED_FRAMES");
    let frames_max = frames_max.map_or(FRAMES, |count| count.parse().unwrap());
    let panics = crate::random::count_panics();
    let server = Arc::new(Server::start().await);
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    create_topic(&mut client, "neighbour", &[]).await;
    let stop = Arc::new(AtomicUsize::new(0));
    let neighbour = tokio::spawn(bystander(Arc::clone(&server), Arc::clone(&stop)));
    let sound: Arc<Vec<Bytes>> = Arc::new(sound_frames());
    let ends = Arc::new(Ends::default());
    let mut senders = JoinSet::new();
    for seed in 1..=u64::try_from(SENDERS).unwrap() {
        let (server, sound, ends) = (Arc::clone(&server), Arc::clone(&sound), Arc::clone(&ends));
        senders.spawn(async move {
            let mut random = Random::new(seed);
            let last = api_versions::ApiVersionsRequest::default();
            let last = encode_request_frame(SOUND, None, 0, &last)
                .unwrap()
                .concat();
            for _ in 0..frames_max / SENDERS {
                let frame = &sound[random.below(sound.len())];
                let damaged = mutate(frame, &mut random);
                try_one(&server, &damaged, &last, &ends).await;
            }
        });
    }
    senders.join_all().await;
    stop.store(1, Ordering::SeqCst);
    let count = neighbour.await.unwrap();
    let all = read_all(&mut client, "neighbour").await;
    let values: Vec<String> = (0..count).map(|value| value.to_string()).collect();
    assert_eq!(
        all.into_iter().map(|(_, value)| value).collect::<Vec<_>>(),
        values
    );
    assert_eq!(panics.load(Ordering::SeqCst), 0);
    let [answered, closed, waits] =
        [&ends.answered, &ends.closed, &ends.waits].map(|end| end.load(Ordering::Relaxed));
    let few = frames_max / 10;
    assert!(
        answered > few && closed > few && waits < few,
        "{answered} answered, {closed} closed, {waits} held their connection up"
    );
    nothing_is_left(&server, client).await;
}

/// Every connection but ours ends, and with them all memory that was held for them.
async fn nothing_is_left(server: &Server, mut client: Client) {
    let began = Instant::now();
    loop {
        let metrics = crate::refused::metrics(&server.broker);
        let gauge = |name: &str| {
            let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()
        };
        let connections = gauge("headrace_broker_connections ");
        let held = gauge("headrace_broker_memory_held_bytes ");
        if (connections, held) == (1, 0) {
            break;
        }
        assert!(
            began.elapsed() < HANG,
            "{connections} connections, {held} bytes held"
        );
        sleep(Duration::from_millis(20)).await;
    }
    let request = api_versions::ApiVersionsRequest::default();
    assert_eq!(client.call(0, &request).await.error_code, ErrorCode::NONE);
}
