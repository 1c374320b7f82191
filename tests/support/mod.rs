//! What the whole-path tests share: the real binary, a random load, and the ways to read each end of the path.
//!
//! Everything here goes through what a user has: the configuration file, the Kafka protocol, HTTP, Redis and SQL.
//! Nothing is taken from the product's own code, so that a wrong value cannot agree with itself.
#![allow(
    dead_code,
    clippy::wrong_self_convention,
    unreachable_pub,
    missing_docs,
    reason = "each test file compiles this module for itself and uses its part of it"
)]

pub mod cache;
pub mod columns;
pub mod headrace;
pub mod index;
pub mod kills;
pub mod load;
pub mod shop;
pub mod topic;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A row: column name to its value.
pub type Row = BTreeMap<String, columns::Value>;
/// A table: primary key (as the columns' texts joined by `/`) to row.
pub type Table = BTreeMap<String, Row>;

/// Waits until `fact` gives something; fails with `what` after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut fact: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(
            started.elapsed() < limit,
            "waited {limit:?} in vain for: {what}"
        );
        pause(Duration::from_millis(20));
    }
}

/// Lets `time` pass: parks on a channel that nobody writes to.
pub fn pause(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let timed_out = never.recv_timeout(time);
    assert!(timed_out.is_err(), "nobody sends");
}

/// The first differences between two tables, in words; empty when they are equal.
pub fn differences(what: &str, got: &Table, wanted: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for key in got.keys().filter(|key| !wanted.contains_key(*key)) {
        found.push(format!("{what}: row {key} should not be there"));
    }
    for (key, wanted_row) in wanted {
        let Some(row) = got.get(key) else {
            found.push(format!("{what}: row {key} is missing"));
            continue;
        };
        for (column, value) in wanted_row {
            match row.get(column) {
                Some(got) if got == value => {}
                got => found.push(format!(
                    "{what}: row {key} column {column}: got {got:?}, wanted {value:?}"
                )),
            }
        }
        for column in row.keys().filter(|c| !wanted_row.contains_key(*c)) {
            found.push(format!("{what}: row {key} has an unknown column {column}"));
        }
    }
    found
}
