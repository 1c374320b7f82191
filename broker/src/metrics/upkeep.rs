//! The names of what the upkeep of all logs counts, and of the disk's room. Read when they are asked for.

use std::fmt::Error;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::partition::Registry;
use crate::partition::space::Room;
use crate::partition::upkeep::{Count, Stats};

/// Name, what it is, whether it is of bytes, and where it is kept.
type Gauge = (&'static str, &'static str, bool, fn(&Registry) -> u64);

/// The same of a counter.
type Counter = (&'static str, &'static str, bool, fn(&Stats) -> &Count);

/// What goes up and down.
const GAUGES: &[Gauge] = &[
    (
        "disk_free",
        "Free space on the data directory's disk",
        true,
        |registry| registry.space().space().free_bytes,
    ),
    (
        "disk_size",
        "Size of the data directory's disk",
        true,
        |registry| registry.space().space().total_bytes,
    ),
    (
        "disk_reserve",
        "Free space below which clients may not append",
        true,
        |registry| registry.space().reserve_bytes(),
    ),
    (
        "appends_refused",
        "Whose appends are refused for want of space: 0 nobody's, 1 clients', 2 all",
        false,
        |registry| match registry.space().room() {
            Room::Ample => 0,
            Room::Short => 1,
            Room::Spent => 2,
        },
    ),
    (
        "compaction_log",
        "Size of the log that is being compacted, 0 when none is",
        true,
        |registry| registry.upkeep_stats().cleaning_bytes.get(),
    ),
    (
        "compaction_uncleanable_logs",
        "Logs that compaction leaves alone, since it cannot clean their segments",
        false,
        |registry| registry.upkeep_stats().uncleanable_logs.get(),
    ),
    (
        "scrub_position",
        "How far the scrub is in the segment it reads",
        true,
        |registry| registry.upkeep_stats().scrub_position.get(),
    ),
];

/// What only grows.
const COUNTERS: &[Counter] = &[
    (
        "retention_moves",
        "Log starts that retention moved",
        false,
        |stats| &stats.retentions,
    ),
    (
        "segments_removed",
        "Segments removed below log starts",
        false,
        |stats| &stats.segments_removed,
    ),
    (
        "removed",
        "Bytes of the segments removed below log starts",
        true,
        |stats| &stats.removed_bytes,
    ),
    (
        "segments_rolled_by_age",
        "Segments of idle logs that ended in time",
        false,
        |stats| &stats.rolls,
    ),
    (
        "compactions",
        "Compactions that came to their end",
        false,
        |stats| &stats.cleanings,
    ),
    (
        "compactions_failed",
        "Compactions that a failure ended",
        false,
        |stats| &stats.cleanings_failed,
    ),
    (
        "compaction_read",
        "Bytes read by compaction",
        true,
        |stats| &stats.cleaning_read_bytes,
    ),
    (
        "compaction_written",
        "Bytes written by compaction",
        true,
        |stats| &stats.cleaning_written_bytes,
    ),
    (
        "compaction_reclaimed",
        "Bytes by which compaction made logs smaller",
        true,
        |stats| &stats.cleaning_reclaimed_bytes,
    ),
    (
        "compaction_records_dropped",
        "Records that compaction dropped",
        false,
        |stats| &stats.cleaning_records_dropped,
    ),
    ("scrub_read", "Bytes read by the scrub", true, |stats| {
        &stats.scrub_read_bytes
    }),
    (
        "scrub_logs",
        "Logs that the scrub went through",
        false,
        |stats| &stats.scrub_passes,
    ),
    (
        "scrub_errors",
        "Damaged places that the scrub found",
        false,
        |stats| &stats.scrub_errors,
    ),
];

/// Gives them all.
#[derive(Debug)]
pub(super) struct Upkeep(Weak<Registry>);

impl Upkeep {
    pub(super) fn of(registry: &Arc<Registry>) -> Upkeep {
        Upkeep(Arc::downgrade(registry))
    }
}

impl Collector for Upkeep {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(registry) = self.0.upgrade() else {
            return Ok(());
        };
        let unit = |bytes: bool| bytes.then_some(&Unit::Bytes);
        for (name, help, bytes, value) in GAUGES {
            let value = i64::try_from(value(&registry)).unwrap_or(i64::MAX);
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, unit(*bytes), kind)?)?;
        }
        for (name, help, bytes, count) in COUNTERS {
            let counter = ConstCounter::new(count(registry.upkeep_stats()).get());
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, unit(*bytes), kind)?)?;
        }
        Ok(())
    }
}
