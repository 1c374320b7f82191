//! A disk that is read and never changed: what a start would do is noted and left undone.
//!
//! So a check is recovery itself, not a second opinion of it. Index files are hidden, which makes recovery
//! read every byte of every segment; what it writes as their new content is kept to be compared. Removed
//! names are gone for the one who removed them. Nothing that was written is read back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::{Disk, DiskFile, OpenMode, Space, WholeFileSystem};

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The file would be cut to this many bytes.
    Cut {
        /// The file.
        file: PathBuf,
        /// What would stay.
        bytes: u64,
    },
    /// The file would go.
    Remove {
        /// The file.
        file: PathBuf,
    },
    /// The file would get another name.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
}

/// What was noted; shared by the disk and its files.
#[derive(Debug, Default)]
struct Notes {
    removed: BTreeSet<PathBuf>,
    changes: Vec<Change>,
    indexes: BTreeMap<PathBuf, Vec<u8>>,
}

/// The disk below, read only.
#[derive(Clone, Debug)]
pub(super) struct DryDisk {
    below: Arc<dyn Disk>,
    notes: Arc<Mutex<Notes>>,
}

impl DryDisk {
    /// Reads from `below`.
    pub(super) fn over(below: Arc<dyn Disk>) -> DryDisk {
        let notes = Arc::default();
        DryDisk { below, notes }
    }

    /// What would have been changed so far; the list begins anew.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.notes().changes)
    }

    /// The index files that were written since the last call.
    pub(super) fn take_indexes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        std::mem::take(&mut self.notes().indexes)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_removed(&self, path: &Path) {
        self.notes().removed.insert(path.to_path_buf());
    }

    /// A name that was removed is not there any more.
    fn still_there(&self, path: &Path) -> io::Result<()> {
        let removed = self.notes().removed.contains(path);
        if removed || is_index(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(())
    }

    fn file(&self, path: &Path, below: Option<Arc<dyn DiskFile>>) -> Arc<dyn DiskFile> {
        let (disk, path) = (self.clone(), path.to_path_buf());
        Arc::new(DryFile { disk, path, below })
    }
}

impl Disk for DryDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.below.list(dir)?;
        let notes = self.notes();
        names.retain(|name| {
            let path = dir.join(name);
            !is_index(&path) && !notes.removed.contains(&path)
        });
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == OpenMode::Create {
            return Ok(self.file(path, None));
        }
        self.still_there(path)?;
        let below = self.below.open(path, OpenMode::Read)?;
        Ok(self.file(path, Some(below)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note_removed(from);
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        self.notes().changes.push(Change::Rename { from, to });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.still_there(path)?;
        self.below.open(path, OpenMode::Read)?;
        self.note_removed(path);
        let file = path.to_path_buf();
        self.notes().changes.push(Change::Remove { file });
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.note_removed(dir);
        let file = dir.to_path_buf();
        self.notes().changes.push(Change::Remove { file });
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.below.space(dir)
    }

    fn own_file_system(&self, _: &Path) -> io::Result<Option<Arc<dyn WholeFileSystem>>> {
        Ok(None)
    }
}

fn is_index(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "index")
}

/// A file below, or one that was never made.
#[derive(Debug)]
struct DryFile {
    disk: DryDisk,
    path: PathBuf,
    below: Option<Arc<dyn DiskFile>>,
}

impl DiskFile for DryFile {
    fn size(&self) -> io::Result<u64> {
        self.below.as_ref().map_or(Ok(0), |below| below.size())
    }

    fn read_at(&self, position: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        match &self.below {
            Some(below) => below.read_at(position, len, out),
            None => Ok(()),
        }
    }

    fn write_at(&self, position: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        if is_index(&self.path) {
            let mut notes = self.disk.notes();
            let bytes = notes.indexes.entry(self.path.clone()).or_default();
            bytes.truncate(usize::try_from(position).unwrap_or(usize::MAX));
            for slice in slices {
                bytes.extend_from_slice(slice);
            }
        }
        Ok(())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        let file = self.path.clone();
        self.disk.notes().changes.push(Change::Cut { file, bytes });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, position: u64, len: u64) -> io::Result<()> {
        match &self.below {
            Some(below) => below.drop_cache(position, len),
            None => Ok(()),
        }
    }
}
