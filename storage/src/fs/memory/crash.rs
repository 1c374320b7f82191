//! What is at stake when a disk in memory loses power, and the disk after it.

use std::path::{Path, PathBuf};

use super::content::{Fate, Garbage};
use super::names::{NameChange, Names, Tree};
use super::{FileId, MemoryDisk, State};

/// What a crash leaves of one unsynced write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surviving {
    /// Nothing.
    None,
    /// Its first bytes.
    First(usize),
    /// All of it.
    All,
}

/// One change that a power cut may lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsynced {
    /// The file or name.
    pub path: PathBuf,
    /// What was done to it.
    pub kind: UnsyncedKind,
}

/// The kinds of changes that a power cut may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsyncedKind {
    /// A write of so many bytes.
    Write(usize),
    /// A change of a file's size.
    Size,
    /// A name made, changed or removed.
    Name,
}

impl State {
    /// The files that some crash may leave a name for.
    fn reachable(&self) -> impl Iterator<Item = FileId> {
        let Names {
            durable, unsynced, ..
        } = &self.names;
        let mut files: Vec<FileId> = durable.files.values().copied().collect();
        files.extend(unsynced.iter().filter_map(NameChange::file));
        files.sort_unstable();
        files.dedup();
        files.into_iter()
    }

    fn unsynced(&self) -> Vec<Unsynced> {
        let mut found = Vec::new();
        for file in self.reachable() {
            let path = self.names.name_of(file).unwrap_or(Path::new("?"));
            found.extend(self.contents[file.0].at_stake().map(|len| Unsynced {
                path: path.to_path_buf(),
                kind: len.map_or(UnsyncedKind::Size, UnsyncedKind::Write),
            }));
        }
        found.extend(self.names.unsynced.iter().map(|change| Unsynced {
            path: change.path().to_path_buf(),
            kind: UnsyncedKind::Name,
        }));
        found
    }

    fn crashed(
        &self,
        tree: Tree,
        fate: &mut dyn FnMut(FileId, Option<usize>) -> Fate,
        garbage: Garbage,
    ) -> State {
        let mut after = State {
            names: Names {
                seen: tree.clone(),
                durable: tree,
                unsynced: Vec::new(),
            },
            ..State::default()
        };
        let reachable = self.reachable().collect::<Vec<_>>();
        for (at, content) in self.contents.iter().enumerate() {
            let file = FileId(at);
            after.contents.push(if reachable.contains(&file) {
                content.after_crash(&mut |len| fate(file, len), garbage)
            } else {
                super::Content::default()
            });
        }
        after
    }
}

impl MemoryDisk {
    /// A power cut: the disk as it is after losing everything unsynced. The old one is not changed.
    #[must_use]
    pub fn crash(&self) -> MemoryDisk {
        self.crash_keeping(false, &mut |_, _| Surviving::None)
    }

    /// A power cut that keeps of each unsynced write what `fate` says, given the file and the write's
    /// length; `names` says whether unsynced creates, renames and removes survive.
    ///
    /// Writes come in the order they were made; a change of size survives if `fate` does not say
    /// `None` for it (its length is given as 0). Only files that have a name afterwards are asked for.
    #[must_use]
    pub fn crash_keeping(
        &self,
        names: bool,
        fate: &mut dyn FnMut(&Path, usize) -> Surviving,
    ) -> MemoryDisk {
        let state = self.state();
        let tree = state.names.after_crash(&mut |_| names);
        let named = tree.clone();
        let mut fate = |file: FileId, len: Option<usize>| {
            let Some((path, _)) = named.files.iter().find(|(_, of)| **of == file) else {
                return Fate::Lost;
            };
            match fate(path, len.unwrap_or(0)) {
                Surviving::None => Fate::Lost,
                Surviving::First(count) => Fate::Only(0..count),
                Surviving::All => Fate::Kept,
            }
        };
        MemoryDisk::of(state.crashed(tree, &mut fate, Garbage::Zeros))
    }

    /// What a power cut may lose now, in the order that [`MemoryDisk::crash_as`] expects.
    pub fn unsynced(&self) -> Vec<Unsynced> {
        self.state().unsynced()
    }

    /// A power cut that leaves of each of [`MemoryDisk::unsynced`] what `fates` says, with `garbage`
    /// where a file has grown and its data was lost. The old disk is not changed.
    ///
    /// # Panics
    /// If there is not one fate for each.
    #[must_use]
    pub fn crash_as(&self, fates: &[Fate], garbage: Garbage) -> MemoryDisk {
        let state = self.state();
        let names = state.names.unsynced.len();
        let count = state.unsynced().len();
        assert_eq!(fates.len(), count, "one fate for each unsynced change");
        let (of_files, of_names) = fates.split_at(count - names);
        let mut of_names = of_names.iter();
        let tree = state
            .names
            .after_crash(&mut |_| of_names.next() != Some(&Fate::Lost));
        let mut of_files = of_files.iter().cloned();
        let mut fate = |_, _| of_files.next().unwrap_or(Fate::Lost);
        MemoryDisk::of(state.crashed(tree, &mut fate, garbage))
    }
}
