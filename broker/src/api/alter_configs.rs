//! AlterConfigs: all that is set on a resource is replaced; what is not named goes back to its default.

use headrace_protocol::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::Call;
use super::alteration::{Alteration, Refused, alter_all, check_unique, required};
use crate::topic_config::{Edits, Overrides};

pub(super) async fn handle(call: Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
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
    AlterConfigsResponse {
        responses: responses.collect(),
        ..AlterConfigsResponse::default()
    }
}

fn edits(resource: &AlterConfigsResource) -> Result<Edits, Refused> {
    check_unique(resource.configs.iter().map(|config| &config.name))?;
    let mut all = Overrides::new();
    for config in &resource.configs {
        let value = required(&config.name, config.value.as_ref())?;
        all.insert(config.name.to_string(), value);
    }
    Ok(Edits::Replace(all))
}
