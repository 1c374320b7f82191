//! One partition, read from a chosen offset, outside any group.
//!
//! ```text
//! open(from) -> assigned -> records from `from` on, in order -> ... -> ReadError
//!                  ^   |
//!                  `---'  broker gone: wait, reconnect, go on at the same offset
//! ```
//! Invariant: every record given has an offset at or above `from` and above the record before it.
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{ReadError, Record, judge, native};
use crate::connection::{self, ClientConfig, Context, REQUEST_TIMEOUT};

/// Reads one partition; see the file's header.
pub struct Reader {
    consumer: Arc<Quiet>,
    topic: String,
    partition: i32,
    /// Offset of the next record wanted; moved by each record given.
    position: i64,
    /// An error met behind the last record of a batch: librdkafka says it once, so it waits here.
    error: Option<ReadError>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reader {
            topic,
            partition,
            position,
            ..
        } = self;
        write!(f, "Reader({topic}/{partition} at {position})")
    }
}

/// A consumer whose closing (a tenth of a second) never holds up a task.
struct Quiet(Option<StreamConsumer<Context>>);

impl Deref for Quiet {
    type Target = StreamConsumer<Context>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("only drop takes the consumer out")
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let consumer = self.0.take();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(consumer))),
            Err(_) => drop(consumer),
        }
    }
}

/// What arrived from librdkafka.
pub(super) enum Arrival {
    Record(Record),
    /// The reader has caught up with the log's end.
    End,
    /// A passing error, or a record below the position.
    Nothing,
}

impl Reader {
    /// Starts reading at offset `from` (inclusive). Connects lazily: a wrong offset or topic is the error of
    /// the first [`Reader::next`].
    pub fn open(
        config: &ClientConfig,
        topic: &str,
        partition: i32,
        from: i64,
    ) -> Result<Reader, ReadError> {
        let mut reader = Reader::connect(native(config), topic, partition)?;
        reader.assign(from)?;
        Ok(reader)
    }

    /// A reader that reads nothing yet.
    pub(super) fn connect(
        mut native: rdkafka::ClientConfig,
        topic: &str,
        partition: i32,
    ) -> Result<Reader, ReadError> {
        // a group is never joined; the name is only what librdkafka insists on
        native
            .set("group.id", "headrace-reader")
            .set("auto.offset.reset", "error");
        match connection::create(&native) {
            Ok(consumer) => Ok(Reader {
                consumer: Arc::new(Quiet(Some(consumer))),
                topic: topic.to_owned(),
                partition,
                position: 0,
                error: None,
            }),
            Err(error) => Err(ReadError::Failed {
                topic: topic.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// Goes on at an offset. Offsets are always concrete: librdkafka takes half a second for logical ones.
    pub(super) fn assign(&mut self, from: i64) -> Result<(), ReadError> {
        let failed = |error: KafkaError| ReadError::Failed {
            topic: self.topic.clone(),
            reason: error.to_string(),
        };
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topic, self.partition, Offset::Offset(from))
            .map_err(failed)?;
        self.consumer.assign(&list).map_err(failed)?;
        (self.position, self.error) = (from, None);
        Ok(())
    }

    /// The error of a cluster that is silent.
    pub(super) fn unreachable(&self) -> ReadError {
        ReadError::Unreachable {
            topic: self.topic.clone(),
            reason: self.consumer.context().last_error(),
        }
    }

    /// Offset of the next record wanted.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The next record, however long it takes. Cancelling loses nothing.
    pub async fn next(&mut self) -> Result<Record, ReadError> {
        loop {
            if let Arrival::Record(record) = self.arrival().await? {
                return Ok(record);
            }
        }
    }

    /// Waits up to `max_wait` for a first record, then takes what is already here, up to `max_records`.
    /// Empty when nothing came. Cancelling before the first record loses nothing.
    pub async fn poll_batch(
        &mut self,
        max_records: usize,
        max_wait: Duration,
    ) -> Result<Vec<Record>, ReadError> {
        let deadline = Instant::now() + max_wait;
        let Ok(first) = tokio::time::timeout_at(deadline, self.next()).await else {
            return Ok(Vec::new());
        };
        let mut batch = vec![first?];
        while batch.len() < max_records {
            match self.arrival().now_or_never() {
                Some(Ok(Arrival::Record(record))) => batch.push(record),
                Some(Ok(Arrival::End | Arrival::Nothing)) => {}
                Some(Err(error)) => {
                    self.error = Some(error);
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }

    /// The log start and the high watermark (the offset after the last readable record).
    pub async fn watermarks(&self) -> Result<(i64, i64), ReadError> {
        let (consumer, topic, partition) = (
            Arc::clone(&self.consumer),
            self.topic.clone(),
            self.partition,
        );
        let asked = tokio::task::spawn_blocking(move || {
            let answer = consumer.fetch_watermarks(&topic, partition, REQUEST_TIMEOUT);
            answer.map_err(|error| {
                let reason = format!("{error} {}", consumer.context().last_error());
                judge(&topic, &error).unwrap_or(ReadError::Unreachable { topic, reason })
            })
        });
        asked
            .await
            .expect("the question neither panics nor is cancelled")
    }

    pub(super) async fn arrival(&mut self) -> Result<Arrival, ReadError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.consumer.recv().await {
            Ok(message) if message.offset() >= self.position => {
                let record = Record::copy(&message);
                self.position = record.offset + 1;
                Ok(Arrival::Record(record))
            }
            Ok(_) => Ok(Arrival::Nothing),
            Err(KafkaError::PartitionEOF(_)) => Ok(Arrival::End),
            Err(error) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    Err(ReadError::OffsetOutOfRange {
                        topic: self.topic.clone(),
                        partition: self.partition,
                        wanted: self.position,
                    })
                }
                _ => judge(&self.topic, &error).map_or(Ok(Arrival::Nothing), Err),
            },
        }
    }
}
