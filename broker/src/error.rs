//! Why a broker does not start or stop, and the one place where failures inside become Kafka's error codes.

use std::io;
use std::net::IpAddr;

use headrace_protocol::ErrorCode;
use headrace_storage::data_dir::DataDirError;
use headrace_storage::record::{BatchError, CompressionError};
use headrace_storage::{ReadError, WriteError};

use crate::broker_settings::SettingRefused;
use crate::controller::image::{PARTITIONS_MAX, TopicRefused};
use crate::partition::AppendFailure;
use crate::partition::producers::SequenceError;
use crate::partition::registry::{ChangeFailure, LoadError};

/// Why a broker does not start. Each says what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listen address is not one.
    #[error("cannot listen on {listen:?}: {reason} (listen is host:port, such as 127.0.0.1:9092)")]
    Listen {
        /// What was configured.
        listen: String,
        /// What is wrong.
        reason: String,
    },
    /// The port cannot be had.
    #[error("cannot listen on {listen}: {source} (choose another port, or stop what uses it)")]
    Bind {
        /// What was configured.
        listen: String,
        /// The system's error.
        source: io::Error,
    },
    /// The advertised address is not one.
    #[error("advertised = {0:?} is not host:port")]
    Advertised(String),
    /// Clients cannot connect to a wildcard.
    #[error(
        "listening on all addresses ({0}) needs `advertised`: the host:port that clients connect to"
    )]
    WildcardWithoutAdvertised(IpAddr),
    /// Other machines could connect, and there is no authentication.
    #[error(
        "listening on {0} lets other machines in without authentication; use a loopback address, or allow it with --insecure"
    )]
    Exposed(IpAddr),
    /// Not a number of partitions.
    #[error("partitions = {0}: a topic has 1 to {PARTITIONS_MAX} partitions")]
    Partitions(i32),
    /// What topics are to have that do not say otherwise.
    #[error("topic_defaults: {0}")]
    TopicDefaults(String),
    /// A number out of bounds.
    #[error("{name} must be {right}")]
    Setting {
        /// The key in `[broker]`.
        name: &'static str,
        /// What would be right.
        right: &'static str,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// What is in it cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A thread or task of the start died.
    #[error("the start was interrupted: {0}")]
    Interrupted(String),
}

/// Why a stop was not clean. What was acknowledged is durable all the same.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    /// A log could not be closed; the next start recovers it.
    #[error("a log is not closed cleanly: {0}")]
    Log(#[from] WriteError),
}

impl AppendFailure {
    /// The code in a produce response.
    pub fn code(self) -> ErrorCode {
        match self {
            AppendFailure::Sequence(SequenceError::OutOfOrder { .. }) => {
                ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
            }
            AppendFailure::Sequence(SequenceError::Fenced { .. }) => {
                ErrorCode::INVALID_PRODUCER_EPOCH
            }
            AppendFailure::LogClosed | AppendFailure::NoSpace => ErrorCode::KAFKA_STORAGE_ERROR,
            AppendFailure::Deleted => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            // the client looks for the leader again, and finds it once the broker is back
            AppendFailure::NotLeader | AppendFailure::Stopping => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            AppendFailure::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
        }
    }
}

impl ChangeFailure {
    /// The code in the responses of those who change topics and settings.
    pub fn code(&self) -> ErrorCode {
        match self {
            ChangeFailure::Refused(refused) => match refused {
                TopicRefused::Exists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
                TopicRefused::Name | TopicRefused::FixedPartitions(_) => {
                    ErrorCode::INVALID_TOPIC_EXCEPTION
                }
                TopicRefused::Partitions(_) | TopicRefused::NotMore { .. } => {
                    ErrorCode::INVALID_PARTITIONS
                }
                TopicRefused::Config(_) => ErrorCode::INVALID_CONFIG,
            },
            ChangeFailure::Setting(refused) => match refused {
                SettingRefused::Unknown(_) => ErrorCode::INVALID_CONFIG,
                SettingRefused::AtStart(_)
                | SettingRefused::Invalid(_)
                | SettingRefused::TooMany => ErrorCode::INVALID_REQUEST,
            },
            ChangeFailure::Unknown => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ChangeFailure::Disk(_) | ChangeFailure::NoSpace => ErrorCode::KAFKA_STORAGE_ERROR,
            ChangeFailure::Stopping => ErrorCode::NOT_CONTROLLER,
        }
    }
}

/// The code for a batch that is not one.
pub(crate) fn batch_code(error: &BatchError) -> ErrorCode {
    match error {
        // sending the same again would not help
        BatchError::Compression(CompressionError::TooLarge { .. }) => ErrorCode::MESSAGE_TOO_LARGE,
        BatchError::Compression(CompressionError::Unknown { .. }) => {
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
        }
        // the bytes were damaged on the way: sending them again may help
        BatchError::Length { .. } | BatchError::Crc { .. } | BatchError::Compression(_) => {
            ErrorCode::CORRUPT_MESSAGE
        }
        BatchError::Size {
            wanted_bytes,
            found_bytes,
        } if found_bytes < wanted_bytes => ErrorCode::CORRUPT_MESSAGE,
        // they were made wrong: more than one batch, an old format, counts that contradict each other
        BatchError::Size { .. }
        | BatchError::Magic { .. }
        | BatchError::Count { .. }
        | BatchError::Record { .. } => ErrorCode::INVALID_RECORD,
    }
}

/// The code for a read that failed.
pub(crate) fn read_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        // only a replica that lost its leadership takes entries back: the client asks again, elsewhere
        ReadError::Truncated { .. } | ReadError::NoSuchEntry { .. } => {
            ErrorCode::NOT_LEADER_OR_FOLLOWER
        }
        ReadError::Damaged { .. } | ReadError::Io { .. } => ErrorCode::KAFKA_STORAGE_ERROR,
        ReadError::Corrupt { .. } => ErrorCode::CORRUPT_MESSAGE,
    }
}
