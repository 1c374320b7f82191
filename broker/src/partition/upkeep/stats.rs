//! What the upkeep did, in numbers that only grow; read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use headrace_storage::compaction::CleaningMetrics;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds to it.
    pub(in crate::partition) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Replaces it: for what is no sum but a state.
    pub(in crate::partition) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct Stats {
    /// Log starts that retention moved.
    pub retentions: Count,
    /// Segments removed below log starts.
    pub segments_removed: Count,
    /// Their bytes.
    pub removed_bytes: Count,
    /// Segments that ended by their age.
    pub rolls: Count,
    /// Cleanings that came to their end.
    pub cleanings: Count,
    /// Cleanings that a failure ended.
    pub cleanings_failed: Count,
    /// Logs that compaction leaves alone, since it cannot clean their segments; a state.
    pub uncleanable_logs: Count,
    /// Bytes read by compaction.
    pub cleaning_read_bytes: Count,
    /// Bytes written by compaction.
    pub cleaning_written_bytes: Count,
    /// Bytes by which compaction made logs smaller.
    pub cleaning_reclaimed_bytes: Count,
    /// Records that compaction dropped.
    pub cleaning_records_dropped: Count,
    /// Bytes of the log that is being compacted; 0 when none is.
    pub cleaning_bytes: Count,
    /// Bytes read by the scrub.
    pub scrub_read_bytes: Count,
    /// Logs that the scrub went through to their end.
    pub scrub_passes: Count,
    /// Damaged places that the scrub found.
    pub scrub_errors: Count,
    /// How far the scrub is in the segment it reads, in bytes.
    pub scrub_position: Count,
}

impl Stats {
    /// Adds what a cleaning did.
    pub(super) fn cleaned(&self, done: &CleaningMetrics) {
        self.cleaning_read_bytes.add(done.bytes_read);
        self.cleaning_written_bytes.add(done.bytes_written);
        let reclaimed = done.input_bytes.saturating_sub(done.output_bytes);
        self.cleaning_reclaimed_bytes.add(reclaimed);
        let dropped = [
            done.dropped_superseded,
            done.dropped_tombstones,
            done.dropped_aborted,
            done.dropped_markers,
            done.dropped_without_key,
            done.dropped_below_start,
        ];
        self.cleaning_records_dropped.add(dropped.iter().sum());
    }
}
