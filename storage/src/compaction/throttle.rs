//! The rate at which cleanings may read and write, and the clock they go by.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a cleaning asks of time. It runs on a worker thread, so it may wait.
pub trait CleaningClock: Sync {
    /// The wall clock, milliseconds since 1970: delete horizons are counted from it.
    fn now_ms(&self) -> i64;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits about this long.
    fn pause(&self, time: Duration);
}

/// A token bucket that all cleanings share: bytes read and written, per second.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: Option<f64>,
    bucket: Mutex<Bucket>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Negative while what was taken is still being paid for.
    bytes: f64,
    filled_at: Duration,
}

impl Throttle {
    /// At most this many bytes per second, after a burst of one second's worth; `None` for no limit.
    pub fn new(bytes_per_second: Option<u32>) -> Throttle {
        Throttle {
            bytes_per_second: bytes_per_second.map(|rate| f64::from(rate.max(1))),
            bucket: Mutex::new(Bucket::default()),
        }
    }

    /// Takes `bytes` at the time `now`, and says how long to wait before going on.
    pub fn take(&self, bytes: u32, now: Duration) -> Duration {
        let Some(rate) = self.bytes_per_second else {
            return Duration::ZERO;
        };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_sub(bucket.filled_at).as_secs_f64();
        bucket.filled_at = bucket.filled_at.max(now);
        bucket.bytes = (bucket.bytes + passed * rate).min(rate) - f64::from(bytes);
        let owed = (-bucket.bytes / rate).max(0.0);
        Duration::try_from_secs_f64(owed).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_holds_after_the_burst() {
        let throttle = Throttle::new(Some(1000));
        let second = Duration::from_secs;
        assert_eq!(throttle.take(1000, second(1)), Duration::ZERO);
        assert_eq!(throttle.take(500, second(1)), Duration::from_millis(500));
        assert_eq!(throttle.take(500, second(1)), second(1));
        assert_eq!(throttle.take(500, second(2)), Duration::from_millis(500));
        assert_eq!(throttle.take(1000, second(100)), Duration::ZERO);
        assert_eq!(throttle.take(1, second(100)), Duration::from_millis(1));
    }

    #[test]
    fn no_rate_means_no_wait() {
        assert_eq!(
            Throttle::new(None).take(u32::MAX, Duration::ZERO),
            Duration::ZERO
        );
    }
}
