//! Names and help of every metric of the views; nothing else names one.
//!
//! | metric | labels | meaning |
//! |---|---|---|
//! | `headrace_view_applied_total` | view | operations applied |
//! | `headrace_view_skipped_total` | view | operations that had been applied before |
//! | `headrace_view_fenced_total` | view | calls refused because a newer writer owns the view |
//! | `headrace_view_lost_total` | view | times a target had lost writes and got them again |
//! | `headrace_view_lag_records` | view, partition | records of the log not yet taken in |
//! | `headrace_view_up` | view, partition | 1 while it follows the log, else 0: the one to alert on |
//! | `headrace_view_apply_seconds` | view | duration of a call to the target |
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::sink::{Applied, Partition};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct View {
    view: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ViewPartition {
    view: String,
    partition: i32,
}

/// The metrics of all views.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    applied: Family<View, Counter>,
    skipped: Family<View, Counter>,
    fenced: Family<View, Counter>,
    lost: Family<View, Counter>,
    lag: Family<ViewPartition, Gauge>,
    up: Family<ViewPartition, Gauge>,
    apply_seconds: Family<View, Histogram>,
}

impl Metrics {
    /// Registers everything.
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        // 0.1 ms to 6.5 s
        let histogram = || Histogram::new(exponential_buckets(0.0001, 2.0, 17));
        let metrics = Metrics {
            applied: Family::default(),
            skipped: Family::default(),
            fenced: Family::default(),
            lost: Family::default(),
            lag: Family::default(),
            up: Family::default(),
            apply_seconds: Family::new_with_constructor(histogram),
        };
        let all = metrics.clone();
        registry.register("headrace_view_applied", "Operations applied", all.applied);
        registry.register(
            "headrace_view_skipped",
            "Operations that had been applied before",
            all.skipped,
        );
        registry.register(
            "headrace_view_fenced",
            "Calls refused because a newer writer owns the view",
            all.fenced,
        );
        registry.register(
            "headrace_view_lost",
            "Times a target had lost writes and got them again",
            all.lost,
        );
        registry.register(
            "headrace_view_lag_records",
            "Records of the log not yet taken in",
            all.lag,
        );
        registry.register(
            "headrace_view_up",
            "1 while the view follows the log",
            all.up,
        );
        registry.register(
            "headrace_view_apply_seconds",
            "Duration of a call to the target",
            all.apply_seconds,
        );
        metrics
    }

    /// Those of one view.
    pub(crate) fn of(&self, view: &str) -> ViewMetrics {
        let label = View {
            view: view.to_owned(),
        };
        ViewMetrics {
            applied: self.applied.get_or_create_owned(&label),
            skipped: self.skipped.get_or_create_owned(&label),
            fenced: self.fenced.get_or_create_owned(&label),
            lost: self.lost.get_or_create_owned(&label),
            apply_seconds: self.apply_seconds.get_or_create_owned(&label),
            all: self.clone(),
            label,
        }
    }
}

/// The metrics of one view.
#[derive(Debug)]
pub(crate) struct ViewMetrics {
    label: View,
    all: Metrics,
    applied: Counter,
    skipped: Counter,
    fenced: Counter,
    lost: Counter,
    apply_seconds: Histogram,
}

impl ViewMetrics {
    fn partition(&self, partition: Partition) -> ViewPartition {
        ViewPartition {
            view: self.label.view.clone(),
            partition: partition.0,
        }
    }

    pub(crate) fn applied(&self, applied: &Applied, took: Duration) {
        self.applied.inc_by(applied.applied);
        self.skipped.inc_by(applied.skipped);
        self.apply_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn fenced(&self) {
        self.fenced.inc();
    }

    pub(crate) fn lost(&self) {
        self.lost.inc();
    }

    pub(crate) fn lag(&self, partition: Partition, records: i64) {
        self.all
            .lag
            .get_or_create(&self.partition(partition))
            .set(records.max(0));
    }

    pub(crate) fn up(&self, partition: Partition, up: bool) {
        self.all
            .up
            .get_or_create(&self.partition(partition))
            .set(i64::from(up));
    }
}
