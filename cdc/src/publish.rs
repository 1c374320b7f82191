//! From changed rows to acknowledged records: which partition, what is already there, who is last.
//!
//! ```text
//! emit -> partition by key -> at or below the floor? skip : hold -> next record or commit -> send
//!                                                             `-- one per partition, so that the
//!                                                                 last one can say so
//! send -> Delivery -> acks task, in order -> acked count -> the position may move
//! ```
//! Invariants: within a partition (CSN, index) strictly increases; `acked` counts a prefix of what
//! was sent; a failed delivery ends the attempt and nothing is sent after it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headrace_clients::change::{
    ChangeHeaders, RECORD_BYTES_MAX, SCHEMAS_TOPIC, Schema, SchemaId, Version,
};
use headrace_clients::{Delivery, ProduceError, Producer};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::error::SourceError;
use crate::route::{Routes, partition_of};
use crate::status::now_ms;

/// Deliveries waited for in order; the producer's own limit in bytes is reached long before.
const DELIVERIES_MAX: usize = 1 << 16;
/// What headers and the batch around a record take at most, in bytes, below the topic's limit.
const RECORD_OVERHEAD_BYTES: usize = 4096;
/// A buffer that a large row has grown beyond this is given back, in bytes.
const BUFFER_KEPT_BYTES: usize = 1 << 20;
/// Characters of a key that an error message shows.
const SHOWN_KEY_LENGTH: usize = 200;

/// Writes the records of one attempt.
#[derive(Debug)]
pub(crate) struct Publisher {
    producer: Arc<Producer>,
    /// By route, then by partition.
    lanes: Vec<Vec<Lane>>,
    /// Lanes that hold a record, in the order they began to.
    holding: Vec<(usize, usize)>,
    /// Where the newest held record is.
    newest: Option<(usize, usize)>,
    gtid: Option<String>,
    key: Vec<u8>,
    known_schemas: HashSet<SchemaId>,
    sent: u64,
    skipped: u64,
    acks: Acks,
}

/// One partition of one topic.
#[derive(Debug)]
struct Lane {
    topic: Arc<str>,
    partition: i32,
    /// The newest record already in the partition, or emitted by us.
    floor: Option<Version>,
    held: Option<Held>,
    /// Buffers of a sent record, for the next one.
    spare: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug)]
struct Held {
    version: Version,
    schema: SchemaId,
    key: Vec<u8>,
    value: Vec<u8>,
    tombstone: bool,
}

/// What a record is, besides key and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emission {
    /// The table's place in [`Routes::all`].
    pub route: usize,
    /// Its version.
    pub version: Version,
    /// The schema of its row.
    pub schema: SchemaId,
}

impl Publisher {
    /// A publisher above the floors: for each route, for each of its partitions, the version of the
    /// newest record there.
    pub(crate) fn new(
        producer: Arc<Producer>,
        routes: &Routes,
        floors: Vec<Vec<Option<Version>>>,
    ) -> Publisher {
        let lanes = routes
            .all()
            .iter()
            .zip(floors)
            .map(|(route, floors)| {
                let topic: Arc<str> = route.topic.as_str().into();
                (0..)
                    .zip(floors)
                    .map(|(partition, floor)| Lane {
                        topic: topic.clone(),
                        partition,
                        floor,
                        held: None,
                        spare: None,
                    })
                    .collect()
            })
            .collect();
        Publisher {
            producer,
            lanes,
            holding: Vec::new(),
            newest: None,
            gtid: None,
            key: Vec::new(),
            known_schemas: HashSet::new(),
            sent: 0,
            skipped: 0,
            acks: Acks::start(),
        }
    }

    /// Begins a source transaction, or the snapshot (without a GTID).
    pub(crate) fn begin(&mut self, gtid: Option<&str>) {
        self.abandon();
        self.gtid = gtid.map(str::to_owned);
    }

    /// Forgets what is held: the transaction is given up and will be read again.
    pub(crate) fn abandon(&mut self) {
        for (route, lane) in self.holding.drain(..) {
            self.lanes[route][lane].held = None;
        }
        self.newest = None;
    }

