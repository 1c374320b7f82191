//! Whose log it is, and its sizes.

use uuid::Uuid;

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
    /// The offset and time indexes get an entry about every so many bytes.
    pub index_interval_bytes: u64,
    /// Look-ups by time decompress at most this much of a batch; one that needs more is passed over.
    pub decompressed_bytes_max: usize,
}

impl Default for LogConfig {
    /// Kafka's defaults: 1 GiB, 7 days, 4 KiB.
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes_max: 1 << 30,
            segment_age_ms_max: 7 * 24 * 3_600_000,
            index_interval_bytes: 4096,
            decompressed_bytes_max: 16 << 20,
        }
    }
}
