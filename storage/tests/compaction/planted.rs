//! The proof of these proofs: each mistake planted in compaction is found, and how soon.

use std::panic::{AssertUnwindSafe, catch_unwind};

use headrace_storage::planted::{Mistake, with};

use crate::{crashes, oracle};

/// What finds a mistake, seed by seed.
fn finder(mistake: Mistake) -> Option<fn(u64) -> Result<(), String>> {
    match mistake {
        Mistake::SwapBeforeSync | Mistake::InputsRemovedBeforeSwap => {
            Some(|seed| crashes::every_crash(seed).map(|_| ()))
        }
        Mistake::TombstoneDroppedEarly
        | Mistake::HorizonAtOnce
        | Mistake::MarkerDropped
        | Mistake::ProducerStateDropped
        | Mistake::CompactedPastLastStable => Some(|seed| oracle::run(seed, 40)),
        _ => None,
    }
}

/// What is wrong at a seed, also if it is said by a panic.
fn wrong_at(seed: u64, find: fn(u64) -> Result<(), String>) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| find(seed))) {
        Ok(result) => result.err(),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            Some(format!("panic: {}", said.unwrap_or_default()))
        }
    }
}

#[test]
fn every_mistake_planted_in_compaction_is_found() {
    let mut missed = Vec::new();
    for mistake in Mistake::ALL {
        let Some(find) = finder(*mistake) else {
            continue;
        };
        let (found, made) = with(*mistake, || {
            (1..=40).find_map(|seed| Some((seed, wrong_at(seed, find)?)))
        });
        match found {
            Some((seed, wrong)) => {
                let wrong: String = wrong.chars().take(160).collect();
                println!("{mistake:?}: seed {seed}: {wrong}");
            }
            None => missed.push((*mistake, made)),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
