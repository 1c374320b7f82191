//! The proofs of the storage engine: every crash, every failing call, random operations against a model.
//!
//! - `explore` tries every crash of a recorded run (`workloads`, driven by `driver`); what the log must
//!   hold then is `history`'s to say, what a power cut may leave is `fates`'.
//!
//! Lengths are those of `make test`; `HEADRACE_SOAK=n` (`make soak`) multiplies them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a proof prints how much it tried")]

mod compaction;
mod crash_states;
mod damage;
mod driver;
mod exchange;
mod explore;
mod failing;
mod fates;
mod fuzz;
mod history;
mod install;
mod model;
mod overwrite;
#[cfg(feature = "planted")]
mod planted;
mod seeded;
#[path = "../../fuzz/src/targets.rs"]
#[allow(unreachable_pub, reason = "the library of the fuzz targets")]
mod targets;
mod votes;
mod workloads;
