//! DescribeAcls: there is no authorizer, so there are no rules either.

use headrace_protocol::ErrorCode;
use headrace_protocol::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};

use super::Call;

/// What the three APIs of rules say to people.
pub(super) const NO_AUTHORIZER: &str =
    "this broker has no authorizer: everyone may do everything, and there are no ACLs";

pub(super) async fn handle(_call: Call, _request: DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHORIZER.into()),
        ..DescribeAclsResponse::default()
    }
}
