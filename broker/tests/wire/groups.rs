//! Groups over the wire: every version of the group APIs, a rebalance of two, what survives a power cut.

use bytes::Bytes;
use headrace_protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use headrace_protocol::describe_groups::DescribeGroupsRequest;
use headrace_protocol::find_coordinator::{FindCoordinatorRequest, KEY_TYPE_TRANSACTION};
use headrace_protocol::heartbeat::HeartbeatRequest;
use headrace_protocol::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use headrace_protocol::leave_group::{LeaveGroupRequest, MemberIdentity};
use headrace_protocol::list_groups::ListGroupsRequest;
use headrace_protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use headrace_protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use headrace_protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use headrace_protocol::{ErrorCode, Request, Str};
use uuid::Uuid;

use crate::requests::{create, topic};
use crate::support::{Client, Server};

pub(crate) const TOPIC: &str = "t";

/// Sends a request in `version`, or the nearest one that the API has.
pub(crate) async fn ask<R: Request>(client: &mut Client, version: i16, request: &R) -> R::Response {
    client.call(newest_upto::<R>(version), request).await
}

fn newest_upto<R: Request>(version: i16) -> i16 {
    version.clamp(*R::VERSIONS.start(), *R::VERSIONS.end())
}

pub(crate) async fn start() -> Server {
    Server::start_with(|config| config.group_initial_rebalance_delay_ms = 0).await
}

pub(crate) async fn create_topic(client: &mut Client) -> Uuid {
    create(client, vec![topic(TOPIC, 2, &[])]).await.topics[0].topic_id
}

pub(crate) fn join(group: &str, member_id: &Str, version: i16) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: if newest_upto::<JoinGroupRequest>(version) >= 1 {
            20_000
        } else {
            -1
        },
        member_id: member_id.clone(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"wishes"),
        }],
        ..JoinGroupRequest::default()
    }
}

/// Joins, with a second request if the first only gave the id.
pub(crate) async fn joined(client: &mut Client, group: &str, version: i16) -> JoinGroupResponse {
    let response = ask(client, version, &join(group, &Str::default(), version)).await;
    if newest_upto::<JoinGroupRequest>(version) < 4 {
        return response;
    }
    assert_eq!(response.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    assert!(
        response.member_id.starts_with("test-"),
        "client id, a dash, a random part"
    );
    ask(client, version, &join(group, &response.member_id, version)).await
}

pub(crate) fn commit(
    group: &str,
    topic_id: Uuid,
    version: i16,
    offset: i64,
) -> OffsetCommitRequest {
    let by_id = newest_upto::<OffsetCommitRequest>(version) >= 10;
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_metadata: Some("note".into()),
        ..OffsetCommitRequestPartition::default()
    };
    OffsetCommitRequest {
        group_id: group.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: if by_id { Str::default() } else { TOPIC.into() },
            topic_id: if by_id { topic_id } else { Uuid::nil() },
            partitions: vec![partition(0), partition(7)],
        }],
        ..OffsetCommitRequest::default()
    }
}

/// The committed offset and text of partitions 0 and 1, in any version.
pub(crate) async fn fetch(
    client: &mut Client,
    group: &str,
    topic_id: Uuid,
    version: i16,
) -> Vec<(i64, String)> {
    let version = newest_upto::<OffsetFetchRequest>(version);
    let (request, by_id) = (OffsetFetchRequest::default(), version >= 10);
    let request = if version < 8 {
        let topic = OffsetFetchRequestTopic {
            name: TOPIC.into(),
            partition_indexes: vec![0, 1],
        };
        OffsetFetchRequest {
            group_id: group.into(),
            topics: Some(vec![topic]),
            ..request
        }
    } else {
        let topic = OffsetFetchRequestTopics {
            name: if by_id { Str::default() } else { TOPIC.into() },
            topic_id: if by_id { topic_id } else { Uuid::nil() },
            partition_indexes: vec![0, 1],
        };
        let group = OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequestGroup::default()
        };
        OffsetFetchRequest {
            groups: vec![group],
            ..request
        }
    };
    let response = ask(client, version, &request).await;
    assert_eq!(response.error_code, ErrorCode::NONE);
    let text = |text: Option<Str>| text.unwrap().to_string();
    let mut found = Vec::new();
    for partition in response
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions)
    {
        assert_eq!(partition.error_code, ErrorCode::NONE);
        found.push((partition.committed_offset, text(partition.metadata)));
    }
    for group in response.groups {
        assert_eq!(group.error_code, ErrorCode::NONE);
        for partition in group.topics.into_iter().flat_map(|topic| topic.partitions) {
            assert_eq!(partition.error_code, ErrorCode::NONE);
            assert_eq!(partition.committed_leader_epoch, -1);
            found.push((partition.committed_offset, text(partition.metadata)));
        }
    }
    found
}

