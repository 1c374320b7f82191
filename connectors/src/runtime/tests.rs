//! Whole views on librdkafka's mock cluster, with a real Redis and a real index.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use headrace_clients::change::{
    CLAIMS_TOPIC, ChangeHeaders, Column, ColumnType, SCHEMAS_TOPIC, Schema, Version,
};
use headrace_clients::{ClientConfig, Producer};
use prometheus_client::registry::Registry;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use redis::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::redis::tests::Server;
use crate::{StartError, State, TargetConfig, ViewConfig, ViewStatus, Views};

const TOPIC: &str = "shop.shop.products";
const PATIENCE: Duration = Duration::from_secs(20);

/// A log, a Redis, a folder for indexes, and a source that writes into the log.
struct World {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: Producer,
    server: Server,
    dir: TempDir,
    schema: Schema,
    csn: u64,
}

fn column(name: &str, ty: ColumnType, key: Option<u32>) -> Column {
    Column {
        name: name.into(),
        ty,
        key,
        nullable: true,
        default: None,
    }
}

impl World {
    async fn new() -> World {
        let cluster = MockCluster::new(1).unwrap();
        for topic in [TOPIC, CLAIMS_TOPIC, SCHEMAS_TOPIC] {
            cluster.create_topic(topic, 1, 1).unwrap();
        }
        let producer =
            Producer::new(&ClientConfig::new(cluster.bootstrap_servers(), "source")).unwrap();
        let columns = vec![
            column("id", ColumnType::Int, Some(1)),
            column("name", ColumnType::Text, None),
        ];
        let mut world = World {
            cluster,
            producer,
            server: Server::start(),
            dir: TempDir::new().unwrap(),
            schema: Schema {
                columns: Vec::new(),
            },
            csn: 1 << 50,
        };
        world.alter(Schema { columns }).await;
        world
    }

    async fn send(&self, topic: &str, key: &str, value: Option<&str>, headers: &[(&str, &[u8])]) {
        let value = value.map(str::as_bytes);
        let sent = self
            .producer
            .send(topic, 0, Some(key.as_bytes()), value, headers)
            .await
            .unwrap();
        sent.await.unwrap();
    }

    async fn alter(&mut self, schema: Schema) {
        let json = String::from_utf8(schema.to_json()).unwrap();
        self.send(SCHEMAS_TOPIC, &schema.id().to_string(), Some(&json), &[])
            .await;
        self.schema = schema;
    }

