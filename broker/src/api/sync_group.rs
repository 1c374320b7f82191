//! SyncGroup (key 14): answered when the leader's assignment is durable.

use headrace_protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::Call;
use super::group::{identity, kept, kept_bytes, text};
use crate::coordinator::Coordinator;
use crate::coordinator::group::Generation;
use crate::coordinator::group::event::Sync;

pub(super) async fn handle(call: Call, request: SyncGroupRequest) -> SyncGroupResponse {
    answer(request, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: SyncGroupRequest,
    coordinator: &Coordinator,
) -> SyncGroupResponse {
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
