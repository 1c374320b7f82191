//! Groups whose assignment the broker makes, over the wire (ConsumerGroupHeartbeat 68, ConsumerGroupDescribe 69; KIP-848).

use headrace_protocol::api_versions::ApiVersionsRequest;
use headrace_protocol::consumer_group_describe::{
    ConsumerGroupDescribeRequest, DescribedGroup, MEMBER_TYPE_CONSUMER,
};
use headrace_protocol::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use headrace_protocol::delete_groups::DeleteGroupsRequest;
use headrace_protocol::describe_groups::DescribeGroupsRequest;
use headrace_protocol::heartbeat::HeartbeatRequest;
use headrace_protocol::list_groups::ListGroupsRequest;
use headrace_protocol::offset_commit::OffsetCommitRequest;
use headrace_protocol::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use headrace_protocol::{ErrorCode, Str};
use uuid::Uuid;

use crate::groups::{TOPIC, ask, commit, create_topic, find_coordinator, join, joined, start};
use crate::requests::{create, topic};
use crate::support::{Client, Server};

const REBALANCE_MS: i32 = 30_000;

fn joining(group: &str, member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: member.into(),
        rebalance_timeout_ms: REBALANCE_MS,
        subscribed_topic_names: Some(vec![TOPIC.into()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

fn beat(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: member.into(),
        member_epoch: epoch,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

fn owning(
    group: &str,
    member: &str,
    epoch: i32,
    owned: (Uuid, &[i32]),
) -> ConsumerGroupHeartbeatRequest {
    let topic = TopicPartitions {
        topic_id: owned.0,
        partitions: owned.1.to_vec(),
    };
    ConsumerGroupHeartbeatRequest {
        topic_partitions: Some(vec![topic]),
        ..beat(group, member, epoch)
    }
}

/// The partitions of the first topic of an assignment; `None` if there is no assignment.
fn assigned(response: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    assert_eq!(
        response.error_code,
        ErrorCode::NONE,
        "{:?}",
        response.error_message
    );
    let assignment = response.assignment.as_ref()?;
    let first = assignment.topic_partitions.first();
    Some(
        first
            .map(|topic| topic.partitions.clone())
            .unwrap_or_default(),
    )
}

async fn good(
    client: &mut Client,
    request: &ConsumerGroupHeartbeatRequest,
) -> (i32, Option<Vec<i32>>) {
    let response = client.call(1, request).await;
    (response.member_epoch, assigned(&response))
}

async fn refused(
    client: &mut Client,
    request: &ConsumerGroupHeartbeatRequest,
) -> (ErrorCode, String) {
    let response = client.call(1, request).await;
    assert!(response.assignment.is_none());
    (
        response.error_code,
        response.error_message.expect("a reason").to_string(),
    )
}

async fn describe(client: &mut Client, group: &str) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.into()],
        include_authorized_operations: true,
    };
    client.call(1, &request).await.groups.remove(0)
}

async fn listed(client: &mut Client, kind: &str) -> Vec<(String, String, String)> {
    let request = ListGroupsRequest {
        types_filter: vec![kind.into()],
        ..ListGroupsRequest::default()
    };
    let groups = client.call(5, &request).await.groups;
    let row = |group: headrace_protocol::list_groups::ListedGroup| {
        (
            group.group_id.to_string(),
            group.group_state.to_string(),
            group.group_type.to_string(),
        )
    };
    groups.into_iter().map(row).collect()
}

fn row(group: &str, state: &str, kind: &str) -> (String, String, String) {
    (group.to_owned(), state.to_owned(), kind.to_owned())
}

async fn commit_codes(
    client: &mut Client,
    version: i16,
    group: &str,
    topic_id: Uuid,
    who: (&str, i32),
) -> ErrorCode {
    let request = OffsetCommitRequest {
        member_id: who.0.into(),
        generation_id_or_member_epoch: who.1,
        ..commit(group, topic_id, version, 42)
    };
    ask(client, version, &request).await.topics[0].partitions[0].error_code
}

async fn fetch_code(client: &mut Client, group: &str, who: Option<(&str, i32)>) -> ErrorCode {
    let group = OffsetFetchRequestGroup {
        group_id: group.into(),
        member_id: who.map(|who| who.0.into()),
        member_epoch: who.map_or(-1, |who| who.1),
        topics: None,
    };
    let request = OffsetFetchRequest {
        groups: vec![group],
        ..OffsetFetchRequest::default()
    };
    client.call(9, &request).await.groups[0].error_code
}

/// Trap 62.
#[tokio::test]
async fn a_member_lives_its_life_in_both_versions() {
    let server = start().await;
    let mut client = server.connect().await;
    let topic_id = create_topic(&mut client).await;
    for version in 0..=1 {
        let group = format!("g{version}");
        find_coordinator(&mut client, &group, 6, &server).await;
        let own = if version == 0 { "" } else { "me" };
        let me = client.call(version, &joining(&group, own)).await;
        assert_eq!(assigned(&me), Some(vec![0, 1]));
        assert_eq!((me.member_epoch, me.heartbeat_interval_ms), (1, 5000));
        let id = me.member_id.unwrap();
        assert!(!id.is_empty() && (version == 0 || id == "me"));
        let kept = client.call(version, &beat(&group, &id, 1)).await;
        assert_eq!(
            (kept.member_epoch, assigned(&kept)),
            (1, None),
            "null when unchanged"
        );
        assert_eq!(
            commit_codes(&mut client, 9, &group, topic_id, (&id, 1)).await,
            ErrorCode::NONE
        );
        let group_now = describe(&mut client, &group).await;
        assert_eq!(
            (&*group_now.group_state, group_now.group_epoch),
            ("Stable", 1)
        );
        assert_eq!(
            (group_now.assignment_epoch, &*group_now.assignor_name),
            (1, "uniform")
        );
        assert_ne!(group_now.authorized_operations, i32::MIN);
        let member = &group_now.members[0];
        assert_eq!((&member.member_id, member.member_epoch), (&id, 1));
        assert_eq!(
            (&*member.client_id, &*member.client_host),
            ("test", "/127.0.0.1")
        );
        assert_eq!(member.member_type, MEMBER_TYPE_CONSUMER);
        assert_eq!(member.subscribed_topic_names, [Str::from(TOPIC)]);
        for assignment in [&member.assignment, &member.target_assignment] {
            let topic = &assignment.topic_partitions[0];
            assert_eq!((topic.topic_id, &*topic.topic_name), (topic_id, TOPIC));
            assert_eq!(topic.partitions, [0, 1]);
        }
        let left = client.call(version, &beat(&group, &id, -1)).await;
        assert_eq!((left.error_code, left.member_epoch), (ErrorCode::NONE, -1));
        assert_eq!(&*describe(&mut client, &group).await.group_state, "Empty");
    }
    assert_eq!(
        listed(&mut client, "Consumer").await,
        [
            row("g0", "Empty", "consumer"),
            row("g1", "Empty", "consumer")
        ]
    );
    assert_eq!(listed(&mut client, "classic").await, []);
}

/// Trap 62.
#[tokio::test]
async fn a_partition_goes_to_a_newcomer_only_after_its_owner_let_it_go() {
    let server = start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, &server).await;
    assert_eq!(
        good(&mut client, &joining("g", "a")).await,
        (1, Some(vec![0, 1]))
    );
    assert_eq!(
        good(&mut client, &joining("g", "b")).await,
        (2, Some(vec![]))
    );
    assert_eq!(
        good(&mut client, &beat("g", "a", 1)).await,
        (1, Some(vec![0]))
    );
    assert_eq!(good(&mut client, &beat("g", "b", 2)).await, (2, None));
    assert_eq!(
        good(&mut client, &owning("g", "a", 1, (id, &[0, 1]))).await,
        (1, None)
    );
    assert_eq!(
        &*describe(&mut client, "g").await.group_state,
        "Reconciling"
    );
    assert_eq!(
        good(&mut client, &owning("g", "a", 1, (id, &[0]))).await,
        (2, None)
    );
    assert_eq!(
        good(&mut client, &beat("g", "b", 2)).await,
        (2, Some(vec![1]))
    );
    assert_eq!(&*describe(&mut client, "g").await.group_state, "Stable");
}

