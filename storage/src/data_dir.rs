//! The data directory: who it belongs to, who has it open, and where each log lies.
//!
//! ```text
//! data/
//!   lock                            held by the one process that uses the directory
//!   meta                            format version, cluster id, node id (checksummed text)
//!   checkpoint                      what each log was at a clean stop; gone while the broker runs
//!   votes-{shard}                   terms, votes and flushed hints of a shard's partitions (`votes`)
//!   catalogue                       whatever the broker keeps there (checksummed, opaque here)
//!   topics/{topic id}-{partition}/  one log each
//! ```
//!
//! The first start draws the cluster id. A directory written by an unknown format version is refused. One of
//! format 1, which kept the flushed hint beside each log, is taken over: its hints are read where no journal has
//! newer ones, so nothing but `meta` is changed here. An older program then refuses it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use crate::fs::{
    AtomicFileError, CachedDisk, DirLock, Disk, LockError, OpenMode, RealDisk, read_atomic,
    write_atomic,
};
use crate::inspect::verify_log;

/// The version of everything below the data directory that this program reads and writes.
pub const FORMAT_VERSION: u32 = 2;
/// The version before, which is taken over.
const FORMAT_VERSION_BEFORE: u32 = 1;
/// The only node there is until clusters exist.
const NODE_ID: i32 = 1;
const META: &str = "meta";
const TOPICS: &str = "topics";
/// An empty file in the directory of a log whose topic is being deleted.
const DELETED: &str = "deleted";

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Another process has it, or locking failed.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A checksummed file is unreadable or damaged.
    #[error(transparent)]
    File(#[from] AtomicFileError),
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
    /// `meta` was written by a program this one does not understand.
    #[error(
        "data directory {dir} has format version {found}; this program knows only {FORMAT_VERSION}"
    )]
    Version {
        /// The directory.
        dir: PathBuf,
        /// The version stated, as text.
        found: String,
    },
    /// There is a broker's data, but no `meta` that says whose.
    #[error(
        "data directory {dir} has {found} but no meta, which says whose they are: put it back; nothing was changed"
    )]
    MetaMissing {
        /// The directory.
        dir: PathBuf,
        /// What is there, in words.
        found: &'static str,
    },
    /// `meta` lacks a line or holds nonsense.
    #[error("data directory {dir}: meta has no valid {field}")]
    Meta {
        /// The directory.
        dir: PathBuf,
        /// The line that is missing or wrong.
        field: &'static str,
    },
}

/// An open, locked data directory.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    cluster_id: Uuid,
    node_id: i32,
    _lock: Option<DirLock>,
}

impl DataDir {
    /// Opens or makes the directory on the real disk, and locks it for this process.
    ///
    /// At most `files_max` of its files are kept open.
    pub fn open(root: &Path, files_max: usize) -> Result<DataDir, DataDirError> {
        let disk: Arc<dyn Disk> = Arc::new(CachedDisk::new(Arc::new(RealDisk), files_max));
        disk.create_dir_all(root)
            .map_err(|source| io_error("create", root, source))?;
        let lock = DirLock::acquire(root)?;
        DataDir::open_unlocked(disk, root, Some(lock))
    }

    /// Opens or makes the directory on any disk, without a lock (memory belongs to one process anyway).
    pub fn open_on(disk: Arc<dyn Disk>, root: &Path) -> Result<DataDir, DataDirError> {
        DataDir::open_unlocked(disk, root, None)
    }

    fn open_unlocked(
        disk: Arc<dyn Disk>,
        root: &Path,
        lock: Option<DirLock>,
    ) -> Result<DataDir, DataDirError> {
        let topics = root.join(TOPICS);
        let meta = root.join(META);
        let known = read_atomic(&*disk, &meta)?;
        if known.is_none() {
            check_empty(&*disk, root)?;
        }
        disk.create_dir_all(&topics)
            .map_err(|source| io_error("create", &topics, source))?;
        let (cluster_id, node_id) = if let Some(content) = known {
            let (version, cluster_id, node_id) = parse_meta(root, &content)?;
            if version != FORMAT_VERSION {
                tracing::info!(
                    from = version,
                    to = FORMAT_VERSION,
                    "data directory is taken over"
                );
                write_meta(&*disk, &meta, cluster_id, node_id)?;
            }
            (cluster_id, node_id)
        } else {
            let cluster_id = Uuid::new_v4();
            write_meta(&*disk, &meta, cluster_id, NODE_ID)?;
            (cluster_id, NODE_ID)
        };
        Ok(DataDir {
            root: root.to_path_buf(),
            disk,
            cluster_id,
            node_id,
            _lock: lock,
        })
    }

    /// The disk below.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cluster this directory belongs to; drawn once.
    pub fn cluster_id(&self) -> Uuid {
        self.cluster_id
    }

    /// The node this directory belongs to.
    pub fn node_id(&self) -> i32 {
        self.node_id
    }

    /// Where the log of a partition lies.
    pub fn log_dir(&self, topic_id: Uuid, partition: i32) -> PathBuf {
        self.root
            .join(TOPICS)
            .join(format!("{}-{partition}", topic_id.hyphenated()))
    }

