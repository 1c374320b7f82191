//! Putting received files in the place of a log, and finishing that after a crash (`install`).
//!
//! The marker states the whole manifest. Each step here may be done again: what is no longer in `incoming/`
//! has been renamed, what is still there takes the place of what bears its name.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::install::{INCOMING, InstallError, MARKER};
use super::{Manifest, ManifestError, ManifestFile};
use crate::fs::{AtomicFileError, Disk, OpenMode, read_atomic};
use crate::planted::{Mistake, planted};

/// Finishes an install that a crash has interrupted behind its marker. Part of opening a log.
///
/// Without a marker nothing is installed; what was fetched so far stays for [`Receiver::begin`].
pub(crate) fn finish_interrupted(disk: &dyn Disk, dir: &Path) -> Result<(), InstallError> {
    let path = dir.join(MARKER);
    let content = match read_atomic(disk, &path) {
        Ok(None) => return Ok(()),
        Ok(Some(content)) => content,
        Err(AtomicFileError::Io { path, source }) => {
            return Err(InstallError::io("read", &path)(source));
        }
        Err(AtomicFileError::Damaged { path, reason }) => {
            let reason = reason.to_owned();
            return Err(InstallError::Damaged { path, reason });
        }
    };
    let manifest = Manifest::decode(&content).map_err(|ManifestError { reason }| {
        let (path, reason) = (path.clone(), reason.to_owned());
        InstallError::Damaged { path, reason }
    })?;
    // the marker may so far lie only in the memory that a crashed process left
    sync_dir(disk, dir)?;
    tracing::info!(dir = %dir.display(), applied = %manifest.applied, "interrupted install is finished");
    put_in_place(disk, dir, &manifest)
}

/// Replaces the log by the received files; every step may be done again after a crash.
pub(super) fn put_in_place(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
) -> Result<(), InstallError> {
    let incoming = dir.join(INCOMING);
    let names: BTreeSet<String> = manifest.files.iter().map(ManifestFile::name).collect();
    let received: BTreeSet<String> = match disk.list(&incoming) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
        other => other
            .map_err(InstallError::io("list", &incoming))?
            .into_iter()
            .collect(),
    };
    let present: BTreeSet<String> = list(disk, dir)?.into_iter().collect();
    // what is not in incoming/ was renamed before: to remove it here would lose it
    if let Some(lost) = names
        .iter()
        .find(|name| !received.contains(*name) && !present.contains(*name))
    {
        let (path, reason) = (dir.join(lost), "file of an install is missing".to_owned());
        return Err(InstallError::Damaged { path, reason });
    }
    for name in &present {
        if name != INCOMING && name != MARKER && !names.contains(name) {
            remove(disk, &dir.join(name))?;
        }
    }
    for name in names.intersection(&received) {
        let (from, to) = (incoming.join(name), dir.join(name));
        disk.rename(&from, &to)
            .map_err(InstallError::io("rename", &from))?;
    }
    sync_dir(disk, dir)?;
    check_sizes(disk, dir, manifest)?;
    if !received.is_empty() || present.contains(INCOMING) {
        disk.remove_dir_all(&incoming)
            .map_err(InstallError::io("remove", &incoming))?;
        sync_dir(disk, dir)?;
    }
    remove(disk, &dir.join(MARKER))?;
    sync_dir(disk, dir)
}

/// Whether what now lies in the log's directory can be what was received.
fn check_sizes(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<(), InstallError> {
    for stated in &manifest.files {
        let path = dir.join(stated.name());
        let file = disk.open(&path, OpenMode::Read);
        let size = file.and_then(|file| file.size());
        let size = size.map_err(InstallError::io("measure", &path))?;
        if size != stated.size_bytes && !planted(Mistake::ManifestNotVerified) {
            let reason = format!("{size} bytes where {} were received", stated.size_bytes);
            return Err(InstallError::Damaged { path, reason });
        }
    }
    Ok(())
}

pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, InstallError> {
    disk.list(dir).map_err(InstallError::io("list", dir))
}

pub(super) fn remove(disk: &dyn Disk, path: &Path) -> Result<(), InstallError> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(InstallError::io("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), InstallError> {
    disk.sync_dir(dir).map_err(InstallError::io("sync", dir))
}
