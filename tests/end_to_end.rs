//! The whole path under load: what the tables hold is what the topics fold to, what Redis holds and what a search finds.
//!
//! On MariaDB and MySQL: random statements in multi-row transactions before, during and after the snapshot, one
//! transaction of 100,000 rows, a binlog rotation, and an ADD COLUMN, with the load running throughout.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints what it met"
)]

mod support;

use std::time::Duration;

use headrace_servers::Flavor;
use support::load::Load;
use support::pause;
use support::shop::{Privileges, Shop};

/// Random statements of one run.
const STATEMENTS: usize = 100_000;
/// Of these, before Headrace starts.
const STATEMENTS_BEFORE: usize = 10_000;
/// Rows of the large transaction.
const BULK_ROWS: usize = 100_000;
/// How long the load may take.
const LOAD_TIMEOUT: Duration = Duration::from_mins(10);

fn every_end_equals_the_tables(flavor: Flavor, privileges: Privileges, seed: u64) {
    let mut shop = Shop::open(flavor, privileges);
    shop.insert_bulk(200_000, 20_000);
    let load = Load::start(&shop.load_url(), seed, Duration::ZERO);
    load.wait(STATEMENTS_BEFORE, LOAD_TIMEOUT);
    shop.headrace.start();
    shop.wait_streaming();
    shop.insert_bulk(1, BULK_ROWS);
    load.wait(STATEMENTS / 2, LOAD_TIMEOUT);
    shop.database.sql("FLUSH BINARY LOGS").unwrap();
    shop.add_column();
    load.wait(STATEMENTS, LOAD_TIMEOUT);
    let statements = load.stop();
    shop.catch_up();
    let [products, orders, bulk] = shop.assert_everything_equal();
    println!(
        "{flavor:?}, seed {seed}: {statements} statements; products: {} records, {} rows from the snapshot, {} live; orders: {} records; largest transaction {}",
        products.records,
        products.snapshot_rows,
        products.table.len(),
        orders.records,
        bulk.largest_transaction,
    );
    assert!(products.snapshot_rows > 0, "the snapshot had rows");
    assert!(products.tombstones > 0, "rows were deleted");
    assert_eq!(
        bulk.largest_transaction, BULK_ROWS,
        "the large transaction has one CSN"
    );
    let extra = products
        .table
        .values()
        .filter(|row| row.contains_key("extra"))
        .count();
    assert!(extra > 0, "some rows have the added column");

    // stopped in order and started again: nothing is written twice, nothing is missing
    assert!(shop.headrace.stop().success());
    shop.headrace.start();
    pause(Duration::from_secs(1));
    let again = shop.assert_everything_equal();
    assert_eq!(
        again[0].records, products.records,
        "a restart adds no record"
    );
}

#[test]
fn every_end_equals_the_tables_on_mariadb() {
    every_end_equals_the_tables(Flavor::MariaDb, Privileges::Full, 3);
}

#[test]
fn every_end_equals_the_tables_on_mysql() {
    every_end_equals_the_tables(Flavor::MySql, Privileges::Full, 4);
}

#[test]
fn every_end_equals_the_tables_on_mysql_without_reload() {
    let mut shop = Shop::open(Flavor::MySql, Privileges::WithoutReload);
    let load = Load::start(&shop.load_url(), 5, Duration::ZERO);
    load.wait(2_000, LOAD_TIMEOUT);
    shop.headrace.start();
    load.wait(10_000, LOAD_TIMEOUT);
    load.stop();
    shop.catch_up();
    shop.assert_everything_equal();
}
