//! What a cleaning did, for the metrics of whoever runs it.

use std::time::Duration;

use super::retain::RecordFate;

/// Counts of one cleaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleaningMetrics {
    /// Passes over the log: more than one where the keys did not fit into the map.
    pub passes: u32,
    /// Files written.
    pub groups: u32,
    /// Groups that an earlier, interrupted cleaning had done already.
    pub groups_skipped: u32,
    /// Bytes read, each as often as it was.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// The bytes of the segments replaced.
    pub input_bytes: u64,
    /// The bytes of those that replaced them.
    pub output_bytes: u64,
    /// Records looked at while rewriting.
    pub records_read: u64,
    /// Records that stayed.
    pub records_kept: u64,
    /// Records with a newer one of their key.
    pub dropped_superseded: u64,
    /// Tombstones past their delete horizon.
    pub dropped_tombstones: u64,
    /// Records of aborted transactions.
    pub dropped_aborted: u64,
    /// Transaction markers without data, past their delete horizon.
    pub dropped_markers: u64,
    /// Records without a key.
    pub dropped_without_key: u64,
    /// Records below the log start.
    pub dropped_below_start: u64,
    /// Batches whose records could not be decoded; they stay as they are.
    pub batches_not_decoded: u64,
    /// The most keys that a map held.
    pub keys: usize,
    /// The memory of the largest map.
    pub key_map_bytes: usize,
    /// Time from beginning to end, waits for the throttle included.
    pub time: Duration,
    /// Time waited for the throttle.
    pub throttled: Duration,
}

impl CleaningMetrics {
    pub(super) fn count(&mut self, fate: RecordFate) {
        *match fate {
            RecordFate::Keep | RecordFate::KeepTombstone => &mut self.records_kept,
            RecordFate::Superseded => &mut self.dropped_superseded,
            RecordFate::Expired => &mut self.dropped_tombstones,
            RecordFate::WithoutKey => &mut self.dropped_without_key,
            RecordFate::BelowStart => &mut self.dropped_below_start,
        } += 1;
    }
}
