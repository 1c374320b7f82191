//! What the group APIs share: who asks, and texts and bytes that outlive their frame.

use std::sync::Arc;

use bytes::Bytes;
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use crate::coordinator::group::event::{GroupError, Identity};

/// Who sent a request, as DescribeGroups shows it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// The client id of the request's header, empty if it has none.
    pub(super) id: Str,
    /// The address of the connection, as text.
    pub(super) host: Str,
}

impl Client {
    /// The sender of a call.
    pub(super) fn of(call: &Call) -> Client {
        Client {
            id: call.client_id.clone().unwrap_or_default(),
            // As Java prints an address without a name, which tools expect.
            host: Str::from(format!("/{}", call.peer.ip())),
        }
    }
}

/// READ, DELETE, DESCRIBE as bits: without an authorizer everyone may do what can be done to a group.
pub(super) const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8;

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
