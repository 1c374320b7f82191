//! Write caching over a disk in memory and a clock that stands still: when answers come, when syncs, and what is
//! lost with the power and with the process.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use headrace_storage::data_dir::DataDir;
use headrace_storage::fs::{Fault, MemoryDisk, Surviving};
use headrace_storage::record::{Batch, BatchBuilder, Compression, batches};
use headrace_storage::{LeaderEpoch, LogView, Offset};

use super::registry::{NewTopic, Registry};
use super::shard::Message;
use super::{Acks, AppendFailure, Handle};
use crate::BrokerConfig;
use crate::clock::{Clock, SystemClock};
use crate::topic_config::{Flush, Overrides};

const ROOT: &str = "/data";
const WITHIN: Duration = Duration::from_secs(30);
/// Longer than any test runs, so that no sync begins because of the time.
const HOUR_MS: &str = "3600000";

/// A clock whose moments stand still until they are moved.
#[derive(Debug)]
struct StillClock {
    start: Instant,
    moved_ms: AtomicU64,
}

impl StillClock {
    fn advance(&self, by_ms: u64) {
        self.moved_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for StillClock {
    fn wall_ms(&self) -> i64 {
        SystemClock.wall_ms()
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }
}

/// One partition of a broker.
struct Cached {
    disk: MemoryDisk,
    clock: Arc<StillClock>,
    registry: Registry,
    handle: Handle,
    file: PathBuf,
}

impl Cached {
    /// A topic of one partition with these settings.
    async fn new(settings: &[(&str, &str)]) -> Cached {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let (disk, clock) = (MemoryDisk::new(), still());
        let registry = open(&disk, &clock).await;
        let topic = NewTopic {
            name: "a".into(),
            partitions: 1,
            overrides: settings.iter().map(text).collect::<Overrides>(),
        };
        registry.create(topic).await.unwrap();
        Cached::of(disk, clock, registry)
    }

    fn of(disk: MemoryDisk, clock: Arc<StillClock>, registry: Registry) -> Cached {
        let topic = registry.topic("a").unwrap();
        let handle = topic.partition(0).unwrap().clone();
        let file = format!("{ROOT}/topics/{}-0/{:020}-1.log", topic.id, 0);
        Cached {
            disk,
            clock,
            registry,
            handle,
            file: file.into(),
        }
    }

    /// A broker that starts on another disk.
    async fn on(disk: MemoryDisk) -> Cached {
        let clock = still();
        let registry = open(&disk, &clock).await;
        Cached::of(disk, clock, registry)
    }

    async fn append(&self, number: i64) {
        let appended = self.handle.append(batch(number), Acks::All, WITHIN).await;
        assert_eq!(appended.unwrap().base_offset, Offset(number));
    }

    async fn append_all(&self, numbers: Range<i64>) {
        for number in numbers {
            self.append(number).await;
        }
    }

    /// Whether a power cut now would surely leave the record.
    fn is_durable(&self, number: i64) -> bool {
        let bytes = self.disk.durable_bytes_of(&self.file).unwrap_or_default();
        let value = value(number);
        bytes.windows(value.len()).any(|part| part == value)
    }

    async fn until_durable(&self, number: i64) {
        until(|| self.is_durable(number)).await;
    }

    /// All records, of which there must be so many, and no others.
    fn assert_holds(&self, count: i64) {
        let view = self.handle.view();
        assert_eq!(view.high_watermark(), Offset(count));
        assert_eq!(records(&view), (0..count).map(value).collect::<Vec<_>>());
    }
}

fn still() -> Arc<StillClock> {
    Arc::new(StillClock {
        start: Instant::now(),
        moved_ms: AtomicU64::new(0),
    })
}

async fn open(disk: &MemoryDisk, clock: &Arc<StillClock>) -> Registry {
    let disk = disk.clone();
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let opening = tokio::task::spawn_blocking(move || {
        let data = DataDir::open_on(Arc::new(disk), Path::new(ROOT)).unwrap();
        let upkeep = BrokerConfig::default().upkeep_settings();
        Registry::open(Arc::new(data), &clock, 1, &upkeep).unwrap()
    });
    opening.await.unwrap()
}

/// Waits for something that another thread is about to do.
async fn until(met: impl Fn() -> bool) {
    let waiting = async {
        while !met() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(WITHIN, waiting)
        .await
        .expect("it happens");
}

/// Of so many bytes that a few make a hundred, and that none is part of another.
fn value(number: i64) -> Vec<u8> {
    format!("<record {number:0>20}>").into_bytes()
}

/// About a hundred bytes.
fn batch(number: i64) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(SystemClock.wall_ms(), None, Some(&value(number)), &[]);
    builder.build()
}

fn records(view: &LogView) -> Vec<Vec<u8>> {
    let upto = view.high_watermark();
    let chunks = view.read(view.log_start(), upto, usize::MAX, true);
    let mut found = Vec::new();
    for chunk in chunks.unwrap() {
        for batch in batches(chunk.to_bytes().unwrap()) {
            let records = batch.unwrap().records(1 << 20).unwrap();
            let values = records
                .iter()
                .map(|record| record.value.clone().unwrap().to_vec());
            found.extend(values);
        }
    }
    found
}

/// Write caching that nothing but an explicit reason ends.
const CACHED: [(&str, &str); 2] = [("write.caching", "true"), ("flush.ms", HOUR_MS)];

#[tokio::test]
async fn an_answer_needs_no_sync_and_the_record_is_read_at_once() {
    let cached = Cached::new(&CACHED).await;
    cached.append_all(0..10).await;
    cached.assert_holds(10);
    assert!(!cached.is_durable(0));
    let synced = Cached::new(&[]).await;
    synced.append(0).await;
    assert!(synced.is_durable(0), "without write caching it does");
}

#[tokio::test]
async fn the_death_of_the_process_loses_nothing_and_the_power_only_what_was_not_synced() {
    let cached = Cached::new(&CACHED).await;
    cached.append_all(0..10).await;
    let (killed, cut) = (cached.disk.fork(), cached.disk.crash());
    let killed = Cached::on(killed).await;
    killed.assert_holds(10);
    assert!(killed.is_durable(9), "what a start shows is on disk");
    let cut = Cached::on(cut).await;
    cut.assert_holds(0);
    assert_eq!(cut.handle.view().epoch(), LeaderEpoch(2));
    cut.append(0).await;
    killed.append(10).await;
}

#[tokio::test]
async fn a_sync_follows_within_flush_ms() {
    let cached = Cached::new(&[("write.caching", "true"), ("flush.ms", "5000")]).await;
    cached.append(0).await;
    cached.clock.advance(4800);
    cached.append(1).await;
    assert!(!cached.is_durable(0));
    // the next tick is the last before the time is over
    cached.clock.advance(150);
    cached.until_durable(0).await;
    assert!(cached.is_durable(1), "one sync for all that is written");
    cached.append(2).await;
    assert!(!cached.is_durable(2), "the time begins anew");
    cached.clock.advance(5000);
    cached.until_durable(2).await;
}

#[tokio::test]
async fn a_time_shorter_than_a_tick_waits_for_nothing() {
    let cached = Cached::new(&[("write.caching", "true"), ("flush.ms", "0")]).await;
    cached.append(0).await;
    cached.until_durable(0).await;
}

#[tokio::test]
async fn a_sync_follows_at_flush_bytes_and_at_flush_messages() {
    for bound in [("flush.bytes", "400"), ("flush.messages", "4")] {
        let cached = Cached::new(&[CACHED[0], CACHED[1], bound]).await;
        cached.append_all(0..3).await;
        assert!(!cached.is_durable(0), "{bound:?}");
        cached.append_all(3..5).await;
        cached.until_durable(3).await;
    }
}

#[tokio::test]
async fn never_is_more_than_a_group_answered_and_not_synced() {
    let cached = Cached::new(&[CACHED[0], CACHED[1], ("flush.bytes", "4194304")]).await;
    let big = |number| {
        let mut builder = BatchBuilder::new(Compression::None);
        let value = [value(number), vec![b'v'; 900_000]].concat();
        builder.push(SystemClock.wall_ms(), None, Some(&value), &[]);
        builder.build()
    };
    for number in 0..20 {
        let appended = cached.handle.append(big(number), Acks::All, WITHIN).await;
        assert_eq!(appended.unwrap().last_offset, Offset(number));
        assert!(number >= 4 || !cached.is_durable(0), "no bound is reached");
        let written = cached.disk.bytes_of(&cached.file).unwrap();
        let durable = cached.disk.durable_bytes_of(&cached.file).unwrap();
        let differs = |(left, right): (&u8, &u8)| left != right;
        let same = written.iter().zip(&durable).position(differs);
        let same = same.unwrap_or(durable.len());
        let used = written.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        assert!(used.saturating_sub(same) <= 4 << 20, "at record {number}");
    }
}

#[tokio::test]
async fn a_power_cut_leaves_a_dense_beginning_with_all_that_was_synced() {
    let cached = Cached::new(&CACHED).await;
    let mut floor = 0;
    for round in 0..4 {
        cached.append_all(floor..floor + 6).await;
        let upto = floor + 6;
        for seed in 0..6 {
            let mut state: u64 = round * 100 + seed;
            let cut = cached.disk.crash_keeping(true, &mut |_, len| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                match state >> 62 {
                    0 => Surviving::None,
                    1 => Surviving::First(len / 2),
                    _ => Surviving::All,
                }
            });
            let cut = Cached::on(cut).await;
            let end = cut.handle.view().log_end().0;
            assert!((floor..=upto).contains(&end), "{floor} {end} {upto}");
            cut.assert_holds(end);
            cut.append(end).await;
        }
        cached.handle.set_flush(Flush::BeforeAck).await.unwrap();
        cached.until_durable(upto - 1).await;
        let on = Flush::Cached {
            bytes_max: 4 << 20,
            interval: Duration::from_hours(1),
            records_max: None,
        };
        cached.handle.set_flush(on).await.unwrap();
        floor = upto;
    }
}

#[tokio::test]
async fn it_can_be_turned_off_and_on_while_the_topic_is_used() {
    let cached = Cached::new(&CACHED).await;
    cached.append_all(0..3).await;
    cached.handle.set_flush(Flush::BeforeAck).await.unwrap();
    cached.until_durable(2).await;
    cached.append(3).await;
    assert!(cached.is_durable(3), "answered after its sync");
    let on = Flush::Cached {
        bytes_max: 1 << 20,
        interval: Duration::from_hours(1),
        records_max: None,
    };
    cached.handle.set_flush(on).await.unwrap();
    cached.append(4).await;
    assert!(!cached.is_durable(4));
    cached.assert_holds(5);
}

#[tokio::test]
async fn a_move_of_the_log_start_does_not_wait_for_a_bound() {
    let cached = Cached::new(&CACHED).await;
    cached.append_all(0..3).await;
    let (slot, to) = (cached.handle.0.slot, Offset(2));
    let moved = Message::MoveLogStart { slot, to };
    cached.handle.0.inbox.send(moved).await.unwrap();
    until(|| cached.handle.view().log_start() == Offset(2)).await;
    assert!(cached.is_durable(2), "it counts once it is committed");
}

#[tokio::test]
async fn a_failed_sync_closes_the_log_and_readers_keep_what_they_saw() {
    let cached = Cached::new(&CACHED).await;
    cached.append_all(0..3).await;
    cached.disk.fail(Fault {
        at_call: 0,
        kind: std::io::ErrorKind::Other,
        lasting: true,
    });
    cached.clock.advance(3_600_000);
    until(|| cached.handle.closed().is_some()).await;
    cached.disk.heal();
    let reason = cached.handle.closed().unwrap();
    assert!(reason.contains("sync"), "{reason}");
    let refused = cached.handle.append(batch(3), Acks::All, WITHIN).await;
    assert_eq!(refused.err(), Some(AppendFailure::LogClosed));
    cached.assert_holds(3);
}

#[tokio::test]
async fn a_clean_stop_syncs_what_waits() {
    let cached = Cached::new(&CACHED).await;
    cached.append_all(0..3).await;
    assert!(!cached.is_durable(0));
    cached.registry.close().await.unwrap();
    assert!(cached.is_durable(2));
    let producers = cached.file.with_file_name("producers");
    assert!(
        cached.disk.bytes_of(&producers).is_some(),
        "as of a log that is committed to its end"
    );
    let again = Cached::on(cached.disk.crash()).await;
    again.assert_holds(3);
    again.append(3).await;
}
