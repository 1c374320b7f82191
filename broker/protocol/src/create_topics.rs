//! CreateTopics (key 19): creates topics, or checks that it could.
//!
//! Connect reads the configs of the response and refuses a config source of -1, so the default here is 5.

use uuid::Uuid;

use crate::describe_configs::SOURCE_DEFAULT;
use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api CreateTopics [2..=7, flexible 5]: CreateTopicsRequest => CreateTopicsResponse;

    /// The topics to create.
    pub struct CreateTopicsRequest {
        topics: Vec<CreatableTopic> [..];
        timeout_ms: i32 [..] = 60_000;
        /// Check only.
        validate_only: bool [..];
    }

    /// A topic with its partitions and settings.
    pub struct CreatableTopic {
        name: Str [..];
        /// -1 for the broker's default, or if `assignments` says it.
        num_partitions: i32 [..] = -1;
        /// -1 for the broker's default, or if `assignments` says it.
        replication_factor: i16 [..] = -1;
        assignments: Vec<CreatableReplicaAssignment> [..];
        configs: Vec<CreatableTopicConfig> [..];
    }

    /// The brokers of one partition, chosen by the client.
    pub struct CreatableReplicaAssignment {
        partition_index: i32 [..];
        broker_ids: Vec<i32> [..];
    }

    /// A setting and its value.
    pub struct CreatableTopicConfig {
        name: Str [..];
        value: Option<Str> [..];
    }

    /// What became of each topic.
    pub struct CreateTopicsResponse {
        throttle_time_ms: i32 [..];
        topics: Vec<CreatableTopicResult> [..];
    }

    /// The topic created, or the error.
    pub struct CreatableTopicResult {
        name: Str [..];
        topic_id: Uuid [7.., ignorable];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        topic_config_error_code: ErrorCode [5.., tagged 0, ignorable];
        num_partitions: i32 [5.., ignorable] = -1;
        replication_factor: i16 [5.., ignorable] = -1;
        configs: Option<Vec<CreatableTopicConfigs>> [5.., ignorable] = Some(Vec::new());
    }

    /// A setting of the topic created.
    pub struct CreatableTopicConfigs {
        name: Str [5..];
        /// Null if it is sensitive.
        value: Option<Str> [5..];
        read_only: bool [5..];
        /// One of the sources of `describe_configs`.
        config_source: i8 [5.., ignorable] = SOURCE_DEFAULT;
        is_sensitive: bool [5..];
    }
}
