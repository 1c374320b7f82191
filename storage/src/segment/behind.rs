//! What lies behind the first unsound frame of the last file: a torn tail, or proof of corruption.
//!
//! ```text
//! | sound frames | unsound ... at most one group, or one larger batch ... | zeros: preallocated room
//!              end                                                     limit
//! ```
//!
//! The frame at `end` was not synced only if nothing behind `limit` was ever written, because at most one
//! group is written and not synced, and it began at or before `end`. So the first unsound frame **is
//! corruption if anything but zeros lies at or behind `limit`**, whatever it may be: room that was reserved
//! ahead reads as zeros, and a file is cut before it is written again, so nothing old can lie there. It is
//! corruption too if frames that continue the log end behind the limit (the last bytes of a frame may be
//! zeros). Frames are followed from head to head only; no place is ever searched for bytes that look like
//! one, for they may be a client's.

use std::io;

use super::format::{
    HEAD_BYTES, Head, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, as_u64, read_head,
};
use super::scan::{Expected, Scan, frame_at};
use super::window::{SCAN_BYTES, Window};
use crate::fs::DiskFile;
use crate::index::{IndexBuilder, OpenTransactions};
use crate::log::GROUP_BYTES_MAX;
use crate::planted::{Mistake, planted};

/// What is found behind the last sound frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing, or preallocated room.
    Nothing,
    /// No more than a power cut may leave of the last group.
    Torn,
    /// More than that; the position is where it ends.
    Durable(u64),
}

/// Looks at the rest of a file whose first unsound frame lies at the end of `scan`.
pub(crate) fn look_behind(
    file: &dyn DiskFile,
    size: u64,
    expected: &Expected<'_>,
    scan: &Scan,
    torn_bytes_max: u64,
) -> io::Result<Behind> {
    let mut window = Window::new(file, size, SCAN_BYTES);
    let Some(end) = window.last_not_zero(scan.end)? else {
        return Ok(Behind::Nothing);
    };
    let unsynced_bytes = unsynced_bytes_max(file, size, scan, torn_bytes_max)?;
    let limit = scan.end.saturating_add(unsynced_bytes);
    if end >= limit && !planted(Mistake::RestNotLookedAt) {
        return Ok(Behind::Durable(end + 1));
    }
    Ok(match last_continuing(file, size, expected, scan)? {
        Some(end) if end > limit => Behind::Durable(end),
        _ => Behind::Torn,
    })
}

/// How many bytes from the first unsound frame on may have been written and not synced.
///
/// A batch larger than a group goes out alone, and only once the log has noted how large (`log/largest`). If its
/// head is there it says so itself; a head that is lost may have been that of the largest. A head that claims more
/// is not believed.
///
/// A segment's header comes with the first group and is not counted to it.
fn unsynced_bytes_max(
    file: &dyn DiskFile,
    size: u64,
    scan: &Scan,
    torn_bytes_max: u64,
) -> io::Result<u64> {
    let mut window = Window::new(file, size, HEAD_BYTES);
    let group_bytes = match read_head(window.head(scan.end)?) {
        Ok(Head::Batch(header))
            if header.base_offset == scan.tail.offset
                && header.epoch == scan.tail.epoch
                && header.check_counts().is_ok() =>
        {
            as_u64(header.size_bytes()).clamp(GROUP_BYTES_MAX, torn_bytes_max)
        }
        _ => torn_bytes_max,
    };
    Ok(match scan.header {
        Some(_) => group_bytes,
        None => group_bytes.saturating_add(as_u64(SEGMENT_HEADER_BYTES)),
    })
}

/// The end of the last sound frame that continues the chain behind a broken one.
///
/// The chain steps over a broken frame by what its head says, as long as head and chain agree on offset
/// and epoch; it never looks for frames anywhere else (the bytes of a record may look like one).
fn last_continuing(
    file: &dyn DiskFile,
    size: u64,
    expected: &Expected<'_>,
    broken: &Scan,
) -> io::Result<Option<u64>> {
    let mut window = Window::new(file, size, SCAN_BYTES);
    let seed = Seed::new(expected.identity, expected.base_index);
    let without_hint = Expected {
        hint: None,
        ..*expected
    };
    // A header has a known size and is no entry: behind a broken one the chain begins at its end.
    let nameless = SegmentHeader {
        identity: *expected.identity,
        log_start: broken.tail.log_start,
        created_ms: -1,
        previous_crc: 0,
    };
    let header_bytes = as_u64(SEGMENT_HEADER_BYTES);
    let mut chain = Scan {
        header: Some(broken.header.unwrap_or(nameless)),
        header_crc: 0,
        tail: broken.tail,
        end: if broken.header.is_some() {
            broken.end
        } else {
            header_bytes
        },
        index: IndexBuilder::new(u64::MAX, OpenTransactions::default()),
        runs: Vec::new(),
        roll: broken.roll,
        stop: None,
    };
    let mut last_end = None;
    while chain.end < size {
        let tail = chain.tail;
        if let Ok((sound, frame_bytes)) = frame_at(&mut window, chain.end, seed)?
            && chain.take(sound, &without_hint).is_ok()
        {
            chain.end += frame_bytes;
            last_end = Some(chain.end);
            continue;
        }
        chain.tail = tail;
        let Ok(head) = read_head(window.head(chain.end)?) else {
            break;
        };
        if head.size_bytes() > size - chain.end || head.base_offset() != tail.offset {
            break;
        }
        chain.end += head.size_bytes();
        chain.tail.index = tail.index.next();
        match head {
            Head::Batch(header) if header.epoch == tail.epoch && header.check_counts().is_ok() => {
                chain.tail.offset = header.last_offset().plus(1);
            }
            Head::Control { epoch, .. } if epoch >= tail.epoch => chain.tail.epoch = epoch,
            Head::Batch(_) | Head::Control { .. } => break,
        }
    }
    Ok(last_end)
}
