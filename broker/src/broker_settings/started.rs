//! What a broker was started with, under Kafka's names: shown by DescribeConfigs, and changed by another start.

use crate::net::FRAME_BYTES_MAX;
use crate::node::Node;
use crate::partition::registry::CONSUMER_OFFSETS_PARTITIONS;
use crate::topic_config::Kind;

/// One row of the table.
#[derive(Debug)]
pub struct StartedSetting {
    /// The name, as Kafka spells it.
    pub name: &'static str,
    /// The type shown to clients.
    pub kind: Kind,
    /// The key of the configuration file's `[broker]` that it comes from, if there is one.
    pub key: Option<&'static str>,
    /// What it does, in one sentence, for users.
    pub doc: &'static str,
    /// Its value.
    value: fn(&Node) -> String,
}

impl StartedSetting {
    /// The value of this broker.
    pub fn value(&self, node: &Node) -> String {
        (self.value)(node)
    }
}

/// Every such setting, sorted by name.
pub const STARTED: &[StartedSetting] = &[
    StartedSetting {
        name: "advertised.listeners",
        kind: Kind::List,
        key: Some("advertised"),
        doc: "What clients connect to.",
        value: |node| {
            let (host, port) = (&node.advertised.host, node.advertised.port);
            format!("PLAINTEXT://{host}:{port}")
        },
    },
    StartedSetting {
        name: "auto.create.topics.enable",
        kind: Kind::Boolean,
        key: Some("auto_create"),
        doc: "Whether asking for an unknown topic makes it, if the client allows that too.",
        value: |node| node.config.auto_create.to_string(),
    },
    StartedSetting {
        name: "default.replication.factor",
        kind: Kind::Int,
        key: None,
        doc: "Copies of a topic's data that is made without saying how many.",
        value: |_| "1".to_owned(),
    },
    StartedSetting {
        name: "delete.topic.enable",
        kind: Kind::Boolean,
        key: None,
        doc: "Whether topics can be deleted.",
        value: |_| "true".to_owned(),
    },
    StartedSetting {
        name: "group.consumer.heartbeat.interval.ms",
        kind: Kind::Int,
        key: None,
        doc: "How often in milliseconds members of consumer groups (KIP-848) tell that they live.",
        value: |node| node.config.group_consumer_heartbeat_interval_ms.to_string(),
    },
    StartedSetting {
        name: "group.consumer.max.heartbeat.interval.ms",
        kind: Kind::Int,
        key: None,
        doc: "The most in milliseconds that group.consumer.heartbeat.interval.ms may be.",
        value: |node| {
            node.config
                .group_consumer_max_heartbeat_interval_ms
                .to_string()
        },
    },
    StartedSetting {
        name: "group.consumer.max.session.timeout.ms",
        kind: Kind::Int,
        key: None,
        doc: "The most in milliseconds that group.consumer.session.timeout.ms may be.",
        value: |node| {
            node.config
                .group_consumer_max_session_timeout_ms
                .to_string()
        },
    },
    StartedSetting {
        name: "group.consumer.max.size",
        kind: Kind::Int,
        key: None,
        doc: "Most members of a consumer group (KIP-848).",
        value: |node| node.config.group_consumer_max_size.to_string(),
    },
    StartedSetting {
        name: "group.consumer.min.heartbeat.interval.ms",
        kind: Kind::Int,
        key: None,
        doc: "The least in milliseconds that group.consumer.heartbeat.interval.ms may be.",
        value: |node| {
            node.config
                .group_consumer_min_heartbeat_interval_ms
                .to_string()
        },
    },
    StartedSetting {
        name: "group.consumer.min.session.timeout.ms",
        kind: Kind::Int,
        key: None,
        doc: "The least in milliseconds that group.consumer.session.timeout.ms may be.",
        value: |node| {
            node.config
                .group_consumer_min_session_timeout_ms
                .to_string()
        },
    },
    StartedSetting {
        name: "group.consumer.session.timeout.ms",
        kind: Kind::Int,
        key: None,
        doc: "How long in milliseconds a member of a consumer group (KIP-848) may be silent.",
        value: |node| node.config.group_consumer_session_timeout_ms.to_string(),
    },
    StartedSetting {
        name: "group.initial.rebalance.delay.ms",
        kind: Kind::Int,
        key: Some("group_initial_rebalance_delay_ms"),
        doc: "How long in milliseconds the first rebalance of an empty group waits for more members.",
        value: |node| node.config.group_initial_rebalance_delay_ms.to_string(),
    },
    StartedSetting {
        name: "group.max.session.timeout.ms",
        kind: Kind::Int,
        key: None,
        doc: "The longest session timeout in milliseconds that a member of a group may ask for.",
        value: |node| node.config.group_max_session_timeout_ms.to_string(),
    },
    StartedSetting {
        name: "group.max.size",
        kind: Kind::Int,
        key: None,
        doc: "Most members of a group.",
        value: |node| node.config.group_max_size.to_string(),
    },
    StartedSetting {
        name: "group.min.session.timeout.ms",
        kind: Kind::Int,
        key: Some("group_min_session_timeout_ms"),
        doc: "The shortest session timeout in milliseconds that a member of a group may ask for.",
        value: |node| node.config.group_min_session_timeout_ms.to_string(),
    },
    StartedSetting {
        name: "listeners",
        kind: Kind::List,
        key: Some("listen"),
        doc: "Where the broker listens.",
        value: |node| format!("PLAINTEXT://{}", node.config.listen),
    },
    StartedSetting {
        name: "log.cleaner.dedupe.buffer.size",
        kind: Kind::Long,
        key: Some("cleaner_memory_bytes"),
        doc: "Memory in bytes for the keys of the logs that are being compacted.",
        value: |node| node.config.cleaner_memory_bytes.to_string(),
    },
    StartedSetting {
        name: "log.cleaner.io.max.bytes.per.second",
        kind: Kind::Double,
        key: Some("cleaner_bytes_per_second"),
        doc: "Bytes that compaction reads and writes per second; 0 sets no limit.",
        value: |node| node.config.cleaner_bytes_per_second.to_string(),
    },
    StartedSetting {
        name: "log.dirs",
        kind: Kind::List,
        key: Some("data"),
        doc: "The data directory.",
        value: |node| node.config.data.display().to_string(),
    },
    StartedSetting {
        name: "log.retention.check.interval.ms",
        kind: Kind::Long,
        key: Some("upkeep_interval_ms"),
        doc: "How often in milliseconds logs are looked at for retention, rolls and compaction.",
        value: |node| node.config.upkeep_interval_ms.to_string(),
    },
    StartedSetting {
        name: "max.connections",
        kind: Kind::Int,
        key: None,
        doc: "Connections at a time; more are closed at once.",
        value: |node| node.config.connections_max.to_string(),
    },
    StartedSetting {
        name: "node.id",
        kind: Kind::Int,
        key: None,
        doc: "The broker's number in its cluster.",
        value: |node| node.id.to_string(),
    },
    StartedSetting {
        name: "num.partitions",
        kind: Kind::Int,
        key: Some("partitions"),
        doc: "Partitions of a topic that is made without saying how many.",
        value: |node| node.config.partitions.to_string(),
    },
    StartedSetting {
        name: "offsets.retention.minutes",
        kind: Kind::Int,
        key: None,
        doc: "How long in minutes committed offsets are kept after their group lost its last member.",
        value: |node| node.config.offsets_retention_minutes.to_string(),
    },
    StartedSetting {
        name: "offsets.topic.num.partitions",
        kind: Kind::Int,
        key: None,
        doc: "Partitions of the topic with the groups' offsets.",
        value: |_| CONSUMER_OFFSETS_PARTITIONS.to_string(),
    },
    StartedSetting {
        name: "queued.max.request.bytes",
        kind: Kind::Long,
        key: None,
        doc: "Bytes of requests in memory; connections wait for room before they read on.",
        value: |node| node.config.request_bytes_max.to_string(),
    },
    StartedSetting {
        name: "socket.request.max.bytes",
        kind: Kind::Int,
        key: None,
        doc: "The largest request in bytes.",
        value: |_| FRAME_BYTES_MAX.to_string(),
    },
];