    /// Takes one record. `key` and `value` write into a buffer; no `value` is a tombstone, and
    /// neither is called for a record that the log already has.
    pub(crate) async fn emit(
        &mut self,
        what: Emission,
        key: impl FnOnce(&mut Vec<u8>),
        value: Option<impl FnOnce(&mut Vec<u8>)>,
    ) -> Result<(), SourceError> {
        self.acks.check()?;
        self.key.clear();
        key(&mut self.key);
        let lanes = &mut self.lanes[what.route];
        let partitions = i32::try_from(lanes.len()).expect("the configuration limits partitions");
        let place = usize::try_from(partition_of(&self.key, partitions))
            .expect("a partition is not negative");
        let lane = &mut lanes[place];
        if lane.floor.is_some_and(|floor| what.version <= floor) {
            self.skipped += 1;
            return Ok(());
        }
        lane.floor = Some(what.version);
        let (mut key_buffer, mut value_buffer) = lane.spare.take().unwrap_or_default();
        key_buffer.clear();
        key_buffer.extend_from_slice(&self.key);
        value_buffer.clear();
        let tombstone = value.is_none();
        if let Some(write) = value {
            write(&mut value_buffer);
        }
        check_size(&lane.topic, &key_buffer, &value_buffer)?;
        let next = Held {
            version: what.version,
            schema: what.schema,
            key: key_buffer,
            value: value_buffer,
            tombstone,
        };
        match lane.held.replace(next) {
            Some(previous) => self.send((what.route, place), previous, false).await?,
            None => self.holding.push((what.route, place)),
        }
        self.newest = Some((what.route, place));
        Ok(())
    }

    /// Ends the transaction: the held record of each partition goes out as the last one.
    pub(crate) async fn commit(&mut self) -> Result<(), SourceError> {
        for at in 0..self.holding.len() {
            let place = self.holding[at];
            if let Some(held) = self.lanes[place.0][place.1].held.take() {
                self.send(place, held, true).await?;
            }
        }
        self.holding.clear();
        self.newest = None;
        self.acks.check()
    }

    /// Ends the snapshot like [`Publisher::commit`], its very last row marked as such.
    pub(crate) async fn commit_snapshot(&mut self) -> Result<(), SourceError> {
        if let Some((route, lane)) = self.newest
            && let Some(held) = &mut self.lanes[route][lane].held
        {
            mark_last_of_snapshot(&mut held.value);
        }
        self.commit().await
    }

    async fn send(
        &mut self,
        (route, lane): (usize, usize),
        held: Held,
        last: bool,
    ) -> Result<(), SourceError> {
        let lane = &mut self.lanes[route][lane];
        let headers = ChangeHeaders {
            version: held.version,
            last,
            gtid: self.gtid.as_deref(),
            schema: held.schema,
        }
        .to_text();
        let value = (!held.tombstone).then_some(held.value.as_slice());
        let delivery = self
            .producer
            .send(
                &lane.topic,
                lane.partition,
                Some(&held.key),
                value,
                &headers.pairs(),
            )
            .await
            .map_err(|error| produce_error(&error))?;
        self.acks.expect(delivery).await?;
        self.sent += 1;
        if held.value.capacity() <= BUFFER_KEPT_BYTES {
            lane.spare = Some((held.key, held.value));
        }
        Ok(())
    }

    /// Puts a schema on the log, acknowledged, unless this attempt has already done so.
    pub(crate) async fn publish_schema(&mut self, schema: &Schema) -> Result<SchemaId, SourceError> {
        let id = schema.id();
        if !self.known_schemas.contains(&id) {
            let delivery = self
                .producer
                .send(
                    SCHEMAS_TOPIC,
                    0,
                    Some(id.to_string().as_bytes()),
                    Some(&schema.to_json()),
                    &[],
                )
                .await;
            deliver(delivery).await?;
            self.known_schemas.insert(id);
        }
        Ok(id)
    }

    /// Puts one record into an internal topic of one partition and waits until it is safe.
    pub(crate) async fn put(&mut self, topic: &str, key: &[u8], value: &[u8]) -> Result<(), SourceError> {
        deliver(
            self.producer
                .send(topic, 0, Some(key), Some(value), &[])
                .await,
        )
        .await
    }

    /// Records sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Records not sent because the log already had them.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The first version above everything in the topics' partitions.
    pub(crate) fn newest_version(&self) -> Option<Version> {
        self.lanes
            .iter()
            .flatten()
            .filter_map(|lane| lane.floor)
            .max()
    }

    /// Of the records sent, how many are acknowledged; a failed one is an error from then on.
    pub(crate) fn acked(&self) -> Result<u64, SourceError> {
        self.acks.check()?;
        Ok(self.acks.state.acked.load(Ordering::Acquire))
    }

    /// When the newest acknowledgement came, in milliseconds since 1970; none before the first.
    pub(crate) fn last_ack_ms(&self) -> Option<u64> {
        match self.acks.state.last_ack_ms.load(Ordering::Relaxed) {
            0 => None,
            at_ms => Some(at_ms),
        }
    }

    /// Resolves at the next acknowledgement that catches up with everything sent, or at a failure.
    pub(crate) async fn settled(&self) -> Result<(), SourceError> {
        loop {
            let changed = self.acks.state.changed.notified();
            if self.acked()? >= self.sent {
                return Ok(());
            }
            changed.await;
        }
    }
}

