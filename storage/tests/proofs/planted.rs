//! The proof of the proofs: each planted mistake is found, by which proof, and how soon.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use headrace_storage::planted::{Mistake, with};

use crate::crash_states::{SEED, shallow};
use crate::driver::recorded;
use crate::explore::{Depth, Explored, explore};
use crate::workloads::{self, Workload};
use crate::{compaction, damage, failing, install, votes};

/// Of what is wrong the table shows so much: the call, and what was seen after it.
const WRONG_CHARS: usize = 300;

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

/// The proofs that are to find a mistake, each by itself. A new mistake does not compile without one.
fn finders(mistake: Mistake) -> &'static [Proof] {
    match mistake {
        Mistake::NoDirectorySyncAtRoll
        | Mistake::HintBeforeData
        | Mistake::TornTailNotCut
        | Mistake::RecoveredCacheNotSynced => &[CrashStates(workloads::APPEND)],
        Mistake::SyncCoversLater => &[CrashStates(workloads::CACHED)],
        Mistake::SealedWithoutSync => &[CrashStates(workloads::ROLL)],
        Mistake::MagicBytesSearched => &[CrashStates(workloads::FRAMES_IN_VALUES)],
        Mistake::HintNotLowered => &[CrashStates(workloads::TRUNCATE), Install],
        Mistake::TruncationNotSynced => &[CrashStates(workloads::TRUNCATE)],
        Mistake::TruncatedOldestFirst => &[CrashStates(workloads::TRUNCATE_SEALED)],
        Mistake::CheckpointKept => &[CrashStates(workloads::STALE_CHECKPOINT)],
        Mistake::CheckpointBeforeData => &[CrashStates(workloads::CLEAN_STOP)],
        Mistake::SegmentRemovedNewestFirst => &[CrashStates(workloads::REMOVE)],
        Mistake::GroupBeyondBound => &[Shallow(workloads::BOUND)],
        Mistake::RetryAfterFailedSync | Mistake::CacheBelieved => &[FailingCalls],
        Mistake::IndexTrusted | Mistake::CorruptionCut => &[Damage],
        Mistake::RestNotLookedAt => &[DamageFarBefore],
        Mistake::PartTrusted => &[StaleIndex],
        Mistake::InstallWithoutMarker => &[Install],
        Mistake::ManifestNotVerified => &[DamagedInstall],
        Mistake::SwapBeforeSync | Mistake::InputsRemovedBeforeSwap => &[Compaction],
        Mistake::TombstoneDroppedEarly
        | Mistake::ProducerStateDropped
        | Mistake::CompactedPastLastStable
        | Mistake::HorizonAtOnce
        | Mistake::MarkerDropped => &[Readers],
        Mistake::VoteNotSynced | Mistake::JournalReplacedWithoutSync => &[Votes],
        Mistake::JournalOneCopy => &[DamagedVotes],
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
            FailingCalls => return failing::every_call_may_fail(SEED),
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

/// What is wrong, without what lies between brackets: long lists of files and entries.
fn brief(wrong: &str) -> String {
    let mut depth = 0_usize;
    let mut brief = String::new();
    for letter in wrong.chars() {
        match letter {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => brief.push(letter),
            _ => {}
        }
    }
    brief.chars().take(WRONG_CHARS).collect()
}

#[test]
fn every_planted_mistake_is_found() {
    let mut table = String::new();
    let mut missed = Vec::new();
    for mistake in Mistake::ALL {
        for proof in finders(*mistake) {
            let begun = Instant::now();
            let ((states, wrong), made) = with(*mistake, || proof.find());
            // what is found without the mistake being made is another one
            let found = wrong.filter(|_| made > 0);
            if found.is_none() {
                missed.push((*mistake, *proof));
            }
            let (name, by) = (format!("{mistake:?}"), proof.name());
            let seconds = begun.elapsed().as_secs_f64();
            let wrong = found.map_or("NOT FOUND".to_owned(), |wrong| brief(&wrong));
            writeln!(
                table,
                "{name:28} {by}, state {states}, made {made} times, {seconds:.2} s: {wrong}"
            )
            .unwrap();
        }
    }
    println!("{table}{} planted mistakes", Mistake::ALL.len());
    assert!(missed.is_empty(), "not found: {missed:?}\n{table}");
}
