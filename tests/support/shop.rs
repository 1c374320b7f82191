//! The shop of the whole-path tests: database, Redis, Headrace with its views, and the final comparison.

use std::time::Duration;

use headrace_servers::{Database, Flavor, Redis};

use super::columns::{Column, Kind, TableShape, Value, bulk, orders, products};
use super::headrace::Headrace;
use super::topic::{Folded, fold};
use super::{Table, cache, differences, index, wait_for};

/// How long the views may take to catch up after the load ended.
const CATCH_UP: Duration = Duration::from_mins(3);
/// The key of the last row written to each table: when a view has it, it has everything.
const LAST_KEY: u32 = 2_000_000_000;
/// The keys of `shop.bulk` are below this, but for the last.
const BULK_KEYS: usize = 300_000;
/// How many documents one search can give.
const PAGE: usize = 10_000;

/// What the source's user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// With RELOAD, where the server has a use for it.
    Full,
    /// Without RELOAD.
    WithoutReload,
}

/// The servers and the binary of one test.
#[derive(Debug)]
pub struct Shop {
    pub database: Database,
    pub redis: Redis,
    pub headrace: Headrace,
    pub products: TableShape,
}

impl Shop {
    /// Starts the servers, makes the tables and writes the configuration; Headrace does not run yet.
    pub fn open(flavor: Flavor, privileges: Privileges) -> Self {
        let database = Database::start(flavor).expect("the database");
        let redis = Redis::start().expect("Redis");
        let products = products();
        let tables = [products.create(), orders().create(), bulk().create()].join(";");
        let reload = match privileges {
            Privileges::Full => "RELOAD, ",
            Privileges::WithoutReload => "",
        };
        database
            .sql(&format!(
                "CREATE DATABASE shop CHARACTER SET utf8mb4; {tables};
                 CREATE USER cdc@'127.0.0.1';
                 GRANT {reload}REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO cdc@'127.0.0.1';
                 GRANT SELECT ON shop.* TO cdc@'127.0.0.1';"
            ))
            .expect("the tables");
        let headrace = Headrace::configure(&config(&database.url("cdc"), &redis.url()));
        Self {
            database,
            redis,
            headrace,
            products,
        }
    }

    /// Where the load connects to.
    pub fn load_url(&self) -> String {
        self.database.url("root") + "/shop"
    }

    /// The state of the source, `-` when HTTP does not answer.
    pub fn source_state(&self) -> String {
        self.source_status().map_or("-".to_owned(), |status| {
            status["state"].to_string().replace('"', "")
        })
    }

    /// The source's status, when HTTP answers.
    pub fn source_status(&self) -> Option<serde_json::Value> {
        let (code, body) = self.headrace.get("/v1/sources/shop")?;
        (code == 200).then(|| serde_json::from_str(&body).expect("JSON"))
    }

    /// Waits until the source streams.
    pub fn wait_streaming(&self) {
        wait_for("the source streams", CATCH_UP, || {
            (self.source_state() == "streaming").then_some(())
        });
    }

    /// Writes a last row to every table and waits until every view shows it.
    pub fn catch_up(&self) {
        let mut connection = cache::connect(&self.redis.url());
        self.database
            .sql(&format!(
                "INSERT INTO shop.products (id, name, status, price) VALUES ({LAST_KEY}, 'the last', 'live', 100);
                 INSERT INTO shop.orders (customer, no) VALUES ('last', {LAST_KEY});
                 INSERT INTO shop.bulk (id) VALUES ({LAST_KEY})"
            ))
            .expect("the last rows");
        for key in [
            format!("product:{LAST_KEY}"),
            format!("live:{LAST_KEY}"),
            format!("order:last/{LAST_KEY}"),
            format!("bulk:{LAST_KEY}"),
        ] {
            wait_for(&format!("{key} in Redis"), CATCH_UP, || {
                redis::cmd("EXISTS")
                    .arg(&key)
                    .query::<bool>(&mut connection)
                    .ok()
                    .filter(|&there| there)
            });
        }
        for view in ["product_search", "bulk_search"] {
            wait_for(&format!("the last document of {view}"), CATCH_UP, || {
                let answer = index::search(&self.headrace, view, &format!("id:{LAST_KEY}"));
                (answer["total"] == 1).then_some(())
            });
        }
    }

