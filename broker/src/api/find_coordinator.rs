//! FindCoordinator (key 10): this broker, once it can serve the group (trap 58).
//!
//! Versions up to 3 ask for one key, later ones for several. There is no transaction coordinator yet: any
//! key type but groups is INVALID_REQUEST 42 with a text.

use headrace_protocol::find_coordinator::{
    Coordinator as Found, FindCoordinatorRequest, FindCoordinatorResponse, KEY_TYPE_GROUP,
    KEY_TYPE_TRANSACTION,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use crate::config::Endpoint;
use crate::coordinator::Coordinator;

/// First version that asks for several keys.
const FIRST_BATCHED: i16 = 4;

pub(super) async fn handle(call: Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    answer(
        request,
        call.version,
        (call.node.id, &call.node.advertised),
        &call.node.coordinator,
    )
    .await
}

/// Answers the request; `node` is this broker's id, and what the client's listener advertises.
pub(super) async fn answer(
    request: FindCoordinatorRequest,
    version: i16,
    node: (i32, &Endpoint),
    coordinator: &Coordinator,
) -> FindCoordinatorResponse {
    if version < FIRST_BATCHED {
        let found = find(request.key, request.key_type, node, coordinator).await;
        return FindCoordinatorResponse {
            error_code: found.error_code,
            error_message: found.error_message,
            node_id: found.node_id,
            host: found.host,
            port: found.port,
            ..FindCoordinatorResponse::default()
        };
    }
    let mut coordinators = Vec::new();
    for key in request.coordinator_keys {
        coordinators.push(find(key, request.key_type, node, coordinator).await);
    }
    FindCoordinatorResponse {
        coordinators,
        ..FindCoordinatorResponse::default()
    }
}

async fn find(key: Str, key_type: i8, node: (i32, &Endpoint), coordinator: &Coordinator) -> Found {
    if key_type != KEY_TYPE_GROUP {
        let text = if key_type == KEY_TYPE_TRANSACTION {
            "transactions are not supported yet".to_owned()
        } else {
            format!("no coordinator for key type {key_type}")
        };
        return refused(key, ErrorCode::INVALID_REQUEST, Str::from(text));
    }
    match coordinator.find(&key).await {
        Ok(()) => Found {
            key,
            node_id: node.0,
            host: Str::from(node.1.host.as_str()),
            port: node.1.port.into(),
            ..Found::default()
        },
        Err(error) => refused(key, error.code(), Str::from(error.to_string())),
    }
}

fn refused(key: Str, error_code: ErrorCode, text: Str) -> Found {
    Found {
        key,
        error_code,
        error_message: Some(text),
        ..Found::default()
    }
}
