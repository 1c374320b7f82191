//! Settings of a topic: one table that feeds parsing, defaults, DescribeConfigs and the documentation.
//!
//! A setting that is not in [`SETTINGS`] does not exist: CreateTopics answers INVALID_CONFIG. Values are
//! kept as the client wrote them (the catalogue stores them so) and parsed into a [`TopicConfig`] once.
//! Bounds are those of Kafka 4 (KIP-1030).

use std::collections::BTreeMap;
use std::time::Duration;

use headrace_storage::record::Compression;

/// Settings that a topic was created with, by name, as the client wrote them.
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
            Kind::List => 7,
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The name, as Kafka spells it.
    pub name: &'static str,
    /// The broker-wide setting that Kafka names as its synonym.
    pub synonym: &'static str,
    /// The type shown to clients.
    pub kind: Kind,
    /// The value of a topic that does not set it.
    pub default: &'static str,
    /// What it does, in one sentence, for users.
    pub doc: &'static str,
    /// Parses a value, checks its bounds and stores it; the error is a text for the user.
    apply: fn(&mut TopicConfig, &str) -> Result<(), String>,
}

/// Every setting that a topic has, sorted by name.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "cleanup.policy",
        synonym: "log.cleanup.policy",
        kind: Kind::List,
        default: "delete",
        doc: "What happens to old data: delete removes old segments, compact keeps the last record of each key.",
        apply: |config, text| {
            let (mut compact, mut delete) = (false, false);
            for policy in text.split(',').map(str::trim) {
                match policy {
                    "compact" => compact = true,
                    "delete" => delete = true,
                    _ => return Err(one_of(text, &["compact", "delete"])),
                }
            }
            (config.compact, config.delete) = (compact, delete);
            Ok(())
        },
    },
    Setting {
        name: "compression.type",
        synonym: "compression.type",
        kind: Kind::String,
        default: "producer",
        doc: "The codec that batches are stored with; producer keeps each batch as it was sent.",
        apply: |config, text| {
            config.compression = match text {
                "producer" => None,
                "uncompressed" => Some(Compression::None),
                "gzip" => Some(Compression::Gzip),
                "snappy" => Some(Compression::Snappy),
                "lz4" => Some(Compression::Lz4),
                "zstd" => Some(Compression::Zstd),
                _ => {
                    let known = ["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
                    return Err(one_of(text, &known));
                }
            };
            Ok(())
        },
    },
    Setting {
        name: "max.message.bytes",
        synonym: "message.max.bytes",
        kind: Kind::Int,
        default: "1048588",
        doc: "The size in bytes of the largest batch that is accepted, as it is stored.",
        apply: |config, text| {
            config.batch_bytes_max = size(number(text, 0, i64::from(i32::MAX))?);
            Ok(())
        },
    },
    Setting {
        name: "message.timestamp.type",
        synonym: "log.message.timestamp.type",
        kind: Kind::String,
        default: "CreateTime",
        doc: "Whose clock a record's timestamp is of: the producer's (CreateTime) or the broker's (LogAppendTime).",
        apply: |config, text| {
            config.log_append_time = match text {
                "CreateTime" => false,
                "LogAppendTime" => true,
                _ => return Err(one_of(text, &["CreateTime", "LogAppendTime"])),
            };
            Ok(())
        },
    },
    Setting {
        name: "retention.bytes",
        synonym: "log.retention.bytes",
        kind: Kind::Long,
        default: "-1",
        doc: "The size in bytes above which a partition's oldest segments are removed; -1 sets no limit.",
        apply: |config, text| {
            let bytes = number(text, -1, i64::MAX)?;
            config.retention_bytes_max = u64::try_from(bytes).ok();
            Ok(())
        },
    },
    Setting {
        name: "retention.ms",
        synonym: "log.retention.ms",
        kind: Kind::Long,
        default: "604800000",
        doc: "The age in milliseconds after which segments are removed; -1 keeps them for ever.",
        apply: |config, text| {
            let ms = number(text, -1, i64::MAX)?;
            config.retention = u64::try_from(ms).ok().map(Duration::from_millis);
            Ok(())
        },
    },
    Setting {
        name: "segment.bytes",
        synonym: "log.segment.bytes",
        kind: Kind::Int,
        default: "1073741824",
        doc: "The size in bytes at which a segment ends and a new one begins.",
        apply: |config, text| {
            config.segment_bytes_max = size(number(text, 1 << 20, i64::from(i32::MAX))?);
            Ok(())
        },
    },
    Setting {
        name: "segment.index.bytes",
        synonym: "log.index.size.max.bytes",
        kind: Kind::Int,
        default: "10485760",
        doc: "Stored and shown for clients that set it; the index is as large as its segment needs.",
        apply: |_, text| number(text, 4, i64::from(i32::MAX)).map(drop),
    },
    Setting {
        name: "segment.jitter.ms",
        synonym: "log.roll.jitter.ms",
        kind: Kind::Long,
        default: "0",
        doc: "Stored and shown for clients that set it; segments end without jitter.",
        apply: |_, text| number(text, 0, i64::MAX).map(drop),
    },
    Setting {
        name: "segment.ms",
        synonym: "log.roll.ms",
        kind: Kind::Long,
        default: "604800000",
        doc: "The age in milliseconds at which a segment ends even if it is not full.",
        apply: |config, text| {
            let ms = number(text, 1, i64::MAX)?;
            config.segment_age_max = Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX));
            Ok(())
        },
    },
];

