//! What the group APIs answer where naive brokers answer something else; checked against Kafka 4.3.1.

use bytes::Bytes;
use headrace_protocol::delete_groups::DeleteGroupsRequest;
use headrace_protocol::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use headrace_protocol::find_coordinator::FindCoordinatorRequest;
use headrace_protocol::heartbeat::HeartbeatRequest;
use headrace_protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use headrace_protocol::leave_group::{LeaveGroupRequest, MemberIdentity};
use headrace_protocol::list_groups::{ListGroupsRequest, ListedGroup};
use headrace_protocol::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition};
use headrace_protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use headrace_protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use headrace_protocol::{ErrorCode, Message, Str};

use crate::groups::{
    TOPIC, ask, commit, create_topic, find_coordinator, join, joined, start, sync,
};
use crate::support::{Client, Server};

/// A broker whose groups can be asked, with a topic of two partitions.
async fn ready() -> (Server, Client, uuid::Uuid) {
    let server = start().await;
    let mut client = server.connect().await;
    let topic_id = create_topic(&mut client).await;
    for group in ["g", "simple", "unknown", ""] {
        find_coordinator(&mut client, group, 6, &server).await;
    }
    (server, client, topic_id)
}

async fn describe(client: &mut Client, group: &str) -> DescribedGroup {
    let request = DescribeGroupsRequest {
        groups: vec![group.into()],
        ..DescribeGroupsRequest::default()
    };
    ask(client, 6, &request).await.groups.remove(0)
}

async fn list(client: &mut Client, states: &[&str], types: &[&str]) -> Vec<ListedGroup> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
    let request = ListGroupsRequest {
        states_filter: texts(states),
        types_filter: texts(types),
    };
    let response = ask(client, 5, &request).await;
    assert_eq!(response.error_code, ErrorCode::NONE);
    response.groups
}

fn commit_codes(
    response: &headrace_protocol::offset_commit::OffsetCommitResponse,
) -> Vec<ErrorCode> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

/// trap 40
#[tokio::test]
async fn unknown_group_topic_and_partition_have_no_offset_and_no_error() {
    let (_server, mut client, _) = ready().await;
    for version in 1..=7 {
        let topic = |name: &str, partitions: &[i32]| OffsetFetchRequestTopic {
            name: name.into(),
            partition_indexes: partitions.to_vec(),
        };
        let request = OffsetFetchRequest {
            group_id: "unknown".into(),
            topics: Some(vec![topic(TOPIC, &[0, 99]), topic("nowhere", &[0])]),
            ..OffsetFetchRequest::default()
        };
        let response = ask(&mut client, version, &request).await;
        assert_eq!(response.error_code, ErrorCode::NONE, "v{version}");
        let found: Vec<_> = response
            .topics
            .iter()
            .flat_map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(move |part| (&*topic.name, part))
            })
            .map(|(topic, part)| {
                assert_eq!(part.error_code, ErrorCode::NONE, "v{version}");
                let place = (topic, part.partition_index);
                (place, part.committed_offset, part.metadata.as_deref())
            })
            .collect();
        let none = |topic, partition| ((topic, partition), -1, Some(""));
        let expected = [none(TOPIC, 0), none(TOPIC, 99), none("nowhere", 0)];
        assert_eq!(found, expected, "v{version}");
    }
}

