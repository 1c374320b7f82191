//! The command line as a user meets it, one file per command: what each prints, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/broker.rs"]
mod broker;

mod doctor;
mod group;
mod plain;
mod records;
mod serve;
mod topic;
mod view;

/// The one document of a command with `--json`.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}
