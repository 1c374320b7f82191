//! The proof of the proofs: each planted mistake is found, by which proof, and how soon.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use headrace_storage::planted::{Mistake, with};

use crate::crash_states::{SEED, shallow};
use crate::driver::recorded;
use crate::explore::{Depth, Explored, explore};
use crate::workloads::{self, Workload};
use crate::{compaction, damage, failing, install, votes};

/// How one proof ended: how much it tried, and what it found.
type Outcome = (u64, Result<(), String>);

/// A proof that can find a mistake.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// The crash states of a run.
    CrashStates(Workload),
    /// The crash states of a run with much data.
    Shallow(Workload),
    FailingCalls,
    Damage,
    DamageFarBefore,
    StaleIndex,
    Votes,
    DamagedVotes,
    Install,
    DamagedInstall,
    Compaction,
    Readers,
}

use Proof::{
    Compaction, CrashStates, Damage, DamageFarBefore, DamagedInstall, DamagedVotes, FailingCalls,
    Install, Readers, Shallow, StaleIndex, Votes,
};

/// The proof that is to find a mistake.
fn finder(mistake: Mistake) -> Proof {
    match mistake {
        Mistake::NoDirectorySyncAtRoll
        | Mistake::HintBeforeData
        | Mistake::TornTailNotCut
        | Mistake::RecoveredCacheNotSynced => CrashStates(workloads::APPEND),
        Mistake::SealedWithoutSync => CrashStates(workloads::ROLL),
        Mistake::MagicBytesSearched => CrashStates(workloads::FRAMES_IN_VALUES),
        Mistake::HintNotLowered | Mistake::TruncationNotSynced => CrashStates(workloads::TRUNCATE),
        Mistake::CheckpointKept | Mistake::CheckpointBeforeData => {
            CrashStates(workloads::CLEAN_STOP)
        }
        Mistake::SegmentRemovedNewestFirst => CrashStates(workloads::REMOVE),
        Mistake::GroupBeyondBound => Shallow(workloads::BOUND),
        Mistake::RetryAfterFailedSync | Mistake::CacheBelieved => FailingCalls,
        Mistake::IndexTrusted | Mistake::CorruptionCut => Damage,
        Mistake::RestNotLookedAt => DamageFarBefore,
        Mistake::PartTrusted => StaleIndex,
        Mistake::InstallWithoutMarker => Install,
        Mistake::ManifestNotVerified => DamagedInstall,
        Mistake::SwapBeforeSync | Mistake::InputsRemovedBeforeSwap => Compaction,
        Mistake::TombstoneDroppedEarly
        | Mistake::ProducerStateDropped
        | Mistake::CompactedPastLastStable
        | Mistake::HorizonAtOnce
        | Mistake::MarkerDropped => Readers,
        Mistake::VoteNotSynced | Mistake::JournalReplacedWithoutSync => Votes,
        Mistake::JournalOneCopy => DamagedVotes,
    }
}

fn counted((explored, result): (Explored, Result<(), String>)) -> Outcome {
    (explored.states, result)
}

impl Proof {
    fn name(&self) -> String {
        match self {
            CrashStates((run, _)) | Shallow((run, _)) => format!("crash states of {run:?}"),
            FailingCalls => "failing calls".to_owned(),
            Damage => "flipped bytes".to_owned(),
            DamageFarBefore => "damage far before the end".to_owned(),
            StaleIndex => "an index of other entries".to_owned(),
            Install => "crash states of an install".to_owned(),
            DamagedInstall => "damaged pieces of an install".to_owned(),
            Compaction => "crash states of a compaction".to_owned(),
            Readers => "readers of compacted logs".to_owned(),
            Votes => "crash states of votes".to_owned(),
            DamagedVotes => "flipped bytes of votes".to_owned(),
        }
    }

    fn run(&self) -> Outcome {
        let ((_, script), depth) = match self {
            CrashStates(run) => (run, Depth::usual()),
            Shallow(run) => (run, shallow()),
            FailingCalls => return failing::every_call_may_fail(),
            Damage => return damage::every_byte_may_flip(),
            DamageFarBefore => return damage::head_far_before_the_end_may_be_damaged(),
            StaleIndex => return damage::index_may_be_of_other_entries(),
            DamagedInstall => return install::every_piece_may_be_damaged(),
            Readers => return compaction::readers_agree(),
            Votes => return counted(votes::every_crash()),
            Install => return counted(install::every_crash()),
            Compaction => return counted(compaction::every_crash()),
            DamagedVotes => return votes::every_byte_may_flip(),
        };
        let (proof, trace) = recorded(script);
        let (explored, result) = explore(&proof, &trace, depth, SEED);
        (explored.states, result)
    }

    /// What it finds wrong, after how many states.
    fn find(&self) -> (u64, Option<String>) {
        match catch_unwind(AssertUnwindSafe(|| self.run())) {
            Ok((states, result)) => (states, result.err()),
            // A mistake may be found by an assertion of the log itself, or of the script.
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let brief = || panic.downcast_ref().map(|said: &&str| (*said).to_owned());
                let said = said.or_else(brief).unwrap_or_default();
                (0, Some(format!("panic: {said}")))
            }
        }
    }
}

#[test]
fn every_planted_mistake_is_found() {
    let mut table = String::new();
    let mut missed = Vec::new();
    let mut found = 0;
    for mistake in Mistake::ALL {
        let proof = finder(*mistake);
        let ((states, wrong), made) = with(*mistake, || proof.find());
        let name = format!("{mistake:?}");
        let by = proof.name();
        let line = if let Some(wrong) = wrong {
            found += 1;
            let wrong: String = wrong.chars().take(240).collect();
            format!("{by}, state {states}: {wrong}")
        } else {
            missed.push(*mistake);
            format!("NOT FOUND by {by} in {states} states, made {made} times")
        };
        writeln!(table, "{name:28} {line}").unwrap();
    }
    println!("{table}{found} planted mistakes found");
    assert!(missed.is_empty(), "not found: {missed:?}\n{table}");
}
