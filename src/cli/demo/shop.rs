//! The shop: two tables, their views, and the statements of the story.
use std::time::Duration;

use anyhow::{Context as _, bail};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::super::remote::{Remote, segment};

/// Longest wait for anything on the way; a healthy way takes less than a second.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// Pause between two looks at Redis or the index while waiting for all of them.
const LOOK: Duration = Duration::from_millis(20);
/// Key of the last row of each table: a view that shows it has everything before it.
const LAST_ID: u32 = 4_000_000_000;

const SCHEMA: &str = "
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
CREATE TABLE shop.products (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80) NOT NULL,
  status ENUM('draft','live','sold out') NOT NULL, price DECIMAL(10,2), stock INT NOT NULL, note TEXT,
  changed DATETIME(3) NOT NULL);
CREATE TABLE shop.orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, product INT UNSIGNED NOT NULL,
  quantity SMALLINT NOT NULL, total DECIMAL(12,2) NOT NULL, weight DOUBLE, placed TIMESTAMP(6) NOT NULL);
INSERT INTO shop.products (name, status, price, stock, note, changed)
  SELECT CONCAT('Product ', seq), ELT(1 + seq % 3, 'draft', 'live', 'sold out'), seq * 1.37, seq % 50,
    IF(seq % 4, CONCAT('Note on ', seq, ': größer, 更大'), NULL), NOW(3) FROM seq_1_to_1000;
INSERT INTO shop.orders (product, quantity, total, weight, placed)
  SELECT 1 + seq % 1000, 1 + seq % 9, seq * 2.5, seq / 7, NOW(6) FROM seq_1_to_2000;
CREATE USER cdc@'127.0.0.1';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO cdc@'127.0.0.1';
GRANT SELECT ON shop.* TO cdc@'127.0.0.1'";

/// The configuration file of the demo.
pub(super) fn configuration(mysql: &str, redis: &str) -> String {
    format!(
        r#"
[broker]
listen = "127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
[source.shop]
mysql  = "{mysql}"
tables = ["shop.products", "shop.orders"]
start  = "snapshot"
[target.cache]
redis = "{redis}"
[target.search]
tantivy = "index"
[view.product_cache]
from = "shop.products"
to   = "cache"
key  = "product:{{id}}"
[view.product_search]
from = "shop.products"
to   = "search"
key  = "{{id}}"
[view.order_cache]
from = "shop.orders"
to   = "cache"
as   = "json"
key  = "order:{{id}}"
[view.order_search]
from = "shop.orders"
to   = "search"
key  = "{{id}}"
"#
    )
}

/// A column, and the SQL that shows its value as the views do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    /// A JSON number, not a string.
    pub(super) number: bool,
}

const fn number(name: &'static str) -> Column {
    Column {
        name,
        text: name,
        number: true,
    }
}

const fn text(name: &'static str, text: &'static str) -> Column {
    Column {
        name,
        text,
        number: false,
    }
}

/// A table and its two views.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) cache: &'static str,
    /// Text of its keys in Redis before the id.
    pub(super) prefix: &'static str,
    /// Redis holds a JSON string, not a hash.
    pub(super) json: bool,
    pub(super) search: &'static str,
    pub(super) columns: &'static [Column],
}

pub(super) const PRODUCTS: Table = Table {
    name: "products",
    cache: "product_cache",
    prefix: "product:",
    json: false,
    search: "product_search",
    columns: &[
        number("id"),
        text("name", "name"),
        text("status", "status"),
        text("price", "price"),
        number("stock"),
        text("note", "note"),
        text(
            "changed",
            "LEFT(DATE_FORMAT(changed, '%Y-%m-%dT%H:%i:%s.%f'), 23)",
        ),
    ],
};

pub(super) const ORDERS: Table = Table {
    name: "orders",
    cache: "order_cache",
    prefix: "order:",
    json: true,
    search: "order_search",
    columns: &[
        number("id"),
        number("product"),
        number("quantity"),
        text("total", "total"),
        number("weight"),
        text("placed", "DATE_FORMAT(placed, '%Y-%m-%dT%H:%i:%s.%fZ')"),
    ],
};

/// One statement of the story, and what it must lead to.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) sql: String,
    pub(super) id: u32,
    /// `op` of the record.
    pub(super) op: headrace_clients::change::Op,
    /// Words that find the row in the index, or no longer do.
    pub(super) query: &'static str,
    pub(super) there: bool,
}

/// Connections to both servers.
pub(super) struct Shop {
    database: Mutex<Conn>,
    redis: MultiplexedConnection,
}

impl Shop {
    /// Connects and makes the tables.
    pub(super) async fn open(mysql: &str, redis: &str) -> anyhow::Result<Shop> {
        let mut database = connect(mysql).await?;
        for statement in SCHEMA.split(";\n") {
            database
                .query_drop(statement)
                .await
                .with_context(|| statement.to_owned())?;
        }
        let redis = redis::Client::open(redis)?
            .get_multiplexed_async_connection()
            .await?;
        Ok(Shop {
            database: Mutex::new(database),
            redis,
        })
    }

