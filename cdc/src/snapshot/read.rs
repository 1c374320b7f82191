//! Reads every row of the captured tables inside the open transaction and publishes it.

use headrace_clients::change::{Op, SchemaId, Version};
use tokio_util::sync::CancellationToken;

use crate::config::TableName;
use crate::connection::{Connection, TABLE_ALTERED};
use crate::envelope::{Names, Origin, Shape};
use crate::error::SourceError;
use crate::lanes::Emission;
use crate::metrics::SourceMetrics;
use crate::publish::Publisher;
use crate::schema::inspect::{inspect, schema_of};
use crate::schema::select::{select_expression, snapshot_value};
use crate::schema::table::TableDef;
use crate::snapshot::handover;
use crate::status::{SharedStatus, ShownSnapshot, now_ms};
use crate::value::Value;

/// Tries for one table whose definition keeps changing under the snapshot.
const TRIES_MAX: u32 = 10;
/// Rows between two updates of what `/v1` shows.
const SHOWN_EVERY_ROWS: u64 = 1000;

/// One run over all tables.
#[derive(Debug)]
pub(crate) struct SnapshotReader<'a> {
    /// In the snapshot's transaction.
    pub connection: &'a mut Connection,
    /// Where the rows go.
    pub publisher: &'a mut Publisher,
    /// The version of the next row; its CSN stays, its index runs on.
    pub next: Version,
    /// When the first attempt's position was taken, in milliseconds since 1970.
    pub ts_ms: u64,
    /// The source's name, for envelopes.
    pub source: &'a str,
    /// Where progress is shown.
    pub status: &'a SharedStatus,
    /// Counts rows.
    pub metrics: &'a SourceMetrics,
    /// Ends it early.
    pub stop: &'a CancellationToken,
}

impl SnapshotReader<'_> {
    /// Reads all tables; the last row of all is marked. The rows are sent, not yet acknowledged.
    pub(crate) async fn run(&mut self, tables: &[TableName]) -> Result<(), SourceError> {
        self.publisher.begin(None);
        for (at, name) in tables.iter().enumerate() {
            show(self.status, tables, at, 0);
            self.table(tables, at, name).await?;
        }
        self.publisher.commit_snapshot().await
    }

    async fn table(
        &mut self,
        tables: &[TableName],
        at: usize,
        name: &TableName,
    ) -> Result<(), SourceError> {
        for _ in 0..TRIES_MAX {
            match self.read(tables, at, name).await {
                Err(error)
                    if error
                        .problem()
                        .is_some_and(|problem| problem.code == TABLE_ALTERED) => {}
                other => return other,
            }
            tracing::info!(table = %name, "the table was altered during its snapshot; it is read again");
            handover::close(self.connection).await?;
            handover::open(self.connection).await?;
        }
        Err(SourceError::transient(
            "table-keeps-changing",
            format!("table {name} was altered during each of {TRIES_MAX} tries to read it"),
            "let the ALTER statements end; it is tried again",
        ))
    }

    async fn read(
        &mut self,
        tables: &[TableName],
        at: usize,
        name: &TableName,
    ) -> Result<(), SourceError> {
        let table = inspect(self.connection, name).await?;
        let schema = schema_of(&table);
        let names = Names {
            connector: self.connection.dialect.connector(),
            source: self.source,
            database: &name.database,
            table: &name.table,
        };
        let shape = Shape::new(names, &schema);
        let schema = self.publisher.publish_schema(&schema).await?;
        self.rows(tables, at, &table, &shape, schema).await?;
        if inspect(self.connection, name).await? != table {
            let what = format!("the columns of table {name} changed while it was read");
            return Err(SourceError::transient(
                TABLE_ALTERED,
                what,
                "it is read again",
            ));
        }
        Ok(())
    }

    async fn rows(
        &mut self,
        tables: &[TableName],
        route: usize,
        table: &TableDef,
        shape: &Shape,
        schema: SchemaId,
    ) -> Result<(), SourceError> {
        let columns: Vec<String> = table.columns.iter().map(select_expression).collect();
        let sql = handover::select_all(&table.database, &table.table, &columns);
        let SnapshotReader {
            connection,
            publisher,
            next,
            ts_ms,
            status,
            metrics,
            stop,
            ..
        } = self;
        let mut select = connection.select(&sql).await?;
        let mut origin = Origin {
            ts_ms: *ts_ms,
            snapshot: "true",
            server_id: 0,
            gtid: None,
            file: "",
            pos: 0,
            row: 0,
            written_ms: now_ms(),
        };
        while let Some(texts) = select.next().await? {
            if stop.is_cancelled() {
                return Err(SourceError::Stopped);
            }
            let row = values(table, texts)?;
            let what = Emission {
                route,
                version: *next,
                schema,
            };
            publisher
                .emit(
                    what,
                    |key| shape.write_key(&row, key),
                    Some(|value: &mut Vec<u8>| {
                        shape.write_envelope(Op::Read, None, Some(&row), &origin, value);
                    }),
                )
                .await?;
            next.index += 1;
            origin.row += 1;
            metrics.rows.inc();
            if origin.row.is_multiple_of(SHOWN_EVERY_ROWS) {
                origin.written_ms = now_ms();
                show(status, tables, route, SHOWN_EVERY_ROWS);
            }
        }
        show(status, tables, route, origin.row % SHOWN_EVERY_ROWS);
        Ok(())
    }
}

fn values<'v>(
    table: &TableDef,
    texts: &'v [Option<Vec<u8>>],
) -> Result<Vec<Value<'v>>, SourceError> {
    let pairs = table.columns.iter().zip(texts);
    pairs
        .map(|(column, text)| snapshot_value(column, text.as_deref()))
        .collect::<Result<_, _>>()
        .map_err(|error| {
            let name = TableName {
                database: table.database.clone(),
                table: table.table.clone(),
            };
            SourceError::definite(
                "undecodable-value",
                format!("table {name}, {error}"),
                "report this with the column's definition",
            )
        })
}

/// Shows the table being read and adds to the rows read.
fn show(status: &SharedStatus, tables: &[TableName], at: usize, rows: u64) {
    status.update(|status| {
        let before = status.snapshot.as_ref().map_or(0, |snapshot| snapshot.rows);
        status.rows += rows;
        status.snapshot = Some(ShownSnapshot {
            table: tables[at].to_string(),
            table_number: at + 1,
            tables: tables.len(),
            rows: before + rows,
            locked_tables: tables[..=at].iter().map(ToString::to_string).collect(),
        });
    });
}
