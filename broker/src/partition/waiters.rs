//! Who waits for the high watermark of a partition to move: fetches that found too little.
//!
//! The order that loses no wake-up: park first, then look at the view, then wait. A [`Notify`] keeps one
//! permit, so a wake-up between looking and waiting is not lost. One fetch parks the same `Notify` at all
//! its partitions. The list is bounded by the fetches in flight: a [`Parked`] leaves it when dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The list of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    next_place: u64,
    parked: HashMap<u64, Arc<Notify>>,
}

/// A place in the list; dropping it gives the place up.
#[derive(Debug)]
pub struct Parked {
    waiters: Arc<Waiters>,
    place: u64,
}

impl Waiters {
    /// Enters `wake` into the list.
    pub fn park(self: &Arc<Self>, wake: &Arc<Notify>) -> Parked {
        let place = self.with(|list| {
            let place = list.next_place;
            list.next_place += 1;
            list.parked.insert(place, Arc::clone(wake));
            place
        });
        Parked {
            waiters: Arc::clone(self),
            place,
        }
    }

    /// Wakes everyone in the list; they stay in it until they leave.
    pub fn wake(&self) {
        self.with(|list| list.parked.values().for_each(|wake| wake.notify_one()));
    }

    /// A panic elsewhere cannot leave the map half changed, so a poisoned lock is taken all the same.
    fn with<R>(&self, act: impl FnOnce(&mut List) -> R) -> R {
        act(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.waiters.with(|list| list.parked.remove(&self.place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wake_up_before_the_wait_is_not_lost() {
        let waiters = Arc::new(Waiters::default());
        let wake = Arc::new(Notify::new());
        let _parked = waiters.park(&wake);
        waiters.wake();
        wake.notified().await;
    }

    #[test]
    fn a_dropped_place_is_given_up() {
        let waiters = Arc::new(Waiters::default());
        let wake = Arc::new(Notify::new());
        let first = waiters.park(&wake);
        let second = waiters.park(&wake);
        drop(first);
        assert_eq!(waiters.with(|list| list.parked.len()), 1);
        drop(second);
        assert_eq!(waiters.with(|list| list.parked.len()), 0);
    }
}