    pub(super) async fn database(&self) -> MutexGuard<'_, Conn> {
        self.database.lock().await
    }

    pub(super) fn redis(&self) -> MultiplexedConnection {
        self.redis.clone()
    }

    pub(super) async fn version(&self) -> anyhow::Result<String> {
        let version: Option<String> = self
            .database()
            .await
            .query_first("SELECT VERSION()")
            .await?;
        Ok(version
            .unwrap_or_default()
            .split('-')
            .next()
            .unwrap_or_default()
            .to_owned())
    }

    /// The story: one row inserted, updated, deleted.
    pub(super) fn steps() -> [Step; 3] {
        use headrace_clients::change::Op;
        let id = 3_000_000_000;
        [
            Step {
                title: "INSERT",
                sql: format!(
                    "INSERT INTO shop.products VALUES ({id}, 'Glowworm lamp', 'live', 19.90, 7, NULL, NOW(3))"
                ),
                id,
                op: Op::Create,
                query: "glowworm",
                there: true,
            },
            Step {
                title: "UPDATE",
                sql: format!(
                    "UPDATE shop.products SET name = 'Firefly lamp', price = 17.45 WHERE id = {id}"
                ),
                id,
                op: Op::Update,
                query: "firefly",
                there: true,
            },
            Step {
                title: "DELETE",
                sql: format!("DELETE FROM shop.products WHERE id = {id}"),
                id,
                op: Op::Delete,
                query: "firefly",
                there: false,
            },
        ]
    }

    /// Waits until every view has as many rows as its table; returns the number of rows.
    pub(super) async fn wait_for_snapshot(&self, remote: &Remote) -> anyhow::Result<u64> {
        let mut all = 0;
        for table in [PRODUCTS, ORDERS] {
            let count = format!("SELECT COUNT(*) FROM shop.{}", table.name);
            let count: u64 = self
                .database()
                .await
                .query_first(count)
                .await?
                .unwrap_or_default();
            let last = format!("SELECT MAX(id) FROM shop.{}", table.name);
            let last: u64 = self
                .database()
                .await
                .query_first(last)
                .await?
                .unwrap_or_default();
            self.wait_for_row(&table, last, remote).await?;
            all += count;
        }
        Ok(all)
    }

    /// Writes a last row to each table and waits until every view shows it.
    pub(super) async fn mark_the_end(&self, remote: &Remote) -> anyhow::Result<()> {
        let mut database = self.database().await;
        let product = format!(
            "INSERT INTO shop.products VALUES ({LAST_ID}, 'The last', 'draft', NULL, 0, NULL, NOW(3))"
        );
        database.query_drop(product).await?;
        let order = format!("INSERT INTO shop.orders VALUES ({LAST_ID}, 1, 1, 0, NULL, NOW(6))");
        database.query_drop(order).await?;
        drop(database);
        for table in [PRODUCTS, ORDERS] {
            self.wait_for_row(&table, u64::from(LAST_ID), remote)
                .await?;
        }
        Ok(())
    }

    /// Waits until both views of a table show a row.
    async fn wait_for_row(&self, table: &Table, id: u64, remote: &Remote) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut looks = tokio::time::interval(LOOK);
        let mut redis = self.redis();
        loop {
            looks.tick().await;
            let key = format!("{}{id}", table.prefix);
            let cached: bool = redis::cmd("EXISTS")
                .arg(key)
                .query_async(&mut redis)
                .await?;
            if cached && hits(remote, table.search, &format!("id:{id}")).await? == 1 {
                return Ok(());
            }
            if Instant::now() > deadline {
                let states = remote.get("/v1/views").await?;
                let sources = remote.get("/v1/sources").await?;
                bail!(
                    "the views of {} do not show row {id}: {states} {sources}",
                    table.name
                );
            }
        }
    }
}

/// Connects over TCP, with times in UTC.
pub(super) async fn connect(mysql: &str) -> anyhow::Result<Conn> {
    let opts = Opts::from_url(&format!("{mysql}?prefer_socket=false"))?;
    let mut connection = Conn::new(opts).await.context("connecting to MariaDB")?;
    connection.query_drop("SET time_zone = '+00:00'").await?;
    Ok(connection)
}

/// How many documents a query finds; an index that is not there yet has none.
pub(super) async fn hits(remote: &Remote, view: &str, query: &str) -> anyhow::Result<u64> {
    let path = format!("/v1/views/{view}/search?limit=1&q={}", segment(query));
    match remote.get(&path).await {
        Ok(answer) => Ok(answer["total"].as_u64().unwrap_or_default()),
        Err(error) => {
            tracing::debug!(%error, "no search yet");
            Ok(0)
        }
    }
}