pub(crate) fn nothing() -> (i64, String) {
    (-1, String::new())
}

#[tokio::test]
async fn a_member_lives_its_life_in_every_version() {
    let server = start().await;
    let mut client = server.connect().await;
    let topic_id = create_topic(&mut client).await;
    for version in 0..=10 {
        let group = format!("g{version}");
        find_coordinator(&mut client, &group, version, &server).await;
        let nobody = [nothing(), nothing()];
        assert_eq!(
            fetch(&mut client, &group, topic_id, version).await,
            nobody,
            "v{version}"
        );
        let me = joined(&mut client, &group, version).await;
        assert_eq!(
            (me.error_code, me.generation_id),
            (ErrorCode::NONE, 1),
            "v{version}"
        );
        assert_eq!((&me.leader, me.members.len()), (&me.member_id, 1));
        sync(&mut client, &group, &me, version).await;
        let beat = HeartbeatRequest {
            group_id: group.as_str().into(),
            generation_id: 1,
            member_id: me.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        assert_eq!(
            ask(&mut client, version, &beat).await.error_code,
            ErrorCode::NONE
        );
        let committed = OffsetCommitRequest {
            generation_id_or_member_epoch: 1,
            member_id: me.member_id.clone(),
            ..commit(&group, topic_id, version, 42)
        };
        let response = ask(&mut client, version, &committed).await;
        let codes: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|p| p.error_code)
            .collect();
        assert_eq!(
            codes,
            [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION],
            "v{version}"
        );
        let found = fetch(&mut client, &group, topic_id, version).await;
        assert_eq!(found, [(42, "note".to_owned()), nothing()], "v{version}");
        describe(&mut client, &group, version).await;
        leave(&mut client, &group, &me.member_id, version).await;
        assert_eq!(
            ask(&mut client, version, &beat).await.error_code,
            ErrorCode::UNKNOWN_MEMBER_ID
        );
    }
}

pub(crate) async fn find_coordinator(
    client: &mut Client,
    group: &str,
    version: i16,
    server: &Server,
) {
    let version = newest_upto::<FindCoordinatorRequest>(version);
    let port = i32::from(server.broker.local_addr().port());
    if version < 4 {
        let request = FindCoordinatorRequest {
            key: group.into(),
            ..FindCoordinatorRequest::default()
        };
        let found = ask(client, version, &request).await;
        assert_eq!(
            (found.error_code, found.port, found.node_id),
            (ErrorCode::NONE, port, 1)
        );
        assert_eq!(&*found.host, "127.0.0.1");
    } else {
        let request = FindCoordinatorRequest {
            coordinator_keys: vec![group.into(), "other".into()],
            ..FindCoordinatorRequest::default()
        };
        let found = ask(client, version, &request).await.coordinators;
        assert_eq!((&*found[0].key, &*found[1].key), (group, "other"));
        assert_eq!(
            (found[0].error_code, found[0].port, found[0].node_id),
            (ErrorCode::NONE, port, 1)
        );
    }
}

pub(crate) async fn sync(client: &mut Client, group: &str, me: &JoinGroupResponse, version: i16) {
    let named = newest_upto::<SyncGroupRequest>(version) >= 5;
    let request = SyncGroupRequest {
        group_id: group.into(),
        generation_id: me.generation_id,
        member_id: me.member_id.clone(),
        protocol_type: named.then(|| "consumer".into()),
        protocol_name: named.then(|| "range".into()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: me.member_id.clone(),
            assignment: Bytes::from_static(b"part"),
        }],
        ..SyncGroupRequest::default()
    };
    let synced = ask(client, version, &request).await;
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (ErrorCode::NONE, &b"part"[..])
    );
}

