//! A small file replaced as a whole: old content or new content, never a mixture.
//!
//! ```text
//! | 'HRFILE' 00 01 | content length u64 | content … | CRC-32C of all before, u32 |
//! ```
//!
//! Written beside its place as `{name}.tmp`, synced, renamed over it, the directory synced. When
//! [`write_atomic`] returns, the new content is durable.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use bytes::Buf;
use thiserror::Error;

use super::{Disk, OpenMode};

const MAGIC: [u8; 8] = *b"HRFILE\x00\x01";
const HEADER_BYTES: usize = 16;
const CRC_BYTES: usize = 4;
/// Read whole into memory: a catalogue of 100,000 topics is some 20 MiB.
const CONTENT_BYTES_MAX: u64 = 1 << 30;

/// Why a checksummed file could not be read.
#[derive(Debug, Error)]
pub enum AtomicFileError {
    /// The disk failed.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The disk's error.
        source: io::Error,
    },
    /// The bytes are not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: &'static str,
    },
}

/// Replaces the content of the file at `path`, durably.
pub fn write_atomic(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name: OsString = path.file_name().unwrap_or_default().into();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let dir = path.parent().unwrap_or(Path::new("."));

    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    let length = u64::try_from(content.len()).map_err(io::Error::other)?;
    header[8..].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header), content).to_be_bytes();

    let file = match disk.open(&beside, OpenMode::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(&beside)?;
            disk.open(&beside, OpenMode::Create)?
        }
        other => other?,
    };
    file.write_at(
        0,
        &mut [
            IoSlice::new(&header),
            IoSlice::new(content),
            IoSlice::new(&crc),
        ],
    )?;
    file.sync_data()?;
    disk.rename(&beside, path)?;
    disk.sync_dir(dir)
}

/// The content last written to `path`; `None` if there is no such file.
pub fn read_atomic(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, AtomicFileError> {
    let io = |source| AtomicFileError::Io {
        path: path.to_path_buf(),
        source,
    };
    let damaged = |reason| AtomicFileError::Damaged {
        path: path.to_path_buf(),
        reason,
    };
    let file = match disk.open(path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io)?,
    };
    let size = file.size().map_err(io)?;
    if size > CONTENT_BYTES_MAX {
        return Err(damaged("file is larger than any we write"));
    }
    let size = usize::try_from(size).map_err(|_| damaged("file is larger than memory"))?;
    let mut bytes = Vec::new();
    file.read_at(0, size, &mut bytes).map_err(io)?;
    if bytes.len() < HEADER_BYTES + CRC_BYTES {
        return Err(damaged("file is cut"));
    }
    let stated = u32::from_be_bytes(*bytes.last_chunk().expect("length checked above"));
    bytes.truncate(bytes.len() - CRC_BYTES);
    if crc32c::crc32c(&bytes) != stated {
        return Err(damaged("checksum does not match"));
    }
    if !bytes.starts_with(&MAGIC) {
        return Err(damaged("not a file of ours"));
    }
    let length = (&bytes[8..HEADER_BYTES]).get_u64();
    let content = bytes.split_off(HEADER_BYTES);
    if u64::try_from(content.len()).ok() != Some(length) {
        return Err(damaged("length does not match"));
    }
    Ok(Some(content))
}
