//! ListConfigResources (key 74): what has settings. Version 0 was ListClientMetricsResources and names those alone.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// Resource type of a subscription to clients' metrics: the only one of version 0.
pub const RESOURCE_CLIENT_METRICS: i8 = 16;

messages! {
    api ListConfigResources [0..=1, flexible 0]: ListConfigResourcesRequest => ListConfigResourcesResponse;

    /// Asks for the resources of these types, none standing for all.
    pub struct ListConfigResourcesRequest {
        resource_types: Vec<i8> [1..];
    }

    /// The resources.
    pub struct ListConfigResourcesResponse {
        throttle_time_ms: i32 [..];
        error_code: ErrorCode [..];
        config_resources: Vec<ConfigResource> [..];
    }

    /// A resource.
    pub struct ConfigResource {
        resource_name: Str [..];
        resource_type: i8 [1.., ignorable] = RESOURCE_CLIENT_METRICS;
    }
}
