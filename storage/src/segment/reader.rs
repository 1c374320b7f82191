//! One segment as readers see it: a fixed prefix of a file that only grows.
//!
//! Nothing below `size_bytes` ever changes while a reader can see it. What is looked at here is read with
//! positioned reads into fresh memory; ranges for a fetch are cut in `gather`. Bodies are not checked here
//! (one CRC pass per batch: on the way in, at recovery, and by the client); heads are, as far as the walk
//! needs them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::Span;
use super::cut::Cut;
use super::format::{CONTROL_BYTES_MIN, Head, PREFIX_BYTES, as_u64, crc_field, read_head};
use super::window::{LOOK_UP_BYTES, SCAN_BYTES, Window};
use super::writer::Writer;
use crate::compaction::header::CompactedHeader;
use crate::fs::{Disk, DiskFile, OpenMode};
use crate::index::file::SegmentName;
use crate::index::rebuild::{Walked, rebuild};
use crate::index::{
    AbortedTransaction, CachedIndex, IndexEntry, IndexRef, OpenTransactions, SparseIndex,
    TransactionSummary, file as index_file,
};
use crate::log::ReadError;
use crate::position::{EntryIndex, Offset};
use crate::record::BatchHeader;
use crate::scrub::Damage;

/// A segment up to some size; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: Offset,
    /// The offset after its last record.
    pub(crate) end_offset: Offset,
    /// Its first entry.
    pub(crate) base_index: EntryIndex,
    /// Its last entry; the one before the first if it has none.
    pub(crate) last_index: EntryIndex,
    pub(crate) size_bytes: u64,
    /// The greatest timestamp in it, or [`crate::index::NO_TIMESTAMP`].
    pub(crate) max_timestamp: i64,
    pub(crate) transactions: TransactionSummary,
    pub(super) source: Source,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Active {
        path: Arc<Path>,
        file: Arc<dyn DiskFile>,
        index: SparseIndex,
        cut: Cut,
    },
    Sealed(Arc<SealedFile>),
}

/// A sealed segment's file and index, opened and loaded when first read.
#[derive(Debug)]
pub(crate) struct SealedFile {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    pub(crate) index_path: PathBuf,
    pub(crate) index_interval_bytes: u64,
    pub(crate) file: OnceLock<Arc<dyn DiskFile>>,
    pub(crate) index: CachedIndex,
    pub(crate) cut: Cut,
    /// The transactions open where it begins.
    pub(crate) open_before: OpenTransactions,
    /// What its header says, if compaction wrote it.
    pub(crate) compacted: Option<Arc<CompactedHeader>>,
    /// What the scrub found in it.
    pub(crate) damage: Damage,
}

