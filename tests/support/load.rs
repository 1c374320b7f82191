//! A random load on a database: multi-row transactions of inserts, updates, deletes and key changes.
//!
//! It draws from a seed, prints it, and never depends on what is in the tables, so it goes on after a lost connection.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::columns::{Column, Kind, TableShape, orders, products};
use super::{pause, wait_for};

/// Rows move within this many keys of each table.
const KEYS: u64 = 6000;

/// A running load.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    statements: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts the load on `shop.products` and `shop.orders`; `pace` is the pause after each transaction.
    pub fn start(url: &str, seed: u64, pace: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let statements = Arc::new(AtomicUsize::new(0));
        let opts = Opts::from_url(url).expect("a database URL");
        let thread = {
            let (stop, statements) = (Arc::clone(&stop), Arc::clone(&statements));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(run(&opts, seed, pace, &stop, &statements));
            })
        };
        Self {
            stop,
            statements,
            thread: Some(thread),
        }
    }

    /// Statements committed until now.
    pub fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }

    /// Waits until this many statements are committed.
    pub fn wait(&self, statements: usize, limit: Duration) {
        wait_for(&format!("{statements} statements"), limit, || {
            let alive = self
                .thread
                .as_ref()
                .is_some_and(|thread| !thread.is_finished());
            assert!(alive, "the load ended by itself");
            (self.statements() >= statements).then_some(())
        });
    }

    /// Stops after the running transaction and gives the number of committed statements.
    pub fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .expect("it runs")
            .join()
            .expect("the load's thread");
        self.statements()
    }
}

async fn run(opts: &Opts, seed: u64, pace: Duration, stop: &AtomicBool, statements: &AtomicUsize) {
    let mut random = StdRng::seed_from_u64(seed);
    let tables = [products(), orders()];
    let mut connection: Option<Conn> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = connection.as_mut() else {
            connection = Conn::new(opts.clone()).await.ok();
            if connection.is_none() {
                pause(Duration::from_millis(50));
            }
            continue;
        };
        let count = random.random_range(1..=20);
        let mut sql = String::from("BEGIN;");
        for _ in 0..count {
            let table = &tables[usize::from(random.random_bool(0.2))];
            sql += &statement(table, &mut random);
            sql.push(';');
        }
        sql += if random.random_bool(0.03) {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        match open.query_drop(&sql).await {
            Ok(()) => {
                statements.fetch_add(count, Ordering::Relaxed);
            }
            // the server went away (a test restarts it): begin again on a new connection
            Err(mysql_async::Error::Io(_) | mysql_async::Error::Driver(_)) => connection = None,
            Err(error) if error.to_string().contains("shutdown") => connection = None,
            // a deadlock with a large statement of the test: the server has rolled the transaction back
            Err(mysql_async::Error::Server(error)) if [1205, 1213].contains(&error.code) => {}
            Err(error) => {
                let start: String = sql.chars().take(2_000).collect();
                panic!("the load's own SQL failed: {error}\n{start}");
            }
        }
        if !pace.is_zero() {
            pause(pace);
        }
    }
}

/// One random statement.
fn statement(table: &TableShape, random: &mut StdRng) -> String {
    match random.random_range(0..100) {
        0..45 => insert(table, random),
        45..75 => update(table, random),
        75..90 => format!(
            "DELETE FROM shop.{} WHERE {}",
            table.name,
            condition(table, random)
        ),
        _ => {
            let (column, value) = &key(table, random)[table.key - 1];
            format!(
                "UPDATE IGNORE shop.{} SET `{column}` = {value} WHERE {}",
                table.name,
                condition(table, random)
            )
        }
    }
}

fn insert(table: &TableShape, random: &mut StdRng) -> String {
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|c| format!("`{}`", c.name))
        .collect();
    let rows: Vec<String> = (0..random.random_range(1..=4))
        .map(|_| {
            let key = key(table, random).into_iter().map(|(_, value)| value);
            let values = table.columns[table.key..]
                .iter()
                .map(|c| literal(c, random));
            format!("({})", key.chain(values).collect::<Vec<_>>().join(","))
        })
        .collect();
    format!(
        "INSERT IGNORE INTO shop.{} ({}) VALUES {}",
        table.name,
        names.join(","),
        rows.join(",")
    )
}

fn update(table: &TableShape, random: &mut StdRng) -> String {
    let changes: Vec<String> = (0..random.random_range(1..=3))
        .map(|_| {
            let column = &table.columns[random.random_range(table.key..table.columns.len())];
            format!("`{}` = {}", column.name, literal(column, random))
        })
        .collect();
    format!(
        "UPDATE shop.{} SET {} WHERE {}",
        table.name,
        changes.join(","),
        condition(table, random)
    )
}

fn condition(table: &TableShape, random: &mut StdRng) -> String {
    if table.key == 1 && random.random_bool(0.2) {
        let first = random.random_range(1..=KEYS);
        return format!(
            "id BETWEEN {first} AND {}",
            first + random.random_range(1..5)
        );
    }
    let parts: Vec<String> = key(table, random)
        .into_iter()
        .map(|(column, value)| format!("`{column}` = {value}"))
        .collect();
    parts.join(" AND ")
}

/// A random primary key: column and SQL literal.
fn key(table: &TableShape, random: &mut StdRng) -> Vec<(&'static str, String)> {
    let customers = ["ann", "bob:smith", "50%", "{x}", "łódź", "a b"];
    table.columns[..table.key]
        .iter()
        .map(|c| {
            let value = match c.kind {
                Kind::Text => format!("'{}'", customers[random.random_range(0..customers.len())]),
                _ if random.random_bool(0.001) && c.sql.contains("UNSIGNED") => {
                    u64::MAX.to_string()
                }
                _ => random.random_range(1..=KEYS).to_string(),
            };
            (c.name, value)
        })
        .collect()
}

