//! The table of settings: one row for each name, in alphabetical order.
//!
//! Names, types, bounds and defaults are Kafka 4's; `write.caching` and `flush.bytes` are Redpanda's. Every row
//! takes effect. Where this broker does only one of the things that a setting of Kafka may ask for, that one may be
//! said (tools do so when they copy topics) and all others are refused with the reason.

use std::time::Duration;

use headrace_storage::record::Compression;

use super::value::{
    boolean, entries, level_of, limit, millis, number, one_of, only, size, unsigned,
};
use super::{Kind, Scope, Setting};

/// The most that a log may have written and not synced: recovery relies on it (replication notes).
const FLUSH_BYTES_MAX: i64 = 4 << 20;

/// Every setting that a topic has, sorted by name.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "cleanup.policy",
        synonym: Some("log.cleanup.policy"),
        kind: Kind::List,
        scope: Scope::Log,
        default: "delete",
        doc: "What happens to old data: delete removes old segments, compact keeps the last record of each key, both do \
              both, and an empty list keeps everything.",
        apply: |config, text| {
            let (mut compact, mut delete) = (false, false);
            for policy in entries(text) {
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
        name: "compression.gzip.level",
        synonym: Some("compression.gzip.level"),
        kind: Kind::Int,
        scope: Scope::Produce,
        default: "-1",
        doc: "The level of gzip where compression.type has the broker compress: 1 (fast) to 9 (small), or -1 for its default.",
        apply: |config, text| {
            let level = number(text, -1, 9)?;
            if level == 0 {
                return Err("must be -1, or lie between 1 and 9".to_owned());
            }
            config.gzip_level = level_of(level);
            Ok(())
        },
    },
    Setting {
        name: "compression.lz4.level",
        synonym: Some("compression.lz4.level"),
        kind: Kind::Int,
        scope: Scope::Produce,
        default: "9",
        doc: "The level of lz4; this broker has one, named as the default of Kafka.",
        apply: |_, text| only(text, "9", "lz4 has one level here"),
    },
    Setting {
        name: "compression.type",
        synonym: Some("compression.type"),
        kind: Kind::String,
        scope: Scope::Produce,
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
        name: "compression.zstd.level",
        synonym: Some("compression.zstd.level"),
        kind: Kind::Int,
        scope: Scope::Produce,
        default: "3",
        doc: "The level of zstd where compression.type has the broker compress: -131072 (fast) to 22 (small).",
        apply: |config, text| {
            let level = number(text, -131_072, 22)?;
            config.zstd_level = level_of(level);
            Ok(())
        },
    },
    Setting {
        name: "delete.retention.ms",
        synonym: Some("log.cleaner.delete.retention.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "86400000",
        doc: "How long in milliseconds compaction keeps a record without a value after it cleaned what lies before it.",
        apply: |config, text| {
            config.delete_retention = millis(text, 0)?;
            Ok(())
        },
    },
    Setting {
        name: "file.delete.delay.ms",
        synonym: Some("log.segment.delete.delay.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "60000",
        doc: "The time in milliseconds between the move of the log start past a segment and the removal of its file.",
        apply: |config, text| {
            config.file_delete_delay = millis(text, 0)?;
            Ok(())
        },
    },
    Setting {
        name: "flush.bytes",
        synonym: None,
        kind: Kind::Long,
        scope: Scope::Log,
        default: "262144",
        doc: "With write.caching, the unsynced bytes at which a sync begins; never are more than 4 MiB, or one larger \
              batch, answered for and not synced. Without it, none are.",
        apply: |config, text| {
            config.flush_bytes_max = unsigned(text, 1, FLUSH_BYTES_MAX)?;
            Ok(())
        },
    },
    Setting {
        name: "flush.messages",
        synonym: Some("log.flush.interval.messages"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "9223372036854775807",
        doc: "With write.caching, the unsynced records at which a sync begins; without it, none are ever answered for \
              and not synced.",
        apply: |config, text| {
            config.flush_records_max = limit(text, 1)?;
            Ok(())
        },
    },
    Setting {
        name: "flush.ms",
        synonym: Some("log.flush.interval.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "9223372036854775807",
        doc: "With write.caching, the longest time in milliseconds until the sync of a batch that was answered for \
              begins, the default meaning 100, and less than 100 at once; without it, a batch is synced before it \
              is answered for.",
        apply: |config, text| {
            config.flush_interval = limit(text, 0)?.map(Duration::from_millis);
            Ok(())
        },
    },
    Setting {
        name: "follower.replication.throttled.replicas",
        synonym: None,
        kind: Kind::List,
        scope: Scope::Log,
        default: "",
        doc: "Replicas whose copying is slowed down; replication is not throttled, so there are none.",
        apply: |_, text| only(text, "", "replication is not throttled"),
    },
    Setting {
        name: "index.interval.bytes",
        synonym: Some("log.index.interval.bytes"),
        kind: Kind::Int,
        scope: Scope::Log,
        default: "4096",
        doc: "About every so many bytes a batch gets an entry in the indexes by offset and by time.",
        apply: |config, text| {
            config.index_interval_bytes = unsigned(text, 0, i64::from(i32::MAX))?;
            Ok(())
        },
    },
    Setting {
        name: "leader.replication.throttled.replicas",
        synonym: None,
        kind: Kind::List,
        scope: Scope::Log,
        default: "",
        doc: "Replicas to which copying is slowed down; replication is not throttled, so there are none.",
        apply: |_, text| only(text, "", "replication is not throttled"),
    },
    Setting {
        name: "local.retention.bytes",
        synonym: Some("log.local.retention.bytes"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "-2",
        doc: "How much stays on the local disk of a topic with a remote tier; there is no such tier, so -2: as retention.bytes says.",
        apply: |_, text| only(text, "-2", "there is no remote tier"),
    },
    Setting {
        name: "local.retention.ms",
        synonym: Some("log.local.retention.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "-2",
        doc: "How long records stay on the local disk of a topic with a remote tier; there is no such tier, so -2: as retention.ms says.",
        apply: |_, text| only(text, "-2", "there is no remote tier"),
    },
    Setting {
        name: "max.compaction.lag.ms",
        synonym: Some("log.cleaner.max.compaction.lag.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "9223372036854775807",
        doc: "The age in milliseconds at which a record may be compacted at the latest, however little there is to gain.",
        apply: |config, text| {
            config.compaction_lag_max = limit(text, 1)?.map(Duration::from_millis);
            Ok(())
        },
    },
    Setting {
        name: "max.message.bytes",
        synonym: Some("message.max.bytes"),
        kind: Kind::Int,
        scope: Scope::Produce,
        default: "1048588",
        doc: "The size in bytes of the largest batch that is accepted, as it is stored.",
        apply: |config, text| {
            config.batch_bytes_max = size(number(text, 0, i64::from(i32::MAX))?);
            Ok(())
        },
    },
    Setting {
        name: "message.timestamp.after.max.ms",
        synonym: Some("log.message.timestamp.after.max.ms"),
        kind: Kind::Long,
        scope: Scope::Produce,
        default: "3600000",
        doc: "How far in milliseconds a record's timestamp may lie after the broker's clock; records beyond are refused. For CreateTime only.",
        apply: |config, text| {
            config.timestamp_after_max = limit(text, 0)?.map(Duration::from_millis);
            Ok(())
        },
    },
    Setting {
        name: "message.timestamp.before.max.ms",
        synonym: Some("log.message.timestamp.before.max.ms"),
        kind: Kind::Long,
        scope: Scope::Produce,
        default: "9223372036854775807",
        doc: "How far in milliseconds a record's timestamp may lie before the broker's clock; records beyond are refused. For CreateTime only.",
        apply: |config, text| {
            config.timestamp_before_max = limit(text, 0)?.map(Duration::from_millis);
            Ok(())
        },
    },
    Setting {
        name: "message.timestamp.type",
        synonym: Some("log.message.timestamp.type"),
        kind: Kind::String,
        scope: Scope::Produce,
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
        name: "min.cleanable.dirty.ratio",
        synonym: Some("log.cleaner.min.cleanable.ratio"),
        kind: Kind::Double,
        scope: Scope::Log,
        default: "0.5",
        doc: "The part of a log, from 0 to 1, that must be new since it was last compacted before it is compacted again.",
        apply: |config, text| {
            let wrong = "not a number between 0 and 1";
            let ratio: f64 = text.trim().parse().map_err(|_| wrong.to_owned())?;
            if !(0.0..=1.0).contains(&ratio) {
                return Err(wrong.to_owned());
            }
            config.dirty_ratio_min = ratio;
            Ok(())
        },
    },
    Setting {
        name: "min.compaction.lag.ms",
        synonym: Some("log.cleaner.min.compaction.lag.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "0",
        doc: "The age in milliseconds below which a record is not compacted.",
        apply: |config, text| {
            config.compaction_lag_min = millis(text, 0)?;
            Ok(())
        },
    },
    Setting {
        name: "min.insync.replicas",
        synonym: Some("min.insync.replicas"),
        kind: Kind::Int,
        scope: Scope::Produce,
        default: "1",
        doc: "How many replicas must have a record before it is acknowledged with acks=all; with fewer in sync it is refused (NOT_ENOUGH_REPLICAS).",
        apply: |config, text| {
            let least = number(text, 1, i64::from(i32::MAX))?;
            config.insync_replicas_min = u32::try_from(least).unwrap_or(u32::MAX);
            Ok(())
        },
    },
    Setting {
        name: "preallocate",
        synonym: Some("log.preallocate"),
        kind: Kind::Boolean,
        scope: Scope::Log,
        default: "false",
        doc: "Whether a segment's file gets its whole size at once; it grows in steps that are reserved ahead.",
        apply: |_, text| only(text, "false", "files grow in steps that are reserved ahead"),
    },
    Setting {
        name: "remote.log.copy.disable",
        synonym: None,
        kind: Kind::Boolean,
        scope: Scope::Log,
        default: "false",
        doc: "Whether copying to a remote tier is off; there is no such tier.",
        apply: |_, text| only(text, "false", "there is no remote tier"),
    },
    Setting {
        name: "remote.log.delete.on.disable",
        synonym: None,
        kind: Kind::Boolean,
        scope: Scope::Log,
        default: "false",
        doc: "Whether what is in a remote tier goes when that is turned off; there is no such tier.",
        apply: |_, text| only(text, "false", "there is no remote tier"),
    },
    Setting {
        name: "remote.storage.enable",
        synonym: None,
        kind: Kind::Boolean,
        scope: Scope::Log,
        default: "false",
        doc: "Whether old segments move to a remote tier; there is no such tier.",
        apply: |_, text| only(text, "false", "there is no remote tier"),
    },
    Setting {
        name: "retention.bytes",
        synonym: Some("log.retention.bytes"),
        kind: Kind::Long,
        scope: Scope::Log,
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
        synonym: Some("log.retention.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
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
        synonym: Some("log.segment.bytes"),
        kind: Kind::Int,
        scope: Scope::Log,
        default: "1073741824",
        doc: "The size in bytes at which a segment ends and a new one begins.",
        apply: |config, text| {
            config.segment_bytes_max = size(number(text, 1 << 20, i64::from(i32::MAX))?);
            Ok(())
        },
    },
    Setting {
        name: "segment.index.bytes",
        synonym: Some("log.index.size.max.bytes"),
        kind: Kind::Int,
        scope: Scope::Log,
        default: "10485760",
        doc: "The size in bytes of a segment's index at which the segment ends and a new one begins.",
        apply: |config, text| {
            config.segment_index_bytes_max = unsigned(text, 4, i64::from(i32::MAX))?;
            Ok(())
        },
    },
    Setting {
        name: "segment.jitter.ms",
        synonym: Some("log.roll.jitter.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "0",
        doc: "The most in milliseconds that is taken off segment.ms, at random for each segment, so that they do not all \
              end at once.",
        apply: |config, text| {
            config.segment_jitter_max = millis(text, 0)?;
            Ok(())
        },
    },
    Setting {
        name: "segment.ms",
        synonym: Some("log.roll.ms"),
        kind: Kind::Long,
        scope: Scope::Log,
        default: "604800000",
        doc: "The age in milliseconds at which a segment ends even if it is not full.",
        apply: |config, text| {
            config.segment_age_max = millis(text, 1)?;
            Ok(())
        },
    },
    Setting {
        name: "unclean.leader.election.enable",
        synonym: Some("unclean.leader.election.enable"),
        kind: Kind::Boolean,
        scope: Scope::Log,
        default: "false",
        doc: "Whether a replica that lacks acknowledged records may lead; it never may.",
        apply: |_, text| {
            only(
                text,
                "false",
                "no replica leads that lacks acknowledged records",
            )
        },
    },
    Setting {
        name: "write.caching",
        synonym: None,
        kind: Kind::Boolean,
        scope: Scope::Log,
        default: "false",
        doc: "Whether a batch is answered for when it is written, before it is synced; flush.ms, flush.bytes and \
              flush.messages bound what a power cut may lose. Internal topics refuse it.",
        apply: |config, text| {
            config.write_caching = boolean(text)?;
            Ok(())
        },
    },
];
