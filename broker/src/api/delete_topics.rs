//! DeleteTopics: by name, or by id from version 6 on. The data is gone when it is answered.

use std::collections::HashMap;
use std::sync::Arc;

use headrace_protocol::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use headrace_protocol::{ErrorCode, Str};
use uuid::Uuid;

use super::Call;
use crate::partition::Topic;
use crate::partition::registry::ChangeFailure;

/// A refusal: the code and a text for people.
type Refused = (ErrorCode, String);

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
    let mut times: HashMap<(Option<Str>, Uuid), usize> = HashMap::with_capacity(asked.len());
    for topic in &asked {
        *times
            .entry((topic.name.clone(), topic.topic_id))
            .or_default() += 1;
    }
    let mut responses = Vec::with_capacity(times.len());
    for topic in asked {
        // one answer for each topic, however often it is named
        match times.remove(&(topic.name.clone(), topic.topic_id)) {
            None => {}
            Some(1) => responses.push(delete(&call, topic).await),
            Some(_) => responses.push(twice(topic)),
        }
    }
    DeleteTopicsResponse {
        responses,
        ..DeleteTopicsResponse::default()
    }
}

async fn delete(call: &Call, asked: DeleteTopicState) -> DeletableTopicResult {
    let mut result = DeletableTopicResult {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        ..DeletableTopicResult::default()
    };
    let deleted = match find(call, &asked) {
        Err(refused) => Err(refused),
        Ok(topic) => {
            result.name = Some(Str::from(&*topic.name));
            result.topic_id = topic.id;
            delete_found(call, &topic).await
        }
    };
    refuse(result, deleted)
}

fn find(call: &Call, asked: &DeleteTopicState) -> Result<Arc<Topic>, Refused> {
    let registry = &call.node.registry;
    let id = asked.topic_id;
    match &asked.name {
        Some(name) if !id.is_nil() => {
            let message = format!("both a name, {name}, and an id, {id}: send one of them");
            Err((ErrorCode::INVALID_REQUEST, message))
        }
        Some(name) => registry.topic(name).ok_or_else(|| {
            let message = format!("there is no topic {name}");
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        }),
        None if id.is_nil() => {
            let message = "neither a name nor an id: send one of them".to_owned();
            Err((ErrorCode::INVALID_REQUEST, message))
        }
        None => registry.topic_by_id(id).ok_or_else(|| {
            let message = format!("there is no topic with the id {id}; it may be deleted already");
            (ErrorCode::UNKNOWN_TOPIC_ID, message)
        }),
    }
}

async fn delete_found(call: &Call, topic: &Topic) -> Result<(), Refused> {
    if topic.is_internal() {
        let message = format!("{} holds the state of the broker itself", topic.name);
        return Err((ErrorCode::INVALID_TOPIC_EXCEPTION, message));
    }
    let deleted = call.node.registry.delete(topic.id).await;
    deleted.map_err(|failure: ChangeFailure| (failure.code(), failure.to_string()))?;
    call.node.coordinator.topics_deleted(vec![topic.id]).await;
    Ok(())
}

fn twice(asked: DeleteTopicState) -> DeletableTopicResult {
    let result = DeletableTopicResult {
        name: asked.name,
        topic_id: asked.topic_id,
        ..DeletableTopicResult::default()
    };
    let message = "the topic stands in the request more than once".to_owned();
    refuse(result, Err((ErrorCode::INVALID_REQUEST, message)))
}

fn refuse(mut result: DeletableTopicResult, deleted: Result<(), Refused>) -> DeletableTopicResult {
    if let Err((code, message)) = deleted {
        result.error_code = code;
        result.error_message = Some(message.into());
    }
    result
}