async fn describe(client: &mut Client, group: &str, version: i16) {
    let version = newest_upto::<DescribeGroupsRequest>(version);
    let request = DescribeGroupsRequest {
        groups: vec![group.into(), "missing".into()],
        include_authorized_operations: version >= 3,
    };
    let groups = ask(client, version, &request).await.groups;
    assert_eq!(
        (groups[0].error_code, &*groups[0].group_state),
        (ErrorCode::NONE, "Stable")
    );
    assert_eq!(
        (&*groups[0].protocol_type, &*groups[0].protocol_data),
        ("consumer", "range")
    );
    let member = &groups[0].members[0];
    assert_eq!(
        (&*member.client_id, &*member.client_host),
        ("test", "/127.0.0.1")
    );
    assert_eq!(
        (&member.member_metadata[..], &member.member_assignment[..]),
        (&b"wishes"[..], &b"part"[..])
    );
    let missing = if version >= 6 {
        ErrorCode::GROUP_ID_NOT_FOUND
    } else {
        ErrorCode::NONE
    };
    assert_eq!(
        (groups[1].error_code, &*groups[1].group_state),
        (missing, "Dead")
    );
    let list = ask(client, version, &ListGroupsRequest::default()).await;
    assert!(list.groups.iter().any(|listed| &*listed.group_id == group));
    let filter = ListGroupsRequest {
        states_filter: vec!["sTaBlE".into()],
        types_filter: vec!["CLASSIC".into()],
    };
    let stable = ask(client, 5, &filter).await.groups;
    assert_eq!(stable.len(), 1, "the groups before this one are empty");
    assert_eq!(
        (&*stable[0].group_id, &*stable[0].group_state),
        (group, "Stable")
    );
    let other = ListGroupsRequest {
        types_filter: vec!["consumer".into()],
        ..filter
    };
    assert_eq!(ask(client, 5, &other).await.groups, []);
}

pub(crate) async fn leave(client: &mut Client, group: &str, member_id: &Str, version: i16) {
    let version = newest_upto::<LeaveGroupRequest>(version);
    let request = LeaveGroupRequest {
        group_id: group.into(),
        ..LeaveGroupRequest::default()
    };
    if version < 3 {
        let request = LeaveGroupRequest {
            member_id: member_id.clone(),
            ..request
        };
        assert_eq!(
            ask(client, version, &request).await.error_code,
            ErrorCode::NONE
        );
        let again = ask(client, version, &request).await;
        assert_eq!(again.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    } else {
        let member = |id: &str| MemberIdentity {
            member_id: id.into(),
            group_instance_id: None,
            reason: None,
        };
        let members = vec![member(member_id), member("ghost")];
        let left = ask(client, version, &LeaveGroupRequest { members, ..request }).await;
        let codes: Vec<_> = left
            .members
            .iter()
            .map(|member| member.error_code)
            .collect();
        assert_eq!(left.error_code, ErrorCode::NONE);
        assert_eq!(codes, [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID]);
    }
}

#[tokio::test]
async fn two_members_share_a_generation_and_a_rebalance_waits_for_both() {
    let server = start().await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    find_coordinator(&mut a, "g", 6, &server).await;
    let first = joined(&mut a, "g", 9).await;
    sync(&mut a, "g", &first, 5).await;
    let id = ask(&mut b, 9, &join("g", &Str::default(), 9))
        .await
        .member_id;
    b.send(9, &join("g", &id, 9)).await;
    // b is on its way, so a is told to rejoin, and its join completes the phase for both.
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: first.generation_id,
        member_id: first.member_id.clone(),
        ..HeartbeatRequest::default()
    };
    while ask(&mut a, 4, &beat).await.error_code == ErrorCode::NONE {
        tokio::task::yield_now().await;
    }
    let again = ask(&mut a, 9, &join("g", &first.member_id, 9)).await;
    let (_, other) = b.receive::<JoinGroupRequest>(9).await;
    assert_eq!((again.generation_id, other.generation_id), (2, 2));
    assert_eq!((again.members.len(), other.members.len()), (2, 0));
    assert_eq!(again.leader, other.leader);
}

