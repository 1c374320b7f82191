//! ListConfigResources: what has settings, by type. No type stands for all; version 0 asks for subscriptions to
//! clients' metrics, of which there are none.

use headrace_protocol::describe_configs::{
    RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_GROUP, RESOURCE_TOPIC,
};
use headrace_protocol::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
    RESOURCE_CLIENT_METRICS,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;

/// The types that Kafka knows; of some there is nothing here.
const KNOWN: [i8; 5] = [
    RESOURCE_TOPIC,
    RESOURCE_BROKER,
    RESOURCE_BROKER_LOGGER,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_GROUP,
];

pub(super) async fn handle(
    call: Call,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let asked = request.resource_types;
    if asked.iter().any(|asked| !KNOWN.contains(asked)) {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UNSUPPORTED_VERSION,
            ..ListConfigResourcesResponse::default()
        };
    }
    let wanted = |kind: i8| call.version > 0 && (asked.is_empty() || asked.contains(&kind));
    let resource = |resource_name: Str, resource_type| ConfigResource {
        resource_name,
        resource_type,
    };
    let mut config_resources = Vec::new();
    if wanted(RESOURCE_BROKER) {
        let name = Str::from(call.node.id.to_string());
        config_resources.push(resource(name, RESOURCE_BROKER));
    }
    if wanted(RESOURCE_TOPIC) {
        let topics = call.node.registry.topics();
        let named = topics.iter().map(|topic| Str::from(&*topic.name));
        config_resources.extend(named.map(|name| resource(name, RESOURCE_TOPIC)));
    }
    ListConfigResourcesResponse {
        config_resources,
        ..ListConfigResourcesResponse::default()
    }
}
