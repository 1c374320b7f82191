//! One sync round of one log, done beside the shard.
//!
//! The shard takes a [`SyncPoint`] from its log, a worker runs it, and the shard gives the [`SyncDone`]
//! back. In this order: data (trimmed first if a ROLL ended the file), names. The index of a sealed segment is
//! written last; it is derived, so its failure closes nothing. The shard then stages [`Log::hint`] in its vote
//! journal.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::Log;
use super::checkpoint::LogCheckpoint;
use super::error::WriteError;
use super::hint::Hint;
use super::write::Active;
use crate::fs::{Disk, DiskFile};
use crate::index::CachedIndex;
use crate::index::file::{Kept, Pending};
use crate::planted::{Mistake, planted};
use crate::position::Offset;
use crate::scrub::Damage;
use crate::segment::reader::{SealedFile, Segment};
use crate::segment::writer::Writer;
use crate::segment::{Span, Tail, index_name};

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
    /// Set when the point covers a ROLL: the exact size of the file.
    pub(super) trim: Option<u64>,
    /// The part of the index that is written when all is durable.
    pub(super) index: Option<Pending>,
    pub(super) tail: Tail,
    pub(super) bytes: u64,
}

/// The outcome of [`SyncPoint::run`], for [`Log::synced`].
#[derive(Debug)]
#[must_use = "the log learns of the sync only from this"]
pub struct SyncDone {
    pub(super) result: Result<(), WriteError>,
    pub(super) tail: Tail,
    pub(super) bytes: u64,
    pub(super) sealed: bool,
    /// How much of the index lies in its file now.
    pub(super) kept: Option<Kept>,
}

impl SyncDone {
    /// How much data it covered, for the vote journal.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl SyncPoint {
    /// Makes it durable; blocks, so it runs on a worker thread.
    pub fn run(self) -> SyncDone {
        let result = self.prepare().and_then(|_| self.sync());
        self.finish(result)
    }

    /// First: the file gets its exact size if it is to be sealed. Gives what
    /// [`SyncPoint::synced_otherwise`] needs.
    pub(crate) fn prepare(&self) -> Result<u64, WriteError> {
        let trim = self.trim.map_or(Ok(()), |size| self.file.set_size(size));
        trim.map_err(WriteError::new("trim", &self.path))?;
        Ok(self.file.write_mark())
    }

    /// Instead of [`SyncPoint::sync`], when the whole file system was synced.
    pub(crate) fn synced_otherwise(&self, mark: u64) {
        self.file.synced_otherwise(mark);
    }

    /// Then: bytes and names, or a sync of the whole file system instead (`durability`).
    pub(crate) fn sync(&self) -> Result<(), WriteError> {
        self.sync_file()
            .map_err(WriteError::new("sync", &self.path))?;
        if self.names && !planted(Mistake::NoDirectorySyncAtRoll) {
            self.disk
                .sync_dir(&self.dir)
                .map_err(WriteError::new("sync", &self.dir))?;
        }
        Ok(())
    }

    /// Last: the index, once all that it describes is durable.
    pub(crate) fn finish(self, result: Result<(), WriteError>) -> SyncDone {
        let kept = match (&result, &self.index) {
            (Ok(()), Some(index)) => keep_index(&*self.disk, index),
            _ => None,
        };
        SyncDone {
            result,
            tail: self.tail,
            bytes: self.bytes,
            sealed: self.trim.is_some(),
            kept,
        }
    }

    fn sync_file(&self) -> io::Result<()> {
        if self.trim.is_some() && planted(Mistake::SealedWithoutSync) {
            return Ok(());
        }
        match self.file.sync_data() {
            Err(_) if planted(Mistake::RetryAfterFailedSync) => self.file.sync_data(),
            result => result,
        }
    }
}

/// Writes a part of an index; it is derived data, so nothing is closed if that fails.
fn keep_index(disk: &dyn Disk, index: &Pending) -> Option<Kept> {
    match index.write(disk) {
        Ok(kept) => Some(kept),
        Err(error) => {
            tracing::warn!(path = %index.path.display(), %error, "index not written, will be rebuilt");
            None
        }
    }
}

