//! The broker as clients see it: real sockets, real frames, a disk in memory that can lose power.
//!
//! One file per subject; a test's name states the fact.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod alter_configs;
mod cluster;
mod configs;
mod connection;
mod consumer_groups;
mod delete_records;
mod epochs;
mod fetch;
mod fetch_sessions;
mod group_admin;
mod group_answers;
mod groups;
mod hostile;
mod leaders;
mod list_offsets;
mod metadata;
mod mutated;
mod pages;
mod partitions;
mod produce;
mod producers;
mod random;
mod refused;
mod requests;
mod restart;
mod settings_in_effect;
mod space;
mod tool_settings;
mod topics;
mod upkeep;
