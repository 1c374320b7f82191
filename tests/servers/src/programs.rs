//! Where the server programs are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The directory of the server programs.
#[derive(Debug, Clone)]
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// The programs that `make servers` unpacked, or those of the directory in `HEADRACE_SERVERS`.
    pub fn find() -> Self {
        let directory = std::env::var_os("HEADRACE_SERVERS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers/bin"),
            PathBuf::from,
        );
        Self { directory }
    }

    /// The programs of one directory.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The path of one program; an error names the command that brings it.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        if !path.is_file() {
            bail!("{} is missing: run `make servers`", path.display());
        }
        Ok(path)
    }
}
