//! What the members of a classic group read, as far as the broker can tell, and what may be removed beside them.
//!
//! Consumers put a subscription into the opaque metadata of their protocol; it is looked at only when offsets are
//! to go (OffsetDelete, expiry): what a live member reads is kept (KIP-211). Other protocol types ("connect", ...)
//! hold no topics the broker knows of.

use std::collections::BTreeSet;
use std::sync::Arc;

use headrace_protocol::consumer_protocol::{ConsumerProtocolSubscription, decode_versioned};

use super::GroupState;
use super::classic::ClassicGroup;
use super::event::GroupError;

/// The protocol type of consumers: its metadata is a subscription.
const CONSUMER: &str = "consumer";

/// The topics that a group reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// It reads something and does not tell what: any topic counts as read.
    Anything,
    /// It reads these.
    Topics(BTreeSet<Arc<str>>),
}

impl Subscription {
    /// Whether the group reads the topic, or may.
    pub fn contains(&self, topic: &str) -> bool {
        match self {
            Subscription::Anything => true,
            Subscription::Topics(topics) => topics.contains(topic),
        }
    }
}

/// From when the retention of a group's offsets counts (trap 57).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionFrom {
    /// From each offset's own commit.
    Commit,
    /// From this moment, milliseconds since 1970.
    Moment(i64),
}

impl ClassicGroup {
    /// What its members read.
    pub fn subscription(&self) -> Subscription {
        let mut topics = BTreeSet::new();
        if self.protocol_type() != CONSUMER || self.members.is_empty() {
            return Subscription::Topics(topics);
        }
        let Some(protocol) = &self.protocol else {
            return Subscription::Anything;
        };
        for member in self.members.iter() {
            let metadata = member.metadata(protocol);
            match decode_versioned::<ConsumerProtocolSubscription>(metadata) {
                Ok(subscription) => {
                    topics.extend(subscription.topics.iter().map(|name| Arc::from(&**name)));
                }
                Err(_) => return Subscription::Anything,
            }
        }
        Subscription::Topics(topics)
    }

    /// From when the retention of its offsets counts; `None` while they must stay.
    pub fn retention_from(&self) -> Option<RetentionFrom> {
        if self.protocol_type.is_none() {
            return Some(RetentionFrom::Commit);
        }
        match self.state {
            // Groups of old records do not tell when they became empty.
            GroupState::Empty if self.state_since_ms < 0 => Some(RetentionFrom::Commit),
            GroupState::Empty => Some(RetentionFrom::Moment(self.state_since_ms)),
            GroupState::Stable if self.protocol_type() == CONSUMER => Some(RetentionFrom::Commit),
            GroupState::Stable
            | GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Dead => None,
        }
    }

    /// Whether it may be deleted: only without members (68).
    pub fn check_delete(&self) -> Result<(), GroupError> {
        match self.state {
            GroupState::Empty => Ok(()),
            GroupState::Dead => Err(GroupError::GroupIdNotFound),
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Stable => Err(GroupError::NonEmptyGroup),
        }
    }

    /// Whether single offsets of it may be deleted: of consumers those they do not read, of others none while
    /// there are members.
    pub fn check_delete_offsets(&self) -> Result<(), GroupError> {
        match self.check_delete() {
            Err(GroupError::NonEmptyGroup) if self.protocol_type() == CONSUMER => Ok(()),
            other => other,
        }
    }

    /// Forgets what it was, now that its record is gone from the log, and the ids it gave away; nothing while
    /// somebody is in it.
    pub fn deleted(&mut self) {
        if self.state == GroupState::Empty && self.writes == 0 {
            *self = ClassicGroup::new(Arc::clone(&self.settings));
        }
    }
}
