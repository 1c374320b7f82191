//! Which files of a directory are the log, when compaction has left others beside them.
//!
//! ```text
//!   00..0-1.log  00..90-40.log  00..0-1.1.log          a crash behind the commit point of a swap:
//!   '---- superseded by --------^                      the sound compacted file counts, its inputs go
//! ```
//!
//! - `.cleaned` files were never finished: they go.
//! - A sound compacted file stands for every file of lower generation inside its range of entries. While
//!   any of those is left, its content is read and checked before they go: they are the only other copy.
//! - If it is not sound and the file of lower generation with its base is still there, the inputs count
//!   and it goes instead. If that one is gone, what it held is lost here: the log is refused.
//!
//! Nothing is removed by looking: [`Resolved::leftovers`] go once the log has been opened without them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::{self, CompactedHeader};
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::log::{LogIdentity, OpenError};
use crate::position::{EntryIndex, Offset};
use crate::segment::format::{CONTROL_BYTES_MIN, as_u64};
use crate::segment::window::SCAN_BYTES;
use crate::segment::{CLEANED_SUFFIX, parse_generation};

/// What to do about a file that cannot be read; part of every refusal.
const ADVICE: &str = "restore the file from a copy, or remove the partition's directory if it can be filled anew from another replica";

/// A compacted file that counts.
#[derive(Clone, Debug)]
pub(crate) struct CompactedFile {
    pub(crate) path: PathBuf,
    pub(crate) header: Arc<CompactedHeader>,
    pub(crate) size_bytes: u64,
}

/// What is in a directory beside the segments as they were written.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// In order; no two have entries in common.
    pub(crate) compacted: Vec<CompactedFile>,
    /// Files that do not count, to be removed once the log is open.
    pub(crate) leftovers: Vec<PathBuf>,
}

/// A file's place in the log by its name.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    base: (EntryIndex, Offset),
    generation: u32,
}

impl Resolved {
    /// Whether the segment with this name and first entry counts.
    pub(crate) fn counts(&self, path: &Path) -> bool {
        !self.leftovers.iter().any(|left| left == path)
    }
}

/// Looks at all names in a log's directory; reads compacted files as far as is needed.
pub(crate) fn resolve(
    disk: &dyn Disk,
    dir: &Path,
    names: &[String],
    identity: &LogIdentity,
) -> Result<Resolved, OpenError> {
    let mut resolved = Resolved::default();
    let unfinished = names.iter().filter(|name| name.ends_with(CLEANED_SUFFIX));
    resolved
        .leftovers
        .extend(unfinished.map(|name| dir.join(name)));
    let mut files: Vec<Named> = names.iter().filter_map(|name| named(name)).collect();
    // of those that begin together the newest comes first
    files.sort_by(|a, b| (a.base, b.generation).cmp(&(b.base, a.generation)));
    for file in &files {
        let path = dir.join(&file.name);
        if file.generation == 0 || !resolved.counts(&path) {
            continue;
        }
        let inside = |header: &CompactedHeader, other: &Named| {
            let range = header.base_index..=header.end.index;
            other.generation < file.generation && range.contains(&other.base.0)
        };
        let older_base = files
            .iter()
            .any(|other| other.base == file.base && other.generation < file.generation);
        match read(disk, &path, identity, file) {
            Ok(found) => {
                let inputs: Vec<PathBuf> = files
                    .iter()
                    .filter(|other| inside(&found.header, other))
                    .map(|other| dir.join(&other.name))
                    .filter(|path| resolved.counts(path))
                    .collect();
                match check_content(disk, &found, &inputs) {
                    Ok(()) => {
                        resolved.leftovers.extend(inputs);
                        resolved.compacted.push(found);
                    }
                    Err(error) => resolved.set_aside(path, error, older_base)?,
                }
            }
            Err(error) => resolved.set_aside(path, error, older_base)?,
        }
    }
    Ok(resolved)
}