    /// Fails if an end of the path differs from the tables. Returns the folds of the three topics.
    pub fn assert_everything_equal(&self) -> [Folded; 3] {
        let (found, folded) = self.differences();
        assert!(
            found.is_empty(),
            "{} differences:\n{}",
            found.len(),
            found[..found.len().min(20)].join("\n")
        );
        folded
    }

    /// Compares every end of the path with the tables: the differences, in words, and the folds of the three topics.
    pub fn differences(&self) -> (Vec<String>, [Folded; 3]) {
        let flavor = self.database.flavor();
        let mut found = Vec::new();
        let folded = [&self.products, &orders(), &bulk()].map(|shape| {
            let topic = format!("shop.shop.{}", shape.name);
            let folded = fold(&self.headrace.bootstrap(), &topic, shape, flavor);
            found.extend(
                folded
                    .disorder
                    .iter()
                    .map(|what| format!("{topic}: {what}")),
            );
            let table = with_defaults(shape, folded.table.clone(), |_| true);
            let wanted = shape.select(&self.database, |_| true, "TRUE");
            found.extend(differences(&topic, &table, &wanted));
            folded
        });
        found.extend(self.cache_differences());
        found.extend(self.index_differences());
        (found, folded)
    }

    /// Compares the Redis views with the tables.
    fn cache_differences(&self) -> Vec<String> {
        let flavor = self.database.flavor();
        let url = self.redis.url();
        let products = with_defaults(
            &self.products,
            cache::hashes(&url, "product:", &self.products, flavor),
            |_| true,
        );
        let mut found = differences(
            "product_cache",
            &filled(&self.products, products),
            &self.products.select(&self.database, |_| true, "TRUE"),
        );
        let bulk = bulk();
        let rows = filled(&bulk, cache::hashes(&url, "bulk:", &bulk, flavor));
        found.extend(differences(
            "bulk_cache",
            &rows,
            &bulk.select(&self.database, |_| true, "TRUE"),
        ));
        let chosen = |c: &Column| c.name == "name" || c.name == "price";
        let live = self.products.select(
            &self.database,
            chosen,
            "status = 'live' AND price >= 100 AND NOT COALESCE(whole < 0, FALSE)",
        );
        found.extend(differences(
            "live_products",
            &cache::hashes(&url, "live:", &self.products, flavor),
            &live,
        ));
        let orders = orders();
        found.extend(differences(
            "order_cache",
            &cache::documents(&url, "order:", &orders, flavor),
            &orders.select(&self.database, |_| true, "TRUE"),
        ));
        found
    }

    /// Compares the search views with the tables.
    fn index_differences(&self) -> Vec<String> {
        let flavor = self.database.flavor();
        let indexed = |c: &Column| index::indexed(c.kind);
        let products =
            index::documents(&self.headrace, "product_search", "", &self.products, flavor);
        let products = with_defaults(&self.products, products, indexed);
        let mut found = differences(
            "product_search",
            &filled_where(&self.products, products, indexed),
            &self.products.select(&self.database, indexed, "TRUE"),
        );
        let bulk = bulk();
        let mut rows = Table::new();
        let pages = (0..BULK_KEYS).step_by(PAGE);
        for query in pages
            .map(|first| format!("id:[{first} TO {}]", first + PAGE - 1))
            .chain([format!("id:{LAST_KEY}")])
        {
            rows.extend(index::documents(
                &self.headrace,
                "bulk_search",
                &query,
                &bulk,
                flavor,
            ));
        }
        let total = index::search(&self.headrace, "bulk_search", "")["total"].clone();
        if total.as_u64() != u64::try_from(rows.len()).ok() {
            found.push(format!(
                "bulk_search: {total} documents, of which {} have a key of the test",
                rows.len()
            ));
        }
        found.extend(differences(
            "bulk_search",
            &filled(&bulk, rows),
            &bulk.select(&self.database, |_| true, "TRUE"),
        ));
        found
    }

