//! What the group APIs share: who asks, and texts and bytes that outlive their frame.

use std::sync::Arc;

use bytes::Bytes;
use headrace_protocol::{ErrorCode, Str};

use crate::coordinator::group::event::{GroupError, Identity};

/// This broker, as one listener advertises it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// The host a client can reach.
    pub host: Str,
    /// The port a client can reach.
    pub port: i32,
}

/// Who sent a request, as DescribeGroups shows it.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client id of the request's header, empty if it has none.
    pub id: Str,
    /// The address of the connection, as text.
    pub host: Str,
}

/// A text of its own memory: a group keeps it for days, the frame is gone after the request.
pub(super) fn kept(text: &Str) -> Arc<str> {
    Arc::from(text.as_str())
}

/// Bytes of their own memory, for the same reason.
pub(super) fn kept_bytes(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// A member as a request names it.
pub(super) fn identity(member_id: &Str, instance_id: Option<&Str>) -> Identity {
    Identity {
        member_id: kept(member_id),
        instance_id: instance_id.map(kept),
    }
}

/// A text of the coordinator, for a response.
pub(super) fn text(text: &Arc<str>) -> Str {
    Str::from(&**text)
}

/// The code of a result.
pub(super) fn code(result: Result<(), GroupError>) -> ErrorCode {
    result.map_or_else(GroupError::code, |()| ErrorCode::NONE)
}