    /// One transaction of rows: id -> the row's other columns as JSON, or `None` for a delete with its tombstone.
    async fn commit(&mut self, rows: &[(i64, Option<&str>)]) {
        self.csn += 1;
        for (at, (id, row)) in rows.iter().enumerate() {
            let last = at + 1 == rows.len();
            let (before, after, op) = match row {
                Some(row) => ("null".to_owned(), format!(r#"{{"id":{id},{row}}}"#), "c"),
                None => (format!(r#"{{"id":{id}}}"#), "null".to_owned(), "d"),
            };
            let value = format!(
                r#"{{"before":{before},"after":{after},"source":{{"version":"0","connector":"mysql","name":"s","ts_ms":1,"snapshot":"false","db":"d","table":"t","server_id":1,"gtid":null,"file":"f","pos":4,"row":0}},"op":"{op}","ts_ms":1}}"#
            );
            let key = format!(r#"{{"id":{id}}}"#);
            let index = 3 * at as u64;
            self.change(&key, Some(&value), index, last && row.is_some())
                .await;
            if row.is_none() {
                self.change(&key, None, index + 1, last).await;
            }
        }
    }

    async fn change(&self, key: &str, value: Option<&str>, index: u64, last: bool) {
        let version = Version {
            csn: self.csn,
            index,
        };
        let headers = ChangeHeaders {
            version,
            last,
            gtid: None,
            schema: self.schema.id(),
        }
        .to_text();
        self.send(TOPIC, key, value, &headers.pairs()).await;
    }

    fn views() -> Vec<ViewConfig> {
        let view = |name: &str, to: &str, key: &str| ViewConfig {
            name: name.into(),
            from: "shop.products".into(),
            to: to.into(),
            as_: None,
            key: key.into(),
            where_: None,
            fields: None,
        };
        vec![
            view("cache", "redis", "product:{id}"),
            view("search", "index", "{id}"),
        ]
    }

    async fn start(&self, views: Vec<ViewConfig>) -> Result<Views, StartError> {
        let targets = BTreeMap::from([
            (
                "redis".to_owned(),
                TargetConfig::Redis {
                    redis: self.server.url(),
                },
            ),
            (
                "index".to_owned(),
                TargetConfig::Tantivy {
                    tantivy: self.dir.path().join("index"),
                },
            ),
        ]);
        let topics = |_: &str| Ok(TOPIC.to_owned());
        let bootstrap = self.cluster.bootstrap_servers();
        Views::start(
            views,
            targets,
            &topics,
            &bootstrap,
            &mut Registry::default(),
        )
        .await
    }

    /// Redis' rows as `id=name id=name …`, by id.
    async fn cached(&self) -> String {
        let mut rows = BTreeMap::new();
        for key in self.server.keys().await {
            let key = String::from_utf8(key).unwrap();
            let Some(id) = key.strip_prefix("product:") else {
                continue;
            };
            let name: Option<String> = self.server.query(&[b"HGET", key.as_bytes(), b"name"]).await;
            rows.insert(id.parse::<i64>().unwrap(), name.unwrap_or_default());
        }
        rows.iter().fold(String::new(), |mut text, (id, name)| {
            write!(text, "{id}={name} ").unwrap();
            text
        })
    }
}

/// Waits until `what` holds.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "never: {what}"
    );
}

fn status(views: &Views, name: &str) -> ViewStatus {
    views
        .states()
        .into_iter()
        .find(|status| status.name == name)
        .unwrap()
}

async fn until_state(views: &Views, name: &str, state: State) -> ViewStatus {
    until(&format!("{name} is {state:?}"), || async {
        status(views, name).state == state
    })
    .await;
    status(views, name)
}

/// One request over a real socket; answers status and body.
async fn http(views: &Views, request: &str) -> (u16, serde_json::Value) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, views.router()).into_future());
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request =
        format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    server.abort();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (
        status,
        serde_json::from_str(body).unwrap_or(serde_json::Value::Null),
    )
}

