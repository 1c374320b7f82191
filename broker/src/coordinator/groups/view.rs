//! What can be seen of groups without changing them: lists, descriptions, committed offsets.

use std::sync::Arc;

use bytes::Bytes;

use super::event::{Description, MemberDescription, Overview};
use super::{Entry, Groups};
use crate::coordinator::group::GroupState;
use crate::coordinator::group::classic::ClassicGroup;
use crate::coordinator::group::offsets::Offsets;

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
            .map(|(group, entry)| Overview {
                group: group.clone(),
                protocol_type: Arc::from(entry.group.protocol_type()),
                state: entry.group.state(),
            })
            .collect()
    }

    /// One group in full; `None` if it does not exist.
    pub fn describe(&self, group: &str) -> Option<Description> {
        let entry = self.entries.get(group).filter(|entry| entry.is_visible())?;
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
            || !self.group.protocol_type().is_empty()
            || self.group.members().pending() > 0
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