/// A stable group `g` with one member, and 20 commits of a simple group, each acknowledged.
async fn fill(server: &Server) -> (Uuid, HeartbeatRequest) {
    let mut client = server.connect().await;
    let topic_id = create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, server).await;
    find_coordinator(&mut client, "simple", 6, server).await;
    let me = joined(&mut client, "g", 9).await;
    sync(&mut client, "g", &me, 5).await;
    for offset in 1..=20 {
        let response = ask(&mut client, 10, &commit("simple", topic_id, 10, offset)).await;
        assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
    }
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: me.generation_id,
        member_id: me.member_id,
        ..HeartbeatRequest::default()
    };
    (topic_id, beat)
}

async fn check_filled(server: &Server, topic_id: Uuid, beat: &HeartbeatRequest) {
    let mut client = server.connect().await;
    find_coordinator(&mut client, "g", 6, server).await;
    find_coordinator(&mut client, "simple", 6, server).await;
    let found = fetch(&mut client, "simple", topic_id, 10).await;
    assert_eq!(found, [(20, "note".to_owned()), nothing()]);
    assert_eq!(ask(&mut client, 4, beat).await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn restart_keeps_offsets_and_generation() {
    let server = start().await;
    let (topic_id, beat) = fill(&server).await;
    let server = server.restart().await;
    check_filled(&server, topic_id, &beat).await;
}

#[tokio::test]
async fn power_cut_keeps_offsets_and_generation() {
    let server = start().await;
    let (topic_id, beat) = fill(&server).await;
    let server = server.crash().await;
    check_filled(&server, topic_id, &beat).await;
}

/// traps 16 and 19
#[tokio::test]
async fn offsets_go_with_their_topic() {
    let server = start().await;
    let mut client = server.connect().await;
    let old = create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, &server).await;
    ask(&mut client, 10, &commit("g", old, 10, 5)).await;
    let topic = DeleteTopicState {
        name: Some(TOPIC.into()),
        topic_id: Uuid::nil(),
    };
    let delete = DeleteTopicsRequest {
        topics: vec![topic],
        ..DeleteTopicsRequest::default()
    };
    let deleted = ask(&mut client, 6, &delete).await;
    assert_eq!(deleted.responses[0].error_code, ErrorCode::NONE);
    assert_eq!(
        fetch(&mut client, "g", old, 9).await,
        [nothing(), nothing()]
    );
    let refused = ask(&mut client, 10, &commit("g", old, 10, 6)).await;
    assert_eq!(
        refused.topics[0].partitions[0].error_code,
        ErrorCode::UNKNOWN_TOPIC_ID
    );
    let new = create_topic(&mut client).await;
    for (id, version) in [(old, 9), (new, 10)] {
        assert_eq!(
            fetch(&mut client, "g", id, version).await,
            [nothing(), nothing()]
        );
    }
    ask(&mut client, 10, &commit("g", new, 10, 7)).await;
    let all = OffsetFetchRequestGroup {
        group_id: "g".into(),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![all],
        ..OffsetFetchRequest::default()
    };
    let topics = ask(&mut client, 10, &request).await.groups.remove(0).topics;
    assert_eq!((topics.len(), topics[0].topic_id), (1, new));
    assert_eq!(topics[0].partitions[0].committed_offset, 7);
}

#[tokio::test]
async fn transaction_coordinators_are_refused_with_a_text() {
    let server = start().await;
    let mut client = server.connect().await;
    let request = FindCoordinatorRequest {
        key_type: KEY_TYPE_TRANSACTION,
        ..FindCoordinatorRequest::default()
    };
    let one = ask(
        &mut client,
        1,
        &FindCoordinatorRequest {
            key: "tx".into(),
            ..request.clone()
        },
    )
    .await;
    assert_eq!(
        (one.error_code, one.node_id),
        (ErrorCode::INVALID_REQUEST, -1)
    );
    assert!(
        one.error_message
            .is_some_and(|text| text.contains("transactions"))
    );
    let keys = vec!["tx".into()];
    let several = ask(
        &mut client,
        6,
        &FindCoordinatorRequest {
            coordinator_keys: keys,
            ..request
        },
    )
    .await;
    let found = &several.coordinators[0];
    assert_eq!(
        (found.error_code, found.port),
        (ErrorCode::INVALID_REQUEST, -1)
    );
    assert!(
        found
            .error_message
            .as_ref()
            .is_some_and(|text| text.contains("transactions"))
    );
}
