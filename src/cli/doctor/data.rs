//! The data directory: there, ours, writable, with room, on a file system that keeps what is synced.
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use headrace_storage::fs::{DirLock, Disk as _, LockError, RealDisk, Space};

use super::Check;
use crate::config::BrokerTable;

const DIRECTORY: &str = "data directory";
const SPACE: &str = "free space";
const FILE_SYSTEM: &str = "file system";

pub(super) fn checks(broker: &BrokerTable) -> Vec<Check> {
    let data = &broker.data;
    let Some(existing) = nearest_existing(data) else {
        let found = format!("{}: no directory above it exists", data.display());
        return vec![Check::fail(DIRECTORY, found, "name another directory")];
    };
    let mut checks = vec![directory(data, &existing)];
    match RealDisk.space(&existing) {
        Ok(space) => checks.push(room(space, broker)),
        Err(error) => checks.push(Check::warn(
            SPACE,
            format!("it cannot be asked for: {error}"),
            "look yourself with df",
        )),
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let absolute = existing.canonicalize().unwrap_or(existing);
    checks.push(judge_file_system(file_system(&mounts, &absolute)));
    checks
}

/// The directory itself, or the nearest one above it that exists.
fn nearest_existing(data: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(data).ok()?;
    let mut ancestors = absolute.ancestors();
    ancestors.find(|path| path.exists()).map(Path::to_path_buf)
}

fn directory(data: &Path, existing: &Path) -> Check {
    let shown = data.display();
    let Ok(metadata) = fs::metadata(existing) else {
        let found = format!("{shown} cannot be looked at");
        return Check::fail(DIRECTORY, found, "give this user the right to it");
    };
    if !metadata.is_dir() {
        let found = format!("{} is no directory", existing.display());
        return Check::fail(
            DIRECTORY,
            found,
            "name another with --data or [broker] data",
        );
    }
    let is_new = !data.exists();
    let lock = data.join("lock");
    if lock.is_file()
        && let Err(LockError::Held { .. }) = DirLock::acquire(data)
    {
        return Check::ok(DIRECTORY, format!("{shown} is in use by a running broker"));
    }
    if let Err(error) = tempfile::tempfile_in(existing) {
        let found = format!("{} cannot be written: {error}", existing.display());
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => "run as its owner, or give it to this user with chown",
            _ => "mend the file system, or name another directory",
        };
        return Check::fail(DIRECTORY, found, advice);
    }
    if is_new {
        return Check::ok(
            DIRECTORY,
            format!("{shown} will be made in {}", existing.display()),
        );
    }
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != me {
        return Check::warn(
            DIRECTORY,
            format!("{shown} belongs to user {owner}, and this is user {me}"),
            "files of two users in one directory lock one of them out later: run as its owner",
        );
    }
    Check::ok(DIRECTORY, format!("{shown} is there and can be written"))
}

fn room(space: Space, broker: &BrokerTable) -> Check {
    const GIB: u64 = 1 << 30;
    let percent = space.total_bytes / 100 * u64::from(broker.free_space_min_percent);
    let reserve = percent.max(broker.free_space_min_bytes);
    let gib = |bytes: u64| format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB);
    let found = format!(
        "{} of {} are free",
        gib(space.free_bytes),
        gib(space.total_bytes)
    );
    if space.free_bytes < reserve {
        let found = format!("{found}, and below {} records are refused", gib(reserve));
        let advice = "free space, or lower free_space_min_bytes and free_space_min_percent";
        return Check::fail(SPACE, found, advice);
    }
    if space.free_bytes / 2 < reserve {
        let found = format!("{found}; below {} records are refused", gib(reserve));
        return Check::warn(SPACE, found, "free space soon");
    }
    Check::ok(SPACE, found)
}

/// The type of the file system that a path lies in.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut columns = line.split(' ');
        let (_, at, kind) = (columns.next()?, columns.next()?, columns.next()?);
        let at = PathBuf::from(at.replace("\\040", " "));
        path.starts_with(&at).then_some((at, kind))
    });
    // the last of equals hides the others
    let innermost = mounts.max_by_key(|(at, _)| at.components().count());
    innermost.map(|(_, kind)| kind)
}

fn judge_file_system(kind: Option<&str>) -> Check {
    match kind {
        None => Check::warn(FILE_SYSTEM, "its type is not known", "look with findmnt"),
        Some(kind @ ("tmpfs" | "ramfs" | "devtmpfs")) => Check::warn(
            FILE_SYSTEM,
            format!("{kind} is memory: a reboot takes every record"),
            "put the data directory on a disk",
        ),
        Some(kind) if is_remote(kind) => Check::warn(
            FILE_SYSTEM,
            format!("{kind} is a network's: what is synced and locked there depends on the server"),
            "put the data directory on a local disk",
        ),
        Some("overlay") => Check::warn(
            FILE_SYSTEM,
            "overlay is a container's own: the records go with the container",
            "put the data directory on a volume",
        ),
        Some(kind) => Check::ok(FILE_SYSTEM, kind),
    }
}

fn is_remote(kind: &str) -> bool {
    [
        "nfs",
        "cifs",
        "smb",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "fuse",
    ]
    .iter()
    .any(|remote| kind.starts_with(remote))
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn the_innermost_mount_counts() {
        let mounts =
            "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nh:/x /srv/my\\040data nfs4 rw 0 0\n";
        let kind = |path| file_system(mounts, Path::new(path));
        assert_eq!(kind("/var/lib"), Some("ext4"));
        assert_eq!(kind("/tmp/d"), Some("tmpfs"));
        assert_eq!(kind("/tmpfiles"), Some("ext4"));
        assert_eq!(kind("/srv/my data/d"), Some("nfs4"));
        assert_eq!(file_system("", Path::new("/")), None);
    }

    #[test]
    fn memory_and_networks_are_warned_of() {
        for kind in ["tmpfs", "nfs4", "fuse.sshfs", "overlay"] {
            assert_eq!(judge_file_system(Some(kind)).grade, Grade::Warn, "{kind}");
        }
        assert_eq!(judge_file_system(Some("xfs")).grade, Grade::Ok);
    }

    #[test]
    fn a_nearly_full_disk_fails() {
        let broker = BrokerTable {
            free_space_min_bytes: 100,
            free_space_min_percent: 5,
            ..BrokerTable::default()
        };
        let grade = |free_bytes| {
            let space = Space {
                free_bytes,
                total_bytes: 10_000,
            };
            room(space, &broker).grade
        };
        assert_eq!(grade(499), Grade::Fail);
        assert_eq!(grade(900), Grade::Warn);
        assert_eq!(grade(1_001), Grade::Ok);
    }
}
