//! Crash-state enumeration: every state that a power cut or a dying process may leave of a recorded run.
//!
//! ```text
//! run, recorded:  call | call | call | … | call
//!                      ^ after each: power cut -> states -> recovery -> judged
//!                      |             each sampled: again | crash inside | go on, power cut, recovery
//!                      '             process crash -> recovery -> power cut -> states -> recovery
//! ```
//!
//! What recovery must give is the run's to say ([`Proven`]); what is the same for all is asked here:
//! recovery succeeds; twice gives the same; a crash inside it changes nothing; and what it showed to
//! anybody is durable.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use headrace_storage::fs::{MemoryDisk, Trace};

use crate::fates::{Effort, Plan, plans};
use crate::seeded::{Seeded, soak};

/// Something that lives on a disk and comes back after a crash.
pub(crate) trait Proven {
    /// What it shows after recovery.
    type Seen: PartialEq + fmt::Debug;

    /// Recovers it. Two calls must show the same.
    fn recover(&self, disk: &MemoryDisk) -> Result<Self::Seen, String>;

    /// Whether it may show this when the disk had done so many of the recorded calls.
    fn allows(&self, calls: usize, seen: &Self::Seen) -> Result<(), String>;

    /// Whether it may also show this if the page cache survived.
    fn allows_of_cache(&self, _calls: usize, _seen: &Self::Seen) -> Result<(), String> {
        Ok(())
    }

    /// Changes whenever what is allowed changes: states met before are not judged again until then.
    fn era(&self, calls: usize) -> usize;

    /// Recovers it, goes on working until something is durable, and gives what must be seen from then on.
    fn go_on(&self, disk: &MemoryDisk) -> Result<Self::Seen, String>;
}

/// How much to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    pub(crate) effort: Effort,
    /// Plans at each call inside a recovery, and after one of a crashed process.
    pub(crate) inner: Effort,
    /// Whether the process may crash alone, and the page cache survive it.
    pub(crate) process_crashes: bool,
    /// Of so many states one is crashed inside its recovery.
    pub(crate) inside_one_in: usize,
    /// Of so many states one goes on working.
    pub(crate) go_on_one_in: usize,
}

impl Depth {
    /// What `make test` tries, or `make soak` when it runs.
    pub(crate) fn usual() -> Depth {
        let soak = usize::try_from(soak()).expect("64 bits");
        Depth {
            effort: Effort {
                samples: 12 * soak,
                plans_max: 28 * soak,
            },
            inner: Effort {
                samples: 2 * soak,
                plans_max: 4 * soak,
            },
            process_crashes: true,
            inside_one_in: (12 / soak).max(1),
            go_on_one_in: (4 / soak).max(1),
        }
    }
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Explored {
    pub(crate) calls: usize,
    /// Disks after a crash, different from each other, that were recovered and judged.
    pub(crate) states: u64,
    pub(crate) recoveries: u64,
    pub(crate) took: Duration,
}

impl Explored {
    /// Both together.
    pub(crate) fn and(self, other: Explored) -> Explored {
        Explored {
            calls: self.calls + other.calls,
            states: self.states + other.states,
            recoveries: self.recoveries + other.recoveries,
            took: self.took + other.took,
        }
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explored {
            calls,
            states,
            recoveries,
            took,
        } = self;
        write!(
            f,
            "{calls} calls, {states} crash states, {recoveries} recoveries in {:.2} s",
            took.as_secs_f64()
        )
    }
}

/// Tries every crash of a recorded run; the first thing wrong is the error, in words.
pub(crate) fn explore<P: Proven>(
    proven: &P,
    trace: &Trace,
    depth: Depth,
    seed: u64,
) -> (Explored, Result<(), String>) {
    let begun = Instant::now();
    let mut explorer = Explorer::new(proven, depth, seed);
    explorer.explored.calls = trace.len();
    let mut replay = trace.replay();
    let result = loop {
        if let Err(wrong) = explorer.crash(replay.disk(), replay.done()) {
            let place = format!("call {} ({})", replay.done(), replay.last_call());
            break Err(format!("seed {seed}, after {place}: {wrong}"));
        }
        if !replay.step() {
            break Ok(());
        }
    };
    explorer.explored.took = begun.elapsed();
    (explorer.explored, result)
}

struct Explorer<'a, P> {
    proven: &'a P,
    depth: Depth,
    seeded: Seeded,
    /// Digests of the states judged in this era.
    known: HashSet<u64>,
    era: usize,
    explored: Explored,
}

/// Tries every crash of a disk as it is now.
pub(crate) fn explore_now<P: Proven>(
    proven: &P,
    disk: &MemoryDisk,
    depth: Depth,
    seed: u64,
) -> (Explored, Result<(), String>) {
    let begun = Instant::now();
    let mut explorer = Explorer::new(proven, depth, seed);
    let result = explorer.crash(disk, usize::MAX);
    explorer.explored.took = begun.elapsed();
    (explorer.explored, result)
}

