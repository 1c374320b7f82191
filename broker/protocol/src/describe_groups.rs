//! DescribeGroups (key 15): the state and members of classic groups.
//!
//! A group that does not exist is `Dead` without an error up to version 5, and GROUP_ID_NOT_FOUND in version 6. What
//! consumers put into the bytes of a member is in `consumer_protocol`.

use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::find_coordinator::GROUPS_AT_ONCE_MAX;
use crate::messages::messages;
use crate::metadata::OPERATIONS_NOT_ASKED;
use crate::text::Str;

messages! {
    api DescribeGroups [0..=6, flexible 5]: DescribeGroupsRequest => DescribeGroupsResponse;

    /// Names of groups.
    pub struct DescribeGroupsRequest {
        groups: Vec<Str> [.., at_most GROUPS_AT_ONCE_MAX];
        include_authorized_operations: bool [3..];
    }

    /// The groups.
    pub struct DescribeGroupsResponse {
        throttle_time_ms: i32 [1.., ignorable];
        groups: Vec<DescribedGroup> [..];
    }

    /// A group and its members.
    pub struct DescribedGroup {
        error_code: ErrorCode [..];
        error_message: Option<Str> [6..];
        group_id: Str [..];
        /// `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Empty` or `Dead`.
        group_state: Str [..];
        protocol_type: Str [..];
        /// Name of the protocol that the generation follows.
        protocol_data: Str [..];
        members: Vec<DescribedGroupMember> [..];
        authorized_operations: i32 [3..] = OPERATIONS_NOT_ASKED;
    }

    /// A member of a group.
    pub struct DescribedGroupMember {
        member_id: Str [..];
        group_instance_id: Option<Str> [4.., ignorable];
        client_id: Str [..];
        client_host: Str [..];
        member_metadata: Bytes [..];
        member_assignment: Bytes [..];
    }
}
