//! One attempt to run a source: from the stored position to an error or the order to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use headrace_clients::change::{POSITIONS_TOPIC, Version};
use headrace_clients::{Admin, ClientConfig, Producer};
use tokio::time::{Instant, MissedTickBehavior};

use crate::binlog::stream::EventStream;
use crate::capture::{Capture, Counts};
use crate::config::TableName;
use crate::connection::Connection;
use crate::csn::Csn;
use crate::error::SourceError;
use crate::gtid::Position;
use crate::lanes::Lanes;
use crate::log;
use crate::pipeline::{Source, StartGate};
use crate::position::{Ledger, SnapshotProgress, StoredPosition};
use crate::precheck::{Facts, judge};
use crate::publish::Publisher;
use crate::route::Routes;
use crate::schema::inspect::{inspect, key_names, unlogged_cascades};
use crate::snapshot::handover::{self, Place};
use crate::snapshot::read::SnapshotReader;
use crate::status::{State, now_ms};
use crate::tables::Tables;

/// How often a quiet stream looks whether its position can be stored.
const TICK: Duration = Duration::from_millis(250);
/// Our ids among the replicas: far above those that people give their servers.
const SERVER_ID_BASE: u32 = 1 << 30;

/// The state of one attempt.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    source: &'a Source,
    client: ClientConfig,
    /// Whether a stored position was found, once that is known.
    ran_before: Option<bool>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(source: &'a Source) -> Attempt<'a> {
        let client = ClientConfig::new(
            &source.bootstrap,
            format!("headrace-source-{}", source.config.name),
        );
        Attempt {
            source,
            client,
            ran_before: None,
        }
    }

    /// Whether the source has a position on this log; none if that could not be read.
    pub(crate) fn ran_before(&self) -> Option<bool> {
        self.ran_before
    }

    /// Runs until told to stop (`Ok`) or until something fails.
    pub(crate) async fn run(&mut self, gate: &mut StartGate) -> Result<(), SourceError> {
        let source = self.source;
        let admin = Admin::new(&self.client)
            .map_err(|error| SourceError::log("cannot make a client", error))?;
        log::prepare_internal_topics(&admin).await?;
        let stored = log::stored_position(&self.client, &source.config.name).await?;
        self.ran_before = Some(stored.is_some());
        let routes = Routes::plan(&source.config.name, &source.tables)?;
        if let Some(stored) = &stored {
            source.status.stored(&stored.gtid, Csn(stored.csn));
            refuse_added_tables(stored, &source.tables)?;
        }
        let server_id = self.server_id(&admin).await?;
        let mut connection = self.connect(server_id).await?;
        let done = match &stored {
            Some(stored) => {
                handover::check_resumable(&mut connection, &stored.gtid).await?;
                stored.snapshot == SnapshotProgress::Done
            }
            None => false,
        };
        let keys = match &stored {
            Some(stored) if done => stored.keys_of(&source.tables),
            _ => inspect_all(&mut connection, &source.tables).await?,
        };
        let complete = stored.as_ref().filter(|_| done);
        let partitions = source.config.partitions;
        let topics =
            log::prepare_topics(&admin, &self.client, &routes, partitions, complete).await?;
        let producer = Producer::new(&self.client)
            .map_err(|error| SourceError::log("cannot make a producer", error))?;
        let publisher = Publisher::new(producer, Lanes::new(&routes, topics.floors));
        let mut run = Run {
            source,
            publisher,
            keys,
            topic_ids: topics.ids,
            began: Instant::now(),
        };
        let stored = match stored {
            Some(stored) if done => stored,
            stored => {
                let snapshot = run.snapshot(&mut connection, stored, gate).await;
                run.settle(snapshot).await?
            }
        };
        self.ran_before = Some(true);
        let connector = connection.dialect.connector();
        let stream = EventStream::open(connection, &stored.gtid, server_id).await?;
        gate.open();
        source.status.enter(State::Streaming);
        source.metrics.enter(State::Streaming);
        tracing::info!(source = source.config.name, position = %stored.gtid, csn = stored.csn, "streaming");
        let endpoint = source.endpoint.clone();
        let tables = Tables::new(
            routes,
            endpoint,
            &source.config.name,
            connector,
            run.keys.clone(),
        );
        let streamed = run
            .stream(stream, Capture::new(tables), stored.gtid, Csn(stored.csn))
            .await;
        run.settle(streamed).await
    }

    async fn server_id(&self, admin: &Admin) -> Result<u32, SourceError> {
        match self.source.config.server_id {
            Some(id) => Ok(id),
            None => derived_server_id(admin, &self.source.config.name).await,
        }
    }

    /// Connects to a server that is set up for capture.
    async fn connect(&self, server_id: u32) -> Result<Connection, SourceError> {
        let Source {
            config,
            tables,
            endpoint,
            ..
        } = self.source;
        let mut connection = endpoint.connect().await?;
        judge(&Facts::read(&mut connection).await?, server_id)?;
        for warning in unlogged_cascades(&mut connection, tables).await? {
            tracing::warn!(
                source = config.name,
                warning,
                "a foreign key is not captured"
            );
        }
        Ok(connection)
    }
}

