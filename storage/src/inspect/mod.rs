//! Looking at a stopped broker's files: every frame in words (`frames`), and a full check of a log
//! (`verify`). Nothing here changes a byte on disk.
//!
//! The broker must be stopped: a log that is being written is a moving target. Callers take the data
//! directory's lock first.

mod dry;
mod frames;
#[cfg(test)]
mod tests;
mod verify;

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

pub use frames::{Content, End, Frame};
pub use verify::{Finding, Report, log as verify_log};

use crate::fs::{Disk, OpenMode};
use crate::index::file as index_file;
use crate::log::LogCheckpoint;
use crate::position::{EntryIndex, Offset};
use crate::votes::GroupId;

/// An entry of a segment's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexLine {
    /// The batch's base offset.
    pub offset: Offset,
    /// Its ordinal.
    pub index: EntryIndex,
    /// Where it begins in the segment.
    pub position: u64,
    /// The greatest timestamp before it in the segment; the least number there is if none.
    pub max_timestamp_before: i64,
}

/// The entries of an index file, whether its segment is sealed or not; `None` if it is damaged or of
/// another version.
pub fn index(disk: &dyn Disk, path: &Path) -> Option<Vec<IndexLine>> {
    let index =
        index_file::read_index(disk, path).or_else(|| index_file::read_unsealed(disk, path))?;
    let line = |entry: &crate::index::IndexEntry| IndexLine {
        offset: entry.offset,
        index: entry.index,
        position: entry.position,
        max_timestamp_before: entry.max_timestamp_before,
    };
    Some(index.entries().iter().map(line).collect())
}

/// What a clean stop left of each log, in the order of their directories; `None` if the file is damaged.
pub fn checkpoint(
    disk: &dyn Disk,
    path: &Path,
) -> io::Result<Option<Vec<(GroupId, LogCheckpoint)>>> {
    let Some(logs) = crate::checkpoint::read(disk, path)? else {
        return Ok(None);
    };
    let mut logs: Vec<_> = logs.into_iter().collect();
    logs.sort_by_key(|(group, _)| *group);
    Ok(Some(logs))
}

/// Gives every frame of the segment file at `path` to `each`, until it breaks off.
pub fn segment(
    disk: &dyn Disk,
    path: &Path,
    each: &mut dyn FnMut(Frame) -> ControlFlow<()>,
) -> io::Result<End> {
    let file = disk.open(path, OpenMode::Read)?;
    frames::walk(&*file, each)
}
