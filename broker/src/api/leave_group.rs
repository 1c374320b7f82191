//! LeaveGroup (key 13): one member up to version 2, several from version 3 on, each with a result.

use headrace_protocol::ErrorCode;
use headrace_protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use super::Call;
use super::group::{code, identity, kept};
use crate::coordinator::Coordinator;
use crate::coordinator::group::NAMED_MEMBERS_MAX;

/// First version with a list of members.
const FIRST_BATCHED: i16 = 3;

pub(super) async fn handle(call: Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    answer(request, call.version, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: LeaveGroupRequest,
    version: i16,
    coordinator: &Coordinator,
) -> LeaveGroupResponse {
    let group = kept(&request.group_id);
    if version < FIRST_BATCHED {
        let result = coordinator
            .leave(group, vec![identity(&request.member_id, None)])
            .await;
        let result = result.and_then(|results| results.into_iter().collect());
        return LeaveGroupResponse {
            error_code: code(result),
            ..LeaveGroupResponse::default()
        };
    }
    if request.members.len() > NAMED_MEMBERS_MAX {
        return LeaveGroupResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            ..LeaveGroupResponse::default()
        };
    }
    let who = request
        .members
        .iter()
        .map(|member| identity(&member.member_id, member.group_instance_id.as_ref()));
    match coordinator.leave(group, who.collect()).await {
        Ok(results) => {
            let members = request.members.into_iter().zip(results);
            let members = members.map(|(member, result)| MemberResponse {
                member_id: member.member_id,
                group_instance_id: member.group_instance_id,
                error_code: code(result),
            });
            LeaveGroupResponse {
                error_code: ErrorCode::NONE,
                members: members.collect(),
                ..LeaveGroupResponse::default()
            }
        }
        Err(error) => LeaveGroupResponse {
            error_code: error.code(),
            ..LeaveGroupResponse::default()
        },
    }
}
