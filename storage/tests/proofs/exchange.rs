//! Files exchanged for others: the log is what it was before or what it is after, never between.

use headrace_storage::fs::MemoryDisk;

use crate::driver::{go_on, recover};
use crate::explore::Proven;
use crate::history::Seen;

/// The states a log goes through, each with the number of calls by which it was reached for good.
#[derive(Debug)]
pub(crate) struct Exchange {
    states: Vec<(usize, Seen)>,
}

impl Exchange {
    /// Begins with the log as it is on a disk; to be recorded from here on.
    pub(crate) fn begin(disk: &MemoryDisk) -> Exchange {
        let seen = recover(&disk.fork()).expect("a sound log");
        disk.record();
        let states = vec![(0, seen)];
        Exchange { states }
    }

    /// An exchange is through: from here on the log is what a start finds now.
    pub(crate) fn through(&mut self, disk: &MemoryDisk) {
        let seen = recover(&disk.fork()).expect("a sound log");
        self.states.push((disk.recorded(), seen));
    }

    /// The log as it is at last.
    pub(crate) fn last(&self) -> &Seen {
        &self.states.last().expect("it begins with one").1
    }
}

impl Proven for Exchange {
    type Seen = Seen;

    fn recover(&self, disk: &MemoryDisk) -> Result<Seen, String> {
        recover(disk)
    }

    fn allows(&self, calls: usize, seen: &Seen) -> Result<(), String> {
        let reached = self.era(calls) - 1;
        let allowed = self.states[reached..].iter().take(2);
        let mut allowed = allowed.map(|(_, state)| state);
        if allowed.any(|state| state == seen) {
            return Ok(());
        }
        Err(format!(
            "the log is {seen:?}, neither what it was nor what comes next: {:?}",
            self.states[reached].1
        ))
    }

    fn era(&self, calls: usize) -> usize {
        self.states.partition_point(|(at, _)| *at <= calls)
    }

    fn go_on(&self, disk: &MemoryDisk) -> Result<Seen, String> {
        go_on(disk)
    }
}
