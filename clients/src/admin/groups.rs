//! Consumer groups and who is in them: of the classic protocol and of the one whose broker assigns (KIP-848).
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use headrace_protocol::ErrorCode;
use headrace_protocol::consumer_group_describe::{
    self, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
};
use headrace_protocol::consumer_protocol::{ConsumerProtocolAssignment, decode_versioned};
use headrace_protocol::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use headrace_protocol::list_groups::{ListGroupsRequest, ListGroupsResponse};

use super::route::To;
use super::{Admin, AdminError, TopicPartition, first_code, only};

/// ListGroups with states (Kafka 2.6 and later), and with types (3.8).
const LIST_GROUPS: RangeInclusive<i16> = 4..=5;
/// DescribeGroups with static members (Kafka 2.4 and later).
const DESCRIBE_GROUPS: RangeInclusive<i16> = 4..=6;
/// ConsumerGroupDescribe (Kafka 3.8 and later).
const DESCRIBE_CONSUMER_GROUPS: RangeInclusive<i16> = 0..=1;

/// The protocol type of groups of consumers; others have an assignment that only they understand.
const CONSUMERS: &str = "consumer";

/// What a broker told about a group, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub name: String,
    /// Kafka's name of its state: `Empty`, `Stable`, ...
    pub state: String,
    /// `classic` or `consumer`; empty where the broker is too old to tell.
    pub kind: String,
    /// What its members are, such as `consumer` or `connect`; empty for a group that only has offsets.
    pub protocol_type: String,
}

/// A group as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub name: String,
    /// Kafka's name of its state: `Empty`, `Stable`, ...
    pub state: String,
    /// `classic` or `consumer`: who assigns the partitions, a member or the broker.
    pub kind: String,
    /// The assignment strategy in use; empty while there is none.
    pub protocol: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Given by the coordinator, or by the member itself.
    pub id: String,
    /// Its name as a static member.
    pub instance_id: Option<String>,
    /// Chosen by the client.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it reads; empty for members that are no consumers.
    pub assignment: Vec<TopicPartition>,
}

