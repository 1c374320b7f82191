//! DeleteAcls (key 31): removes the authorizer's rules that match filters.

use crate::describe_acls::PATTERN_LITERAL;
use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api DeleteAcls [1..=3, flexible 2]: DeleteAclsRequest => DeleteAclsResponse;

    /// The filters.
    pub struct DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter> [..];
    }

    /// One filter; null matches any.
    pub struct DeleteAclsFilter {
        resource_type_filter: i8 [..];
        resource_name_filter: Option<Str> [..];
        pattern_type_filter: i8 [..] = PATTERN_LITERAL;
        principal_filter: Option<Str> [..];
        host_filter: Option<Str> [..];
        operation: i8 [..];
        permission_type: i8 [..];
    }

    /// What each filter removed, in the order given.
    pub struct DeleteAclsResponse {
        throttle_time_ms: i32 [..];
        filter_results: Vec<DeleteAclsFilterResult> [..];
    }

    /// What one filter removed.
    pub struct DeleteAclsFilterResult {
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        matching_acls: Vec<DeleteAclsMatchingAcl> [..];
    }

    /// A rule that was removed.
    pub struct DeleteAclsMatchingAcl {
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        resource_type: i8 [..];
        resource_name: Str [..];
        pattern_type: i8 [..] = PATTERN_LITERAL;
        principal: Str [..];
        host: Str [..];
        operation: i8 [..];
        permission_type: i8 [..];
    }
}
