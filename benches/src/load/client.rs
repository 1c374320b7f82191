//! librdkafka as the load: one producer or one consumer, as an application would use it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::{Offset, TopicPartitionList};

use super::row::{Latency, Produce};
use crate::server::wait_until;

/// How long anything may take.
const LIMIT: Duration = Duration::from_mins(3);
/// Records that are sent between two looks at what was delivered.
const SENDS_PER_POLL: u64 = 512;
/// Different payloads, so that lz4 finds within a batch what it finds in real records, and no more.
const PAYLOADS: usize = 64;

/// What a load did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Records delivered.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// From the first to the last.
    pub elapsed: Duration,
}

/// Counts deliveries, and times them where it was given a time.
#[derive(Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    started: Option<Instant>,
    micros: Mutex<Vec<u32>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    /// Microseconds from the start to the send.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: usize) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.delivered.fetch_add(1, Ordering::Relaxed);
        if let Some(started) = self.started {
            let now = usize::try_from(started.elapsed().as_micros()).unwrap_or(usize::MAX);
            let took = u32::try_from(now - sent).unwrap_or(u32::MAX);
            let mut micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner);
            micros.push(took);
        }
    }
}

impl Deliveries {
    /// Fails unless so many were delivered and nothing else happened.
    fn check(&self, records: u64) -> Result<()> {
        let delivered = self.delivered.load(Ordering::Relaxed);
        let failed = self.failed.load(Ordering::Relaxed);
        if delivered != records || failed > 0 {
            bail!("{delivered} of {records} records delivered, {failed} failed");
        }
        Ok(())
    }
}

fn config(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config
}

fn producer_config(address: &str, linger: Duration) -> ClientConfig {
    let mut config = config(address);
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", linger.as_millis().to_string())
        .set("queue.buffering.max.messages", "500000");
    config
}

/// Makes a topic.
pub fn create_topic(
    address: &str,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(address).create()?;
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let made = block_on(admin.create_topics([&new], &options))?;
    for one in made? {
        one.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} was not made: {code}"))?;
    }
    Ok(())
}

/// Deletes a topic.
pub fn delete_topic(address: &str, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(address).create()?;
    let deleted = block_on(admin.delete_topics(&[topic], &AdminOptions::new()))?;
    for one in deleted? {
        one.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} was not deleted: {code}"))?;
    }
    Ok(())
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(work))
}

/// How many partitions of a topic have a leader; none where nothing answers within the time.
pub fn partitions_led(address: &str, topic: &str, limit: Duration) -> usize {
    let asked = || -> Result<usize> {
        let consumer: BaseConsumer = config(address).create()?;
        let metadata = consumer.fetch_metadata(Some(topic), limit)?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        Ok(partitions
            .filter(|one| one.leader() >= 0 && one.error().is_none())
            .count())
    };
    asked().unwrap_or(0)
}

/// A producer that has written to every partition already, so that neither its connections nor the start of its
/// producer id are measured.
#[allow(
    missing_debug_implementations,
    reason = "librdkafka's producer has none"
)]
pub struct Writer {
    producer: BaseProducer<Deliveries>,
    topic: String,
    shape: Produce,
    payloads: Vec<Vec<u8>>,
}

impl Writer {
    /// Connects and sends the first record to each partition.
    pub fn start(address: &str, topic: &str, shape: Produce) -> Result<Writer> {
        let mut config = producer_config(address, shape.linger);
        config
            .set("batch.size", shape.batch_bytes.to_string())
            .set("compression.type", shape.compression);
        let writer = Writer {
            producer: config.create_with_context(Deliveries::default())?,
            topic: topic.to_owned(),
            shape,
            payloads: payloads(shape.record_bytes),
        };
        for _ in 0..shape.partitions {
            writer.send(0)?;
        }
        writer.producer.flush(LIMIT)?;
        let partitions = u64::try_from(shape.partitions)?;
        writer.producer.context().check(partitions)?;
        Ok(writer)
    }

