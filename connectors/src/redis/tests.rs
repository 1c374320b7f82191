//! The contract on a real server, and what is Redis' own.
use std::collections::BTreeMap;

use headrace_clients::change::{ColumnType, Row, Version};
use redis::Value;

use super::*;
use crate::config::Form;
use crate::sink::contract::{self, Harness, definition, identity, schema};
use crate::sink::{
    Applied, Call, Epoch, Offset, Operation, Partition, Position, Sink, SinkError, Target,
};
use crate::value::Place;
use crate::view::Field;

/// A private server.
pub(crate) struct Server(headrace_servers::Redis);

impl Server {
    pub(crate) fn start() -> Server {
        Server(headrace_servers::Redis::start().unwrap())
    }

    /// Starts again with nothing in memory.
    pub(crate) fn restart(&mut self) {
        self.0.kill().unwrap();
        self.0.resume().unwrap();
    }

    /// Ends it for good.
    pub(crate) fn stop(&mut self) {
        self.0.kill().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    pub(crate) async fn query<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut cmd = redis::Cmd::new();
        for word in words {
            cmd.arg(*word);
        }
        cmd.query_async(&mut connection).await.unwrap()
    }

    pub(crate) async fn keys(&self) -> Vec<Vec<u8>> {
        self.query(&[b"KEYS", b"*"]).await
    }
}

struct RedisHarness {
    server: Server,
    target: RedisTarget,
    remembered: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RedisHarness {
    fn new() -> RedisHarness {
        let server = Server::start();
        let target = RedisTarget::new(&server.url(), "things", &definition());
        RedisHarness {
            server,
            target,
            remembered: Vec::new(),
        }
    }
}

impl Harness for RedisHarness {
    type Target = RedisTarget;

    fn target(&self) -> &RedisTarget {
        &self.target
    }

    async fn rows(&mut self) -> BTreeMap<String, String> {
        let mut rows = BTreeMap::new();
        for key in self.server.keys().await {
            let key = String::from_utf8(key).unwrap();
            if key.starts_with("thing:") {
                let name: String = self.server.query(&[b"HGET", key.as_bytes(), b"name"]).await;
                rows.insert(key, name);
            }
        }
        rows
    }

    async fn remember(&mut self) {
        self.remembered.clear();
        for key in self.server.keys().await {
            let dump: Vec<u8> = self.server.query(&[b"DUMP", &key]).await;
            self.remembered.push((key, dump));
        }
    }

    async fn lose(&mut self) {
        self.server.query::<Value>(&[b"FLUSHALL"]).await;
        for (key, dump) in &self.remembered {
            self.server
                .query::<Value>(&[b"RESTORE", key, b"0", dump])
                .await;
        }
    }

