//! Every call fails once, in every way: what was acknowledged is kept, the log is closed, reads go on.

use std::io::ErrorKind;

use headrace_storage::fs::{FailedWork, Fault, MemoryDisk};

use crate::crash_states::SEED;
use crate::driver::{Driver, LogProof, batches_of, shown};
use crate::explore::{Depth, explore_now};
use crate::fates::Effort;
use crate::seeded::soak;
use crate::workloads::WORKLOADS;

/// ENOSPC, EIO, EINTR and a short write.
const WAYS: &[(ErrorKind, FailedWork)] = &[
    (ErrorKind::StorageFull, FailedWork::Nothing),
    (ErrorKind::Other, FailedWork::Nothing),
    (ErrorKind::Other, FailedWork::All),
    (ErrorKind::Interrupted, FailedWork::Nothing),
    (ErrorKind::WriteZero, FailedWork::Half),
];

fn depth() -> Depth {
    let effort = Effort {
        samples: 1,
        plans_max: 4,
    };
    Depth {
        effort,
        inner: Effort {
            samples: 0,
            plans_max: 2,
        },
        process_crashes: true,
        inside_one_in: 16,
        go_on_one_in: 8,
    }
}

/// Runs a script with one fault; gives the driver with a disk that works again.
fn run_with(script: fn(&mut Driver), fault: Fault, work: FailedWork) -> Driver {
    let disk = MemoryDisk::new();
    disk.set_failed_work(work);
    disk.fail(fault);
    let mut driver = Driver::new(disk);
    script(&mut driver);
    driver.disk.heal();
    driver
}

fn calls_of(script: fn(&mut Driver)) -> u64 {
    let never = Fault {
        at_call: u64::MAX,
        kind: ErrorKind::Other,
        lasting: false,
    };
    run_with(script, never, FailedWork::Nothing).disk.calls()
}

/// Fails call after call; gives the number of runs and what was wrong first. The seed draws the crashes of
/// the disk that each run leaves.
pub(crate) fn every_call_may_fail(seed: u64) -> (u64, Result<(), String>) {
    let mut runs = 0;
    for (name, script) in WORKLOADS {
        for at_call in 0..calls_of(*script) {
            for ((kind, work), number) in WAYS.iter().zip(at_call..) {
                // In `make test` every second failure stays.
                let once = number % 2 == 0;
                let both = soak() > 1;
                for lasting in [!once, once].into_iter().take(1 + usize::from(both)) {
                    runs += 1;
                    let fault = Fault {
                        at_call,
                        kind: *kind,
                        lasting,
                    };
                    let driver = run_with(*script, fault, *work);
                    if let Err(wrong) = judge(driver, seed) {
                        let how = format!("{name}, call {at_call}: {kind:?} having done {work:?}");
                        let how = format!("seed {seed}, {how}, lasting {lasting}");
                        return (runs, Err(format!("{how}: {wrong}")));
                    }
                }
            }
        }
    }
    (runs, Ok(()))
}

fn judge(driver: Driver, seed: u64) -> Result<(), String> {
    let Driver {
        disk, log, history, ..
    } = driver;
    if let Some(mut log) = log {
        if log.write_error().is_some() {
            let refused = log.write().is_err() && log.sync_point().is_none();
            if !refused {
                return Err("a closed log goes on writing".to_owned());
            }
        }
        // Readers are led up to what is committed, which is at most what was promised.
        let line = history.now();
        let promised = line.seen(line.floor, 1);
        let found = batches_of(&log.reader().view(), promised.log_end)
            .map_err(|wrong| format!("reads do not go on: {wrong}"))?;
        let found: Vec<_> = found.iter().map(shown).collect();
        if !found.ends_with(&promised.batches) {
            return Err(format!("reads give {found:?} instead of {promised:?}"));
        }
    }
    let proof = LogProof { history };
    explore_now(&proof, &disk, depth(), seed).1
}

#[test]
fn failed_call_loses_nothing_that_was_promised() {
    for seed in SEED..SEED + soak() {
        let (runs, result) = every_call_may_fail(seed);
        println!("failing calls: seed {seed}, {runs} runs");
        result.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}
