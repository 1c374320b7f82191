//! DescribeGroups (key 15): state and members; a group that does not exist is Dead, or 69 from version 6 on
//! (trap 59). So is one of the newer protocol, which ConsumerGroupDescribe describes.

use headrace_protocol::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use super::group::{ALL_OPERATIONS, kept, text};
use crate::coordinator::Coordinator;
use crate::coordinator::group::GroupState;
use crate::coordinator::groups::event::{Description, MemberDescription};

/// First version with an error for a group that does not exist.
const FIRST_NOT_FOUND: i16 = 6;

pub(super) async fn handle(call: Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    answer(request, call.version, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: DescribeGroupsRequest,
    version: i16,
    coordinator: &Coordinator,
) -> DescribeGroupsResponse {
    let mut groups = Vec::new();
    for group_id in request.groups {
        let described = coordinator.describe(kept(&group_id)).await;
        let mut group = match described {
            Ok(Some(description)) => DescribedGroup {
                group_id,
                ..described_group(description)
            },
            Ok(None) => {
                let newer = coordinator.describe_consumer(kept(&group_id)).await;
                let reason = if matches!(newer, Ok(Some(_))) {
                    "is not a classic group."
                } else {
                    "not found."
                };
                missing(group_id, reason, version)
            }
            Err(error) => DescribedGroup {
                group_id,
                error_code: error.code(),
                ..DescribedGroup::default()
            },
        };
        if request.include_authorized_operations && group.error_code == ErrorCode::NONE {
            group.authorized_operations = ALL_OPERATIONS;
        }
        groups.push(group);
    }
    DescribeGroupsResponse {
        groups,
        ..DescribeGroupsResponse::default()
    }
}

fn missing(group_id: Str, reason: &str, version: i16) -> DescribedGroup {
    let state = Str::from_static(GroupState::Dead.name());
    let mut group = DescribedGroup {
        group_id,
        group_state: state,
        ..DescribedGroup::default()
    };
    if version >= FIRST_NOT_FOUND {
        group.error_code = ErrorCode::GROUP_ID_NOT_FOUND;
        group.error_message = Some(Str::from(format!(
            "Group {} {reason}",
            group.group_id.as_str()
        )));
    }
    group
}

fn described_group(description: Description) -> DescribedGroup {
    DescribedGroup {
        group_state: Str::from_static(description.state.name()),
        protocol_type: text(&description.protocol_type),
        protocol_data: text(&description.protocol),
        members: description.members.into_iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

fn member(member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: text(&member.member_id),
        group_instance_id: member.instance_id.as_ref().map(text),
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}
