//! What the benchmarks share: the binary under test as a process, and what the system counted for it.

pub mod cpu;
pub mod process;
