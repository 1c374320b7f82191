//! One budget for the memory that clients have this broker hold: requests, from the socket until nobody
//! needs their bytes any more (a batch until it is written), and answers until the socket has taken them.
//!
//! ```text
//!  0 ------------ 50 % --------------- 80 % ------------- 95 % --- 100 %
//!   fetches read   | they give no       | no request       | large answers are
//!   records        | records: clients   | is read          | refused by closing
//!                  | ask again          |                  | the connection
//! ```
//! So clients that take no answers keep nobody from being heard, and records that are sent from a mapped file
//! (most are) count for nothing. Requests wait in the order in which they came, so none starves; a large one
//! holds up the others until there is room for it. What is counted is given back by being dropped, whoever
//! holds it last.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Up to this part of the budget fetches read records into memory: what is read may be held for as long as
/// a client takes none of it, and requests need room then too.
const RECORDS_PERCENT: usize = 50;
/// Up to this part requests are read.
const READ_PERCENT: usize = 80;
/// Up to this part there are large answers.
const ANSWER_PERCENT: usize = 95;

/// An answer of this size is always given: refusing it would not save what the connection itself costs.
const SMALL_ANSWER_BYTES: usize = 4 << 10;

/// One client may hold this part of what requests may: four that stand still leave none to the others, so
/// they are closed in time (`net::connection`).
const CONNECTION_PART: usize = 4;

/// A connection's own share is counted in these, to fit 32 bits.
const UNIT_BYTES: usize = 1024;

/// The budget; cheap to clone.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    records_max: usize,
    read_max: usize,
    answer_max: usize,
    state: Mutex<State>,
    held: Gauge,
}

#[derive(Default)]
struct State {
    held: usize,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    bytes: usize,
    admit: oneshot::Sender<Share>,
}

/// A part of the budget, given back when it is dropped.
pub struct Share {
    memory: Memory,
    bytes: usize,
    /// The part of its connection, given back with it.
    own: Option<OwnedSemaphorePermit>,
}

/// Bytes with their share of the budget.
struct Counted<B> {
    bytes: B,
    _share: Share,
}

/// What one connection may hold of the budget.
#[derive(Debug)]
pub struct Lane {
    memory: Memory,
    own: Arc<Semaphore>,
    own_units: usize,
}

impl Memory {
    /// A budget of so many bytes; `held` shows how many of them are in use.
    pub fn new(bytes_max: usize, held: Gauge) -> Memory {
        let part = |percent| (bytes_max / 100).saturating_mul(percent).max(1);
        Memory(Arc::new(Inner {
            records_max: part(RECORDS_PERCENT),
            read_max: part(READ_PERCENT),
            answer_max: part(ANSWER_PERCENT),
            state: Mutex::default(),
            held,
        }))
    }

    /// Counts bytes that are there already.
    pub fn hold(&self, bytes: usize) -> Share {
        let mut state = self.state();
        state.held += bytes;
        self.show(&state);
        drop(state);
        self.share(bytes)
    }

    /// Counts an answer; `None` if it is a large one and there is no room.
    pub fn hold_answer(&self, bytes: usize) -> Option<Share> {
        let refused = bytes > SMALL_ANSWER_BYTES && self.state().held + bytes > self.0.answer_max;
        (!refused).then(|| self.hold(bytes))
    }

    /// How many bytes of records may be read now.
    pub fn room_bytes(&self) -> usize {
        self.0.records_max.saturating_sub(self.state().held)
    }

    /// What a new connection may hold.
    pub fn lane(&self) -> Lane {
        let own_units = self.0.read_max / CONNECTION_PART / UNIT_BYTES;
        let own_units = own_units.clamp(1, u32::MAX as usize >> 3);
        Lane {
            memory: self.clone(),
            own: Arc::new(Semaphore::new(own_units)),
            own_units,
        }
    }

    /// Waits for room for a request; one above all that requests may have waits until it is alone.
    async fn admit(&self, bytes: usize) -> Share {
        let bytes = bytes.min(self.0.read_max);
        let admitted = {
            let mut state = self.state();
            if state.waiting.is_empty() && self.fits(&state, bytes) {
                state.held += bytes;
                self.show(&state);
                None
            } else {
                let (admit, admitted) = oneshot::channel();
                state.waiting.push_back(Waiting { bytes, admit });
                Some(admitted)
            }
        };
        match admitted {
            None => self.share(bytes),
            Some(admitted) => admitted.await.expect("waiters are admitted, never dropped"),
        }
    }

    fn fits(&self, state: &State, bytes: usize) -> bool {
        state.held == 0 || state.held + bytes <= self.0.read_max
    }

    fn give_back(&self, bytes: usize) {
        let mut admitted = Vec::new();
        let mut state = self.state();
        state.held -= bytes;
        while let Some(first) = state.waiting.front() {
            // whoever gave up waiting takes nothing
            let gone = first.admit.is_closed();
            if !gone && !self.fits(&state, first.bytes) {
                break;
            }
            let Some(first) = state.waiting.pop_front() else {
                break;
            };
            if !gone {
                state.held += first.bytes;
                admitted.push(first);
            }
        }
        self.show(&state);
        drop(state);
        for Waiting { bytes, admit } in admitted {
            // not taken: dropped, and so given back
            drop(admit.send(self.share(bytes)));
        }
    }

