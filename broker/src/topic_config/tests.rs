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
fn without_a_policy_nothing_goes() {
    let none = parsed("cleanup.policy", "").unwrap();
    assert!(!none.compact && !none.delete);
}

/// trap 76
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
        ("compression.gzip.level", "0"),
        ("compression.gzip.level", "10"),
        ("compression.lz4.level", "1"),
        ("compression.zstd.level", "23"),
        ("message.timestamp.before.max.ms", "-1"),
        ("message.timestamp.after.max.ms", "-1"),
        ("min.insync.replicas", "0"),
        ("unclean.leader.election.enable", "true"),
        ("preallocate", "true"),
        ("remote.storage.enable", "true"),
        ("local.retention.ms", "5"),
        ("leader.replication.throttled.replicas", "*"),
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
        ("compression.gzip.level", Kind::Int, "-1"),
        ("compression.lz4.level", Kind::Int, "9"),
        ("compression.type", Kind::String, "producer"),
        ("compression.zstd.level", Kind::Int, "3"),
        ("delete.retention.ms", Kind::Long, "86400000"),
        ("file.delete.delay.ms", Kind::Long, "60000"),
        ("follower.replication.throttled.replicas", Kind::List, ""),
        ("flush.messages", Kind::Long, max),
        ("flush.ms", Kind::Long, max),
        ("index.interval.bytes", Kind::Int, "4096"),
        ("leader.replication.throttled.replicas", Kind::List, ""),
        ("local.retention.bytes", Kind::Long, "-2"),
        ("local.retention.ms", Kind::Long, "-2"),
        ("max.compaction.lag.ms", Kind::Long, max),
        ("max.message.bytes", Kind::Int, "1048588"),
        ("message.timestamp.after.max.ms", Kind::Long, "3600000"),
        ("message.timestamp.before.max.ms", Kind::Long, max),
        ("message.timestamp.type", Kind::String, "CreateTime"),
        ("min.cleanable.dirty.ratio", Kind::Double, "0.5"),
        ("min.compaction.lag.ms", Kind::Long, "0"),
        ("min.insync.replicas", Kind::Int, "1"),
        ("preallocate", Kind::Boolean, "false"),
        ("remote.log.copy.disable", Kind::Boolean, "false"),
        ("remote.log.delete.on.disable", Kind::Boolean, "false"),
        ("remote.storage.enable", Kind::Boolean, "false"),
        ("retention.bytes", Kind::Long, "-1"),
        ("retention.ms", Kind::Long, "604800000"),
        ("segment.bytes", Kind::Int, "1073741824"),
        ("segment.index.bytes", Kind::Int, "10485760"),
        ("segment.jitter.ms", Kind::Long, "0"),
        ("segment.ms", Kind::Long, "604800000"),
        ("unclean.leader.election.enable", Kind::Boolean, "false"),
        ("flush.bytes", Kind::Long, "262144"),
        ("write.caching", Kind::Boolean, "false"),
    ];
    assert_eq!(kafka.len(), SETTINGS.len());
    for (name, kind, default) in kafka {
        let row = setting(name).unwrap();
        assert_eq!((row.kind, row.default), (kind, default), "{name}");
    }
}

/// A value other than the default that may be set, or must be refused.
fn another(setting: &Setting) -> &'static str {
    match setting.kind {
        Kind::Boolean => "true",
        Kind::Double => "0.25",
        Kind::Int if setting.name.contains(".level") => "7",
        Kind::Int | Kind::Long => "1234567",
        Kind::List => "compact",
        Kind::String if setting.name == "compression.type" => "zstd",
        Kind::String => "LogAppendTime",
    }
}

/// A setting is effective or refused: those that are refused have one value, which is what is done.
#[test]
fn every_setting_changes_what_the_broker_does_or_takes_one_value_only() {
    let default = TopicConfig::default();
    let mut fixed = Vec::new();
    for setting in SETTINGS {
        assert_eq!(parsed(setting.name, setting.default), Ok(default.clone()));
        match parsed(setting.name, another(setting)) {
            Ok(changed) => assert_ne!(changed, default, "{}", setting.name),
            Err(_) => fixed.push(setting.name),
        }
    }
    let expected = [
        "compression.lz4.level",
        "follower.replication.throttled.replicas",
        "leader.replication.throttled.replicas",
        "local.retention.bytes",
        "local.retention.ms",
        "preallocate",
        "remote.log.copy.disable",
        "remote.log.delete.on.disable",
        "remote.storage.enable",
        "unclean.leader.election.enable",
    ];
    assert_eq!(fixed, expected);
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