/// Trap 62.
#[tokio::test]
async fn requests_that_cannot_be_are_refused_with_a_reason() {
    let server = start().await;
    let mut client = server.connect().await;
    create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, &server).await;
    let invalid = |text: &str| (ErrorCode::INVALID_REQUEST, text.to_owned());
    let told = refused(&mut client, &joining("", "a")).await;
    assert_eq!(told, invalid("GroupId can't be empty."));
    let told = refused(&mut client, &joining("g", "")).await;
    assert_eq!(told, invalid("MemberId can't be empty."));
    let told = refused(&mut client, &beat("g", "a", 3)).await;
    assert_eq!(told.0, ErrorCode::GROUP_ID_NOT_FOUND);
    let odd = ConsumerGroupHeartbeatRequest {
        server_assignor: Some("sticky".into()),
        ..joining("g", "a")
    };
    assert_eq!(
        refused(&mut client, &odd).await.0,
        ErrorCode::UNSUPPORTED_ASSIGNOR
    );
    let odd = ConsumerGroupHeartbeatRequest {
        subscribed_topic_regex: Some("(".into()),
        ..joining("g", "a")
    };
    assert_eq!(
        refused(&mut client, &odd).await.0,
        ErrorCode::INVALID_REGULAR_EXPRESSION
    );
    good(&mut client, &joining("g", "a")).await;
    let told = refused(&mut client, &beat("g", "b", 1)).await;
    assert_eq!(told.0, ErrorCode::UNKNOWN_MEMBER_ID);
    let told = refused(&mut client, &beat("g", "a", 2)).await;
    assert_eq!(told.0, ErrorCode::FENCED_MEMBER_EPOCH);
    let named = |mut request: ConsumerGroupHeartbeatRequest| {
        request.instance_id = Some("i".into());
        request
    };
    good(&mut client, &named(joining("g", "s"))).await;
    let told = refused(&mut client, &named(joining("g", "t"))).await;
    assert_eq!(told.0, ErrorCode::UNRELEASED_INSTANCE_ID);
    let away = good(&mut client, &named(beat("g", "s", -2))).await;
    assert_eq!(away, (-2, None));
    good(&mut client, &named(joining("g", "t"))).await;
    let told = refused(&mut client, &named(beat("g", "s", 2))).await;
    assert_eq!(told.0, ErrorCode::FENCED_INSTANCE_ID);
}

