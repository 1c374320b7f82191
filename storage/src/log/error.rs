//! What can go wrong with a log, one type per operation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::manifest::InstallError;
use crate::position::{EntryIndex, LeaderEpoch, Offset};

/// What to do about a log that is refused.
const ADVICE: &str = "Nothing was changed: restore the log's directory from a copy or a replica; \
    `headrace log verify` on it says what is still sound";

/// Why a log cannot be opened. Nothing on disk was changed by `Corrupt`.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The disk's error.
        source: io::Error,
    },
    /// Bytes that were durable are not what was written, or were written by a newer program.
    #[error("log is corrupt: {file} at byte {position}: {reason}. {ADVICE}")]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What does not fit.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.to_path_buf();
        move |source| OpenError::Io {
            operation,
            path,
            source,
        }
    }

    pub(crate) fn corrupt(file: &Path, position: u64, reason: impl Into<String>) -> OpenError {
        OpenError::Corrupt {
            file: file.to_path_buf(),
            position,
            reason: reason.into(),
        }
    }
}

/// Why an entry was not taken.
#[derive(Debug, Error, Clone)]
pub enum AppendError {
    /// An earlier write or sync failed.
    #[error(transparent)]
    Closed(#[from] WriteError),
    /// The caller's view of the log is not the log: a mistake of the caller.
    #[error(
        "entry at offset {offset}, epoch {epoch} does not continue the log at offset {log_end}, epoch {log_epoch}"
    )]
    Discontinuous {
        /// The entry's offset.
        offset: Offset,
        /// The entry's epoch.
        epoch: LeaderEpoch,
        /// The log's next offset.
        log_end: Offset,
        /// The log's epoch.
        log_epoch: LeaderEpoch,
    },
}

/// The failure that closed a log to writes; it stays closed until it is opened anew.
#[derive(Debug, Error, Clone)]
#[error("log is closed to writes: cannot {operation} {path}: {source}")]
pub struct WriteError {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The disk's error.
    #[source]
    pub source: Arc<io::Error>,
}

impl WriteError {
    pub(crate) fn new(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> WriteError {
        let path = path.to_path_buf();
        move |source| WriteError {
            operation,
            path,
            source: Arc::new(source),
        }
    }
}

impl ReadError {
    /// Whether the bytes were removed or replaced since the view was taken: retention, compaction and truncation
    /// replace the view first, then the file. A newer view can be read.
    pub fn is_gone(&self) -> bool {
        match self {
            ReadError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            ReadError::Truncated { .. } => true,
            ReadError::OutOfRange { .. }
            | ReadError::NoSuchEntry { .. }
            | ReadError::Corrupt { .. }
            | ReadError::Damaged { .. } => false,
        }
    }
}

/// Why a read failed. The log stays open; other ranges may read well.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The offset lies outside the log.
    #[error("offset {offset} is outside the log ({log_start} to {log_end})")]
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The first offset there is.
        log_start: Offset,
        /// The offset after the last.
        log_end: Offset,
    },
    /// The entry is not there: compacted or removed, or not yet written.
    #[error("entry {index} is outside the log's entries ({first_index} to {last_index})")]
    NoSuchEntry {
        /// The entry asked for.
        index: EntryIndex,
        /// The first that can be had.
        first_index: EntryIndex,
        /// The last there is.
        last_index: EntryIndex,
    },
    /// Entries were truncated while they were read; they were never committed.
    #[error("the end of {file} was truncated during the read")]
    Truncated {
        /// The file.
        file: PathBuf,
    },
    /// The disk failed.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The disk's error.
        source: io::Error,
    },
    /// The bytes are not what was written.
    #[error("{file} is corrupt at byte {position}: {reason}")]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What does not fit.
        reason: String,
    },
    /// The scrub found the bytes damaged; they are not given out.
    #[error("{file} is damaged at byte {position}: {reason}")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What does not fit.
        reason: String,
    },
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> OpenError {
        match error {
            ReadError::Corrupt {
                file,
                position,
                reason,
            } => OpenError::Corrupt {
                file,
                position,
                reason,
            },
            ReadError::Io { path, source } => OpenError::Io {
                operation: "read",
                path,
                source,
            },
            other => OpenError::Io {
                operation: "read",
                path: PathBuf::new(),
                source: io::Error::other(other),
            },
        }
    }
}

impl From<InstallError> for OpenError {
    fn from(error: InstallError) -> OpenError {
        match error {
            InstallError::Io {
                operation,
                path,
                source,
            } => OpenError::Io {
                operation,
                path,
                source,
            },
            InstallError::Damaged { path, reason } => OpenError::corrupt(&path, 0, reason),
            other => OpenError::Io {
                operation: "install",
                path: PathBuf::new(),
                source: io::Error::other(other),
            },
        }
    }
}

impl ReadError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
        let path = path.to_path_buf();
        move |source| ReadError::Io { path, source }
    }
}
