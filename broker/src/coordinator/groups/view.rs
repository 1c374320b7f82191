//! What can be seen of groups without changing them: lists, descriptions, committed offsets.

use std::sync::Arc;

use bytes::Bytes;

use super::event::{Description, GroupKind, MemberDescription, Overview};
use super::{Entry, Groups};
use crate::coordinator::group::classic::ClassicGroup;
use crate::coordinator::group::consumer::ConsumerGroup;
use crate::coordinator::group::offsets::Offsets;
use crate::coordinator::group::{GroupId, GroupState};

impl Groups {
    /// The committed offsets of one group; none if it does not exist (trap 40).
    pub fn offsets(&self, group: &str) -> Option<&Offsets> {
        self.entries.get(group).map(|entry| &entry.offsets)
    }

    /// All groups, in no order.
    pub fn list(&self) -> Vec<Overview> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.is_visible())
            .map(|(group, entry)| overview(group, entry))
            .collect()
    }

    /// One classic group in full; `None` if it does not exist or is of the other kind.
    pub fn describe(&self, group: &str) -> Option<Description> {
        let entry = self.entries.get(group).filter(|entry| entry.is_visible())?;
        if entry.consumer.is_some() {
            return None;
        }
        Some(describe(&entry.group))
    }
}

impl Entry {
    /// Whether there is something to delete: a group that can be seen, or a write of it that is under way.
    pub(super) fn exists(&self) -> bool {
        self.is_visible() || self.writes > 0
    }

    /// A group whose first commit is not durable is not there yet; one that gave an id away is, as in Kafka.
    fn is_visible(&self) -> bool {
        !self.offsets.is_empty()
            || self.consumer.as_deref().is_some_and(ConsumerGroup::exists)
            || !self.group.protocol_type().is_empty()
            || self.group.members().pending() > 0
    }
}

fn overview(group: &GroupId, entry: &Entry) -> Overview {
    let classic = &entry.group;
    let (kind, state, protocol_type) = entry.consumer.as_ref().map_or_else(
        || {
            (
                GroupKind::Classic,
                classic.state().name(),
                classic.protocol_type(),
            )
        },
        // Kafka lists such groups under the protocol type of the classic consumers.
        |consumer| (GroupKind::Consumer, consumer.standing().name(), "consumer"),
    );
    Overview {
        group: group.clone(),
        protocol_type: Arc::from(protocol_type),
        kind,
        state,
    }
}

fn describe(group: &ClassicGroup) -> Description {
    let stable = group.state() == GroupState::Stable;
    let protocol = group
        .protocol()
        .filter(|_| stable)
        .cloned()
        .unwrap_or_else(|| Arc::from(""));
    let members = group.members().iter().map(|member| MemberDescription {
        member_id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: if stable {
            member.metadata(&protocol)
        } else {
            Bytes::new()
        },
        assignment: member.assignment.clone(),
    });
    Description {
        state: group.state(),
        protocol_type: Arc::from(group.protocol_type()),
        members: members.collect(),
        protocol,
    }
}