/// Trap 56.
#[tokio::test]
async fn commits_and_fetches_with_a_stale_epoch_are_error_113() {
    let server = start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, &server).await;
    good(&mut client, &joining("g", "a")).await;
    for version in [9, 10] {
        let code = commit_codes(&mut client, version, "g", id, ("a", 1)).await;
        assert_eq!(code, ErrorCode::NONE);
        let code = commit_codes(&mut client, version, "g", id, ("a", 2)).await;
        assert_eq!(code, ErrorCode::STALE_MEMBER_EPOCH);
        let code = commit_codes(&mut client, version, "g", id, ("x", 1)).await;
        assert_eq!(code, ErrorCode::UNKNOWN_MEMBER_ID);
        let code = commit_codes(&mut client, version, "g", id, ("", -1)).await;
        assert_eq!(code, ErrorCode::UNKNOWN_MEMBER_ID, "the group has members");
        let code = commit_codes(&mut client, version, "unknown", id, ("a", 1)).await;
        assert_eq!(code, ErrorCode::GROUP_ID_NOT_FOUND);
    }
    let code = commit_codes(&mut client, 8, "g", id, ("a", 1)).await;
    assert_eq!(code, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(
        fetch_code(&mut client, "g", Some(("a", 1))).await,
        ErrorCode::NONE
    );
    assert_eq!(
        fetch_code(&mut client, "g", Some(("a", 2))).await,
        ErrorCode::STALE_MEMBER_EPOCH
    );
    assert_eq!(
        fetch_code(&mut client, "g", Some(("x", 1))).await,
        ErrorCode::UNKNOWN_MEMBER_ID
    );
}

/// Trap 63.
#[tokio::test]
async fn a_tool_reads_offsets_of_such_a_group_without_being_a_member() {
    let server = start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, &server).await;
    good(&mut client, &joining("g", "a")).await;
    commit_codes(&mut client, 9, "g", id, ("a", 1)).await;
    assert_eq!(fetch_code(&mut client, "g", None).await, ErrorCode::NONE);
    let read = crate::groups::fetch(&mut client, "g", id, 7).await;
    assert_eq!(read[0].0, 42);
}

