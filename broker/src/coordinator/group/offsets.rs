//! The offsets one group has committed: what is durable, and nothing else.
//!
//! A commit is checked, handed to the log, and enters here when the log confirms it, in the log's order.
//! So what a fetch sees has been acknowledged or will be, and survives a restart (L15).
//! An entry remembers the incarnation of its topic: once that is gone the entry is dead, whether or not its
//! tombstone has been written. When they go is decided in `groups/removal.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::GroupError;
pub use super::records::CommittedOffset;

/// Most bytes of text beside one committed offset (`offset.metadata.max.bytes`).
pub const METADATA_BYTES_MAX: usize = 4096;

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

/// Checks one offset of a commit: 12 if its text is too long.
pub fn check(offset: &CommittedOffset) -> Result<(), GroupError> {
    if offset.metadata.len() > METADATA_BYTES_MAX {
        return Err(GroupError::OffsetMetadataTooLarge);
    }
    Ok(())
}

/// What an offset costs beside its text and the name of its topic.
const OFFSET_BYTES: usize = 160;

/// Bytes that a committed offset holds on to.
pub fn offset_bytes(at: &TopicPartition, offset: &CommittedOffset) -> usize {
    OFFSET_BYTES + at.topic.len() + offset.metadata.len()
}

/// Durable committed offsets.
#[derive(Debug, Default)]
pub struct Offsets {
    committed: BTreeMap<TopicPartition, CommittedOffset>,
    held_bytes: usize,
}

impl Offsets {
    /// Whether nothing is committed.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// Takes a durable commit over.
    pub fn put(&mut self, at: TopicPartition, offset: CommittedOffset) {
        self.remove(&at);
        self.held_bytes += offset_bytes(&at, &offset);
        self.committed.insert(at, offset);
    }

    /// Takes a durable tombstone over.
    pub fn remove(&mut self, at: &TopicPartition) {
        if let Some(offset) = self.committed.remove(at) {
            self.held_bytes -= offset_bytes(at, &offset);
        }
    }

    /// Bytes that all of them hold on to.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The committed offset of one partition.
    pub fn get(&self, at: &TopicPartition) -> Option<&CommittedOffset> {
        self.committed.get(at)
    }

    /// All committed offsets, by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &CommittedOffset)> {
        self.committed.iter()
    }
}
