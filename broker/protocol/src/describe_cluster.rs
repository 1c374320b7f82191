//! DescribeCluster (key 60): the brokers of the cluster, its id and its controller (KIP-700).
//!
//! Admin clients ask it before anything else; with a controller id of -1 they wait for a controller for ever.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::metadata::OPERATIONS_NOT_ASKED;
use crate::text::Str;

/// Endpoint type of brokers (KIP-919).
pub const ENDPOINT_BROKERS: i8 = 1;
/// Endpoint type of controllers.
pub const ENDPOINT_CONTROLLERS: i8 = 2;

messages! {
    api DescribeCluster [0..=2, flexible 0]: DescribeClusterRequest => DescribeClusterResponse;

    /// What to tell of the cluster.
    pub struct DescribeClusterRequest {
        include_cluster_authorized_operations: bool [..];
        /// Which endpoints to list: of brokers or of controllers.
        endpoint_type: i8 [1..] = ENDPOINT_BROKERS;
        /// Whether to list brokers that may not serve (KIP-1073).
        include_fenced_brokers: bool [2..];
    }

    /// The cluster.
    pub struct DescribeClusterResponse {
        throttle_time_ms: i32 [..];
        error_code: ErrorCode [..];
        error_message: Option<Str> [..];
        endpoint_type: i8 [1..] = ENDPOINT_BROKERS;
        cluster_id: Str [..];
        /// A broker sets the id of a live one.
        controller_id: i32 [..] = -1;
        brokers: Vec<DescribeClusterBroker> [..];
        cluster_authorized_operations: i32 [..] = OPERATIONS_NOT_ASKED;
    }

    /// A broker as clients dial it.
    pub struct DescribeClusterBroker {
        broker_id: i32 [..];
        host: Str [..];
        port: i32 [..];
        rack: Option<Str> [..];
        is_fenced: bool [2..];
    }
}