/// Trap 63.
#[tokio::test]
async fn an_empty_group_becomes_what_its_next_member_speaks_and_keeps_its_offsets() {
    let server = start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, &server).await;
    let classic = joined(&mut client, "g", 9).await;
    let told = refused(&mut client, &joining("g", "a")).await;
    assert_eq!(
        told.0,
        ErrorCode::GROUP_ID_NOT_FOUND,
        "what Kafka says without online migration"
    );
    assert_eq!(
        told.1,
        "Cannot upgrade classic group g to consumer group because online upgrade is disabled."
    );
    crate::groups::leave(&mut client, "g", &classic.member_id, 5).await;
    commit_codes(&mut client, 9, "g", id, ("", -1)).await;
    assert_eq!(
        good(&mut client, &joining("g", "a")).await,
        (1, Some(vec![0, 1]))
    );
    assert_eq!(
        listed(&mut client, "consumer").await,
        [row("g", "Stable", "consumer")]
    );
    let response = ask(&mut client, 9, &join("g", &Str::default(), 9)).await;
    assert_eq!(response.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let classic_beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: "a".into(),
        ..HeartbeatRequest::default()
    };
    let response = ask(&mut client, 4, &classic_beat).await;
    assert_eq!(response.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    let server = server.crash().await;
    let mut client = server.connect().await;
    find_coordinator(&mut client, "g", 6, &server).await;
    assert_eq!(good(&mut client, &beat("g", "a", 1)).await, (1, None));
    good(&mut client, &beat("g", "a", -1)).await;
    let again = joined(&mut client, "g", 9).await;
    assert_eq!(again.error_code, ErrorCode::NONE);
    assert_eq!(listed(&mut client, "classic").await.len(), 1);
    // An answered sync is durable, and so is what was written before it.
    crate::groups::sync(&mut client, "g", &again, 5).await;
    assert_eq!(crate::groups::fetch(&mut client, "g", id, 8).await[0].0, 42);
    crate::groups::leave(&mut client, "g", &again.member_id, 5).await;
    let server = server.crash().await;
    let mut client = server.connect().await;
    find_coordinator(&mut client, "g", 6, &server).await;
    assert_eq!(listed(&mut client, "consumer").await, []);
    assert_eq!(crate::groups::fetch(&mut client, "g", id, 8).await[0].0, 42);
}

/// Trap 67.
#[tokio::test]
async fn members_epochs_and_assignments_survive_a_power_cut() {
    let server = start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, &server).await;
    good(&mut client, &joining("g", "a")).await;
    good(&mut client, &joining("g", "b")).await;
    good(&mut client, &beat("g", "a", 1)).await;
    commit_codes(&mut client, 9, "g", id, ("a", 1)).await;
    let before = describe(&mut client, "g").await;
    let server = server.crash().await;
    let mut client = server.connect().await;
    find_coordinator(&mut client, "g", 6, &server).await;
    assert_eq!(describe(&mut client, "g").await, before);
    assert_eq!(
        good(&mut client, &owning("g", "a", 1, (id, &[0, 1]))).await,
        (1, None)
    );
    assert_eq!(
        good(&mut client, &owning("g", "a", 1, (id, &[0]))).await,
        (2, None)
    );
    let server = server.kill().await;
    let mut client = server.connect().await;
    find_coordinator(&mut client, "g", 6, &server).await;
    assert_eq!(
        good(&mut client, &beat("g", "b", 2)).await,
        (2, Some(vec![1]))
    );
    assert_eq!(crate::groups::fetch(&mut client, "g", id, 8).await[0].0, 42);
}