impl<'a, P: Proven> Explorer<'a, P> {
    fn new(proven: &'a P, depth: Depth, seed: u64) -> Explorer<'a, P> {
        Explorer {
            proven,
            depth,
            seeded: Seeded::new(seed),
            known: HashSet::new(),
            era: 0,
            explored: Explored::default(),
        }
    }

    /// Every crash of this disk, on which so many of the recorded calls are done.
    fn crash(&mut self, disk: &MemoryDisk, calls: usize) -> Result<(), String> {
        let era = self.proven.era(calls);
        if era != self.era {
            self.known.clear();
            self.era = era;
        }
        let at_stake = disk.unsynced();
        for plan in plans(&at_stake, &mut self.seeded, self.depth.effort) {
            let state = disk.crash_as(&plan.0, plan.1);
            if self.known.insert(state.digest()) {
                self.power_cut(&state, calls).map_err(|wrong| {
                    format!("power cut leaving {}: {wrong}", told(&at_stake, &plan))
                })?;
            }
        }
        if !self.depth.process_crashes {
            return Ok(());
        }
        self.process_crash(&disk.fork(), calls)
            .map_err(|wrong| format!("process crash: {wrong}"))
    }

    fn recover(&mut self, disk: &MemoryDisk) -> Result<P::Seen, String> {
        self.explored.recoveries += 1;
        self.proven.recover(disk)
    }

    /// A disk on which everything is durable that is there.
    fn power_cut(&mut self, state: &MemoryDisk, calls: usize) -> Result<(), String> {
        self.explored.states += 1;
        let disk = state.fork();
        disk.record();
        let seen = self.recover(&disk)?;
        let trace = disk.take_trace();
        self.proven.allows(calls, &seen)?;
        let again = self.recover(&disk)?;
        same(&seen, &again, "the second recovery")?;
        if self.seeded.one_in(self.depth.inside_one_in) {
            self.crash_inside(&trace, calls, Some(&seen))?;
        }
        if self.seeded.one_in(self.depth.go_on_one_in) {
            self.go_on(&state.fork())?;
        }
        Ok(())
    }

    /// A disk on which the page cache has survived the process.
    fn process_crash(&mut self, disk: &MemoryDisk, calls: usize) -> Result<(), String> {
        disk.record();
        let seen = self.recover(disk)?;
        let trace = disk.take_trace();
        self.proven.allows(calls, &seen)?;
        self.proven.allows_of_cache(calls, &seen)?;
        self.crash_inside(&trace, calls, None)?;
        // What recovery has shown to somebody must not be lost any more.
        self.each_crash(disk, |explorer, after| {
            let later = explorer.recover(after)?;
            same(&seen, &later, "a power cut after it was shown")
        })
    }

    /// A power cut after each call of a recovery; `seen` is what it must lead to, if anything was durable.
    fn crash_inside(
        &mut self,
        trace: &Trace,
        calls: usize,
        seen: Option<&P::Seen>,
    ) -> Result<(), String> {
        let mut replay = trace.replay();
        loop {
            let inside = |wrong| {
                let place = format!("call {} ({})", replay.done(), replay.last_call());
                format!("crash inside recovery after {place}: {wrong}")
            };
            self.each_crash(replay.disk(), |explorer, after| {
                let later = explorer.recover(after)?;
                explorer.proven.allows(calls, &later)?;
                seen.map_or(Ok(()), |seen| same(seen, &later, "a crash inside recovery"))
            })
            .map_err(inside)?;
            if !replay.step() {
                return Ok(());
            }
        }
    }

    /// Works on after recovery, and crashes again: the end of the log must not hold surprises.
    fn go_on(&mut self, disk: &MemoryDisk) -> Result<(), String> {
        let wanted = self.proven.go_on(disk)?;
        self.each_crash(disk, |explorer, after| {
            let later = explorer.recover(after)?;
            same(&wanted, &later, "work after recovery and a power cut")
        })
    }

    fn each_crash(
        &mut self,
        disk: &MemoryDisk,
        mut judge: impl FnMut(&mut Self, &MemoryDisk) -> Result<(), String>,
    ) -> Result<(), String> {
        let at_stake = disk.unsynced();
        for plan in plans(&at_stake, &mut self.seeded, self.depth.inner) {
            let after = disk.crash_as(&plan.0, plan.1);
            self.explored.states += 1;
            judge(self, &after).map_err(|wrong| {
                format!("power cut leaving {}: {wrong}", told(&at_stake, &plan))
            })?;
        }
        Ok(())
    }
}

fn same<S: PartialEq + fmt::Debug>(wanted: &S, found: &S, after: &str) -> Result<(), String> {
    if wanted == found {
        return Ok(());
    }
    Err(format!("{after} shows {found:?} instead of {wanted:?}"))
}

/// A plan in words.
fn told(at_stake: &[headrace_storage::fs::Unsynced], (fates, garbage): &Plan) -> String {
    let one = |(one, fate): (&headrace_storage::fs::Unsynced, &headrace_storage::fs::Fate)| {
        let name = one.path.file_name().unwrap_or_default().to_string_lossy();
        format!("{name} {:?} {fate:?}", one.kind)
    };
    let all: Vec<String> = at_stake.iter().zip(fates).map(one).collect();
    format!("[{}] with {garbage:?}", all.join(", "))
}
