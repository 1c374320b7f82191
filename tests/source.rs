//! One source against real servers and an embedded broker: what it refuses and in which words, what it survives, and
//! how its versions go on. The whole path under load is `end_to_end.rs`, kills of the process are `crash.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use headrace_broker::{Broker, BrokerConfig};
use headrace_cdc::{SourceConfig, SourceStatus, Sources, StartError, State, StoredPosition};
use headrace_clients::change::{POSITIONS_TOPIC, Version};
use headrace_clients::{ClientConfig, Record, read_to_end};
use headrace_servers::{Database, Flavor, Programs};
use prometheus_client::registry::Registry;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_mins(1);
const FLAVORS: [Flavor; 2] = [Flavor::MariaDb, Flavor::MySql];
const TABLE: &str = "CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(40));";

/// A log and a database.
struct World {
    database: Database,
    broker: Broker,
    _data: TempDir,
}

impl World {
    async fn new(flavor: Flavor) -> World {
        World::with(flavor, &[]).await
    }

    async fn with(flavor: Flavor, arguments: &[&str]) -> World {
        let database = Database::start_with(flavor, &Programs::find(), arguments).unwrap();
        let made = database.sql(&format!(
            "CREATE DATABASE shop; {TABLE}
             CREATE USER cdc@'127.0.0.1';
             GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO cdc@'127.0.0.1';
             GRANT SELECT ON shop.* TO cdc@'127.0.0.1'"
        ));
        made.unwrap();
        let data = TempDir::new().unwrap();
        let config = BrokerConfig {
            listen: "127.0.0.1:0".to_owned(),
            data: data.path().to_owned(),
            ..BrokerConfig::default()
        };
        let broker = Broker::start(config).await.unwrap();
        World {
            database,
            broker,
            _data: data,
        }
    }

    fn sql(&self, statements: &str) {
        self.database.sql(statements).unwrap();
    }

    fn config(&self, tables: &[&str]) -> SourceConfig {
        let url = self.database.url("cdc");
        serde_json::from_value(json!({ "name": "s", "mysql": url, "tables": tables })).unwrap()
    }

    async fn start(&self, config: SourceConfig) -> Result<Sources, StartError> {
        let bootstrap = self.broker.local_addr().to_string();
        Sources::start(vec![config], &bootstrap, &mut Registry::default()).await
    }

    /// The code and the whole line of a first start that must fail, within the ten seconds it has.
    async fn refusal(&self, config: SourceConfig) -> (&'static str, String) {
        let began = Instant::now();
        let error = self
            .start(config)
            .await
            .expect_err("a first start that must fail");
        assert!(began.elapsed() < Duration::from_secs(10));
        let line = error.to_string();
        match error {
            StartError::Source { problem, .. } => (problem.code, line),
            StartError::Config { .. } => ("config", line),
        }
    }

    async fn records(&self, topic: &str) -> Vec<Record> {
        let client = ClientConfig::new(self.broker.local_addr().to_string(), "test");
        read_to_end(&client, topic, 0).await.unwrap()
    }

    async fn stored(&self) -> StoredPosition {
        let last = self.records(POSITIONS_TOPIC).await.pop().unwrap();
        StoredPosition::from_json(&last.value.unwrap()).unwrap()
    }

    /// The topic of `shop.t`, folded; the versions must rise.
    async fn folded(&self) -> BTreeMap<i64, Json> {
        let mut rows = BTreeMap::new();
        let mut last: Option<Version> = None;
        for record in self.records("s.shop.t").await {
            let version = record.change().unwrap().unwrap().version;
            assert!(last < Some(version), "{version:?} after {last:?}");
            last = Some(version);
            let key: Json = serde_json::from_slice(&record.key.unwrap()).unwrap();
            let value: Option<Json> = record
                .value
                .map(|value| serde_json::from_slice(&value).unwrap());
            let key = key["id"].as_i64().unwrap();
            match value {
                Some(value) if !value["after"].is_null() => {
                    rows.insert(key, value["after"].clone())
                }
                _ => rows.remove(&key),
            };
        }
        rows
    }
}