#[tokio::test]
async fn a_silent_member_is_dropped_after_the_session_that_the_broker_chose() {
    let server = Server::start_with(|config| {
        config.group_consumer_min_heartbeat_interval_ms = 50;
        config.group_consumer_heartbeat_interval_ms = 50;
        config.group_consumer_min_session_timeout_ms = 300;
        config.group_consumer_session_timeout_ms = 300;
    })
    .await;
    let mut client = server.connect().await;
    create_topic(&mut client).await;
    find_coordinator(&mut client, "g", 6, &server).await;
    let me = client.call(1, &joining("g", "a")).await;
    assert_eq!(me.heartbeat_interval_ms, 50);
    // No waiting for a fixed time: the state is asked for until it is so, however slow the machine is.
    while &*describe(&mut client, "g").await.group_state != "Empty" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let told = refused(&mut client, &beat("g", "a", 1)).await;
    assert_eq!(told.0, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[tokio::test]
async fn new_topics_come_to_members_by_name_and_by_pattern() {
    let server = start().await;
    let mut client = server.connect().await;
    find_coordinator(&mut client, "g", 6, &server).await;
    assert_eq!(
        good(&mut client, &joining("g", "a")).await,
        (1, Some(vec![]))
    );
    let by_pattern = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("orders\\..*".into()),
        ..joining("h", "b")
    };
    find_coordinator(&mut client, "h", 6, &server).await;
    assert_eq!(good(&mut client, &by_pattern).await, (1, Some(vec![])));
    create(
        &mut client,
        vec![topic(TOPIC, 2, &[]), topic("orders.eu", 3, &[])],
    )
    .await;
    assert_eq!(
        good(&mut client, &beat("g", "a", 1)).await,
        (2, Some(vec![0, 1]))
    );
    // Patterns are matched anew at most once a second.
    let told = loop {
        let told = good(&mut client, &beat("h", "b", 1)).await;
        if told.0 == 2 {
            break told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(told, (2, Some(vec![0, 1, 2])));
    let group = describe(&mut client, "h").await;
    assert_eq!(
        group.members[0].subscribed_topic_regex.as_deref(),
        Some("orders\\..*")
    );
}

#[tokio::test]
async fn both_kinds_are_described_and_deleted_each_by_its_own_rules() {
    let server = start().await;
    let mut client = server.connect().await;
    create_topic(&mut client).await;
    for group in ["newer", "classic"] {
        find_coordinator(&mut client, group, 6, &server).await;
    }
    good(&mut client, &joining("newer", "a")).await;
    joined(&mut client, "classic", 9).await;
    let told = describe(&mut client, "classic").await;
    assert_eq!(told.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(
        told.error_message.as_deref(),
        Some("Group classic is not a consumer group.")
    );
    let told = describe(&mut client, "none").await;
    assert_eq!(told.error_message.as_deref(), Some("Group none not found."));
    for version in 0..=6 {
        let request = DescribeGroupsRequest {
            groups: vec!["newer".into()],
            ..DescribeGroupsRequest::default()
        };
        let told = client.call(version, &request).await.groups.remove(0);
        assert_eq!(&*told.group_state, "Dead");
        if version == 6 {
            assert_eq!(told.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
            assert_eq!(
                told.error_message.as_deref(),
                Some("Group newer is not a classic group.")
            );
        }
    }
    let delete = DeleteGroupsRequest {
        groups_names: vec!["newer".into()],
    };
    let told = client.call(2, &delete).await.results.remove(0);
    assert_eq!(told.error_code, ErrorCode::NON_EMPTY_GROUP);
    good(&mut client, &beat("newer", "a", -1)).await;
    let told = client.call(2, &delete).await.results.remove(0);
    assert_eq!(told.error_code, ErrorCode::NONE);
    assert_eq!(listed(&mut client, "consumer").await, []);
    let server = server.crash().await;
    let mut client = server.connect().await;
    find_coordinator(&mut client, "newer", 6, &server).await;
    assert_eq!(listed(&mut client, "consumer").await, []);
}

/// Trap 5.
#[tokio::test]
async fn the_feature_is_advertised_and_version_3_does_not_name_a_minimum_of_0() {
    let server = start().await;
    let mut client = server.connect().await;
    for version in 3..=4 {
        let request = ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
        };
        let told = client.call(version, &request).await;
        let finalized = &told.finalized_features[0];
        assert_eq!(&*finalized.name, "group.version");
        assert_eq!(
            (finalized.min_version_level, finalized.max_version_level),
            (1, 1)
        );
        assert!(told.finalized_features_epoch >= 0);
        let supported: Vec<_> = told
            .supported_features
            .iter()
            .map(|feature| (&*feature.name, feature.min_version, feature.max_version))
            .collect();
        if version == 3 {
            assert_eq!(supported, []);
        } else {
            assert_eq!(supported, [("group.version", 0, 1)]);
        }
    }
}
