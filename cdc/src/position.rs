//! What a source remembers on the log: how far it has read, as one record of `__headrace_positions`.
//!
//! ```text
//! key   shop
//! value {"gtid":"mariadb:0-1-523","csn":1887436800000017,"snapshot":"done","tables":{"shop.products":["id"]},
//!        "topics":{"shop.products":"0e0aa7c2-…"}}
//! ```
//! GTID position and CSN move together and only to the end of a committed transaction whose records
//! are all acknowledged, so whoever starts from the pair gives the same CSNs to the same
//! transactions. [`Ledger`] decides when; it is pure and is told the time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::TableName;
use crate::csn::Csn;
use crate::gtid::Position;

/// Shortest time between two stored positions: a restart reads at most about this much again.
pub(crate) const STORE_INTERVAL: Duration = Duration::from_secs(1);

/// A record of `__headrace_positions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPosition {
    /// The transactions behind the source.
    pub gtid: Position,
    /// The CSN of the last of them, or of the snapshot.
    pub csn: u64,
    /// Whether the snapshot that begins at this position is complete.
    pub snapshot: SnapshotProgress,
    /// The tables the snapshot covers (`database.table`) with the columns of their primary key, in
    /// key order; a table beyond them, or with another key, is refused.
    pub tables: BTreeMap<String, Vec<String>>,
    /// The id of each table's topic: one that was deleted and made anew has another id, and lacks the
    /// rows of the snapshot.
    #[serde(default)]
    pub topics: BTreeMap<String, String>,
}

/// How far the snapshot is; the stream starts when it is done, from the same position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotProgress {
    /// Begun: a restart reads the tables again and keeps the position.
    Running,
    /// Every row of every table is on the log.
    Done,
}

impl StoredPosition {
    /// The record's value.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text, numbers and lists always serialize")
    }

    /// Reads a record's value.
    pub fn from_json(json: &[u8]) -> Result<StoredPosition, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The configured tables that the stored snapshot does not cover.
    pub fn missing<'a>(&self, tables: &'a [TableName]) -> Vec<&'a TableName> {
        tables
            .iter()
            .filter(|table| !self.tables.contains_key(&table.to_string()))
            .collect()
    }

    /// The primary keys of those of its tables that are still captured. The others are forgotten with
    /// the next position: from there on the log lacks their changes.
    pub fn keys_of(&self, tables: &[TableName]) -> BTreeMap<String, Vec<String>> {
        let captured = |table: &TableName| {
            let name = table.to_string();
            let key = self.tables.get(&name)?.clone();
            Some((name, key))
        };
        tables.iter().filter_map(captured).collect()
    }
}

/// The position of a running stream, and when it may be stored.
///
/// `commit` moves it; `due` gives the pair to store once every record sent up to that commit is
/// acknowledged; `stored` ends the round.
#[derive(Debug)]
pub(crate) struct Ledger {
    gtid: Position,
    csn: Csn,
    /// Records sent when the last transaction committed.
    sent_at_commit: u64,
    stored: Csn,
    pending: Option<Pending>,
    last_round: Duration,
}

#[derive(Debug)]
struct Pending {
    gtid: Position,
    csn: Csn,
    /// How many records must be acknowledged before it may be stored.
    acked_needed: u64,
}

impl Ledger {
    /// Continues from a stored pair; `now` is the time since any fixed moment.
    pub(crate) fn new(gtid: Position, csn: Csn, now: Duration) -> Ledger {
        Ledger {
            gtid,
            csn,
            sent_at_commit: 0,
            stored: csn,
            pending: None,
            last_round: now,
        }
    }

    /// The CSN of the last committed transaction.
    pub(crate) fn csn(&self) -> Csn {
        self.csn
    }

    /// Moves past a transaction: `advance` adds it to the position, `sent` counts the records sent.
    pub(crate) fn commit<E>(
        &mut self,
        csn: Csn,
        sent: u64,
        advance: impl FnOnce(&mut Position) -> Result<(), E>,
    ) -> Result<(), E> {
        debug_assert!(csn > self.csn, "a commit moves the position forward");
        advance(&mut self.gtid)?;
        self.csn = csn;
        self.sent_at_commit = sent;
        Ok(())
    }

