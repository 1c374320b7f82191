//! Tests of the coordinator: scripts and properties on the pure group, and the runtime on a log in memory.

mod bounds;
mod consumer_properties;
mod consumer_scripts;
mod consumer_world;
mod memory;
mod properties;
mod removal;
mod runtime;
mod scripts;
mod static_members;
mod world;