/// trap 41
#[tokio::test]
async fn several_groups_are_fetched_at_once_and_null_topics_are_all() {
    let (_server, mut client, topic_id) = ready().await;
    ask(&mut client, 9, &commit("g", topic_id, 9, 5)).await;
    ask(&mut client, 9, &commit("simple", topic_id, 9, 6)).await;
    for version in 8..=10 {
        let group =
            |name: &str, topics: Option<Vec<OffsetFetchRequestTopics>>| OffsetFetchRequestGroup {
                group_id: name.into(),
                topics,
                ..OffsetFetchRequestGroup::default()
            };
        let request = OffsetFetchRequest {
            groups: vec![
                group("g", None),
                group("unknown", None),
                group("simple", Some(Vec::new())),
                group("simple", None),
            ],
            // stable offsets are all there are without transactions
            require_stable: true,
            ..OffsetFetchRequest::default()
        };
        let groups = ask(&mut client, version, &request).await.groups;
        let found: Vec<_> = groups
            .iter()
            .map(|group| {
                assert_eq!(group.error_code, ErrorCode::NONE);
                let parts = group.topics.iter().flat_map(|topic| &topic.partitions);
                let offsets: Vec<_> = parts.map(|part| part.committed_offset).collect();
                (&*group.group_id, offsets)
            })
            .collect();
        let expected = [
            ("g", vec![5]),
            ("unknown", vec![]),
            ("simple", vec![]),
            ("simple", vec![6]),
        ];
        assert_eq!(found, expected, "v{version}");
    }
    // null topics of the versions with one group
    let all = OffsetFetchRequest {
        group_id: "g".into(),
        topics: None,
        ..OffsetFetchRequest::default()
    };
    for version in 2..=7 {
        let topics = ask(&mut client, version, &all).await.topics;
        assert_eq!(topics[0].partitions[0].committed_offset, 5, "v{version}");
    }
}

/// trap 50
#[tokio::test]
async fn old_clients_and_static_members_join_at_once_and_others_are_told_their_id_first() {
    let (_server, mut client, _) = ready().await;
    for version in JoinGroupRequest::VERSIONS {
        let group = format!("g{version}");
        let answer = ask(
            &mut client,
            version,
            &join(&group, &Str::default(), version),
        )
        .await;
        let expected = if version < 4 {
            ErrorCode::NONE
        } else {
            ErrorCode::MEMBER_ID_REQUIRED
        };
        assert_eq!(answer.error_code, expected, "v{version}");
        assert!(answer.member_id.starts_with("test-"), "v{version}");
        if version >= 5 {
            let group = format!("s{version}");
            let request = JoinGroupRequest {
                group_instance_id: Some("instance".into()),
                ..join(&group, &Str::default(), version)
            };
            let answer = ask(&mut client, version, &request).await;
            assert_eq!(answer.error_code, ErrorCode::NONE, "v{version}");
            assert!(answer.member_id.starts_with("instance-"), "v{version}");
            let instance = answer.members[0].group_instance_id.as_deref();
            assert_eq!(instance, Some("instance"));
        }
    }
}

/// traps 51 and 52
#[tokio::test]
async fn joins_out_of_bounds_are_refused_with_kafkas_codes() {
    let (_server, mut client, _) = ready().await;
    let good = join("g", &Str::default(), 3);
    let wrong: [(&str, JoinGroupRequest, ErrorCode); 6] = [
        (
            "session too short",
            JoinGroupRequest {
                session_timeout_ms: 5_999,
                ..good.clone()
            },
            ErrorCode::INVALID_SESSION_TIMEOUT,
        ),
        (
            "session too long",
            JoinGroupRequest {
                session_timeout_ms: 1_800_001,
                ..good.clone()
            },
            ErrorCode::INVALID_SESSION_TIMEOUT,
        ),
        (
            "no protocol type",
            JoinGroupRequest {
                protocol_type: Str::default(),
                ..good.clone()
            },
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ),
        (
            "no protocols",
            JoinGroupRequest {
                protocols: Vec::new(),
                ..good.clone()
            },
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ),
        (
            "a member nobody knows",
            JoinGroupRequest {
                member_id: "ghost".into(),
                ..good.clone()
            },
            ErrorCode::UNKNOWN_MEMBER_ID,
        ),
        (
            "no group",
            JoinGroupRequest {
                group_id: Str::default(),
                ..good.clone()
            },
            ErrorCode::INVALID_GROUP_ID,
        ),
    ];
    for (what, request, code) in wrong {
        let answer = ask(&mut client, 3, &request).await;
        assert_eq!(answer.error_code, code, "{what}");
        assert_eq!((answer.generation_id, answer.members.len()), (-1, 0));
    }
    assert_eq!(
        list(&mut client, &[], &[]).await,
        [],
        "no group is left of them"
    );
}

