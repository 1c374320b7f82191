//! One sync round of one log, done beside the shard.
//!
//! The shard takes a [`SyncPoint`] from its log, a worker runs it, and the shard gives the [`SyncDone`]
//! back. In this order: data (trimmed first if a ROLL ended the file), names, and only then the hint. The
//! index of a sealed segment is written last; it is derived, so its failure closes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::WriteError;
use super::hint::{Hint, HintFile};
use crate::fs::{Disk, DiskFile};
use crate::index::SparseIndex;
use crate::index::file::{self as index_file, Summary};
use crate::segment::Tail;

/// What is written and not yet synced. At most one is outstanding per log.
#[derive(Debug)]
#[must_use = "a sync point that is not run leaves its log waiting for ever"]
pub struct SyncPoint {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    /// Set when a name in the directory is new.
    pub(super) names: bool,
    /// Set when the point covers a ROLL.
    pub(super) seal: Option<Seal>,
    pub(super) hint: Arc<HintFile>,
    pub(super) tail: Tail,
    pub(super) bytes: u64,
}

/// The end of a segment: its exact size and its index file.
#[derive(Debug)]
pub(super) struct Seal {
    pub(super) index_path: PathBuf,
    pub(super) summary: Summary,
    pub(super) index: SparseIndex,
}

/// The outcome of [`SyncPoint::run`], for [`super::Log::synced`].
#[derive(Debug)]
#[must_use = "the log learns of the sync only from this"]
pub struct SyncDone {
    pub(super) result: Result<(), WriteError>,
    pub(super) tail: Tail,
    pub(super) bytes: u64,
    pub(super) sealed: bool,
}

impl SyncPoint {
    /// Syncs and then raises the hint; blocks, so it runs on a worker thread.
    pub fn run(self) -> SyncDone {
        let result = self.sync();
        if let (Ok(()), Some(seal)) = (&result, &self.seal)
            && let Err(error) =
                index_file::write(&*self.disk, &seal.index_path, &seal.summary, &seal.index)
        {
            tracing::warn!(path = %seal.index_path.display(), %error, "index not written, will be rebuilt");
        }
        SyncDone {
            result,
            tail: self.tail,
            bytes: self.bytes,
            sealed: self.seal.is_some(),
        }
    }

    fn sync(&self) -> Result<(), WriteError> {
        if let Some(seal) = &self.seal {
            self.file
                .set_size(seal.summary.segment_bytes)
                .map_err(WriteError::new("trim", &self.path))?;
        }
        self.file
            .sync_data()
            .map_err(WriteError::new("sync", &self.path))?;
        if self.names {
            self.disk
                .sync_dir(&self.dir)
                .map_err(WriteError::new("sync", &self.dir))?;
        }
        self.hint
            .raise(Hint::of(self.tail), self.bytes)
            .map_err(WriteError::new("write", self.hint.path()))
    }
}
