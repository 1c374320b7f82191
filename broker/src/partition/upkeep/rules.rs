//! What a topic's settings ask of the upkeep of its logs.

use std::time::Duration;

use headrace_storage::compaction::{CleaningConfig, DECOMPRESSED_BYTES_MAX};
use headrace_storage::retention::Retention;

use crate::topic_config::TopicConfig;

/// The rules of one topic.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::partition) struct Rules {
    /// What may be removed by age and size; nothing unless the policy says delete.
    pub(in crate::partition) retention: Retention,
    /// How long after the move of the log start files stay.
    pub(in crate::partition) delete_delay_ms: i64,
    /// How it is compacted, if the policy says so.
    pub(in crate::partition) cleaning: Option<CleaningConfig>,
}

impl Rules {
    pub(in crate::partition) fn of(config: &TopicConfig) -> Rules {
        let age_ms_max = config.retention.map(millis);
        let retention = Retention {
            age_ms_max,
            size_bytes_max: config.retention_bytes_max,
        };
        Rules {
            retention: if config.delete {
                retention
            } else {
                Retention::default()
            },
            delete_delay_ms: millis(config.file_delete_delay),
            cleaning: config.compact.then(|| cleaning(config)),
        }
    }
}

fn cleaning(config: &TopicConfig) -> CleaningConfig {
    CleaningConfig {
        dirty_ratio_min: config.dirty_ratio_min,
        lag_ms_min: millis(config.compaction_lag_min),
        lag_ms_max: config.compaction_lag_max.map_or(i64::MAX, millis),
        delete_retention_ms: millis(config.delete_retention),
        segment_bytes_max: u64::try_from(config.segment_bytes_max).unwrap_or(u64::MAX),
        index_bytes_max: config.segment_index_bytes_max,
        // no setting of the topic: it must never change for a log
        decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
    }
}

/// A time in milliseconds, the greatest number for all that is longer.
pub(in crate::partition) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
