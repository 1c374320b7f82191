//! DeleteGroups (key 42): deletes groups that have no members, with their offsets.

use crate::error_code::ErrorCode;
use crate::find_coordinator::GROUPS_AT_ONCE_MAX;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api DeleteGroups [0..=2, flexible 2]: DeleteGroupsRequest => DeleteGroupsResponse;

    /// The groups to delete.
    pub struct DeleteGroupsRequest {
        groups_names: Vec<Str> [.., at_most GROUPS_AT_ONCE_MAX];
    }

    /// What became of each group.
    pub struct DeleteGroupsResponse {
        throttle_time_ms: i32 [..];
        results: Vec<DeletableGroupResult> [..];
    }

    /// The result for one group.
    pub struct DeletableGroupResult {
        group_id: Str [..];
        error_code: ErrorCode [..];
    }
}
