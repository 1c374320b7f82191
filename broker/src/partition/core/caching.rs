//! Write caching: what is written is shown and answered for before it is synced.
//!
//! ```text
//! log start <= committed (synced) <= high watermark <= written <= next offset
//!                    '-- raft ----'-- write caching --'
//! ```
//!
//! The consensus is told nothing of it: its commit stays on synced data, and so does all that rests on a commit
//! (snapshots of producers, log starts, voters, the window). Only a lone voter that leads, serves and has no
//! change of voters under way shows more: what it has written nobody can take back, so nothing that a reader
//! saw goes away while it runs. With other voters the page caches of a majority would have to hold it.

use super::{Core, Effect};

impl<T> Core<T> {
    /// Whether what is written is answered for; if not, somebody waits for its sync.
    pub fn answers_when_written(&self) -> bool {
        self.caching
            && self.leads.is_some()
            && self.leads == self.serves
            && !self.failed
            && self.group.vote_is_synced()
            && self.group.decides_alone()
    }

    /// Moves the high watermark to what is written, never to what is only staged.
    pub(super) fn show_written(&mut self, effects: &mut Vec<Effect<T>>) {
        if self.high_watermark < self.written && self.answers_when_written() {
            self.high_watermark = self.written;
            effects.push(Effect::Visible(self.high_watermark));
        }
    }
}
