//! ConsumerGroupDescribe (key 69): groups whose assignment the broker makes, with what their members hold and shall hold.

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::find_coordinator::GROUPS_AT_ONCE_MAX;
use crate::messages::messages;
use crate::metadata::OPERATIONS_NOT_ASKED;
use crate::text::Str;

/// Member type of one that speaks the classic protocol in such a group (KIP-1099).
pub const MEMBER_TYPE_CLASSIC: i8 = 0;

/// Member type of one that sends ConsumerGroupHeartbeat.
pub const MEMBER_TYPE_CONSUMER: i8 = 1;

messages! {
    api ConsumerGroupDescribe [0..=1, flexible 0]: ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse;

    /// Names of groups.
    pub struct ConsumerGroupDescribeRequest {
        group_ids: Vec<Str> [.., at_most GROUPS_AT_ONCE_MAX];
        include_authorized_operations: bool [..];
    }

    /// The groups.
    pub struct ConsumerGroupDescribeResponse {
        throttle_time_ms: i32 [..];
        groups: Vec<DescribedGroup> [..];
    }

    /// A group and its members.
    pub struct DescribedGroup {
        error_code: ErrorCode [..];
        error_message: Option<Str> [..] = None;
        group_id: Str [..];
        /// `Empty`, `Assigning`, `Reconciling`, `Stable` or `Dead`.
        group_state: Str [..];
        group_epoch: i32 [..];
        assignment_epoch: i32 [..];
        assignor_name: Str [..];
        members: Vec<Member> [..];
        authorized_operations: i32 [..] = OPERATIONS_NOT_ASKED;
    }

    /// A member of a group.
    pub struct Member {
        member_id: Str [..];
        instance_id: Option<Str> [..] = None;
        rack_id: Option<Str> [..] = None;
        member_epoch: i32 [..];
        client_id: Str [..];
        client_host: Str [..];
        subscribed_topic_names: Vec<Str> [..];
        subscribed_topic_regex: Option<Str> [..] = None;
        assignment: Assignment [..];
        target_assignment: Assignment [..];
        /// -1 if it is not told.
        member_type: i8 [1.., ignorable] = -1;
    }

    /// Partitions of a member.
    pub struct Assignment {
        topic_partitions: Vec<TopicPartitions> [..];
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        topic_id: Uuid [..];
        topic_name: Str [..];
        partitions: Vec<i32> [..];
    }
}
