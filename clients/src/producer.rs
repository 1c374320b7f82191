//! An idempotent, ordered producer that waits out a broker restart.
//!
//! ```text
//! send -> permit (bytes) -> librdkafka queue -> broker -> Delivery
//!            ^                                     |
//!            `------------- released --------------'
//! ```
//! - Records of one partition reach the log in the order of `send`, once each, with acks=all.
//! - A lost broker is waited for, for ever: a [`Delivery`] fails only when the record can never be written.
//!   After such a failure nothing sent later to that producer is written either (a partition stays a
//!   prefix of what was sent); make a new [`Producer`] to go on.
//! - The queue is bounded by bytes; a full one makes `send` wait, never fail.
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::change::RECORD_BYTES_MAX;
use crate::connection::{self, ClientConfig, LastError};

/// Bytes beside key and value that a queued record costs: librdkafka's message and our delivery.
const QUEUED_OVERHEAD: usize = 512;

/// What a producer may be told besides where the cluster is.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Compression of the batches.
    pub compression: Compression,
    /// How long a record may wait for others to share its batch. Zero still batches under load: what
    /// arrives while requests are in flight leaves together.
    pub linger: Duration,
    /// Bytes of records sent and not yet acknowledged; at least one record is always let in.
    pub queue_bytes_max: usize,
    /// What a broker has done when it acknowledges. Anything but [`Acks::All`] gives up idempotence with it: records
    /// may be lost, or be there twice.
    pub acks: Acks,
}

/// What a broker has done when it acknowledges a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nothing: it does not answer, and deliveries have no offset (-1).
    None,
    /// It has written the record.
    One,
    /// The record is as safe as the topic promises.
    All,
}

impl Acks {
    fn name(self) -> &'static str {
        match self {
            Acks::None => "0",
            Acks::One => "1",
            Acks::All => "all",
        }
    }
}

/// Compression of record batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// gzip
    Gzip,
    /// snappy
    Snappy,
    /// lz4
    Lz4,
    /// zstd
    Zstd,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl Default for ProducerOptions {
    /// lz4, no linger, 32 MiB: about half a second of a fast snapshot.
    fn default() -> ProducerOptions {
        ProducerOptions {
            compression: Compression::Lz4,
            linger: Duration::ZERO,
            queue_bytes_max: 32 * 1024 * 1024,
            acks: Acks::All,
        }
    }
}

/// Why a record will never be in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProduceError {
    /// Larger than the client or the topic takes; the producer goes on only if the client refused it.
    #[error("record of {size_bytes} bytes is larger than {topic} takes")]
    TooLarge {
        /// Where it was to go.
        topic: String,
        /// Key and value together.
        size_bytes: usize,
    },
    /// The topic or partition does not exist.
    #[error("topic {topic} or its partition does not exist")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The broker refused the record.
    #[error("record for {topic} refused: {reason}")]
    Refused {
        /// Where it was to go.
        topic: String,
        /// The broker's or the client's reason.
        reason: String,
    },
    /// This producer has failed and takes no more; make a new one.
    #[error("producer failed: {reason}")]
    Fatal {
        /// The first error.
        reason: String,
    },
}

/// The fate of one record: its offset, once it is safe in the log.
#[must_use = "a record counts only when its delivery is Ok"]
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Result<i64, ProduceError>>);

impl Future for Delivery {
    type Output = Result<i64, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|reply| {
            reply.unwrap_or_else(|_| {
                Err(ProduceError::Fatal {
                    reason: "producer dropped".into(),
                })
            })
        })
    }
}

/// A record on its way to a topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// `None` lets the key decide.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None` is now.
    pub timestamp_ms: Option<i64>,
    /// `None` and empty are different keys.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// In this order; a name may come more than once.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// A producer; see the file's header for what it promises. Dropping it gives up what is not yet acknowledged.
pub struct Producer {
    native: ThreadedProducer<Deliveries>,
    room: Arc<Semaphore>,
    room_max: u32,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer with default options. Connects lazily.
    pub fn new(config: &ClientConfig) -> Result<Producer, ProduceError> {
        Producer::with(config, &ProducerOptions::default())
    }

