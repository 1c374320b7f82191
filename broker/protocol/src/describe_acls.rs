//! DescribeAcls (key 29): the rules of the authorizer that match a filter.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// Pattern type of a rule for resources of exactly this name.
pub const PATTERN_LITERAL: i8 = 3;

messages! {
    api DescribeAcls [1..=3, flexible 2]: DescribeAclsRequest => DescribeAclsResponse;

    /// The filter; null matches any.
    pub struct DescribeAclsRequest {
        resource_type_filter: i8 [..];
        resource_name_filter: Option<Str> [..];
        pattern_type_filter: i8 [..] = PATTERN_LITERAL;
        principal_filter: Option<Str> [..];
        host_filter: Option<Str> [..];
        operation: i8 [..];
        permission_type: i8 [..];
    }

    /// The rules found.
    pub struct DescribeAclsResponse {
        throttle_time_ms: i32 [..];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        resources: Vec<DescribeAclsResource> [..];
    }

    /// The rules of one resource.
    pub struct DescribeAclsResource {
        resource_type: i8 [..];
        resource_name: Str [..];
        pattern_type: i8 [..] = PATTERN_LITERAL;
        acls: Vec<AclDescription> [..];
    }

    /// One rule.
    pub struct AclDescription {
        principal: Str [..];
        host: Str [..];
        operation: i8 [..];
        permission_type: i8 [..];
    }
}