impl Admin {
    /// All groups, by name.
    pub async fn groups(&self) -> Result<Vec<GroupListing>, AdminError> {
        let mut groups = BTreeMap::new();
        for broker in self.brokers().await? {
            let code = |answer: &ListGroupsResponse| answer.error_code;
            let request = ListGroupsRequest::default();
            let to = To::Address(&broker);
            let answer = self.ask(to, LIST_GROUPS, &request, code).await?;
            if answer.error_code != ErrorCode::NONE {
                return Err(AdminError::refused(&broker, answer.error_code, None));
            }
            for group in answer.groups {
                let name = String::from(group.group_id);
                let listing = GroupListing {
                    name: name.clone(),
                    state: group.group_state.into(),
                    kind: group.group_type.into(),
                    protocol_type: group.protocol_type.into(),
                };
                groups.insert(name, listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// One group; a group without members, offsets or state does not exist.
    pub async fn group(&self, name: &str) -> Result<GroupInfo, AdminError> {
        if let Some(group) = self.classic_group(name).await? {
            return Ok(group);
        }
        match self.consumer_group(name).await {
            Ok(Some(group)) => Ok(group),
            Ok(None) | Err(AdminError::Unserved(_)) => {
                Err(AdminError::UnknownGroup(name.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    async fn classic_group(&self, name: &str) -> Result<Option<GroupInfo>, AdminError> {
        let request = DescribeGroupsRequest {
            groups: vec![name.into()],
            ..DescribeGroupsRequest::default()
        };
        let code = |answer: &DescribeGroupsResponse| first_code(&answer.groups, |g| g.error_code);
        let to = To::Coordinator(name);
        let answer = self.ask(to, DESCRIBE_GROUPS, &request, code).await?;
        let found = only(answer.groups, name)?;
        match found.error_code {
            ErrorCode::GROUP_ID_NOT_FOUND => Ok(None),
            ErrorCode::NONE if &*found.group_state == "Dead" => Ok(None),
            ErrorCode::NONE => Ok(Some(classic(name, found))),
            code => Err(AdminError::refused(
                name,
                code,
                found.error_message.as_deref(),
            )),
        }
    }

    async fn consumer_group(&self, name: &str) -> Result<Option<GroupInfo>, AdminError> {
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![name.into()],
            ..ConsumerGroupDescribeRequest::default()
        };
        let code =
            |answer: &ConsumerGroupDescribeResponse| first_code(&answer.groups, |g| g.error_code);
        let to = To::Coordinator(name);
        let answer = self.ask(to, DESCRIBE_CONSUMER_GROUPS, &request, code);
        let found = only(answer.await?.groups, name)?;
        match found.error_code {
            ErrorCode::GROUP_ID_NOT_FOUND => Ok(None),
            ErrorCode::NONE if &*found.group_state == "Dead" => Ok(None),
            ErrorCode::NONE => Ok(Some(consumers(name, found))),
            code => Err(AdminError::refused(
                name,
                code,
                found.error_message.as_deref(),
            )),
        }
    }
}

fn classic(name: &str, found: DescribedGroup) -> GroupInfo {
    let is_consumers = &*found.protocol_type == CONSUMERS;
    let member = |member: DescribedGroupMember| GroupMember {
        assignment: if is_consumers {
            assigned(member.member_assignment)
        } else {
            Vec::new()
        },
        id: member.member_id.into(),
        instance_id: member.group_instance_id.map(String::from),
        client_id: member.client_id.into(),
        host: member.client_host.into(),
    };
    GroupInfo {
        name: name.to_owned(),
        state: found.group_state.into(),
        kind: "classic".to_owned(),
        protocol: found.protocol_data.into(),
        members: found.members.into_iter().map(member).collect(),
    }
}

/// What consumers agreed on; nothing where the bytes are not theirs.
fn assigned(bytes: bytes::Bytes) -> Vec<TopicPartition> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let assignment = decode_versioned::<ConsumerProtocolAssignment>(bytes).unwrap_or_default();
    let places = assignment.assigned_partitions.iter().flat_map(|topic| {
        let place = |partition: &i32| TopicPartition::new(topic.topic.as_str(), *partition);
        topic.partitions.iter().map(place)
    });
    let mut places: Vec<_> = places.collect();
    places.sort_unstable();
    places
}

fn consumers(name: &str, found: consumer_group_describe::DescribedGroup) -> GroupInfo {
    let member = |member: consumer_group_describe::Member| {
        let topics = member.assignment.topic_partitions.iter();
        let places = topics.flat_map(|topic| {
            let place =
                |partition: &i32| TopicPartition::new(topic.topic_name.as_str(), *partition);
            topic.partitions.iter().map(place)
        });
        let mut assignment: Vec<_> = places.collect();
        assignment.sort_unstable();
        GroupMember {
            assignment,
            id: member.member_id.into(),
            instance_id: member.instance_id.map(String::from),
            client_id: member.client_id.into(),
            host: member.client_host.into(),
        }
    };
    GroupInfo {
        name: name.to_owned(),
        state: found.group_state.into(),
        kind: "consumer".to_owned(),
        protocol: found.assignor_name.into(),
        members: found.members.into_iter().map(member).collect(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headrace_protocol::consumer_protocol::{self, encode_versioned};

    use super::*;

    #[test]
    fn an_assignment_is_read_in_order_and_foreign_bytes_are_none() {
        let assignment = ConsumerProtocolAssignment {
            assigned_partitions: vec![consumer_protocol::TopicPartition {
                topic: "t".into(),
                partitions: vec![2, 0],
            }],
            ..ConsumerProtocolAssignment::default()
        };
        let bytes = encode_versioned(&assignment, 1).expect("a small message");
        let places = [0, 2].map(|partition| TopicPartition::new("t", partition));
        assert_eq!(assigned(bytes), places);
        assert_eq!(assigned(Bytes::new()), []);
        assert_eq!(assigned(Bytes::from_static(b"not an assignment")), []);
    }
}
