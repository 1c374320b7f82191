//! The flushed hint: how far the log was durable when the last sync round ended.
//!
//! ```text
//! flushed:  slot at byte 0 | … | slot at byte 512
//! slot:     'HRFLUSH' 01 | sequence u64 | offset i64 | index u64 | epoch i32 | CRC-32C u32
//! ```
//!
//! It is written after the sync it describes, so it is **never above synced data**; recovery refuses a
//! log that ends below it. The two slots take turns and the valid one with the higher sequence counts,
//! so a torn write costs one step. It is not synced each time (a lower hint is always safe), but once
//! per 64 MiB of data, which bounds how much a damaged tail could hide after a power cut. Before a
//! truncation it is lowered and synced. The CRC is seeded with topic id and partition.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut};

use super::config::LogIdentity;
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::Tail;

const FILE_NAME: &str = "flushed";
const MAGIC: [u8; 8] = *b"HRFLUSH\x01";
const SLOT_BYTES: usize = 40;
/// A sector each, so that one torn write cannot reach both.
const SLOT_PLACES: [u64; 2] = [0, 512];
/// Data synced between two syncs of the hint itself.
const SYNC_INTERVAL_BYTES: u64 = 64 << 20;

/// The position up to which the log was durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// The offset of the next record.
    pub offset: Offset,
    /// The last entry.
    pub index: EntryIndex,
    /// Its epoch.
    pub epoch: LeaderEpoch,
}

impl Hint {
    pub(crate) fn of(tail: Tail) -> Hint {
        Hint {
            offset: tail.offset,
            index: tail.index,
            epoch: tail.epoch,
        }
    }
}

/// The open hint file of a log. One sync round uses it at a time.
#[derive(Debug)]
pub(crate) struct HintFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    seed: u32,
    sequence: AtomicU64,
    unsynced_bytes: AtomicU64,
}

impl HintFile {
    /// Opens or makes the hint of the log in `dir`, and reads it; without a valid slot there is none.
    ///
    /// A new file's name is synced by the caller with the directory.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        identity: &LogIdentity,
    ) -> io::Result<(HintFile, Option<Hint>)> {
        let path = dir.join(FILE_NAME);
        let file = match disk.open(&path, OpenMode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.open(&path, OpenMode::Create)?
            }
            other => other?,
        };
        let seed = crc32c::crc32c(identity.topic_id.as_bytes());
        let seed = crc32c::crc32c_append(seed, &identity.partition.to_be_bytes());
        let mut newest: Option<(u64, Hint)> = None;
        for place in SLOT_PLACES {
            let mut slot = Vec::new();
            file.read_at(place, SLOT_BYTES, &mut slot)?;
            if let Some(found) = parse(&slot, seed)
                && newest.is_none_or(|(sequence, _)| sequence < found.0)
            {
                newest = Some(found);
            }
        }
        if newest.is_none() && file.size()? > 0 {
            tracing::warn!(path = %path.display(), "flushed hint is damaged and counts as absent");
        }
        let sequence = AtomicU64::new(newest.map_or(0, |(sequence, _)| sequence));
        let unsynced_bytes = AtomicU64::new(0);
        Ok((
            HintFile {
                path,
                file,
                seed,
                sequence,
                unsynced_bytes,
            },
            newest.map(|(_, hint)| hint),
        ))
    }

    /// Its path, for errors.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a hint after a sync of `synced_bytes` of data, and syncs it when its turn has come.
    pub(crate) fn raise(&self, hint: Hint, synced_bytes: u64) -> io::Result<()> {
        self.write(hint)?;
        let unsynced = self
            .unsynced_bytes
            .fetch_add(synced_bytes, Ordering::Relaxed)
            + synced_bytes;
        if unsynced < SYNC_INTERVAL_BYTES {
            return Ok(());
        }
        self.unsynced_bytes.store(0, Ordering::Relaxed);
        self.file.sync_data()
    }

    /// Writes a hint and syncs it: before a truncation, and when the log is closed.
    ///
    /// Both slots say so: a higher hint of entries that were truncated must not come back when the next
    /// write, which is not synced, is torn.
    pub(crate) fn settle(&self, hint: Hint) -> io::Result<()> {
        self.write(hint)?;
        self.write(hint)?;
        self.file.sync_data()
    }

    fn write(&self, hint: Hint) -> io::Result<()> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.put_slice(&MAGIC);
        slot.put_u64(sequence);
        slot.put_i64(hint.offset.0);
        slot.put_u64(hint.index.0);
        slot.put_i32(hint.epoch.0);
        slot.put_u32(crc32c::crc32c_append(self.seed, &slot));
        let place = SLOT_PLACES[usize::from(sequence % 2 == 1)];
        self.file.write_at(place, &mut [IoSlice::new(&slot)])
    }
}

