//! The loaded indexes of sealed segments, all logs of the process together, within a bound.
//!
//! ```text
//! segment -> CachedIndex { index, used }  <- weak - IndexCache { round, bytes }
//! ```
//!
//! A segment holds its index itself, so that a reader who finds it meets no lock. The cache knows which
//! segments hold one; whoever loads one more than the bound allows lets go of the oldest that nobody has
//! used since they were last looked at (second chance). A reader keeps what it has got. An index that was let
//! go of is loaded again from its file: the cache decides about time and memory, never about what is read.

use std::collections::VecDeque;
use std::mem::size_of;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwapOption;

use super::{AbortedTransaction, ControlPlace, IndexEntry, SparseIndex};

/// What all loaded indexes may hold: those of 8 GiB of segments at an entry for each 4 KiB.
const LOADED_BYTES_MAX: usize = 64 << 20;

/// Segments that are gone are taken out of the round once it is so long, and then each time it has doubled.
const ROUND_MIN: usize = 64;

static LOADED: IndexCache = IndexCache::new(LOADED_BYTES_MAX);

/// The place of one segment's index.
#[derive(Debug, Default)]
pub(crate) struct CachedIndex(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    loaded: ArcSwapOption<Loaded>,
    /// Since the cache looked last.
    used: AtomicBool,
}

/// An index that is counted as long as anybody holds it.
#[derive(Debug)]
struct Loaded {
    index: SparseIndex,
    bytes: usize,
    cache: &'static IndexCache,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.cache.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An index in use.
#[derive(Debug)]
pub(crate) enum IndexRef<'a> {
    /// Of the active segment.
    Active(&'a SparseIndex),
    /// Of a sealed one.
    Sealed(SealedIndex),
}

/// The index of a sealed segment, in use.
#[derive(Debug)]
pub(crate) struct SealedIndex(Arc<Loaded>);

impl Deref for IndexRef<'_> {
    type Target = SparseIndex;

    fn deref(&self) -> &SparseIndex {
        match self {
            IndexRef::Active(index) => index,
            IndexRef::Sealed(SealedIndex(loaded)) => &loaded.index,
        }
    }
}

impl CachedIndex {
    /// A place that holds this index.
    pub(crate) fn of(index: SparseIndex) -> CachedIndex {
        let place = CachedIndex::default();
        place.put(index);
        place
    }

    /// The index, if it is loaded.
    pub(crate) fn get(&self) -> Option<SealedIndex> {
        let loaded = self.0.loaded.load_full()?;
        // read first: the line stays shared between the readers of a hot segment
        if !self.0.used.load(Ordering::Relaxed) {
            self.0.used.store(true, Ordering::Relaxed);
        }
        Some(SealedIndex(loaded))
    }

    /// Holds an index that was loaded.
    pub(crate) fn put(&self, index: SparseIndex) -> SealedIndex {
        LOADED.put(&self.0, index)
    }

    /// Whether it is loaded.
    pub(crate) fn is_loaded(&self) -> bool {
        self.0.loaded.load().is_some()
    }
}

/// Which places hold an index.
#[derive(Debug)]
struct IndexCache {
    bytes_max: usize,
    /// Of all indexes that anybody holds.
    bytes: AtomicUsize,
    round: Mutex<Round>,
}

#[derive(Debug)]
struct Round {
    /// The oldest in front.
    places: VecDeque<Weak<Place>>,
    /// How long it may become before those that are gone are taken out.
    len_max: usize,
}

impl IndexCache {
    const fn new(bytes_max: usize) -> IndexCache {
        IndexCache {
            bytes_max,
            bytes: AtomicUsize::new(0),
            round: Mutex::new(Round {
                places: VecDeque::new(),
                len_max: ROUND_MIN,
            }),
        }
    }

    fn put(&'static self, place: &Arc<Place>, index: SparseIndex) -> SealedIndex {
        let bytes = bytes_of(&index);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let loaded = Arc::new(Loaded {
            index,
            bytes,
            cache: self,
        });
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        let before = place.loaded.swap(Some(Arc::clone(&loaded)));
        if before.is_none() {
            round.push(Arc::downgrade(place));
        }
        self.make_room(&mut round, place);
        SealedIndex(loaded)
    }

