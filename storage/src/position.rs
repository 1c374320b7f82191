//! The three numbers that place a record: its Kafka offset, the leader epoch that wrote it, and the
//! ordinal of its entry. They are newtypes so that no signature takes two bare integers side by side.

use std::fmt;

/// A Kafka offset: the number of a record within its partition, dense from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

/// The term of the leader that wrote an entry; Kafka's `partitionLeaderEpoch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

/// The ordinal of an entry (batch or control frame) within its log, from 1; 0 means "none yet".
///
/// This is the Raft index: control frames count here although they span no offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryIndex(pub u64);

impl Offset {
    /// The offset that lies `records` further on; saturates at the greatest offset.
    #[must_use]
    pub fn plus(self, records: i64) -> Offset {
        Offset(self.0.saturating_add(records))
    }
}

impl EntryIndex {
    /// The index of the following entry.
    #[must_use]
    pub fn next(self) -> EntryIndex {
        EntryIndex(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EntryIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
