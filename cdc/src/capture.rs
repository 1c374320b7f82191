//! The stream's transactions, event by event: each adds one CSN, each captured row becomes its
//! records, and only the end of a transaction moves the position.
//!
//! ```text
//!            GTID                TABLE_MAP, ROWS, SAVEPOINT               XID, COMMIT
//! between  --------->  open  ----------------------------->  open  ------------------->  between
//!            GTID                   one statement that commits itself (DDL)
//! ```
//! Rows go out as they are read, so a transaction of any size needs no memory; one that is cut off
//! is read again from its start and skipped by (CSN, index). Anything unexpected stops the source.

use headrace_clients::change::Op;

use crate::binlog::error::DecodeError;
use crate::binlog::event::{Event, EventDecoder, EventHeader};
use crate::binlog::query::Query;
use crate::binlog::rows::{RowChange, RowsEvent};
use crate::binlog::statement::{self, Statement};
use crate::binlog::stream::Frame;
use crate::binlog::transaction::TransactionStart;
use crate::csn::{Csn, Place, version};
use crate::envelope::Origin;
use crate::error::SourceError;
use crate::gtid::Gtid;
use crate::lanes::Emission;
use crate::position::Ledger;
use crate::publish::Publisher;
use crate::status::now_ms;
use crate::tables::{Captured, Meaning, Tables};
use crate::value::Value;

/// Turns one connection's events into records.
#[derive(Debug)]
pub(crate) struct Capture {
    decoder: EventDecoder,
    tables: Tables,
    open: Option<Open>,
    place: FilePlace,
    /// What happened since the last look.
    pub counts: Counts,
}

/// For metrics and `/v1`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Captured row changes.
    pub rows: u64,
    /// Transactions ended.
    pub transactions: u64,
    /// From the commit of the last one to its capture, in milliseconds; 0 when the server says that
    /// there is nothing more, none when there was neither.
    pub(crate) lag_ms: Option<u64>,
}

/// Where the event at hand begins in the binlog.
#[derive(Debug, Default)]
struct FilePlace {
    file: String,
    pos: u64,
}

/// The transaction being read.
#[derive(Debug)]
struct Open {
    gtid: Gtid,
    gtid_text: String,
    csn: Csn,
    /// Rows so far, captured or not.
    rows: u64,
    captured_rows: u64,
    ts_ms: u64,
    /// MariaDB: one statement, no COMMIT.
    standalone: bool,
    /// A BEGIN was read, so only XID or COMMIT ends it.
    explicit: bool,
}

impl From<DecodeError> for SourceError {
    fn from(error: DecodeError) -> SourceError {
        if error.is_transient() {
            return SourceError::transient(
                "damaged-event",
                error.to_string(),
                "the events are read again over a new connection",
            );
        }
        let (code, hint) = match &error {
            DecodeError::UnsupportedColumn { .. } => (
                "unsupported-type",
                "take the table out of tables, or change the column's type",
            ),
            DecodeError::PartialImage { .. } => (
                "partial-rows",
                "SET GLOBAL binlog_row_image = FULL; no session may change it; then take a new snapshot with a source of a new name",
            ),
            DecodeError::MissingMetadata { .. } => (
                "server-setting",
                "SET GLOBAL binlog_row_metadata = FULL; then take a new snapshot with a source of a new name",
            ),
            DecodeError::UnknownEvent { .. } | DecodeError::UnsupportedEvent { .. } => (
                "unsupported-event",
                "the source cannot pass it; take a new snapshot with a source of a new name",
            ),
            _ => ("undecodable-event", "report this with the server's version"),
        };
        SourceError::definite(code, error.to_string(), hint)
    }
}

impl Capture {
    /// For a new connection.
    pub(crate) fn new(tables: Tables) -> Capture {
        Capture {
            decoder: EventDecoder::new(),
            tables,
            open: None,
            place: FilePlace::default(),
            counts: Counts::default(),
        }
    }

