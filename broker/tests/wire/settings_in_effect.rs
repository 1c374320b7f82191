//! Settings that change while the broker runs: each is changed by request, and its effect is seen without a restart.

use headrace_protocol::ErrorCode;
use headrace_protocol::describe_configs::{RESOURCE_BROKER, RESOURCE_TOPIC};
use headrace_protocol::incremental_alter_configs::{OPERATION_DELETE, OPERATION_SET};
use headrace_storage::record::{BatchBuilder, Compression};

use crate::alter_configs::{alter, set};
use crate::requests::{
    PRODUCE, batch, create_topic, fetch, fetched_batches, only, produce, produce_request, produced,
    read_all,
};
use crate::support::{Client, Server};
use crate::upkeep::{append, files, log_start, start, until};

const HOUR_MS: i64 = 3_600_000;

async fn one_topic() -> (Server, Client) {
    let server = Server::start_with(|config| config.free_space_min_percent = 0).await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    (server, client)
}

fn sealed(server: &Server) -> usize {
    let handle = server.broker.registry().partition("t", 0).unwrap();
    handle.view().segments().len()
}

async fn refusal(client: &mut Client, records: bytes::Bytes) -> ErrorCode {
    produce(client, "t", records).await.error_code
}

/// trap 24
#[tokio::test]
async fn the_largest_batch_may_become_smaller_and_larger() {
    let (_server, mut client) = one_topic().await;
    let large = || batch(&[&"x".repeat(500)]);
    assert_eq!(produced(&mut client, "t", large()).await, 0);
    set(&mut client, &[("max.message.bytes", "200")]).await;
    assert_eq!(
        refusal(&mut client, large()).await,
        ErrorCode::MESSAGE_TOO_LARGE
    );
    assert_eq!(
        read_all(&mut client, "t").await.len(),
        1,
        "what is there is read"
    );
    set(&mut client, &[("max.message.bytes", "2000")]).await;
    assert_eq!(produced(&mut client, "t", large()).await, 1);
    let everywhere = [("message.max.bytes", OPERATION_SET, Some("200"))];
    assert_eq!(
        alter(&mut client, (RESOURCE_BROKER, ""), &everywhere).await,
        ErrorCode::NONE
    );
    assert_eq!(
        produced(&mut client, "t", large()).await,
        2,
        "the topic's own counts"
    );
    let delete = [("max.message.bytes", OPERATION_DELETE, None)];
    assert_eq!(
        alter(&mut client, (RESOURCE_TOPIC, "t"), &delete).await,
        ErrorCode::NONE
    );
    assert_eq!(
        refusal(&mut client, large()).await,
        ErrorCode::MESSAGE_TOO_LARGE
    );
}

/// trap 25
#[tokio::test]
async fn the_clock_of_timestamps_may_change() {
    let (_server, mut client) = one_topic().await;
    let before = produce(&mut client, "t", batch(&["a"])).await;
    assert_eq!(before.log_append_time_ms, -1);
    set(&mut client, &[("message.timestamp.type", "LogAppendTime")]).await;
    let after = produce(&mut client, "t", batch(&["b"])).await;
    assert!(after.log_append_time_ms > 1_600_000_000_000);
    set(&mut client, &[("message.timestamp.type", "CreateTime")]).await;
    let again = produce(&mut client, "t", batch(&["c"])).await;
    assert_eq!(again.log_append_time_ms, -1);
}

/// trap 25
#[tokio::test]
async fn the_range_of_timestamps_may_change() {
    let (server, mut client) = one_topic().await;
    let at = |time| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(time, Some(b"k"), Some(b"v"), &[]);
        builder.build().to_bytes()
    };
    let late = at(server.now_ms() + 2 * HOUR_MS);
    let refused = produce(&mut client, "t", late.clone()).await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_TIMESTAMP);
    assert_eq!(refused.record_errors.len(), 1);
    set(
        &mut client,
        &[("message.timestamp.after.max.ms", "9223372036854775807")],
    )
    .await;
    assert_eq!(produced(&mut client, "t", late).await, 0);
    assert_eq!(
        produced(&mut client, "t", at(5)).await,
        1,
        "the past has no limit"
    );
    set(
        &mut client,
        &[("message.timestamp.before.max.ms", "3600000")],
    )
    .await;
    assert_eq!(
        refusal(&mut client, at(5)).await,
        ErrorCode::INVALID_TIMESTAMP
    );
    assert_eq!(produced(&mut client, "t", at(server.now_ms())).await, 2);
}

/// trap 26
#[tokio::test]
async fn the_codec_may_change() {
    let (_server, mut client) = one_topic().await;
    let codecs = [
        ("zstd", Compression::Zstd),
        ("lz4", Compression::Lz4),
        ("uncompressed", Compression::None),
        ("producer", Compression::None),
    ];
    for (offset, (name, codec)) in (0..).zip(codecs) {
        set(&mut client, &[("compression.type", name)]).await;
        assert_eq!(produced(&mut client, "t", batch(&["x"])).await, offset);
        let found = fetched_batches(&fetch(&mut client, "t", offset).await);
        assert_eq!(found[0].compression(), codec);
    }
}

