//! The index of a sealed segment whose index file is missing or damaged: built anew from its heads.
//!
//! Bodies are not read and not checked (that is recovery's and the scrub's work), markers aside, so the
//! walk skips from head to head.

use std::path::Path;

use super::{ControlPlace, IndexBuilder, OpenTransactions};
use crate::fs::DiskFile;
use crate::log::ReadError;
use crate::position::EntryIndex;
use crate::record::marker_kind;
use crate::segment::format::{HEAD_BYTES, Head, kind_field, read_head};
use crate::segment::window::{LOOK_UP_BYTES, Window};

/// A sealed segment's file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walked<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) path: &'a Path,
    pub(crate) size_bytes: u64,
    pub(crate) base_index: EntryIndex,
    /// The transactions open where it begins.
    pub(crate) open: &'a OpenTransactions,
}

/// Walks the whole segment.
pub(crate) fn rebuild(segment: Walked<'_>, interval_bytes: u64) -> Result<IndexBuilder, ReadError> {
    let path = segment.path;
    let corrupt = |position, reason: &str| ReadError::Corrupt {
        file: path.to_path_buf(),
        position,
        reason: reason.to_owned(),
    };
    let mut builder = IndexBuilder::new(interval_bytes, segment.open.clone());
    let mut window = Window::new(segment.file, segment.size_bytes, LOOK_UP_BYTES);
    let mut next = segment.base_index;
    let mut at = 0;
    while at < segment.size_bytes {
        let bytes = window.get(at, HEAD_BYTES).map_err(ReadError::io(path))?;
        let head = read_head(bytes).map_err(|reason| corrupt(at, reason))?;
        match head {
            Head::Batch(header) => {
                let marker = if header.is_control() {
                    let frame = window.get(at, header.size_bytes());
                    marker_kind(frame.map_err(ReadError::io(path))?)
                } else {
                    None
                };
                builder.batch(&header, next, at, marker);
            }
            Head::Control { size_bytes, .. } => {
                let kind = kind_field(bytes);
                builder.control(ControlPlace {
                    position: at,
                    size_bytes: u32::try_from(size_bytes).expect("a length field is an i32"),
                    index: next,
                    kind: kind.ok_or_else(|| corrupt(at, "frame of an unknown kind"))?,
                });
            }
        }
        if at > 0 {
            next = next.next();
        }
        at += head.size_bytes();
    }
    Ok(builder)
}
