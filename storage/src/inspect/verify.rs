//! The full check of one log: every byte of every segment, every index against its segment.
//!
//! It is recovery on a disk that is not changed (`dry`), without index files, so that nothing is taken on
//! trust. What recovery would refuse is damage. What it would cut or remove is a remark: that is what a
//! crash leaves, and the next start mends it. Index files are derived data; one that differs from what its
//! segment gives is a remark too, for nothing is lost with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dry::{Change, DryDisk};
use super::frames::{self, Content};
use crate::fs::{Disk, MemoryDisk, OpenMode};
use crate::index::SparseIndex;
use crate::index::file as index_file;
use crate::log::{Hint, Known, Log, LogConfig, LogIdentity, OpenError};
use crate::position::Offset;
use crate::segment::parse_generation;

/// What a check found out about a log.
#[derive(Debug, Default)]
pub struct Report {
    /// The bytes of its segments, preallocated room aside.
    pub bytes: u64,
    /// The first offset there is.
    pub log_start: Offset,
    /// The offset after the last sound record.
    pub log_end: Offset,
    /// Why a start would refuse it; a log without damage is sound.
    pub damage: Option<Finding>,
    /// What the next start will mend.
    pub remarks: Vec<Finding>,
}

/// Something at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file or directory.
    pub file: PathBuf,
    /// The byte in it.
    pub position: u64,
    /// What is there.
    pub reason: String,
}

/// Checks the log in `dir`. `hint` is how far it was known durable; without one, only what is there counts.
pub fn log(disk: &Arc<dyn Disk>, dir: &Path, hint: Option<Hint>) -> io::Result<Report> {
    let Some(identity) = identity(&**disk, dir)? else {
        return Ok(empty(dir, hint));
    };
    let dry = DryDisk::over(Arc::clone(disk));
    let known = Known {
        hint,
        ..Known::default()
    };
    let below: Arc<dyn Disk> = Arc::new(dry.clone());
    let mut report = match Log::open(below, dir, identity, LogConfig::default(), known) {
        Ok(log) => {
            let view = log.reader().view();
            Report {
                bytes: view.size_bytes(),
                log_start: view.log_start(),
                log_end: view.log_end(),
                ..Report::default()
            }
        }
        Err(error) => Report {
            damage: Some(damage(dir, error)?),
            ..Report::default()
        },
    };
    report.remarks = dry.take_changes().into_iter().map(remark).collect();
    for (path, rebuilt) in dry.take_indexes() {
        report
            .remarks
            .extend(index_remark(&**disk, path, &rebuilt)?);
    }
    Ok(report)
}

/// Whose log it is, from the first frame of its first readable segment; `None` without one.
fn identity(disk: &dyn Disk, dir: &Path) -> io::Result<Option<LogIdentity>> {
    for name in disk.list(dir)? {
        if parse_generation(&name).is_none() {
            continue;
        }
        let file = disk.open(&dir.join(name), OpenMode::Read)?;
        let mut found = None;
        frames::walk(&*file, &mut |frame| {
            found = match frame.content {
                Content::SegmentHeader { identity, .. }
                | Content::CompactedHeader { identity, .. } => Some(identity),
                _ => None,
            };
            std::ops::ControlFlow::Break(())
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// A log without a segment is sound if nothing was ever durable in it.
fn empty(dir: &Path, hint: Option<Hint>) -> Report {
    let lost = hint.filter(|hint| hint.index.0 > 0).map(|hint| Finding {
        file: dir.to_path_buf(),
        position: 0,
        reason: format!(
            "no segment can be read, but the log was flushed up to offset {}, entry {}",
            hint.offset, hint.index
        ),
    });
    Report {
        damage: lost,
        ..Report::default()
    }
}

/// A refusal as a finding; a failing disk is no finding about the log.
fn damage(dir: &Path, error: OpenError) -> io::Result<Finding> {
    match error {
        OpenError::Corrupt {
            file,
            position,
            reason,
        } => Ok(Finding {
            file,
            position,
            reason,
        }),
        OpenError::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => Err(source),
        error @ OpenError::Io { .. } => Ok(Finding {
            file: dir.to_path_buf(),
            position: 0,
            reason: error.to_string(),
        }),
    }
}

fn remark(change: Change) -> Finding {
    let (file, position, reason) = match change {
        Change::Cut { file, bytes } => (
            file,
            bytes,
            "the next start cuts what follows: room, or what a crash left of the last group"
                .to_owned(),
        ),
        Change::Remove { file } => (file, 0, "the next start removes it".to_owned()),
        Change::Rename { from, to } => {
            (from, 0, format!("the next start names it {}", to.display()))
        }
    };
    Finding {
        file,
        position,
        reason,
    }
}

/// Compares an index file with what its segment gives.
fn index_remark(disk: &dyn Disk, path: PathBuf, rebuilt: &[u8]) -> io::Result<Option<Finding>> {
    let reason = match index_file::read_index(disk, &path) {
        Some(found) if same(&found, &read_back(&path, rebuilt)?) => return Ok(None),
        Some(_) => "index differs from what its segment gives",
        None => "index is missing or damaged",
    };
    Ok(Some(Finding {
        file: path,
        position: 0,
        reason: format!("{reason}; it is derived data and will be rebuilt"),
    }))
}

/// The index that recovery wrote.
fn read_back(path: &Path, bytes: &[u8]) -> io::Result<SparseIndex> {
    let memory = MemoryDisk::new();
    if let Some(dir) = path.parent() {
        memory.create_dir_all(dir)?;
    }
    let file = memory.open(path, OpenMode::Create)?;
    file.write_at(0, &mut [io::IoSlice::new(bytes)])?;
    index_file::read_index(&memory, path)
        .ok_or_else(|| io::Error::other("rebuilt index is unreadable"))
}

fn same(one: &SparseIndex, other: &SparseIndex) -> bool {
    one.entries().iter().eq(other.entries().iter())
        && one.controls().iter().eq(other.controls().iter())
        && one.aborted().iter().eq(other.aborted().iter())
}
