//! JoinGroup (key 11): enters a group or its next generation; the answer comes when all members have joined.

use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api JoinGroup [0..=9, flexible 6]: JoinGroupRequest => JoinGroupResponse;

    /// A member and the protocols it could follow.
    pub struct JoinGroupRequest {
        group_id: Str [..];
        /// Without a heartbeat for so long a member is dead.
        session_timeout_ms: i32 [..];
        /// How long the group waits for its members to join; -1, and version 0, mean the session timeout.
        rebalance_timeout_ms: i32 [1.., ignorable] = -1;
        /// Empty on the first attempt; from version 4 on the answer then gives one.
        member_id: Str [..];
        /// Set by a static member.
        group_instance_id: Option<Str> [5..];
        /// `consumer`, `connect`, ...
        protocol_type: Str [..];
        /// In the member's order of preference.
        protocols: Vec<JoinGroupRequestProtocol> [..];
        /// Why it joins, for the log.
        reason: Option<Str> [8.., ignorable];
    }

    /// A protocol and what the group's leader needs to know of the member.
    pub struct JoinGroupRequestProtocol {
        name: Str [..];
        metadata: Bytes [..];
    }

    /// The generation, and for its leader all members.
    pub struct JoinGroupResponse {
        throttle_time_ms: i32 [2.., ignorable];
        error_code: ErrorCode [..];
        generation_id: i32 [..] = -1;
        protocol_type: Option<Str> [7.., ignorable];
        /// The protocol that all members have and most prefer.
        protocol_name: Option<Str> [.., nullable 7..] = Some(Str::default());
        leader: Str [..];
        /// For a static leader that returns: the assignment need not change.
        skip_assignment: bool [9..];
        member_id: Str [..];
        /// Empty but for the leader.
        members: Vec<JoinGroupResponseMember> [..];
    }

    /// A member as its leader sees it.
    pub struct JoinGroupResponseMember {
        member_id: Str [..];
        group_instance_id: Option<Str> [5.., ignorable];
        metadata: Bytes [..];
    }
}
