//! Each server starts, answers, and keeps or loses its data over a kill as it should.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use headrace_servers::{Database, Flavor, Redis};

fn database_keeps_committed_rows_over_a_kill(flavor: Flavor) {
    let mut database = Database::start(flavor).unwrap();
    database.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (7)").unwrap();
    database.kill().unwrap();
    database.resume().unwrap();
    assert_eq!(database.sql("SELECT id FROM shop.t").unwrap(), "7\n");
    assert_eq!(
        database
            .sql("SELECT @@log_bin, @@binlog_format, @@binlog_row_metadata")
            .unwrap(),
        "1\tROW\tFULL\n"
    );
    database.stop().unwrap();
}

#[test]
fn mariadb_keeps_committed_rows_over_a_kill() {
    database_keeps_committed_rows_over_a_kill(Flavor::MariaDb);
}

#[test]
fn mysql_keeps_committed_rows_over_a_kill() {
    database_keeps_committed_rows_over_a_kill(Flavor::MySql);
}

#[test]
fn redis_comes_back_on_the_same_port() {
    let mut redis = Redis::start().unwrap();
    let port = redis.port();
    redis.kill().unwrap();
    redis.resume().unwrap();
    assert_eq!(redis.port(), port);
}