/// Where a batch lies in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl Segment {
    /// The active segment as it stands.
    pub(crate) fn active(span: Span, writer: &Writer) -> Segment {
        let source = Source::Active {
            path: Arc::clone(&writer.path),
            file: Arc::clone(&writer.file),
            index: writer.index.index().clone(),
            cut: writer.cut.clone(),
        };
        let transactions = writer.index.transactions();
        let max_timestamp = writer.index.max_timestamp();
        Segment::new(span, writer.position, max_timestamp, transactions, source)
    }

    /// A segment that never changes again.
    pub(crate) fn sealed(
        span: Span,
        size_bytes: u64,
        max_timestamp: i64,
        transactions: TransactionSummary,
        file: SealedFile,
    ) -> Segment {
        let source = Source::Sealed(Arc::new(file));
        Segment::new(span, size_bytes, max_timestamp, transactions, source)
    }

    fn new(
        span: Span,
        size_bytes: u64,
        max_timestamp: i64,
        transactions: TransactionSummary,
        source: Source,
    ) -> Segment {
        Segment {
            base_offset: span.base_offset,
            end_offset: span.end_offset,
            base_index: span.base_index,
            last_index: span.last_index,
            size_bytes,
            max_timestamp,
            transactions,
            source,
        }
    }

    /// The same segment without its open file and its loaded index; `None` if it has neither.
    pub(crate) fn at_rest(&self) -> Option<Segment> {
        let Source::Sealed(sealed) = &self.source else {
            return None;
        };
        if sealed.file.get().is_none() && !sealed.index.is_loaded() {
            return None;
        }
        let at_rest = SealedFile {
            disk: Arc::clone(&sealed.disk),
            path: sealed.path.clone(),
            index_path: sealed.index_path.clone(),
            index_interval_bytes: sealed.index_interval_bytes,
            file: OnceLock::new(),
            index: CachedIndex::default(),
            cut: sealed.cut.clone(),
            open_before: sealed.open_before.clone(),
            compacted: sealed.compacted.clone(),
            damage: sealed.damage.clone(),
        };
        Some(Segment {
            source: Source::Sealed(Arc::new(at_rest)),
            ..*self
        })
    }

    /// Its file, if it is sealed.
    pub(crate) fn sealed_file(&self) -> Option<&SealedFile> {
        match &self.source {
            Source::Active { .. } => None,
            Source::Sealed(sealed) => Some(sealed),
        }
    }

    /// Says from which position on its bytes were taken back.
    pub(crate) fn cut(&self) -> &Cut {
        match &self.source {
            Source::Active { cut, .. } => cut,
            Source::Sealed(sealed) => &sealed.cut,
        }
    }

    /// Fails if bytes below `end` that were just read may have been replaced meanwhile.
    pub(super) fn check_cut(&self, end: u64) -> Result<(), ReadError> {
        if end > self.cut().position() {
            return Err(ReadError::Truncated {
                file: self.path().to_path_buf(),
            });
        }
        Ok(())
    }

    /// The transactions open where a sealed segment begins.
    pub(crate) fn open_before(&self) -> Option<&OpenTransactions> {
        match &self.source {
            Source::Active { .. } => None,
            Source::Sealed(sealed) => Some(&sealed.open_before),
        }
    }

    /// What its header says, if compaction wrote it.
    pub(crate) fn compacted(&self) -> Option<&Arc<CompactedHeader>> {
        match &self.source {
            Source::Active { .. } => None,
            Source::Sealed(sealed) => sealed.compacted.as_ref(),
        }
    }

    /// The file of its index, if it is sealed.
    pub(crate) fn index_path(&self) -> Option<&Path> {
        match &self.source {
            Source::Active { .. } => None,
            Source::Sealed(sealed) => Some(&sealed.index_path),
        }
    }

    /// The time of its first batch with records: the greatest in it. `None` if it has none.
    pub(crate) fn first_timestamp(&self) -> Result<Option<i64>, ReadError> {
        self.walk(0, LOOK_UP_BYTES, &mut |found| {
            if found.header.record_count > 0 {
                ControlFlow::Break(found.header.max_timestamp)
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// The file, for errors.
    pub(crate) fn path(&self) -> &Path {
        match &self.source {
            Source::Active { path, .. } => path,
            Source::Sealed(sealed) => &sealed.path,
        }
    }

    pub(crate) fn file(&self) -> Result<&Arc<dyn DiskFile>, ReadError> {
        match &self.source {
            Source::Active { file, .. } => Ok(file),
            Source::Sealed(sealed) => {
                if let Some(file) = sealed.file.get() {
                    return Ok(file);
                }
                let opened = sealed.disk.open(&sealed.path, OpenMode::Read);
                let opened = opened.map_err(ReadError::io(&sealed.path))?;
                Ok(sealed.file.get_or_init(|| opened))
            }
        }
    }

    pub(super) fn index(&self) -> Result<IndexRef<'_>, ReadError> {
        match &self.source {
            Source::Active { index, .. } => Ok(IndexRef::Active(index)),
            Source::Sealed(sealed) => {
                if let Some(index) = sealed.index.get() {
                    return Ok(IndexRef::Sealed(index));
                }
                let loaded = match self.kept_index(sealed)? {
                    Some(index) => index,
                    None => self.rebuild_index(sealed)?,
                };
                Ok(IndexRef::Sealed(sealed.index.put(loaded)))
            }
        }
    }

    /// The index beside a sealed segment, if there is one, whole and of this very segment.
    fn kept_index(&self, sealed: &SealedFile) -> Result<Option<SparseIndex>, ReadError> {
        let name = SegmentName {
            base_offset: self.base_offset,
            base_index: self.base_index,
            header_crc: crc_field(&self.range(0, CONTROL_BYTES_MIN)?),
        };
        let (disk, path) = (&*sealed.disk, &sealed.index_path);
        Ok(index_file::read_index_of(
            disk,
            path,
            &name,
            self.size_bytes,
        ))
    }

    /// Walks the heads of a sealed segment whose index is missing or damaged.
    fn rebuild_index(&self, sealed: &SealedFile) -> Result<SparseIndex, ReadError> {
        tracing::warn!(path = %sealed.index_path.display(), "index is damaged or missing and is rebuilt");
        let segment = Walked {
            file: &**self.file()?,
            path: &sealed.path,
            size_bytes: self.size_bytes,
            base_index: self.base_index,
            open: &sealed.open_before,
        };
        Ok(rebuild(segment, sealed.index_interval_bytes)?
            .index()
            .clone())
    }

    pub(crate) fn corrupt(&self, position: u64, reason: &str) -> ReadError {
        ReadError::Corrupt {
            file: self.path().to_path_buf(),
            position,
            reason: reason.to_owned(),
        }
    }

    /// Gives each batch's head from `position` on, until `each` breaks off.
    fn walk<B>(
        &self,
        position: u64,
        read_ahead_bytes: usize,
        each: &mut dyn FnMut(Found) -> ControlFlow<B>,
    ) -> Result<Option<B>, ReadError> {
        self.walk_frames(
            position,
            read_ahead_bytes,
            &mut |position, head| match *head {
                Head::Batch(header) => each(Found { position, header }),
                Head::Control { .. } => ControlFlow::Continue(()),
            },
        )
    }

    /// Gives each frame's position and head from `position` on, until `each` breaks off.
    pub(super) fn walk_frames<B>(
        &self,
        position: u64,
        read_ahead_bytes: usize,
        each: &mut dyn FnMut(u64, &Head) -> ControlFlow<B>,
    ) -> Result<Option<B>, ReadError> {
        let file = self.file()?;
        let mut window = Window::new(&**file, self.size_bytes, read_ahead_bytes);
        let mut at = position;
        while at < self.size_bytes {
            let head = window.head(at).map_err(ReadError::io(self.path()))?;
            let head = read_head(head).map_err(|reason| self.corrupt(at, reason));
            self.check_cut(at.saturating_add(as_u64(PREFIX_BYTES)))?;
            let head = head?;
            if let ControlFlow::Break(found) = each(at, &head) {
                return Ok(Some(found));
            }
            at += head.size_bytes();
        }
        Ok(None)
    }

    /// The first batch that ends at or after `offset`, of those that the scrub did not find damaged: what the
    /// head of such a one says is not known to be right.
    pub(crate) fn find_offset(&self, offset: Offset) -> Result<Option<Found>, ReadError> {
        let index = self.index()?;
        let Some(entry) = index.at_offset(offset).or_else(|| index.get(0)) else {
            return Ok(None);
        };
        self.find_from(entry.position, offset)
    }

    /// The same, if it does not lie before `position`.
    pub(super) fn find_from(
        &self,
        position: u64,
        offset: Offset,
    ) -> Result<Option<Found>, ReadError> {
        let damaged = self.damaged_positions();
        self.walk(position, LOOK_UP_BYTES, &mut |found| {
            if found.header.last_offset() >= offset && !damaged.contains(&found.position) {
                ControlFlow::Break(found)
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    fn damaged_positions(&self) -> Vec<u64> {
        let sealed = self.sealed_file().into_iter();
        let findings = sealed.flat_map(|sealed| sealed.damage.findings());
        findings.map(|finding| finding.position).collect()
    }

    /// Gives the batches that may hold a record at or after `timestamp`, in order, until one breaks off.
    pub(crate) fn at_or_after_time<B>(
        &self,
        timestamp: i64,
        each: &mut dyn FnMut(Found) -> ControlFlow<B>,
    ) -> Result<Option<B>, ReadError> {
        let Some(entry) = self.index()?.before_time(timestamp).copied() else {
            return Ok(None);
        };
        let damaged = self.damaged_positions();
        self.walk(entry.position, LOOK_UP_BYTES, &mut |found| {
            let holds_it = found.header.max_timestamp >= timestamp && found.header.record_count > 0;
            if holds_it && !damaged.contains(&found.position) {
                each(found)
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// Adds the transactions aborted here that have records from `from` on and below `upto`; `Break` if
    /// no later segment can abort one of those.
    pub(crate) fn aborted_transactions(
        &self,
        from: Offset,
        upto: Offset,
        found: &mut Vec<AbortedTransaction>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let overlaps = |transaction: &&AbortedTransaction| {
            transaction.last_offset >= from && transaction.first_offset < upto
        };
        if let Some(compacted) = self.compacted() {
            found.extend(compacted.aborted.iter().filter(overlaps));
        } else if self.transactions.any_aborted {
            found.extend(self.index()?.aborted().iter().filter(overlaps));
        }
        let all_decided = self
            .transactions
            .earliest_open
            .is_none_or(|first| first >= upto);
        if self.end_offset >= upto && all_decided {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The greatest timestamp of the batches that end below `upto`; `None` if there are none.
    pub(crate) fn max_timestamp_below(&self, upto: Offset) -> Result<Option<i64>, ReadError> {
        if self.end_offset <= upto {
            let max = self.max_timestamp;
            return Ok((max != crate::index::NO_TIMESTAMP).then_some(max));
        }
        let index = self.index()?;
        let Some(entry) = index.at_offset(upto) else {
            return Ok(None);
        };
        let IndexEntry {
            position,
            max_timestamp_before,
            ..
        } = *entry;
        let mut max = max_timestamp_before;
        self.walk(position, LOOK_UP_BYTES, &mut |found| {
            if found.header.last_offset() >= upto {
                return ControlFlow::Break(());
            }
            if found.header.record_count > 0 {
                max = max.max(found.header.max_timestamp);
            }
            ControlFlow::Continue(())
        })?;
        Ok((max != crate::index::NO_TIMESTAMP).then_some(max))
    }

    /// The bytes of one batch.
    pub(crate) fn batch_bytes(&self, found: &Found) -> Result<Bytes, ReadError> {
        let bytes = self.range(found.position, found.header.size_bytes())?;
        if bytes.len() < found.header.size_bytes() {
            self.check_cut(found.position + as_u64(found.header.size_bytes()))?;
            return Err(self.corrupt(found.position, "batch reaches past the segment"));
        }
        Ok(bytes.into())
    }

    /// Up to `len` bytes from `position`, fewer only at the end of the segment or where it was cut.
    pub(crate) fn range(&self, position: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let left = usize::try_from(self.size_bytes.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        self.file()?
            .read_at(position, len.min(left), &mut bytes)
            .map_err(ReadError::io(self.path()))?;
        let kept = self.cut().position().saturating_sub(position);
        if kept < as_u64(bytes.len()) {
            self.check_cut(position.saturating_add(1))?;
            bytes.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        }
        Ok(bytes)
    }

    /// Gives every batch head that ends at or after `from`.
    pub(crate) fn replay(
        &self,
        from: Offset,
        each: &mut dyn FnMut(&BatchHeader),
    ) -> Result<(), ReadError> {
        let Some(first) = self.find_offset(from)? else {
            return Ok(());
        };
        self.walk(first.position, SCAN_BYTES, &mut |found| {
            each(&found.header);
            ControlFlow::<()>::Continue(())
        })?;
        Ok(())
    }
}
