//! IncrementalAlterConfigs (key 44): some settings of a resource; the others stay.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// Sets a value.
pub const OPERATION_SET: i8 = 0;
/// Takes a value back.
pub const OPERATION_DELETE: i8 = 1;
/// Adds to a list.
pub const OPERATION_APPEND: i8 = 2;
/// Removes from a list.
pub const OPERATION_SUBTRACT: i8 = 3;

messages! {
    api IncrementalAlterConfigs [0..=1, flexible 1]:
        IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse;

    /// Resources and what is changed on each.
    pub struct IncrementalAlterConfigsRequest {
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

    /// A setting and what is done with it.
    pub struct AlterableConfig {
        name: Str [..];
        /// One of the operations of this module.
        config_operation: i8 [..];
        value: Option<Str> [..];
    }

    /// What became of each resource.
    pub struct IncrementalAlterConfigsResponse {
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
