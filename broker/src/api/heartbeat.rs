//! Heartbeat (key 12): a member lives, and learns whether its group rebalances.

use headrace_protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::Call;
use super::group::{code, identity, kept};
use crate::coordinator::Coordinator;
use crate::coordinator::group::Generation;
use crate::coordinator::group::event::Heartbeat;

pub(super) async fn handle(call: Call, request: HeartbeatRequest) -> HeartbeatResponse {
    answer(request, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: HeartbeatRequest,
    coordinator: &Coordinator,
) -> HeartbeatResponse {
    let heartbeat = Heartbeat {
        identity: identity(&request.member_id, request.group_instance_id.as_ref()),
        generation: Generation(request.generation_id),
    };
    let result = coordinator
        .heartbeat(kept(&request.group_id), heartbeat)
        .await;
    HeartbeatResponse {
        error_code: code(result),
        ..HeartbeatResponse::default()
    }
}
