//! Heartbeat (key 12): keeps a member in its group, and tells it of a rebalance.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api Heartbeat [0..=4, flexible 4]: HeartbeatRequest => HeartbeatResponse;

    /// A sign of life of one member.
    pub struct HeartbeatRequest {
        group_id: Str [..];
        generation_id: i32 [..];
        member_id: Str [..];
        /// Set by a static member.
        group_instance_id: Option<Str> [3..];
    }

    /// Whether the member is still in the generation.
    pub struct HeartbeatResponse {
        throttle_time_ms: i32 [1.., ignorable];
        error_code: ErrorCode [..];
    }
}
