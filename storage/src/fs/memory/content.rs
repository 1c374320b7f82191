//! The bytes of one file in memory: as they are seen, as they are durable, and the changes between.
//!
//! ```text
//! durable bytes | change | change | …  =  seen bytes
//! ```
//!
//! A change is *pending* until a sync makes it durable. A sync that fails *abandons* what it should have
//! made durable, as kernels do: the bytes stay in the page cache, later syncs succeed without writing
//! them, and nobody knows whether the disk has them. Abandoned changes keep their place in the order, so
//! a change that is durable behind one waits there too.

use std::ops::Range;
use std::sync::Arc;

/// What a crash leaves of one change that is not durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Lost,
    /// All of it.
    Kept,
    /// Only these bytes of a write. A file that grows by the write still does, unless they come first.
    Only(Range<usize>),
    /// All of a write but these bytes.
    Without(Range<usize>),
}

/// What is found where a file has grown and its data was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// Zeros, as file systems promise.
    Zeros,
    /// Bytes of nothing we know.
    Noise,
    /// Blocks that were the file's own: its first ones again.
    Stale,
}

/// The blocks that are found again where data was lost.
const STALE_BYTES: usize = 1024;

/// One change of a file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { position: usize, bytes: Arc<[u8]> },
    Size(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Pending,
    Abandoned,
    Durable,
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) seen: Vec<u8>,
    /// Durable; without the changes below.
    base: Vec<u8>,
    changes: Vec<(Change, Durability)>,
    /// A failed sync of the file system lost something of it: its own next sync fails once, as in kernels.
    untold: bool,
}

impl Content {
    /// A file whose bytes are all durable.
    fn settled(bytes: Vec<u8>) -> Content {
        Content {
            seen: bytes.clone(),
            base: bytes,
            changes: Vec::new(),
            untold: false,
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.changes.push((change, Durability::Pending));
    }

    pub(super) fn sync(&mut self) {
        self.settle_pending(Durability::Durable);
        let durable = |(_, durability): &(Change, Durability)| *durability == Durability::Durable;
        let ready = self.changes.iter().take_while(|one| durable(one)).count();
        for (change, _) in self.changes.drain(..ready) {
            apply(&mut self.base, &change);
        }
    }

    pub(super) fn sync_failed(&mut self) {
        self.settle_pending(Durability::Abandoned);
    }

    /// As a part of a failed sync of the file system.
    pub(super) fn sync_all_failed(&mut self) {
        let pending = |(_, durability): &(Change, Durability)| *durability == Durability::Pending;
        self.untold |= self.changes.iter().any(pending);
        self.sync_failed();
    }

    /// Whether a failure is to be told now.
    pub(super) fn tell(&mut self) -> bool {
        std::mem::take(&mut self.untold)
    }

    fn settle_pending(&mut self, to: Durability) {
        for (_, durability) in &mut self.changes {
            if *durability == Durability::Pending {
                *durability = to;
            }
        }
    }

    /// Forgets the cached pages that are clean: what was abandoned is then no longer seen.
    pub(super) fn drop_cache(&mut self) {
        let before = self.changes.len();
        self.changes
            .retain(|(_, durability)| *durability != Durability::Abandoned);
        if self.changes.len() < before {
            self.seen = self.base.clone();
            for (change, _) in &self.changes {
                apply(&mut self.seen, change);
            }
        }
    }

    /// Replaces the bytes, durably.
    pub(super) fn replace(&mut self, bytes: Vec<u8>) {
        *self = Content::settled(bytes);
    }

    /// The bytes as they would be found after losing all that may be lost.
    pub(super) fn durable(&self) -> Vec<u8> {
        self.after_crash(&mut |_| Fate::Lost, Garbage::Zeros).seen
    }

    /// The changes that a crash may lose, in order: the length of a write, nothing for a size.
    pub(super) fn at_stake(&self) -> impl Iterator<Item = Option<usize>> {
        let open = self
            .changes
            .iter()
            .filter(|(_, durability)| *durability != Durability::Durable);
        open.map(|(change, _)| match change {
            Change::Write { bytes, .. } => Some(bytes.len()),
            Change::Size(_) => None,
        })
    }

    /// The file after a crash that leaves of each change [`Content::at_stake`] what `fate` says.
    pub(super) fn after_crash(
        &self,
        fate: &mut dyn FnMut(Option<usize>) -> Fate,
        garbage: Garbage,
    ) -> Content {
        let mut bytes = self.base.clone();
        for (change, durability) in &self.changes {
            if *durability == Durability::Durable {
                apply(&mut bytes, change);
                continue;
            }
            match change {
                Change::Write {
                    position,
                    bytes: written,
                } => {
                    let fate = fate(Some(written.len()));
                    self.keep_of_write(&mut bytes, *position, written, fate, garbage);
                }
                Change::Size(size) => {
                    if fate(None) != Fate::Lost {
                        self.resize(&mut bytes, *size, garbage);
                    }
                }
            }
        }
        Content::settled(bytes)
    }

    fn keep_of_write(
        &self,
        bytes: &mut Vec<u8>,
        position: usize,
        written: &[u8],
        fate: Fate,
        garbage: Garbage,
    ) {
        let len = written.len();
        let parts = match fate {
            Fate::Lost => return,
            Fate::Kept => [0..len, len..len],
            Fate::Only(range) => [range.start.min(len)..range.end.min(len), len..len],
            Fate::Without(range) => [0..range.start.min(len), range.end.min(len)..len],
        };
        // The size of the file tells how far pages came: what lies before the last kept byte exists.
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let from = position + part.start;
            if bytes.len() < from {
                self.resize(bytes, from, garbage);
            }
            put(bytes, from, &written[part]);
        }
    }

    fn resize(&self, bytes: &mut Vec<u8>, size: usize, garbage: Garbage) {
        let before = bytes.len();
        bytes.resize(size, 0);
        if let Some(grown) = bytes.get_mut(before..) {
            for (at, byte) in (before..).zip(grown) {
                *byte = match garbage {
                    Garbage::Zeros => 0,
                    Garbage::Noise => 0xA5 ^ at.to_le_bytes()[0],
                    Garbage::Stale => self.base.get(at % STALE_BYTES).copied().unwrap_or(0),
                };
            }
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write {
            position,
            bytes: written,
        } => put(bytes, *position, written),
        Change::Size(size) => bytes.resize(*size, 0),
    }
}

fn put(bytes: &mut Vec<u8>, position: usize, written: &[u8]) {
    let end = position + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[position..end].copy_from_slice(written);
}
