//! Measures the whole path on this machine: MariaDB -> binlog -> log -> Redis and search index.
//!
//! `cargo run --release -p headrace-benches --bin path [ROWS]` (after `cargo build --release`) prints rows per second of
//! snapshot and stream into Redis, CPU seconds per million rows, memory, and the time from commit to visible under a
//! light load. Absolute times mean little on shared machines; CPU seconds per million rows repeat.
#![allow(clippy::print_stdout, reason = "a command that prints its results")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use headrace_benches::process::Process;
use headrace_servers::{Database, Flavor, Redis, free_port};

/// Rows of the snapshot and of the stream, unless an argument says otherwise.
const ROWS: usize = 300_000;
/// Rows of one transaction of the stream.
const TRANSACTION_ROWS: usize = 1_000;
/// Single-row commits whose way is timed.
const COMMITS: usize = 200;
/// How long anything may take.
const LIMIT: Duration = Duration::from_mins(5);

const TABLE: &str = "CREATE DATABASE shop; CREATE TABLE shop.rows_ (id BIGINT PRIMARY KEY, a INT, b INT UNSIGNED,
    name VARCHAR(64), note VARCHAR(200), price DECIMAL(12,2), made DATETIME(6), changed TIMESTAMP(3) NULL, ratio DOUBLE, flag TINYINT)";

fn main() -> Result<()> {
    let rows = std::env::args()
        .nth(1)
        .map_or(Ok(ROWS), |rows| rows.parse())?;
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/headrace");
    let database = Database::start(Flavor::MariaDb)?;
    let redis = Redis::start()?;
    database.sql(TABLE)?;
    insert(&database, 1, rows, rows)?;
    let directory = tempfile::tempdir()?;
    let (config, http) = configure(directory.path(), &database, &redis)?;

    let started = Instant::now();
    let process = Process::start(&binary, &config, http)?;
    wait_keys(&redis, rows)?;
    report(
        "snapshot",
        rows,
        started.elapsed(),
        process.server().cpu_seconds()?,
    );
    wait_total(&process, rows)?;
    println!(
        "snapshot, also searchable after {:.1} s",
        started.elapsed().as_secs_f64()
    );

    let cpu = process.server().cpu_seconds()?;
    let started = Instant::now();
    insert(&database, rows + 1, rows, TRANSACTION_ROWS)?;
    let written = started.elapsed();
    wait_keys(&redis, 2 * rows)?;
    report(
        "stream",
        rows,
        started.elapsed(),
        process.server().cpu_seconds()? - cpu,
    );
    println!(
        "stream: the database took {:.1} s of this to write",
        written.as_secs_f64()
    );
    wait_total(&process, 2 * rows)?;

    let (to_redis, to_search) = commits(&database, &redis, &process)?;
    percentiles("commit to key in Redis", to_redis);
    percentiles("commit to searchable", to_search);
    println!(
        "memory: {:.0} MiB at the most, {:.0} MiB now",
        process.server().memory_mib("VmHWM")?,
        process.server().memory_mib("VmRSS")?
    );
    Ok(())
}

fn configure(directory: &Path, database: &Database, redis: &Redis) -> Result<(PathBuf, u16)> {
    let (port, http) = (free_port()?, free_port()?);
    let text = format!(
        "[broker]\nlisten = \"127.0.0.1:{port}\"\ndata = \"data\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n\
         [source.shop]\nmysql = \"{}\"\ntables = [\"shop.rows_\"]\nstart = \"snapshot\"\n\
         [target.cache]\nredis = \"{}\"\n[target.search]\ntantivy = \"index\"\n\
         [view.rows]\nfrom = \"shop.rows_\"\nto = \"cache\"\nkey = \"row:{{id}}\"\n\
         [view.rows_search]\nfrom = \"shop.rows_\"\nto = \"search\"\nkey = \"{{id}}\"\n",
        database.url("root"),
        redis.url()
    );
    let config = directory.join("headrace.toml");
    std::fs::write(&config, text)?;
    Ok((config, http))
}

