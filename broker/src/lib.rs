//! The server: listeners, APIs, partitions, coordinator.

pub mod clock;
pub mod controller;
pub mod coordinator;
pub mod partition;
pub mod topic_config;
