//! Settings of a topic: one table that feeds parsing, defaults, DescribeConfigs and the documentation.
//!
//! A setting that is not in [`SETTINGS`] does not exist: CreateTopics answers INVALID_CONFIG. Values are
//! kept as the client wrote them (the catalogue stores them so) and parsed into a [`TopicConfig`] once.
//! Bounds are those of Kafka 4 (KIP-1030). A setting is effective or refused, never accepted and ignored.

mod defaults;
mod edit;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::time::Duration;

use headrace_storage::compaction;
use headrace_storage::record::Compression;

pub use defaults::{Defaults, Found, Source};
pub use edit::{Edits, Operation, edited, normal};
pub use table::SETTINGS;

/// How long a batch waits for its sync at most under write caching, unless `flush.ms` says otherwise: Redpanda's
/// default, and as long as a tick, below which a shard cannot wait.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// The records of a batch may take this much memory decompressed, or as much as the topic's largest batch: room
/// for batches that compress well, far from what a bomb would take.
const DECOMPRESSED_BYTES_MAX: usize = 16 << 20;

/// Settings by name, as the client wrote them: what a topic was created with or altered to, or what was set on a
/// broker.
pub type Overrides = BTreeMap<String, String>;

/// Kafka's number of a setting's type in DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// true or false.
    Boolean = 1,
    /// A text, one of a few.
    String = 2,
    /// A 32-bit number.
    Int = 3,
    /// A 64-bit number.
    Long = 5,
    /// A number with a fraction.
    Double = 6,
    /// Texts, separated by commas.
    List = 7,
}

impl Kind {
    /// The number on the wire.
    pub fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
        }
    }
}

/// Where a setting has its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// On a log, whoever writes it.
    Log,
    /// Where clients append. The broker's own topics have no such settings.
    Produce,
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The name, as Kafka spells it.
    pub name: &'static str,
    /// The broker-wide setting that Kafka names as its synonym; `None` where Kafka has no such setting.
    pub synonym: Option<&'static str>,
    /// The type shown to clients.
    pub kind: Kind,
    /// Where it has its effect.
    pub scope: Scope,
    /// The value of a topic that does not set it.
    pub default: &'static str,
    /// What it does, in one sentence, for users.
    pub doc: &'static str,
    /// Parses a value, checks its bounds and stores it; the error is a text for the user.
    apply: fn(&mut TopicConfig, &str) -> Result<(), String>,
}

/// A topic's settings, parsed.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own; no combination of them is a state"
)]
pub struct TopicConfig {
    /// Keep the last record of each key; records then need a key.
    pub compact: bool,
    /// Remove old segments.
    pub delete: bool,
    /// The codec to store with; `None` keeps the producer's bytes.
    pub compression: Option<Compression>,
    /// The largest batch in bytes, as stored.
    pub batch_bytes_max: usize,
    /// gzip's level, -1 for its default.
    pub gzip_level: i32,
    /// zstd's level.
    pub zstd_level: i32,
    /// Timestamps are the broker's.
    pub log_append_time: bool,
    /// How far a producer's timestamps may lie behind the broker's clock; `None`: no limit.
    pub timestamp_before_max: Option<Duration>,
    /// How far they may lie ahead of it; `None`: no limit.
    pub timestamp_after_max: Option<Duration>,
    /// Replicas that must be in sync for acks=all.
    pub insync_replicas_min: u32,
    /// The size in bytes above which the oldest segments go.
    pub retention_bytes_max: Option<u64>,
    /// The age after which segments go.
    pub retention: Option<Duration>,
    /// The size in bytes at which a segment ends.
    pub segment_bytes_max: usize,
    /// The age at which a segment ends.
    pub segment_age_max: Duration,
    /// The most that is taken off that age, differently for each segment.
    pub segment_jitter_max: Duration,
    /// The size in bytes of its index at which a segment ends.
    pub segment_index_bytes_max: u64,
    /// About every so many bytes the indexes get an entry.
    pub index_interval_bytes: u64,
    /// How long compaction keeps a tombstone after it was first cleaned.
    pub delete_retention: Duration,
    /// The part of a log that must be new before it is compacted, 0 to 1.
    pub dirty_ratio_min: f64,
    /// The age below which a record is not compacted.
    pub compaction_lag_min: Duration,
    /// The age at which a record becomes due for compaction whatever the ratio; `None`: never.
    pub compaction_lag_max: Option<Duration>,
    /// The time from the move of the log start past a segment to the removal of its file.
    pub file_delete_delay: Duration,
    /// Answer for what is written, before it is synced; see [`TopicConfig::flush`].
    pub write_caching: bool,
    /// Under write caching: so many unsynced bytes begin a sync.
    pub flush_bytes_max: u64,
    /// Under write caching: the longest time until the sync of a batch begins; `None`: not set.
    pub flush_interval: Option<Duration>,
    /// Under write caching: so many unsynced records begin a sync; `None`: no limit.
    pub flush_records_max: Option<u64>,
}

