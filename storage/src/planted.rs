//! Mistakes planted on purpose, so that the proofs can show that they would find a real one.
//!
//! Compiled in by the feature `planted` only, which release builds refuse. [`with`] makes one mistake on
//! this thread while a closure runs; without it, and without the feature, nothing changes. The place of a
//! mistake asks [`planted`], which is a constant `false` in every build that ships:
//!
//! ```text
//! if self.names && !planted(Mistake::NoDirectorySyncAtRoll) {
//!     self.disk.sync_dir(&self.dir)?;
//! }
//! ```
//!
//! A mistake is made by the thread that asked for it: the proofs run everything, also what a worker does
//! in the broker, on one thread.

#[cfg(feature = "planted")]
use std::cell::Cell;

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` plants mistakes; it is for debug builds only");

/// Declares the mistakes and the list of all of them, so that none can miss the table of the proofs.
macro_rules! mistakes {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A mistake, and what is wrong about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mistake {
            $($(#[$doc])+ $name,)+
        }

        impl Mistake {
            /// Every mistake, in the order they are declared.
            pub const ALL: &'static [Mistake] = &[$(Mistake::$name,)+];
        }
    };
}

mistakes! {
    /// A new segment's name is not synced with its first group.
    NoDirectorySyncAtRoll,
    /// The flushed hint is written before the data it speaks of is synced.
    HintBeforeData,
    /// The file beside a sealed segment is believed without its checksum and without comparing the segment.
    IndexTrusted,
    /// A failed sync is tried again and its success believed.
    RetryAfterFailedSync,
    /// A sync counts for what was written while it ran, too.
    SyncCoversLater,
    /// What a power cut left of the last group stays behind the end of the log.
    TornTailNotCut,
    /// An unsound frame below the hint, or far before the end, is cut like a torn tail.
    CorruptionCut,
    /// Behind an unsound frame that cannot be followed nothing is looked at.
    RestNotLookedAt,
    /// What lies past the flushed hint is read through the page cache, whatever the disk has.
    CacheBelieved,
    /// An index that was kept is gone on from without comparing its end with the log.
    PartTrusted,
    /// What a crashed process left in the page cache is used without a sync.
    RecoveredCacheNotSynced,
    /// Behind an unsound frame the scan goes on at the next bytes that look like a frame.
    MagicBytesSearched,
    /// A segment counts as sealed although its data was not synced.
    SealedWithoutSync,
    /// More is written and not synced than recovery takes for one group.
    GroupBeyondBound,
    /// Compaction renames its output before the output is synced.
    SwapBeforeSync,
    /// Compaction removes its inputs before the output has its name.
    InputsRemovedBeforeSwap,
    /// A truncation leaves the flushed hint above the new end.
    HintNotLowered,
    /// A truncation is not synced before the next append.
    TruncationNotSynced,
    /// A truncation removes the segments behind its end from the oldest to the newest.
    TruncatedOldestFirst,
    /// A vote counts as durable without a sync.
    VoteNotSynced,
    /// The checkpoint of a clean shutdown is not removed by the start that uses it.
    CheckpointKept,
    /// The checkpoint is written before the logs it describes are synced.
    CheckpointBeforeData,
    /// Segments below the log start are removed from the newest to the oldest.
    SegmentRemovedNewestFirst,
    /// A snapshot is installed without comparing its files with the manifest.
    ManifestNotVerified,
    /// A snapshot replaces the log's files without a marker that lets a crash inside be finished.
    InstallWithoutMarker,
    /// Compaction drops tombstones before their time.
    TombstoneDroppedEarly,
    /// Compaction drops the last batch of a producer, and with it the sequence number.
    ProducerStateDropped,
    /// Compaction goes past the last stable offset.
    CompactedPastLastStable,
    /// A tombstone's delete horizon is the moment of the cleaning that sets it.
    HorizonAtOnce,
    /// Compaction drops the marker of a transaction whose records it keeps.
    MarkerDropped,
    /// The vote journal writes one copy of each round.
    JournalOneCopy,
    /// The vote journal is replaced by a file that is not synced.
    JournalReplacedWithoutSync,
}

#[cfg(feature = "planted")]
thread_local! {
    static AT_WORK: Cell<Option<Mistake>> = const { Cell::new(None) };
    static MADE: Cell<u64> = const { Cell::new(0) };
}

/// Whether this mistake is to be made here and now.
#[cfg(feature = "planted")]
pub(crate) fn planted(mistake: Mistake) -> bool {
    let made = AT_WORK.get() == Some(mistake);
    if made {
        MADE.set(MADE.get() + 1);
    }
    made
}

/// Whether this mistake is to be made here and now: never, in a build without the feature.
#[cfg(not(feature = "planted"))]
pub(crate) const fn planted(_: Mistake) -> bool {
    false
}

/// Makes `mistake` on this thread while `run` runs, and gives how often it was asked for.
#[cfg(feature = "planted")]
pub fn with<T>(mistake: Mistake, run: impl FnOnce() -> T) -> (T, u64) {
    /// Ends the mistake also when a proof finds it by a panic.
    struct Ended;
    impl Drop for Ended {
        fn drop(&mut self) {
            AT_WORK.set(None);
        }
    }
    assert_eq!(AT_WORK.get(), None, "one mistake at a time");
    AT_WORK.set(Some(mistake));
    MADE.set(0);
    let _ended = Ended;
    (run(), MADE.get())
}

#[cfg(all(test, feature = "planted"))]
mod tests {
    use super::*;

    #[test]
    fn mistake_is_made_only_inside_and_only_itself() {
        assert!(!planted(Mistake::HintBeforeData));
        let (inside, made) = with(Mistake::HintBeforeData, || {
            (
                planted(Mistake::HintBeforeData),
                planted(Mistake::IndexTrusted),
            )
        });
        assert_eq!((inside, made), ((true, false), 1));
        let found = std::panic::catch_unwind(|| with(Mistake::IndexTrusted, || panic!("found")));
        assert!(found.is_err());
        assert!(!planted(Mistake::IndexTrusted));
    }
}