/// trap 53
#[tokio::test]
async fn members_of_no_group_are_unknown_and_no_name_is_no_group() {
    let (_server, mut client, topic_id) = ready().await;
    let (unknown, invalid) = (ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::INVALID_GROUP_ID);
    for (group, code) in [("unknown", unknown), ("", invalid)] {
        let beat = HeartbeatRequest {
            group_id: group.into(),
            generation_id: 1,
            member_id: "x".into(),
            ..HeartbeatRequest::default()
        };
        assert_eq!(ask(&mut client, 4, &beat).await.error_code, code);
        let sync = SyncGroupRequest {
            group_id: group.into(),
            generation_id: 1,
            member_id: "x".into(),
            ..SyncGroupRequest::default()
        };
        assert_eq!(ask(&mut client, 4, &sync).await.error_code, code);
        let leave = LeaveGroupRequest {
            group_id: group.into(),
            member_id: "x".into(),
            ..LeaveGroupRequest::default()
        };
        assert_eq!(ask(&mut client, 2, &leave).await.error_code, code);
    }
    let leave = LeaveGroupRequest {
        group_id: "unknown".into(),
        members: vec![MemberIdentity {
            member_id: "x".into(),
            group_instance_id: None,
            reason: None,
        }],
        ..LeaveGroupRequest::default()
    };
    let answer = ask(&mut client, 5, &leave).await;
    assert_eq!(
        answer.error_code,
        ErrorCode::NONE,
        "the error is the member's"
    );
    assert_eq!(answer.members[0].error_code, unknown);
    let fenced = OffsetCommitRequest {
        generation_id_or_member_epoch: 5,
        member_id: "x".into(),
        ..commit("unknown", topic_id, 9, 1)
    };
    let codes = commit_codes(&ask(&mut client, 8, &fenced).await);
    assert_eq!(codes[0], ErrorCode::ILLEGAL_GENERATION);
}

/// trap 56
#[tokio::test]
async fn commits_without_a_generation_are_for_groups_without_members() {
    let (_server, mut client, topic_id) = ready().await;
    let simple = |group: &str| {
        let mut request = commit(group, topic_id, 9, 5);
        request.topics[0].partitions.truncate(1);
        request
    };
    for group in ["simple", ""] {
        let codes = commit_codes(&ask(&mut client, 9, &simple(group)).await);
        assert_eq!(codes, [ErrorCode::NONE], "group '{group}'");
    }
    let me = joined(&mut client, "g", 9).await;
    sync(&mut client, "g", &me, 5).await;
    let codes = commit_codes(&ask(&mut client, 9, &simple("g")).await);
    assert_eq!(codes, [ErrorCode::UNKNOWN_MEMBER_ID]);
    let named = OffsetCommitRequest {
        member_id: me.member_id.clone(),
        ..simple("g")
    };
    let codes = commit_codes(&ask(&mut client, 9, &named).await);
    assert_eq!(codes, [ErrorCode::ILLEGAL_GENERATION]);

    let mut texts = simple("simple");
    let text = |length: usize, partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 7,
        committed_metadata: Some("x".repeat(length).into()),
        ..OffsetCommitRequestPartition::default()
    };
    texts.topics[0].partitions = vec![text(4_097, 0), text(4_096, 1)];
    let codes = commit_codes(&ask(&mut client, 9, &texts).await);
    let too_large = ErrorCode::OFFSET_METADATA_TOO_LARGE;
    assert_eq!(codes, [too_large, ErrorCode::NONE]);
}

/// trap 58
#[tokio::test]
async fn coordinator_that_is_named_can_be_asked_at_once() {
    let server = start().await;
    let mut client = server.connect().await;
    let keys: Vec<Str> = (0..40).map(|n| format!("group-{n}").into()).collect();
    let request = FindCoordinatorRequest {
        coordinator_keys: keys.clone(),
        ..FindCoordinatorRequest::default()
    };
    for _ in 0..2 {
        let found = ask(&mut client, 6, &request).await.coordinators;
        for (key, found) in keys.iter().zip(found) {
            assert_eq!((&found.key, found.error_code), (key, ErrorCode::NONE));
            let beat = HeartbeatRequest {
                group_id: key.clone(),
                member_id: "x".into(),
                ..HeartbeatRequest::default()
            };
            let code = ask(&mut client, 4, &beat).await.error_code;
            assert_eq!(code, ErrorCode::UNKNOWN_MEMBER_ID, "neither 14, 15 nor 16");
        }
    }
    // a name that no group may have has a coordinator all the same, and a wrong kind of key has none
    let nameless = FindCoordinatorRequest {
        coordinator_keys: vec![Str::default()],
        ..FindCoordinatorRequest::default()
    };
    let found = ask(&mut client, 4, &nameless).await.coordinators.remove(0);
    assert_eq!(found.error_code, ErrorCode::NONE);
    let wrong = FindCoordinatorRequest {
        key_type: 7,
        ..nameless
    };
    let found = ask(&mut client, 4, &wrong).await.coordinators.remove(0);
    assert_eq!(found.error_code, ErrorCode::INVALID_REQUEST);
    assert_eq!((found.node_id, &*found.host, found.port), (-1, "", -1));
    let none = FindCoordinatorRequest::default();
    assert_eq!(ask(&mut client, 4, &none).await.coordinators, []);
}