    /// From now on the server's user may not run SET, so a JSON string is refused and all else passes.
    async fn poison(&mut self, offset: i64) -> Operation<RedisValue> {
        self.server
            .query::<Value>(&[b"ACL", b"SETUSER", b"default", b"-set"])
            .await;
        let value = encode::encode(Form::Json, &[], &Row::default()).unwrap();
        Operation {
            offset: Offset(offset),
            version: None,
            key: "thing:9".into(),
            value: Some(value),
        }
    }
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    contract::run(|| std::future::ready(RedisHarness::new())).await;
}

fn field(name: &str, ty: ColumnType) -> Field {
    Field {
        name: name.into(),
        place: Place {
            index: 0,
            name: name.into(),
        },
        ty,
    }
}

async fn put(
    sink: &mut RedisSink,
    offset: i64,
    key: &str,
    value: RedisValue,
) -> Result<Applied, SinkError> {
    let version = Some(Version {
        csn: 1 << 54,
        index: 3,
    });
    let operations = [Operation {
        offset: Offset(offset),
        version: None,
        key: key.into(),
        value: Some(value),
    }];
    let position = Position {
        offset: Offset(offset),
        version,
        partial: false,
    };
    let previous = sink.stored().await?.map(|stored| stored.position.offset);
    sink.apply(Call {
        epoch: Epoch(3),
        previous,
        first: true,
        operations: operations.into(),
        position,
    })
    .await
}

fn wide(columns: usize, value_bytes: usize) -> RedisValue {
    let names: Vec<String> = (0..columns).map(|at| format!("column_{at}")).collect();
    let value = "x".repeat(value_bytes);
    let json: Vec<String> = names
        .iter()
        .map(|name| format!("\"{name}\":\"{value}\""))
        .collect();
    let json = format!("{{{}}}", json.join(","));
    let fields: Vec<Field> = names
        .iter()
        .map(|name| field(name, ColumnType::Text))
        .collect();
    encode::encode(Form::Hash, &fields, &Row::parse(json.as_bytes()).unwrap()).unwrap()
}

#[tokio::test]
async fn the_widest_table_and_a_row_of_20_mb_fit() {
    let on = RedisHarness::new();
    let mut sink = on.target.open(Partition(0), identity()).await.unwrap();
    put(&mut sink, 0, "thing:wide", wide(4096, 10))
        .await
        .unwrap();
    put(&mut sink, 1, "thing:large", wide(1, 20 << 20))
        .await
        .unwrap();
    assert_eq!(
        on.server.query::<u64>(&[b"HLEN", b"thing:wide"]).await,
        4096
    );
    assert_eq!(
        on.server
            .query::<u64>(&[b"HSTRLEN", b"thing:large", b"column_0"])
            .await,
        20 << 20
    );
}

#[tokio::test]
async fn a_put_replaces_the_whole_value_whatever_was_there() {
    let on = RedisHarness::new();
    let mut sink = on.target.open(Partition(0), identity()).await.unwrap();
    on.server
        .query::<Value>(&[b"SADD", b"thing:1", b"foreign"])
        .await;
    put(&mut sink, 0, "thing:1", wide(3, 1)).await.unwrap();
    put(&mut sink, 1, "thing:1", wide(1, 1)).await.unwrap();
    assert_eq!(
        on.server
            .query::<Vec<String>>(&[b"HGETALL", b"thing:1"])
            .await,
        ["column_0", "x"]
    );
}

#[tokio::test]
async fn json_and_raw_bytes_arrive_as_they_are() {
    let on = RedisHarness::new();
    let mut sink = on.target.open(Partition(0), identity()).await.unwrap();
    let row = Row::parse(br#"{"raw":"AP8NCg=="}"#).unwrap();
    let value = encode::encode(Form::Hash, &[field("raw", ColumnType::Bytes)], &row).unwrap();
    put(&mut sink, 0, "thing:raw", value).await.unwrap();
    assert_eq!(
        on.server
            .query::<Vec<u8>>(&[b"HGET", b"thing:raw", b"raw"])
            .await,
        [0, 255, 13, 10]
    );
    let value = encode::encode(Form::Json, &[field("raw", ColumnType::Bytes)], &row).unwrap();
    put(&mut sink, 1, "thing:json", value).await.unwrap();
    assert_eq!(
        on.server.query::<String>(&[b"GET", b"thing:json"]).await,
        r#"{"raw":"AP8NCg=="}"#
    );
}

#[tokio::test]
async fn a_missing_function_is_loaded_again() {
    let on = RedisHarness::new();
    let mut sink = on.target.open(Partition(0), identity()).await.unwrap();
    on.server.query::<Value>(&[b"FUNCTION", b"FLUSH"]).await;
    put(&mut sink, 0, "thing:1", wide(1, 1)).await.unwrap();
    assert_eq!(on.server.query::<u64>(&[b"EXISTS", b"thing:1"]).await, 1);
}

#[tokio::test]
async fn a_restarted_server_shows_as_loss() {
    let mut on = RedisHarness::new();
    let mut sink = on.target.open(Partition(0), identity()).await.unwrap();
    put(&mut sink, 0, "thing:1", wide(1, 1)).await.unwrap();
    on.server.restart();
    assert!(matches!(
        sink.stored().await,
        Err(SinkError::Unavailable(_))
    ));
    let mut sink = on.target.open(Partition(0), identity()).await.unwrap();
    assert_eq!(sink.stored().await, Ok(None));
}

#[tokio::test]
async fn a_reset_leaves_other_keys_alone() {
    let on = RedisHarness::new();
    let mut sink = on.target.open(Partition(0), identity()).await.unwrap();
    let config = crate::config::ViewConfig {
        key: "t*[x]?:{id}".into(),
        ..contract::view_config()
    };
    let definition = crate::view::Definition::new(&config).unwrap();
    let mut odd = RedisTarget::new(&on.server.url(), "odd", &definition)
        .open(Partition(0), identity())
        .await
        .unwrap();
    for at in 0..3000 {
        put(&mut sink, at, &format!("thing:{at}"), wide(1, 1))
            .await
            .unwrap();
    }
    put(&mut odd, 0, "t*[x]?:1", wide(1, 1)).await.unwrap();
    on.server.query::<Value>(&[b"SET", b"user", b"1"]).await;
    assert_eq!(odd.reset().await, Ok(1));
    assert_eq!(on.server.keys().await.len(), 3000 + 2);
    assert_eq!(sink.reset().await, Ok(3000));
    assert_eq!(on.server.keys().await, [b"user"]);
}

#[tokio::test]
async fn a_reset_deletes_the_keys_of_the_earlier_template_unless_another_view_has_them() {
    let on = RedisHarness::new();
    let target = |name: &str, key: &str| {
        let config = crate::config::ViewConfig {
            key: key.into(),
            ..contract::view_config()
        };
        let definition = crate::view::Definition::new(&config).unwrap();
        RedisTarget::new(&on.server.url(), name, &definition)
    };
    let (old, other) = (target("one", "old:{id}"), target("two", "old:{id}"));
    let new = target("one", "new:{id}");
    for taken in [false, true] {
        let mut sink = old.open(Partition(0), identity()).await.unwrap();
        sink.prepare(&schema(), None).await.unwrap();
        put(&mut sink, 0, "old:1", wide(1, 1)).await.unwrap();
        if taken {
            let mut other = other.open(Partition(0), identity()).await.unwrap();
            other.prepare(&schema(), None).await.unwrap();
        }
        let mut sink = new.open(Partition(0), identity()).await.unwrap();
        assert_eq!(sink.reset().await, Ok(u64::from(!taken)));
    }
}

#[tokio::test]
async fn an_evicting_server_and_wrong_credentials_are_refused_with_what_to_do() {
    let on = RedisHarness::new();
    on.server
        .query::<Value>(&[b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-lru"])
        .await;
    let refusal = |error: SinkError| match error {
        SinkError::Refused { message, hint } => format!("{message} | {hint}"),
        other => panic!("{other:?}"),
    };
    let error = refusal(on.target.open(Partition(0), identity()).await.unwrap_err());
    assert!(
        error.contains("allkeys-lru") && error.contains("CONFIG SET maxmemory-policy noeviction"),
        "{error}"
    );
    let url = format!("redis://nobody:wrong@127.0.0.1:{}", on.server.0.port());
    let error = refusal(
        RedisTarget::new(&url, "things", &definition())
            .open(Partition(0), identity())
            .await
            .unwrap_err(),
    );
    assert!(error.contains("check user and password"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let target = RedisTarget::new("redis://127.0.0.1:1", "things", &definition());
    let error = target.open(Partition(0), identity()).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(message) if message.contains("127.0.0.1:1")));
    assert_eq!(schema().columns.len(), 2);
}
