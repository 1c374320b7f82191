//! The flushed hint: how far the log was durable when a sync round ended.
//!
//! It is staged in the vote journal after the sync that it describes, so it is **never above synced data**;
//! recovery refuses a log that ends below it. Before a truncation it is lowered, durably (`votes`).
//!
//! Format 1 of the data directory kept it beside each log, in a file `flushed`:
//!
//! ```text
//! flushed:  slot at byte 0 | … | slot at byte 512
//! slot:     'HRFLUSH' 01 | sequence u64 | offset i64 | index u64 | epoch i32 | CRC-32C u32
//! ```
//!
//! Such a file is read while the journal knows nothing of the log, and removed when it does.

use std::io;
use std::path::Path;

use bytes::Buf;

use super::checkpoint::LogCheckpoint;
use super::config::LogIdentity;
use crate::fs::{Disk, OpenMode};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::Tail;

/// The file of format 1.
pub(super) const OLD_FILE_NAME: &str = "flushed";
const MAGIC: [u8; 8] = *b"HRFLUSH\x01";
const SLOT_BYTES: usize = 40;
const SLOT_PLACES: [u64; 2] = [0, 512];

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

/// What is known of a log when it is opened; nothing, for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// How far it was durable, from the vote journal.
    pub hint: Option<Hint>,
    /// What it was when it was closed, if that was the last thing done to it.
    pub checkpoint: Option<LogCheckpoint>,
}

/// Reads the hint that format 1 left in `dir`; without a valid slot there is none.
pub(super) fn read_old(
    disk: &dyn Disk,
    dir: &Path,
    identity: &LogIdentity,
) -> io::Result<Option<Hint>> {
    let file = disk.open(&dir.join(OLD_FILE_NAME), OpenMode::Read)?;
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
        tracing::warn!(dir = %dir.display(), "flushed hint is damaged and counts as absent");
    }
    Ok(newest.map(|(_, hint)| hint))
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

/// A slot as format 1 wrote it.
#[cfg(test)]
fn slot(identity: &LogIdentity, sequence: u64, hint: Hint) -> Vec<u8> {
    let mut slot = MAGIC.to_vec();
    slot.extend(sequence.to_be_bytes());
    slot.extend(hint.offset.0.to_be_bytes());
    slot.extend(hint.index.0.to_be_bytes());
    slot.extend(hint.epoch.0.to_be_bytes());
    let seed = crc32c::crc32c(identity.topic_id.as_bytes());
    let seed = crc32c::crc32c_append(seed, &identity.partition.to_be_bytes());
    slot.extend(crc32c::crc32c_append(seed, &slot).to_be_bytes());
    slot
}

/// Writes the file of format 1.
#[cfg(test)]
pub(super) fn write_old(disk: &dyn Disk, dir: &Path, identity: &LogIdentity, hint: Hint) {
    let file = disk.open(&dir.join(OLD_FILE_NAME), OpenMode::Create);
    let slot = slot(identity, 1, hint);
    let written = file.and_then(|file| {
        file.write_at(0, &mut [io::IoSlice::new(&slot)])?;
        file.sync_data()?;
        disk.sync_dir(dir)
    });
    written.expect("a disk without failures");
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::sync::Arc;

    use super::*;
    use crate::fs::MemoryDisk;
    use crate::log::{Log, LogConfig};
    use uuid::Uuid;

    const DIR: &str = "/log";

    fn identity(partition: i32) -> LogIdentity {
        LogIdentity {
            cluster_id: Uuid::nil(),
            topic_id: Uuid::from_u128(7),
            partition,
        }
    }

    fn hint(at: u8) -> Hint {
        Hint {
            offset: Offset(i64::from(at)),
            index: EntryIndex(u64::from(at)),
            epoch: LeaderEpoch(1),
        }
    }

    fn read(disk: &MemoryDisk, partition: i32) -> Option<Hint> {
        read_old(disk, Path::new(DIR), &identity(partition)).unwrap()
    }

    #[test]
    fn newest_sound_slot_of_format_1_is_read() {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let path = Path::new(DIR).join(OLD_FILE_NAME);
        let file = disk.open(&path, OpenMode::Create).unwrap();
        assert_eq!(read(&disk, 0), None);
        for (at, place) in [(1, 512), (2, 0)] {
            file.write_at(
                place,
                &mut [IoSlice::new(&slot(&identity(0), u64::from(at), hint(at)))],
            )
            .unwrap();
            assert_eq!(read(&disk, 0), Some(hint(at)));
        }
        assert_eq!(read(&disk, 1), None, "of another partition");
        for at in 0..SLOT_BYTES {
            disk.damage(&path, |bytes| bytes[at] ^= 0x40);
            assert_eq!(read(&disk, 0), Some(hint(1)));
            disk.damage(&path, |bytes| bytes[at] ^= 0x40);
        }
    }

    #[test]
    fn hint_of_format_1_counts_until_the_journal_knows_better() {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let path = Path::new(DIR).join(OLD_FILE_NAME);
        write_old(&disk, Path::new(DIR), &identity(0), hint(3));
        let open = |hint| {
            let (disk, config) = (Arc::new(disk.clone()), LogConfig::default());
            Log::open(
                disk,
                Path::new(DIR),
                identity(0),
                config,
                Known {
                    hint,
                    ..Known::default()
                },
            )
        };
        let refused = open(None).unwrap_err().to_string();
        assert!(refused.contains("files are missing"), "{refused}");
        assert!(disk.bytes_of(&path).is_some());
        drop(open(Some(Hint::default())).unwrap());
        assert!(disk.bytes_of(&path).is_none(), "outdated");
        drop(open(None).unwrap());
    }
}
