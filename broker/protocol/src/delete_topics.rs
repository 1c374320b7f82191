//! DeleteTopics (key 20): deletes topics by name, from version 6 by name or id.

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api DeleteTopics [1..=6, flexible 4]: DeleteTopicsRequest => DeleteTopicsResponse;

    /// The topics to delete.
    pub struct DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6..];
        topic_names: Vec<Str> [..=5, ignorable];
        timeout_ms: i32 [..];
    }

    /// A topic by name, or by id if the name is null.
    pub struct DeleteTopicState {
        name: Option<Str> [6..];
        topic_id: Uuid [6..];
    }

    /// What became of each topic.
    pub struct DeleteTopicsResponse {
        throttle_time_ms: i32 [..];
        responses: Vec<DeletableTopicResult> [..];
    }

    /// The result for one topic.
    pub struct DeletableTopicResult {
        /// Null only for an id that is not known.
        name: Option<Str> [.., nullable 6..] = Some(Str::default());
        topic_id: Uuid [6.., ignorable];
        error_code: ErrorCode [..];
        error_message: Option<Str> [5.., ignorable];
    }
}