    /// A producer. Connects lazily.
    pub fn with(
        config: &ClientConfig,
        options: &ProducerOptions,
    ) -> Result<Producer, ProduceError> {
        let is_safe = if options.acks == Acks::All {
            "true"
        } else {
            "false"
        };
        let mut native = config.native();
        native
            .set("enable.idempotence", is_safe)
            .set("enable.gapless.guarantee", is_safe)
            .set("acks", options.acks.name())
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", i32::MAX.to_string())
            .set("compression.type", options.compression.name())
            .set("linger.ms", options.linger.as_millis().to_string())
            // the partition of a key as the Java client chooses it
            .set("partitioner", "murmur2_random");
        let native = native
            .create_with_context(Deliveries::default())
            .map_err(|error| ProduceError::Fatal {
                reason: error.to_string(),
            })?;
        let room_max = u32::try_from(options.queue_bytes_max)
            .unwrap_or(u32::MAX >> 1)
            .max(1);
        let room = Arc::new(Semaphore::new(room_max as usize));
        Ok(Producer {
            native,
            room,
            room_max,
        })
    }

    /// Queues one record and waits only for room in the queue. `partition` `None` lets the key decide.
    ///
    /// The order in a partition is that of the calls of one task; concurrent callers have none.
    pub async fn send_to(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<Delivery, ProduceError> {
        let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, Some(*v))).collect();
        let record = NewRecord {
            partition,
            timestamp_ms: None,
            key,
            value,
            headers: &headers,
        };
        self.send_record(topic, record).await
    }

    /// Queues one record with everything that a record may have; see [`Producer::send_to`].
    pub async fn send_record(
        &self,
        topic: &str,
        new: NewRecord<'_>,
    ) -> Result<Delivery, ProduceError> {
        let size_bytes = new.key.map_or(0, <[u8]>::len) + new.value.map_or(0, <[u8]>::len);
        let cost = u32::try_from(size_bytes + QUEUED_OVERHEAD).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(cost.min(self.room_max))
            .await
            .expect("the semaphore lives as long as the producer and is never closed");
        let (reply, delivery) = oneshot::channel();
        let pending = Box::new(Pending {
            reply,
            size_bytes,
            _room: room,
        });
        let mut record = BaseRecord::with_opaque_to(topic, pending);
        record.partition = new.partition;
        record.timestamp = new.timestamp_ms;
        record.key = new.key;
        record.payload = new.value;
        if !new.headers.is_empty() {
            let all = OwnedHeaders::new_with_capacity(new.headers.len());
            let headers = new.headers.iter();
            record.headers = Some(headers.fold(all, |all, (key, value)| {
                all.insert(Header { key, value: *value })
            }));
        }
        match self.native.send(record) {
            Ok(()) => Ok(Delivery(delivery)),
            Err((error, _)) => Err(self.error(topic, size_bytes, &error)),
        }
    }

    /// Queues one record for a partition; see [`Producer::send_to`].
    pub async fn send(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<Delivery, ProduceError> {
        self.send_to(topic, Some(partition), key, value, headers)
            .await
    }

    /// Waits until nothing is queued or in flight; false when `timeout` passes first.
    pub async fn flush(&self, timeout: Duration) -> bool {
        let all = self.room.acquire_many(self.room_max);
        tokio::time::timeout(timeout, all).await.is_ok()
    }

    /// Why this producer takes no more records, if it has failed.
    pub fn fatal_error(&self) -> Option<String> {
        self.native
            .client()
            .fatal_error()
            .map(|(code, reason)| format!("{code}: {reason}"))
    }

    fn error(&self, topic: &str, size_bytes: usize, error: &KafkaError) -> ProduceError {
        if let Some(reason) = self.fatal_error() {
            return ProduceError::Fatal { reason };
        }
        judge(topic, size_bytes, error)
    }
}

/// Where a delivery report goes.
struct Pending {
    reply: oneshot::Sender<Result<i64, ProduceError>>,
    size_bytes: usize,
    _room: OwnedSemaphorePermit,
}

/// Receives delivery reports on librdkafka's polling thread.
#[derive(Default)]
struct Deliveries {
    last_error: LastError,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        connection::log(level, facility, message);
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        self.last_error.set(reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Box<Pending>) {
        let Pending {
            reply, size_bytes, ..
        } = *pending;
        let fate = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, message)) => Err(judge(message.topic(), size_bytes, error)),
        };
        // nobody has to wait for a delivery
        drop(reply.send(fate));
    }
}

fn judge(topic: &str, size_bytes: usize, error: &KafkaError) -> ProduceError {
    let topic = topic.to_owned();
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => ProduceError::TooLarge { topic, size_bytes },
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => ProduceError::UnknownTopic { topic },
        Some(
            RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::GaplessGuarantee
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight,
        ) => ProduceError::Fatal {
            reason: error.to_string(),
        },
        _ => ProduceError::Refused {
            topic,
            reason: error.to_string(),
        },
    }
}
