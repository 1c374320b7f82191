//! Removing segments whose records all lie below the log start.
//!
//! Only whole sealed segments go, oldest first, each removal durable before the next: whatever a crash
//! leaves is a log without a hole. The last file always stays, for it says where the log stands. A
//! segment goes only when the log start is committed **and** durable here, and when consensus no longer
//! asks for its entries. Whether it can still be read is no matter.

use std::sync::Arc;

use super::Log;
use super::epochs::EpochRun;
use super::error::WriteError;
use crate::index::file as index_file;
use crate::planted::{Mistake, planted};
use crate::position::Offset;
use crate::segment::reader::Segment;

/// Keeps all segment files of a log in their place while it lives.
#[derive(Clone, Debug)]
pub struct SegmentPin(#[expect(dead_code, reason = "its count is what matters")] Arc<()>);

impl Log {
    /// Keeps [`Log::remove_below`] from removing anything until the pin is dropped.
    pub fn pin(&self) -> SegmentPin {
        SegmentPin(Arc::clone(&self.pins))
    }

    /// Whether somebody holds a pin.
    pub fn is_pinned(&self) -> bool {
        Arc::strong_count(&self.pins) > 1
    }

    /// Removes the segments below the log start, and returns how many; none while the log is pinned.
    ///
    /// A failure closes the log to writes.
    pub fn remove_below_log_start(&mut self) -> Result<u64, WriteError> {
        self.remove_below(self.log_start())
    }

    /// [`Log::remove_below_log_start`], but only what lies below `upto` too.
    pub fn remove_below(&mut self, upto: Offset) -> Result<u64, WriteError> {
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        let mut removed = 0;
        while !self.is_pinned()
            && let Some(place) = self.removable(upto)
        {
            if let Err(error) = self.remove_segment(place) {
                self.closed = Some(error.clone());
                return Err(error);
            }
            removed += 1;
        }
        Ok(removed)
    }

    /// Which segment goes next: the oldest, if it may.
    fn removable(&self, upto: Offset) -> Option<usize> {
        // a log start is durable with its entry; one that is not flushed does not count
        let start = self.marks.durable_log_start(&self.flushed).min(upto);
        let may_go = |segment: &&Segment| {
            segment.end_offset <= start && segment.last_index < self.first_index
        };
        let last_file = usize::from(self.active.is_none());
        let below = self.sealed.iter().take_while(may_go).count();
        let count = below.min(self.sealed.len().saturating_sub(last_file));
        let newest = count.checked_sub(1)?;
        Some(if planted(Mistake::SegmentRemovedNewestFirst) {
            newest
        } else {
            0
        })
    }

    fn remove_segment(&mut self, place: usize) -> Result<(), WriteError> {
        let oldest = &Arc::make_mut(&mut self.sealed).remove(place);
        let path = oldest.path();
        match self.membership(oldest.last_index) {
            Ok(Some((index, content))) => self.restore_membership(index, content),
            Ok(None) => {}
            // what nobody may read any more must not close the log; voters lie in the vote journal too
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "damaged segment below the log start is removed unread");
            }
        }
        let next_base = oldest.end_offset;
        if let Some(epoch) = self.epochs.of_entry(oldest.last_index) {
            self.epochs.begin(EpochRun {
                epoch,
                start: next_base,
                index: oldest.last_index,
            });
        }
        self.sealed_bytes -= oldest.size_bytes;
        self.publish();
        if let Some(index_path) = oldest.index_path() {
            index_file::remove(&*self.disk, index_path)
                .map_err(WriteError::new("remove", index_path))?;
        }
        self.disk
            .remove(path)
            .map_err(WriteError::new("remove", path))?;
        self.disk
            .sync_dir(&self.dir)
            .map_err(WriteError::new("sync", &self.dir))
    }
}
