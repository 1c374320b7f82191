//! The snapshot: all rows of the captured tables as of one position, then the stream from there.
//!
//! ```text
//! no stored position      open transaction + position -> store it (running) -> rows -> store it (done)
//! stored, running         open transaction (its position is not used)       -> rows -> store it (done)
//! stored, done            stream from the stored position
//! ```
//! The position of the *first* attempt is durable before its first row and is kept by every later
//! attempt, so a row deleted between two attempts is deleted by the stream. Rows carry the
//! position's CSN and an index above every one already in the topics: within a partition (CSN,
//! index) strictly increases over all attempts, and every streamed change is above them all.

pub(crate) mod handover;
pub(crate) mod read;
