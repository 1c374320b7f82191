//! A log as a list of files: how a replica that lags too far, or is new, gets a copy of it.
//!
//! ```text
//!   sender                                            receiver
//!   Log::snapshot(applied) -> PinnedLog               Receiver::begin(manifest)   incoming/
//!     manifest(): every file read, CRC ----manifest---->  next() -> file, position
//!     read(file, position, len)        <--- asks -------  take(file, position, bytes)
//!                                      ---- bytes ----->  install(): marker, rename  -> Log::open
//! ```
//!
//! - A manifest describes the log **as of one entry**, the applied one: sealed files whole, the file in
//!   which that entry lies as a prefix. Voter set, term runs and log start are those of that entry.
//! - While a [`PinnedLog`] lives no file of the log is removed. A prefix never changes, for what is applied
//!   is committed.
//! - Nothing that was received is believed: every file is compared in length and checksum with the
//!   manifest before it becomes part of a log (`install`), and the log is then opened like any other.
//! - Files that were never compacted are the same bytes on every replica, so any of them may send any file.

mod format;
mod install;
pub(crate) mod place;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use bytes::Bytes;
use thiserror::Error;

pub use install::{InstallError, Receiver, Wanted};

use crate::log::{LogIdentity, ReadError, SegmentPin};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::format::as_u64;
use crate::segment::reader::Segment;
use crate::segment::{compacted_name, file_name};

/// How much of a file is read at once for its checksum.
const READ_BYTES: usize = 1 << 20;

/// A log as of one entry, as a list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Whose log it is.
    pub identity: LogIdentity,
    /// The last entry in it.
    pub applied: EntryIndex,
    /// The epoch of that entry.
    pub epoch: LeaderEpoch,
    /// The offset after the last record.
    pub end_offset: Offset,
    /// The first offset that counts.
    pub log_start: Offset,
    /// Where each epoch begins, oldest first.
    pub terms: Vec<TermRun>,
    /// The voter set as of `applied`, and the entry that set it.
    pub membership: Option<(EntryIndex, Bytes)>,
    /// The files, oldest first.
    pub files: Vec<ManifestFile>,
}

/// The beginning of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermRun {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The next offset when its first entry was written.
    pub start: Offset,
    /// Its first entry.
    pub index: EntryIndex,
}

/// One file of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its first offset.
    pub base_offset: Offset,
    /// Its first entry.
    pub base_index: EntryIndex,
    /// How often compaction has rewritten it; 0 never.
    pub generation: u32,
    /// How many bytes of it.
    pub size_bytes: u64,
    /// CRC-32C of these.
    pub crc: u32,
}

impl ManifestFile {
    /// The file's name in the log's directory.
    pub fn name(&self) -> String {
        match self.generation {
            0 => file_name(self.base_offset, self.base_index),
            generation => compacted_name(self.base_offset, self.base_index, generation),
        }
    }
}

/// Why bytes are not a manifest.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not a manifest: {reason}")]
pub struct ManifestError {
    /// What does not fit.
    pub reason: &'static str,
}

impl Manifest {
    /// All bytes of its files.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// Its bytes, checksummed.
    pub fn encode(&self) -> Vec<u8> {
        format::encode(self)
    }

    /// Reads [`Manifest::encode`]'s bytes back; whatever they are, nothing more is allocated than they hold.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        format::decode(bytes)
    }
}

/// The files of a log as of an entry, kept in their place for those who copy them.
#[derive(Debug)]
pub struct PinnedLog {
    #[expect(dead_code, reason = "held for its count")]
    pub(crate) pin: SegmentPin,
    /// Each with the bytes of it that belong to the manifest.
    pub(crate) files: Vec<(Segment, u64)>,
    /// Complete but for the checksums of the files.
    pub(crate) manifest: Manifest,
}

impl PinnedLog {
    /// The manifest; reads every file, so it runs beside the shard.
    pub fn manifest(&self) -> Result<Manifest, ReadError> {
        let mut manifest = self.manifest.clone();
        for (ordinal, file) in manifest.files.iter_mut().enumerate() {
            let mut position = 0;
            while position < file.size_bytes {
                let bytes = self.read(ordinal, position, READ_BYTES)?;
                file.crc = crc32c::crc32c_append(file.crc, &bytes);
                position += as_u64(bytes.len());
            }
        }
        Ok(manifest)
    }

    /// Up to `len` bytes of the file with this place in the manifest; none past its end.
    pub fn read(&self, file: usize, position: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let Some((segment, size_bytes)) = self.files.get(file) else {
            return Ok(Vec::new());
        };
        let left = usize::try_from(size_bytes.saturating_sub(position)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let bytes = segment.range(position, len)?;
        if bytes.len() < len {
            return Err(segment.corrupt(position + as_u64(bytes.len()), "file is cut"));
        }
        Ok(bytes)
    }

    /// The paths of the files, for messages.
    pub fn paths(&self) -> Vec<PathBuf> {
        let paths = self.files.iter().map(|(segment, _)| segment.path());
        paths.map(ToOwned::to_owned).collect()
    }
}
