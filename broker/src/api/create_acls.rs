//! CreateAcls: refused rule by rule, since nobody would heed them.

use headrace_protocol::ErrorCode;
use headrace_protocol::create_acls::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};

use super::Call;
use super::describe_acls::NO_AUTHORIZER;

pub(super) async fn handle(_call: Call, request: CreateAclsRequest) -> CreateAclsResponse {
    let refused = AclCreationResult {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHORIZER.into()),
    };
    CreateAclsResponse {
        results: vec![refused; request.creations.len()],
        ..CreateAclsResponse::default()
    }
}
