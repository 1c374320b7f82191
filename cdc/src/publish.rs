//! From changed rows to records on the log: sends what the lanes let out, schemas before their
//! first use, positions after the acknowledgements.
//!
//! ```text
//! emit -> lanes (partition, floor, hold back one) -> send -> acks, in order -> the position may move
//! ```
//! A failed delivery ends the attempt: nothing is sent after it.

use std::collections::HashSet;

use headrace_clients::change::{
    ChangeHeaders, RECORD_BYTES_MAX, SCHEMAS_TOPIC, Schema, SchemaId, Version,
};
use headrace_clients::{Delivery, ProduceError, Producer};

use crate::acks::{Acks, produce_error};
use crate::error::SourceError;
use crate::lanes::{Emission, Held, Lanes, Place};

/// What headers and the batch around a record take at most, in bytes, below the topic's limit.
const RECORD_OVERHEAD_BYTES: usize = 4096;
/// Characters of a key that an error message shows.
const SHOWN_KEY_LENGTH: usize = 200;

/// Writes the records of one attempt.
#[derive(Debug)]
pub(crate) struct Publisher {
    producer: Producer,
    lanes: Lanes,
    gtid: Option<String>,
    known_schemas: HashSet<SchemaId>,
    sent: u64,
    acks: Acks,
    #[cfg(feature = "planted")]
    planted: crate::planted::Planted,
}

impl Publisher {
    /// A publisher of what is above the lanes' floors.
    pub(crate) fn new(producer: Producer, lanes: Lanes) -> Publisher {
        Publisher {
            producer,
            lanes,
            gtid: None,
            known_schemas: HashSet::new(),
            sent: 0,
            acks: Acks::start(),
            #[cfg(feature = "planted")]
            planted: crate::planted::Planted::from_environment(),
        }
    }

    /// Begins a source transaction, or the snapshot (without a GTID).
    pub(crate) fn begin(&mut self, gtid: Option<&str>) {
        self.abandon();
        self.gtid = gtid.map(str::to_owned);
    }

    /// Forgets what is held: the transaction is given up and will be read again.
    pub(crate) fn abandon(&mut self) {
        self.lanes.abandon();
    }

    /// Takes one record; see [`Lanes::take`].
    pub(crate) async fn emit(
        &mut self,
        what: Emission,
        key: impl FnOnce(&mut Vec<u8>),
        value: Option<impl FnOnce(&mut Vec<u8>)>,
    ) -> Result<(), SourceError> {
        self.acks.check()?;
        let Some((place, previous)) = self.lanes.take(what, key, value) else {
            return Ok(());
        };
        if let Some(held) = self.lanes.held(place) {
            check_size(self.lanes.target(place).0, &held.key, &held.value)?;
        }
        match previous {
            Some(previous) => self.send(place, previous, false).await,
            None => Ok(()),
        }
    }

    /// Ends the transaction: the held record of each partition goes out as the last one.
    pub(crate) async fn commit(&mut self) -> Result<(), SourceError> {
        while let Some((place, held)) = self.lanes.next_last() {
            self.send(place, held, true).await?;
        }
        self.acks.flush().await?;
        self.acks.check()
    }

    /// Ends the snapshot like [`Publisher::commit`], its very last row marked as such.
    pub(crate) async fn commit_snapshot(&mut self) -> Result<(), SourceError> {
        if let Some(held) = self.lanes.newest_held() {
            mark_last_of_snapshot(&mut held.value);
        }
        self.commit().await
    }

    async fn send(&mut self, place: Place, held: Held, last: bool) -> Result<(), SourceError> {
        #[cfg(not(feature = "planted"))]
        let copies = 1;
        #[cfg(feature = "planted")]
        let copies = match self.gtid {
            Some(_) => self.planted.copies(self.lanes.target(place).0, &held),
            None => 1,
        };
        for _ in 0..copies {
            self.write(place, &held, last).await?;
        }
        self.lanes.recycle(place, held);
        Ok(())
    }

    async fn write(&mut self, place: Place, held: &Held, last: bool) -> Result<(), SourceError> {
        let gtid = self.gtid.as_deref();
        let headers = ChangeHeaders {
            version: held.version,
            last,
            gtid,
            schema: held.schema,
        };
        let headers = headers.to_text();
        let value = (!held.tombstone).then_some(held.value.as_slice());
        let (topic, partition) = self.lanes.target(place);
        let sent = self
            .producer
            .send(topic, partition, Some(&held.key), value, &headers.pairs())
            .await;
        self.acks
            .expect(sent.map_err(|error| produce_error(&error))?)
            .await?;
        self.sent += 1;
        Ok(())
    }

    /// Puts a schema on the log, acknowledged, unless this attempt has already done so.
    pub(crate) async fn publish_schema(
        &mut self,
        schema: &Schema,
    ) -> Result<SchemaId, SourceError> {
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
    pub(crate) async fn put(
        &mut self,
        topic: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), SourceError> {
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
        self.lanes.skipped()
    }

    /// The newest version in any partition.
    pub(crate) fn newest_version(&self) -> Option<Version> {
        self.lanes.newest_version()
    }

    /// Of the records sent, how many are acknowledged; a failed one is an error from then on.
    pub(crate) fn acked(&self) -> Result<u64, SourceError> {
        self.acks.count()
    }

    /// When the newest acknowledgement came, in milliseconds since 1970; none before the first.
    pub(crate) fn last_ack_ms(&self) -> Option<u64> {
        self.acks.last_ms()
    }

    /// Resolves when everything sent is acknowledged, or at a failure.
    pub(crate) async fn settled(&mut self) -> Result<(), SourceError> {
        self.acks.flush().await?;
        self.acks.reached(self.sent).await
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
