//! Groups and offsets deleted over the wire (DeleteGroups 42, OffsetDelete 47).

use bytes::Bytes;
use headrace_protocol::consumer_protocol::{ConsumerProtocolSubscription, encode_versioned};
use headrace_protocol::delete_groups::DeleteGroupsRequest;
use headrace_protocol::list_groups::ListGroupsRequest;
use headrace_protocol::offset_commit::OffsetCommitRequest;
use headrace_protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
};
use headrace_protocol::{ErrorCode, Message, Str};

use crate::groups::{
    TOPIC, ask, commit, create_topic, fetch, find_coordinator, join, leave, nothing, start, sync,
};
use crate::support::{Client, Server};

async fn delete(client: &mut Client, version: i16, groups: &[&str]) -> Vec<ErrorCode> {
    let request = DeleteGroupsRequest {
        groups_names: groups.iter().map(|group| (*group).into()).collect(),
    };
    let results = ask(client, version, &request).await.results;
    let named: Vec<_> = results.iter().map(|result| &*result.group_id).collect();
    assert_eq!(named, groups, "in the order asked");
    results.iter().map(|result| result.error_code).collect()
}

async fn delete_offsets(
    client: &mut Client,
    group: &str,
    topics: &[(&str, &[i32])],
) -> OffsetDeleteResponse {
    let partition = |number: &i32| OffsetDeleteRequestPartition {
        partition_index: *number,
    };
    let topic = |(name, partitions): &(&str, &[i32])| OffsetDeleteRequestTopic {
        name: (*name).into(),
        partitions: partitions.iter().map(partition).collect(),
    };
    let request = OffsetDeleteRequest {
        group_id: group.into(),
        topics: topics.iter().map(topic).collect(),
    };
    ask(client, 0, &request).await
}

fn codes(response: &OffsetDeleteResponse) -> Vec<(&str, i32, ErrorCode)> {
    assert_eq!(response.error_code, ErrorCode::NONE);
    let topics = response.topics.iter();
    let each = topics.flat_map(|topic| topic.partitions.iter().map(move |part| (topic, part)));
    each.map(|(topic, part)| (&*topic.name, part.partition_index, part.error_code))
        .collect()
}

/// A group of one member that reads `TOPIC`, stable in generation 1; the member's id.
async fn reader(client: &mut Client, server: &Server, group: &str) -> Str {
    find_coordinator(client, group, 6, server).await;
    let subscription = ConsumerProtocolSubscription {
        topics: vec![TOPIC.into()],
        ..ConsumerProtocolSubscription::default()
    };
    let metadata: Bytes = encode_versioned(&subscription, 3).unwrap();
    let mut request = join(group, &Str::default(), 9);
    request.protocols[0].metadata = metadata;
    request.member_id = ask(client, 9, &request).await.member_id;
    let me = ask(client, 9, &request).await;
    assert_eq!(me.error_code, ErrorCode::NONE);
    sync(client, group, &me, 5).await;
    me.member_id
}

/// trap 59
#[tokio::test]
async fn group_goes_with_its_offsets_once_its_members_have_left_and_stays_gone() {
    let server = start().await;
    let mut client = server.connect().await;
    let topic_id = create_topic(&mut client).await;
    for version in DeleteGroupsRequest::VERSIONS {
        let group = format!("g{version}");
        let member = reader(&mut client, &server, &group).await;
        let committed = OffsetCommitRequest {
            generation_id_or_member_epoch: 1,
            member_id: member.clone(),
            ..commit(&group, topic_id, 9, 42)
        };
        ask(&mut client, 9, &committed).await;
        let (not_empty, unknown) = (ErrorCode::NON_EMPTY_GROUP, ErrorCode::GROUP_ID_NOT_FOUND);
        let refused = delete(&mut client, version, &[&group, "unknown"]).await;
        assert_eq!(refused, [not_empty, unknown], "v{version}");
        leave(&mut client, &group, &member, 5).await;
        let deleted = delete(&mut client, version, &[&group, &group]).await;
        assert_eq!(deleted, [ErrorCode::NONE, unknown], "v{version}");
    }
    let server = server.crash().await;
    let mut client = server.connect().await;
    find_coordinator(&mut client, "g0", 6, &server).await;
    for version in DeleteGroupsRequest::VERSIONS {
        let group = format!("g{version}");
        find_coordinator(&mut client, &group, 6, &server).await;
        let found = fetch(&mut client, &group, topic_id, 9).await;
        assert_eq!(found, [nothing(), nothing()]);
    }
    let list = ask(&mut client, 5, &ListGroupsRequest::default()).await;
    assert_eq!(list.groups, []);
}

/// trap 59
#[tokio::test]
async fn offsets_are_deleted_one_by_one_but_not_of_a_topic_that_is_read() {
    let server = start().await;
    let mut client = server.connect().await;
    let topic_id = create_topic(&mut client).await;
    let member = reader(&mut client, &server, "g").await;
    let committed = OffsetCommitRequest {
        generation_id_or_member_epoch: 1,
        member_id: member.clone(),
        ..commit("g", topic_id, 9, 42)
    };
    ask(&mut client, 9, &committed).await;
    let asked: &[(&str, &[i32])] = &[("unknown", &[0]), (TOPIC, &[0, 7, 1])];
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let expected = |code| {
        [
            ("unknown", 0, unknown),
            (TOPIC, 0, code),
            (TOPIC, 7, unknown),
            (TOPIC, 1, code),
        ]
    };
    let response = delete_offsets(&mut client, "g", asked).await;
    let read = ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC;
    assert_eq!(codes(&response), expected(read));
    let kept = fetch(&mut client, "g", topic_id, 9).await;
    assert_eq!(kept, [(42, "note".to_owned()), nothing()]);

    leave(&mut client, "g", &member, 5).await;
    let response = delete_offsets(&mut client, "g", asked).await;
    assert_eq!(codes(&response), expected(ErrorCode::NONE));
    let server = server.crash().await;
    let mut client = server.connect().await;
    find_coordinator(&mut client, "g", 6, &server).await;
    let found = fetch(&mut client, "g", topic_id, 9).await;
    assert_eq!(found, [nothing(), nothing()]);
}

#[tokio::test]
async fn offsets_of_no_group_are_not_deleted() {
    let server = start().await;
    let mut client = server.connect().await;
    create_topic(&mut client).await;
    find_coordinator(&mut client, "unknown", 6, &server).await;
    for (group, code) in [
        ("unknown", ErrorCode::GROUP_ID_NOT_FOUND),
        ("", ErrorCode::INVALID_GROUP_ID),
    ] {
        let response = delete_offsets(&mut client, group, &[(TOPIC, &[0])]).await;
        assert_eq!((response.error_code, response.topics.len()), (code, 0));
    }
}
