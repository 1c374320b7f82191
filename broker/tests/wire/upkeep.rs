//! Retention, rolls and compaction as clients see them, under a clock that is moved by hand.

use headrace_protocol::ErrorCode;
use headrace_storage::fs::Disk as _;
use headrace_storage::record::{BatchBuilder, Compression};

use crate::admin::get;
use crate::requests::{create_topic, fetch, produced, read_all, records};
use crate::support::{Client, Server};

/// Larger than a third of the smallest segment, so that three fill one.
const VALUE_BYTES: usize = 400 << 10;
const HOUR_MS: i64 = 3_600_000;
/// How often a test has the upkeep done until what it waits for must have come: each turn ends with the shards'
/// answers, only syncs of entries just appended lie in between.
const TURNS_MAX: usize = 2_000;

/// A topic of small segments, and settings of the test.
pub(crate) async fn start(settings: &[(&str, &str)]) -> (Server, Client) {
    let server = Server::start_with(|config| config.free_space_min_percent = 0).await;
    let mut client = server.connect().await;
    let mut all = vec![("segment.bytes", "1048576"), ("file.delete.delay.ms", "0")];
    all.retain(|(name, _)| settings.iter().all(|(other, _)| name != other));
    all.extend(settings);
    create_topic(&mut client, "t", &all).await;
    (server, client)
}

/// Appends a large record of this key, timestamped now.
pub(crate) async fn append(server: &Server, client: &mut Client, key: &str) -> i64 {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = vec![b'v'; VALUE_BYTES];
    builder.push(server.now_ms(), Some(key.as_bytes()), Some(&value), &[]);
    produced(client, "t", builder.build().to_bytes()).await
}

/// Has the upkeep done until `reached` holds.
pub(crate) async fn until(server: &Server, what: &str, mut reached: impl FnMut(&Server) -> bool) {
    for _ in 0..TURNS_MAX {
        if reached(server) {
            return;
        }
        server.broker.registry().upkeep_now().await;
    }
    panic!("did not come: {what}");
}

pub(crate) fn log_start(server: &Server) -> i64 {
    let view = server.broker.registry().partition("t", 0).unwrap().view();
    view.log_start().0
}

/// The segment files of the topic.
pub(crate) fn files(server: &Server) -> usize {
    let topic = server.broker.registry().topic("t").unwrap();
    let dir = format!("/data/topics/{}-0", topic.id);
    let names = server.disk().list(dir.as_ref()).unwrap();
    let is_segment = |name: &&String| name.strip_suffix(".log").is_some();
    names.iter().filter(is_segment).count()
}

