//! kill -9 at every moment: nothing acknowledged is lost, no row is there twice, every view heals.
//!
//! The binary is killed inside its snapshot (with deletes running), while it streams, and while views apply; the database
//! and Redis are killed too; the load outlasts the last kill. Then the tables, the topics, Redis and the index are equal,
//! (CSN, index) strictly increases in each partition, and every acknowledged record of a producer is at its offset.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints what it met"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headrace_servers::Flavor;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::config::ClientConfig;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use support::kills::{Deletes, Kills};
use support::load::Load;
use support::shop::{Privileges, Shop};
use support::{pause, topic, wait_for};

const KILLS_IN_SNAPSHOT: usize = 6;
const KILLS_LATER: usize = 15;
/// The kill numbers (of the later ones) after which the database or Redis is killed as well.
const DATABASE_KILL: usize = 5;
const REDIS_KILLS: [usize; 2] = [3, 9];
/// Rows that make the snapshot long enough to be met.
const SNAPSHOT_ROWS: usize = 290_000;
/// A kill inside the snapshot comes at most this long after its beginning: well before its end on a fast machine.
const SNAPSHOT_KILL_MS_MAX: u64 = 500;
/// The later kill before which the snapshot may end.
const FIRST_STREAM_KILL: usize = 2;
const STATE_TIMEOUT: Duration = Duration::from_mins(2);

#[test]
fn nothing_is_lost_or_doubled_by_kills() {
    let seed = 11;
    let mut random = StdRng::seed_from_u64(seed);
    let mut shop = Shop::open(Flavor::MariaDb, Privileges::Full);
    shop.insert_bulk(1, SNAPSHOT_ROWS);
    let load = Load::start(&shop.load_url(), seed, Duration::from_millis(1));
    load.wait(5_000, STATE_TIMEOUT);
    let deletes = Deletes::start(&shop, SNAPSHOT_ROWS);

    let mut kills = Kills::default();
    for _ in 0..KILLS_IN_SNAPSHOT {
        let delay = Duration::from_millis(random.random_range(1..SNAPSHOT_KILL_MS_MAX));
        assert!(
            kills.in_snapshot(&mut shop, delay),
            "the snapshot ended before kill {}; it needs more rows",
            kills.snapshot + 1
        );
    }
    let mut producer: Option<AckedProducer> = None;
    for number in 0..KILLS_LATER {
        kills.later(&mut shop, &mut random, |shop| {
            producer
                .get_or_insert_with(|| AckedProducer::start(&shop.headrace.bootstrap()))
                .assert_alive();
            if number == FIRST_STREAM_KILL {
                shop.wait_streaming();
            }
        });
        if number == DATABASE_KILL {
            shop.database.kill().unwrap();
            shop.database.resume().unwrap();
        }
        if REDIS_KILLS.contains(&number) {
            shop.redis.kill().unwrap();
            shop.redis.resume().unwrap();
        }
    }
    shop.headrace.start();
    // both servers also go away under the running binary
    shop.database.kill().unwrap();
    shop.redis.kill().unwrap();
    shop.redis.resume().unwrap();
    shop.database.resume().unwrap();
    let deleted = deletes.stop();
    pause(Duration::from_secs(2));
    let statements = load.stop();
    let acknowledged = producer.expect("it was started").stop();
    println!(
        "seed {seed}: {kills:?}, {statements} statements, {deleted} deletes during snapshots, {} acknowledged records",
        acknowledged.len()
    );
    assert!(kills.stream >= 5 && kills.apply >= 1, "{kills:?}");
    assert!(deleted > 0);

    wait_for("the source streams again", STATE_TIMEOUT, || {
        (shop.source_state() == "streaming").then_some(())
    });
    shop.catch_up();
    shop.assert_everything_equal();
    assert_acknowledged_records_are_there(&shop.headrace.bootstrap(), &acknowledged);
}

/// Value of each acknowledged record by its offset.
type Acknowledged = BTreeMap<i64, String>;

/// An idempotent producer with acks=all that goes on through every kill and remembers what was acknowledged.
struct AckedProducer {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Acknowledged>,
}

const PRODUCED_TOPIC: &str = "produced";

#[derive(Default, Clone)]
struct Deliveries(Arc<std::sync::Mutex<Acknowledged>>);

impl rdkafka::ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let message = result
            .as_ref()
            .expect("an idempotent producer gets through a restart");
        let value = String::from_utf8_lossy(message.payload().expect("a value")).into_owned();
        let before = self
            .0
            .lock()
            .unwrap()
            .insert(message.offset(), value.clone());
        assert_eq!(
            before,
            None,
            "offset {} was acknowledged twice, now for {value}",
            message.offset()
        );
    }
}

impl AckedProducer {
    fn start(bootstrap: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let deliveries = Deliveries::default();
        let producer: ThreadedProducer<Deliveries> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "2")
            .create_with_context(deliveries.clone())
            .unwrap();
        let thread = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let value = format!("value {number}");
                    match producer.send(BaseRecord::<(), str>::to(PRODUCED_TOPIC).payload(&value)) {
                        Ok(()) => number += 1,
                        Err((error, _)) => {
                            assert!(error.to_string().contains("QueueFull"), "{error}");
                        }
                    }
                    pause(Duration::from_millis(2));
                }
                producer
                    .flush(Duration::from_mins(1))
                    .expect("the last records are acknowledged");
                deliveries.0.lock().unwrap().clone()
            })
        };
        Self { stop, thread }
    }

    fn assert_alive(&self) {
        assert!(!self.thread.is_finished(), "the producer ended");
    }

    fn stop(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer's thread")
    }
}

fn assert_acknowledged_records_are_there(bootstrap: &str, acknowledged: &Acknowledged) {
    let mut at = BTreeMap::new();
    let mut values = BTreeMap::new();
    topic::read(bootstrap, PRODUCED_TOPIC, |message| {
        let value = String::from_utf8_lossy(message.payload().expect("a value")).into_owned();
        if let Some(first) = values.insert(value.clone(), message.offset()) {
            panic!("{value} is at offset {first} and at {}", message.offset());
        }
        at.insert(message.offset(), value);
    });
    assert!(
        acknowledged.len() > 1_000,
        "only {} records were acknowledged",
        acknowledged.len()
    );
    for (offset, value) in acknowledged {
        assert_eq!(at.get(offset), Some(value), "offset {offset}");
    }
}