/// A topic's settings, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// Keep the last record of each key; records then need a key.
    pub compact: bool,
    /// Remove old segments.
    pub delete: bool,
    /// The codec to store with; `None` keeps the producer's bytes.
    pub compression: Option<Compression>,
    /// The largest batch in bytes, as stored.
    pub batch_bytes_max: usize,
    /// Timestamps are the broker's.
    pub log_append_time: bool,
    /// The size in bytes above which the oldest segments go.
    pub retention_bytes_max: Option<u64>,
    /// The age after which segments go.
    pub retention: Option<Duration>,
    /// The size in bytes at which a segment ends.
    pub segment_bytes_max: usize,
    /// The age at which a segment ends.
    pub segment_age_max: Duration,
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
}

impl TopicConfig {
    /// Parses what a client set, over the defaults.
    pub fn parse(overrides: &Overrides) -> Result<TopicConfig, ConfigError> {
        let mut config = TopicConfig::default();
        for (name, value) in overrides {
            let setting =
                setting(name).ok_or_else(|| ConfigError::Unknown { name: name.clone() })?;
            let invalid = |reason| ConfigError::Invalid {
                name: setting.name,
                value: value.clone(),
                reason,
            };
            (setting.apply)(&mut config, value).map_err(invalid)?;
        }
        Ok(config)
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        let mut config = TopicConfig {
            compact: false,
            delete: false,
            compression: None,
            batch_bytes_max: 0,
            log_append_time: false,
            retention_bytes_max: None,
            retention: None,
            segment_bytes_max: 0,
            segment_age_max: Duration::ZERO,
        };
        for setting in SETTINGS {
            (setting.apply)(&mut config, setting.default).expect("a test parses every default");
        }
        config
    }
}

/// The row of a setting.
pub fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn number(text: &str, least: i64, greatest: i64) -> Result<i64, String> {
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| "not a whole number".to_owned())?;
    if (least..=greatest).contains(&number) {
        Ok(number)
    } else {
        Err(format!("must lie between {least} and {greatest}"))
    }
}

/// A size that was checked to lie between 0 and 2^31 - 1.
fn size(bytes: i64) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

fn one_of(found: &str, known: &[&str]) -> String {
    format!("{found:?} is none of {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, value: &str) -> Result<TopicConfig, ConfigError> {
        TopicConfig::parse(&Overrides::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn every_default_parses_and_the_table_is_sorted() {
        let config = TopicConfig::default();
        assert!(config.delete && !config.compact);
        assert_eq!(config.batch_bytes_max, 1_048_588);
        assert_eq!(config.segment_bytes_max, 1 << 30);
        assert_eq!(config.retention, Some(Duration::from_hours(7 * 24)));
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
    }

    #[test]
    fn a_value_replaces_its_default() {
        let both = parsed("cleanup.policy", "compact, delete").unwrap();
        assert!(both.compact && both.delete);
        let zstd = parsed("compression.type", "zstd").unwrap();
        assert_eq!(zstd.compression, Some(Compression::Zstd));
        assert_eq!(parsed("retention.ms", "-1").unwrap().retention, None);
        let stamped = parsed("message.timestamp.type", "LogAppendTime").unwrap();
        assert!(stamped.log_append_time);
    }

    #[test]
    fn segments_below_a_mebibyte_are_refused() {
        assert!(parsed("segment.bytes", "1048575").is_err());
        let config = parsed("segment.bytes", "1048576").unwrap();
        assert_eq!(config.segment_bytes_max, 1 << 20);
    }

    #[test]
    fn unknown_settings_and_ill_typed_values_are_refused() {
        let unknown = ConfigError::Unknown {
            name: "segment.colour".to_owned(),
        };
        assert_eq!(parsed("segment.colour", "blue"), Err(unknown));
        for (name, value) in [
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("max.message.bytes", "2147483648"),
            ("cleanup.policy", "shred"),
            ("cleanup.policy", ""),
            ("compression.type", "brotli"),
            ("message.timestamp.type", "createtime"),
        ] {
            let refused = parsed(name, value);
            assert!(
                matches!(refused, Err(ConfigError::Invalid { .. })),
                "{name}={value}"
            );
        }
    }
}