    /// Takes one event; true when it ended a transaction.
    pub(crate) async fn event(
        &mut self,
        frame: &Frame,
        ledger: &mut Ledger,
        publisher: &mut Publisher,
    ) -> Result<bool, SourceError> {
        let parts = frame.parts();
        let inner = self.decoder.inside_payload();
        let event = self.decoder.decode_parts(&parts)?;
        let header = parts.header;
        if !inner && header.log_pos > 0 {
            self.place.pos = u64::from(header.log_pos.wrapping_sub(header.size));
        }
        match event {
            Event::FormatDescription(_) => self.new_file().map(|()| false),
            Event::Rotate { file, .. } => {
                file.clone_into(&mut self.place.file);
                Ok(false)
            }
            Event::TransactionStart(start) => self
                .begin(start, &header, ledger, publisher)
                .map(|()| false),
            Event::Query(query) => self.statement(&query, ledger, publisher).await,
            Event::TableMap(map) => self.tables.learn(&map, publisher).await.map(|()| false),
            Event::Rows(rows) => self.rows(&rows, &header, publisher).await.map(|()| false),
            Event::Xid(_) => self.commit(ledger, publisher).await.map(|()| true),
            Event::XaPrepare { .. } => Err(self.stop(
                "xa-transaction",
                "an XA transaction was prepared",
                "XA transactions are not captured yet",
            )),
            Event::Heartbeat => {
                self.counts.lag_ms = Some(0);
                Ok(false)
            }
            Event::GtidList(_)
            | Event::TransactionPayload(_)
            | Event::RowsQuery(_)
            | Event::Ignored => Ok(false),
        }
    }

    fn new_file(&mut self) -> Result<(), SourceError> {
        self.tables.clear_ids();
        if self.open.is_some() {
            return Err(self.stop("cut-transaction", "a binlog file ends inside a transaction", "the server crashed while writing it; if it stays, take a new snapshot with a source of a new name"));
        }
        Ok(())
    }

    fn begin(
        &mut self,
        start: TransactionStart,
        header: &EventHeader,
        ledger: &Ledger,
        publisher: &mut Publisher,
    ) -> Result<(), SourceError> {
        if self.open.is_some() {
            return Err(self.stop(
                "unended-transaction",
                "a transaction begins before the one before it has ended",
                "report this with the server's version",
            ));
        }
        let Some(gtid) = start.gtid else {
            return Err(self.stop(
                "anonymous-transaction",
                "a transaction without a GTID",
                "SET GLOBAL gtid_mode = ON; then take a new snapshot with a source of a new name",
            ));
        };
        if start.xa.is_some() {
            return Err(self.stop(
                "xa-transaction",
                &format!("the XA transaction {gtid}"),
                "XA transactions are not captured yet",
            ));
        }
        let gtid_text = gtid.to_string();
        publisher.begin(Some(&gtid_text));
        let ts_ms = start
            .commit_time_us
            .map_or(u64::from(header.timestamp) * 1000, |us| us / 1000);
        self.open = Some(Open {
            gtid,
            gtid_text,
            csn: ledger.csn().next(),
            rows: 0,
            captured_rows: 0,
            ts_ms,
            standalone: start.standalone,
            explicit: false,
        });
        Ok(())
    }

    async fn statement(
        &mut self,
        query: &Query<'_>,
        ledger: &mut Ledger,
        publisher: &mut Publisher,
    ) -> Result<bool, SourceError> {
        match statement::classify(query, self.tables.routes()) {
            Statement::Begin => {
                if let Some(open) = &mut self.open {
                    open.explicit = true;
                }
                return Ok(false);
            }
            Statement::Savepoint => return Ok(false),
            Statement::Commit => {}
            Statement::Rollback => {
                if self
                    .open
                    .as_ref()
                    .is_some_and(|open| open.captured_rows > 0)
                {
                    return Err(self.stop("rolled-back-rows", "a transaction with rows of captured tables was rolled back in the binlog, as it also wrote a table without transactions", "take a new snapshot with a source of a new name"));
                }
            }
            Statement::Harmless => {
                if !self.ends_itself(query) {
                    return Ok(false);
                }
            }
            Statement::Ddl { tables } => {
                for table in tables {
                    self.tables.forget(&table.database, &table.table);
                }
                if !self.ends_itself(query) {
                    return Ok(false);
                }
            }
            Statement::Refused { reason } => {
                return Err(self.stop("refused-statement", &reason, "it may have changed captured rows without row events; take a new snapshot with a source of a new name"));
            }
        }
        if self.open.is_none() {
            return Ok(false);
        }
        self.commit(ledger, publisher).await?;
        Ok(true)
    }

    /// Whether the statement is the whole transaction.
    fn ends_itself(&self, query: &Query<'_>) -> bool {
        let Some(open) = &self.open else { return false };
        match open.gtid {
            Gtid::Mariadb(_) => open.standalone,
            // MySQL's atomic CREATE TABLE … SELECT ends so, and rows follow
            Gtid::Mysql(_) => {
                !open.explicit
                    && !query
                        .statement
                        .to_ascii_uppercase()
                        .ends_with(b"START TRANSACTION")
            }
        }
    }

