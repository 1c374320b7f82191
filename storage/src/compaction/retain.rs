//! What stays and what goes: the rules, and nothing else (no bytes, no files).
//!
//! - A record stays if no other one of its key in the map's range is newer, or if it lies past that range.
//! - A tombstone that would stay goes once its delete horizon has passed. The first cleaning that sees it
//!   sets the horizon, `delete.retention.ms` ahead, on its whole batch (KIP-534): a reader who has seen the
//!   value has that long to come by the tombstone. Behind a batch that cannot be decoded none goes, for what it
//!   deleted may hide there (`rewrite`, which knows of such batches, sees to it).
//! - Records of aborted transactions go; a marker stays while any batch of its transaction is there, and
//!   then up to a horizon of its own.
//! - Records below the log start go: nobody reads them. Records without a key go: they have no newest.
//! - Of the last batch of each producer, and of the last batch of all that is cleaned, at least the header
//!   stays: the one holds a sequence number, the other lets readers come to the end.
//! - Nothing at or past `upto` is touched, not even its horizon.

use super::key_map::KeyMap;
use super::survey::LastBatches;
use super::transactions::{Aborted, OpenTransactions};
use crate::planted::{Mistake, planted};
use crate::position::Offset;
use crate::record::BatchHeader;

/// What becomes of a batch of which records may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchFate {
    /// It goes over byte for byte.
    Copy,
    /// Its records are asked for one by one.
    ByRecord,
    /// None of its records stays: the transaction was aborted.
    Aborted,
    /// Its marker stays, and gets a delete horizon.
    SetHorizon,
    /// Its marker goes.
    MarkerGone,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordFate {
    /// It stays.
    Keep,
    /// It stays, and is a tombstone whose time runs from now.
    KeepTombstone,
    /// A newer one of its key exists.
    Superseded,
    /// A tombstone past its horizon.
    Expired,
    /// It has no key.
    WithoutKey,
    /// It lies below the log start.
    BelowStart,
}

/// The rules, with what one pass knows.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) map: &'a KeyMap,
    pub(super) upto: Offset,
    pub(super) log_start: Offset,
    /// The end of all that is cleaned.
    pub(super) range_end: Offset,
    pub(super) now_ms: i64,
    pub(super) last_batches: &'a LastBatches,
    pub(super) aborted: &'a Aborted,
}

impl Rules<'_> {
    /// Judges a batch; `open` follows all batches in order.
    pub(super) fn batch(&self, header: &BatchHeader, open: &mut OpenTransactions) -> BatchFate {
        let fate = if header.is_control() {
            let has_data = open.marker(header) && !planted(Mistake::MarkerDropped);
            self.marker(header, has_data)
        } else {
            open.data(header);
            if self.aborted.covers(header) {
                BatchFate::Aborted
            } else {
                BatchFate::ByRecord
            }
        };
        if header.last_offset() >= self.upto && fate != BatchFate::ByRecord {
            return BatchFate::Copy;
        }
        if header.base_offset >= self.upto {
            return BatchFate::Copy;
        }
        fate
    }

    fn marker(&self, header: &BatchHeader, has_data: bool) -> BatchFate {
        if header.record_count == 0 {
            // only the header was kept, for its producer: `keeps_header` says whether it is still needed
            BatchFate::MarkerGone
        } else if has_data {
            BatchFate::Copy
        } else if !header.has_delete_horizon() && !planted(Mistake::MarkerDropped) {
            BatchFate::SetHorizon
        } else if self.now_ms < header.base_timestamp {
            BatchFate::Copy
        } else {
            BatchFate::MarkerGone
        }
    }

    /// Judges a record of a batch whose fate is [`BatchFate::ByRecord`].
    pub(super) fn record(
        &self,
        header: &BatchHeader,
        offset: Offset,
        key: Option<&[u8]>,
        has_value: bool,
    ) -> RecordFate {
        if offset < self.log_start {
            return RecordFate::BelowStart;
        }
        if offset >= self.upto {
            return RecordFate::Keep;
        }
        let Some(key) = key else {
            return RecordFate::WithoutKey;
        };
        if self.map.newest(key).is_some_and(|newest| newest > offset) {
            return RecordFate::Superseded;
        }
        if has_value {
            return RecordFate::Keep;
        }
        let expired = header.has_delete_horizon() && header.base_timestamp <= self.now_ms;
        if expired || planted(Mistake::TombstoneDroppedEarly) {
            RecordFate::Expired
        } else {
            RecordFate::KeepTombstone
        }
    }

    /// Whether a batch that keeps a tombstone is to get a horizon now: once, and only when no record of
    /// it is left for a later pass.
    pub(super) fn sets_horizon(&self, header: &BatchHeader) -> bool {
        !header.has_delete_horizon() && header.last_offset() < self.upto
    }

    /// Whether the header stays although no record does.
    pub(super) fn keeps_header(&self, header: &BatchHeader) -> bool {
        let of_producer =
            self.last_batches.is_last(header) && !planted(Mistake::ProducerStateDropped);
        of_producer || header.last_offset().plus(1) == self.range_end
    }
}