    /// Lets go of indexes until the bound holds; never of the one that was just loaded.
    fn make_room(&self, round: &mut Round, newest: &Arc<Place>) {
        // twice around: once to take the marks of use away
        for _ in 0..2 * round.places.len() {
            if self.bytes.load(Ordering::Relaxed) <= self.bytes_max {
                return;
            }
            let Some(oldest) = round.places.pop_front() else {
                return;
            };
            let Some(place) = oldest.upgrade() else {
                continue;
            };
            if place.used.swap(false, Ordering::Relaxed) || Arc::ptr_eq(&place, newest) {
                round.places.push_back(oldest);
            } else {
                place.loaded.store(None);
            }
        }
    }
}

impl Round {
    fn push(&mut self, place: Weak<Place>) {
        if self.places.len() >= self.len_max {
            self.places.retain(|place| place.strong_count() > 0);
            self.len_max = (2 * self.places.len()).max(ROUND_MIN);
        }
        self.places.push_back(place);
    }
}

fn bytes_of(index: &SparseIndex) -> usize {
    size_of::<Loaded>()
        + index.entries().len() * size_of::<IndexEntry>()
        + index.controls().len() * size_of::<ControlPlace>()
        + index.aborted().len() * size_of::<AbortedTransaction>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{EntryIndex, Offset};

    const BOUND: usize = 10_000;

    fn cache() -> &'static IndexCache {
        Box::leak(Box::new(IndexCache::new(BOUND)))
    }

    /// An index of a little over 3,200 bytes.
    fn index() -> SparseIndex {
        let mut index = SparseIndex::default();
        for at in 0..100 {
            index.push(IndexEntry {
                offset: Offset(at),
                index: EntryIndex(1),
                position: 0,
                max_timestamp_before: 0,
            });
        }
        index
    }

    fn bytes(cache: &IndexCache) -> usize {
        cache.bytes.load(Ordering::Relaxed)
    }

    #[test]
    fn indexes_stay_within_the_bound_and_one_in_use_has_a_second_chance() {
        let cache = cache();
        let places: Vec<CachedIndex> = (0..20).map(|_| CachedIndex::default()).collect();
        for place in &places {
            drop(cache.put(&place.0, index()));
            assert!(place.is_loaded(), "the newest stays");
            assert!(bytes(cache) <= BOUND);
            drop(places[0].get().unwrap());
        }
        assert!(places[0].is_loaded(), "it was used all the time");
        let loaded = places.iter().filter(|place| place.is_loaded()).count();
        assert_eq!(loaded, 3);
    }

    #[test]
    fn reader_keeps_an_index_that_was_let_go_of_and_it_counts_until_then() {
        let cache = cache();
        let first = CachedIndex::default();
        let held = cache.put(&first.0, index());
        first.0.used.store(false, Ordering::Relaxed);
        let others: Vec<CachedIndex> = (0..5).map(|_| CachedIndex::default()).collect();
        for place in &others {
            drop(cache.put(&place.0, index()));
        }
        assert!(!first.is_loaded());
        assert_eq!(held.0.index.len(), 100);
        let with_held = bytes(cache);
        drop(held);
        assert!(bytes(cache) < with_held);
    }

    #[test]
    fn segments_that_are_gone_leave_nothing_behind() {
        let cache = cache();
        for _ in 0..1000 {
            let place = CachedIndex::default();
            drop(cache.put(&place.0, index()));
        }
        assert_eq!(bytes(cache), 0);
        assert!(cache.round.lock().unwrap().places.len() <= ROUND_MIN);
    }

    #[test]
    fn index_that_is_larger_than_the_bound_is_held_alone() {
        let cache = cache();
        let (small, large) = (CachedIndex::default(), CachedIndex::default());
        drop(cache.put(&small.0, index()));
        let mut long = SparseIndex::default();
        for _ in 0..5 {
            for entry in index().entries().iter() {
                long.push(*entry);
            }
        }
        drop(cache.put(&large.0, long));
        assert!(large.is_loaded() && !small.is_loaded());
    }
}
