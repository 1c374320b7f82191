//! CreateAcls (key 30): gives the authorizer rules.

use crate::describe_acls::PATTERN_LITERAL;
use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api CreateAcls [1..=3, flexible 2]: CreateAclsRequest => CreateAclsResponse;

    /// The rules.
    pub struct CreateAclsRequest {
        creations: Vec<AclCreation> [..];
    }

    /// One rule.
    pub struct AclCreation {
        resource_type: i8 [..];
        resource_name: Str [..];
        resource_pattern_type: i8 [..] = PATTERN_LITERAL;
        principal: Str [..];
        host: Str [..];
        operation: i8 [..];
        permission_type: i8 [..];
    }

    /// What became of each rule, in the order given.
    pub struct CreateAclsResponse {
        throttle_time_ms: i32 [..];
        results: Vec<AclCreationResult> [..];
    }

    /// What became of one rule.
    pub struct AclCreationResult {
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
    }
}
