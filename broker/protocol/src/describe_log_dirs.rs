//! DescribeLogDirs (key 35): where partitions lie on a broker's disks, and how large they are (KIP-113).

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api DescribeLogDirs [1..=5, flexible 2]: DescribeLogDirsRequest => DescribeLogDirsResponse;

    /// The partitions asked about.
    pub struct DescribeLogDirsRequest {
        /// Null for all.
        topics: Option<Vec<DescribableLogDirTopic>> [..];
    }

    /// The partitions of one topic.
    pub struct DescribableLogDirTopic {
        topic: Str [..];
        partitions: Vec<i32> [..];
    }

    /// The broker's directories.
    pub struct DescribeLogDirsResponse {
        throttle_time_ms: i32 [.., ignorable];
        error_code: ErrorCode [3.., ignorable];
        results: Vec<DescribeLogDirsResult> [..];
    }

    /// A directory and what of the partitions asked about lies in it.
    pub struct DescribeLogDirsResult {
        error_code: ErrorCode [..];
        log_dir: Str [..];
        topics: Vec<DescribeLogDirsTopic> [..];
        /// Of the file system; -1 if unknown.
        total_bytes: i64 [4.., ignorable] = -1;
        /// What an ordinary user may still fill; -1 if unknown.
        usable_bytes: i64 [4.., ignorable] = -1;
        /// Whether the directory takes no new partitions (KIP-1066).
        is_cordoned: bool [5.., ignorable];
    }

    /// The partitions of one topic.
    pub struct DescribeLogDirsTopic {
        name: Str [..];
        partitions: Vec<DescribeLogDirsPartition> [..];
    }

    /// One partition.
    pub struct DescribeLogDirsPartition {
        partition_index: i32 [..];
        /// Bytes of its log segments.
        partition_size: i64 [..];
        /// How far the replica is behind the high watermark.
        offset_lag: i64 [..];
        /// Whether the replica is being moved here.
        is_future_key: bool [..];
    }
}
