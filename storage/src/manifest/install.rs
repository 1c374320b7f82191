//! Receiving the files of a manifest and putting them in the place of a log.
//!
//! ```text
//!   {log}/incoming/manifest    what is being fetched
//!                  progress    how much of each file is synced, with the checksum of that much
//!                  {file}      bytes from the beginning on
//!   {log}/install              the marker: from here on the log is what the manifest says
//! ```
//!
//! Fetching may stop and go on at any time, also after a crash: what `progress` vouches for is compared
//! again and kept, the rest is cut off. Installing, in this order:
//!
//! 1. every file is read back and compared with the manifest, and synced with its name;
//! 2. the flushed hint is lowered to nothing, for it speaks of the log that goes;
//! 3. the marker is written: **the commit point**; a crash before it leaves the old log, a crash after it
//!    is finished when the log is opened;
//! 4. all other files of the log are removed (segments, indexes, what lay beside them), the received ones
//!    renamed into their place, the directory synced; then `incoming/`, and last the marker.
//!
//! Nobody may have the log open meanwhile. Old views go on reading the files they have open.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut};
use thiserror::Error;

use super::place::{list, put_in_place, remove};
use super::{Manifest, ManifestFile, READ_BYTES};
use crate::fs::{AtomicFileError, Disk, DiskFile, OpenMode, read_atomic, write_atomic};
use crate::log::Hint;
use crate::planted::{Mistake, planted};
use crate::segment::format::as_u64;

pub(super) const INCOMING: &str = "incoming";
const MANIFEST: &str = "manifest";
const PROGRESS: &str = "progress";
pub(super) const MARKER: &str = "install";
/// The bytes and the checksum of one file, in `progress`.
const PROGRESS_BYTES: usize = 12;

impl ManifestFile {
    /// Whether what was received of one file is of use for the other. One that was never compacted only
    /// grows, and whether the bytes are right shows at its end.
    fn begins_like(&self, other: &ManifestFile) -> bool {
        let is_same = (self.base_offset, self.base_index) == (other.base_offset, other.base_index);
        self == other || (is_same && self.generation == 0 && other.generation == 0)
    }
}

/// Why files could not be received or installed. Nothing of the log was changed, but by `Io` once the
/// marker is there: opening the log then goes on with it.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The disk failed.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The disk's error.
        source: io::Error,
    },
    /// A chunk is not the next one of its file.
    #[error("chunk at byte {position} of file {file} where byte {wanted} is next")]
    OutOfOrder {
        /// The file's place in the manifest.
        file: usize,
        /// Where the chunk begins.
        position: u64,
        /// Where it should begin.
        wanted: u64,
    },
    /// A chunk goes on behind the end of its file, or the manifest has no such file.
    #[error("chunk up to byte {end} of file {file}, which is not in the manifest")]
    TooLong {
        /// The file's place in the manifest.
        file: usize,
        /// Where the chunk ends.
        end: u64,
    },
    /// The bytes received are not those that the manifest describes; they are dropped, ask again elsewhere.
    #[error(
        "{path} was received with checksum {found:#010x} where the manifest says {stated:#010x}"
    )]
    Mismatch {
        /// The received file.
        path: PathBuf,
        /// The manifest's checksum.
        stated: u32,
        /// The checksum of what was received.
        found: u32,
    },
    /// Files are not complete yet.
    #[error("{path} is not complete")]
    Incomplete {
        /// The first such file.
        path: PathBuf,
    },
    /// The marker of an install is there, but what it speaks of is not.
    #[error("{path} is damaged: {reason}; the replica has to be fetched anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// The next bytes to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The file's place in the manifest.
    pub file: usize,
    /// The first byte that is missing.
    pub position: u64,
    /// How many are missing from there.
    pub left_bytes: u64,
}

/// A file as far as it was received.
#[derive(Debug)]
struct Incoming {
    path: PathBuf,
    stated: ManifestFile,
    file: Option<Arc<dyn DiskFile>>,
    received_bytes: u64,
    /// Of what was received.
    crc: u32,
    unsynced: bool,
}

/// Collects the files of a manifest below a log's directory.
#[derive(Debug)]
pub struct Receiver {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    manifest: Manifest,
    files: Vec<Incoming>,
}

