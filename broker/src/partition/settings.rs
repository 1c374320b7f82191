//! What a topic's settings ask of each of its logs, and the shard's part of a change while the log runs.

use headrace_storage::LogConfig;

use super::shard::{Shard, Slot};
use super::upkeep::{Rules, millis};
use crate::topic_config::{Flush, TopicConfig};

/// What a shard goes by for one log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogSettings {
    /// Timestamps are the broker's.
    pub(super) log_append_time: bool,
    /// When batches are answered for.
    pub(super) flush: Flush,
    /// What is removed and compacted.
    pub(super) rules: Rules,
    /// Sizes and ages.
    pub(super) log: LogConfig,
}

impl LogSettings {
    pub(super) fn of(config: &TopicConfig) -> LogSettings {
        LogSettings {
            log_append_time: config.log_append_time,
            flush: config.flush(),
            rules: Rules::of(config),
            log: log_config(config),
        }
    }
}

/// A compacted topic's segments end in time for its records to be compacted at `max.compaction.lag.ms`.
pub(super) fn log_config(config: &TopicConfig) -> LogConfig {
    let lag_max = config.compaction_lag_max.filter(|_| config.compact);
    let age_max = lag_max.map_or(config.segment_age_max, |lag| {
        lag.min(config.segment_age_max)
    });
    LogConfig {
        segment_bytes_max: u64::try_from(config.segment_bytes_max).unwrap_or(u64::MAX),
        segment_age_ms_max: millis(age_max),
        segment_jitter_ms_max: millis(config.segment_jitter_max),
        segment_index_bytes_max: config.segment_index_bytes_max,
        index_interval_bytes: config.index_interval_bytes,
        decompressed_bytes_max: config.decompressed_bytes_max(),
    }
}

impl Shard {
    /// The log goes by these settings from the next batch on. A cleaning that is under way ends as it began.
    pub(super) fn configure(&mut self, slot: Slot, settings: LogSettings) {
        let Some(owned) = self.partitions.get_mut(&slot) else {
            return;
        };
        owned.log.set_config(settings.log);
        owned.log_append_time = settings.log_append_time;
        owned.rules = settings.rules;
        if owned.cache.flush() != settings.flush {
            self.set_flush(slot, settings.flush);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic_config::{Kind, Overrides, SETTINGS, Scope, Setting};

    fn settings(pairs: &[(&str, &str)]) -> Option<LogSettings> {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let overrides: Overrides = pairs.iter().map(text).collect();
        let config = TopicConfig::parse(&overrides).ok()?;
        Some(LogSettings::of(&config))
    }

    /// What a running log is told when a setting changes is all that its shard goes by.
    #[test]
    fn every_setting_of_a_log_reaches_its_shard() {
        let another = |setting: &Setting| match setting.kind {
            Kind::Boolean => "true",
            Kind::Double => "0.25",
            Kind::List => "compact",
            _ => "1234567",
        };
        // what counts only beside others
        let base = [
            ("cleanup.policy", "compact,delete"),
            ("write.caching", "true"),
        ];
        let before = settings(&base).unwrap();
        for setting in SETTINGS
            .iter()
            .filter(|setting| setting.scope == Scope::Log)
        {
            let value = match setting.name {
                "write.caching" => "false",
                _ => another(setting),
            };
            let mut pairs = base.to_vec();
            pairs.push((setting.name, value));
            // refused: it has one value
            if let Some(after) = settings(&pairs) {
                assert_ne!(after, before, "{}", setting.name);
            }
        }
        let stamped = settings(&[("message.timestamp.type", "LogAppendTime")]).unwrap();
        assert!(stamped.log_append_time);
    }

    /// A batch that can be read at last may hold a record whose tombstone is gone.
    #[test]
    fn what_compaction_can_read_depends_on_no_setting_of_the_topic() {
        let most = |bytes: &str| {
            let pairs = [("cleanup.policy", "compact"), ("max.message.bytes", bytes)];
            let cleaning = settings(&pairs).unwrap().rules.cleaning.unwrap();
            cleaning.decompressed_bytes_max
        };
        assert_eq!(most("1000"), most("2147483647"));
    }
}
