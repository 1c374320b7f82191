//! DescribeCluster: the brokers, the cluster's id and who controls it. There are no controllers to connect to.

use headrace_protocol::ErrorCode;
use headrace_protocol::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, ENDPOINT_BROKERS,
    ENDPOINT_CONTROLLERS,
};

use super::Call;
use super::metadata::CLUSTER_OPERATIONS;

pub(super) async fn handle(call: Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let node = &call.node;
    if let Err((error_code, message)) = check_endpoint(request.endpoint_type) {
        return DescribeClusterResponse {
            error_code,
            error_message: Some(message.into()),
            ..DescribeClusterResponse::default()
        };
    }
    let mut response = DescribeClusterResponse {
        cluster_id: node.cluster_id.to_string().into(),
        controller_id: node.id,
        brokers: vec![DescribeClusterBroker {
            broker_id: node.id,
            host: node.advertised.host.as_str().into(),
            port: node.advertised.port.into(),
            ..DescribeClusterBroker::default()
        }],
        ..DescribeClusterResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}

/// Whether a client that looks for this kind of endpoint has come to the right place.
fn check_endpoint(asked: i8) -> Result<(), (ErrorCode, String)> {
    match asked {
        ENDPOINT_BROKERS => Ok(()),
        ENDPOINT_CONTROLLERS => Err((
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "this is a broker's endpoint; there are none of controllers alone".to_owned(),
        )),
        other => Err((
            ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
            format!("endpoint type {other} is unknown; 1 asks for brokers"),
        )),
    }
}
