//! AlterConfigs (key 33): all settings of a resource at once; what is not named goes back to its default.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api AlterConfigs [0..=2, flexible 2]: AlterConfigsRequest => AlterConfigsResponse;

    /// Resources and all that is set on each.
    pub struct AlterConfigsRequest {
        resources: Vec<AlterConfigsResource> [..];
        /// Check only.
        validate_only: bool [..];
    }

    /// A resource by its type (`describe_configs`) and name.
    pub struct AlterConfigsResource {
        resource_type: i8 [..];
        resource_name: Str [..];
        configs: Vec<AlterableConfig> [..];
    }

    /// A setting and its value.
    pub struct AlterableConfig {
        name: Str [..];
        value: Option<Str> [..];
    }

    /// What became of each resource.
    pub struct AlterConfigsResponse {
        throttle_time_ms: i32 [..];
        responses: Vec<AlterConfigsResourceResponse> [..];
    }

    /// A resource altered, or the error.
    pub struct AlterConfigsResourceResponse {
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        resource_type: i8 [..];
        resource_name: Str [..];
    }
}