impl Receiver {
    /// Begins to fetch, or goes on: of an earlier attempt, also with an older manifest, every file that is
    /// in this manifest too is kept as far as it was synced.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        manifest: Manifest,
    ) -> Result<Receiver, InstallError> {
        let incoming = dir.join(INCOMING);
        disk.create_dir_all(&incoming)
            .map_err(InstallError::io("create", &incoming))?;
        let known = earlier(&*disk, &incoming)?;
        let mut receiver = Receiver {
            files: manifest
                .files
                .iter()
                .map(|stated| Incoming::new(&incoming, *stated))
                .collect(),
            disk,
            dir: dir.to_path_buf(),
            manifest,
        };
        receiver.drop_strangers(&incoming)?;
        for file in &mut receiver.files {
            let synced = known
                .iter()
                .find(|(stated, ..)| stated.begins_like(&file.stated));
            file.resume(
                &*receiver.disk,
                synced.map(|(_, bytes, crc)| (*bytes, *crc)),
            )?;
        }
        receiver.write_state(MANIFEST, &receiver.manifest.encode())?;
        receiver.sync()?;
        Ok(receiver)
    }

    /// What is being fetched.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is missing next, in the order of the manifest; `None` when all is there.
    pub fn next(&self) -> Option<Wanted> {
        self.wanted().next()
    }

    /// All that is missing, one range per file; they may be fetched in any order.
    pub fn wanted(&self) -> impl Iterator<Item = Wanted> {
        let files = self.files.iter().enumerate();
        files.filter_map(|(ordinal, file)| {
            let left_bytes = file.stated.size_bytes - file.received_bytes;
            (left_bytes > 0).then_some(Wanted {
                file: ordinal,
                position: file.received_bytes,
                left_bytes,
            })
        })
    }

    /// Takes the next bytes of a file. A file that turns out wrong at its end is dropped and wanted again.
    pub fn take(&mut self, file: usize, position: u64, bytes: &[u8]) -> Result<(), InstallError> {
        let end = position.saturating_add(as_u64(bytes.len()));
        let stated = self.manifest.files.get(file);
        let (Some(incoming), Some(_)) = (
            self.files.get_mut(file),
            stated.filter(|stated| end <= stated.size_bytes),
        ) else {
            return Err(InstallError::TooLong { file, end });
        };
        if position != incoming.received_bytes {
            let wanted = incoming.received_bytes;
            return Err(InstallError::OutOfOrder {
                file,
                position,
                wanted,
            });
        }
        incoming.write(&*self.disk, bytes)
    }

    /// Makes what was received durable, so that a crash costs only what comes later. Worth its syncs every
    /// few tens of MiB.
    pub fn sync(&mut self) -> Result<(), InstallError> {
        let mut progress = Vec::with_capacity(self.files.len() * PROGRESS_BYTES);
        for file in &mut self.files {
            file.sync(&*self.disk)?;
            progress.put_u64(file.received_bytes);
            progress.put_u32(file.crc);
        }
        self.write_state(PROGRESS, &progress)
    }

    /// Puts the files in the place of the log, which nobody may have open; see the module.
    ///
    /// `lower` gets the hint that is safe for both logs, none; what it did is durable when it returns.
    pub fn install(
        mut self,
        lower: &mut dyn FnMut(Hint) -> io::Result<()>,
    ) -> Result<(), InstallError> {
        for file in &mut self.files {
            file.verify()?;
        }
        self.sync()?;
        if !planted(Mistake::HintNotLowered) {
            lower(Hint::default()).map_err(InstallError::io("lower the hint of", &self.dir))?;
        }
        if !planted(Mistake::InstallWithoutMarker) {
            let marker = self.dir.join(MARKER);
            write_atomic(&*self.disk, &marker, &self.manifest.encode())
                .map_err(InstallError::io("write", &marker))?;
        }
        put_in_place(&*self.disk, &self.dir, &self.manifest)
    }

    /// Removes files in `incoming/` that the manifest does not have.
    fn drop_strangers(&self, incoming: &Path) -> Result<(), InstallError> {
        let kept: BTreeSet<String> = self.manifest.files.iter().map(ManifestFile::name).collect();
        for name in list(&*self.disk, incoming)? {
            if name != MANIFEST && name != PROGRESS && !kept.contains(&name) {
                remove(&*self.disk, &incoming.join(name))?;
            }
        }
        Ok(())
    }

    fn write_state(&self, name: &str, content: &[u8]) -> Result<(), InstallError> {
        let path = self.dir.join(INCOMING).join(name);
        write_atomic(&*self.disk, &path, content).map_err(InstallError::io("write", &path))
    }
}

impl Incoming {
    fn new(incoming: &Path, stated: ManifestFile) -> Incoming {
        Incoming {
            path: incoming.join(stated.name()),
            stated,
            file: None,
            received_bytes: 0,
            crc: 0,
            unsynced: false,
        }
    }

    /// Takes up what an earlier attempt has synced, if it is still what it was; cuts the rest.
    fn resume(&mut self, disk: &dyn Disk, synced: Option<(u64, u32)>) -> Result<(), InstallError> {
        let io = |operation| InstallError::io(operation, &self.path);
        let file = match disk.open(&self.path, OpenMode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(io("open"))?,
        };
        let (bytes, crc) = synced.unwrap_or_default();
        let found = checksum(&*file, bytes).map_err(io("read"))?;
        if bytes <= self.stated.size_bytes && found == Some(crc) {
            (self.received_bytes, self.crc) = (bytes, crc);
        }
        file.set_size(self.received_bytes).map_err(io("cut"))?;
        self.file = Some(file);
        self.unsynced = true;
        Ok(())
    }