    fn share(&self, bytes: usize) -> Share {
        Share {
            memory: self.clone(),
            bytes,
            own: None,
        }
    }

    fn show(&self, state: &State) {
        self.0
            .held
            .set(i64::try_from(state.held).unwrap_or(i64::MAX));
    }

    /// A panic elsewhere cannot leave the numbers half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Waits until this connection, and then the broker, has room for a request of so many bytes.
    pub async fn admit(&self, bytes: usize) -> Share {
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, self.own_units);
        let units = u32::try_from(units).expect("clamped to 32 bits");
        let own = Arc::clone(&self.own).acquire_many_owned(units).await;
        let share = self.memory.admit(bytes).await;
        share.of_connection(own.expect("the semaphore is never closed"))
    }
}

impl Share {
    fn of_connection(mut self, own: OwnedSemaphorePermit) -> Share {
        self.own = Some(own);
        self
    }

    /// The bytes with this share, which is given back when the last slice of them goes.
    pub fn count<B: AsRef<[u8]> + Send + 'static>(self, bytes: B) -> Bytes {
        Bytes::from_owner(Counted {
            bytes,
            _share: self,
        })
    }
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Counted<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(self.own.take());
        self.memory.give_back(self.bytes);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, read_max) = (self.state().held, self.0.read_max);
        write!(to, "Memory({held} of {read_max} bytes)")
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Share({} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn memory(bytes: usize) -> Memory {
        Memory::new(bytes, Gauge::default())
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn records_are_read_up_to_50_percent_requests_up_to_80_and_large_answers_up_to_95() {
        let memory = memory(100_000);
        let records = memory.hold(49_000);
        assert_eq!(memory.room_bytes(), 1_000);
        let first = memory.hold(30_000);
        assert_eq!(memory.room_bytes(), 0);
        let mut small = Box::pin(memory.admit(1_000));
        let Poll::Ready(second) = poll(small.as_mut()) else {
            panic!("80 % is room");
        };
        let mut waits = Box::pin(memory.admit(1));
        assert!(poll(waits.as_mut()).is_pending());
        assert!(memory.hold_answer(15_001).is_none());
        let answer = memory.hold_answer(15_000);
        assert!(answer.is_some() && memory.hold_answer(SMALL_ANSWER_BYTES).is_some());
        drop((records, first, answer));
        assert!(poll(waits.as_mut()).is_ready());
        drop(second);
    }

    #[test]
    fn requests_wait_in_their_order() {
        let memory = memory(100_000);
        let held = memory.hold(70_000);
        let (mut large, mut small) = (
            Box::pin(memory.admit(50_000)),
            Box::pin(memory.admit(1_000)),
        );
        assert!(poll(large.as_mut()).is_pending());
        assert!(poll(small.as_mut()).is_pending(), "behind the large one");
        drop(held);
        assert!(poll(small.as_mut()).is_ready());
        assert!(poll(large.as_mut()).is_ready());
    }

    #[test]
    fn who_gave_up_waiting_takes_nothing() {
        let memory = memory(100_000);
        let held = memory.hold(80_000);
        for round in 0..3 {
            let mut gone = Box::pin(memory.admit(60_000));
            assert!(poll(gone.as_mut()).is_pending(), "round {round}");
        }
        let mut left = Box::pin(memory.admit(80_000));
        assert!(poll(left.as_mut()).is_pending());
        drop(held);
        let Poll::Ready(share) = poll(left.as_mut()) else {
            panic!("nobody else waits");
        };
        drop(share);
        assert_eq!(memory.state().held, 0);
    }

    #[test]
    fn one_that_was_admitted_and_never_looked_gives_back() {
        let memory = memory(100_000);
        let held = memory.hold(80_000);
        let mut admitted = Box::pin(memory.admit(1_000));
        assert!(poll(admitted.as_mut()).is_pending());
        drop(held);
        assert_eq!(memory.state().held, 1_000);
        drop(admitted);
        assert_eq!(memory.state().held, 0);
    }

    #[test]
    fn a_request_above_the_budget_is_served_alone() {
        let memory = memory(1_000);
        let held = memory.hold(1);
        let mut large = Box::pin(memory.admit(1_000_000));
        assert!(poll(large.as_mut()).is_pending());
        drop(held);
        assert!(poll(large.as_mut()).is_ready());
    }

    #[test]
    fn one_connection_holds_a_quarter_at_most() {
        let memory = memory(1 << 20);
        let (greedy, other) = (memory.lane(), memory.lane());
        let quarter = (1 << 20) * 80 / 100 / 4;
        let mut first = Box::pin(greedy.admit(quarter));
        let Poll::Ready(first) = poll(first.as_mut()) else {
            panic!("nothing is held yet");
        };
        let mut more = Box::pin(greedy.admit(1));
        assert!(poll(more.as_mut()).is_pending());
        assert!(poll(Box::pin(other.admit(quarter)).as_mut()).is_ready());
        drop(first);
        assert!(poll(more.as_mut()).is_ready());
    }

    #[test]
    fn bytes_count_until_their_last_slice_goes() {
        let memory = memory(100_000);
        let bytes = memory.hold(5).count(b"bytes".to_vec());
        let slice = bytes.slice(1..3);
        drop(bytes);
        assert_eq!((memory.state().held, &slice[..]), (5, &b"yt"[..]));
        drop(slice);
        assert_eq!(memory.state().held, 0);
    }
}
