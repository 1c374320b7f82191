//! What the benchmarks share: programs under test and what the system counted for them, a do-nothing broker, and the load
//! generator that has brokers take turns.

pub mod cpu;
pub mod floor;
pub mod load;
pub mod process;
pub mod server;
