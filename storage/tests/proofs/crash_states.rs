//! Every crash of every run, without mistakes: recovery gives what was promised.

use crate::driver::recorded;
use crate::explore::{Depth, explore};
use crate::fates::Effort;
use crate::workloads::{BOUND, WORKLOADS};

pub(crate) const SEED: u64 = 4;

#[test]
fn every_crash_of_a_log_is_survived() {
    for (name, run) in WORKLOADS {
        let (proof, trace) = recorded(run);
        let (explored, result) = explore(&proof, &trace, Depth::usual(), SEED);
        println!("crash states of {name}: {explored}");
        result.unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    }
}

/// Few states, since each has megabytes.
pub(crate) fn shallow() -> Depth {
    let effort = Effort {
        samples: 2,
        plans_max: 12,
    };
    Depth {
        effort,
        inner: Effort {
            samples: 0,
            plans_max: 2,
        },
        process_crashes: true,
        inside_one_in: 64,
        go_on_one_in: 64,
    }
}

#[test]
fn crash_with_the_most_that_may_be_unsynced_is_survived() {
    let (proof, trace) = recorded(BOUND.1);
    let (explored, result) = explore(&proof, &trace, shallow(), SEED);
    println!("crash states of bound: {explored}");
    result.unwrap_or_else(|wrong| panic!("bound: {wrong}"));
}
