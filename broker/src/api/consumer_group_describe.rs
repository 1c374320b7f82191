//! ConsumerGroupDescribe (key 69): groups whose assignment the broker makes, with what each member holds and shall hold.
//!
//! A group that does not exist, or is a classic one, is GROUP_ID_NOT_FOUND: clients then ask DescribeGroups.

use headrace_protocol::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    MEMBER_TYPE_CONSUMER, Member, TopicPartitions,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use super::group::{ALL_OPERATIONS, kept, text};
use crate::coordinator::Coordinator;
use crate::coordinator::group::consumer::partitions::Partitions;
use crate::coordinator::group::consumer::view::{ConsumerDescription, ConsumerMemberDescription};
use crate::coordinator::log::TopicSource;

pub(super) async fn handle(
    call: Call,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    answer(request, &call.node.coordinator).await
}

/// Answers the request.
pub(super) async fn answer(
    request: ConsumerGroupDescribeRequest,
    coordinator: &Coordinator,
) -> ConsumerGroupDescribeResponse {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group_id in request.group_ids {
        let mut group = describe(group_id, coordinator).await;
        if request.include_authorized_operations && group.error_code == ErrorCode::NONE {
            group.authorized_operations = ALL_OPERATIONS;
        }
        groups.push(group);
    }
    ConsumerGroupDescribeResponse {
        groups,
        ..ConsumerGroupDescribeResponse::default()
    }
}

async fn describe(group_id: Str, coordinator: &Coordinator) -> DescribedGroup {
    let refused = |error_code, text: String| DescribedGroup {
        group_id: group_id.clone(),
        error_code,
        error_message: Some(Str::from(text)),
        ..DescribedGroup::default()
    };
    if group_id.is_empty() {
        return refused(
            ErrorCode::INVALID_GROUP_ID,
            "the group id is empty".to_owned(),
        );
    }
    let group = kept(&group_id);
    match coordinator.describe_consumer(group.clone()).await {
        Ok(Some(description)) => described(group_id, description, coordinator.topics()),
        Ok(None) => {
            let classic = coordinator.describe(group).await;
            let text = if matches!(classic, Ok(Some(_))) {
                format!("Group {} is not a consumer group.", group_id.as_str())
            } else {
                format!("Group {} not found.", group_id.as_str())
            };
            refused(ErrorCode::GROUP_ID_NOT_FOUND, text)
        }
        Err(error) => refused(error.code(), error.to_string()),
    }
}

fn described(
    group_id: Str,
    description: ConsumerDescription,
    topics: &dyn TopicSource,
) -> DescribedGroup {
    let members = description
        .members
        .into_iter()
        .map(|of| member(&of, topics));
    DescribedGroup {
        group_id,
        group_state: Str::from_static(description.standing.name()),
        group_epoch: description.epoch.0,
        assignment_epoch: description.assignment_epoch.0,
        assignor_name: Str::from_static(description.assignor.name()),
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

fn member(member: &ConsumerMemberDescription, topics: &dyn TopicSource) -> Member {
    let wishes = &member.wishes;
    Member {
        member_id: text(&member.id),
        instance_id: wishes.instance_id.as_ref().map(text),
        rack_id: wishes.rack_id.as_ref().map(text),
        member_epoch: member.epoch.0,
        client_id: text(&wishes.client_id),
        client_host: text(&wishes.client_host),
        subscribed_topic_names: wishes.topics.iter().map(text).collect(),
        subscribed_topic_regex: wishes.pattern.as_ref().map(text),
        assignment: assignment(&member.assigned, topics),
        target_assignment: assignment(&member.target, topics),
        member_type: MEMBER_TYPE_CONSUMER,
    }
}

/// The partitions by topic; those of topics that are gone have no name to be shown by.
fn assignment(partitions: &Partitions, topics: &dyn TopicSource) -> Assignment {
    let named = partitions.topics().filter_map(|(topic_id, numbers)| {
        let facts = topics.by_id(topic_id)?;
        Some(TopicPartitions {
            topic_id,
            topic_name: text(&facts.name),
            partitions: numbers.iter().copied().collect(),
        })
    });
    Assignment {
        topic_partitions: named.collect(),
    }
}
