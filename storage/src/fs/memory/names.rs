//! The names of files and directories in memory: as they are seen, as they are durable, and the changes
//! between, each of which a crash may keep or lose by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::FileId;

/// One change of a directory.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create {
        path: PathBuf,
        file: FileId,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        file: FileId,
    },
    Remove {
        path: PathBuf,
        file: FileId,
    },
    RemoveDir {
        path: PathBuf,
    },
}

impl NameChange {
    /// The directory whose sync makes it durable.
    fn dir(&self) -> Option<&Path> {
        self.path().parent()
    }

    /// The name that appears or disappears.
    pub(super) fn path(&self) -> &Path {
        match self {
            NameChange::Rename { to: path, .. }
            | NameChange::Create { path, .. }
            | NameChange::Remove { path, .. }
            | NameChange::RemoveDir { path } => path,
        }
    }

    pub(super) fn file(&self) -> Option<FileId> {
        match self {
            NameChange::Create { file, .. }
            | NameChange::Rename { file, .. }
            | NameChange::Remove { file, .. } => Some(*file),
            NameChange::RemoveDir { .. } => None,
        }
    }
}

/// Files and directories by their paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<PathBuf, FileId>,
    pub(super) dirs: BTreeSet<PathBuf>,
}

impl Tree {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Create { path, file } => {
                self.files.insert(path.clone(), *file);
            }
            NameChange::Rename { from, to, file } => {
                self.forget(from, *file);
                self.files.insert(to.clone(), *file);
            }
            NameChange::Remove { path, file } => self.forget(path, *file),
            NameChange::RemoveDir { path } => {
                self.files.retain(|file, _| !file.starts_with(path));
                self.dirs.retain(|dir| !dir.starts_with(path));
            }
        }
    }

    /// Takes a name away if it is still this file's: another may bear it when an earlier change was lost.
    fn forget(&mut self, path: &Path, file: FileId) {
        if self.files.get(path) == Some(&file) {
            self.files.remove(path);
        }
    }

    /// Whether the path is a directory.
    pub(super) fn has_dir(&self, path: &Path) -> bool {
        self.dirs.contains(path)
    }

    /// The paths directly inside a directory.
    pub(super) fn inside<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        let inside = move |path: &&PathBuf| path.parent() == Some(dir);
        self.files.keys().chain(&self.dirs).filter(inside)
    }
}

/// The names of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) seen: Tree,
    pub(super) durable: Tree,
    pub(super) unsynced: Vec<NameChange>,
}

impl Names {
    /// Makes a directory and its parents, durably.
    pub(super) fn make_dir(&mut self, dir: &Path) {
        for dir in dir.ancestors().filter(|dir| *dir != Path::new("")) {
            self.seen.dirs.insert(dir.to_path_buf());
            self.durable.dirs.insert(dir.to_path_buf());
        }
    }

    pub(super) fn change(&mut self, change: NameChange) {
        self.seen.apply(&change);
        self.unsynced.push(change);
    }

    /// Makes the names in `dir` durable, or all.
    pub(super) fn sync(&mut self, dir: Option<&Path>) {
        let Names {
            durable, unsynced, ..
        } = self;
        unsynced.retain(|change| {
            let now = dir.is_none_or(|dir| change.dir() == Some(dir));
            if now {
                durable.apply(change);
            }
            !now
        });
    }

    /// The names after a crash that keeps an unsynced change if `kept` says so.
    pub(super) fn after_crash(&self, kept: &mut dyn FnMut(&NameChange) -> bool) -> Tree {
        let mut tree = self.durable.clone();
        for change in &self.unsynced {
            if kept(change) {
                tree.apply(change);
            }
        }
        tree
    }

    /// Any name of a file, for messages.
    pub(super) fn name_of(&self, file: FileId) -> Option<&Path> {
        let trees = [&self.seen, &self.durable];
        let named = trees.into_iter().flat_map(|tree| &tree.files);
        let named = named.filter(|(_, of)| **of == file);
        let changed = self.unsynced.iter();
        let changed = changed.filter(|change| change.file() == Some(file));
        let paths = named.map(|(path, _)| path.as_path());
        paths.chain(changed.map(NameChange::path)).next()
    }
}
