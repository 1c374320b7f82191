//! What users do on day one: a wiped data directory, FLUSHALL, an edited view, a second process, rows of many megabytes.
//! Each has one clear message, and nothing is lost or overwritten on the way.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints what it met"
)]

mod support;

use std::time::Duration;

use headrace_servers::{Database, Flavor, Redis};
use serde_json::Value as Json;
use support::headrace::Headrace;
use support::{cache, wait_for};

const LIMIT: Duration = Duration::from_mins(1);

/// A table of one text column, and a view of it.
struct Small {
    database: Database,
    redis: Redis,
    headrace: Headrace,
}

const VIEWS: &str = r#"
[view.notes]
from = "shop.notes"
to   = "cache"
key  = "note:{id}"
"#;

impl Small {
    fn open() -> Self {
        let database = Database::start(Flavor::MariaDb).unwrap();
        database
            .sql(
                "CREATE DATABASE shop;
                 CREATE TABLE shop.notes (id INT PRIMARY KEY, note LONGTEXT CHARACTER SET utf8mb4, rank_ INT);
                 INSERT INTO shop.notes VALUES (1, 'one', 1), (2, 'two', 2);
                 CREATE USER cdc@'127.0.0.1';
                 GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO cdc@'127.0.0.1';
                 GRANT SELECT ON shop.* TO cdc@'127.0.0.1'",
            )
            .unwrap();
        let redis = Redis::start().unwrap();
        let mut headrace = Headrace::configure(&(sources(&database, &redis) + VIEWS));
        headrace.start();
        let small = Self {
            database,
            redis,
            headrace,
        };
        small.wait_field(2, "note", "two");
        small
    }

    fn write_views(&self, views: &str) {
        self.headrace
            .write_config(&(sources(&self.database, &self.redis) + views));
    }

    fn field(&self, id: u32, field: &str) -> Option<String> {
        let mut connection = cache::connect(&self.redis.url());
        redis::cmd("HGET")
            .arg(format!("note:{id}"))
            .arg(field)
            .query(&mut connection)
            .unwrap()
    }

    fn wait_field(&self, id: u32, field: &str, wanted: &str) {
        wait_for(&format!("note:{id} {field} = {wanted}"), LIMIT, || {
            (self.field(id, field).as_deref() == Some(wanted)).then_some(())
        });
    }

    /// Waits until the view is in a state and gives its status.
    fn wait_state(&self, wanted: &str) -> Json {
        wait_for(&format!("the view is {wanted}"), LIMIT, || {
            let (code, body) = self.headrace.get("/v1/views/notes")?;
            let status: Json = serde_json::from_str(&body).expect("JSON");
            (code == 200 && status["state"] == wanted).then_some(status)
        })
    }

    fn view(&self, arguments: &[&str]) -> (i32, String, String) {
        let http = format!("127.0.0.1:{}", self.headrace.http);
        let mut all = vec!["view"];
        all.extend(arguments);
        all.extend(["--http", &http]);
        support::headrace::run(self.headrace.directory.path(), &all)
    }
}

fn sources(database: &Database, redis: &Redis) -> String {
    format!(
        "[source.shop]\nmysql = \"{}\"\ntables = [\"shop.notes\"]\nstart = \"snapshot\"\n\n[target.cache]\nredis = \"{}\"\n",
        database.url("cdc"),
        redis.url()
    )
}

#[test]
fn a_wiped_data_directory_stops_the_view_until_it_is_reset() {
    let mut small = Small::open();
    assert!(small.headrace.stop().success());
    std::fs::remove_dir_all(small.headrace.data()).unwrap();
    small
        .database
        .sql("UPDATE shop.notes SET note = 'new' WHERE id = 1; DELETE FROM shop.notes WHERE id = 2")
        .unwrap();
    small.headrace.start();
    let status = small.wait_state("mismatch");
    let message = status["last_error"].to_string();
    assert!(message.contains("headrace view reset notes"), "{message}");
    assert_eq!(
        small.field(1, "note").as_deref(),
        Some("one"),
        "nothing is written in a mismatch"
    );
    let (code, output, errors) = small.view(&["reset", "notes"]);
    assert_eq!(code, 0, "{output}{errors}");
    small.wait_field(1, "note", "new");
    assert_eq!(
        small.field(2, "note"),
        None,
        "what the old log had written is gone"
    );
    small.wait_state("running");
}