    /// Sends all the shape asks for and waits until it is delivered.
    pub fn run(self) -> Result<Done> {
        let started = Instant::now();
        for number in 0..self.shape.records {
            self.send(number)?;
            if number % SENDS_PER_POLL == 0 {
                self.producer.poll(Duration::ZERO);
            }
        }
        self.producer.flush(LIMIT)?;
        let elapsed = started.elapsed();
        let first = u64::try_from(self.shape.partitions)?;
        self.producer.context().check(self.shape.records + first)?;
        Ok(Done {
            records: self.shape.records,
            bytes: self.shape.records * u64::try_from(self.shape.record_bytes)?,
            elapsed,
        })
    }

    fn send(&self, number: u64) -> Result<()> {
        let place = usize::try_from(number)?;
        let payload = &self.payloads[place % PAYLOADS];
        let partition = i32::try_from(place % usize::try_from(self.shape.partitions)?)?;
        let mut record = BaseRecord::<(), [u8], usize>::with_opaque_to(&self.topic, 0)
            .partition(partition)
            .payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    self.producer.poll(Duration::from_millis(1));
                    record = again;
                }
                Err((failed, _)) => return Err(failed.into()),
            }
        }
    }
}

/// Records like log lines: words in changing order, some of it numbers that no codec can shorten.
fn payloads(bytes: usize) -> Vec<Vec<u8>> {
    const WORDS: [&str; 8] = [
        "order",
        "shipped",
        "customer",
        "amount",
        "warehouse",
        "\"id\":",
        "pending",
        "2026-",
    ];
    let mut state = 7_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let payload = |_| {
        let mut text = String::new();
        while text.len() < bytes {
            let word = WORDS[usize::try_from(next() % 8).expect("below 8")];
            text.push_str(word);
            text.push_str(&(next() % 100_000).to_string());
        }
        text.truncate(bytes);
        text.into_bytes()
    };
    (0..PAYLOADS).map(payload).collect()
}

/// Reads a topic from its beginning, so many records of it.
pub fn consume(address: &str, topic: &str, partitions: i32, records: u64) -> Result<Done> {
    let mut config = config(address);
    config
        .set("group.id", "measured")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .set("fetch.queue.backoff.ms", "1");
    let consumer: BaseConsumer = config.create()?;
    let mut from = TopicPartitionList::new();
    for partition in 0..partitions {
        from.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    let started = Instant::now();
    consumer.assign(&from)?;
    let (mut read, mut bytes) = (0, 0);
    while read < records {
        match consumer.poll(LIMIT) {
            Some(Ok(message)) => {
                read += 1;
                bytes += u64::try_from(message.payload_len())?;
            }
            Some(Err(failed)) => return Err(failed).context("reading"),
            None => bail!("{read} of {records} records after {LIMIT:?}"),
        }
    }
    Ok(Done {
        records: read,
        bytes,
        elapsed: started.elapsed(),
    })
}

/// Sends at a fixed rate and gives the microseconds from each send to its acknowledgement, sorted.
///
/// A send never waits, so a broker that stalls is timed for every record that was due meanwhile.
pub fn latency(address: &str, topic: &str, shape: Latency) -> Result<(Vec<u32>, Duration)> {
    let started = Instant::now();
    let context = Deliveries {
        started: Some(started),
        ..Deliveries::default()
    };
    let producer: ThreadedProducer<Deliveries> =
        producer_config(address, shape.linger).create_with_context(context)?;
    let payload = &payloads(shape.record_bytes)[0];
    let send = || -> Result<()> {
        let sent = usize::try_from(started.elapsed().as_micros())?;
        let record = BaseRecord::<(), [u8], usize>::with_opaque_to(topic, sent);
        let sent = producer.send(record.partition(0).payload(payload));
        sent.map_err(|(failed, _)| failed.into())
    };
    send()?;
    producer.flush(LIMIT)?;
    let micros = || {
        let of = &producer.context().micros;
        of.lock().unwrap_or_else(PoisonError::into_inner)
    };
    micros().clear();
    let begun = Instant::now();
    for number in 0..shape.records() {
        let due = begun + shape.interval() * number;
        wait_until(due);
        send()?;
    }
    producer.flush(LIMIT)?;
    let elapsed = begun.elapsed();
    producer.context().check(u64::from(shape.records()) + 1)?;
    let mut sorted = std::mem::take(&mut *micros());
    sorted.sort_unstable();
    Ok((sorted, elapsed))
}
