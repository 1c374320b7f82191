//! Deadlines of one group, by what they are for (of a classic group unless said otherwise); the earliest is found without looking at the others.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::{Generation, MemberId};

/// What a deadline is for. A key has at most one deadline: setting it again moves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKey {
    /// The join phase ends.
    JoinPhase,
    /// A member that was told its id has not joined with it.
    Pending(MemberId),
    /// A member has been silent for its session timeout, or a newcomer has waited too long.
    Session(MemberId),
    /// A member of this generation has not asked for its assignment.
    SyncPhase(Generation),
}

/// A set of deadlines in ticks ([`super::Now::tick_ms`]).
#[derive(Debug)]
pub struct Timers<K = TimerKey> {
    by_key: HashMap<K, u64>,
    by_time: BTreeSet<(u64, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers {
            by_key: HashMap::new(),
            by_time: BTreeSet::new(),
        }
    }
}

impl<K: Clone + Ord + Hash> Timers<K> {
    /// Sets or moves a deadline.
    pub fn set(&mut self, key: K, at: u64) {
        self.cancel(&key);
        self.by_time.insert((at, key.clone()));
        self.by_key.insert(key, at);
    }

    /// Removes a deadline; nothing if there is none.
    pub fn cancel(&mut self, key: &K) {
        if let Some((key, at)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Whether a deadline is set.
    pub fn is_set(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one deadline that has passed, earliest first.
    pub fn pop_due(&mut self, tick_ms: u64) -> Option<K> {
        if self.next()? > tick_ms {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_deadline_fires_once_at_its_new_time() {
        let mut timers = Timers::default();
        timers.set(TimerKey::JoinPhase, 5);
        timers.set(TimerKey::SyncPhase(Generation(1)), 7);
        timers.set(TimerKey::JoinPhase, 9);
        assert_eq!(timers.next(), Some(7));
        assert_eq!(timers.pop_due(6), None);
        assert_eq!(timers.pop_due(9), Some(TimerKey::SyncPhase(Generation(1))));
        assert_eq!(timers.pop_due(9), Some(TimerKey::JoinPhase));
        assert_eq!(timers.pop_due(9), None);
        assert!(!timers.is_set(&TimerKey::JoinPhase));
    }
}