/// trap 27
#[tokio::test]
async fn records_need_keys_from_when_the_topic_is_compacted() {
    let (_server, mut client) = one_topic().await;
    let without_key = || {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(5, None, Some(b"v"), &[]);
        builder.build().to_bytes()
    };
    assert_eq!(produced(&mut client, "t", without_key()).await, 0);
    set(&mut client, &[("cleanup.policy", "compact")]).await;
    assert_eq!(
        refusal(&mut client, without_key()).await,
        ErrorCode::INVALID_RECORD
    );
    set(&mut client, &[("cleanup.policy", "")]).await;
    assert_eq!(produced(&mut client, "t", without_key()).await, 1);
}

/// trap 28: with one replica, acks=all is refused where two must be in sync.
#[tokio::test]
async fn too_few_replicas_in_sync_refuse_acks_all_and_nothing_else() {
    let (_server, mut client) = one_topic().await;
    let more = [("min.insync.replicas", OPERATION_SET, Some("2"))];
    assert_eq!(
        alter(&mut client, (RESOURCE_BROKER, ""), &more).await,
        ErrorCode::NONE
    );
    assert_eq!(
        refusal(&mut client, batch(&["x"])).await,
        ErrorCode::NOT_ENOUGH_REPLICAS
    );
    let leader = only(
        client
            .call(PRODUCE, &produce_request("t", 1, batch(&["x"])))
            .await,
    );
    assert_eq!(
        (leader.error_code, leader.base_offset),
        (ErrorCode::NONE, 0)
    );
    set(&mut client, &[("min.insync.replicas", "1")]).await;
    assert_eq!(produced(&mut client, "t", batch(&["x"])).await, 1);
}

/// A power cut right behind an answer comes before the sync nearly always.
const POWER_CUTS_MAX: usize = 10;

#[tokio::test]
async fn write_caching_is_turned_on_and_off() {
    let (server, mut client) = one_topic().await;
    assert_eq!(produced(&mut client, "t", batch(&["synced"])).await, 0);
    let cached = [
        ("write.caching", "true"),
        ("flush.ms", "3600000"),
        ("flush.bytes", "4194304"),
    ];
    set(&mut client, &cached).await;
    // a sync for another reason may come between the answer and the power cut, but not each time
    let (mut server, mut lost) = (server, false);
    for _ in 0..POWER_CUTS_MAX {
        let answered = produced(&mut client, "t", batch(&["cached"])).await;
        server = server.crash().await;
        client = server.connect().await;
        let left = read_all(&mut client, "t").await;
        assert_eq!(left.first(), Some(&(0, "synced".to_owned())));
        lost = left.last().is_some_and(|(offset, _)| *offset < answered);
        if lost {
            break;
        }
    }
    assert!(lost, "it was answered for before its sync");
    set(&mut client, &[("write.caching", "false")]).await;
    let answered = produced(&mut client, "t", batch(&["again"])).await;
    let server = server.crash().await;
    let mut client = server.connect().await;
    let left = read_all(&mut client, "t").await;
    assert_eq!(left.last(), Some(&(answered, "again".to_owned())));
}

#[tokio::test]
async fn segments_end_at_their_new_size_age_and_index_size() {
    let (server, mut client) = one_topic().await;
    for _ in 0..4 {
        append(&server, &mut client, "k").await;
    }
    assert_eq!(sealed(&server), 0);
    set(&mut client, &[("segment.bytes", "1048576")]).await;
    append(&server, &mut client, "k").await;
    assert_eq!(
        sealed(&server),
        1,
        "it is larger already than it may be now"
    );
    set(&mut client, &[("segment.ms", "1000")]).await;
    server.clock.advance(HOUR_MS);
    until(&server, "the roll", |server| sealed(server) == 2).await;
    set(
        &mut client,
        &[
            ("segment.ms", "9223372036854775807"),
            ("segment.index.bytes", "4"),
        ],
    )
    .await;
    for _ in 0..3 {
        produced(&mut client, "t", batch(&["small"])).await;
    }
    assert_eq!(
        sealed(&server),
        4,
        "one entry of its index is as much as it may have"
    );
    set(&mut client, &[("segment.index.bytes", "1000000")]).await;
    produced(&mut client, "t", batch(&["small"])).await;
    assert_eq!(sealed(&server), 4);
}

