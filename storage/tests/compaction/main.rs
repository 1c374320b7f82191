//! Compaction as it is seen from outside: by readers, by the owner of a log, and by the next start.
//!
//! `rules` has the rules one by one. `oracle` writes random logs, keeps all that was ever written, and
//! compares what readers see; `crashes` does so after every call at which a cleaning may be cut off, and
//! with every call failing; `planted` shows that each mistake made on purpose is found. None of these
//! knows how compaction decides: `reader` reads as a client does, `history` has what was written. `scrub`
//! checks compacted files beside a compaction.
//!
//! Lengths are those of `make test`; `HEADRACE_SOAK=n` multiplies them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests say what is wrong by failing, and what they tried by printing it"
)]

mod bench;
mod crashes;
mod files;
mod history;
mod oracle;
#[cfg(feature = "planted")]
mod planted;
mod random;
mod reader;
mod rules;
mod scrub;
