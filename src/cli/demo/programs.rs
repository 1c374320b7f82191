//! The server programs as `headrace-servers` wants them: all in one directory.
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use headrace_servers::Programs;
use tempfile::TempDir;

/// A directory of programs; removed when dropped if it had to be made.
pub(super) struct Found {
    programs: Programs,
    _links: Option<TempDir>,
}

impl Found {
    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }
}

/// The directory of a program that has the others beside it, or one of links to all of them.
pub(super) fn beside(program: &Path, name: &str, others: &[&str]) -> anyhow::Result<Found> {
    let program = program
        .canonicalize()
        .with_context(|| format!("{} is missing", program.display()))?;
    let folder = program.parent().context("a program has a directory")?;
    let here = |name: &&str| folder.join(name).is_file();
    if program.file_name().is_some_and(|own| own == name) && others.iter().all(here) {
        return Ok(Found {
            programs: Programs::in_directory(folder),
            _links: None,
        });
    }
    let links = tempfile::tempdir()?;
    let bin = links.path().join("bin");
    std::fs::create_dir(&bin)?;
    symlink(&program, bin.join(name))?;
    for other in others {
        symlink(find(other, folder)?, bin.join(other))?;
    }
    Ok(Found {
        programs: Programs::in_directory(bin),
        _links: Some(links),
    })
}

/// Beside the server, in the `bin` beside its directory, or on the search path.
fn find(name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let beside = [folder.to_owned(), folder.join("../bin")];
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = beside
        .into_iter()
        .chain(std::env::split_paths(&search))
        .map(|folder| folder.join(name));
    match found.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!(
            "{name} is not beside {}: run `make demo`, which brings both",
            folder.display()
        ),
    }
}
