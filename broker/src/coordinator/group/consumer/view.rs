//! What can be seen of such a group without changing it: descriptions, and who may commit and fetch offsets.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::machine::ConsumerGroup;
use super::member::{Hold, Wishes};
use super::partitions::Partitions;
use super::state::Standing;
use super::{Epoch, assign::Assignor};
use crate::coordinator::group::MemberId;
use crate::coordinator::group::event::GroupError;

/// One group in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// Where it stands.
    pub standing: Standing,
    /// Its epoch.
    pub epoch: Epoch,
    /// The epoch of its targets.
    pub assignment_epoch: Epoch,
    /// How it assigns.
    pub assignor: Assignor,
    /// Who is in it.
    pub members: Vec<ConsumerMemberDescription>,
}

/// One member in a [`ConsumerDescription`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    /// Its id.
    pub id: MemberId,
    /// Its epoch.
    pub epoch: Epoch,
    /// What it wants.
    pub wishes: Arc<Wishes>,
    /// What it may use.
    pub assigned: Partitions,
    /// What it shall hold in the end.
    pub target: Arc<Partitions>,
}

/// Which offsets a commit may store.
#[derive(Debug, Clone)]
pub enum CommitRule {
    /// Any.
    All,
    /// The sender does not know its newest epoch yet: what it has held since before the one it knows (KIP-1251).
    HeldSince(Arc<Hold>, Epoch),
}

impl CommitRule {
    /// Whether the offset of this partition may be stored.
    pub fn check(&self, topic: Uuid, partition: i32) -> Result<(), GroupError> {
        let CommitRule::HeldSince(hold, sent) = self else {
            return Ok(());
        };
        let since = hold.assigned.since(topic, partition);
        let since = since.or_else(|| hold.revoking.since(topic, partition));
        match since {
            Some(since) if since <= *sent => Ok(()),
            _ => Err(GroupError::StaleMemberEpoch),
        }
    }
}

impl ConsumerGroup {
    /// Whether a first member has ever been in.
    pub fn exists(&self) -> bool {
        self.state.epoch > Epoch::JOIN
    }

    /// Whether anybody is in it.
    pub fn has_members(&self) -> bool {
        !self.state.members().is_empty()
    }

    /// Where the group stands.
    pub fn standing(&self) -> Standing {
        self.state.standing()
    }

    /// The group in full.
    pub fn describe(&self) -> ConsumerDescription {
        let state = &self.state;
        let members = state
            .members()
            .iter()
            .map(|(id, member)| ConsumerMemberDescription {
                id: id.clone(),
                epoch: member.hold.epoch,
                wishes: Arc::clone(&member.wishes),
                assigned: member.hold.assigned.partitions(),
                target: state.target(id),
            });
        ConsumerDescription {
            standing: state.standing(),
            epoch: state.epoch,
            assignment_epoch: state.assignment_epoch,
            assignor: state.assignor(),
            members: members.collect(),
        }
    }

    /// Names of all topics that any member is subscribed to.
    pub fn subscribed(&self) -> BTreeSet<Arc<str>> {
        self.state.subscribed().into_iter().cloned().collect()
    }

    /// Whether any member is subscribed to this topic.
    pub fn subscribes(&self, topic: &str) -> bool {
        self.state.subscribes(topic)
    }

    /// Whether a commit of this sender may be stored, and what of it (trap 56).
    pub fn check_commit(
        &self,
        member_id: &str,
        epoch: Epoch,
        knows_epochs: bool,
    ) -> Result<CommitRule, GroupError> {
        if epoch < Epoch::JOIN && self.state.members().is_empty() {
            return Ok(CommitRule::All);
        }
        let member = self.state.member(member_id);
        let member = member.ok_or(GroupError::UnknownMemberId)?;
        if !knows_epochs {
            return Err(GroupError::UnsupportedVersion);
        }
        let hold = &member.hold;
        match epoch.cmp(&hold.epoch) {
            Ordering::Equal => Ok(CommitRule::All),
            Ordering::Greater => Err(GroupError::StaleMemberEpoch),
            Ordering::Less => Ok(CommitRule::HeldSince(Arc::clone(hold), epoch)),
        }
    }

    /// Whether this sender may read offsets; one that does not say who it is may, as tools do (trap 63).
    pub fn check_fetch(&self, member_id: Option<&str>, epoch: Epoch) -> Result<(), GroupError> {
        let Some(id) = member_id else {
            return if epoch < Epoch::JOIN {
                Ok(())
            } else {
                Err(GroupError::UnknownMemberId)
            };
        };
        let member = self.state.member(id).ok_or(GroupError::UnknownMemberId)?;
        if member.hold.epoch == epoch {
            Ok(())
        } else {
            Err(GroupError::StaleMemberEpoch)
        }
    }
}
