//! SyncGroup (key 14): the leader hands in the assignment, every member gets its part of it.

use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api SyncGroup [0..=5, flexible 4]: SyncGroupRequest => SyncGroupResponse;

    /// A member that waits for its part, the leader with all parts.
    pub struct SyncGroupRequest {
        group_id: Str [..];
        generation_id: i32 [..];
        member_id: Str [..];
        /// Set by a static member.
        group_instance_id: Option<Str> [3..];
        protocol_type: Option<Str> [5.., ignorable];
        protocol_name: Option<Str> [5.., ignorable];
        /// Empty but from the leader.
        assignments: Vec<SyncGroupRequestAssignment> [..];
    }

    /// The part of one member.
    pub struct SyncGroupRequestAssignment {
        member_id: Str [..];
        assignment: Bytes [..];
    }

    /// The part of the member that asked.
    pub struct SyncGroupResponse {
        throttle_time_ms: i32 [1.., ignorable];
        error_code: ErrorCode [..];
        protocol_type: Option<Str> [5.., ignorable];
        protocol_name: Option<Str> [5.., ignorable];
        assignment: Bytes [..];
    }
}
