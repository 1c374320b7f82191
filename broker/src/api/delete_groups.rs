//! DeleteGroups (key 42): groups without members go with their offsets; 68 with members, 69 if there is none.

use headrace_protocol::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::Call;
use super::group::{code, kept};
use crate::coordinator::Coordinator;

pub(super) async fn handle(call: Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    answer(request, &call.node.coordinator).await
}

/// Answers the request when all of it is durable.
pub(super) async fn answer(
    request: DeleteGroupsRequest,
    coordinator: &Coordinator,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let error_code = code(coordinator.delete(kept(&group_id)).await);
        results.push(DeletableGroupResult {
            group_id,
            error_code,
        });
    }
    DeleteGroupsResponse {
        results,
        ..DeleteGroupsResponse::default()
    }
}
