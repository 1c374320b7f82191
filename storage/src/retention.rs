//! Which segments a log may lose: by age, by size, by its log start. Pure.
//!
//! ```text
//!   | removed | removed | kept ......... kept | active, never removed |
//!             '-- the new log start: an entry of the log, and only once that is committed files go
//! ```
//! - By age: while the greatest timestamp of the oldest segment lies more than `age_ms_max` back. A segment
//!   whose records have no timestamps (negative ones) counts as old as the one behind it.
//! - By size: while the log without its oldest segment still has `size_bytes_max`.
//! - Nothing at or past the high watermark, and only whole sealed segments from the oldest on.

use crate::log::SegmentInfo;
use crate::position::Offset;

/// `retention.ms` and `retention.bytes`; without either nothing is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The age in milliseconds above which records may go.
    pub age_ms_max: Option<i64>,
    /// The size in bytes that a log keeps.
    pub size_bytes_max: Option<u64>,
}

/// A log, as far as retention looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// Sealed segments, oldest first.
    pub sealed: &'a [SegmentInfo],
    /// The size of the active segment.
    pub active_bytes: u64,
    /// The first offset there is; segments below it wait for their removal.
    pub log_start: Offset,
    /// Nothing at or past it is removed.
    pub high_watermark: Offset,
}

impl Retention {
    /// The log start to move to; `None` if all stays.
    pub fn log_start(&self, log: Extent<'_>, now_ms: i64) -> Option<Offset> {
        let counts = |segment: &&SegmentInfo| segment.end_offset > log.log_start;
        let live: Vec<&SegmentInfo> = log.sealed.iter().filter(counts).collect();
        let old = self.old(&live, now_ms).max(self.beyond(&live, log));
        let removed = live.iter().take(old);
        let below = removed.take_while(|segment| segment.end_offset <= log.high_watermark);
        below.last().map(|segment| segment.end_offset)
    }

    /// Whether records this old may go.
    pub fn is_expired(&self, max_timestamp: i64, now_ms: i64) -> bool {
        let expired = |age_ms_max| now_ms.saturating_sub(max_timestamp) > age_ms_max;
        self.age_ms_max.is_some_and(expired)
    }

    /// How many of the oldest segments are too old.
    fn old(&self, live: &[&SegmentInfo], now_ms: i64) -> usize {
        let mut old = 0;
        for (count, segment) in (1..).zip(live) {
            match segment.max_timestamp.filter(|timestamp| *timestamp >= 0) {
                Some(timestamp) if self.is_expired(timestamp, now_ms) => old = count,
                Some(_) => break,
                None => {}
            }
        }
        old
    }

    /// How many of the oldest segments lie beyond the size.
    fn beyond(&self, live: &[&SegmentInfo], log: Extent<'_>) -> usize {
        let Some(kept) = self.size_bytes_max else {
            return 0;
        };
        let sealed: u64 = live.iter().map(|segment| segment.size_bytes).sum();
        let mut size = sealed.saturating_add(log.active_bytes);
        let goes = |segment: &&&SegmentInfo| {
            let goes = size.saturating_sub(segment.size_bytes) >= kept && size > kept;
            if goes {
                size -= segment.size_bytes;
            }
            goes
        };
        live.iter().take_while(goes).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::EntryIndex;
    use std::path::PathBuf;

    /// Segments of ten records and 100 bytes each, with these greatest timestamps.
    fn segments(times: &[i64]) -> Vec<SegmentInfo> {
        let segment = |(number, time): (i64, &i64)| SegmentInfo {
            base_offset: Offset(number * 10),
            end_offset: Offset(number * 10 + 10),
            base_index: EntryIndex(number.unsigned_abs() * 11 + 1),
            last_index: EntryIndex(number.unsigned_abs() * 11 + 11),
            size_bytes: 100,
            max_timestamp: Some(*time),
            compacted: false,
            path: PathBuf::new(),
        };
        (0..).zip(times).map(segment).collect()
    }

    fn moved(retention: Retention, times: &[i64], change: impl Fn(&mut Extent<'_>)) -> Option<i64> {
        let sealed = segments(times);
        let mut log = Extent {
            sealed: &sealed,
            active_bytes: 50,
            log_start: Offset(0),
            high_watermark: Offset(1000),
        };
        change(&mut log);
        retention.log_start(log, 10_000).map(|offset| offset.0)
    }

    fn by_age(age_ms: i64) -> Retention {
        Retention {
            age_ms_max: Some(age_ms),
            size_bytes_max: None,
        }
    }

    fn by_size(bytes: u64) -> Retention {
        Retention {
            age_ms_max: None,
            size_bytes_max: Some(bytes),
        }
    }

    #[test]
    fn segments_go_by_their_greatest_timestamp_oldest_first() {
        let times = [1_000, 3_000, 2_000, 9_000, 1_000];
        assert_eq!(moved(by_age(9_000), &times, |_| ()), None);
        assert_eq!(moved(by_age(8_999), &times, |_| ()), Some(10));
        assert_eq!(moved(by_age(7_500), &times, |_| ()), Some(10));
        assert_eq!(moved(by_age(6_999), &times, |_| ()), Some(30));
        assert_eq!(moved(by_age(5_000), &times, |_| ()), Some(30));
        assert_eq!(moved(by_age(0), &times, |_| ()), Some(50));
    }

    #[test]
    fn segments_without_timestamps_go_with_those_behind_them() {
        assert_eq!(moved(by_age(5_000), &[-1, -1, 1_000, -1], |_| ()), Some(30));
        assert_eq!(moved(by_age(5_000), &[-1, 9_000], |_| ()), None);
    }

    #[test]
    fn as_many_go_as_leave_the_size_that_is_kept() {
        let times = [1; 4];
        assert_eq!(moved(by_size(450), &times, |_| ()), None);
        assert_eq!(moved(by_size(351), &times, |_| ()), None);
        assert_eq!(moved(by_size(350), &times, |_| ()), Some(10));
        assert_eq!(moved(by_size(149), &times, |_| ()), Some(30));
        assert_eq!(moved(by_size(0), &times, |_| ()), Some(40));
        let started = |log: &mut Extent<'_>| log.log_start = Offset(20);
        assert_eq!(moved(by_size(250), &times, started), None);
        assert_eq!(moved(by_size(150), &times, started), Some(30));
    }

    #[test]
    fn nothing_goes_that_is_not_committed_or_not_limited() {
        let marked = |log: &mut Extent<'_>| log.high_watermark = Offset(15);
        assert_eq!(moved(by_age(0), &[1; 4], marked), Some(10));
        assert_eq!(moved(Retention::default(), &[1; 4], |_| ()), None);
        assert_eq!(moved(by_age(0), &[], |_| ()), None);
        assert_eq!(moved(by_age(i64::MAX), &[i64::MIN, 0], |_| ()), None);
    }
}
