//! Consumer groups.

pub mod group;