#[tokio::test]
async fn retention_goes_by_what_is_set_now() {
    let (server, mut client) = start(&[]).await;
    for _ in 0..8 {
        append(&server, &mut client, "k").await;
    }
    server.broker.registry().upkeep_now().await;
    assert_eq!((log_start(&server), files(&server)), (0, 4));
    set(&mut client, &[("retention.bytes", "1500000")]).await;
    until(&server, "the oldest to go", |server| files(server) == 2).await;
    assert_eq!(log_start(&server), 4);
    let age = [("log.retention.ms", OPERATION_SET, Some("3600000"))];
    assert_eq!(
        alter(&mut client, (RESOURCE_BROKER, "1"), &age).await,
        ErrorCode::NONE
    );
    server.clock.advance(HOUR_MS + 1000);
    until(&server, "the old ones to go", |server| {
        log_start(server) == 8
    })
    .await;
    set(&mut client, &[("cleanup.policy", "")]).await;
    append(&server, &mut client, "k").await;
    server.clock.advance(100 * HOUR_MS);
    for _ in 0..5 {
        server.broker.registry().upkeep_now().await;
    }
    assert_eq!(log_start(&server), 8, "no policy removes nothing");
}

#[tokio::test]
async fn files_wait_for_the_delay_that_is_set_now() {
    let (server, mut client) = start(&[("file.delete.delay.ms", "3600000")]).await;
    for _ in 0..6 {
        append(&server, &mut client, "k").await;
    }
    set(
        &mut client,
        &[("file.delete.delay.ms", "0"), ("retention.bytes", "1")],
    )
    .await;
    until(&server, "the removal", |server| files(server) == 1).await;
}

#[tokio::test]
async fn compaction_goes_by_what_is_set_now() {
    let cleanings = |server: &Server| server.broker.registry().upkeep_stats().cleanings.get();
    for (kept, let_go) in [
        (("cleanup.policy", "delete"), ("cleanup.policy", "compact")),
        (
            ("min.cleanable.dirty.ratio", "1"),
            ("min.cleanable.dirty.ratio", "0"),
        ),
        (
            ("min.compaction.lag.ms", "999999999"),
            ("min.compaction.lag.ms", "0"),
        ),
        (
            ("min.cleanable.dirty.ratio", "1"),
            ("max.compaction.lag.ms", "1"),
        ),
    ] {
        let (server, mut client) = start(&[("retention.ms", "-1")]).await;
        let compacted = [
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0"),
            kept,
        ];
        set_one_by_one(&mut client, &compacted).await;
        for _ in 0..6 {
            append(&server, &mut client, "k").await;
        }
        server.clock.advance(HOUR_MS);
        for _ in 0..3 {
            server.broker.registry().upkeep_now().await;
        }
        assert_eq!(cleanings(&server), 0, "{kept:?}");
        set(&mut client, &[let_go]).await;
        until(&server, let_go.0, |server| cleanings(server) > 0).await;
    }
}

async fn set_one_by_one(client: &mut Client, settings: &[(&str, &str)]) {
    for setting in settings {
        set(client, &[*setting]).await;
    }
}

/// A batch that is too large for its topic to be looked into at first, and not any more once `max.message.bytes` is
/// raised: what compaction can read must not depend on that, for tombstones behind it would go in between.
#[tokio::test]
async fn a_deleted_key_does_not_come_back_when_larger_batches_are_allowed() {
    let settings = [
        ("retention.ms", "-1"),
        ("delete.retention.ms", "0"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let (server, mut client) = start(&settings).await;
    let mut builder = BatchBuilder::new(Compression::Zstd);
    // beyond what is decompressed for a topic of the default settings
    builder.push(
        server.now_ms(),
        Some(b"deleted"),
        Some(&vec![0; 20 << 20]),
        &[],
    );
    assert_eq!(
        produced(&mut client, "t", builder.build().to_bytes()).await,
        0
    );
    set(&mut client, &[("cleanup.policy", "compact")]).await;
    let mut tombstone = BatchBuilder::new(Compression::None);
    tombstone.push(server.now_ms(), Some(b"deleted"), None, &[]);
    assert_eq!(
        produced(&mut client, "t", tombstone.build().to_bytes()).await,
        1
    );
    for limit in ["1048588", "33554432"] {
        set(&mut client, &[("max.message.bytes", limit)]).await;
        for _ in 0..2 {
            for _ in 0..4 {
                append(&server, &mut client, "other").await;
            }
            let dropped = server.broker.registry().upkeep_stats().cleanings.get();
            until(&server, "a cleaning", |server| {
                server.broker.registry().upkeep_stats().cleanings.get() > dropped
            })
            .await;
            server.clock.advance(HOUR_MS);
        }
    }
    let mut deleted = None;
    let mut from = 0;
    let end = fetch(&mut client, "t", 0).await.high_watermark;
    while from < end {
        let found = fetched_batches(&fetch(&mut client, "t", from).await);
        assert!(!found.is_empty(), "nothing from {from} to {end}");
        for found in found {
            for record in found.records(64 << 20).unwrap() {
                if record.key.as_deref() == Some(b"deleted") {
                    deleted = record.value.map(|value| value.len());
                }
            }
            from = found.last_offset().0 + 1;
        }
    }
    assert_eq!(deleted, None, "a key without a tombstone behind it is back");
}
