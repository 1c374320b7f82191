//! The table and what is parsed with it.

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
        ("segment.ms", "0"),
        ("segment.jitter.ms", "-1"),
        ("segment.index.bytes", "3"),
        ("index.interval.bytes", "-1"),
        ("delete.retention.ms", "-1"),
        ("min.cleanable.dirty.ratio", "1.1"),
        ("min.cleanable.dirty.ratio", "NaN"),
        ("min.compaction.lag.ms", "-1"),
        ("max.compaction.lag.ms", "0"),
        ("file.delete.delay.ms", "-1"),
        ("flush.messages", "0"),
        ("flush.ms", "-1"),
        ("flush.bytes", "0"),
        ("flush.bytes", "4194305"),
        ("write.caching", "yes"),
    ] {
        let refused = parsed(name, value);
        assert!(
            matches!(refused, Err(ConfigError::Invalid { .. })),
            "{name}={value}"
        );
    }
}

/// As `LogConfig` of Kafka 4 has them; those of Redpanda stand last.
#[test]
fn names_types_and_defaults_are_those_of_kafka() {
    let max = "9223372036854775807";
    let kafka = [
        ("cleanup.policy", Kind::List, "delete"),
        ("delete.retention.ms", Kind::Long, "86400000"),
        ("file.delete.delay.ms", Kind::Long, "60000"),
        ("flush.messages", Kind::Long, max),
        ("flush.ms", Kind::Long, max),
        ("index.interval.bytes", Kind::Int, "4096"),
        ("max.compaction.lag.ms", Kind::Long, max),
        ("min.cleanable.dirty.ratio", Kind::Double, "0.5"),
        ("min.compaction.lag.ms", Kind::Long, "0"),
        ("retention.bytes", Kind::Long, "-1"),
        ("retention.ms", Kind::Long, "604800000"),
        ("segment.bytes", Kind::Int, "1073741824"),
        ("segment.index.bytes", Kind::Int, "10485760"),
        ("segment.jitter.ms", Kind::Long, "0"),
        ("segment.ms", Kind::Long, "604800000"),
        ("flush.bytes", Kind::Long, "262144"),
        ("write.caching", Kind::Boolean, "false"),
    ];
    for (name, kind, default) in kafka {
        let row = setting(name).unwrap();
        assert_eq!((row.kind, row.default), (kind, default), "{name}");
    }
}

#[test]
fn every_setting_changes_what_the_broker_does() {
    let default = TopicConfig::default();
    for setting in SETTINGS {
        let other = match setting.kind {
            Kind::Boolean => "true",
            Kind::Double => "0.25",
            Kind::Int | Kind::Long => "1234567",
            Kind::List => "compact",
            Kind::String if setting.name == "compression.type" => "zstd",
            Kind::String => "LogAppendTime",
        };
        let changed = parsed(setting.name, other).unwrap();
        assert_ne!(changed, default, "{}", setting.name);
    }
}

#[test]
fn the_greatest_number_sets_no_limit() {
    let config = TopicConfig::default();
    assert_eq!(config.compaction_lag_max, None);
    assert_eq!(config.flush(), Flush::BeforeAck);
    let cached = parsed("write.caching", "TRUE").unwrap().flush();
    let expected = Flush::Cached {
        bytes_max: 256 << 10,
        interval: Duration::from_millis(100),
        records_max: None,
    };
    assert_eq!(cached, expected);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let text = |text: &str| text.to_owned();
    for pairs in [
        [
            ("min.compaction.lag.ms", "2000"),
            ("max.compaction.lag.ms", "1000"),
        ],
        [("write.caching", "true"), ("flush.messages", "1")],
    ] {
        let overrides = pairs.map(|(name, value)| (text(name), text(value)));
        let refused = TopicConfig::parse(&Overrides::from(overrides));
        assert!(
            matches!(refused, Err(ConfigError::Invalid { .. })),
            "{pairs:?}"
        );
    }
}