impl Log {
    /// What is written and not synced; `None` if there is nothing, one sync is outstanding, or the log
    /// is closed.
    pub fn sync_point(&mut self) -> Option<SyncPoint> {
        if self.sync_outstanding || self.closed.is_some() || self.unsynced_bytes == 0 {
            return None;
        }
        let active = self.active.as_ref()?;
        let index_path = self.index_path(active);
        let point = SyncPoint {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            path: active.writer.path.to_path_buf(),
            file: Arc::clone(&active.writer.file),
            names: std::mem::take(&mut self.names_unsynced),
            trim: active.rolled.map(|_| active.writer.position),
            index: active.due_index(index_path, self.written),
            tail: self.written,
            bytes: self.unsynced_bytes,
        };
        self.sync_outstanding = true;
        Some(point)
    }

    fn index_path(&self, active: &Active) -> PathBuf {
        self.dir.join(index_name(
            active.writer.base_offset,
            active.writer.base_index,
        ))
    }

    /// Takes note of a sync, writes what the sync made room for, and returns the flushed offset.
    pub fn synced(&mut self, done: SyncDone) -> Result<Offset, WriteError> {
        self.sync_outstanding = false;
        if let Err(error) = done.result {
            return Err(self.closed.get_or_insert(error).clone());
        }
        self.flushed = if planted(Mistake::SyncCoversLater) {
            self.written
        } else {
            done.tail
        };
        self.unsynced_bytes -= done.bytes;
        if let (Some(kept), Some(active)) = (done.kept, &mut self.active) {
            active.kept = kept;
        }
        if done.sealed
            && let Some(active) = self.active.take()
        {
            self.seal(active);
            self.publish();
        }
        self.write()?;
        Ok(self.flushed.offset)
    }

    /// Hands a synced, rolled file to the readers as a segment that never changes again.
    fn seal(&mut self, active: Active) {
        let index_path = self.index_path(&active);
        let Writer {
            path,
            file,
            base_offset,
            base_index,
            position,
            index,
            cut,
            ..
        } = active.writer;
        let open_after = index.state().open.clone();
        let open_before = std::mem::replace(&mut self.open_transactions, open_after);
        let sealed = SealedFile {
            disk: Arc::clone(&self.disk),
            path: path.to_path_buf(),
            index_path,
            index_interval_bytes: self.config.index_interval_bytes,
            file: OnceLock::from(file),
            index: CachedIndex::of(index.index().clone()),
            cut,
            open_before,
            compacted: None,
            damage: Damage::default(),
        };
        let (max_timestamp, transactions) = (index.max_timestamp(), index.transactions());
        let span = Span {
            base_offset,
            base_index,
            end_offset: self.written.offset,
            last_index: self.written.index,
        };
        let segment = Segment::sealed(span, position, max_timestamp, transactions, sealed);
        Arc::make_mut(&mut self.sealed).push(segment);
        self.sealed_bytes += position;
    }

    /// How far the log is durable, for the vote journal.
    pub fn hint(&self) -> Hint {
        if planted(Mistake::HintBeforeData) {
            return Hint::of(self.written);
        }
        Hint::of(self.flushed)
    }

    /// Writes and syncs everything, and trims the preallocated room.
    ///
    /// A [`SyncPoint`] that is outstanding must have come back first; otherwise its failure could be
    /// lost, so the log is left for recovery and an error returned.
    pub fn close(mut self) -> Result<LogCheckpoint, WriteError> {
        if self.sync_outstanding {
            let error = io::Error::other("a sync is outstanding");
            return Err(WriteError::new("close", &self.dir)(error));
        }
        self.write()?;
        if planted(Mistake::CheckpointBeforeData) {
            return Ok(self.checkpoint());
        }
        while let Some(point) = self.sync_point() {
            self.synced(point.run())?;
        }
        let tail = self.written;
        if let Some(active) = &mut self.active {
            let writer = &mut active.writer;
            let trimmed = writer.trim();
            if trimmed.map_err(WriteError::new("trim", &writer.path))? {
                let synced = writer.file.sync_data();
                synced.map_err(WriteError::new("sync", &writer.path))?;
            }
        }
        if let Some(active) = &self.active
            && active.kept.segment_bytes < active.writer.position
        {
            keep_index(&*self.disk, &active.index(self.index_path(active), tail));
        }
        self.publish();
        Ok(self.checkpoint())
    }
}
