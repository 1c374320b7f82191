//! The metrics of sources; the label `source` is the source's name.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::status::State;

/// A gauge of seconds and their fractions.
pub(crate) type Seconds = Gauge<f64, AtomicU64>;

/// The label of every metric here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

/// The label of the state gauge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    source: String,
    state: &'static str,
}

/// All sources' metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    rows: Family<SourceLabel, Counter>,
    transactions: Family<SourceLabel, Counter>,
    skipped: Family<SourceLabel, Counter>,
    failures: Family<SourceLabel, Counter>,
    positions: Family<SourceLabel, Counter>,
    csn: Family<SourceLabel, Gauge>,
    lag_seconds: Family<SourceLabel, Seconds>,
    state: Family<StateLabel, Gauge>,
}

/// The metrics of one source, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct SourceMetrics {
    name: String,
    all: Metrics,
    /// Rows captured: changes and snapshot rows.
    pub rows: Counter,
    /// Transactions of the binlog, captured or not.
    pub transactions: Counter,
    /// Records not written because the log had them already.
    pub skipped: Counter,
    /// Attempts that ended in an error.
    pub failures: Counter,
    /// Positions stored on the log.
    pub positions: Counter,
    /// The commit sequence number of the last stored position.
    pub csn: Gauge,
    /// From commit to capture of the last transaction.
    pub lag_seconds: Seconds,
}

impl Metrics {
    /// Names the metrics in `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let all = Metrics::default();
        registry.register(
            "headrace_source_rows",
            "Rows captured, changes and snapshot rows",
            all.rows.clone(),
        );
        registry.register(
            "headrace_source_transactions",
            "Transactions read from the binlog, captured or not",
            all.transactions.clone(),
        );
        registry.register(
            "headrace_source_skipped_records",
            "Records the log had already when they were read again",
            all.skipped.clone(),
        );
        registry.register(
            "headrace_source_failures",
            "Attempts that ended in an error",
            all.failures.clone(),
        );
        registry.register(
            "headrace_source_positions",
            "Positions stored on the log",
            all.positions.clone(),
        );
        registry.register(
            "headrace_source_csn",
            "Commit sequence number of the last stored position",
            all.csn.clone(),
        );
        registry.register(
            "headrace_source_lag_seconds",
            "From commit to capture of the last transaction",
            all.lag_seconds.clone(),
        );
        registry.register(
            "headrace_source_state",
            "1 for the state the source is in",
            all.state.clone(),
        );
        all
    }

    /// The metrics of the source `name`.
    pub(crate) fn of(&self, name: &str) -> SourceMetrics {
        let label = SourceLabel {
            source: name.to_owned(),
        };
        SourceMetrics {
            name: name.to_owned(),
            all: self.clone(),
            rows: self.rows.get_or_create(&label).clone(),
            transactions: self.transactions.get_or_create(&label).clone(),
            skipped: self.skipped.get_or_create(&label).clone(),
            failures: self.failures.get_or_create(&label).clone(),
            positions: self.positions.get_or_create(&label).clone(),
            csn: self.csn.get_or_create(&label).clone(),
            lag_seconds: self.lag_seconds.get_or_create(&label).clone(),
        }
    }
}

impl SourceMetrics {
    /// Shows the state.
    pub(crate) fn enter(&self, state: State) {
        for one in [
            State::Starting,
            State::Snapshot,
            State::Streaming,
            State::Failed,
            State::Stopped,
        ] {
            let label = StateLabel {
                source: self.name.clone(),
                state: one.name(),
            };
            self.all
                .state
                .get_or_create(&label)
                .set(i64::from(one == state));
        }
    }
}