impl Resolved {
    /// A file that is not sound goes if its inputs are still there.
    fn set_aside(
        &mut self,
        path: PathBuf,
        error: OpenError,
        older_base: bool,
    ) -> Result<(), OpenError> {
        if !older_base || matches!(error, OpenError::Io { .. }) {
            return Err(error);
        }
        tracing::warn!(path = %path.display(), %error, "damaged compacted segment is not used: its inputs are still there");
        self.leftovers.push(path);
        Ok(())
    }
}

fn named(name: &str) -> Option<Named> {
    let (base_offset, base_index, generation) = parse_generation(name)?;
    Some(Named {
        name: name.to_owned(),
        base: (base_index, base_offset),
        generation,
    })
}

/// Reads and checks the header of a compacted file against its name and its size.
fn read(
    disk: &dyn Disk,
    path: &Path,
    identity: &LogIdentity,
    named: &Named,
) -> Result<CompactedFile, OpenError> {
    let file = disk
        .open(path, OpenMode::Read)
        .map_err(OpenError::io("open", path))?;
    let size_bytes = file.size().map_err(OpenError::io("measure", path))?;
    let refused = |reason: &str| OpenError::corrupt(path, 0, format!("{reason}; {ADVICE}"));
    let (header, header_bytes) = read_header(&*file, size_bytes)
        .map_err(OpenError::io("read", path))?
        .map_err(refused)?;
    if header.identity != *identity {
        return Err(refused("compacted segment belongs to another log"));
    }
    let base = (header.base_index, header.base_offset);
    if base != named.base || header.generation != named.generation {
        return Err(refused("compacted segment's header and file name differ"));
    }
    if header_bytes.checked_add(header.content_bytes) != Some(size_bytes) {
        return Err(refused("compacted segment has not the size it states"));
    }
    Ok(CompactedFile {
        path: path.to_path_buf(),
        header: Arc::new(header),
        size_bytes,
    })
}

/// The header of a compacted file and its size in the file, or what is wrong with it.
pub(crate) fn read_header(
    file: &dyn DiskFile,
    size_bytes: u64,
) -> std::io::Result<Result<(CompactedHeader, u64), &'static str>> {
    let mut head = Vec::new();
    file.read_at(0, CONTROL_BYTES_MIN, &mut head)?;
    let stated = header::stated_size(&head).filter(|stated| as_u64(*stated) <= size_bytes);
    let Some(stated) = stated else {
        return Ok(Err(
            "file does not begin with the header of a compacted segment",
        ));
    };
    let mut frame = Vec::new();
    file.read_at(0, stated, &mut frame)?;
    Ok(CompactedHeader::read(&frame).map(|header| (header, as_u64(stated))))
}

/// Reads the whole file if others are to go for its sake.
fn check_content(
    disk: &dyn Disk,
    found: &CompactedFile,
    inputs: &[PathBuf],
) -> Result<(), OpenError> {
    if inputs.is_empty() {
        return Ok(());
    }
    let path = &found.path;
    let file = disk
        .open(path, OpenMode::Read)
        .map_err(OpenError::io("open", path))?;
    let crc = content_crc(&*file, found).map_err(OpenError::io("read", path))?;
    if crc == found.header.content_crc {
        return Ok(());
    }
    let reason = format!("checksum of the compacted segment's content does not match; {ADVICE}");
    Err(OpenError::corrupt(path, 0, reason))
}

/// The CRC-32C of what lies behind the header.
fn content_crc(file: &dyn DiskFile, found: &CompactedFile) -> std::io::Result<u32> {
    let mut crc = 0;
    let mut at = found.size_bytes - found.header.content_bytes;
    let mut bytes = Vec::new();
    while at < found.size_bytes {
        bytes.clear();
        file.read_at(at, SCAN_BYTES, &mut bytes)?;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        crc = crc32c::crc32c_append(crc, &bytes);
        at += as_u64(bytes.len());
    }
    Ok(crc)
}
