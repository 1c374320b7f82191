//! `headrace log inspect|verify`: the files of a stopped broker in words, and a full check of them.
//!
//! Both only read. They take the data directory's lock where there is one, so that a running broker is
//! noticed and not disturbed.
mod frame;
mod inspect;
mod verify;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use headrace_storage::fs::DirLock;

/// The commands on the files of logs.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Show what lies in a log's files: every frame, index entry, vote and checkpoint.
    #[command(after_help = "Example: headrace log inspect data --records")]
    Inspect {
        /// A data directory, a log's directory, or one file. The broker must be stopped.
        path: PathBuf,
        /// Show each batch's records too.
        #[arg(long)]
        records: bool,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Check every byte of the logs below a directory; the exit code is 0 only if all is sound.
    #[command(after_help = "Example: headrace log verify data")]
    Verify {
        /// A data directory or a log's directory. The broker must be stopped.
        dir: PathBuf,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

impl Log {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        let result = match self {
            Log::Inspect {
                path,
                records,
                json,
            } => {
                let _lock = lock_above(&path)?;
                inspect::path(&mut out, &path, inspect::Show { records, json })
            }
            Log::Verify { dir, json } => {
                let _lock = lock_above(&dir)?;
                verify::dir(&mut out, &dir, json)
            }
        };
        out.flush()?;
        result
    }
}

/// Whether a directory is a broker's data directory.
fn is_data_dir(dir: &Path) -> bool {
    dir.join("meta").is_file() && dir.join("topics").is_dir()
}

/// The lock of the data directory in which `path` lies; `None` if it lies in none (a copy of a log).
fn lock_above(path: &Path) -> anyhow::Result<Option<DirLock>> {
    let path = path
        .canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))?;
    let Some(data) = path.ancestors().find(|dir| is_data_dir(dir)) else {
        return Ok(None);
    };
    let lock = DirLock::acquire(data).context("stop the broker first")?;
    Ok(Some(lock))
}