/// A row above the limit of its topic stops the source by name.
fn check_size(topic: &str, key: &[u8], value: &[u8]) -> Result<(), SourceError> {
    let size_bytes = key.len() + value.len();
    if size_bytes + RECORD_OVERHEAD_BYTES <= RECORD_BYTES_MAX {
        return Ok(());
    }
    let shown: String = String::from_utf8_lossy(key)
        .chars()
        .take(SHOWN_KEY_LENGTH)
        .collect();
    Err(SourceError::definite(
        "row-too-large",
        format!(
            "the row {shown} for topic {topic} is {size_bytes} bytes as a record, more than the {RECORD_BYTES_MAX} a topic takes"
        ),
        "make the row smaller, or leave the table out of tables; the source cannot pass it",
    ))
}

/// `"snapshot":"true"` becomes `"snapshot":"last"`; the source block comes after the row, so the
/// last place with that text is the one.
fn mark_last_of_snapshot(envelope: &mut [u8]) {
    const MARK: &[u8] = b"\"snapshot\":\"true\"";
    if let Some(at) = envelope
        .windows(MARK.len())
        .rposition(|window| window == MARK)
    {
        envelope[at..at + MARK.len()].copy_from_slice(b"\"snapshot\":\"last\"");
    }
}

async fn deliver(sent: Result<Delivery, ProduceError>) -> Result<(), SourceError> {
    let delivery = sent.map_err(|error| produce_error(&error))?;
    delivery
        .await
        .map(drop)
        .map_err(|error| produce_error(&error))
}

fn produce_error(error: &ProduceError) -> SourceError {
    match error {
        ProduceError::TooLarge { .. } => SourceError::definite(
            "row-too-large",
            error.to_string(),
            "raise the topic's max.message.bytes to 67108864",
        ),
        ProduceError::UnknownTopic { .. } => SourceError::transient(
            "topic-missing",
            error.to_string(),
            "the topic was deleted while the source ran; it is created again",
        ),
        ProduceError::Refused { .. } => SourceError::definite(
            "record-refused",
            error.to_string(),
            "see the broker's log and the topic's settings",
        ),
        ProduceError::Fatal { .. } => SourceError::log("cannot write to the log", error),
    }
}

/// Waits for deliveries in the order of sending.
#[derive(Debug)]
struct Acks {
    queue: mpsc::Sender<Delivery>,
    state: Arc<AckState>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct AckState {
    acked: AtomicU64,
    /// 0 before the first.
    last_ack_ms: AtomicU64,
    failed: Mutex<Option<SourceError>>,
    /// Mirrors `failed`, to be looked at once per record.
    has_failed: AtomicBool,
    changed: Notify,
}

impl Acks {
    fn start() -> Acks {
        let (queue, deliveries) = mpsc::channel(DELIVERIES_MAX);
        let state = Arc::new(AckState::default());
        let task = tokio::spawn(wait_for_acks(deliveries, state.clone()));
        Acks { queue, state, task }
    }

    async fn expect(&self, delivery: Delivery) -> Result<(), SourceError> {
        if self.queue.send(delivery).await.is_err() {
            self.check()?;
            return Err(SourceError::log(
                "cannot write to the log",
                "the task that waits for acks ended",
            ));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SourceError> {
        if self.state.has_failed.load(Ordering::Acquire)
            && let Some(error) = self
                .state
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        {
            return Err(error);
        }
        Ok(())
    }
}

impl Drop for Acks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn wait_for_acks(mut deliveries: mpsc::Receiver<Delivery>, state: Arc<AckState>) {
    while let Some(delivery) = deliveries.recv().await {
        if let Err(error) = delivery.await {
            *state.failed.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(produce_error(&error));
            state.has_failed.store(true, Ordering::Release);
            state.changed.notify_waiters();
            return;
        }
        state.last_ack_ms.store(now_ms(), Ordering::Relaxed);
        state.acked.fetch_add(1, Ordering::Release);
        state.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_above_the_limit_is_named_with_its_size() {
        let value = vec![b'x'; RECORD_BYTES_MAX];
        let error = check_size("s.d.t", br#"{"id":7}"#, &value)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(r#"{"id":7}"#) && error.contains("s.d.t") && error.contains("67108872")
        );
        check_size("s.d.t", b"{}", &value[..20 << 20]).unwrap();
    }

    #[test]
    fn only_the_source_block_is_marked_as_last() {
        let mut envelope =
            br#"{"after":{"v":"x","snapshot":"true"},"source":{"snapshot":"true","row":0}}"#
                .to_vec();
        mark_last_of_snapshot(&mut envelope);
        assert_eq!(
            envelope,
            br#"{"after":{"v":"x","snapshot":"true"},"source":{"snapshot":"last","row":0}}"#
        );
    }
}
