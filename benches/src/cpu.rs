//! CPU time: the figure that repeats on a shared machine, where wall time does not.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Whose CPU time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The calling thread's.
    Thread,
    /// All threads of the process.
    Process,
}

/// A measurement that has begun.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime {
    whose: Whose,
    begun: Duration,
}

impl CpuTime {
    /// Begins to measure.
    pub fn start(whose: Whose) -> CpuTime {
        let begun = now(whose);
        CpuTime { whose, begun }
    }

    /// User and system time since the start.
    pub fn elapsed(&self) -> Duration {
        now(self.whose).saturating_sub(self.begun)
    }
}

fn now(whose: Whose) -> Duration {
    let clock = match whose {
        Whose::Thread => ClockId::ThreadCPUTime,
        Whose::Process => ClockId::ProcessCPUTime,
    };
    let at = clock_gettime(clock);
    let seconds = Duration::from_secs(u64::try_from(at.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(at.tv_nsec).unwrap_or(0))
}
