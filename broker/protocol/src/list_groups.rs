//! ListGroups (key 16): the groups that a broker coordinates.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api ListGroups [0..=5, flexible 3]: ListGroupsRequest => ListGroupsResponse;

    /// Asks for all groups, or those in some states or of some types; both are compared without regard to case.
    pub struct ListGroupsRequest {
        states_filter: Vec<Str> [4..];
        types_filter: Vec<Str> [5..];
    }

    /// The groups.
    pub struct ListGroupsResponse {
        throttle_time_ms: i32 [1.., ignorable];
        error_code: ErrorCode [..];
        groups: Vec<ListedGroup> [..];
    }

    /// A group and its state.
    pub struct ListedGroup {
        group_id: Str [..];
        /// Empty for a group that only stores offsets.
        protocol_type: Str [..];
        group_state: Str [4.., ignorable];
        group_type: Str [5.., ignorable];
    }
}
