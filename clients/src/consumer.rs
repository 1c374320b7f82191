//! Readers of topics: [`Reader`] for one partition from a chosen offset, [`GroupConsumer`] for people.
//!
//! Both wait out a broker restart: only what waiting cannot mend is an error. An offset that the log
//! does not have is such an error and never becomes another offset silently.
mod group;
mod reader;
mod scan;

use bytes::{Bytes, BytesMut};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::change::{ChangeHeaders, HeaderError};

pub use group::{Found, GroupConsumer, Start};
pub use reader::Reader;
pub use scan::{last_record, last_records, read_to_end};

/// One record as read from a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970; -1 when the record has none.
    pub timestamp_ms: i64,
    /// `None` and empty are different keys.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In the order written.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl Record {
    /// The headers of a captured change; `None` for a record of another producer.
    pub fn change(&self) -> Result<Option<ChangeHeaders<'_>>, HeaderError> {
        ChangeHeaders::parse(
            self.headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_deref())),
        )
    }

    /// Bytes of key, value and headers.
    pub fn size_bytes(&self) -> usize {
        let part = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + part(value));
        part(&self.key) + part(&self.value) + headers.sum::<usize>()
    }

    /// Copies a message out of librdkafka's buffer: one allocation for key and value together.
    fn copy(message: &BorrowedMessage<'_>) -> Record {
        let key_len = message.key().map_or(0, <[u8]>::len);
        let value_len = message.payload().map_or(0, <[u8]>::len);
        let mut both = BytesMut::with_capacity(key_len + value_len);
        both.extend_from_slice(message.key().unwrap_or_default());
        both.extend_from_slice(message.payload().unwrap_or_default());
        let mut value = both.freeze();
        let key = value.split_to(key_len);
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
            headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.map(copy)))
                .collect()
        });
        Record {
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(|_| key),
            value: message.payload().map(|_| value),
            headers,
        }
    }
}

/// Why no further record comes; waiting does not help. Open the reader anew after mending the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log does not have the wanted offset: it was cut off, or this is another log.
    #[error("{topic}/{partition} does not have offset {wanted}")]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset asked for.
        wanted: i64,
    },
    /// The topic or partition does not exist.
    #[error("topic {topic} or its partition does not exist")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The cluster did not answer in time.
    #[error("no answer about {topic} from the cluster: {reason}")]
    Unreachable {
        /// The topic.
        topic: String,
        /// The last error of the connection.
        reason: String,
    },
    /// The client cannot go on.
    #[error("reading {topic} failed: {reason}")]
    Failed {
        /// The topic.
        topic: String,
        /// The client's reason.
        reason: String,
    },
}

/// What an error of librdkafka means for a reader: `None` when it is only waiting for the broker.
fn judge(topic: &str, error: &KafkaError) -> Option<ReadError> {
    use RDKafkaErrorCode as Code;
    let topic = topic.to_owned();
    if let KafkaError::MessageConsumptionFatal(code) = error {
        return Some(ReadError::Failed {
            topic,
            reason: code.to_string(),
        });
    }
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            Some(ReadError::UnknownTopic { topic })
        }
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::BadMessage
            | Code::InvalidGroupId
            | Code::InvalidTopic,
        ) => Some(ReadError::Failed {
            topic,
            reason: error.to_string(),
        }),
        _ => {
            tracing::debug!(%error, topic, "waiting for the broker");
            None
        }
    }
}

/// Settings of every consumer: low latency, bounded memory, no record below the checksum.
fn native(config: &crate::ClientConfig) -> rdkafka::ClientConfig {
    let mut native = config.native();
    native
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.message.max.bytes", FETCH_BYTES_MAX.to_string())
        .set("fetch.max.bytes", FETCH_BYTES_MAX.to_string())
        .set(
            "queued.max.messages.kbytes",
            (QUEUED_BYTES_MAX / 1024).to_string(),
        )
        .set("receive.message.max.bytes", RESPONSE_BYTES_MAX.to_string());
    native
}

/// Bytes asked for in one fetch; a larger record comes alone.
const FETCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes fetched ahead of the reader: two fetches, so that one is on its way while one is worked on.
const QUEUED_BYTES_MAX: usize = 2 * FETCH_BYTES_MAX;
/// Largest response taken from a broker: the largest record, and room for a foreign batch around it.
const RESPONSE_BYTES_MAX: usize = 2 * crate::change::RECORD_BYTES_MAX;
