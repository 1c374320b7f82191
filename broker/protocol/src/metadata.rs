//! Metadata (key 3): the brokers of the cluster, and where the partitions of topics are.
//!
//! No topics at all means all of them in version 0 (an empty list) and from version 1 on (null); there an empty list
//! means none.

use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

/// The value of authorized operations that were not asked for.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

messages! {
    api Metadata [0..=13, flexible 9]: MetadataRequest => MetadataResponse;

    /// Asks for some or all topics.
    pub struct MetadataRequest {
        /// Null for all.
        topics: Option<Vec<MetadataRequestTopic>> [.., nullable 1..] = Some(Vec::new());
        /// Whether a topic that does not exist may be created, if the broker does that.
        allow_auto_topic_creation: bool [4..] = true;
        include_cluster_authorized_operations: bool [8..=10];
        include_topic_authorized_operations: bool [8..];
    }

    /// A topic by name, or by id if the name is null.
    pub struct MetadataRequestTopic {
        topic_id: Uuid [10.., ignorable];
        name: Option<Str> [.., nullable 10..] = Some(Str::default());
    }

    /// Brokers and topics.
    pub struct MetadataResponse {
        throttle_time_ms: i32 [3.., ignorable];
        /// Never empty in an answer of a broker.
        brokers: Vec<MetadataResponseBroker> [..];
        cluster_id: Option<Str> [2.., ignorable];
        /// A broker sets the id of a live one: with -1 admin clients wait for a controller for ever.
        controller_id: i32 [1.., ignorable] = -1;
        topics: Vec<MetadataResponseTopic> [..];
        cluster_authorized_operations: i32 [8..=10] = OPERATIONS_NOT_ASKED;
        error_code: ErrorCode [13.., ignorable];
    }

    /// A broker as clients dial it.
    pub struct MetadataResponseBroker {
        node_id: i32 [..];
        host: Str [..];
        port: i32 [..];
        rack: Option<Str> [1.., ignorable];
    }

    /// A topic, or the error of one asked for.
    pub struct MetadataResponseTopic {
        error_code: ErrorCode [..];
        /// Null only for an id that is not known.
        name: Option<Str> [.., nullable 12..] = Some(Str::default());
        topic_id: Uuid [10.., ignorable];
        is_internal: bool [1.., ignorable];
        partitions: Vec<MetadataResponsePartition> [..];
        topic_authorized_operations: i32 [8..] = OPERATIONS_NOT_ASKED;
    }

    /// A partition and its replicas.
    pub struct MetadataResponsePartition {
        error_code: ErrorCode [..];
        partition_index: i32 [..];
        /// -1 while there is none.
        leader_id: i32 [..] = -1;
        /// Never goes down for a topic id; -1 switches the fencing of clients off.
        leader_epoch: i32 [7.., ignorable] = -1;
        replica_nodes: Vec<i32> [..];
        isr_nodes: Vec<i32> [..];
        offline_replicas: Vec<i32> [5.., ignorable];
    }
}