/// Waits until the state of the only source fits.
async fn wait(sources: &Sources, what: &str, fits: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
    eventually(what, async || {
        sources.states().pop().filter(|status| fits(status))
    })
    .await
}

async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut fact: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = fact().await {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn streams(status: &SourceStatus) -> bool {
    status.state == State::Streaming
}

fn failed_with(code: &'static str) -> impl Fn(&SourceStatus) -> bool {
    move |status| {
        status
            .last_error
            .as_ref()
            .is_some_and(|error| error.problem.code == code)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_names_what_is_wrong_and_what_to_run() {
    for flavor in FLAVORS {
        let world = World::new(flavor).await;
        world.sql(
            "CREATE TABLE shop.nokey (a INT); CREATE TABLE shop.shape (a INT PRIMARY KEY, g GEOMETRY);
             CREATE TABLE shop.flat (a INT PRIMARY KEY) ENGINE = MyISAM; CREATE USER plain@'127.0.0.1';
             GRANT SELECT ON shop.* TO plain@'127.0.0.1'",
        );
        for (table, code, says) in [
            ("shop.nokey", "no-primary-key", "ADD PRIMARY KEY"),
            (
                "shop.shape",
                "unsupported-type",
                "column g of table shop.shape has the type geometry",
            ),
            (
                "shop.flat",
                "engine-without-transactions",
                "ENGINE = InnoDB",
            ),
            ("shop.none", "unknown-table", "shop.none"),
        ] {
            let (found, line) = world.refusal(world.config(&[table])).await;
            assert_eq!(found, code);
            assert!(line.contains(says), "{line}");
        }
        let mut config = world.config(&["shop.t"]);
        config.user = Some("plain".to_owned());
        let (code, line) = world.refusal(config).await;
        assert_eq!(code, "missing-privilege");
        assert!(line.contains("GRANT REPLICATION SLAVE, ") && line.contains("'plain'@'127.0.0.1'"));
        let mut config = world.config(&["shop.t"]);
        config.password = Some("wrong".to_owned());
        assert_eq!(world.refusal(config).await.0, "access-denied");
        let mut config = world.config(&["shop.t"]);
        config.mysql = "mysql://cdc@127.0.0.1:1".to_owned();
        assert_eq!(world.refusal(config).await.0, "server-unreachable");
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_setting_is_named_with_its_statement() {
    for (flavor, argument, statement) in [
        (
            Flavor::MariaDb,
            "--binlog-row-metadata=NO_LOG",
            "SET GLOBAL binlog_row_metadata = FULL",
        ),
        (
            Flavor::MariaDb,
            "--binlog-format=MIXED",
            "SET GLOBAL binlog_format = ROW",
        ),
        (
            Flavor::MySql,
            "--gtid-mode=OFF",
            "SET GLOBAL gtid_mode = OFF_PERMISSIVE",
        ),
    ] {
        let world = World::with(flavor, &[argument]).await;
        let (code, line) = world.refusal(world.config(&["shop.t"])).await;
        assert_eq!(code, "server-setting");
        assert!(line.contains(statement), "{line}");
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transaction_counts_and_its_rows_have_their_places() {
    for flavor in FLAVORS {
        let world = World::new(flavor).await;
        world.sql(
            "CREATE TABLE shop.other (a INT); INSERT INTO shop.t VALUES (1,'a'),(2,'b'),(3,'c')",
        );
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(&sources, "streaming", streams).await;
        let first = world.stored().await.csn;
        world.sql(
            "INSERT INTO shop.other VALUES (1),(2);
             BEGIN; INSERT INTO shop.other VALUES (3),(4); UPDATE shop.t SET id = 9 WHERE id = 1; DELETE FROM shop.t WHERE id = 2; COMMIT",
        );
        eventually("the rows", async || {
            (world.records("s.shop.t").await.len() == 8).then_some(())
        })
        .await;
        let records = world.records("s.shop.t").await;
        let seen: Vec<_> = records
            .iter()
            .map(|record| {
                let headers = record.change().unwrap().unwrap();
                let Version { csn, index } = headers.version;
                (
                    csn - first,
                    index,
                    headers.last,
                    record.value.is_some(),
                    headers.gtid.is_some(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (0, 0, false, true, false),
                (0, 1, false, true, false),
                (0, 2, true, true, false),
                (2, 6, false, true, true),
                (2, 7, false, false, true),
                (2, 8, false, true, true),
                (2, 9, false, true, true),
                (2, 10, true, false, true),
            ]
        );
        sources.shutdown().await;
        assert_eq!(world.stored().await.csn, first + 2);
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_moves_on_while_captured_tables_are_quiet() {
    for flavor in FLAVORS {
        let world = World::new(flavor).await;
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(&sources, "streaming", streams).await;
        let first = world.stored().await.csn;
        world.sql("CREATE TABLE shop.other (a INT); INSERT INTO shop.other VALUES (1)");
        let moved = async || (world.stored().await.csn == first + 2).then_some(());
        eventually("a stored position", moved).await;
        sources.shutdown().await;
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_interrupted_loses_no_delete() {
    for flavor in FLAVORS {
        let world = World::new(flavor).await;
        let rows: Vec<String> = (0..40_000).map(|id| format!("({id},'row {id}')")).collect();
        for chunk in rows.chunks(4_000) {
            world.sql(&format!("INSERT INTO shop.t VALUES {}", chunk.join(",")));
        }
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        eventually("first rows", async || {
            (world.records("s.shop.t").await.len() > 100).then_some(())
        })
        .await;
        sources.shutdown().await;
        let first = world.stored().await;
        world.sql(
            "DELETE FROM shop.t WHERE id < 30000; UPDATE shop.t SET v = 'new' WHERE id = 30000",
        );
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(&sources, "streaming", streams).await;
        let equal = async || {
            let rows = world.folded().await;
            (rows.len() == 10_000 && rows[&30_000]["v"] == "new").then_some(())
        };
        eventually("the fold", equal).await;
        sources.shutdown().await;
        assert_eq!(world.stored().await.tables, first.tables);
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_waited_for() {
    for flavor in FLAVORS {
        let mut world = World::new(flavor).await;
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(&sources, "streaming", streams).await;
        world.sql("INSERT INTO shop.t VALUES (1,'before')");
        world.database.kill().unwrap();
        let down = wait(&sources, "the failure", |status| {
            status.last_error.is_some()
        })
        .await;
        assert!(down.next_attempt_ms.is_some() || down.state == State::Starting);
        world.database.resume().unwrap();
        world.sql("INSERT INTO shop.t VALUES (2,'after')");
        eventually("both rows", async || {
            (world.folded().await.len() == 2).then_some(())
        })
        .await;
        assert_eq!(wait(&sources, "streaming", streams).await.last_error, None);
        sources.shutdown().await;
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_bypass_row_events_stop_the_source_at_their_place() {
    for flavor in FLAVORS {
        let world = World::new(flavor).await;
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(&sources, "streaming", streams).await;
        world.sql("INSERT INTO shop.t VALUES (1,'kept'); TRUNCATE TABLE shop.t; INSERT INTO shop.t VALUES (2,'behind')");
        let status = wait(&sources, "the refusal", failed_with("refused-statement")).await;
        let error = status.last_error.unwrap().problem;
        assert!(error.message.contains("TRUNCATE TABLE shop.t") && error.message.contains("GTID"));
        sources.shutdown().await;
        // it ran before, so it counts as started, and it never passes the statement
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(
            &sources,
            "the refusal again",
            failed_with("refused-statement"),
        )
        .await;
        sources.shutdown().await;
        assert_eq!(world.folded().await.into_keys().collect::<Vec<_>>(), [1]);
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_table_goes_on_with_its_new_columns() {
    for flavor in FLAVORS {
        let world = World::new(flavor).await;
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(&sources, "streaming", streams).await;
        world.sql(
            "INSERT INTO shop.t VALUES (1,'a'); ALTER TABLE shop.t ADD COLUMN n DECIMAL(6,2) NOT NULL DEFAULT 1.5;
             INSERT INTO shop.t VALUES (2,'b',2)",
        );
        eventually("both rows", async || {
            (world.folded().await.len() == 2).then_some(())
        })
        .await;
        let rows = world.folded().await;
        assert_eq!((rows[&1].get("n"), &rows[&2]["n"]), (None, &json!("2.00")));
        world.sql("ALTER TABLE shop.t DROP PRIMARY KEY, ADD PRIMARY KEY (id, n); INSERT INTO shop.t VALUES (3,'c',3)");
        let status = wait(&sources, "the refusal", failed_with("primary-key-changed")).await;
        assert!(
            status
                .last_error
                .unwrap()
                .problem
                .message
                .contains("(id, n)")
        );
        sources.shutdown().await;
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_added_after_the_snapshot_is_refused() {
    let world = World::new(Flavor::MariaDb).await;
    world.sql("CREATE TABLE shop.later (id INT PRIMARY KEY)");
    let sources = world.start(world.config(&["shop.t"])).await.unwrap();
    wait(&sources, "streaming", streams).await;
    sources.shutdown().await;
    let sources = world
        .start(world.config(&["shop.t", "shop.later"]))
        .await
        .unwrap();
    let status = wait(&sources, "the refusal", failed_with("table-added")).await;
    assert!(
        status
            .last_error
            .unwrap()
            .problem
            .message
            .contains("shop.later")
    );
    sources.shutdown().await;
    world.broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_cached_topic_is_refused() {
    let world = World::new(Flavor::MariaDb).await;
    let client = ClientConfig::new(world.broker.local_addr().to_string(), "test");
    let admin = headrace_clients::Admin::new(&client).unwrap();
    let cached = [("write.caching", "true")];
    admin.create_topic("s.shop.t", 1, &cached).await.unwrap();
    let (code, line) = world.refusal(world.config(&["shop.t"])).await;
    assert_eq!(code, "write-caching");
    assert!(line.contains("s.shop.t"), "{line}");
    world.broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_left_out_for_a_while_and_a_deleted_topic_stop_the_source() {
    let world = World::new(Flavor::MariaDb).await;
    world.sql("CREATE TABLE shop.left_out (id INT PRIMARY KEY)");
    let both = ["shop.t", "shop.left_out"];
    let sources = world.start(world.config(&both)).await.unwrap();
    wait(&sources, "streaming", streams).await;
    sources.shutdown().await;
    let sources = world.start(world.config(&both[..1])).await.unwrap();
    world.sql("INSERT INTO shop.left_out VALUES (1)");
    eventually(
        "a position behind the row that is not captured",
        async || {
            let stored = world.stored().await;
            (!stored.tables.contains_key("shop.left_out")).then_some(())
        },
    )
    .await;
    sources.shutdown().await;
    let sources = world.start(world.config(&both)).await.unwrap();
    wait(&sources, "the refusal", failed_with("table-added")).await;
    sources.shutdown().await;

    let client = ClientConfig::new(world.broker.local_addr().to_string(), "test");
    let admin = headrace_clients::Admin::new(&client).unwrap();
    admin.delete_topic("s.shop.t").await.unwrap();
    let sources = world.start(world.config(&["shop.t"])).await.unwrap();
    wait(&sources, "the stop", failed_with("topic-lost")).await;
    admin.create_topic("s.shop.t", 1, &[]).await.unwrap();
    sources.shutdown().await;
    let sources = world.start(world.config(&["shop.t"])).await.unwrap();
    wait(&sources, "the stop", failed_with("topic-lost")).await;
    sources.shutdown().await;
    world.broker.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_position_stops_the_source() {
    for flavor in FLAVORS {
        let world = World::new(flavor).await;
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(&sources, "streaming", streams).await;
        sources.shutdown().await;
        world.sql("INSERT INTO shop.t VALUES (1,'a'); FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (2,'b'); FLUSH BINARY LOGS");
        let logs = world.database.sql("SHOW BINARY LOGS").unwrap();
        let newest = logs
            .lines()
            .last()
            .unwrap()
            .split('\t')
            .next()
            .unwrap()
            .to_owned();
        world.sql(&format!("PURGE BINARY LOGS TO '{newest}'"));
        let sources = world.start(world.config(&["shop.t"])).await.unwrap();
        wait(&sources, "the refusal", failed_with("position-lost")).await;
        sources.shutdown().await;
        world.broker.shutdown().await.unwrap();
    }
}
