//! What of a log is to be cleaned, when, and into which files.
//!
//! ```text
//!   | compacted, cleaned to here | sealed, dirty      | too young | … last stable, first index … | active
//!                                ^ first dirty offset              ^ nothing from here on
//! ```
//!
//! How far a log was cleaned is read from its files: each compacted one says up to which offset records
//! that supersede its own were taken into account. So there is no progress to keep elsewhere, and whatever
//! a crash leaves is gone on with.

use std::ops::Range;

use super::CleaningConfig;
use crate::planted::{Mistake, planted};
use crate::position::{EntryIndex, Offset};
use crate::segment::reader::Segment;

/// An entry of an index in its file: what `segment.index.bytes` is counted in.
const INDEX_ENTRY_BYTES: u64 = 32;

/// How far the log allows cleaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// All transactions are decided below.
    pub(crate) last_stable: Offset,
    /// The consensus layer still asks for entries from here on.
    pub(crate) first_index: EntryIndex,
}

/// What is to be cleaned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// So many of the oldest segments.
    pub(crate) segments: usize,
    /// The bytes that were not cleaned yet, of all those.
    pub(crate) dirty_ratio: f64,
    /// The first segment that was not cleaned.
    pub(crate) first_dirty: usize,
}

/// What may be cleaned of the sealed segments; `None` if nothing is dirty.
pub(crate) fn cleanable(
    segments: &[Segment],
    limits: Limits,
    lag_ms_min: i64,
    now_ms: i64,
) -> Option<Plan> {
    let dirty_from = first_dirty(segments);
    let young = now_ms.saturating_sub(lag_ms_min.max(0));
    let may = |segment: &&Segment| {
        let stable =
            segment.end_offset <= limits.last_stable || planted(Mistake::CompactedPastLastStable);
        let old =
            lag_ms_min <= 0 || segment.end_offset <= dirty_from || segment.max_timestamp <= young;
        stable && segment.last_index < limits.first_index && old
    };
    let count = segments.iter().take_while(may).count();
    let found = &segments[..count];
    let is_dirty = |segment: &&Segment| segment.end_offset > dirty_from;
    let first_dirty = found.iter().position(|segment| is_dirty(&segment))?;
    let dirty_bytes: u64 = found
        .iter()
        .filter(is_dirty)
        .map(|segment| segment.size_bytes)
        .sum();
    let bytes: u64 = found.iter().map(|segment| segment.size_bytes).sum();
    Some(Plan {
        segments: count,
        dirty_ratio: ratio(dirty_bytes, bytes),
        first_dirty,
    })
}

/// The part of `whole`, between 0 and 1; exact enough to compare with a setting.
fn ratio(part: u64, whole: u64) -> f64 {
    let thousandths = part.saturating_mul(100_000) / whole.max(1);
    f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 100_000.0
}

/// Every record below that another one below supersedes is gone; the first offset for which that does
/// not hold.
pub(super) fn first_dirty(segments: &[Segment]) -> Offset {
    let mut dirty_from = Offset(i64::MAX);
    for segment in segments {
        if segment.base_offset >= dirty_from {
            break;
        }
        let cleaned_to = match segment.compacted() {
            Some(header) => header.cleaned_to,
            None => segment.base_offset,
        };
        dirty_from = dirty_from.min(cleaned_to);
    }
    dirty_from
}

/// Which segments are written together into one file: as many as surely fit into the size of a segment
/// and of its index.
pub(super) fn groups(
    segments: &[Segment],
    config: &CleaningConfig,
    index_interval_bytes: u64,
) -> Vec<Range<usize>> {
    let index_entries_max = (config.index_bytes_max / INDEX_ENTRY_BYTES).max(1);
    let bytes_max = config
        .segment_bytes_max
        .min(index_entries_max.saturating_mul(index_interval_bytes.max(1)));
    let mut groups = Vec::new();
    let (mut from, mut bytes) = (0, 0_u64);
    for (at, segment) in segments.iter().enumerate() {
        bytes = bytes.saturating_add(segment.size_bytes);
        if at > from && bytes > bytes_max {
            groups.push(from..at);
            (from, bytes) = (at, segment.size_bytes);
        }
    }
    if from < segments.len() {
        groups.push(from..segments.len());
    }
    groups
}