/// trap 59
#[tokio::test]
async fn states_of_a_group_are_spelt_as_kafka_spells_them() {
    let (server, mut client, _) = ready().await;
    let missing = describe(&mut client, "g").await;
    let not_found = ErrorCode::GROUP_ID_NOT_FOUND;
    assert_eq!(
        (missing.error_code, &*missing.group_state),
        (not_found, "Dead")
    );
    let text = missing.error_message.as_deref();
    assert_eq!(text, Some("Group g not found."));
    let me = joined(&mut client, "g", 9).await;
    let group = describe(&mut client, "g").await;
    assert_eq!(&*group.group_state, "CompletingRebalance");
    assert_eq!((&*group.protocol_data, group.members.len()), ("", 1));
    assert_eq!(group.members[0].member_metadata, Bytes::new());
    sync(&mut client, "g", &me, 5).await;
    assert_eq!(&*describe(&mut client, "g").await.group_state, "Stable");
    let mut other = server.connect().await;
    let id = ask(&mut other, 9, &join("g", &Str::default(), 9)).await;
    other.send(9, &join("g", &id.member_id, 9)).await;
    loop {
        let group = describe(&mut client, "g").await;
        if &*group.group_state == "PreparingRebalance" {
            assert_eq!((&*group.protocol_data, group.members.len()), ("", 2));
            break;
        }
        assert_eq!(&*group.group_state, "Stable");
        tokio::task::yield_now().await;
    }
    let leave = |member: &Str| MemberIdentity {
        member_id: member.clone(),
        group_instance_id: None,
        reason: Some("done".into()),
    };
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![leave(&me.member_id), leave(&id.member_id)],
        ..LeaveGroupRequest::default()
    };
    ask(&mut client, 5, &request).await;
    let group = describe(&mut client, "g").await;
    assert_eq!(
        (&*group.group_state, &*group.protocol_type),
        ("Empty", "consumer")
    );
}

