//! The log as a list of files, for a replica that lags too far or is new (`manifest`).

use super::Log;
use super::error::ReadError;
use crate::manifest::{Manifest, ManifestFile, PinnedLog};
use crate::position::EntryIndex;
use crate::segment::reader::Segment;

impl Log {
    /// The log as of an entry that is committed, applied and written, with its files pinned.
    ///
    /// Segments wholly below the log start are left out. Reads little; [`PinnedLog::manifest`] reads all.
    pub fn snapshot(&self, applied: EntryIndex) -> Result<PinnedLog, ReadError> {
        let view = self.shared.load_full();
        let mut segments: Vec<Segment> = view.sealed.iter().chain(&view.active).cloned().collect();
        segments.retain(|segment| segment.base_index <= applied);
        // a compacted file has no place that is the end of an entry but its own
        let can_end = |last: &&Segment| last.compacted().is_none() || last.last_index <= applied;
        let epoch = self.term(applied).filter(|_| applied <= self.written.index);
        let (Some(last), Some(epoch)) = (segments.last().filter(can_end), epoch) else {
            return Err(ReadError::NoSuchEntry {
                index: applied,
                first_index: self.first_index,
                last_index: self.written.index,
            });
        };
        let (last_bytes, end_offset) = if last.last_index <= applied {
            (last.size_bytes, last.end_offset)
        } else {
            let next = last.place_of_entry(applied.next())?;
            (next.position, next.offset)
        };
        let log_start = last.log_start(applied, &self.identity)?;
        let below = segments[..segments.len() - 1].iter();
        let below = below.take_while(|segment| segment.end_offset <= log_start);
        segments.drain(..below.count());
        if self.cleaning {
            // the job that is out may remove files; those that are open stay readable
            segments
                .iter()
                .try_for_each(|segment| segment.file().map(drop))?;
        }
        let files = sized(segments, last_bytes);
        let manifest = Manifest {
            identity: self.identity,
            applied,
            epoch,
            end_offset,
            log_start: log_start.max(files[0].0.base_offset),
            terms: self.epochs.upto(applied),
            membership: self.membership(applied)?,
            files: files.iter().map(described).collect(),
        };
        Ok(PinnedLog {
            pin: self.pin(),
            files,
            manifest,
        })
    }

    /// [`Log::snapshot`]'s manifest; reads every file.
    pub fn manifest(&self, applied: EntryIndex) -> Result<Manifest, ReadError> {
        self.snapshot(applied)?.manifest()
    }
}

/// The segments with the bytes of them that count: all, but in the last one.
fn sized(segments: Vec<Segment>, last_bytes: u64) -> Vec<(Segment, u64)> {
    let with_size = segments.into_iter().map(|segment| {
        let size_bytes = segment.size_bytes;
        (segment, size_bytes)
    });
    let mut files: Vec<(Segment, u64)> = with_size.collect();
    if let Some((_, size_bytes)) = files.last_mut() {
        *size_bytes = last_bytes;
    }
    files
}

/// A file without its checksum.
fn described((segment, size_bytes): &(Segment, u64)) -> ManifestFile {
    ManifestFile {
        base_offset: segment.base_offset,
        base_index: segment.base_index,
        generation: segment.compacted().map_or(0, |header| header.generation),
        size_bytes: *size_bytes,
        crc: 0,
    }
}