fn parse(slot: &[u8], seed: u32) -> Option<(u64, Hint)> {
    let slot: &[u8; SLOT_BYTES] = slot.try_into().ok()?;
    let (body, mut stated) = slot.split_at(SLOT_BYTES - 4);
    if crc32c::crc32c_append(seed, body) != stated.get_u32() {
        return None;
    }
    let mut fields = body.strip_prefix(&MAGIC)?;
    let sequence = fields.get_u64();
    let offset = Offset(fields.get_i64());
    let index = EntryIndex(fields.get_u64());
    Some((
        sequence,
        Hint {
            offset,
            index,
            epoch: LeaderEpoch(fields.get_i32()),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::MemoryDisk;
    use uuid::Uuid;

    const DIR: &str = "/log";

    fn identity(partition: i32) -> LogIdentity {
        LogIdentity {
            cluster_id: Uuid::nil(),
            topic_id: Uuid::from_u128(7),
            partition,
        }
    }

    fn hint(at: i64) -> Hint {
        Hint {
            offset: Offset(at),
            index: EntryIndex(at.unsigned_abs()),
            epoch: LeaderEpoch(1),
        }
    }

    fn disk() -> MemoryDisk {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        disk
    }

    fn read(disk: &MemoryDisk, partition: i32) -> Option<Hint> {
        HintFile::open(disk, Path::new(DIR), &identity(partition))
            .unwrap()
            .1
    }

    #[test]
    fn newest_hint_is_read_back() {
        let disk = disk();
        let (file, none) = HintFile::open(&disk, Path::new(DIR), &identity(0)).unwrap();
        assert_eq!(none, None);
        for at in 1..=5 {
            file.raise(hint(at), 10).unwrap();
            assert_eq!(read(&disk, 0), Some(hint(at)));
        }
        assert_eq!(read(&disk, 1), None, "of another partition");
    }

    #[test]
    fn damage_to_the_newest_slot_leaves_the_one_before() {
        let disk = disk();
        let (file, _) = HintFile::open(&disk, Path::new(DIR), &identity(0)).unwrap();
        file.raise(hint(1), 10).unwrap();
        file.raise(hint(2), 10).unwrap();
        let whole = disk.bytes_of(file.path()).unwrap();
        for at in 0..SLOT_BYTES {
            disk.damage(file.path(), |bytes| bytes[at] ^= 0x40);
            assert_eq!(read(&disk, 0), Some(hint(1)));
            disk.damage(file.path(), |bytes| bytes.clone_from(&whole));
        }
    }

    #[test]
    fn hint_is_synced_once_per_interval() {
        let disk = disk();
        let (file, _) = HintFile::open(&disk, Path::new(DIR), &identity(0)).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        file.raise(hint(1), SYNC_INTERVAL_BYTES - 1).unwrap();
        assert_eq!(read(&disk.crash(), 0), None);
        file.raise(hint(2), 1).unwrap();
        assert_eq!(read(&disk.crash(), 0), Some(hint(2)));
        file.raise(hint(3), 1).unwrap();
        assert_eq!(read(&disk.crash(), 0), Some(hint(2)));
        file.settle(hint(1)).unwrap();
        assert_eq!(read(&disk.crash(), 0), Some(hint(1)));
    }
}
