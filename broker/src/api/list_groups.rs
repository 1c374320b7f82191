//! ListGroups (key 16): all groups, or those in some states or of some types (trap 69).

use headrace_protocol::Str;
use headrace_protocol::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::Call;
use super::group::text;
use crate::coordinator::Coordinator;

pub(super) async fn handle(call: Call, request: ListGroupsRequest) -> ListGroupsResponse {
    answer(request, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: ListGroupsRequest,
    coordinator: &Coordinator,
) -> ListGroupsResponse {
    let groups = match coordinator.list().await {
        Ok(groups) => groups,
        Err(error) => {
            return ListGroupsResponse {
                error_code: error.code(),
                ..ListGroupsResponse::default()
            };
        }
    };
    let wanted = |filter: &[Str], name: &str| {
        filter.is_empty()
            || filter
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let groups = groups
        .into_iter()
        .filter(|group| wanted(&request.states_filter, group.state))
        .filter(|group| wanted(&request.types_filter, group.kind.name()))
        .map(|group| ListedGroup {
            group_id: text(&group.group),
            protocol_type: text(&group.protocol_type),
            group_state: Str::from_static(group.state),
            group_type: Str::from_static(group.kind.name()),
        });
    ListGroupsResponse {
        groups: groups.collect(),
        ..ListGroupsResponse::default()
    }
}
