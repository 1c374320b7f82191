//! Opening the segments before the last: rule 1 of `recovery` makes every byte of them count.
//!
//! A segment whose index file names its size and header, and whose header and ROLL are sound and continue
//! the log, is taken as it is (a start does not read terabytes). Otherwise it is read in full: what is
//! sound gets a new index, what is not is refused.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::entry::NextSegment;
use super::error::OpenError;
use super::recovery::{Found, Recovery};
use crate::fs::{DiskFile, OpenMode};
use crate::index::file::{self as index_file, Kept, Pending, SegmentName, Summary};
use crate::index::{CachedIndex, OpenTransactions};
use crate::planted::{Mistake, planted};
use crate::scrub::Damage;
use crate::segment::cut::Cut;
use crate::segment::format::{
    Control, SEGMENT_HEADER_BYTES, Seed, as_u64, crc_field, read_control, read_head,
};
use crate::segment::reader::{SealedFile, Segment};
use crate::segment::scan::{RollFrame, Scan, Unsound, check_header, scan};
use crate::segment::{Span, Tail, index_name};

impl Recovery {
    /// A file before the last: trusted by its index and both ends, or else read in full.
    pub(super) fn sealed_segment(&mut self, found: &Found) -> Result<(), OpenError> {
        let path = &found.path;
        let file = self
            .disk
            .open(path, OpenMode::Read)
            .map_err(OpenError::io("open", path))?;
        let size = file.size().map_err(OpenError::io("measure", path))?;
        let index_path = self.index_path(found);
        if let Some(summary) = index_file::read_summary(&*self.disk, &index_path)
            && let Some(roll) = self.both_ends(found, &*file, size, &summary)?
        {
            self.push_sealed(found, &summary, roll);
            return Ok(());
        }
        let scan =
            scan(&*file, size, &self.expected(found)).map_err(OpenError::io("read", path))?;
        match (&scan.stop, scan.roll) {
            (Some(Unsound::Invalid(reason) | Unsound::Refused(reason)), _) => {
                Err(OpenError::corrupt(path, scan.end, reason.clone()))
            }
            (None, None) => Err(OpenError::corrupt(
                path,
                scan.end,
                "segment before the last ends without a ROLL",
            )),
            (None, Some(roll)) => {
                self.push_scanned(found, scan, roll);
                Ok(())
            }
        }
    }

    /// Compares a sealed file's header and ROLL with its summary; `None` if the summary is not of it.
    fn both_ends(
        &self,
        found: &Found,
        file: &dyn DiskFile,
        size: u64,
        summary: &Summary,
    ) -> Result<Option<RollFrame>, OpenError> {
        let path = &found.path;
        let seed = Seed::new(&self.identity, found.base_index);
        let mut bytes = Vec::new();
        file.read_at(0, SEGMENT_HEADER_BYTES, &mut bytes)
            .map_err(OpenError::io("read", path))?;
        let name = SegmentName {
            base_offset: found.base_offset,
            base_index: found.base_index,
            header_crc: crc_field(&bytes),
        };
        let named = summary.segment_bytes == size && summary.name == name;
        if !named && !planted(Mistake::IndexTrusted) {
            return Ok(None);
        }
        let Ok(header) = read_control(&bytes, seed) else {
            return Ok(None);
        };
        if check_header(&header, &self.expected(found)).is_err() {
            return Ok(None);
        }
        let roll_bytes = usize::try_from(size.saturating_sub(summary.roll_position)).unwrap_or(0);
        if roll_bytes > SEGMENT_HEADER_BYTES {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_at(summary.roll_position, roll_bytes, &mut bytes)
            .map_err(OpenError::io("read", path))?;
        if planted(Mistake::IndexTrusted) {
            return Ok(Some(RollFrame {
                at_ms: 0,
                crc: crc_field(&bytes),
                position: summary.roll_position,
            }));
        }
        let fits = read_head(&bytes).is_ok_and(|head| head.size_bytes() == as_u64(bytes.len()));
        let (true, Ok(frame)) = (fits, read_control(&bytes, seed)) else {
            return Ok(None);
        };
        let Tail {
            offset,
            index,
            epoch,
            ..
        } = summary.tail;
        let Control::Roll { at_ms } = frame.control else {
            return Ok(None);
        };
        let agrees = frame.offset == offset && frame.index == index && frame.epoch == epoch;
        let (crc, position) = (crc_field(&bytes), summary.roll_position);
        Ok(agrees.then_some(RollFrame {
            at_ms,
            crc,
            position,
        }))
    }

    /// Takes a sealed segment that was read in full, and writes its index anew.
    pub(super) fn push_scanned(&mut self, found: &Found, scan: Scan, roll: RollFrame) {
        let index_path = self.index_path(found);
        let index = Pending {
            path: index_path,
            name: SegmentName {
                base_offset: found.base_offset,
                base_index: found.base_index,
                header_crc: scan.header_crc,
            },
            kept: Kept::default(),
            builder: scan.index,
            runs: scan.runs,
            end: scan.end,
            tail: scan.tail,
            roll_position: Some(roll.position),
        };
        if let Err(error) = index.write(&*self.disk) {
            tracing::warn!(path = %index.path.display(), %error, "index not written, will be rebuilt");
        }
        let summary = index.summary().expect("it has a ROLL");
        self.push_sealed(found, &summary, roll);
    }

    /// Where the index of a segment lies.
    pub(super) fn index_path(&self, found: &Found) -> PathBuf {
        self.dir
            .join(index_name(found.base_offset, found.base_index))
    }

    /// The file of a segment that was not compacted, to be opened and its index loaded when first read.
    pub(super) fn sealed_file(&self, found: &Found, open_before: OpenTransactions) -> SealedFile {
        SealedFile {
            disk: Arc::clone(&self.disk),
            path: found.path.clone(),
            index_path: self.index_path(found),
            index_interval_bytes: self.config.index_interval_bytes,
            file: OnceLock::new(),
            index: CachedIndex::default(),
            cut: Cut::none(),
            open_before,
            compacted: None,
            damage: Damage::default(),
        }
    }

    fn push_sealed(&mut self, found: &Found, summary: &Summary, roll: RollFrame) {
        let open_before = std::mem::replace(&mut self.open, summary.open.clone());
        let file = self.sealed_file(found, open_before);
        let Summary {
            segment_bytes,
            tail,
            max_timestamp,
            ..
        } = *summary;
        let span = Span {
            base_offset: found.base_offset,
            base_index: found.base_index,
            end_offset: tail.offset,
            last_index: tail.index,
        };
        self.sealed.push(Segment::sealed(
            span,
            segment_bytes,
            max_timestamp,
            summary.transactions,
            file,
        ));
        self.log_starts.push(tail);
        self.sealed_bytes += segment_bytes;
        summary.runs.iter().for_each(|run| self.epochs.push(*run));
        self.before = Some((tail, roll.crc));
        self.next = NextSegment {
            created_ms: roll.at_ms,
            previous_crc: roll.crc,
        };
    }
}
