//! One partition, read from a chosen offset, outside any group.
//!
//! ```text
//! open(from) -> assigned -> records from `from` on, in order -> ... -> ReadError
//!                  ^   |
//!                  `---'  broker gone: wait, reconnect, go on at the same offset
//! ```
//! Invariant: every record given has an offset at or above `from` and above the record before it.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::{ReadError, Record, judge, native};
use crate::connection::{self, ClientConfig, Context, REQUEST_TIMEOUT};

/// Reads one partition; see the file's header.
pub struct Reader {
    consumer: Arc<StreamConsumer<Context>>,
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

/// What arrived from librdkafka.
enum Arrival {
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
        Reader::open_at(native(config), topic, partition, Offset::Offset(from), from)
    }

    /// A reader that learns of the log's end at once instead of after a long poll.
    fn scan(
        config: &ClientConfig,
        topic: &str,
        partition: i32,
        from: Offset,
    ) -> Result<Reader, ReadError> {
        let mut native = native(config);
        native.set("fetch.wait.max.ms", "5");
        Reader::open_at(native, topic, partition, from, 0)
    }

    /// Starts at a place that the log translates; `least` is below every offset it may mean.
    fn open_at(
        mut native: rdkafka::ClientConfig,
        topic: &str,
        partition: i32,
        from: Offset,
        least: i64,
    ) -> Result<Reader, ReadError> {
        let failed = |error: KafkaError| ReadError::Failed {
            topic: topic.to_owned(),
            reason: error.to_string(),
        };
        // a group is never joined; the name is only what librdkafka insists on
        native
            .set("group.id", "headrace-reader")
            .set("auto.offset.reset", "error");
        let consumer: StreamConsumer<Context> = connection::create(&native).map_err(failed)?;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(topic, partition, from)
            .map_err(failed)?;
        consumer.assign(&list).map_err(failed)?;
        Ok(Reader {
            consumer: Arc::new(consumer),
            topic: topic.to_owned(),
            partition,
            position: least,
            error: None,
        })
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

    async fn arrival(&mut self) -> Result<Arrival, ReadError> {
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

/// Reads a whole partition from its log start to the end it has when reached: small compacted topics.
/// Fails with [`ReadError::Unreachable`] when the cluster is silent for [`REQUEST_TIMEOUT`].
pub async fn read_to_end(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
) -> Result<Vec<Record>, ReadError> {
    let reader = Reader::scan(config, topic, partition, Offset::Beginning)?;
    to_end(reader).await
}

/// The last record of a partition; `None` when it holds none.
///
/// Offsets below the end may hold no record (control batches, compaction), so it looks further and further back.
pub async fn last_record(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
) -> Result<Option<Record>, ReadError> {
    for back in [1, 64, 4096] {
        let reader = Reader::scan(config, topic, partition, Offset::OffsetTail(back))?;
        match to_end(reader).await.map(|mut records| records.pop()) {
            Ok(None) => {}
            Ok(last) => return Ok(last),
            Err(ReadError::OffsetOutOfRange { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(read_to_end(config, topic, partition).await?.pop())
}

async fn to_end(mut reader: Reader) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    let mut deadline = Instant::now() + REQUEST_TIMEOUT;
    loop {
        let Ok(arrival) = tokio::time::timeout_at(deadline, reader.arrival()).await else {
            let reason = reader.consumer.context().last_error();
            return Err(ReadError::Unreachable {
                topic: reader.topic,
                reason,
            });
        };
        match arrival? {
            Arrival::Record(record) => {
                records.push(record);
                deadline = Instant::now() + REQUEST_TIMEOUT;
            }
            Arrival::End => return Ok(records),
            Arrival::Nothing => {}
        }
    }
}