    /// The partitions that have a directory, in the order of their names.
    pub fn logs(&self) -> Result<Vec<(Uuid, i32)>, DataDirError> {
        let topics = self.root.join(TOPICS);
        let names = self
            .disk
            .list(&topics)
            .map_err(|source| io_error("list", &topics, source))?;
        Ok(names
            .iter()
            .filter_map(|name| parse_log_dir(name))
            .collect())
    }

    /// Says in the log's directory that its topic is being deleted, so that a start which finds it without a topic
    /// may go on with that.
    pub fn mark_deleted(&self, topic_id: Uuid, partition: i32) -> Result<(), DataDirError> {
        let path = self.log_dir(topic_id, partition).join(DELETED);
        let made = self.disk.open(&path, OpenMode::Create).map(drop);
        made.map_err(|source| io_error("create", &path, source))
    }

    /// Takes that back, for a topic that was not deleted after all.
    pub fn unmark_deleted(&self, topic_id: Uuid, partition: i32) -> Result<(), DataDirError> {
        let path = self.log_dir(topic_id, partition).join(DELETED);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &path, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether a log that no topic names may be removed: its topic was being deleted, or it never held a record,
    /// as one whose topic was being made.
    pub fn is_leftover(&self, topic_id: Uuid, partition: i32) -> Result<bool, DataDirError> {
        let dir = self.log_dir(topic_id, partition);
        let names = self.disk.list(&dir);
        let names = names.map_err(|source| io_error("list", &dir, source))?;
        if names.iter().any(|name| name == DELETED) {
            return Ok(true);
        }
        let found = verify_log(&self.disk, &dir, None);
        let found = found.map_err(|source| io_error("read", &dir, source))?;
        Ok(found.damage.is_none() && found.log_start == found.log_end)
    }

    /// Removes the log of a deleted partition, durably; one that is not there is fine.
    pub fn remove_log(&self, topic_id: Uuid, partition: i32) -> Result<(), DataDirError> {
        let dir = self.log_dir(topic_id, partition);
        match self.disk.remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &dir, error));
            }
            Ok(()) | Err(_) => {}
        }
        let topics = self.root.join(TOPICS);
        self.disk
            .sync_dir(&topics)
            .map_err(|source| io_error("sync", &topics, source))
    }

    /// Replaces the checksummed file `name` in the directory, durably.
    pub fn write_file(&self, name: &str, content: &[u8]) -> Result<(), DataDirError> {
        let path = self.root.join(name);
        write_atomic(&*self.disk, &path, content).map_err(|source| io_error("write", &path, source))
    }

    /// The content of the checksummed file `name`; `None` if it was never written.
    pub fn read_file(&self, name: &str) -> Result<Option<Vec<u8>>, DataDirError> {
        Ok(read_atomic(&*self.disk, &self.root.join(name))?)
    }
}

pub(crate) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io {
        operation,
        path: path.to_path_buf(),
        source,
    }
}

/// Reads `{topic id}-{partition}`, the name of a log's directory.
pub fn parse_log_dir(name: &str) -> Option<(Uuid, i32)> {
    let (topic_id, partition) = name.rsplit_once('-')?;
    let topic_id = Uuid::try_parse(topic_id).ok()?;
    let partition: i32 = partition.parse().ok().filter(|partition| *partition >= 0)?;
    (name == format!("{}-{partition}", topic_id.hyphenated())).then_some((topic_id, partition))
}

/// A directory without `meta` may hold what a first start left before it wrote that, and nothing else of ours.
fn check_empty(disk: &dyn Disk, root: &Path) -> Result<(), DataDirError> {
    let list = |dir: &Path| match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|source| io_error("list", dir, source)),
    };
    let names = list(root)?;
    let logs = list(&root.join(TOPICS))?;
    let found = if logs.iter().any(|name| parse_log_dir(name).is_some()) {
        "logs"
    } else if names.iter().any(|name| name.starts_with("votes-")) {
        "votes"
    } else {
        return Ok(());
    };
    Err(DataDirError::MetaMissing {
        dir: root.to_path_buf(),
        found,
    })
}

fn write_meta(
    disk: &dyn Disk,
    meta: &Path,
    cluster_id: Uuid,
    node_id: i32,
) -> Result<(), DataDirError> {
    let content =
        format!("format_version={FORMAT_VERSION}\ncluster_id={cluster_id}\nnode_id={node_id}\n");
    write_atomic(disk, meta, content.as_bytes()).map_err(|source| io_error("write", meta, source))
}

