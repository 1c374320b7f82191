//! FindCoordinator (key 10): the broker that keeps a group or a transactional id; several at once from version 4.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// Key type of a consumer group.
pub const KEY_TYPE_GROUP: i8 = 0;
/// Key type of a transactional id.
pub const KEY_TYPE_TRANSACTION: i8 = 1;
/// Key type of a share group.
pub const KEY_TYPE_SHARE: i8 = 2;

/// Groups that one request may name: more than a broker has. Without a bound a frame of short names would be answered
/// with gigabytes.
pub const GROUPS_AT_ONCE_MAX: usize = 200_000;

messages! {
    api FindCoordinator [0..=6, flexible 3]: FindCoordinatorRequest => FindCoordinatorResponse;

    /// Asks for one key, or for several.
    pub struct FindCoordinatorRequest {
        key: Str [..=3];
        /// One of the constants of this module.
        key_type: i8 [1..];
        coordinator_keys: Vec<Str> [4.., at_most GROUPS_AT_ONCE_MAX];
    }

    /// The coordinator of the one key, or those of several.
    pub struct FindCoordinatorResponse {
        throttle_time_ms: i32 [1.., ignorable];
        error_code: ErrorCode [..=3];
        error_message: Option<Str> [1..=3, ignorable];
        /// -1 with an error.
        node_id: i32 [..=3] = -1;
        host: Str [..=3];
        /// -1 with an error.
        port: i32 [..=3] = -1;
        coordinators: Vec<Coordinator> [4..];
    }

    /// The coordinator of one key.
    pub struct Coordinator {
        key: Str [4..];
        /// -1 with an error.
        node_id: i32 [4..] = -1;
        host: Str [4..];
        /// -1 with an error.
        port: i32 [4..] = -1;
        error_code: ErrorCode [4..];
        error_message: Option<Str> [4.., ignorable];
    }
}
