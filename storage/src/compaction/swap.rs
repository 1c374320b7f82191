//! Putting a compacted file in the place of its inputs, in three steps.
//!
//! ```text
//!   worker  .cleaned written -> synced -> renamed to .log -> directory synced      the commit point
//!   owner   inputs replaced in the log's list; readers with an old view keep their open files
//!   worker  inputs removed -> directory synced
//! ```
//!
//! A crash before the commit point leaves a `.cleaned` file, which the next start removes. A crash behind
//! it leaves inputs whose entries the new file has as well; the next start removes those (`open`). Inputs
//! are gone for good before anything else may happen to the segments, so no file can come back.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::CleaningError;
use super::header::CompactedHeader;
use super::output::Written;
use crate::fs::Disk;
use crate::index::file::{self as index_file, Kept, Pending, SegmentName, Summary};
use crate::index::rebuild::{Walked, rebuild};
use crate::index::{CachedIndex, IndexBuilder, OpenTransactions, SparseIndex, TransactionSummary};
use crate::log::{ReadError, WriteError};
use crate::planted::{Mistake, planted};
use crate::position::EntryIndex;
use crate::scrub::Damage;
use crate::segment::cut::Cut;
use crate::segment::format::{CONTROL_BYTES_MIN, crc_field};
use crate::segment::reader::{SealedFile, Segment};
use crate::segment::{Span, compacted_index_name, compacted_name};

/// A compacted segment that is durable, for the owner of the log to put in place
/// ([`crate::Log::swap_cleaned`]).
#[derive(Debug)]
#[must_use = "the log has to learn of its new file"]
pub struct Swap {
    pub(crate) first_index: EntryIndex,
    pub(crate) last_index: EntryIndex,
    pub(crate) segment: Segment,
}

/// Makes a written file durable under the name that counts.
///
/// Until the rename is tried an error means nothing to the log. From then on it is not known which files
/// a start would find, so the log has to be closed to writes: [`CleaningError::Log`].
pub(super) fn commit(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    written: Written,
    inputs: &[Segment],
    index_interval_bytes: u64,
) -> Result<Swap, CleaningError> {
    if !planted(Mistake::SwapBeforeSync) {
        written
            .file
            .sync_data()
            .map_err(CleaningError::io("sync", &written.path))?;
    }
    if planted(Mistake::InputsRemovedBeforeSwap) {
        remove_inputs(&**disk, dir, inputs)?;
    }
    let header = &written.header;
    let path = dir.join(compacted_name(
        header.base_offset,
        header.base_index,
        header.generation,
    ));
    disk.rename(&written.path, &path)
        .map_err(WriteError::new("rename", &written.path))?;
    disk.sync_dir(dir).map_err(WriteError::new("sync", dir))?;
    let header = Arc::new(written.header);
    let file = sealed_file(disk, dir, &header, index_interval_bytes);
    let index = written.index.index().clone();
    let name = index_of(&header, written.header_crc);
    write_index(
        &**disk,
        &file.index_path,
        name,
        &header,
        written.size_bytes,
        written.index,
    );
    Ok(Swap {
        first_index: header.base_index,
        last_index: header.end.index,
        segment: segment(&header, written.size_bytes, file, Some(index)),
    })
}

/// Which segment the index of a compacted file belongs to.
fn index_of(header: &CompactedHeader, header_crc: u32) -> SegmentName {
    SegmentName {
        base_offset: header.base_offset,
        base_index: header.base_index,
        header_crc,
    }
}

/// Writes the index of a compacted file; it is derived data, so a failure means little.
fn write_index(
    disk: &dyn Disk,
    path: &Path,
    name: SegmentName,
    header: &CompactedHeader,
    size_bytes: u64,
    builder: IndexBuilder,
) {
    let pending = Pending {
        path: path.to_path_buf(),
        name,
        kept: Kept::default(),
        builder,
        runs: header.runs.clone(),
        end: size_bytes,
        tail: header.end,
        roll_position: Some(size_bytes),
    };
    if let Err(error) = pending.write(disk) {
        tracing::warn!(path = %path.display(), %error, "index not written, will be rebuilt");
    }
}

/// Sees to it that a compacted segment that a start has found has its index beside it: a power cut may have
/// taken that, and a snapshot comes without.
pub(crate) fn keep_index(segment: &Segment, interval_bytes: u64) -> Result<(), ReadError> {
    let (Some(sealed), Some(header)) = (segment.sealed_file(), segment.compacted()) else {
        return Ok(());
    };
    let head = segment.range(0, CONTROL_BYTES_MIN)?;
    let name = index_of(header, crc_field(&head));
    let known = index_file::read_summary(&*sealed.disk, &sealed.index_path);
    let fits = |known: Summary| known.name == name && known.segment_bytes == segment.size_bytes;
    if known.is_some_and(fits) {
        return Ok(());
    }
    let walked = Walked {
        file: &**segment.file()?,
        path: segment.path(),
        size_bytes: segment.size_bytes,
        base_index: segment.base_index,
        open: &sealed.open_before,
    };
    let builder = rebuild(walked, interval_bytes)?;
    let (disk, path) = (&*sealed.disk, &sealed.index_path);
    write_index(disk, path, name, header, segment.size_bytes, builder);
    Ok(())
}

/// Removes the files that a compacted one has replaced.
pub(super) fn remove_inputs(
    disk: &dyn Disk,
    dir: &Path,
    inputs: &[Segment],
) -> Result<(), CleaningError> {
    for input in inputs {
        if let Some(index_path) = input.index_path() {
            index_file::remove(disk, index_path).map_err(WriteError::new("remove", index_path))?;
        }
        let path = input.path();
        match disk.remove(path) {
            // the planted mistake has removed them before
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && planted(Mistake::InputsRemovedBeforeSwap) => {}
            result => result.map_err(WriteError::new("remove", path))?,
        }
    }
    disk.sync_dir(dir).map_err(WriteError::new("sync", dir))?;
    Ok(())
}

/// The file of a compacted segment, to be opened and its index loaded when first read.
pub(crate) fn sealed_file(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    header: &Arc<CompactedHeader>,
    index_interval_bytes: u64,
) -> SealedFile {
    let (base_offset, base_index) = (header.base_offset, header.base_index);
    SealedFile {
        disk: Arc::clone(disk),
        path: dir.join(compacted_name(base_offset, base_index, header.generation)),
        index_path: dir.join(compacted_index_name(
            base_offset,
            base_index,
            header.generation,
        )),
        index_interval_bytes,
        file: OnceLock::new(),
        index: CachedIndex::default(),
        cut: Cut::none(),
        open_before: OpenTransactions::default(),
        compacted: Some(Arc::clone(header)),
        damage: Damage::default(),
    }
}

/// The segment in such a file.
pub(crate) fn segment(
    header: &CompactedHeader,
    size_bytes: u64,
    file: SealedFile,
    index: Option<SparseIndex>,
) -> Segment {
    let span = Span {
        base_offset: header.base_offset,
        end_offset: header.end.offset,
        base_index: header.base_index,
        last_index: header.end.index,
    };
    let index = index.map_or_else(CachedIndex::default, CachedIndex::of);
    let file = SealedFile { index, ..file };
    let transactions = TransactionSummary {
        any_aborted: !header.aborted.is_empty(),
        earliest_open: header.open_transactions().earliest(),
    };
    Segment::sealed(span, size_bytes, header.max_timestamp, transactions, file)
}