/// The tables of the snapshot are fixed once it is complete.
fn refuse_added_tables(stored: &StoredPosition, tables: &[TableName]) -> Result<(), SourceError> {
    let missing = stored.missing(tables);
    if missing.is_empty() || stored.snapshot == SnapshotProgress::Running {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(SourceError::definite(
        "table-added",
        format!("added after the snapshot: {}", names.join(", ")),
        "give it a source of its own, or take it out of tables until snapshots on demand exist",
    ))
}

/// The same for each start of the same source on the same log, so that the server ends a connection
/// of ours that still lingers.
async fn derived_server_id(admin: &Admin, source: &str) -> Result<u32, SourceError> {
    let cluster = admin
        .cluster_id()
        .await
        .map_err(|error| SourceError::log("cannot ask for the cluster id", error))?;
    let hash = crc32fast::hash(format!("{cluster}/{source}").as_bytes());
    Ok(SERVER_ID_BASE | (hash & (SERVER_ID_BASE - 1)))
}

/// Checks every table and gives its primary key.
async fn inspect_all(
    connection: &mut Connection,
    tables: &[TableName],
) -> Result<BTreeMap<String, Vec<String>>, SourceError> {
    let mut keys = BTreeMap::new();
    for name in tables {
        keys.insert(
            name.to_string(),
            key_names(&inspect(connection, name).await?),
        );
    }
    Ok(keys)
}

/// What snapshot and stream share.
struct Run<'a> {
    source: &'a Source,
    publisher: Publisher,
    keys: BTreeMap<String, Vec<String>>,
    topic_ids: BTreeMap<String, String>,
    began: Instant,
}