    /// The pair to store now, if there is one: a round begins at most every [`STORE_INTERVAL`]
    /// (at once with `hurry`) and ends when `acked` has caught up with it.
    pub(crate) fn due(
        &mut self,
        now: Duration,
        acked: u64,
        hurry: bool,
    ) -> Option<(Position, Csn)> {
        let rested = now.saturating_sub(self.last_round) >= STORE_INTERVAL;
        if self.pending.is_none() && self.csn > self.stored && (hurry || rested) {
            self.last_round = now;
            self.pending = Some(Pending {
                gtid: self.gtid.clone(),
                csn: self.csn,
                acked_needed: self.sent_at_commit,
            });
        }
        let ready = self
            .pending
            .take_if(|pending| acked >= pending.acked_needed)?;
        Some((ready.gtid, ready.csn))
    }

    /// Notes that the log has acknowledged the pair with this CSN.
    pub(crate) fn stored(&mut self, csn: Csn) {
        self.stored = self.stored.max(csn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gtid::Gtid;

    const NO_TIME: Duration = Duration::ZERO;

    fn name(table: &str) -> TableName {
        TableName {
            database: "a".to_owned(),
            table: table.to_owned(),
        }
    }

    fn advance(ledger: &mut Ledger, sequence: u64, sent: u64) {
        let gtid = Gtid::Mariadb(crate::gtid::MariadbGtid {
            domain: 0,
            server: 1,
            sequence,
        });
        ledger
            .commit(ledger.csn().next(), sent, |position| position.add(&gtid))
            .unwrap();
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let stored = StoredPosition {
            gtid: Position::mariadb(),
            csn: 7,
            snapshot: SnapshotProgress::Running,
            tables: BTreeMap::from([("a.b".to_owned(), vec!["id".to_owned()])]),
            topics: BTreeMap::from([("a.b".to_owned(), "0e0aa7c2".to_owned())]),
        };
        assert_eq!(
            StoredPosition::from_json(&stored.to_json()).unwrap(),
            stored
        );
        assert!(StoredPosition::from_json(b"{}").is_err());
        assert_eq!(stored.missing(&[name("b"), name("c")]), [&name("c")]);
    }

    #[test]
    fn a_record_without_topic_ids_is_read() {
        let json = br#"{"gtid":"mariadb:","csn":7,"snapshot":"done","tables":{}}"#;
        let stored = StoredPosition::from_json(json).unwrap();
        assert!(stored.topics.is_empty());
    }

    #[test]
    fn a_table_that_is_no_longer_captured_is_forgotten() {
        let key = vec!["id".to_owned()];
        let before = StoredPosition {
            gtid: Position::mariadb(),
            csn: 7,
            snapshot: SnapshotProgress::Done,
            tables: BTreeMap::from([("a.b".to_owned(), key.clone()), ("a.c".to_owned(), key)]),
            topics: BTreeMap::new(),
        };
        let after = StoredPosition {
            tables: before.keys_of(&[name("b"), name("new")]),
            ..before
        };
        assert_eq!(after.missing(&[name("b"), name("c")]), [&name("c")]);
    }

    #[test]
    fn a_position_waits_for_the_acks_of_its_rows() {
        let mut ledger = Ledger::new(Position::mariadb(), Csn(10), NO_TIME);
        advance(&mut ledger, 1, 5);
        let later = STORE_INTERVAL;
        assert_eq!(ledger.due(later, 4, false), None);
        advance(&mut ledger, 2, 9);
        let (gtid, csn) = ledger.due(later, 5, false).unwrap();
        assert_eq!((gtid.to_string().as_str(), csn), ("0-1-1", Csn(11)));
        ledger.stored(csn);
        assert!(ledger.due(later * 2, 9, false).is_some());
    }

    #[test]
    fn rounds_keep_their_distance_unless_in_a_hurry() {
        let mut ledger = Ledger::new(Position::mariadb(), Csn(10), NO_TIME);
        advance(&mut ledger, 1, 0);
        assert_eq!(ledger.due(STORE_INTERVAL / 2, 0, false), None);
        let (_, csn) = ledger.due(STORE_INTERVAL / 2, 0, true).unwrap();
        ledger.stored(csn);
        assert_eq!(ledger.due(STORE_INTERVAL * 9, 0, true), None);
    }
}
