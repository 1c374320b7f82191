//! A bounded number of fetch sessions: who gets one, who loses it.
//!
//! A session is evicted for a newcomer if it was not used for two minutes, or if it is older than that and
//! worth less: a client's before a follower's, fewer partitions before more. (A follower takes the place of
//! a client's session whatever its age.) Whoever gets none is answered with id 0 and goes on without: full
//! requests are always served.

use std::collections::HashMap;
use std::fmt;

use headrace_protocol::ErrorCode;
use headrace_protocol::fetch::{FetchRequest, FetchResponse, FetchTopic, ForgottenTopic};

use super::session::{NameOf, Session, Wanted};

/// Partitions in all sessions: about 200 bytes each, so 40 MiB. Kafka bounds the sessions alone.
const PARTITIONS_MAX: usize = 200_000;

/// A session that was not used for so long may be evicted, one that is younger may not be by its equals
/// (Kafka's `min.incremental.fetch.session.eviction.ms`).
const EVICTION_MS: i64 = 120_000;

/// Draws for an id that nobody has; of 2^31 ids at most some thousands are taken.
const DRAWS_MAX: usize = 32;

/// The epoch of a request that wants a session.
const FIRST_EPOCH: i32 = 0;
/// The epoch of a request that wants none.
const FINAL_EPOCH: i32 = -1;
/// The id of no session.
const NO_SESSION: i32 = 0;
/// The first version of Fetch that names topics by id.
const IDS_FROM_VERSION: i16 = 13;

/// How much a cache may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Sessions at a time.
    pub sessions: usize,
    /// Partitions in all of them.
    pub partitions: usize,
}

impl Bounds {
    /// So many sessions, and the usual number of partitions.
    pub fn of(sessions: usize) -> Bounds {
        Bounds {
            sessions,
            partitions: PARTITIONS_MAX,
        }
    }
}

/// The world when a request is taken, or answered.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The clock.
    pub now_ms: i64,
    /// The topics.
    pub name_of: NameOf<'a>,
}

impl fmt::Debug for Moment<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Moment({} ms)", self.now_ms)
    }
}

/// What a request says of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The session, 0 for none.
    pub session_id: i32,
    /// How often the session was used, 0 to begin one, -1 to go without.
    pub epoch: i32,
    /// Whether topics come by id.
    pub by_id: bool,
    /// Whether a follower asks.
    pub privileged: bool,
}

impl Ask {
    /// As a request of this version says it.
    pub fn of(request: &FetchRequest, version: i16) -> Ask {
        Ask {
            session_id: request.session_id,
            epoch: request.session_epoch,
            by_id: version >= IDS_FROM_VERSION,
            privileged: request.replica_id >= 0 || request.replica_state.replica_id >= 0,
        }
    }
}

/// What is to be done with the session when the request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// There is none.
    Sessionless,
    /// It is to be made.
    Create(Ask),
    /// It goes on; the epoch is the one that its next request must have.
    Next {
        /// Whose request this is.
        session_id: i32,
        /// What the session's epoch must still be.
        epoch: i32,
    },
}

#[derive(Debug)]
struct Slot {
    session: Session,
    /// The epoch of its next request.
    epoch: i32,
    by_id: bool,
    privileged: bool,
    created_ms: i64,
    used_ms: i64,
}

impl Slot {
    /// Less is evicted first.
    fn worth(&self) -> (bool, usize) {
        (self.privileged, self.session.len())
    }

    fn is_stale(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.used_ms) > EVICTION_MS
    }

    /// Whether it must make room for a newcomer of this worth.
    fn yields_to(&self, worth: (bool, usize), now_ms: i64) -> bool {
        let grown = now_ms.saturating_sub(self.created_ms) > EVICTION_MS;
        let outranked = worth.0 && !self.privileged;
        (grown || outranked) && self.worth() < worth
    }
}

/// The sessions.
#[derive(Debug)]
pub struct Cache {
    bounds: Bounds,
    slots: HashMap<i32, Slot>,
    partitions: usize,
    evicted: u64,
}

impl Cache {
    /// An empty cache.
    pub fn new(bounds: Bounds) -> Cache {
        Cache {
            bounds,
            slots: HashMap::new(),
            partitions: 0,
            evicted: 0,
        }
    }

    /// Sessions in it.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Partitions in all its sessions.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Sessions that had to go for others so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Which partitions a request is about, and what to do once they are read.
    pub fn begin(
        &mut self,
        moment: Moment<'_>,
        ask: Ask,
        topics: Vec<FetchTopic>,
        forgotten: &[ForgottenTopic],
    ) -> Result<(Ticket, Vec<Wanted>), ErrorCode> {
        if ask.epoch == FIRST_EPOCH || ask.epoch == FINAL_EPOCH {
            self.remove(ask.session_id);
            let ticket = if ask.epoch == FIRST_EPOCH {
                Ticket::Create(ask)
            } else {
                Ticket::Sessionless
            };
            return Ok((ticket, topics.into_iter().map(Wanted::from).collect()));
        }
        self.go_on(moment, ask, topics, forgotten)
    }

