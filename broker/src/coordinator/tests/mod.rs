//! Tests of the coordinator: scripts and properties on the pure group, and the runtime on a log in memory.

mod bounds;
mod memory;
mod properties;
mod removal;
mod runtime;
mod scripts;
mod static_members;
mod world;