    /// Adds a column to `shop.products` and writes it into some rows.
    pub fn add_column(&mut self) {
        self.database
            .sql("ALTER TABLE shop.products ADD COLUMN extra VARCHAR(24) CHARACTER SET utf8mb4 NOT NULL DEFAULT 'none'")
            .expect("ALTER TABLE");
        self.products.columns.push(Column {
            name: "extra",
            sql: "VARCHAR(24) CHARACTER SET utf8mb4 NOT NULL DEFAULT 'none'",
            kind: Kind::Text,
        });
        let changed = self
            .database
            .sql("UPDATE shop.products SET extra = CONCAT('x', id) WHERE id % 3 = 0; SELECT ROW_COUNT()")
            .expect("UPDATE");
        assert_ne!(changed.trim(), "0", "some rows have the new column written");
    }

    /// Inserts `count` rows into `shop.bulk` in one transaction.
    pub fn insert_bulk(&self, first: usize, count: usize) {
        let last = first + count - 1;
        let rows = match self.database.flavor() {
            Flavor::MariaDb => format!("SELECT seq FROM shop.seq_{first}_to_{last}"),
            Flavor::MySql => format!(
                "WITH RECURSIVE n (seq) AS (SELECT {first} UNION ALL SELECT seq + 1 FROM n WHERE seq < {last}) SELECT seq FROM n"
            ),
        };
        let depth = match self.database.flavor() {
            Flavor::MariaDb => "",
            Flavor::MySql => "SET cte_max_recursion_depth = 1000000; ",
        };
        self.database
            .sql(&format!(
                "{depth}INSERT INTO shop.bulk SELECT seq, IF(seq % 7 = 0, NULL, CONCAT('note ', seq)) FROM ({rows}) AS numbers"
            ))
            .expect("the large transaction");
    }
}

/// A row not written since an ADD COLUMN lacks that column and compares as its default.
fn with_defaults(shape: &TableShape, mut table: Table, wanted: impl Fn(&Column) -> bool) -> Table {
    let added: Vec<&Column> = shape
        .columns
        .iter()
        .filter(|c| c.sql.contains("DEFAULT 'none'") && wanted(c))
        .collect();
    for row in table.values_mut() {
        for column in &added {
            row.entry(column.name.to_owned())
                .or_insert_with(|| Value::Text("none".to_owned()));
        }
    }
    table
}

/// NULL is an absent field in Redis and in the index.
fn filled(shape: &TableShape, table: Table) -> Table {
    filled_where(shape, table, |_| true)
}

fn filled_where(shape: &TableShape, mut table: Table, wanted: impl Fn(&Column) -> bool) -> Table {
    for row in table.values_mut() {
        for column in shape.columns.iter().filter(|c| wanted(c)) {
            row.entry(column.name.to_owned()).or_insert(Value::Null);
        }
    }
    table
}

/// `[source]`, `[target]` and `[view]` of the tests.
fn config(database: &str, redis: &str) -> String {
    format!(
        r#"[source.shop]
mysql  = "{database}"
tables = ["shop.products", "shop.orders", "shop.bulk"]
start  = "snapshot"

[target.cache]
redis = "{redis}"

[target.search]
tantivy = "index"

[view.product_cache]
from = "shop.products"
to   = "cache"
as   = "hash"
key  = "product:{{id}}"

[view.live_products]
from   = "shop.products"
where  = "status == 'live' && price >= 100 && !(whole < 0)"
to     = "cache"
as     = "hash"
key    = "live:{{id}}"
fields = {{ name = "name", price = "price" }}

[view.order_cache]
from = "shop.orders"
to   = "cache"
as   = "json"
key  = "order:{{customer}}/{{no}}"

[view.bulk_cache]
from = "shop.bulk"
to   = "cache"
as   = "hash"
key  = "bulk:{{id}}"

[view.product_search]
from = "shop.products"
to   = "search"
key  = "{{id}}"

[view.bulk_search]
from = "shop.bulk"
to   = "search"
key  = "{{id}}"
"#
    )
}
