//! SyncGroup (key 14): answered when the leader's assignment is durable.

use headrace_protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::Call;
use super::group::{identity, kept, kept_bytes, text};
use crate::coordinator::Coordinator;
use crate::coordinator::group::event::{GroupError, Sync};
use crate::coordinator::group::{GROUP_ASSIGNMENT_BYTES_MAX, Generation, NAMED_MEMBERS_MAX};

pub(super) async fn handle(call: Call, request: SyncGroupRequest) -> SyncGroupResponse {
    answer(request, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: SyncGroupRequest,
    coordinator: &Coordinator,
) -> SyncGroupResponse {
    let parts = request.assignments.iter().map(|part| part.assignment.len());
    if request.assignments.len() > NAMED_MEMBERS_MAX
        || parts.sum::<usize>() > GROUP_ASSIGNMENT_BYTES_MAX
    {
        // what no group would take is refused before it is copied
        return SyncGroupResponse {
            error_code: GroupError::Unknown.code(),
            ..SyncGroupResponse::default()
        };
    }
    let group = kept(&request.group_id);
    let assignments = request
        .assignments
        .iter()
        .map(|part| (kept(&part.member_id), kept_bytes(&part.assignment)));
    let sync = Sync {
        identity: identity(&request.member_id, request.group_instance_id.as_ref()),
        generation: Generation(request.generation_id),
        protocol_type: request.protocol_type.as_ref().map(kept),
        protocol: request.protocol_name.as_ref().map(kept),
        assignments: assignments.collect(),
    };
    drop(request);
    match coordinator.sync(group, sync).await {
        Ok(synced) => SyncGroupResponse {
            protocol_type: Some(text(&synced.protocol_type)),
            protocol_name: Some(text(&synced.protocol)),
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(error) => SyncGroupResponse {
            error_code: error.code(),
            ..SyncGroupResponse::default()
        },
    }
}
