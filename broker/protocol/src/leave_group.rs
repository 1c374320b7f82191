//! LeaveGroup (key 13): takes one member, or from version 3 several, out of a group.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api LeaveGroup [0..=5, flexible 4]: LeaveGroupRequest => LeaveGroupResponse;

    /// The members that leave.
    pub struct LeaveGroupRequest {
        group_id: Str [..];
        member_id: Str [..=2];
        members: Vec<MemberIdentity> [3..];
    }

    /// A member by its id, or a static one by its instance.
    pub struct MemberIdentity {
        /// Empty if only the instance is known.
        member_id: Str [3..];
        group_instance_id: Option<Str> [3..];
        /// Why it leaves, for the log.
        reason: Option<Str> [5.., ignorable];
    }

    /// What became of each member.
    pub struct LeaveGroupResponse {
        throttle_time_ms: i32 [1.., ignorable];
        error_code: ErrorCode [..];
        members: Vec<MemberResponse> [3..];
    }

    /// The result for one member.
    pub struct MemberResponse {
        member_id: Str [3..];
        group_instance_id: Option<Str> [3..];
        error_code: ErrorCode [3..];
    }
}
