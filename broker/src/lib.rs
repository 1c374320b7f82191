//! The server: listeners, APIs, partitions, coordinator.

pub mod coordinator;
