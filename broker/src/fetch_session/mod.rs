//! Fetch sessions (KIP-227): a client names its partitions once, and then only what changed.
//!
//! ```text
//! id 0, epoch 0      a full request; the answer may bring a session's id       (an old id is let go)
//! id n, epoch e >= 1 what changed since epoch e - 1; the answer leaves out what did not change
//! epoch -1           a full request without a session                         (an old id is let go)
//! ```
//! `session` keeps the partitions of one client, `cache` a bounded number of sessions; both decide and do
//! nothing else. What is here is one cache behind a lock, with randomness for its ids. The lock is held for
//! the walk over one session's partitions, never while anything is read or waited for.

mod cache;
mod session;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use headrace_protocol::ErrorCode;
use headrace_protocol::fetch::{FetchResponse, FetchTopic, ForgottenTopic};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

pub use cache::{Ask, Bounds, Cache, Moment, Ticket};
pub use session::{NameOf, Wanted};

/// The sessions of a broker.
#[derive(Debug)]
pub struct FetchSessions {
    cache: Mutex<Cache>,
    counts: Counts,
}

/// What the metrics show.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Sessions there are.
    pub sessions: Gauge,
    /// Partitions in all of them.
    pub partitions: Gauge,
    /// Sessions that had to go for others.
    pub evicted: Counter,
}

impl FetchSessions {
    /// No session yet, and at most `sessions_max` of them.
    pub fn new(sessions_max: usize, counts: Counts) -> FetchSessions {
        let cache = Mutex::new(Cache::new(Bounds::of(sessions_max)));
        FetchSessions { cache, counts }
    }

    /// Finds out which partitions a request is about.
    pub fn begin(
        &self,
        moment: Moment<'_>,
        ask: Ask,
        topics: Vec<FetchTopic>,
        forgotten: &[ForgottenTopic],
    ) -> Result<(Ticket, Vec<Wanted>), ErrorCode> {
        self.with(|cache| cache.begin(moment, ask, topics, forgotten))
    }

    /// Remembers what is answered, and leaves out of the answer what the client knows.
    pub fn finish(
        &self,
        moment: Moment<'_>,
        ticket: Ticket,
        wanted: &[Wanted],
        answer: &mut FetchResponse,
    ) {
        if ticket == Ticket::Sessionless {
            return;
        }
        let mut draw = rand::random::<i32>;
        self.with(|cache| cache.finish(moment, ticket, wanted, answer, &mut draw));
    }

    /// A panic elsewhere cannot leave the cache half changed: it is poisoned by nobody but itself.
    fn with<R>(&self, act: impl FnOnce(&mut Cache) -> R) -> R {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let evicted = cache.evicted();
        let done = act(&mut cache);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.counts.sessions.set(number(cache.len()));
        self.counts.partitions.set(number(cache.partitions()));
        if cache.evicted() > evicted {
            self.counts.evicted.inc_by(cache.evicted() - evicted);
        }
        done
    }
}