async fn found(views: &Views, q: &str) -> String {
    let (status, body) = http(
        views,
        &format!("GET /v1/views/search/search?q={q}&limit=100"),
    )
    .await;
    assert_eq!(status, 200, "{body}");
    let mut hits: Vec<String> = body["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| hit["fields"].to_string())
        .collect();
    hits.sort();
    hits.join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_reach_redis_and_the_index_and_survive_a_restart() {
    let mut world = World::new().await;
    let views = world.start(World::views()).await.unwrap();
    world
        .commit(&[(1, Some(r#""name":"fox""#)), (2, Some(r#""name":"dog""#))])
        .await;
    world
        .commit(&[(1, None), (3, Some(r#""name":null"#))])
        .await;
    until("redis has them", || async {
        world.cached().await == "2=dog 3= "
    })
    .await;
    until("the index has them", || async {
        found(&views, "").await == r#"{"id":2,"name":"dog"} {"id":3}"#
    })
    .await;
    for name in ["cache", "search"] {
        let status = until_state(&views, name, State::Running).await;
        until("the watermark is at the end", || async {
            status_offset(&views, name) == Some(4)
        })
        .await;
        assert_eq!(
            (
                status.applied,
                status.skipped_as_replay,
                status.lost_and_healed
            ),
            (5, 0, 0),
            "{name}"
        );
    }
    views.shutdown().await;
    world.commit(&[(2, None)]).await;
    let views = world.start(World::views()).await.unwrap();
    until("redis goes on", || async { world.cached().await == "3= " }).await;
    until("the index goes on", || async {
        found(&views, "").await == r#"{"id":3}"#
    })
    .await;
    assert_eq!(status(&views, "cache").applied, 2, "only what was new");
    views.shutdown().await;
}

fn status_offset(views: &Views, name: &str) -> Option<i64> {
    status(views, name)
        .partitions
        .first()?
        .watermark
        .map(|watermark| watermark.offset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_or_restarted_redis_heals_while_idle() {
    let mut world = World::new().await;
    let views = world.start(World::views()).await.unwrap();
    world
        .commit(&[(1, Some(r#""name":"fox""#)), (2, Some(r#""name":"dog""#))])
        .await;
    until("redis has them", || async {
        world.cached().await == "1=fox 2=dog "
    })
    .await;
    world.server.query::<Value>(&[b"FLUSHALL"]).await;
    until("the flush heals", || async {
        world.cached().await == "1=fox 2=dog "
    })
    .await;
    world.server.restart();
    until("the restart heals", || async {
        world.cached().await == "1=fox 2=dog "
    })
    .await;
    until("both are counted", || async {
        status(&views, "cache").lost_and_healed == 2
    })
    .await;
    until_state(&views, "cache", State::Running).await;
    views.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_view_is_a_mismatch_until_its_reset() {
    let mut world = World::new().await;
    let views = world.start(World::views()).await.unwrap();
    world
        .commit(&[(1, Some(r#""name":"fox""#)), (2, Some(r#""name":"dog""#))])
        .await;
    until("redis has them", || async {
        world.cached().await == "1=fox 2=dog "
    })
    .await;
    until("the index has them", || async {
        found(&views, "").await.contains("dog")
    })
    .await;
    views.shutdown().await;
    let mut edited = World::views();
    for view in &mut edited {
        view.where_ = Some("id > 1".into());
    }
    let views = world.start(edited).await.unwrap();
    let status = until_state(&views, "cache", State::Mismatch).await;
    let error = status.last_error.unwrap();
    assert_eq!(error.code, "mismatch");
    assert!(error.hint.unwrap().contains("headrace view reset cache"));
    assert_eq!(world.cached().await, "1=fox 2=dog ", "nothing is written");
    until("the index is rebuilt without asking", || async {
        found(&views, "").await == r#"{"id":2,"name":"dog"}"#
    })
    .await;
    let (code, body) = http(&views, "POST /v1/views/cache/reset").await;
    assert_eq!(
        (code, body.to_string().as_str()),
        (200, r#"{"view":"cache","deleted":2}"#)
    );
    until("redis is rebuilt", || async {
        world.cached().await == "2=dog "
    })
    .await;
    until_state(&views, "cache", State::Running).await;
    views.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_column_reaches_old_and_new_rows() {
    let mut world = World::new().await;
    let views = world.start(World::views()).await.unwrap();
    world
        .commit(&[(1, Some(r#""name":"fox""#)), (2, Some(r#""name":"dog""#))])
        .await;
    until("the index has them", || async {
        found(&views, "").await.contains("dog")
    })
    .await;
    let mut wider = world.schema.clone();
    wider.columns.push(column("stock", ColumnType::Int, None));
    world.alter(wider).await;
    world
        .commit(&[
            (2, Some(r#""name":"dog","stock":7"#)),
            (3, Some(r#""name":"cat","stock":0"#)),
        ])
        .await;
    let all =
        r#"{"id":1,"name":"fox"} {"id":2,"name":"dog","stock":7} {"id":3,"name":"cat","stock":0}"#;
    until("the index has the column", || async {
        found(&views, "").await == all
    })
    .await;
    assert_eq!(
        found(&views, "stock:7").await,
        r#"{"id":2,"name":"dog","stock":7}"#
    );
    let stock = || {
        world
            .server
            .query::<Option<String>>(&[b"HGET", b"product:2", b"stock"])
    };
    until("redis has the column", || async {
        stock().await.as_deref() == Some("7")
    })
    .await;
    views.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_applied_stops_the_view_there() {
    let mut world = World::new().await;
    let views = world.start(World::views()).await.unwrap();
    world.commit(&[(1, Some(r#""name":"fox""#))]).await;
    world.send(TOPIC, r#"{"id":2}"#, Some("by hand"), &[]).await;
    world.commit(&[(3, Some(r#""name":"dog""#))]).await;
    let status = until_state(&views, "cache", State::Failed).await;
    let error = status.last_error.unwrap();
    assert_eq!(error.code, "record");
    assert!(
        error.message.contains("offset 1") && error.message.contains(r#"{"id":2}"#),
        "{}",
        error.message
    );
    assert!(status.next_attempt_ms.is_some());
    assert_eq!(world.cached().await, "1=fox ");
    assert_eq!(status_offset(&views, "cache"), Some(0));
    views.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_never_ran_fails_the_start_and_one_that_ran_does_not() {
    let mut world = World::new().await;
    world.commit(&[(1, Some(r#""name":"fox""#))]).await;
    let mut wrong = World::views();
    wrong[0].where_ = Some("nmae == 'x'".into());
    let error = world.start(wrong).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "view `cache`: the table has no column `nmae`; did you mean `name`?; change [view.cache] in the configuration"
    );
    let views = world.start(World::views()).await.unwrap();
    until("redis has it", || async {
        world.cached().await == "1=fox "
    })
    .await;
    views.shutdown().await;
    let url = world.server.url();
    world.server.stop();
    let views = world.start(World::views()).await.unwrap();
    let status = until_state(&views, "cache", State::Failed).await;
    assert_eq!(status.last_error.unwrap().code, "target-unavailable");
    until_state(&views, "search", State::Running).await;
    views.shutdown().await;
    let mut fresh = World::views();
    fresh[0].name = "fresh".into();
    let error = world.start(fresh).await.unwrap_err().to_string();
    assert!(
        error.starts_with("view `fresh`: redis at") && error.contains(&url[8..]),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_answers_are_clear() {
    let mut world = World::new().await;
    let views = world.start(World::views()).await.unwrap();
    world.commit(&[(1, Some(r#""name":"fox""#))]).await;
    until("the index has it", || async {
        found(&views, "fox").await == r#"{"id":1,"name":"fox"}"#
    })
    .await;
    let code = |answer: (u16, serde_json::Value)| {
        (
            answer.0,
            answer.1["error"]["code"].as_str().unwrap_or("").to_owned(),
        )
    };
    for (request, status, error) in [
        ("GET /v1/views/nope", 404, "unknown-view"),
        ("GET /v1/views/nope/search", 404, "unknown-view"),
        ("POST /v1/views/nope/reset", 404, "unknown-view"),
        ("GET /v1/views/cache/search?q=x", 400, "not-searchable"),
        ("GET /v1/views/search/search?q=nope:x", 400, "bad-query"),
        (
            "GET /v1/views/search/search?limit=10001",
            400,
            "limit-too-large",
        ),
        ("GET /v1/views/search/search?limit=x", 400, "bad-parameter"),
        ("GET /v1/views/search/search?size=1", 400, "bad-parameter"),
        ("GET /v1/views/search/search?limit=10000", 200, ""),
        ("GET /v1/views/search/search", 200, ""),
        ("GET /v1/views/search", 200, ""),
    ] {
        assert_eq!(
            code(http(&views, request).await),
            (status, error.to_owned()),
            "{request}"
        );
    }
    let (_, list) = http(&views, "GET /v1/views").await;
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|view| view["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["cache", "search"]);
    views.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_and_a_long_log_fold_to_the_same_rows() {
    let mut world = World::new().await;
    let rows: Vec<(i64, Option<&str>)> = (0..1500)
        .map(|at| (at % 400, (at % 7 != 0).then_some(r#""name":"x""#)))
        .collect();
    for part in rows.chunks(600) {
        world.commit(part).await;
    }
    let mut fold = BTreeMap::new();
    for (id, row) in &rows {
        fold.insert(*id, row.is_some());
    }
    let expected_rows = fold.values().filter(|there| **there).count();
    let views = world.start(World::views()).await.unwrap();
    until("redis has them", || async {
        world.cached().await.matches('=').count() == expected_rows
    })
    .await;
    until("the index has them", || async {
        let (_, body) = http(&views, "GET /v1/views/search/search?limit=0").await;
        body["total"] == expected_rows
    })
    .await;
    views.shutdown().await;
}
