//! What a member sends and what it is answered, and the rules that a request must keep before any group is looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::assign::Assignor;
use super::partitions::Partitions;
use super::{Epoch, MEMBER_BYTES, PATTERN_BYTES_MAX};
use crate::coordinator::group::event::GroupError;
use crate::coordinator::group::{InstanceId, MemberId};

/// One ConsumerGroupHeartbeat; `None` says that nothing has changed.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// The member's id, its own or one that the caller drew for it.
    pub member_id: MemberId,
    /// The epoch it is in, or one of the three that join and leave.
    pub epoch: Epoch,
    /// Its instance id, if static.
    pub instance_id: Option<InstanceId>,
    /// Where it runs.
    pub rack_id: Option<Arc<str>>,
    /// How long it may take to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: Option<i32>,
    /// Topics it subscribes to.
    pub topics: Option<BTreeSet<Arc<str>>>,
    /// A pattern of topics it subscribes to.
    pub pattern: Option<Arc<str>>,
    /// The assignor it asks for.
    pub assignor: Option<Arc<str>>,
    /// The partitions it holds.
    pub owned: Option<Partitions>,
    /// The client's own name.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
}

impl Heartbeat {
    /// Whether it says everything, as a member does that joins or cannot know what was heard: it is told everything.
    pub fn is_full(&self) -> bool {
        let subscribes = self.topics.is_some() || self.pattern.is_some();
        self.epoch == Epoch::JOIN
            || (self.rebalance_timeout_ms.is_some() && subscribes && self.owned.is_some())
    }

    /// Bytes that the group keeps of it at most; 0 for one that brings nothing.
    pub fn held_bytes(&self) -> usize {
        let names = self.topics.iter().flatten().map(|name| name.len());
        let said = names.sum::<usize>() + self.pattern.as_ref().map_or(0, |text| text.len());
        let joins = if self.epoch == Epoch::JOIN {
            MEMBER_BYTES + 4 * self.member_id.len()
        } else {
            0
        };
        joins + said
    }

    /// The rules that need no group; whether the client must bring its own id depends on the version.
    pub fn check(&self, group: &str, makes_own_id: bool) -> Result<(), Refused> {
        let joins = self.epoch == Epoch::JOIN;
        let blank = |text: Option<&Arc<str>>| text.is_some_and(|text| text.trim().is_empty());
        if (makes_own_id || !joins) && self.member_id.trim().is_empty() {
            return invalid("MemberId can't be empty.");
        }
        if group.trim().is_empty() {
            return invalid("GroupId can't be empty.");
        }
        if blank(self.instance_id.as_ref()) {
            return invalid("InstanceId can't be empty.");
        }
        if blank(self.rack_id.as_ref()) {
            return invalid("RackId can't be empty.");
        }
        if joins {
            self.check_join()?;
        }
        if self.epoch == Epoch::LEAVE_STATIC && self.instance_id.is_none() {
            return invalid("InstanceId can't be null.");
        }
        if self.epoch < Epoch::LEAVE_STATIC {
            return invalid("MemberEpoch is invalid.");
        }
        self.check_assignor()
    }

    fn check_join(&self) -> Result<(), Refused> {
        if self.rebalance_timeout_ms.is_none() {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if !self.owned.as_ref().is_some_and(Partitions::is_empty) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if self.topics.is_none() && self.pattern.is_none() {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
        Ok(())
    }

    fn check_assignor(&self) -> Result<(), Refused> {
        let Some(wanted) = &self.assignor else {
            return Ok(());
        };
        if Assignor::named(wanted).is_some() {
            return Ok(());
        }
        let names = Assignor::ALL.map(Assignor::name).join(", ");
        let text =
            format!("ServerAssignor {wanted} is not supported. Supported assignors: {names}.");
        Err(Refused::new(GroupError::UnsupportedAssignor, text))
    }

    /// The pattern, unless it is too long to be looked at.
    pub fn check_pattern(pattern: &str) -> Result<(), Refused> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(Refused::pattern(
                pattern,
                &format!("longer than {PATTERN_BYTES_MAX} bytes"),
            ));
        }
        Ok(())
    }
}

fn invalid(text: &str) -> Result<(), Refused> {
    Err(Refused::new(GroupError::InvalidRequest, text.to_owned()))
}

/// The answer to a heartbeat that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The member's id.
    pub member_id: MemberId,
    /// The epoch it is in now.
    pub epoch: Epoch,
    /// What it may use from now on; `None` if that is what it was told before.
    pub assignment: Option<Partitions>,
    /// When it shall come again, in milliseconds; 0 for one that left.
    pub heartbeat_interval_ms: i32,
}

/// The answer to one that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub error: GroupError,
    /// For a person to read.
    pub text: String,
}

impl Refused {
    /// An error with a text.
    pub fn new(error: GroupError, text: String) -> Refused {
        Refused { error, text }
    }

    /// A pattern that is none.
    pub fn pattern(pattern: &str, why: &str) -> Refused {
        const SHOWN: usize = 200;
        let shown: String = pattern.chars().take(SHOWN).collect();
        Refused::new(
            GroupError::InvalidRegularExpression,
            format!("SubscribedTopicRegex `{shown}` is not a valid regular expression: {why}."),
        )
    }
}

impl From<GroupError> for Refused {
    fn from(error: GroupError) -> Refused {
        Refused::new(error, error.to_string())
    }
}

/// What a heartbeat is answered.
pub type Answer = Result<Beat, Refused>;