/// When a batch is answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// After its sync.
    BeforeAck,
    /// After its write; a sync begins when one of the bounds is reached.
    Cached {
        /// Unsynced bytes, at most 4 MiB.
        bytes_max: u64,
        /// Age of the oldest unsynced batch.
        interval: Duration,
        /// Unsynced records; `None`: no limit.
        records_max: Option<u64>,
    },
}

/// Why a setting is refused: the name and a text for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such setting.
    #[error("unknown topic setting {name}")]
    Unknown {
        /// The name sent.
        name: String,
    },
    /// The value does not parse or is out of bounds.
    #[error("invalid value {value:?} for {name}: {reason}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// The value sent.
        value: String,
        /// What would be right.
        reason: String,
    },
    /// Only lists can be added to and removed from.
    #[error("{name} is no list: nothing can be added to it or removed from it")]
    NotAList {
        /// The name sent.
        name: String,
    },
}

impl TopicConfig {
    /// The most that a batch may decompress to where it is looked into, but for compaction: never more than that can
    /// read.
    pub fn decompressed_bytes_max(&self) -> usize {
        let most = DECOMPRESSED_BYTES_MAX.max(self.batch_bytes_max);
        most.min(compaction::DECOMPRESSED_BYTES_MAX)
    }

    /// Parses what a client set, over the defaults of this program.
    pub fn parse(overrides: &Overrides) -> Result<TopicConfig, ConfigError> {
        TopicConfig::of(overrides, &Defaults::default())
    }

    /// Parses what a client set, over what the broker has for all topics.
    pub fn of(overrides: &Overrides, defaults: &Defaults) -> Result<TopicConfig, ConfigError> {
        let unknown = overrides.keys().find(|name| setting(name).is_none());
        if let Some(name) = unknown {
            return Err(ConfigError::Unknown { name: name.clone() });
        }
        let mut config = TopicConfig::default();
        for setting in SETTINGS {
            let found = defaults.found(setting, overrides);
            if let Some(Found { value, .. }) = found.first() {
                setting.read(&mut config, value)?;
            }
        }
        config.check_together()?;
        Ok(config)
    }

    /// The level of a codec, where it has some.
    pub fn level(&self, codec: Compression) -> Option<i32> {
        match codec {
            Compression::Gzip if self.gzip_level >= 0 => Some(self.gzip_level),
            Compression::Zstd => Some(self.zstd_level),
            Compression::None | Compression::Gzip | Compression::Snappy | Compression::Lz4 => None,
        }
    }

    /// When a batch is answered for.
    pub fn flush(&self) -> Flush {
        if !self.write_caching {
            return Flush::BeforeAck;
        }
        Flush::Cached {
            bytes_max: self.flush_bytes_max,
            interval: self.flush_interval.unwrap_or(FLUSH_INTERVAL),
            records_max: self.flush_records_max,
        }
    }

    /// Settings that are right alone and wrong together.
    fn check_together(&self) -> Result<(), ConfigError> {
        if let Some(max) = self.compaction_lag_max
            && self.compaction_lag_min > max
        {
            return Err(ConfigError::Invalid {
                name: "min.compaction.lag.ms",
                value: self.compaction_lag_min.as_millis().to_string(),
                reason: format!("above max.compaction.lag.ms, {}", max.as_millis()),
            });
        }
        if self.write_caching && self.flush_records_max == Some(1) {
            return Err(ConfigError::Invalid {
                name: "flush.messages",
                value: "1".to_owned(),
                reason: "a sync for each record and write.caching contradict each other".to_owned(),
            });
        }
        Ok(())
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        let mut config = TopicConfig {
            compact: false,
            delete: false,
            compression: None,
            batch_bytes_max: 0,
            gzip_level: 0,
            zstd_level: 0,
            log_append_time: false,
            timestamp_before_max: None,
            timestamp_after_max: None,
            insync_replicas_min: 1,
            retention_bytes_max: None,
            retention: None,
            segment_bytes_max: 0,
            segment_age_max: Duration::ZERO,
            segment_jitter_max: Duration::ZERO,
            segment_index_bytes_max: 0,
            index_interval_bytes: 0,
            delete_retention: Duration::ZERO,
            dirty_ratio_min: 0.0,
            compaction_lag_min: Duration::ZERO,
            compaction_lag_max: None,
            file_delete_delay: Duration::ZERO,
            write_caching: false,
            flush_bytes_max: 0,
            flush_interval: None,
            flush_records_max: None,
        };
        for setting in SETTINGS {
            (setting.apply)(&mut config, setting.default).expect("a test parses every default");
        }
        config
    }
}

impl Setting {
    /// Parses a value and stores it.
    fn read(&'static self, config: &mut TopicConfig, value: &str) -> Result<(), ConfigError> {
        (self.apply)(config, value).map_err(|reason| ConfigError::Invalid {
            name: self.name,
            value: value.to_owned(),
            reason,
        })
    }

    /// Checks a value alone.
    pub fn check(&'static self, value: &str) -> Result<(), ConfigError> {
        self.read(&mut TopicConfig::default(), value)
    }
}

/// The row of a setting.
pub fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}
