//! DeleteTopics: by name, or by id from version 6 on. The data is gone when it is answered.

use headrace_protocol::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use headrace_protocol::{ErrorCode, Str};
use uuid::Uuid;

use super::Call;
use crate::partition::Topic;
use crate::partition::registry::ChangeFailure;

pub(super) async fn handle(call: Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let asked = if call.version >= 6 {
        request.topics
    } else {
        let by_name = |name| DeleteTopicState {
            name: Some(name),
            topic_id: Uuid::nil(),
        };
        request.topic_names.into_iter().map(by_name).collect()
    };
    let mut responses = Vec::with_capacity(asked.len());
    for topic in asked {
        responses.push(delete(&call, topic).await);
    }
    DeleteTopicsResponse {
        responses,
        ..DeleteTopicsResponse::default()
    }
}

async fn delete(call: &Call, asked: DeleteTopicState) -> DeletableTopicResult {
    let DeleteTopicState { name, topic_id } = asked;
    let mut result = DeletableTopicResult {
        name,
        topic_id,
        ..DeletableTopicResult::default()
    };
    let registry = &call.node.registry;
    let found = match &result.name {
        Some(_) if !topic_id.is_nil() => Err(ErrorCode::INVALID_REQUEST),
        Some(name) => registry
            .topic(name)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        None if topic_id.is_nil() => Err(ErrorCode::INVALID_REQUEST),
        None => registry
            .topic_by_id(topic_id)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
    };
    let deleted = match found {
        Err(code) => Err(code),
        Ok(topic) => {
            result.name = Some(Str::from(&*topic.name));
            result.topic_id = topic.id;
            delete_found(call, &topic).await
        }
    };
    if let Err(code) = deleted {
        result.error_code = code;
        result.error_message = Some(code.to_string().into());
    }
    result
}

async fn delete_found(call: &Call, topic: &Topic) -> Result<(), ErrorCode> {
    if topic.is_internal() {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let deleted = call.node.registry.delete(topic.id).await;
    deleted.map_err(|failure: ChangeFailure| failure.code())?;
    call.node.coordinator.topics_deleted(vec![topic.id]).await;
    Ok(())
}
