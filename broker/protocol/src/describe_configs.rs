//! DescribeConfigs (key 32): the settings of topics and brokers, with where each comes from.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// Resource type of a topic.
pub const RESOURCE_TOPIC: i8 = 2;
/// Resource type of a broker.
pub const RESOURCE_BROKER: i8 = 4;
/// Resource type of the levels of a broker's own log.
pub const RESOURCE_BROKER_LOGGER: i8 = 8;
/// Resource type of a group.
pub const RESOURCE_GROUP: i8 = 32;

/// Config source: set on the topic.
pub const SOURCE_TOPIC: i8 = 1;
/// Config source: set on the broker while it runs.
pub const SOURCE_DYNAMIC_BROKER: i8 = 2;
/// Config source: set for all brokers of the cluster while they run.
pub const SOURCE_DYNAMIC_DEFAULT_BROKER: i8 = 3;
/// Config source: from the broker's configuration file.
pub const SOURCE_STATIC_BROKER: i8 = 4;
/// Config source: not set anywhere.
pub const SOURCE_DEFAULT: i8 = 5;
/// Config source: set on the group.
pub const SOURCE_GROUP: i8 = 8;

messages! {
    api DescribeConfigs [1..=4, flexible 4]: DescribeConfigsRequest => DescribeConfigsResponse;

    /// Resources and which of their settings to show.
    pub struct DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource> [..];
        include_synonyms: bool [..];
        include_documentation: bool [3..];
    }

    /// A topic or broker.
    pub struct DescribeConfigsResource {
        resource_type: i8 [..];
        resource_name: Str [..];
        /// Null for all.
        configuration_keys: Option<Vec<Str>> [..];
    }

    /// The settings of each resource.
    pub struct DescribeConfigsResponse {
        throttle_time_ms: i32 [..];
        results: Vec<DescribeConfigsResult> [..];
    }

    /// The settings of one resource.
    pub struct DescribeConfigsResult {
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        resource_type: i8 [..];
        resource_name: Str [..];
        configs: Vec<DescribeConfigsResourceResult> [..];
    }

    /// A setting.
    pub struct DescribeConfigsResourceResult {
        name: Str [..];
        /// Null if it is sensitive.
        value: Option<Str> [..];
        read_only: bool [..];
        /// One of the sources of this module; clients refuse -1.
        config_source: i8 [..] = SOURCE_DEFAULT;
        is_sensitive: bool [..];
        /// Where else the value is or could be set, nearest first.
        synonyms: Vec<DescribeConfigsSynonym> [..];
        /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
        config_type: i8 [3.., ignorable];
        documentation: Option<Str> [3.., ignorable];
    }

    /// The same setting at another source.
    pub struct DescribeConfigsSynonym {
        name: Str [..];
        value: Option<Str> [..];
        source: i8 [..] = SOURCE_DEFAULT;
    }
}
