//! The table of settings: one row for each name, in alphabetical order.
//!
//! Names, types, bounds and defaults are Kafka 4's; `write.caching` and `flush.bytes` are Redpanda's. Every row
//! takes effect: what this broker cannot do has no row, and is refused.

use std::time::Duration;

use headrace_storage::record::Compression;

use super::{Kind, Setting};

/// The most that a log may have written and not synced: recovery relies on it (replication notes).
const FLUSH_BYTES_MAX: i64 = 4 << 20;

/// Every setting that a topic has, sorted by name.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "cleanup.policy",
        synonym: Some("log.cleanup.policy"),
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
        synonym: Some("compression.type"),
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
        name: "delete.retention.ms",
        synonym: Some("log.cleaner.delete.retention.ms"),
        kind: Kind::Long,
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
        name: "index.interval.bytes",
        synonym: Some("log.index.interval.bytes"),
        kind: Kind::Int,
        default: "4096",
        doc: "About every so many bytes a batch gets an entry in the indexes by offset and by time.",
        apply: |config, text| {
            config.index_interval_bytes = unsigned(text, 0, i64::from(i32::MAX))?;
            Ok(())
        },
    },
    Setting {
        name: "max.compaction.lag.ms",
        synonym: Some("log.cleaner.max.compaction.lag.ms"),
        kind: Kind::Long,
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
        default: "1048588",
        doc: "The size in bytes of the largest batch that is accepted, as it is stored.",
        apply: |config, text| {
            config.batch_bytes_max = size(number(text, 0, i64::from(i32::MAX))?);
            Ok(())
        },
    },
    Setting {
        name: "message.timestamp.type",
        synonym: Some("log.message.timestamp.type"),
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
        name: "min.cleanable.dirty.ratio",
        synonym: Some("log.cleaner.min.cleanable.ratio"),
        kind: Kind::Double,
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
        default: "0",
        doc: "The age in milliseconds below which a record is not compacted.",
        apply: |config, text| {
            config.compaction_lag_min = millis(text, 0)?;
            Ok(())
        },
    },
    Setting {
        name: "retention.bytes",
        synonym: Some("log.retention.bytes"),
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
        synonym: Some("log.retention.ms"),
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
        synonym: Some("log.segment.bytes"),
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
        synonym: Some("log.index.size.max.bytes"),
        kind: Kind::Int,
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
        default: "604800000",
        doc: "The age in milliseconds at which a segment ends even if it is not full.",
        apply: |config, text| {
            config.segment_age_max = millis(text, 1)?;
            Ok(())
        },
    },
    Setting {
        name: "write.caching",
        synonym: None,
        kind: Kind::Boolean,
        default: "false",
        doc: "Whether a batch is answered for when it is written, before it is synced; flush.ms, flush.bytes and \
              flush.messages bound what a power cut may lose. Internal topics refuse it.",
        apply: |config, text| {
            config.write_caching = boolean(text)?;
            Ok(())
        },
    },
];

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

/// A number whose least value is 0 or more.
fn unsigned(text: &str, least: i64, greatest: i64) -> Result<u64, String> {
    Ok(number(text, least, greatest)?.unsigned_abs())
}

/// A time whose least value is 0 or more.
fn millis(text: &str, least: i64) -> Result<Duration, String> {
    unsigned(text, least, i64::MAX).map(Duration::from_millis)
}

/// A limit; the greatest number stands for none, as in Kafka.
fn limit(text: &str, least: i64) -> Result<Option<u64>, String> {
    let number = unsigned(text, least, i64::MAX)?;
    Ok((number != i64::MAX.unsigned_abs()).then_some(number))
}

fn boolean(text: &str) -> Result<bool, String> {
    let text = text.trim();
    match (
        text.eq_ignore_ascii_case("true"),
        text.eq_ignore_ascii_case("false"),
    ) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(one_of(text, &["true", "false"])),
    }
}

/// A size that was checked to lie between 0 and 2^31 - 1.
fn size(bytes: i64) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

fn one_of(found: &str, known: &[&str]) -> String {
    format!("{found:?} is none of {}", known.join(", "))
}
