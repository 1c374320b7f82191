//! Tests of the coordinator: scripts and properties on the pure group, and the runtime on a log in memory.

mod properties;
mod scripts;
mod world;
