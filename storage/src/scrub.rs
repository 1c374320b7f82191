//! Finding a flipped byte in a sealed segment before a reader does.
//!
//! ```text
//! step:  | header | frame | frame | frame ...... | ROLL |     next segment ...
//!                   '-- checked --'-- next step --'           position in memory, per log
//! ```
//! - Every frame: its CRC, and that it continues offset, ordinal and epoch. A compacted file also by the checksum
//!   of its content. The index beside it entry by entry.
//! - What is found is marked in the segment, for all views: a read of the offsets that lie there fails
//!   ([`crate::ReadError::Damaged`]); all others go on. Marks are kept in memory; a later pass finds them again.
//! - Behind a bad frame the check goes on where the next sound frame is known to begin: by the frame's own
//!   length, or by the index. Nothing is searched for.
//! - Reading again what was read changes nothing: a place is told once.
//! - Files may go, be exchanged by a compaction or be cut by a truncation while they are read: what is no longer
//!   part of the log is left, and never told of.
//! - An index that is missing or does not match is no damage, for nothing is lost with it: it is written anew
//!   (`reindex`) once the segment was found sound.

mod check;
mod damage;
mod reindex;

use std::io;
use std::path::PathBuf;

use crate::log::LogView;
use crate::segment::reader::Segment;
use check::{Place, check};
pub(crate) use damage::Damage;
pub use damage::Finding;

/// Where the check of one log stands.
#[derive(Debug, Default)]
pub struct Scrubber {
    place: Option<Place>,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// The bytes read.
    pub bytes: u64,
    /// What was found and not told before.
    pub findings: Vec<Finding>,
    /// The index files that were missing or did not match, why, and that were written anew.
    pub reindexed: Vec<(PathBuf, &'static str)>,
    /// Whether the last sealed segment was reached; the next step begins at the first.
    pub pass_over: bool,
}

impl Scrubber {
    /// How far it is in the segment it reads, in bytes.
    pub fn position(&self) -> u64 {
        self.place.as_ref().map_or(0, |place| place.position)
    }

    /// Checks about `bytes_max` bytes further, at least one frame.
    ///
    /// A disk that fails to read is an error; the next step tries there again.
    pub fn step(&mut self, view: &LogView, bytes_max: u64) -> io::Result<Scrubbed> {
        let mut done = Scrubbed::default();
        let reached = self.place.as_ref().map(|place| place.base_index);
        let before = |one: &Segment| reached.is_some_and(|base| one.base_index < base);
        let from = view.sealed().partition_point(before);
        for segment in &view.sealed()[from..] {
            if done.bytes >= bytes_max {
                self.place.get_or_insert_with(|| Place::at_begin(segment));
                return Ok(done);
            }
            let place = self.place.take();
            // a file in the place of others, or filled anew after a cut, is begun anew
            let same = place.filter(|place| place.cut.is(segment.cut()));
            let place = same.unwrap_or_else(|| Place::at_begin(segment));
            self.place = check(segment, view, place, bytes_max, &mut done)?;
            if self.place.is_some() {
                return Ok(done);
            }
        }
        self.place = None;
        done.pass_over = true;
        Ok(done)
    }
}
