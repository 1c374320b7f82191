//! The owner's part of compaction: what may be cleaned, and a new file in the place of its inputs.
//!
//! The work itself is done beside the owner (`crate::compaction`). While a job is out, its segments are
//! pinned: nothing is removed or cut below what it reads.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::NextSegment;
use super::recovery::Recovery;
use super::{Log, OpenError};
use crate::compaction::open::CompactedFile;
use crate::compaction::plan::{self, Limits, Plan};
use crate::compaction::{
    Cleaned, CleaningConfig, CleaningError, CleaningJob, CleaningMetrics, Swap, swap,
};
use crate::index::{NO_TIMESTAMP, file as index_file};
use crate::position::EntryIndex;
use crate::segment::parse_generation;
use crate::segment::reader::Segment;

/// The time of the first record that was not cleaned, once it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstDirty {
    segment: EntryIndex,
    timestamp: i64,
}

impl Recovery {
    /// Takes a compacted segment, whose header has been checked by itself, if it continues the log.
    pub(super) fn compacted_segment(&mut self, found: &CompactedFile) -> Result<(), OpenError> {
        let header = &found.header;
        if let Some((tail, roll_crc)) = self.before {
            let follows = header.base_offset == tail.offset
                && header.base_index == tail.index.next()
                && header.base_epoch == tail.epoch
                && header.previous_crc == roll_crc;
            if !follows {
                let reason = "compacted segment does not continue the one before it: a file is missing or foreign";
                return Err(OpenError::corrupt(&found.path, 0, reason));
            }
        }
        let interval = self.config.index_interval_bytes;
        let file = swap::sealed_file(&self.disk, &self.dir, header, interval);
        self.open = header.open_transactions();
        self.sealed
            .push(swap::segment(header, found.size_bytes, file, None));
        self.sealed_bytes += found.size_bytes;
        header.runs.iter().for_each(|run| self.epochs.push(*run));
        self.before = Some((header.end, header.roll_crc));
        self.next = NextSegment {
            created_ms: header.roll_at_ms,
            previous_crc: header.roll_crc,
        };
        Ok(())
    }
}

impl Recovery {
    /// After [`Recovery::compacted_segment`], where the log is not known from a clean stop.
    pub(super) fn keep_compacted_index(&self) {
        let Some(segment) = self.sealed.last() else {
            return;
        };
        let kept = swap::keep_index(segment, self.config.index_interval_bytes);
        if let Err(error) = kept {
            tracing::warn!(path = %segment.path().display(), %error, "index of a compacted segment is not built");
        }
    }
}

impl Log {
    /// Removes what compaction left beside the log's files; they are durably gone when this returns.
    pub(super) fn remove_leftovers(&self, leftovers: &[PathBuf]) -> Result<(), OpenError> {
        for path in leftovers {
            tracing::info!(path = %path.display(), "file left by an unfinished compaction is removed");
            let index_path = path.with_extension("index");
            for path in [&index_path, path] {
                index_file::remove(&*self.disk, path).map_err(OpenError::io("remove", path))?;
            }
        }
        if leftovers.is_empty() {
            return Ok(());
        }
        self.disk
            .sync_dir(&self.dir)
            .map_err(OpenError::io("sync", &self.dir))
    }

