//! ConsumerGroupHeartbeat (key 68): joining, staying in and leaving a group whose assignment the broker makes (KIP-848).
//!
//! One request does what JoinGroup, SyncGroup, Heartbeat and LeaveGroup do in the classic protocol: epoch 0 joins, -1
//! leaves, -2 is a static member that will be back. A field that is null (or a rebalance timeout of -1) has not changed
//! since the last request. From version 1 on the member makes its own id (KIP-1082).

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api ConsumerGroupHeartbeat [0..=1, flexible 0]: ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse;

    /// What one member wants and what it holds.
    pub struct ConsumerGroupHeartbeatRequest {
        group_id: Str [..];
        member_id: Str [..];
        member_epoch: i32 [..];
        instance_id: Option<Str> [..] = None;
        rack_id: Option<Str> [..] = None;
        /// How long the group waits for this member to give partitions up; -1 if it has not changed.
        rebalance_timeout_ms: i32 [..] = -1;
        subscribed_topic_names: Option<Vec<Str>> [..] = None;
        subscribed_topic_regex: Option<Str> [1..] = None;
        /// Which of the broker's assignors to use.
        server_assignor: Option<Str> [..] = None;
        /// The partitions that the member holds.
        topic_partitions: Option<Vec<TopicPartitions>> [..] = None;
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        topic_id: Uuid [..];
        partitions: Vec<i32> [..];
    }

    /// What the member shall hold from now on.
    pub struct ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32 [..];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..] = None;
        member_id: Option<Str> [..] = None;
        member_epoch: i32 [..];
        heartbeat_interval_ms: i32 [..];
        /// Null if it has not changed.
        assignment: Option<Assignment> [..] = None;
    }

    /// Partitions that can be used at once; all others are to be given up.
    pub struct Assignment {
        topic_partitions: Vec<TopicPartitions> [..];
    }
}
