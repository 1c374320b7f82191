//! IncrementalAlterConfigs: some settings of a resource change, the others stay.

use headrace_protocol::ErrorCode;
use headrace_protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, OPERATION_APPEND,
    OPERATION_DELETE, OPERATION_SET, OPERATION_SUBTRACT,
};

use super::Call;
use super::alteration::{Alteration, Refused, alter_all, check_unique, required};
use crate::topic_config::{Edits, Operation};

pub(super) async fn handle(
    call: Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let asked = request.resources.iter().map(|resource| Alteration {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        edits: edits(resource),
    });
    let outcomes = alter_all(&call, asked.collect(), request.validate_only).await;
    let responses = outcomes
        .into_iter()
        .map(|one| AlterConfigsResourceResponse {
            error_code: one.error_code,
            error_message: one.error_message,
            resource_type: one.resource_type,
            resource_name: one.resource_name,
        });
    IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}

fn edits(resource: &AlterConfigsResource) -> Result<Edits, Refused> {
    check_unique(resource.configs.iter().map(|config| &config.name))?;
    let changes = resource.configs.iter().map(|config| {
        let operation = operation(config)?;
        Ok((config.name.to_string(), operation))
    });
    Ok(Edits::Change(changes.collect::<Result<_, Refused>>()?))
}

fn operation(config: &AlterableConfig) -> Result<Operation, Refused> {
    let value = || required(&config.name, config.value.as_ref());
    match config.config_operation {
        OPERATION_SET => Ok(Operation::Set(value()?)),
        OPERATION_DELETE => Ok(Operation::Delete),
        OPERATION_APPEND => Ok(Operation::Append(value()?)),
        OPERATION_SUBTRACT => Ok(Operation::Subtract(value()?)),
        unknown => {
            let message = format!("operation {unknown} on {} is unknown", config.name);
            Err((ErrorCode::INVALID_REQUEST, message))
        }
    }
}