    /// Removes index files whose segment is gone: a power cut may lose the removal of the one and not of the
    /// other. They are derived and count for nothing, so a failure means little.
    pub(super) fn remove_orphans(&self, names: &[String]) {
        let view = self.shared.load();
        let segments = view.sealed.iter().chain(&view.active);
        let kept: HashSet<PathBuf> = segments
            .map(|segment| segment.path().with_extension("index"))
            .collect();
        let ours = |name: &&String| {
            let segment = name.strip_suffix(".index");
            segment.is_some_and(|base| parse_generation(&format!("{base}.log")).is_some())
        };
        for path in names.iter().filter(ours).map(|name| self.dir.join(name)) {
            if kept.contains(&path) {
                continue;
            }
            match index_file::remove(&*self.disk, &path) {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "index of a segment that is gone is removed");
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "index of a segment that is gone is not removed");
                }
            }
        }
    }

    /// What is to be cleaned now; `None` if nothing is due, a job is out already, or the log is pinned.
    ///
    /// The job is given to [`crate::compaction::clean`] on a worker; the segments stay pinned until
    /// [`Log::finish_cleaning`]. Below `first_index` only: see [`Log::raise_first_index`].
    pub fn begin_cleaning(&mut self, config: &CleaningConfig, now_ms: i64) -> Option<CleaningJob> {
        if self.closed.is_some() || self.cleaning || self.is_pinned() {
            return None;
        }
        if self.is_uncleanable() {
            return None;
        }
        self.uncleanable.clear();
        let plan = self.cleanable(config, now_ms)?;
        if plan.dirty_ratio <= config.dirty_ratio_min && !self.is_overdue(&plan, config, now_ms) {
            return None;
        }
        self.cleaning = true;
        Some(CleaningJob {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            identity: self.identity,
            config: config.clone(),
            index_interval_bytes: self.config.index_interval_bytes,
            view: Some(self.shared.load_full()),
            log_start: self.marks.durable_log_start(&self.flushed),
            segments: self.sealed[..plan.segments].to_vec(),
            producers: None,
            pin: self.pin(),
        })
    }

    /// The part of the log's cleanable bytes that was not cleaned yet; `None` if nothing may be cleaned.
    /// Of several logs the one with the most comes first.
    pub fn dirty_ratio(&self, config: &CleaningConfig, now_ms: i64) -> Option<f64> {
        if self.is_uncleanable() {
            return None;
        }
        let plan = self.cleanable(config, now_ms)?;
        Some(plan.dirty_ratio)
    }

    /// Whether a cleaning of these segments has failed in a way that another would fail in too. It is not tried
    /// again until one of them is gone, or the log is opened anew; new ones behind them do not help.
    pub fn is_uncleanable(&self) -> bool {
        let same = |(failed, segment): (&PathBuf, &Segment)| failed == segment.path();
        !self.uncleanable.is_empty()
            && self.uncleanable.len() <= self.sealed.len()
            && self.uncleanable.iter().zip(&*self.sealed).all(same)
    }

    fn cleanable(&self, config: &CleaningConfig, now_ms: i64) -> Option<Plan> {
        let limits = Limits {
            last_stable: self.marks.last_stable,
            first_index: self.first_index,
        };
        plan::cleanable(&self.sealed, limits, config.lag_ms_min, now_ms)
    }

    /// Whether the first dirty record is older than `max.compaction.lag.ms` allows.
    fn is_overdue(&mut self, plan: &Plan, config: &CleaningConfig, now_ms: i64) -> bool {
        if config.lag_ms_max == i64::MAX {
            return false;
        }
        let segment = &self.sealed[plan.first_dirty];
        let known = self
            .first_dirty
            .filter(|known| known.segment == segment.base_index);
        let timestamp = match known {
            Some(known) => known.timestamp,
            None => match segment.first_timestamp() {
                Ok(timestamp) => timestamp.unwrap_or(NO_TIMESTAMP),
                Err(error) => {
                    tracing::warn!(path = %segment.path().display(), %error, "age of the first dirty record is not known");
                    return false;
                }
            },
        };
        self.first_dirty = Some(FirstDirty {
            segment: segment.base_index,
            timestamp,
        });
        timestamp != NO_TIMESTAMP && now_ms.saturating_sub(timestamp) > config.lag_ms_max
    }

    /// Puts a compacted segment in the place of those it was made from; readers see it from here on, those
    /// with an older view go on with the old files. `false` if the log is closed to writes: nothing was
    /// changed.
    pub fn swap_cleaned(&mut self, swap: Swap) -> bool {
        let inside = |index: EntryIndex| (swap.first_index..=swap.last_index).contains(&index);
        let from = self
            .sealed
            .iter()
            .position(|segment| inside(segment.base_index));
        let (true, true, Some(from)) = (self.cleaning, self.closed.is_none(), from) else {
            return false;
        };
        let sealed = Arc::make_mut(&mut self.sealed);
        let count = sealed[from..]
            .iter()
            .take_while(|segment| inside(segment.base_index))
            .count();
        self.sealed_bytes += swap.segment.size_bytes;
        for input in sealed.splice(from..from + count, [swap.segment]) {
            self.sealed_bytes -= input.size_bytes;
            // who holds it by an older view cannot open it any more once its name is gone
            if let Err(error) = input.file() {
                tracing::warn!(path = %input.path().display(), %error, "replaced segment not opened for readers that still hold it");
            }
        }
        self.publish();
        true
    }

    /// Takes the pins off. Where the job failed while files changed their names, the log is closed to
    /// writes: a start finds out which of them there are.
    pub fn finish_cleaning(&mut self, cleaned: Cleaned) -> CleaningMetrics {
        self.cleaning = false;
        match &cleaned.result {
            Err(CleaningError::Log(error)) => {
                self.closed.get_or_insert(error.clone());
            }
            Err(error) if error.is_lasting() => {
                let segments = self.sealed.iter().map(Segment::path);
                self.uncleanable = segments.map(Path::to_path_buf).collect();
            }
            Ok(()) | Err(_) => {}
        }
        drop(cleaned.pin);
        cleaned.metrics
    }
}