/// The format version, the cluster and the node.
fn parse_meta(dir: &Path, content: &[u8]) -> Result<(u32, Uuid, i32), DataDirError> {
    let text = std::str::from_utf8(content).unwrap_or_default();
    let field = |name: &'static str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .ok_or_else(|| DataDirError::Meta {
                dir: dir.to_path_buf(),
                field: name,
            })
    };
    let wrong = |field| DataDirError::Meta {
        dir: dir.to_path_buf(),
        field,
    };
    let stated = field("format_version")?;
    let known = |version: &u32| *stated == version.to_string();
    let Some(version) = [FORMAT_VERSION, FORMAT_VERSION_BEFORE]
        .into_iter()
        .find(known)
    else {
        return Err(DataDirError::Version {
            dir: dir.to_path_buf(),
            found: stated.to_owned(),
        });
    };
    let cluster_id = field("cluster_id")?
        .parse()
        .map_err(|_| wrong("cluster_id"))?;
    let node_id = field("node_id")?.parse().map_err(|_| wrong("node_id"))?;
    Ok((version, cluster_id, node_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::MemoryDisk;

    #[test]
    fn cluster_id_is_drawn_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path(), 100).unwrap();
        let drawn = first.cluster_id();
        assert_eq!(first.node_id(), 1);
        drop(first);
        assert_eq!(DataDir::open(dir.path(), 100).unwrap().cluster_id(), drawn);
    }

    #[test]
    fn second_opener_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let _first = DataDir::open(dir.path(), 100).unwrap();
        let refused = DataDir::open(dir.path(), 100).unwrap_err();
        assert!(matches!(
            refused,
            DataDirError::Lock(LockError::Held { .. })
        ));
        assert!(
            refused
                .to_string()
                .contains(&dir.path().display().to_string())
        );
    }

    #[test]
    fn data_without_meta_is_refused_and_not_given_to_a_new_cluster() {
        for (made, found) in [
            (format!("topics/{}-0", Uuid::nil()), "logs"),
            ("votes-0".to_owned(), "votes"),
        ] {
            let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
            let root = Path::new("/data");
            disk.create_dir_all(&root.join(made)).unwrap();
            let refused = DataDir::open_on(Arc::clone(&disk), root).unwrap_err();
            assert!(refused.to_string().contains(found), "{refused}");
            assert!(!disk.list(root).unwrap().iter().any(|name| name == META));
        }
    }

    #[test]
    fn unknown_format_version_is_refused() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let root = Path::new("/data");
        disk.create_dir_all(root).unwrap();
        let text = format!("format_version=3\ncluster_id={}\nnode_id=1\n", Uuid::nil());
        write_atomic(&*disk, &root.join("meta"), text.as_bytes()).unwrap();
        let refused = DataDir::open_on(disk, root).unwrap_err();
        assert!(matches!(refused, DataDirError::Version { found, .. } if found == "3"));
    }

    #[test]
    fn directory_of_the_format_before_is_taken_over() {
        let disk = MemoryDisk::new();
        let root = Path::new("/data");
        disk.create_dir_all(root).unwrap();
        let cluster_id = Uuid::from_u128(5);
        let text = format!("format_version=1\ncluster_id={cluster_id}\nnode_id=1\n");
        write_atomic(&disk, &root.join("meta"), text.as_bytes()).unwrap();
        for _ in 0..2 {
            let data = DataDir::open_on(Arc::new(disk.clone()), root).unwrap();
            assert_eq!(data.cluster_id(), cluster_id);
            let meta = read_atomic(&disk.crash(), &root.join("meta")).unwrap();
            let meta = String::from_utf8(meta.unwrap()).unwrap();
            assert_eq!(meta, text.replace("=1\nc", "=2\nc"));
        }
    }

    #[test]
    fn damaged_meta_is_refused() {
        let disk = MemoryDisk::new();
        let root = Path::new("/data");
        DataDir::open_on(Arc::new(disk.clone()), root).unwrap();
        disk.damage(&root.join("meta"), |bytes| bytes[20] ^= 1);
        let refused = DataDir::open_on(Arc::new(disk), root).unwrap_err();
        assert!(matches!(
            refused,
            DataDirError::File(AtomicFileError::Damaged { .. })
        ));
    }

    #[test]
    fn log_directories_are_named_and_found() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let data = DataDir::open_on(Arc::clone(&disk), Path::new("/data")).unwrap();
        let topic = Uuid::new_v4();
        disk.create_dir_all(&data.log_dir(topic, 12)).unwrap();
        disk.create_dir_all(Path::new("/data/topics/lost+found"))
            .unwrap();
        assert_eq!(data.logs().unwrap(), [(topic, 12)]);
        data.remove_log(topic, 12).unwrap();
        data.remove_log(topic, 12).unwrap();
        assert!(data.logs().unwrap().is_empty());
    }

    #[test]
    fn files_are_replaced_whole_and_survive_a_crash() {
        let disk = MemoryDisk::new();
        let data = DataDir::open_on(Arc::new(disk.clone()), Path::new("/data")).unwrap();
        assert_eq!(data.read_file("catalogue").unwrap(), None);
        data.write_file("catalogue", b"one").unwrap();
        data.write_file("catalogue", b"two").unwrap();
        let after = DataDir::open_on(Arc::new(disk.crash()), Path::new("/data")).unwrap();
        assert_eq!(
            after.read_file("catalogue").unwrap().as_deref(),
            Some(&b"two"[..])
        );
        assert_eq!(after.cluster_id(), data.cluster_id());
    }
}
