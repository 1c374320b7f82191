//! CreateTopics: each topic is durable before it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use headrace_protocol::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use headrace_protocol::describe_configs::SOURCE_DEFAULT;
use headrace_protocol::{ErrorCode, Str};
use uuid::Uuid;

use super::Call;
use super::describe_configs::code_of;
use crate::controller::topic_name;
use crate::partition::registry::{ChangeFailure, NewTopic};
use crate::topic_config::{Defaults, Overrides, SETTINGS, Setting, normal, setting};

/// A refusal: the code and a text for people.
type Refused = (ErrorCode, String);

pub(super) async fn handle(call: Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in &request.topics {
        *times.entry(&topic.name).or_default() += 1;
    }
    let mut topics: Vec<CreatableTopicResult> = Vec::with_capacity(times.len());
    for topic in &request.topics {
        let made = if times
            .get(topic.name.as_str())
            .is_some_and(|times| *times > 1)
        {
            if topics.iter().any(|result| result.name == topic.name) {
                continue;
            }
            let message = format!("topic {} stands in the request more than once", topic.name);
            Err((ErrorCode::INVALID_REQUEST, message))
        } else {
            create(&call, topic, request.validate_only).await
        };
        topics.push(match made {
            Ok(result) => result,
            Err((error_code, message)) => CreatableTopicResult {
                name: topic.name.clone(),
                error_code,
                error_message: Some(message.into()),
                ..CreatableTopicResult::default()
            },
        });
    }
    CreateTopicsResponse {
        topics,
        ..CreateTopicsResponse::default()
    }
}

async fn create(
    call: &Call,
    asked: &CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, Refused> {
    if topic_name::is_internal(&asked.name) {
        let message = format!(
            "the broker makes {} itself, when it first needs it",
            asked.name
        );
        return Err((ErrorCode::INVALID_TOPIC_EXCEPTION, message));
    }
    let partitions = partitions(call, asked)?;
    let overrides = overrides(asked)?;
    let name = Arc::from(asked.name.as_str());
    let topic = NewTopic {
        name,
        partitions,
        overrides: overrides.clone(),
    };
    let failed = |failure: ChangeFailure| (failure.code(), failure.to_string());
    let registry = &call.node.registry;
    let topic_id = if validate_only {
        registry.validate(topic).await.map_err(failed)?;
        Uuid::nil()
    } else {
        registry.create(topic).await.map_err(failed)?.id
    };
    Ok(CreatableTopicResult {
        name: asked.name.clone(),
        topic_id,
        num_partitions: partitions,
        replication_factor: 1,
        configs: Some(shown(&overrides, registry.topics().defaults())),
        ..CreatableTopicResult::default()
    })
}

/// How many partitions are asked for, by number or by assignment; there is one broker to put them on.
///
/// -1 asks for the defaults. It came with version 4, but Kafka takes it in any, and kafkajs sends it in version 3.
fn partitions(call: &Call, asked: &CreatableTopic) -> Result<i32, Refused> {
    if !asked.assignments.is_empty() {
        return assigned(call, asked);
    }
    match asked.replication_factor {
        1 | -1 => {}
        found => {
            let message = format!(
                "replication factor {found} for topic {}: there is one broker; ask for 1 or -1",
                asked.name
            );
            return Err((ErrorCode::INVALID_REPLICATION_FACTOR, message));
        }
    }
    match asked.num_partitions {
        -1 => Ok(call.node.config.partitions),
        number => Ok(number),
    }
}

fn assigned(call: &Call, asked: &CreatableTopic) -> Result<i32, Refused> {
    if asked.num_partitions != -1 || asked.replication_factor != -1 {
        let message = "with assignments, the numbers of partitions and replicas must be -1";
        return Err(invalid(message));
    }
    let mut indexes: Vec<i32> = asked
        .assignments
        .iter()
        .map(|one| one.partition_index)
        .collect();
    indexes.sort_unstable();
    let dense = (0..).zip(&indexes).all(|(place, index)| place == *index);
    let here = |brokers: &[i32]| brokers == [call.node.id];
    if !dense || !asked.assignments.iter().all(|one| here(&one.broker_ids)) {
        let message = format!(
            "assignments number the partitions of topic {} from 0 without a gap, each on broker {} alone: there is no other",
            asked.name, call.node.id
        );
        return Err((ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    }
    i32::try_from(indexes.len()).map_err(|_| invalid("too many partitions"))
}

fn overrides(asked: &CreatableTopic) -> Result<Overrides, Refused> {
    let mut overrides = Overrides::new();
    for config in &asked.configs {
        let refused = |what| {
            Err((
                ErrorCode::INVALID_CONFIG,
                format!("setting {} {what}", config.name),
            ))
        };
        let Some(value) = &config.value else {
            return refused("has no value; leave it out for its default");
        };
        let kind = setting(&config.name).map(|setting| setting.kind);
        let twice = overrides.insert(config.name.to_string(), normal(kind, value));
        if twice.is_some() {
            return refused("stands in the request more than once");
        }
    }
    Ok(overrides)
}

/// The settings of the new topic, as they are now.
fn shown(overrides: &Overrides, defaults: &Defaults) -> Vec<CreatableTopicConfigs> {
    let shown = |setting: &'static Setting| {
        let found = defaults.found(setting, overrides);
        let first = found.first();
        CreatableTopicConfigs {
            name: Str::from_static(setting.name),
            value: Some(first.map_or(Str::from_static(setting.default), |first| {
                first.value.into()
            })),
            read_only: false,
            config_source: first.map_or(SOURCE_DEFAULT, |first| code_of(first.source)),
            is_sensitive: false,
        }
    };
    SETTINGS.iter().map(shown).collect()
}

fn invalid(message: &str) -> Refused {
    (ErrorCode::INVALID_REQUEST, message.to_owned())
}