    fn go_on(
        &mut self,
        moment: Moment<'_>,
        ask: Ask,
        topics: Vec<FetchTopic>,
        forgotten: &[ForgottenTopic],
    ) -> Result<(Ticket, Vec<Wanted>), ErrorCode> {
        let Moment { now_ms, name_of } = moment;
        let session_id = ask.session_id;
        let slot = self.slots.get_mut(&session_id);
        let slot = slot.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if slot.epoch != ask.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if slot.by_id != ask.by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        let before = slot.session.len();
        slot.session.update(topics, forgotten, name_of);
        slot.used_ms = now_ms;
        slot.epoch = next(ask.epoch);
        let epoch = slot.epoch;
        let (empty, worth) = (slot.session.is_empty(), slot.worth());
        self.partitions = self.partitions - before + worth.1;
        if empty {
            // nothing is left to follow
            self.remove(session_id);
            return Ok((Ticket::Sessionless, Vec::new()));
        }
        while self.partitions > self.bounds.partitions {
            if !self.evict_for(worth, Some(session_id), now_ms) {
                // as if it had been evicted: the client begins anew, and is refused a session then
                self.remove(session_id);
                return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
            }
        }
        let wanted = self.slots[&session_id].session.wanted();
        Ok((Ticket::Next { session_id, epoch }, wanted))
    }

    /// Remembers what is answered; `draw` gives random numbers for the id of a new session.
    pub fn finish(
        &mut self,
        moment: Moment<'_>,
        ticket: Ticket,
        wanted: &[Wanted],
        answer: &mut FetchResponse,
        draw: &mut dyn FnMut() -> i32,
    ) {
        let Moment { now_ms, name_of } = moment;
        match ticket {
            Ticket::Sessionless => {}
            Ticket::Create(ask) => {
                let partitions = wanted
                    .iter()
                    .map(|topic| topic.topic.partitions.len())
                    .sum();
                if let Some(id) = self.place(now_ms, ask, partitions, draw) {
                    let mut session = Session::default();
                    session.fill(wanted, &answer.responses, name_of);
                    self.insert(now_ms, id, ask, session);
                    answer.session_id = id;
                }
            }
            Ticket::Next { session_id, epoch } => match self.slots.get_mut(&session_id) {
                Some(slot) if slot.epoch == epoch => {
                    slot.session.answer(&mut answer.responses);
                    answer.session_id = session_id;
                }
                // another request went on with the session, or let it go, while this one waited
                _ => {
                    *answer = FetchResponse {
                        error_code: ErrorCode::INVALID_FETCH_SESSION_EPOCH,
                        ..FetchResponse::default()
                    };
                }
            },
        }
    }

    /// Makes room for a new session; its id, if it can be had.
    fn place(
        &mut self,
        now_ms: i64,
        ask: Ask,
        partitions: usize,
        draw: &mut dyn FnMut() -> i32,
    ) -> Option<i32> {
        if partitions == 0 || partitions > self.bounds.partitions || self.bounds.sessions == 0 {
            return None;
        }
        while self.slots.len() >= self.bounds.sessions
            || self.partitions + partitions > self.bounds.partitions
        {
            if !self.evict_for((ask.privileged, partitions), None, now_ms) {
                return None;
            }
        }
        let mut ids = (0..DRAWS_MAX).map(|_| draw() & i32::MAX);
        ids.find(|id| *id != NO_SESSION && !self.slots.contains_key(id))
    }

    fn insert(&mut self, now_ms: i64, id: i32, ask: Ask, session: Session) {
        self.partitions += session.len();
        let slot = Slot {
            session,
            epoch: next(FIRST_EPOCH),
            by_id: ask.by_id,
            privileged: ask.privileged,
            created_ms: now_ms,
            used_ms: now_ms,
        };
        self.slots.insert(id, slot);
    }

    /// Evicts one session for a newcomer, or for one that grows; `false` if none must yield.
    fn evict_for(&mut self, worth: (bool, usize), but: Option<i32>, now_ms: i64) -> bool {
        let others = || self.slots.iter().filter(|(id, _)| Some(**id) != but);
        let stale = others().filter(|(_, slot)| slot.is_stale(now_ms));
        let stalest = stale.min_by_key(|(id, slot)| (slot.used_ms, **id));
        let least = || {
            let yielding = others().filter(|(_, slot)| slot.yields_to(worth, now_ms));
            yielding.min_by_key(|(id, slot)| (slot.worth(), **id))
        };
        let Some(evicted) = stalest.or_else(least).map(|(id, _)| *id) else {
            return false;
        };
        self.remove(evicted);
        self.evicted += 1;
        true
    }

    #[cfg(test)]
    pub(super) fn set_epoch(&mut self, session_id: i32, epoch: i32) {
        self.slots.get_mut(&session_id).expect("a session").epoch = epoch;
    }

    fn remove(&mut self, session_id: i32) {
        if let Some(slot) = self.slots.remove(&session_id) {
            self.partitions -= slot.session.len();
        }
    }
}

/// The epoch after `epoch`: 1 follows the greatest one.
fn next(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}
