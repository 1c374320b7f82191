//! The vote journal: term, vote, membership and flushed hint of every group of a shard.
//!
//! ```text
//! data/votes-{shard}      rounds, each in two copies (`format`); grows, then is written anew (`file`)
//!
//!   set_vote, set_hint     write            JournalSync::run (worker)     synced
//!   staged  ------------->  page cache ----> disk ---------------------->  durable
//! ```
//!
//! - **A vote counts when [`VoteJournal::durable`] has reached the [`Sequence`] that staging it gave**, not
//!   before: no message that rests on it may leave earlier.
//! - A hint is never above synced data: it is staged after the sync that it describes. Raised hints go out
//!   without a sync of their own, a lowered one is synced ([`VoteJournal::lower_hint`]).
//! - At a start all journals are read, whatever the number of shards is now (`load`). Each new journal
//!   begins with every group's state, so that a journal may be replaced or removed in any order, and a
//!   group may move to another shard, without a moment in which its state is on no disk.
//! - The first failed write or sync closes the journal; nothing is tried twice.
//!
//! What is inside a membership is not known here.

mod file;
mod format;
mod journal;
mod load;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;
use uuid::Uuid;

pub use file::{JournalSync, JournalSynced};
pub use journal::VoteJournal;
pub use load::{Damage, Loaded};

use crate::log::{Hint, LogIdentity};
use crate::position::{EntryIndex, LeaderEpoch};

/// The files are `votes-0`, `votes-1`, and so on.
const FILE_PREFIX: &str = "votes-";

/// A partition, as the group of its replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    /// The topic, by id.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
}

impl From<&LogIdentity> for GroupId {
    fn from(identity: &LogIdentity) -> GroupId {
        GroupId {
            topic_id: identity.topic_id,
            partition: identity.partition,
        }
    }
}

/// The order in which changes were staged, over all journals of a data directory; from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    fn next(self) -> Sequence {
        Sequence(self.0.saturating_add(1))
    }
}

/// What a replica must not forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoteState {
    /// The newest term it has seen.
    pub term: LeaderEpoch,
    /// Whom it voted for in that term; 0 is nobody.
    pub vote: u64,
    /// How far its log was durable.
    pub hint: Option<Hint>,
    /// The newest membership, and the entry that brought it.
    pub membership: Option<(EntryIndex, Bytes)>,
}

/// Why the journals cannot be read. Damage is not among these: see [`Loaded::damaged`].
#[derive(Debug, Error)]
pub enum VotesError {
    /// The disk failed.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The disk's error.
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error(
        "vote journal {path} at byte {position}: format {version} is not known to this program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// The format it states.
        version: u8,
    },
    /// No journal of ours grows to this size.
    #[error("vote journal {path} has {size} bytes, more than any that was written here")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
}

fn file_name(shard: usize) -> String {
    format!("{FILE_PREFIX}{shard}")
}

/// The shard of a journal's file; `None` if the name is not one that [`file_name`] gives.
fn parse_file_name(name: &str) -> Option<usize> {
    let shard = name.strip_prefix(FILE_PREFIX)?.parse().ok()?;
    (file_name(shard) == name).then_some(shard)
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VotesError {
    let path = path.to_path_buf();
    move |source| VotesError::Io {
        operation,
        path,
        source,
    }
}
