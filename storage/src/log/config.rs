//! Whose log it is, and its sizes.

use uuid::Uuid;

use crate::position::EntryIndex;

/// Whose log it is; written into every segment's header and compared when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The cluster.
    pub cluster_id: Uuid,
    /// The topic, by id: names change.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
}

/// Sizes and ages of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is rolled before it grows beyond this.
    pub segment_bytes_max: u64,
    /// A segment is rolled when it is older than this, in milliseconds.
    pub segment_age_ms_max: i64,
    /// At most so many milliseconds are taken off that age, differently for each segment.
    pub segment_jitter_ms_max: i64,
    /// A segment is rolled when its index file would be as large as this.
    pub segment_index_bytes_max: u64,
    /// The offset and time indexes get an entry about every so many bytes.
    pub index_interval_bytes: u64,
    /// Look-ups by time decompress at most this much of a batch; one that needs more is passed over.
    pub decompressed_bytes_max: usize,
}

impl Default for LogConfig {
    /// Kafka's defaults: 1 GiB, 7 days, an index of 10 MiB with an entry for each 4 KiB.
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes_max: 1 << 30,
            segment_age_ms_max: 7 * 24 * 3_600_000,
            segment_jitter_ms_max: 0,
            segment_index_bytes_max: 10 << 20,
            index_interval_bytes: 4096,
            decompressed_bytes_max: 16 << 20,
        }
    }
}

impl LogConfig {
    /// The age at which the segment that begins with this entry is rolled: the jitter is drawn from its place,
    /// so that every start draws the same, and that segments made together do not end together.
    pub(crate) fn segment_age_ms(&self, identity: &LogIdentity, base_index: EntryIndex) -> i64 {
        let jitter_max = self.segment_jitter_ms_max.min(self.segment_age_ms_max);
        let mut draw = crc32c::crc32c(identity.topic_id.as_bytes());
        draw = crc32c::crc32c_append(draw, &identity.partition.to_be_bytes());
        draw = crc32c::crc32c_append(draw, &base_index.0.to_be_bytes());
        let part = i128::from(draw) * i128::from(jitter_max.max(0)) / (1_i128 << 32);
        let jitter = i64::try_from(part).unwrap_or(jitter_max);
        self.segment_age_ms_max.saturating_sub(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_spreads_segments_below_their_age() {
        let config = LogConfig {
            segment_age_ms_max: 10_000,
            segment_jitter_ms_max: 4_000,
            ..LogConfig::default()
        };
        let ages: Vec<i64> = (0..200)
            .map(|partition| {
                let identity = LogIdentity {
                    cluster_id: Uuid::nil(),
                    topic_id: Uuid::from_u128(7),
                    partition,
                };
                config.segment_age_ms(&identity, EntryIndex(1))
            })
            .collect();
        assert!(ages.iter().all(|age| (6_000..=10_000).contains(age)));
        assert!(ages.iter().any(|age| *age < 7_000) && ages.iter().any(|age| *age > 9_000));
        let wide = LogConfig {
            segment_jitter_ms_max: i64::MAX,
            ..config
        };
        let identity = LogIdentity {
            cluster_id: Uuid::nil(),
            topic_id: Uuid::nil(),
            partition: 0,
        };
        assert!(wide.segment_age_ms(&identity, EntryIndex(9)) >= 0);
    }
}