    async fn rows(
        &mut self,
        event: &RowsEvent<'_>,
        header: &EventHeader,
        publisher: &mut Publisher,
    ) -> Result<(), SourceError> {
        let Some(open) = &mut self.open else {
            return Err(self.stop(
                "unended-transaction",
                "rows outside a transaction",
                "report this with the server's version",
            ));
        };
        let meaning = self
            .tables
            .get(event.table_id)
            .ok_or(DecodeError::NoTableMap {
                table_id: event.table_id,
                log_pos: header.log_pos,
            })?;
        let captured = match meaning {
            Meaning::Captured(captured) => captured,
            Meaning::Other(layout) => {
                open.rows += match event.count(header, layout) {
                    // a session may log parts of rows that are not captured: it counts as one
                    Err(DecodeError::PartialImage { .. }) => 1,
                    count => count?,
                };
                return Ok(());
            }
        };
        let origin = Origin {
            ts_ms: open.ts_ms,
            snapshot: "false",
            server_id: header.server_id,
            gtid: Some(&open.gtid_text),
            file: &self.place.file,
            pos: self.place.pos,
            row: 0,
            written_ms: now_ms(),
        };
        let mut writer = RowWriter {
            publisher,
            captured,
            csn: open.csn,
            row: open.rows,
            origin,
        };
        for change in event.rows(header, &captured.plan)? {
            writer.change(&change?).await?;
        }
        let count = writer.origin.row;
        open.rows += count;
        open.captured_rows += count;
        self.counts.rows += count;
        Ok(())
    }

    async fn commit(
        &mut self,
        ledger: &mut Ledger,
        publisher: &mut Publisher,
    ) -> Result<(), SourceError> {
        let Some(open) = self.open.take() else {
            return Err(self.stop(
                "unended-transaction",
                "a commit outside a transaction",
                "report this with the server's version",
            ));
        };
        publisher.commit().await?;
        ledger
            .commit(open.csn, publisher.sent(), |position| {
                position.add(&open.gtid)
            })
            .map_err(|error| {
                self.stop(
                    "other-server",
                    &error.to_string(),
                    "the server changed its dialect",
                )
            })?;
        self.counts.transactions += 1;
        self.counts.lag_ms = Some(now_ms().saturating_sub(open.ts_ms));
        Ok(())
    }

    /// An error that names the place.
    fn stop(&self, code: &'static str, what: &str, hint: &str) -> SourceError {
        let FilePlace { file, pos } = &self.place;
        let gtid = self
            .open
            .as_ref()
            .map(|open| format!("GTID {}, ", open.gtid_text))
            .unwrap_or_default();
        SourceError::definite(code, format!("{what} ({gtid}{file}:{pos})"), hint)
    }
}

/// Writes the records of changed rows, one after the other.
struct RowWriter<'w> {
    publisher: &'w mut Publisher,
    captured: &'w Captured,
    csn: Csn,
    /// The row's place in its transaction.
    row: u64,
    origin: Origin<'w>,
}

impl RowWriter<'_> {
    async fn change(&mut self, change: &RowChange<'_>) -> Result<(), SourceError> {
        match (change.before.as_deref(), change.after.as_deref()) {
            (Some(before), Some(after)) if self.captured.shape.same_key(before, after) => {
                self.put(Place::Change, Op::Update, Some(before), Some(after))
                    .await?;
            }
            (before, after) => {
                let created_at = if before.is_some() {
                    Place::Create
                } else {
                    Place::Change
                };
                if before.is_some() {
                    self.put(Place::Change, Op::Delete, before, None).await?;
                    self.tombstone(before).await?;
                }
                if after.is_some() {
                    self.put(created_at, Op::Create, None, after).await?;
                }
            }
        }
        self.row += 1;
        self.origin.row += 1;
        Ok(())
    }

    async fn put(
        &mut self,
        place: Place,
        op: Op,
        before: Option<&[Value<'_>]>,
        after: Option<&[Value<'_>]>,
    ) -> Result<(), SourceError> {
        let (shape, origin) = (&self.captured.shape, &self.origin);
        let row = after.or(before).unwrap_or_default();
        let what = self.emission(place);
        self.publisher
            .emit(
                what,
                |key| shape.write_key(row, key),
                Some(|value: &mut Vec<u8>| shape.write_envelope(op, before, after, origin, value)),
            )
            .await
    }

    async fn tombstone(&mut self, row: Option<&[Value<'_>]>) -> Result<(), SourceError> {
        let shape = &self.captured.shape;
        let row = row.unwrap_or_default();
        let what = self.emission(Place::Tombstone);
        self.publisher
            .emit(
                what,
                |key| shape.write_key(row, key),
                None::<fn(&mut Vec<u8>)>,
            )
            .await
    }

    fn emission(&self, place: Place) -> Emission {
        Emission {
            route: self.captured.route,
            version: version(self.csn, self.row, place),
            schema: self.captured.schema,
        }
    }
}