#[tokio::test]
async fn the_oldest_segments_go_when_a_log_is_too_large() {
    let (server, mut client) = start(&[("retention.bytes", "1500000")]).await;
    for _ in 0..8 {
        append(&server, &mut client, "k").await;
    }
    // two records in each segment, the last is the active one
    assert_eq!(files(&server), 4);
    until(&server, "a move of the log start", |server| {
        log_start(server) == 4
    })
    .await;
    until(&server, "the removal", |server| files(server) == 2).await;
    let gone = fetch(&mut client, "t", 0).await;
    assert_eq!(gone.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    let first = fetch(&mut client, "t", 4).await;
    assert_eq!(
        (first.error_code, first.log_start_offset),
        (ErrorCode::NONE, 4)
    );
    let server = server.crash().await;
    assert_eq!(log_start(&server), 4);
    assert_eq!(files(&server), 2);
}

#[tokio::test]
async fn segments_go_by_age_and_the_active_one_ends_first() {
    let (server, mut client) = start(&[("retention.ms", "3600000")]).await;
    for _ in 0..4 {
        append(&server, &mut client, "k").await;
    }
    server.broker.registry().upkeep_now().await;
    assert_eq!(log_start(&server), 0);
    server.clock.advance(HOUR_MS + 1000);
    append(&server, &mut client, "new").await;
    until(&server, "the old ones to go", |server| {
        log_start(server) == 4
    })
    .await;
    assert_eq!(append(&server, &mut client, "newer").await, 5);
    server.clock.advance(HOUR_MS + 1000);
    until(&server, "all to go", |server| log_start(server) == 6).await;
    until(&server, "the removal", |server| files(server) <= 2).await;
    assert_eq!(append(&server, &mut client, "newest").await, 6);
}

#[tokio::test]
async fn files_stay_for_their_delay() {
    let settings = [("retention.bytes", "1"), ("file.delete.delay.ms", "60000")];
    let (server, mut client) = start(&settings).await;
    for _ in 0..6 {
        append(&server, &mut client, "k").await;
    }
    until(&server, "a move of the log start", |server| {
        log_start(server) == 4
    })
    .await;
    for _ in 0..10 {
        server.broker.registry().upkeep_now().await;
    }
    assert_eq!(files(&server), 3);
    server.clock.advance(61_000);
    until(&server, "the removal", |server| files(server) == 1).await;
}

#[tokio::test]
async fn files_go_from_a_log_whose_start_moves_at_every_look() {
    let settings = [("retention.bytes", "1"), ("file.delete.delay.ms", "60000")];
    let (server, mut client) = start(&settings).await;
    for _ in 0..10 {
        // answered, so what the look before asked for is committed too
        for _ in 0..2 {
            append(&server, &mut client, "k").await;
        }
        server.broker.registry().upkeep_now().await;
        server.clock.advance(5 * 60_000);
    }
    server.broker.registry().upkeep_now().await;
    assert!(files(&server) <= 4, "{} files", files(&server));
}

#[tokio::test]
async fn an_idle_log_ends_its_segment_in_time() {
    let (server, mut client) = start(&[("segment.ms", "3600000")]).await;
    append(&server, &mut client, "k").await;
    server.broker.registry().upkeep_now().await;
    let sealed = |server: &Server| {
        let handle = server.broker.registry().partition("t", 0).unwrap();
        handle.view().segments().len()
    };
    assert_eq!(sealed(&server), 0);
    server.clock.advance(HOUR_MS + 1000);
    until(&server, "the roll", |server| sealed(server) == 1).await;
    for _ in 0..10 {
        server.broker.registry().upkeep_now().await;
    }
    assert_eq!(sealed(&server), 1, "a segment without data is not rolled");
    assert_eq!(server.broker.registry().upkeep_stats().rolls.get(), 1);
}

#[tokio::test]
async fn a_compacted_topic_keeps_the_last_record_of_each_key() {
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let (server, mut client) = start(&settings).await;
    for round in 0..10 {
        append(&server, &mut client, if round % 2 == 0 { "a" } else { "b" }).await;
    }
    let stats = |server: &Server| server.broker.registry().upkeep_stats().cleanings.get();
    until(&server, "a compaction", |server| stats(server) > 0).await;
    let mut offsets = Vec::new();
    let mut from = 0;
    while from < 10 {
        let data = fetch(&mut client, "t", from).await;
        assert_eq!(data.error_code, ErrorCode::NONE);
        offsets.extend(records(&data).iter().map(|(offset, _)| *offset));
        from = offsets.last().map_or(10, |last| last + 1);
    }
    assert!(offsets.len() < 10, "{offsets:?}");
    assert!(offsets.ends_with(&[8, 9]), "{offsets:?}");
    assert_eq!(log_start(&server), 0, "compaction moves no log start");
    let reclaimed = &server
        .broker
        .registry()
        .upkeep_stats()
        .cleaning_reclaimed_bytes;
    assert!(reclaimed.get() > 1_000_000);
}

#[tokio::test]
async fn nothing_goes_that_the_settings_keep() {
    let settings = [("retention.ms", "-1"), ("segment.ms", "1000")];
    let (server, mut client) = start(&settings).await;
    for _ in 0..4 {
        append(&server, &mut client, "k").await;
    }
    server.clock.advance(10_000 * HOUR_MS);
    for _ in 0..10 {
        server.broker.registry().upkeep_now().await;
    }
    assert_eq!(log_start(&server), 0);
    assert_eq!(read_all(&mut client, "t").await.len(), 4);
}

#[tokio::test]
async fn a_flipped_byte_is_found_shown_and_not_served() {
    let (server, mut client) = start(&[]).await;
    for _ in 0..4 {
        append(&server, &mut client, "k").await;
    }
    server.broker.registry().scrub_now().await;
    assert_eq!(server.broker.troubles()(), Vec::<String>::new());
    let topic = server.broker.registry().topic("t").unwrap();
    let view = topic.partition(0).unwrap().view();
    let path = view.segments()[0].path.clone();
    server.disk().damage(&path, |bytes| bytes[1000] ^= 1);
    server.broker.registry().scrub_now().await;
    let troubles = server.broker.troubles()();
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(
        troubles[0].ends_with("batch checksum does not match; offsets 0 up to 1 are not served"),
        "{troubles:?}"
    );
    let body = get(&server, "/v1/broker").await;
    assert!(body.contains(r#""damaged":["/data/topics/"#), "{body}");
    let refused = fetch(&mut client, "t", 0).await;
    assert_eq!(refused.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    let next = fetch(&mut client, "t", 1).await;
    assert_eq!(next.error_code, ErrorCode::NONE);
    assert_eq!(records(&next)[0].0, 1);
    assert_eq!(
        server.broker.registry().upkeep_stats().scrub_errors.get(),
        1
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_compacted_is_told_once_and_left_alone() {
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let (server, mut client) = start(&settings).await;
    for _ in 0..4 {
        append(&server, &mut client, "a").await;
    }
    let topic = server.broker.registry().topic("t").unwrap();
    let view = topic.partition(0).unwrap().view();
    let path = view.segments()[0].path.clone();
    server.disk().damage(&path, |bytes| bytes[1000] ^= 1);
    let counts = |server: &Server| {
        let stats = server.broker.registry().upkeep_stats();
        (stats.cleanings_failed.get(), stats.uncleanable_logs.get())
    };
    until(&server, "a failure", |server| counts(server).0 > 0).await;
    for _ in 0..10 {
        server.broker.registry().upkeep_now().await;
        assert_eq!(counts(&server), (1, 1));
        append(&server, &mut client, "a").await;
    }
}
