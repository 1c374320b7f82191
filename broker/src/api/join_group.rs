//! JoinGroup (key 11): answered when the join phase ends, which may take as long as the rebalance timeout.

use std::sync::Arc;

use headrace_protocol::Str;
use headrace_protocol::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use uuid::Uuid;

use super::Call;
use super::group::{Client, identity, kept, kept_bytes, text};
use crate::coordinator::Coordinator;
use crate::coordinator::group::event::{GroupError, Join, JoinRefused, Joined};
use crate::coordinator::group::members::Protocol;
use crate::coordinator::group::{GROUP_METADATA_BYTES_MAX, PROTOCOLS_MAX};

/// First version whose clients come back with the id that error 79 tells them.
const FIRST_MEMBER_ID_REQUIRED: i16 = 4;
/// First version that may answer a null protocol.
const FIRST_NULL_PROTOCOL: i16 = 7;
/// First version whose clients understand that a returned leader need not assign.
const FIRST_SKIP_ASSIGNMENT: i16 = 9;

pub(super) async fn handle(call: Call, request: JoinGroupRequest) -> JoinGroupResponse {
    answer(
        request,
        call.version,
        &Client::of(&call),
        &call.node.coordinator,
    )
    .await
}

/// Answers the request.
pub(super) async fn answer(
    request: JoinGroupRequest,
    version: i16,
    client: &Client,
    coordinator: &Coordinator,
) -> JoinGroupResponse {
    if let Some(error) = too_much(&request) {
        let member_id = kept(&request.member_id);
        return refusal(&JoinRefused { error, member_id }, version);
    }
    let group = kept(&request.group_id);
    let join = join(&request, version, client);
    drop(request);
    match coordinator.join(group, join).await {
        Ok(joined) => response(joined),
        Err(refused) => refusal(&refused, version),
    }
}

/// What no group would take is refused before it is copied.
fn too_much(request: &JoinGroupRequest) -> Option<GroupError> {
    if request.protocols.len() > PROTOCOLS_MAX {
        return Some(GroupError::InconsistentProtocol);
    }
    let metadata = request
        .protocols
        .iter()
        .map(|offered| offered.metadata.len());
    (metadata.sum::<usize>() > GROUP_METADATA_BYTES_MAX).then_some(GroupError::GroupFull)
}

fn join(request: &JoinGroupRequest, version: i16, client: &Client) -> Join {
    let instance = request.group_instance_id.as_ref();
    let stem = instance.unwrap_or(&client.id);
    let protocols = request.protocols.iter().map(|protocol| Protocol {
        name: kept(&protocol.name),
        metadata: kept_bytes(&protocol.metadata),
    });
    Join {
        identity: identity(&request.member_id, instance),
        fresh_member_id: Arc::from(format!("{}-{}", stem.as_str(), Uuid::new_v4())),
        client_id: kept(&client.id),
        client_host: kept(&client.host),
        session_timeout_ms: request.session_timeout_ms,
        // Version 0 has no such field and means the session timeout, as -1 does.
        rebalance_timeout_ms: if request.rebalance_timeout_ms < 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        protocol_type: kept(&request.protocol_type),
        protocols: protocols.collect(),
        knows_member_id_required: version >= FIRST_MEMBER_ID_REQUIRED,
        can_skip_assignment: version >= FIRST_SKIP_ASSIGNMENT,
    }
}

fn response(joined: Joined) -> JoinGroupResponse {
    let members = joined
        .members
        .into_iter()
        .map(|member| JoinGroupResponseMember {
            member_id: text(&member.member_id),
            group_instance_id: member.instance_id.as_ref().map(text),
            metadata: member.metadata,
        });
    JoinGroupResponse {
        generation_id: joined.generation.0,
        protocol_type: Some(text(&joined.protocol_type)),
        protocol_name: Some(text(&joined.protocol)),
        leader: text(&joined.leader),
        skip_assignment: joined.skip_assignment,
        member_id: text(&joined.member_id),
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

fn refusal(refused: &JoinRefused, version: i16) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: refused.error.code(),
        member_id: text(&refused.member_id),
        protocol_name: (version < FIRST_NULL_PROTOCOL).then(Str::default),
        ..JoinGroupResponse::default()
    }
}