impl Run<'_> {
    /// Reads all tables; gives the position that the stream starts from.
    async fn snapshot(
        &mut self,
        connection: &mut Connection,
        stored: Option<StoredPosition>,
        gate: &mut StartGate,
    ) -> Result<StoredPosition, SourceError> {
        let source = self.source;
        let place = handover::open(connection).await?;
        let newest = self.publisher.newest_version();
        let begun = match stored {
            // the first attempt's position stays; the tables may have been changed since
            Some(first) => StoredPosition {
                tables: self.keys.clone(),
                topics: self.topic_ids.clone(),
                ..first
            },
            None => self.first_position(&place, newest.map(|version| Csn(version.csn))),
        };
        self.store(&begun).await?;
        gate.open();
        source.status.enter(State::Snapshot);
        source.metrics.enter(State::Snapshot);
        tracing::info!(source = source.config.name, position = %begun.gtid, csn = begun.csn, "snapshot");
        let index = newest
            .filter(|version| version.csn == begun.csn)
            .map_or(0, |version| version.index + 1);
        let mut reader = SnapshotReader {
            connection,
            publisher: &mut self.publisher,
            next: Version {
                csn: begun.csn,
                index,
            },
            ts_ms: place.ts_ms,
            source: &source.config.name,
            status: &source.status,
            metrics: &source.metrics,
            stop: &source.stop,
        };
        reader.run(&source.tables).await?;
        self.publisher.settled().await?;
        handover::close(connection).await?;
        let done = StoredPosition {
            snapshot: SnapshotProgress::Done,
            ..begun
        };
        self.store(&done).await?;
        Ok(done)
    }

    fn first_position(&self, place: &Place, newest: Option<Csn>) -> StoredPosition {
        let csn = Csn::at_start(now_ms() / 1000, newest);
        StoredPosition {
            gtid: place.gtid.clone(),
            csn: csn.0,
            snapshot: SnapshotProgress::Running,
            tables: self.keys.clone(),
            topics: self.topic_ids.clone(),
        }
    }

    async fn store(&mut self, position: &StoredPosition) -> Result<(), SourceError> {
        self.publisher
            .put(
                POSITIONS_TOPIC,
                self.source.config.name.as_bytes(),
                &position.to_json(),
            )
            .await?;
        self.source.status.stored(&position.gtid, Csn(position.csn));
        self.source.metrics.positions.inc();
        self.source
            .metrics
            .csn
            .set(i64::try_from(position.csn).unwrap_or(i64::MAX));
        Ok(())
    }

    /// After a failure, waits until everything sent is on the log: the next attempt asks the log
    /// what it holds, and a record still on its way would then be there twice.
    async fn settle<T>(&mut self, result: Result<T, SourceError>) -> Result<T, SourceError> {
        if let Err(error) = &result
            && error.problem().is_some()
        {
            self.publisher.abandon();
            if let Err(error) = self.publisher.settled().await {
                // it takes nothing more either
                tracing::debug!(%error, "the producer has failed too");
            }
        }
        result
    }

    /// Follows the binlog.
    async fn stream(
        &mut self,
        mut stream: EventStream,
        mut capture: Capture,
        gtid: Position,
        csn: Csn,
    ) -> Result<(), SourceError> {
        let source = self.source;
        let mut ledger = Ledger::new(gtid, csn, self.began.elapsed());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let committed = tokio::select! {
                biased;
                () = source.stop.cancelled() => return self.finish(ledger).await,
                _ = ticks.tick() => true,
                frame = stream.next() => capture.event(&frame?, &mut ledger, &mut self.publisher).await?,
            };
            if committed {
                self.show(&mut capture.counts);
                let acked = self.publisher.acked()?;
                if let Some((gtid, csn)) = ledger.due(self.began.elapsed(), acked, false) {
                    self.store_stream(&mut ledger, gtid, csn).await?;
                }
            }
        }
    }

    /// Waits for what is in flight and stores the last committed position.
    async fn finish(&mut self, mut ledger: Ledger) -> Result<(), SourceError> {
        self.publisher.abandon();
        self.publisher.settled().await?;
        let acked = self.publisher.acked()?;
        while let Some((gtid, csn)) = ledger.due(self.began.elapsed(), acked, true) {
            self.store_stream(&mut ledger, gtid, csn).await?;
        }
        Ok(())
    }

    async fn store_stream(
        &mut self,
        ledger: &mut Ledger,
        gtid: Position,
        csn: Csn,
    ) -> Result<(), SourceError> {
        let position = StoredPosition {
            gtid,
            csn: csn.0,
            snapshot: SnapshotProgress::Done,
            tables: self.keys.clone(),
            topics: self.topic_ids.clone(),
        };
        self.store(&position).await?;
        ledger.stored(csn);
        Ok(())
    }

    fn show(&self, counts: &mut Counts) {
        let metrics = &self.source.metrics;
        metrics.rows.inc_by(counts.rows);
        metrics.transactions.inc_by(counts.transactions);
        if let Some(lag_ms) = counts.lag_ms {
            metrics
                .lag_seconds
                .set(Duration::from_millis(lag_ms).as_secs_f64());
        }
        let skipped = self.publisher.skipped();
        metrics
            .skipped
            .inc_by(skipped.saturating_sub(metrics.skipped.get()));
        let published_at_ms = self.publisher.last_ack_ms();
        self.source.status.update(|status| {
            status.rows += counts.rows;
            status.lag_ms = counts.lag_ms.or(status.lag_ms);
            status.published_at_ms = published_at_ms.or(status.published_at_ms);
        });
        *counts = Counts::default();
    }
}
