//! The checkpoint of a clean stop: one file for all logs of a data directory, for one start.
//!
//! ```text
//! checkpoint (checksummed, `fs/atomic`):
//! count u32 | { topic id u128 | partition i32 | bytes u32 | checkpoint of a log (`log/checkpoint`) }
//! ```
//!
//! Written when every log has been closed, so what it says is durable. The next start takes it away, durably,
//! before anything else is written: it is never older than the logs. One that is damaged counts as none;
//! the logs are then recovered as after a crash.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};
use uuid::Uuid;

use crate::data_dir::{DataDir, DataDirError, io_error};
use crate::fs::{AtomicFileError, Disk, read_atomic, write_atomic};
use crate::log::LogCheckpoint;
use crate::planted::{Mistake, planted};
use crate::votes::GroupId;

const FILE_NAME: &str = "checkpoint";

/// The checkpoints of all logs that were closed cleanly.
pub type Checkpoints = HashMap<GroupId, LogCheckpoint>;

impl DataDir {
    /// Keeps what closing the logs gave, for the next start; durable when this returns.
    pub fn write_checkpoint(&self, logs: &Checkpoints) -> Result<(), DataDirError> {
        let path = self.root().join(FILE_NAME);
        encode(logs)
            .and_then(|content| write_atomic(&*self.disk(), &path, &content))
            .map_err(|source| io_error("write", &path, source))
    }

    /// What the last stop left, if it was clean; gone from the disk when this returns, durably.
    ///
    /// Called before anything is written.
    pub fn take_checkpoint(&self) -> Result<Checkpoints, DataDirError> {
        let (disk, path) = (self.disk(), self.root().join(FILE_NAME));
        let logs = match read_atomic(&*disk, &path) {
            // a start that crashed may have removed it without having made that durable
            Ok(None) => {
                disk.sync_dir(self.root())
                    .map_err(|source| io_error("sync", self.root(), source))?;
                return Ok(Checkpoints::default());
            }
            Ok(Some(content)) => decode(&content),
            Err(AtomicFileError::Damaged { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if logs.is_none() {
            tracing::warn!(path = %path.display(), "checkpoint is damaged, logs are recovered as after a crash");
        }
        if !planted(Mistake::CheckpointKept) {
            disk.remove(&path)
                .and_then(|()| disk.sync_dir(self.root()))
                .map_err(|source| io_error("remove", &path, source))?;
        }
        Ok(logs.unwrap_or_default())
    }
}

/// The checkpoints in the file at `path`; `None` if they are damaged, or there is no file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Checkpoints>> {
    match read_atomic(disk, path) {
        Ok(content) => Ok(content.and_then(|content| decode(&content))),
        Err(AtomicFileError::Damaged { .. }) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn encode(logs: &Checkpoints) -> io::Result<Vec<u8>> {
    let count = |len: usize| u32::try_from(len).map_err(io::Error::other);
    let mut out = Vec::new();
    out.put_u32(count(logs.len())?);
    let mut logs: Vec<_> = logs.iter().collect();
    logs.sort_by_key(|(group, _)| **group);
    for (group, log) in logs {
        let bytes = log.encode()?;
        out.put_u128(group.topic_id.as_u128());
        out.put_i32(group.partition);
        out.put_u32(count(bytes.len())?);
        out.put_slice(&bytes);
    }
    Ok(out)
}

fn decode(content: &[u8]) -> Option<Checkpoints> {
    let from = &mut { content };
    let mut logs = Checkpoints::default();
    for _ in 0..from.try_get_u32().ok()? {
        let group = GroupId {
            topic_id: Uuid::from_u128(from.try_get_u128().ok()?),
            partition: from.try_get_i32().ok()?,
        };
        let len = usize::try_from(from.try_get_u32().ok()?).ok()?;
        let (bytes, rest) = from.split_at_checked(len)?;
        *from = rest;
        logs.insert(group, LogCheckpoint::decode(bytes)?);
    }
    from.is_empty().then_some(logs)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fs::MemoryDisk;
    use crate::{Entry, Known, LeaderEpoch, Log, LogConfig, LogIdentity};

    const GOLDEN: &str = "\
        00000001 00000000000000000000000000000007 00000002 00000090 \
        0001 0000000000000000 0000000000000002 00000003 0000000000000000 \
        0000000000000009 a0a8583c \
        00000001 00000003 0000000000000000 0000000000000001 \
        00000000 00000000 \
        00000001 0000000000000000 0000000000000001 00000000 0000000000000000 0000000000000002 000000000000009f \
        8000000000000000 00 ffffffffffffffff 00000000 00";

    fn data_dir(disk: &MemoryDisk) -> DataDir {
        DataDir::open_on(Arc::new(disk.clone()), Path::new("/data")).unwrap()
    }

    /// The checkpoint of a log of one sealed segment.
    fn checkpoints(disk: &MemoryDisk) -> Checkpoints {
        let identity = LogIdentity {
            cluster_id: Uuid::nil(),
            topic_id: Uuid::from_u128(7),
            partition: 2,
        };
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = Path::new("/data/topics/log");
        let mut log = Log::open(
            shared,
            dir,
            identity,
            LogConfig::default(),
            Known::default(),
        )
        .unwrap();
        let term = LeaderEpoch(3);
        log.append(Entry::NoOp { term }).unwrap();
        log.append(Entry::Roll { at_ms: 9 }).unwrap();
        let checkpoint = log.close().unwrap();
        Checkpoints::from([(GroupId::from(&identity), checkpoint)])
    }

    #[test]
    fn checkpoint_is_kept_for_one_start_durably() {
        let disk = MemoryDisk::new();
        let data = data_dir(&disk);
        let logs = checkpoints(&disk);
        assert!(data.take_checkpoint().unwrap().is_empty());
        data.write_checkpoint(&logs).unwrap();
        let disk = disk.crash();
        let data = data_dir(&disk);
        assert_eq!(data.take_checkpoint().unwrap(), logs);
        for disk in [disk.crash(), disk] {
            assert!(data_dir(&disk).take_checkpoint().unwrap().is_empty());
        }
    }

    #[test]
    fn damaged_checkpoint_counts_as_none_and_goes() {
        let disk = MemoryDisk::new();
        let data = data_dir(&disk);
        let logs = checkpoints(&disk);
        let path = Path::new("/data/checkpoint");
        data.write_checkpoint(&logs).unwrap();
        let size = disk.bytes_of(path).unwrap().len();
        for at in 0..size {
            data.write_checkpoint(&logs).unwrap();
            disk.damage(path, |bytes| bytes[at] ^= 1);
            assert!(data.take_checkpoint().unwrap().is_empty(), "byte {at}");
            assert_eq!(disk.crash().bytes_of(path), None);
        }
    }

    #[test]
    fn checkpoint_is_its_golden_bytes() {
        let logs = checkpoints(&MemoryDisk::new());
        let bytes = encode(&logs).unwrap();
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String = digits
            .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
            .collect();
        assert_eq!(hex, GOLDEN.replace(' ', ""));
        assert_eq!(decode(&bytes), Some(logs));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
