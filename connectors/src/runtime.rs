//! What carries records from the log to a target: one supervisor per view, one task per partition.
//!
//! ```text
//! supervisor (per view)  waits for the topic, owns the tasks, stops them for a reset or a changed topic
//!    `-- task (per partition)   open target -> judge watermark -> claim epoch -> read -> batch -> apply -> commit
//!                                    ^                                                          |
//!                                    `---- back-off with reason and next attempt <--- any error-'
//! ```
//! Failed never means dead: every error is shown and followed by another attempt.
mod batch;
pub(crate) mod claim;
mod decode;
mod follow;
mod retry;
pub(crate) mod schemas;
pub(crate) mod status;
pub(crate) mod supervisor;
pub(crate) mod task;
#[cfg(test)]
mod tests;
