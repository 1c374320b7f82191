//! Control batches: the markers that end transactions (KIP-98).
//!
//! ```text
//! key:   version i16 | kind i16 (0 abort, 1 commit)
//! value: version i16 | coordinator epoch i32
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::batch::{Batch, HEADER_BYTES};
use super::records::Record;

/// Whether a transaction was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerKind {
    /// Its records are void.
    Abort,
    /// Its records count.
    Commit,
}

/// The end of one producer's transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlMarker {
    /// How it ended.
    pub kind: MarkerKind,
    /// The epoch of the coordinator that decided; an older one is refused by the partition.
    pub coordinator_epoch: i32,
}

/// A marker's batch is a hundred bytes; anything much larger is not one.
const MARKER_FRAME_BYTES_MAX: usize = HEADER_BYTES + 4096;

/// How the marker in a whole control batch ends its transaction; `None` for kinds not known.
pub(crate) fn marker_kind(frame: &[u8]) -> Option<MarkerKind> {
    if frame.len() > MARKER_FRAME_BYTES_MAX {
        return None;
    }
    let batch = Batch::check(Bytes::copy_from_slice(frame)).ok()?;
    Some(batch.control_marker()?.kind)
}

impl ControlMarker {
    /// Reads a marker from a control batch's record; `None` for versions and kinds not known.
    pub(super) fn read(record: &Record) -> Option<ControlMarker> {
        let mut key = record.key.as_deref()?;
        let mut value = record.value.as_deref()?;
        if key.try_get_i16().ok()? < 0 || value.try_get_i16().ok()? < 0 {
            return None;
        }
        let kind = match key.try_get_i16().ok()? {
            0 => MarkerKind::Abort,
            1 => MarkerKind::Commit,
            _ => return None,
        };
        Some(ControlMarker {
            kind,
            coordinator_epoch: value.try_get_i32().ok()?,
        })
    }

    /// The record's key and value.
    pub(super) fn write(self) -> (Bytes, Bytes) {
        let mut key = BytesMut::with_capacity(4);
        key.put_i16(0);
        key.put_i16(match self.kind {
            MarkerKind::Abort => 0,
            MarkerKind::Commit => 1,
        });
        let mut value = BytesMut::with_capacity(6);
        value.put_i16(0);
        value.put_i32(self.coordinator_epoch);
        (key.freeze(), value.freeze())
    }
}