#[test]
fn a_flushed_redis_is_noticed_and_filled_again() {
    let small = Small::open();
    let mut connection = cache::connect(&small.redis.url());
    redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
    // nothing is written meanwhile: the idle view notices by itself
    small.wait_field(1, "note", "one");
    small.wait_field(2, "note", "two");
    let status = small.wait_state("running");
    assert!(status["lost_and_healed"].as_u64() >= Some(1), "{status}");
}

#[test]
fn an_edited_view_is_a_mismatch_until_it_is_reset() {
    let mut small = Small::open();
    assert!(small.headrace.stop().success());
    small.write_views(&(VIEWS.to_owned() + "fields = { text = \"note\" }\n"));
    small.headrace.start();
    let status = small.wait_state("mismatch");
    assert!(
        status["last_error"]
            .to_string()
            .contains("headrace view reset notes"),
        "{status}"
    );
    small
        .database
        .sql("UPDATE shop.notes SET note = 'edited' WHERE id = 1")
        .unwrap();
    let (code, output, errors) = small.view(&["reset", "notes"]);
    assert_eq!(code, 0, "{output}{errors}");
    small.wait_field(1, "text", "edited");
    assert_eq!(small.field(1, "note"), None, "the old shape is gone");
}

#[test]
fn a_second_process_on_the_data_directory_is_refused() {
    let small = Small::open();
    let other = Headrace::configure("");
    let text = std::fs::read_to_string(other.config_path()).unwrap();
    let data = small.headrace.data();
    std::fs::write(
        other.config_path(),
        text.replace("data = \"data\"", &format!("data = \"{}\"", data.display())),
    )
    .unwrap();
    let (code, _, errors) = support::headrace::run(
        other.directory.path(),
        &["serve", "--config", "headrace.toml"],
    );
    assert_ne!(code, 0);
    assert!(errors.contains(&data.display().to_string()), "{errors}");
    small
        .database
        .sql("INSERT INTO shop.notes VALUES (3, 'three', 3)")
        .unwrap();
    small.wait_field(3, "note", "three");
}

#[test]
fn a_row_of_20_mb_passes_whole() {
    let small = Small::open();
    small
        .database
        .sql("INSERT INTO shop.notes VALUES (3, REPEAT('0123456789', 2000000), 3)")
        .unwrap();
    wait_for("the large row in Redis", LIMIT, || {
        small
            .field(3, "note")
            .filter(|note| note.len() == 20_000_000)
    });
    assert_eq!(
        small.field(3, "note").unwrap(),
        "0123456789".repeat(2_000_000)
    );
}

#[test]
fn a_row_above_64_mib_stops_the_source_by_name() {
    let small = Small::open();
    small
        .database
        .sql("INSERT INTO shop.notes VALUES (3, REPEAT('0123456789', 7000000), 3)")
        .unwrap();
    let status = wait_for("the source stops", LIMIT, || {
        let status = small.headrace.json("/v1/sources/shop");
        (status["state"] == "failed").then_some(status)
    });
    let error = status["last_error"].to_string();
    assert!(
        error.contains("shop.notes") && error.contains("\\\"id\\\":3"),
        "{error}"
    );
    assert!(status["next_attempt_ms"].is_number(), "{status}");
    // the broker and the view go on
    assert_eq!(small.field(1, "note").as_deref(), Some("one"));
    small.wait_state("running");
}
