//! The server: listeners, APIs, partitions, coordinator.