/// Inserts rows `first..first + count` in transactions of `transaction` rows.
fn insert(database: &Database, first: usize, count: usize, transaction: usize) -> Result<()> {
    let mut sql = String::new();
    for from in (first..first + count).step_by(transaction) {
        let to = (from + transaction).min(first + count) - 1;
        write!(
            sql,
            "INSERT INTO shop.rows_ SELECT seq, seq, seq * 3, CONCAT('name ', seq), REPEAT('note ', seq % 20), seq / 100,
             '2026-01-01 12:00:00.000001', '2026-01-01 12:00:00.001', seq / 7, seq % 2 FROM shop.seq_{from}_to_{to};"
        )?;
    }
    database.sql(&sql)?;
    Ok(())
}

fn wait_keys(redis: &Redis, wanted: usize) -> Result<()> {
    let mut connection = redis::Client::open(redis.url())?.get_connection()?;
    let started = Instant::now();
    loop {
        let info: String = redis::cmd("INFO").arg("keyspace").query(&mut connection)?;
        let keys: usize = info
            .split("keys=")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .map_or(Ok(0), str::parse)?;
        // the watermark is a key, too
        if keys > wanted {
            return Ok(());
        }
        if started.elapsed() > LIMIT {
            bail!("{keys} of {wanted} keys after {LIMIT:?}");
        }
        park(Duration::from_millis(5));
    }
}

fn wait_total(process: &Process, wanted: usize) -> Result<()> {
    let started = Instant::now();
    while search_total(process, "")? < wanted {
        if started.elapsed() > LIMIT {
            bail!("not {wanted} documents after {LIMIT:?}");
        }
        park(Duration::from_millis(20));
    }
    Ok(())
}

fn search_total(process: &Process, query: &str) -> Result<usize> {
    let (_, body) = process
        .get(&format!("/v1/views/rows_search/search?q={query}&limit=1"))
        .context("no answer")?;
    let total = body.split("\"total\":").nth(1).context("no total")?;
    Ok(total
        .trim()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()?)
}

/// Commits single rows one by one and times each until Redis and the index show it.
fn commits(
    database: &Database,
    redis: &Redis,
    process: &Process,
) -> Result<(Vec<Duration>, Vec<Duration>)> {
    use mysql_async::prelude::Queryable;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut connection = redis::Client::open(redis.url())?.get_connection()?;
    runtime.block_on(async {
        let mut sql = mysql_async::Conn::from_url(database.url("root")).await?;
        let (mut to_redis, mut to_search) = (Vec::new(), Vec::new());
        for number in 0..COMMITS {
            let id = 1_000_000_000 + number;
            sql.query_drop(format!(
                "INSERT INTO shop.rows_ (id, name) VALUES ({id}, 'timed')"
            ))
            .await?;
            let committed = Instant::now();
            while !redis::cmd("EXISTS")
                .arg(format!("row:{id}"))
                .query::<bool>(&mut connection)?
            {}
            to_redis.push(committed.elapsed());
            if number % 10 == 0 {
                while search_total(process, &format!("id:{id}"))? == 0 {
                    park(Duration::from_millis(1));
                }
                to_search.push(committed.elapsed());
            }
        }
        sql.disconnect().await?;
        Ok((to_redis, to_search))
    })
}

fn report(what: &str, rows: usize, elapsed: Duration, cpu: f64) {
    let rows = f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
    println!(
        "{what}: {:.0} rows/s into Redis ({:.1} s), {:.2} CPU s of headrace per million rows (with the index)",
        rows / elapsed.as_secs_f64(),
        elapsed.as_secs_f64(),
        cpu * 1e6 / rows
    );
}

fn percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{what}: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms ({} times)",
        at(50),
        at(99),
        at(100),
        times.len()
    );
}

fn park(time: Duration) {
    std::thread::park_timeout(time);
}