/// trap 69
#[tokio::test]
async fn lists_are_filtered_without_regard_to_case_and_simple_groups_have_no_type() {
    let (_server, mut client, topic_id) = ready().await;
    ask(&mut client, 9, &commit("simple", topic_id, 9, 5)).await;
    let me = joined(&mut client, "g", 9).await;
    sync(&mut client, "g", &me, 5).await;
    // an id that was given away makes a group, as in Kafka
    ask(&mut client, 9, &join("waiting", &Str::default(), 9)).await;
    let facts = |groups: &[ListedGroup]| -> Vec<[String; 4]> {
        let texts = |group: &ListedGroup| {
            [
                group.group_id.to_string(),
                group.protocol_type.to_string(),
                group.group_state.to_string(),
                group.group_type.to_string(),
            ]
        };
        groups.iter().map(texts).collect()
    };
    let line =
        |id: &str, protocol: &str, state: &str| [id, protocol, state, "classic"].map(str::to_owned);
    let (g, simple) = (line("g", "consumer", "Stable"), line("simple", "", "Empty"));
    let waiting = line("waiting", "", "Empty");
    let all = list(&mut client, &[], &[]).await;
    assert_eq!(facts(&all), [g.clone(), simple.clone(), waiting.clone()]);
    let stable = list(&mut client, &["sTABLE"], &["CLASSIC"]).await;
    assert_eq!(facts(&stable), std::slice::from_ref(&g));
    let both = list(&mut client, &["EMPTY", "stable", "nonsense"], &[]).await;
    assert_eq!(facts(&both), [g, simple, waiting]);
    assert_eq!(list(&mut client, &["nonsense"], &[]).await, []);
    assert_eq!(list(&mut client, &[], &["nonsense"]).await, []);
    let delete = DeleteGroupsRequest {
        groups_names: vec!["waiting".into()],
    };
    let deleted = ask(&mut client, 2, &delete).await.results.remove(0);
    assert_eq!(deleted.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn requests_that_no_group_would_take_are_refused_and_the_next_is_served() {
    let (_server, mut client, topic_id) = ready().await;
    let offered = |name: &str, bytes: usize| JoinGroupRequestProtocol {
        name: name.into(),
        metadata: Bytes::from(vec![0; bytes]),
    };
    let heavy = JoinGroupRequest {
        protocols: vec![offered("range", 90 << 20)],
        ..join("g", &Str::default(), 3)
    };
    let code = ask(&mut client, 3, &heavy).await.error_code;
    assert_eq!(code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    let many = JoinGroupRequest {
        // names of some length: what is mostly lengths is refused by the decoder, which closes the connection
        protocols: vec![offered(&"r".repeat(60), 0); 100_000],
        ..join("g", &Str::default(), 9)
    };
    let code = ask(&mut client, 9, &many).await.error_code;
    assert_eq!(code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);

    let me = joined(&mut client, "g", 9).await;
    let part = SyncGroupRequestAssignment {
        member_id: me.member_id.clone(),
        assignment: Bytes::from(vec![0; 7 << 20]),
    };
    let heavy = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: me.generation_id,
        member_id: me.member_id.clone(),
        assignments: vec![part],
        ..SyncGroupRequest::default()
    };
    let code = ask(&mut client, 4, &heavy).await.error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_SERVER_ERROR);
    let nobody = MemberIdentity {
        member_id: "x".repeat(60).into(),
        group_instance_id: None,
        reason: None,
    };
    let many = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![nobody; 200_000],
        ..LeaveGroupRequest::default()
    };
    let code = ask(&mut client, 5, &many).await.error_code;
    assert_eq!(code, ErrorCode::INVALID_REQUEST);
    let mut many = commit("simple", topic_id, 9, 1);
    let place = many.topics[0].partitions[0].clone();
    many.topics[0].partitions = vec![place; 300_000];
    let codes = commit_codes(&ask(&mut client, 9, &many).await);
    let too_large = ErrorCode::INVALID_COMMIT_OFFSET_SIZE;
    assert!(codes.len() == 300_000 && codes.iter().all(|code| *code == too_large));
    // partitions that do not exist make no offsets
    let mut invented = commit("simple", topic_id, 9, 1);
    let place = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        ..invented.topics[0].partitions[0].clone()
    };
    invented.topics[0].partitions = (2..10_000).map(place).collect();
    let codes = commit_codes(&ask(&mut client, 9, &invented).await);
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert!(codes.len() == 9_998 && codes.iter().all(|code| *code == unknown));
    sync(&mut client, "g", &me, 5).await;
    assert_eq!(list(&mut client, &[], &[]).await.len(), 1);
}

#[tokio::test]
async fn requests_about_more_groups_or_partitions_than_there_are_get_no_answer_of_gigabytes() {
    let (server, mut client, _) = ready().await;
    let many = DescribeGroupsRequest {
        groups: vec!["a group of no account".into(); 250_000],
        ..DescribeGroupsRequest::default()
    };
    client.send(6, &many).await;
    assert_eq!(client.receive_raw().await, None, "closed as malformed");
    let mut client = server.connect().await;
    let topic = OffsetFetchRequestTopics {
        name: TOPIC.into(),
        partition_indexes: vec![0; 1_100_000],
        ..OffsetFetchRequestTopics::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: "g".into(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![group],
        ..OffsetFetchRequest::default()
    };
    let answer = ask(&mut client, 9, &request).await.groups.remove(0);
    let invalid = ErrorCode::INVALID_REQUEST;
    assert_eq!((answer.error_code, answer.topics.len()), (invalid, 0));
    assert_eq!(
        describe(&mut client, "g").await.error_code,
        ErrorCode::GROUP_ID_NOT_FOUND
    );
}
