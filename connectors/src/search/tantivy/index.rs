//! The open index of one view: its writer, what is staged, and what readers see.
//!
//! ```text
//! apply -> staged payload + documents in the writer -- commit --> meta.json renamed -> readers reload
//! drop or crash before commit: both are gone together, and the next open starts from the committed payload
//! ```
//! One process opens an index for writing (Tantivy's lock file); all partitions of a view share it.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::directory::MmapDirectory;
use tantivy::directory::error::LockError;
use tantivy::schema::Term;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, TantivyError};

use headrace_clients::change::Version;

use super::encode::TantivyValue;
use super::layout::{Columns, Layout, covers};
use super::payload::{Payload, pair};
use crate::sink::{
    Applied, Call, Failed, Identity, Operation, Partition, Position, Prepared, SinkError, Watermark,
};

/// Memory of the writer before it writes a segment; Tantivy's least is 15 MB.
const WRITER_BYTES: usize = 32 << 20;
/// Longest key in bytes: Tantivy drops a longer term without a word.
const KEY_BYTES_MAX: usize = 65_000;

/// What a search needs; cheap to clone.
#[derive(Clone)]
pub(super) struct Searchable {
    pub(super) index: Index,
    pub(super) reader: IndexReader,
    pub(super) layout: Arc<Layout>,
}

/// An index open for writing.
pub(super) struct OpenIndex {
    folder: PathBuf,
    /// None after an error of it: what it had taken is in doubt, so the index must be opened again.
    writer: Option<IndexWriter<TantivyDocument>>,
    searchable: Searchable,
    staged: Payload,
    dirty: bool,
}

impl OpenIndex {
    /// Opens what is there, or a new index without columns.
    pub(super) fn open(folder: &Path) -> Result<OpenIndex, SinkError> {
        remove_if_there(&set_aside(folder)).map_err(|error| unusable(folder, &error))?;
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        let directory = MmapDirectory::open(folder).map_err(|error| unusable(folder, &error))?;
        let exists = Index::exists(&directory).map_err(|error| unusable(folder, &error))?;
        if !exists {
            check_ours(folder)?;
            return OpenIndex::create(folder, Payload::default());
        }
        let index = Index::open(directory).map_err(|error| unusable(folder, &error))?;
        let meta = index
            .load_metas()
            .map_err(|error| unusable(folder, &error))?;
        let payload = match meta.payload.as_deref() {
            None => None,
            Some(json) => Some(Payload::read(json).ok_or_else(|| foreign(folder))?),
        };
        match payload {
            None if meta.segments.is_empty() => OpenIndex::recreate(folder, Payload::default()),
            None => Err(foreign(folder)),
            Some(payload) => OpenIndex::with(folder, index, payload),
        }
    }

    fn create(folder: &Path, payload: Payload) -> Result<OpenIndex, SinkError> {
        let layout = Layout::new(&payload.columns);
        let index = Index::create_in_dir(folder, layout.schema)
            .map_err(|error| unusable(folder, &error))?;
        OpenIndex::with(folder, index, payload)
    }

    /// The folder goes aside as a whole before it is removed: a crash leaves the old index or none, never a part of it.
    fn recreate(folder: &Path, payload: Payload) -> Result<OpenIndex, SinkError> {
        let aside = set_aside(folder);
        remove_if_there(&aside).map_err(|error| unusable(folder, &error))?;
        std::fs::rename(folder, &aside).map_err(|error| unusable(folder, &error))?;
        remove_if_there(&aside).map_err(|error| unusable(folder, &error))?;
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        OpenIndex::create(folder, payload)
    }

    fn with(folder: &Path, index: Index, payload: Payload) -> Result<OpenIndex, SinkError> {
        let failed = |error: TantivyError| match error {
            TantivyError::LockFailure(LockError::LockBusy, _) => SinkError::Unavailable(format!(
                "another process writes the index in {}",
                folder.display()
            )),
            error => unusable(folder, &error),
        };
        let writer: IndexWriter<TantivyDocument> = index
            .writer_with_num_threads(1, WRITER_BYTES)
            .map_err(failed)?;
        // a commit that a crash cut short leaves files of names that the same operations, applied again, want to create
        writer.garbage_collect_files().wait().map_err(failed)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(failed)?;
        let layout = Arc::new(Layout::new(&payload.columns));
        let searchable = Searchable {
            index,
            reader,
            layout,
        };
        Ok(OpenIndex {
            folder: folder.to_owned(),
            writer: Some(writer),
            searchable,
            staged: payload,
            dirty: false,
        })
    }

    pub(super) fn searchable(&self) -> &Searchable {
        &self.searchable
    }

    /// Empties the index and gives it these columns.
    fn empty(&mut self, payload: Payload) -> Result<(), SinkError> {
        // the writer's lock and threads go before its files do
        self.writer = None;
        *self = OpenIndex::recreate(&self.folder, payload)?;
        Ok(())
    }

    /// Takes rows with these columns, first seen at `version`; empties the index where it must.
    pub(super) fn prepare(
        &mut self,
        columns: Columns,
        version: Option<Version>,
    ) -> Result<Prepared, SinkError> {
        let newer = version.map(pair) > self.staged.columns_since || self.staged.is_fresh();
        if covers(&self.staged.columns, &columns) || !newer {
            return Ok(Prepared::Ready);
        }
        let fresh = self.staged.is_fresh();
        self.empty(Payload::new(columns, version))?;
        Ok(if fresh {
            Prepared::Ready
        } else {
            Prepared::Emptied
        })
    }

