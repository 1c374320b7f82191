//! Numbers that are the same in every run, and a count of panics, for tests that send what no client would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Marsaglia's xorshift.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Bytes as messages have them: mostly small numbers, now and then a wild one.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let byte = |_| match self.below(4) {
            0 => self.next().to_be_bytes()[0],
            1 => 0xff,
            _ => self.next().to_be_bytes()[0] & 3,
        };
        (0..length).map(byte).collect()
    }
}

/// Counts the panics of threads other than those that run tests: a test that fails counts for itself.
pub(crate) fn count_panics() -> Arc<AtomicUsize> {
    let panics = Arc::new(AtomicUsize::new(0));
    let before = std::panic::take_hook();
    let counter = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |info| {
        counter.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    panics
}