/// A random value of a column that is no key, as an SQL literal.
pub fn literal(column: &Column, random: &mut StdRng) -> String {
    if !column.sql.contains("NOT NULL") && random.random_bool(0.1) {
        return "NULL".to_owned();
    }
    match column.kind {
        Kind::Integer => integer(column, random),
        Kind::Float | Kind::Double => {
            let exponent = random.random_range(-20..20);
            format!(
                "{}e{exponent}",
                random.random_range(-1_000_000..1_000_000_i32)
            )
        }
        Kind::Binary | Kind::Bits(_) => binary(column, random),
        Kind::Json => json(random),
        Kind::DateTime | Kind::Timestamp => moment(column, random),
        Kind::Text => words(column, random),
    }
}

fn integer(column: &Column, random: &mut StdRng) -> String {
    let (low, high): (i128, i128) = match column.sql {
        "TINYINT" => (-128, 127),
        "SMALLINT UNSIGNED" => (0, 65_535),
        "MEDIUMINT" => (-8_388_608, 8_388_607),
        "MEDIUMINT UNSIGNED" => (0, 16_777_215),
        "INT" => (-2_147_483_648, 2_147_483_647),
        "BIGINT UNSIGNED" => (0, 18_446_744_073_709_551_615),
        "YEAR" => (1901, 2155),
        _ => (0, 1),
    };
    match random.random_range(0..8) {
        0 => low.to_string(),
        1 => high.to_string(),
        _ => random.random_range(low..=high).to_string(),
    }
}

fn binary(column: &Column, random: &mut StdRng) -> String {
    let length = match (column.kind, column.sql) {
        (Kind::Bits(_), _) => return random.random_range(0..1 << 19).to_string(),
        (_, "BINARY(6)") => random.random_range(0..=6),
        (_, "VARBINARY(30)") => random.random_range(0..=30),
        _ => random.random_range(0..300),
    };
    let mut literal = String::from("x'");
    for _ in 0..length {
        write!(literal, "{:02x}", random.random::<u8>()).expect("writing to a String");
    }
    literal.push('\'');
    literal
}

fn json(random: &mut StdRng) -> String {
    let number = random.random_range(-1000..1000);
    match random.random_range(0..4) {
        0 => format!("'[{number}, 1.5, \"zwei\", null, true]'"),
        1 => format!(
            "'{{\"a\": {{\"b\": [{number}]}}, \"price\": 12.50, \"big\": 18446744073709551615}}'"
        ),
        2 => format!("'\"text {number}\"'"),
        _ => "'{}'".to_owned(),
    }
}

fn moment(column: &Column, random: &mut StdRng) -> String {
    let year = if column.kind == Kind::Timestamp {
        random.random_range(1971..2037)
    } else {
        random.random_range(1000..9999)
    };
    format!(
        "'{year:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}'",
        random.random_range(1..=12),
        random.random_range(1..=28),
        random.random_range(3..24),
        random.random_range(0..60),
        random.random_range(0..60),
        random.random_range(0..999_000)
    )
}

fn words(column: &Column, random: &mut StdRng) -> String {
    let pick =
        |from: &[&str], random: &mut StdRng| from[random.random_range(0..from.len())].to_owned();
    let text = match column.sql {
        sql if sql.starts_with("ENUM") => pick(&["draft", "live", "sold out"], random),
        sql if sql.starts_with("SET") => {
            pick(&["", "red", "red,green", "red,green,blue", "blue"], random)
        }
        "DECIMAL(12,2)" => {
            let whole = random.random_range(-9_999_999_999..9_999_999_999_i64);
            return format!("{whole}.{:02}", random.random_range(0..100));
        }
        "DECIMAL(10,3)" => {
            return format!(
                "{}.{:03}",
                random.random_range(-999_999..999_999),
                random.random_range(0..1000)
            );
        }
        "DECIMAL(65,30)" => {
            // 35 digits before the point, 30 behind it
            let whole: u64 = random.random();
            return format!(
                "-{}{whole:020}.{:030}",
                whole % 1_000_000_000_000_000,
                random.random::<u64>()
            );
        }
        "DATE" => {
            return format!(
                "'{:04}-{:02}-{:02}'",
                random.random_range(1000..9999),
                random.random_range(1..=12),
                random.random_range(1..=28)
            );
        }
        sql if sql.starts_with("TIME") => {
            let sign = pick(&["", "-"], random);
            return format!(
                "'{sign}{:02}:{:02}:{:02}.{:03}'",
                random.random_range(0..838),
                random.random_range(0..60),
                random.random_range(0..60),
                random.random_range(0..499)
            );
        }
        sql if sql.contains("latin1") => {
            pick(&["", "Käse €", "ÿþ", "plain", "naïve “quoted”"], random)
        }
        sql if sql.contains("ascii") => pick(&["", "abc", "under_score"], random),
        _ => pick(
            &[
                "",
                "Zahnbürste 🪥",
                "tab\\tnewline\\nquote\\\"",
                "łódź",
                "plain words",
                "日本語",
            ],
            random,
        ),
    };
    if column.name == "long_text" && random.random_bool(0.02) {
        return format!("REPEAT('{text}', {})", random.random_range(1..800));
    }
    format!("'{text}'")
}
