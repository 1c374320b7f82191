//! The clock, as an argument: deciding code is given readings, tests give their own.

use std::fmt::Debug;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
///
/// Readings of the wall clock may go back when an operator sets it; nothing that must be ordered relies on them.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970.
    fn wall_ms(&self) -> i64;

    /// A moment to measure from; never goes back, whatever is done to the wall clock.
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // a clock set before 1970 reads as 1970
        i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
    }
}
