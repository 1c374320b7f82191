//! Folds a captured topic as any consumer would, and checks what must hold for its order on the way.

use std::time::Duration;

use headrace_servers::Flavor;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value as Json;

use super::Table;
use super::columns::TableShape;

/// How long a read may wait for the next record that must be there.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A topic's fold and what was met on the way.
#[derive(Debug, Default)]
pub struct Folded {
    pub table: Table,
    pub records: usize,
    pub tombstones: usize,
    pub snapshot_rows: usize,
    pub streamed_rows: usize,
    /// Order mistakes: a (CSN, index) that does not rise, an offset that is not dense.
    pub disorder: Vec<String>,
    /// The greatest number of records of one source transaction.
    pub largest_transaction: usize,
}

/// Reads the one partition of a topic from the start to its end and folds it.
pub fn fold(bootstrap: &str, topic: &str, shape: &TableShape, flavor: Flavor) -> Folded {
    let mut folded = Folded::default();
    let mut last = None;
    let mut transaction = (0, 0);
    read(bootstrap, topic, |message| {
        let wanted = i64::try_from(folded.records).expect("offsets fit");
        if message.offset() != wanted {
            folded.disorder.push(format!(
                "offset {} where {wanted} follows",
                message.offset()
            ));
        }
        folded.records += 1;
        let version = (
            number(message, "headrace.csn"),
            number(message, "headrace.index"),
        );
        if last.is_some_and(|last| version <= last) {
            folded.disorder.push(format!(
                "offset {}: (CSN, index) {version:?} after {last:?}",
                message.offset()
            ));
        }
        last = Some(version);
        transaction = if transaction.0 == version.0 {
            (version.0, transaction.1 + 1)
        } else {
            (version.0, 1)
        };
        folded.largest_transaction = folded.largest_transaction.max(transaction.1);
        let key: Json = serde_json::from_slice(message.key().expect("a key")).expect("a JSON key");
        let key = shape.key_of(&key);
        let Some(payload) = message.payload() else {
            folded.tombstones += 1;
            folded.table.remove(&key);
            return;
        };
        let envelope: Json = serde_json::from_slice(payload).expect("a JSON envelope");
        match envelope["op"].as_str() {
            Some("r") => folded.snapshot_rows += 1,
            _ => folded.streamed_rows += 1,
        }
        if envelope["op"] == "d" {
            folded.table.remove(&key);
        } else {
            folded
                .table
                .insert(key, shape.row_of_envelope(&envelope["after"], flavor));
        }
    });
    folded
}

/// Gives every record of a topic's partition 0 up to its end at the time of the call.
pub fn read(bootstrap: &str, topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>)) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader-of-the-test")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.message.max.bytes", "100000000")
        .set("receive.message.max.bytes", "200000000")
        .create()
        .expect("a consumer");
    let (start, end) = consumer
        .fetch_watermarks(topic, 0, READ_TIMEOUT)
        .expect("the topic's watermarks");
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, 0, Offset::Offset(start))
        .expect("an offset");
    consumer.assign(&assignment).expect("assign");
    let mut next = start;
    while next < end {
        let message = consumer
            .poll(READ_TIMEOUT)
            .unwrap_or_else(|| panic!("{topic}: nothing at offset {next} of {end}"))
            .expect("a record");
        each(&message);
        next = message.offset() + 1;
    }
}

/// A header of decimal digits.
pub fn number(message: &BorrowedMessage<'_>, name: &str) -> u64 {
    let text = header(message, name)
        .unwrap_or_else(|| panic!("offset {}: no header {name}", message.offset()));
    text.parse()
        .unwrap_or_else(|_| panic!("offset {}: header {name} is {text:?}", message.offset()))
}

/// A header's text.
pub fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(found.value?).into_owned())
}
