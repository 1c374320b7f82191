//! What a broker counts. Names stand here and in `upkeep` only; units are base units and end the name.
//!
//! Labels: `api` is the name of a Kafka API. Gauges of partitions are read when they are asked for, so that
//! the write path does not keep them.

mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use headrace_protocol::ApiKey;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry as Metric, Unit};

use crate::api::SERVED;
use crate::fetch_session::Counts;
use crate::partition::Registry;
use upkeep::Upkeep;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Api {
    api: String,
}

/// The counters of a broker.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<Api, Counter>,
    /// The same counters, found without making a label for each request.
    by_api: HashMap<ApiKey, Counter>,
    received: Counter,
    sent: Counter,
    /// Open connections; the listener counts.
    pub connections: Gauge,
    /// Connections refused because there were too many.
    pub connections_refused: Counter,
    /// Connections closed because of what the client sent.
    pub connections_failed: Counter,
    /// Bytes of requests and answers in memory; their budget counts.
    pub memory_held: Gauge,
    /// Fetch sessions; their cache counts.
    pub fetch_sessions: Counts,
    produce: Histogram,
    fetch: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        // 100 microseconds to 13 seconds: from one sync to the longest wait of a usual fetch
        let latency = || Histogram::new(exponential_buckets(0.0001, 2.0, 18));
        let requests = Family::<Api, Counter>::default();
        let counter = |key: &ApiKey| {
            let api = format!("{key:?}");
            (*key, requests.get_or_create(&Api { api }).clone())
        };
        Metrics {
            by_api: SERVED.iter().map(counter).collect(),
            requests,
            received: Counter::default(),
            sent: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            connections_failed: Counter::default(),
            memory_held: Gauge::default(),
            fetch_sessions: Counts::default(),
            produce: latency(),
            fetch: latency(),
        }
    }
}

impl Metrics {
    /// A request was read.
    pub(crate) fn received(&self, api: ApiKey, bytes: usize) {
        if let Some(counter) = self.by_api.get(&api) {
            counter.inc();
        }
        self.received.inc_by(u64::try_from(bytes).unwrap_or(0));
    }

    /// A response was written.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.inc_by(u64::try_from(bytes).unwrap_or(0));
    }

    /// A request was answered, after this time.
    pub(crate) fn answered(&self, api: ApiKey, after: Duration) {
        match api {
            ApiKey::Produce => self.produce.observe(after.as_secs_f64()),
            ApiKey::Fetch => self.fetch.observe(after.as_secs_f64()),
            _ => {}
        }
    }

    /// Names everything.
    pub(crate) fn register(&self, into: &mut Metric, partitions: &Arc<Registry>) {
        let into = into.sub_registry_with_prefix("headrace_broker");
        into.register("requests", "Requests read, by API", self.requests.clone());
        let help = "Bytes of requests read";
        into.register_with_unit("received", help, Unit::Bytes, self.received.clone());
        let help = "Bytes of responses written";
        into.register_with_unit("sent", help, Unit::Bytes, self.sent.clone());
        into.register("connections", "Open connections", self.connections.clone());
        let help = "Connections refused because there were too many";
        into.register(
            "connections_refused",
            help,
            self.connections_refused.clone(),
        );
        let help = "Connections closed because of what the client sent";
        into.register("connections_failed", help, self.connections_failed.clone());
        let help = "Bytes of requests and answers in memory";
        into.register_with_unit("memory_held", help, Unit::Bytes, self.memory_held.clone());
        let Counts {
            sessions,
            partitions: followed,
            evicted,
        } = self.fetch_sessions.clone();
        into.register("fetch_sessions", "Fetch sessions there are", sessions);
        let help = "Partitions in all fetch sessions";
        into.register("fetch_session_partitions", help, followed);
        let help = "Fetch sessions that were evicted for others";
        into.register("fetch_sessions_evicted", help, evicted);
        let help = "Time from reading a produce request to having its answer";
        into.register_with_unit("produce", help, Unit::Seconds, self.produce.clone());
        let help = "Time from reading a fetch request to having its answer, waiting included";
        into.register_with_unit("fetch", help, Unit::Seconds, self.fetch.clone());
        into.register_collector(Box::new(Partitions(Arc::downgrade(partitions))));
        into.register_collector(Box::new(Upkeep::of(partitions)));
    }
}

/// Sums over all partitions, read from their views.
#[derive(Debug)]
struct Partitions(Weak<Registry>);

impl Collector for Partitions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(registry) = self.0.upgrade() else {
            return Ok(());
        };
        let (mut topics, mut partitions) = (0_i64, 0_i64);
        let (mut refused, mut closed, mut damaged) = (0_i64, 0_i64, 0_i64);
        let (mut log_end, mut high_watermark, mut size_bytes) = (0_i64, 0_i64, 0_i64);
        for topic in registry.topics().iter() {
            topics += 1;
            refused += i64::try_from(topic.refused()).unwrap_or(i64::MAX);
            for handle in topic.served() {
                let view = handle.view();
                partitions += 1;
                closed += i64::from(handle.closed().is_some());
                damaged += i64::from(!view.findings().is_empty());
                log_end += view.log_end().0;
                high_watermark += view.high_watermark().0;
                size_bytes += i64::try_from(view.size_bytes()).unwrap_or(0);
            }
        }
        for (name, help, unit, value) in [
            ("topics", "Topics", None, topics),
            ("partitions", "Partitions that are served", None, partitions),
            (
                "partitions_refused",
                "Partitions whose logs could not be opened",
                None,
                refused,
            ),
            (
                "partitions_closed",
                "Partitions that take no writes until the next start",
                None,
                closed,
            ),
            (
                "partitions_damaged",
                "Partitions in which the scrub found damage",
                None,
                damaged,
            ),
            (
                "log_end_offset_sum",
                "Sum of the log ends of all partitions",
                None,
                log_end,
            ),
            (
                "high_watermark_sum",
                "Sum of the high watermarks of all partitions",
                None,
                high_watermark,
            ),
            (
                "log",
                "Size of all logs on disk",
                Some(&Unit::Bytes),
                size_bytes,
            ),
        ] {
            let gauge = ConstGauge::new(value);
            let place = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
            gauge.encode(place)?;
        }
        Ok(())
    }
}