    fn write(&mut self, disk: &dyn Disk, bytes: &[u8]) -> Result<(), InstallError> {
        let file = if let Some(file) = &self.file {
            file
        } else {
            let made = disk.open(&self.path, OpenMode::Create);
            let made = made.map_err(InstallError::io("create", &self.path))?;
            self.file.insert(made)
        };
        file.write_at(self.received_bytes, &mut [IoSlice::new(bytes)])
            .map_err(InstallError::io("write", &self.path))?;
        self.received_bytes += as_u64(bytes.len());
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.unsynced = true;
        let is_whole = self.received_bytes == self.stated.size_bytes;
        if is_whole && self.crc != self.stated.crc && !planted(Mistake::ManifestNotVerified) {
            return Err(self.drop_bytes(self.crc));
        }
        Ok(())
    }

    /// Forgets what was received, for it is wrong.
    fn drop_bytes(&mut self, found: u32) -> InstallError {
        (self.received_bytes, self.crc) = (0, 0);
        self.unsynced = true;
        if let Some(file) = &self.file
            && let Err(source) = file.set_size(0)
        {
            return InstallError::io("cut", &self.path)(source);
        }
        InstallError::Mismatch {
            path: self.path.clone(),
            stated: self.stated.crc,
            found,
        }
    }

    /// A file whose sync failed is removed: nobody knows what of it is on the disk, and reading it would
    /// show what is in memory.
    fn sync(&mut self, disk: &dyn Disk) -> Result<(), InstallError> {
        if let Some(file) = self.file.take_if(|_| self.unsynced) {
            if let Err(source) = file.sync_data() {
                (self.received_bytes, self.crc) = (0, 0);
                remove(disk, &self.path)?;
                return Err(InstallError::io("sync", &self.path)(source));
            }
            self.file = Some(file);
            self.unsynced = false;
        }
        Ok(())
    }

    /// Reads the whole file back and compares it with the manifest.
    fn verify(&mut self) -> Result<(), InstallError> {
        let Some(file) = &self.file else {
            let path = self.path.clone();
            return Err(InstallError::Incomplete { path });
        };
        let size = file
            .size()
            .map_err(InstallError::io("measure", &self.path))?;
        if self.received_bytes != self.stated.size_bytes || size != self.stated.size_bytes {
            let path = self.path.clone();
            return Err(InstallError::Incomplete { path });
        }
        let found = checksum(&**file, size).map_err(InstallError::io("read", &self.path))?;
        match found {
            Some(found) if found == self.stated.crc => Ok(()),
            _ if planted(Mistake::ManifestNotVerified) => Ok(()),
            found => Err(self.drop_bytes(found.unwrap_or_default())),
        }
    }
}

/// What an earlier attempt wanted, and how much of each it has synced.
fn earlier(
    disk: &dyn Disk,
    incoming: &Path,
) -> Result<Vec<(ManifestFile, u64, u32)>, InstallError> {
    let read = |name: &str| match read_atomic(disk, &incoming.join(name)) {
        Ok(content) => Ok(content),
        Err(AtomicFileError::Io { path, source }) => Err(InstallError::io("read", &path)(source)),
        Err(AtomicFileError::Damaged { path, reason }) => {
            tracing::warn!(path = %path.display(), reason, "state of a fetch is damaged, which begins anew");
            Ok(None)
        }
    };
    let (Some(manifest), Some(progress)) = (read(MANIFEST)?, read(PROGRESS)?) else {
        return Ok(Vec::new());
    };
    let Ok(manifest) = Manifest::decode(&manifest) else {
        return Ok(Vec::new());
    };
    let progress = progress.chunks_exact(PROGRESS_BYTES);
    let synced = progress.map(|mut from| (from.get_u64(), from.get_u32()));
    let known = manifest.files.into_iter().zip(synced);
    Ok(known
        .map(|(file, (bytes, crc))| (file, bytes, crc))
        .collect())
}

/// The CRC-32C of the first `size` bytes; `None` if the file has fewer.
fn checksum(file: &dyn DiskFile, size: u64) -> io::Result<Option<u32>> {
    let (mut position, mut crc) = (0, 0);
    let mut buffer = Vec::new();
    while position < size {
        buffer.clear();
        let left = usize::try_from(size - position).unwrap_or(usize::MAX);
        file.read_at(position, left.min(READ_BYTES), &mut buffer)?;
        if buffer.is_empty() {
            return Ok(None);
        }
        crc = crc32c::crc32c_append(crc, &buffer);
        position += as_u64(buffer.len());
    }
    Ok(Some(crc))
}

impl InstallError {
    pub(super) fn io(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> InstallError {
        let path = path.to_path_buf();
        move |source| InstallError::Io {
            operation,
            path,
            source,
        }
    }
}
