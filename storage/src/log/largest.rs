//! How large a batch may be torn: written down, durably, before a batch larger than a group is.
//!
//! What a power cut leaves of the last group is at most 4 MiB long, or one batch where a batch is larger. If the
//! head of that batch is lost, nothing in the segment says how long it was, and a bound for all logs would hide
//! as many bytes of damage in each. So the log keeps the bound itself, beside its segments:
//!
//! ```text
//! largest-batch    bytes u64, in an atomic file; a power of two at or above the largest batch since the last start
//! ```
//!
//! No setting is asked: a topic's `max.message.bytes` may be another by the time of the start, and a check of a
//! stopped broker's files knows none. A log whose batches all fit into groups has no such file, and one that is
//! damaged counts as none: then a torn tail may be refused, but no damage is cut.

use std::io;
use std::path::Path;

use bytes::Buf;

use super::error::WriteError;
use super::{GROUP_BYTES_MAX, Log};
use crate::fs::{AtomicFileError, Disk, read_atomic, write_atomic};

pub(super) const FILE_NAME: &str = "largest-batch";

/// The bytes of the last group that may be there in part.
pub(super) fn torn_bytes_max(disk: &dyn Disk, dir: &Path) -> io::Result<u64> {
    let content = match read_atomic(disk, &dir.join(FILE_NAME)) {
        Err(AtomicFileError::Io { source, .. }) => return Err(source),
        Err(AtomicFileError::Damaged { .. }) => None,
        Ok(content) => content,
    };
    let stated = content.and_then(|content| content.as_slice().try_get_u64().ok());
    Ok(stated.map_or(GROUP_BYTES_MAX, |bytes| bytes.max(GROUP_BYTES_MAX)))
}

impl Log {
    /// Before a group is written: a batch that is larger than any since the start is written down first.
    pub(super) fn note_largest(&mut self, group_bytes: u64) -> Result<(), WriteError> {
        if group_bytes <= self.largest_bytes {
            return Ok(());
        }
        let bytes = group_bytes.next_power_of_two();
        let path = self.dir.join(FILE_NAME);
        write_atomic(&*self.disk, &path, &bytes.to_be_bytes())
            .map_err(WriteError::new("write", &path))?;
        self.largest_bytes = bytes;
        Ok(())
    }
}