    pub(super) fn stored(
        &self,
        ours: &Identity,
        partition: Partition,
    ) -> Result<Option<Watermark>, SinkError> {
        self.staged.check_identity(ours)?;
        match &self.writer {
            Some(_) => Ok(self.staged.watermark(partition)),
            None => Err(self.closed()),
        }
    }

    fn closed(&self) -> SinkError {
        SinkError::Unavailable(format!(
            "the index in {} was closed after an error",
            self.folder.display()
        ))
    }

    /// Uses the writer; an error of it closes the index.
    fn with_writer<R>(
        &mut self,
        work: impl FnOnce(&mut IndexWriter<TantivyDocument>) -> Result<R, TantivyError>,
    ) -> Result<R, SinkError> {
        let Some(writer) = &mut self.writer else {
            return Err(self.closed());
        };
        work(writer).map_err(|error| {
            self.writer = None;
            unusable(&self.folder, &error)
        })
    }

    /// Stages the operations of a call with its watermark.
    pub(super) fn apply(
        &mut self,
        ours: &Identity,
        partition: Partition,
        call: &Call<TantivyValue>,
    ) -> Result<Applied, SinkError> {
        self.staged.judge(ours, partition, call)?;
        let before = self
            .staged
            .watermark(partition)
            .map(|stored| stored.position);
        let (mut applied, mut skipped) = (0, 0);
        let mut last: Option<Position> = None;
        for (at, operation) in call.operations.iter().enumerate() {
            if is_old(before, operation) {
                skipped += 1;
                continue;
            }
            if operation.key.len() > KEY_BYTES_MAX {
                if let Some(position) = last {
                    self.stage(ours, partition, call, position);
                }
                let reason = format!(
                    "its key has {} bytes, an index takes {KEY_BYTES_MAX}",
                    operation.key.len()
                );
                return Ok(Applied {
                    applied,
                    skipped,
                    failed: Some(Failed {
                        operation: at,
                        reason,
                    }),
                });
            }
            self.write(operation)?;
            applied += 1;
            last = Some(Position {
                offset: operation.offset,
                version: operation.version,
                partial: true,
            });
        }
        self.stage(ours, partition, call, call.position);
        Ok(Applied {
            applied,
            skipped,
            failed: None,
        })
    }

    fn stage(
        &mut self,
        ours: &Identity,
        partition: Partition,
        call: &Call<TantivyValue>,
        position: Position,
    ) {
        self.staged.store(ours, partition, call.epoch, position);
        self.dirty = true;
    }

    fn write(&mut self, operation: &Operation<TantivyValue>) -> Result<(), SinkError> {
        let key = self.searchable.layout.key;
        self.with_writer(|writer| {
            writer.delete_term(Term::from_field_text(key, &operation.key));
            if let Some(value) = &operation.value {
                let mut document = value.document.clone();
                document.add_text(key, &operation.key);
                writer.add_document(document)?;
            }
            Ok(())
        })
    }

    /// Makes what is staged durable, and lets readers see it.
    pub(super) fn commit(&mut self) -> Result<(), SinkError> {
        if !self.dirty {
            return Ok(());
        }
        let payload = self.staged.write();
        let reader = self.searchable.reader.clone();
        self.with_writer(|writer| {
            let mut prepared = writer.prepare_commit()?;
            prepared.set_payload(&payload);
            prepared.commit()?;
            reader.reload()
        })?;
        self.dirty = false;
        Ok(())
    }

    /// Deletes everything; the columns stay.
    pub(super) fn reset(&mut self) -> Result<u64, SinkError> {
        let rows = self.searchable.reader.searcher().num_docs();
        let since = self
            .staged
            .columns_since
            .map(|(csn, index)| Version { csn, index });
        self.empty(Payload::new(self.staged.columns.clone(), since))?;
        Ok(rows)
    }
}

fn is_old(before: Option<Position>, operation: &Operation<TantivyValue>) -> bool {
    let Some(before) = before else { return false };
    let by_version = operation
        .version
        .zip(before.version)
        .is_some_and(|(version, seen)| version <= seen);
    operation.offset <= before.offset || by_version
}

/// Where an index that is to go is put before its files are removed; no view's name begins with a dot.
fn set_aside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.emptied"))
}

fn remove_if_there(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// A folder without an index is used only when nothing is in it, or what a crash leaves of making one: Tantivy's locks, its
/// list of files, and the temporary file that was to become `meta.json`.
fn check_ours(folder: &Path) -> Result<(), SinkError> {
    let unfinished = [".tantivy", ".managed.json", ".tmp"];
    let entries = std::fs::read_dir(folder).map_err(|error| unusable(folder, &error))?;
    let foreign_entry = entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        !unfinished.iter().any(|start| name.starts_with(start))
    });
    if foreign_entry {
        Err(foreign(folder))
    } else {
        Ok(())
    }
}

fn foreign(folder: &Path) -> SinkError {
    SinkError::Refused {
        message: format!(
            "{} holds something else than an index of this view",
            folder.display()
        ),
        hint: "name another folder in [target.NAME], or empty it".into(),
    }
}

fn unusable(folder: &Path, error: &dyn std::error::Error) -> SinkError {
    SinkError::Unavailable(format!("index in {}: {error}", folder.display()))
}
