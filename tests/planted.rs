//! The test of the crash test: with one planted mistake its comparison finds that one, at each end that has it.
//!
//! The path of `crash.rs` in short (a kill at the snapshot with deletes running, one in the stream, the load running
//! throughout), by a binary with the feature `planted`: the environment variable `HEADRACE_PLANTED` has the capture drop
//! a row, write one twice, or lose a delete, in the one large transaction that has so many (`cdc/src/planted.rs`). Without
//! the variable no mistake is made and none is found. `make test` builds with the feature; release builds refuse it.
#![allow(clippy::print_stdout, reason = "a test prints what it met")]

mod support;

use std::time::Duration;

use headrace_servers::Flavor;
use rand::SeedableRng;
use rand::rngs::StdRng;
use support::kills::{Deletes, Kills};
use support::load::Load;
use support::shop::{Privileges, Shop};

/// Rows of the snapshot.
const SNAPSHOT_ROWS: usize = 60_000;
const KILLS_LATER: usize = 1;
/// Where the rows begin that are inserted, in one transaction, while the source streams.
const FIRST_STREAMED: usize = 200_000;
/// How many they are; then about as many of the snapshot's rows are deleted, in one transaction.
const STREAMED: usize = 1_000;
/// Statements of the load before the first start, and after the last.
const STATEMENTS: usize = 1_500;
const LOAD_TIMEOUT: Duration = Duration::from_mins(2);
/// Every end at which a row of `shop.bulk` is found, in the order of the comparison.
const ENDS: [&str; 3] = ["shop.shop.bulk", "bulk_cache", "bulk_search"];

/// Runs the load with kills and gives what differs at the end.
fn differences(mistake: Option<&'static str>) -> Vec<String> {
    let seed = 21;
    let mut random = StdRng::seed_from_u64(seed);
    let mut shop = Shop::open(Flavor::MariaDb, Privileges::Full);
    if let Some(mistake) = mistake {
        shop.headrace
            .environment
            .push(("HEADRACE_PLANTED", mistake));
    }
    shop.insert_bulk(1, SNAPSHOT_ROWS);
    let load = Load::start(&shop.load_url(), seed, Duration::from_millis(4));
    load.wait(STATEMENTS, LOAD_TIMEOUT);
    let deletes = Deletes::start(&shop, SNAPSHOT_ROWS);
    let mut kills = Kills::default();
    // a fast machine may kill after the snapshot: the mistake comes later in any case
    kills.in_snapshot(&mut shop, Duration::from_millis(100));
    for _ in 0..KILLS_LATER {
        kills.later(&mut shop, &mut random, Shop::wait_streaming);
    }
    shop.headrace.start();
    shop.wait_streaming();
    shop.insert_bulk(FIRST_STREAMED, STREAMED);
    let deleted = format!("DELETE FROM shop.bulk WHERE id <= {STREAMED}");
    shop.database.sql(&deleted).expect("the deletes");
    load.wait(load.statements() + STATEMENTS, LOAD_TIMEOUT);
    let deleted = deletes.stop();
    let statements = load.stop();
    shop.catch_up();
    let (found, folded) = shop.differences();
    println!(
        "{mistake:?}, seed {seed}: {kills:?}, {statements} statements, {deleted} deletes, {} records: {} differences, the first {:?}",
        folded.iter().map(|topic| topic.records).sum::<usize>(),
        found.len(),
        found.first()
    );
    found
}

/// Fails unless one row of `shop.bulk` differs, in this way, at each end, and nothing else.
fn assert_each_end_shows(found: &[String], how: &str) {
    let shown = ENDS
        .iter()
        .zip(found)
        .all(|(end, what)| what.starts_with(&format!("{end}: row ")) && what.ends_with(how));
    assert!(shown && found.len() == ENDS.len(), "{found:?}");
}

#[test]
fn without_a_mistake_nothing_is_found() {
    let found = differences(None);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_dropped_row_is_missing_at_every_end() {
    assert_each_end_shows(&differences(Some("drop-row")), "is missing");
}

#[test]
fn a_lost_delete_leaves_its_row_at_every_end() {
    assert_each_end_shows(&differences(Some("lose-delete")), "should not be there");
}

/// The views take it for a replay, so only the topic shows it.
#[test]
fn a_row_written_twice_breaks_the_order_of_its_topic() {
    let found = differences(Some("row-twice"));
    assert!(
        found.len() == 1
            && found[0].starts_with("shop.shop.bulk: ")
            && found[0].contains("(CSN, index)"),
        "{found:?}"
    );
}
