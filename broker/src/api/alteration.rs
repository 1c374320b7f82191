//! What AlterConfigs and IncrementalAlterConfigs have in common: each resource is altered as a whole or not at all,
//! whatever becomes of the others.

use std::collections::{BTreeMap, BTreeSet};

use headrace_protocol::describe_configs::{RESOURCE_BROKER, RESOURCE_TOPIC};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use crate::controller::resource::Resource;
use crate::controller::topic_name;
use crate::partition::registry::ChangeFailure;
use crate::topic_config::Edits;

/// A refusal: the code and a text for people.
pub(super) type Refused = (ErrorCode, String);

/// A resource of a request, and what is asked for it if that makes sense.
pub(super) struct Alteration {
    pub(super) resource_type: i8,
    pub(super) resource_name: Str,
    pub(super) edits: Result<Edits, Refused>,
}

/// What became of a resource's alteration, as both answers tell it.
pub(super) struct Altered {
    pub(super) error_code: ErrorCode,
    pub(super) error_message: Option<Str>,
    pub(super) resource_type: i8,
    pub(super) resource_name: Str,
}

/// Carries out one alteration after the other; one outcome for each, in their order.
pub(super) async fn alter_all(
    call: &Call,
    alterations: Vec<Alteration>,
    validate_only: bool,
) -> Vec<Altered> {
    let mut times: BTreeMap<(i8, Str), usize> = BTreeMap::new();
    for one in &alterations {
        let key = (one.resource_type, one.resource_name.clone());
        *times.entry(key).or_default() += 1;
    }
    let mut outcomes = Vec::with_capacity(alterations.len());
    for one in alterations {
        let key = (one.resource_type, one.resource_name);
        let outcome = match one.edits {
            _ if times.get(&key).is_some_and(|times| *times > 1) => {
                Err(invalid("a resource may stand in the request only once"))
            }
            Err(refused) => Err(refused),
            Ok(edits) => alter(call, key.0, &key.1, edits, validate_only).await,
        };
        let (error_code, error_message) = match outcome {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, message)) => (code, Some(Str::from(message))),
        };
        outcomes.push(Altered {
            error_code,
            error_message,
            resource_type: key.0,
            resource_name: key.1,
        });
    }
    outcomes
}

async fn alter(
    call: &Call,
    resource_type: i8,
    name: &str,
    edits: Edits,
    validate_only: bool,
) -> Result<(), Refused> {
    let registry = &call.node.registry;
    let altered = if resource_type == RESOURCE_TOPIC {
        check_topic_name(name)?;
        registry.alter_topic(name, edits, validate_only).await
    } else {
        let resource = resource(call, resource_type, name)?;
        registry
            .alter_resource(resource, edits, validate_only)
            .await
    };
    altered.map_err(|failure: ChangeFailure| (failure.code(), failure.to_string()))
}

fn check_topic_name(name: &str) -> Result<(), Refused> {
    if name.is_empty() {
        return Err(invalid(
            "there are no settings of all topics; brokers have them",
        ));
    }
    if topic_name::is_valid(name) {
        return Ok(());
    }
    let message = format!("{name:?} is no topic name");
    Err((ErrorCode::INVALID_TOPIC_EXCEPTION, message))
}

/// A resource that can have settings at this broker, but for topics.
pub(super) fn resource(call: &Call, resource_type: i8, name: &str) -> Result<Resource, Refused> {
    let id = call.node.id;
    match (resource_type, Resource::of(resource_type, name)) {
        (_, Some(Resource::Broker(other))) if other != id => {
            let message = format!("this is broker {id}, not {other}");
            Err((ErrorCode::INVALID_REQUEST, message))
        }
        (_, Some(resource)) => Ok(resource),
        (RESOURCE_BROKER, None) => {
            let message = format!("a broker is named by its number, not {name:?}");
            Err((ErrorCode::INVALID_REQUEST, message))
        }
        (_, None) => {
            let message = format!("resources of type {resource_type} have no settings here");
            Err((ErrorCode::INVALID_REQUEST, message))
        }
    }
}

/// The first name that stands there twice is one too many.
pub(super) fn check_unique<'a>(names: impl Iterator<Item = &'a Str>) -> Result<(), Refused> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let message = format!("{name} stands in the request more than once");
            return Err((ErrorCode::INVALID_REQUEST, message));
        }
    }
    Ok(())
}

/// A value that must be there.
pub(super) fn required(name: &Str, value: Option<&Str>) -> Result<String, Refused> {
    let missing = || (ErrorCode::INVALID_REQUEST, format!("{name} has no value"));
    value.map(ToString::to_string).ok_or_else(missing)
}

pub(super) fn invalid(message: &str) -> Refused {
    (ErrorCode::INVALID_REQUEST, message.to_owned())
}
