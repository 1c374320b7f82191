//! Reading a file forwards through one buffer.
//!
//! The buffer holds `[start, start + len)` of the file and moves on when a frame reaches past it. Asking
//! beyond it skips what lies between, so a walk over headers does not read the bodies of large batches.

use std::io;

use super::format::{HEAD_BYTES, as_u64};
use crate::fs::DiskFile;

/// How much a look-up reads at once: an index interval and the head after it, rounded up.
pub(crate) const LOOK_UP_BYTES: usize = 8 * 1024;
/// How much a walk over the whole file reads at once.
pub(crate) const SCAN_BYTES: usize = 1024 * 1024;

/// A forward-moving view of the first `end` bytes of a file.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    end: u64,
    read_ahead_bytes: usize,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    /// Looks at the bytes of `file` below `end`.
    pub(crate) fn new(file: &'a dyn DiskFile, end: u64, read_ahead_bytes: usize) -> Window<'a> {
        Window {
            file,
            end,
            read_ahead_bytes,
            start: 0,
            buffer: Vec::new(),
        }
    }

    /// The bytes from `position` on: `len` of them, or what there is before the end.
    ///
    /// The buffer never grows beyond the file, whatever `len` a damaged frame asks for.
    pub(crate) fn get(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let held_to = self.start + as_u64(self.buffer.len());
        if position < self.start || position > held_to {
            self.buffer.clear();
            self.start = position;
        }
        let skip = usize::try_from(position - self.start).map_err(io::Error::other)?;
        if self.buffer.len() - skip >= len {
            return Ok(&self.buffer[skip..skip + len]);
        }
        self.buffer.drain(..skip);
        self.start = position;
        let held = self.buffer.len();
        let wanted = len.max(self.read_ahead_bytes).min(left);
        self.file
            .read_at(position + as_u64(held), wanted - held, &mut self.buffer)?;
        Ok(&self.buffer[..len.min(self.buffer.len())])
    }

    /// The bytes in which a frame's head lies.
    pub(crate) fn head(&mut self, position: u64) -> io::Result<&[u8]> {
        self.get(position, HEAD_BYTES)
    }

    /// The last byte from `position` on that is not zero, as preallocated room is.
    pub(crate) fn last_not_zero(&mut self, position: u64) -> io::Result<Option<u64>> {
        let mut last = None;
        let mut at = position;
        while at < self.end {
            let bytes = self.get(at, SCAN_BYTES)?;
            if bytes.is_empty() {
                break;
            }
            if let Some(place) = bytes.iter().rposition(|byte| *byte != 0) {
                last = Some(at + as_u64(place));
            }
            at += as_u64(bytes.len());
        }
        Ok(last)
    }
}
