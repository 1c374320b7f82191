//! The APIs, one file each, and the table that finds them.
//!
//! A handler is `async fn handle(call: Call, request: XRequest) -> XResponse`. To serve an API: a file, a
//! `mod`, a row in the table; it is then advertised too, since both follow from the table. Produce stands
//! apart: its first half runs while earlier requests of the connection still wait.

mod alter_configs;
mod alter_partition_reassignments;
mod alteration;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod group;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leader_hints;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use headrace_protocol::api_versions::ApiVersionsResponse;
use headrace_protocol::header::{decode_request_frame, encode_response_frame};
use headrace_protocol::{ApiKey, DecodeError, Decoder, EncodeError, Piece, Request, Str};
use tracing::error;

use crate::node::Node;

/// Declares which APIs are served, and by whom.
macro_rules! serve {
    ($($key:ident => $handler:path,)+) => {
        /// Every API that is served, and so advertised, in the order of the keys.
        pub(crate) const SERVED: &[ApiKey] = &[ApiKey::Produce, $(ApiKey::$key),+];

        /// Finds the handler of a request and has it run when its turn comes.
        fn later(key: ApiKey, call: Call, body: Decoder) -> Result<Answer, Refusal> {
            match key {
                $(ApiKey::$key => answer(call, body, $handler),)+
                _ => Err(Refusal::Unserved { key: key.into(), version: call.version }),
            }
        }
    };
}

serve! {
    Fetch => fetch::handle,
    ListOffsets => list_offsets::handle,
    Metadata => metadata::handle,
    OffsetCommit => offset_commit::handle,
    OffsetFetch => offset_fetch::handle,
    FindCoordinator => find_coordinator::handle,
    JoinGroup => join_group::handle,
    Heartbeat => heartbeat::handle,
    LeaveGroup => leave_group::handle,
    SyncGroup => sync_group::handle,
    DescribeGroups => describe_groups::handle,
    ListGroups => list_groups::handle,
    ApiVersions => api_versions::handle,
    CreateTopics => create_topics::handle,
    DeleteTopics => delete_topics::handle,
    DeleteRecords => delete_records::handle,
    InitProducerId => init_producer_id::handle,
    OffsetForLeaderEpoch => offset_for_leader_epoch::handle,
    DescribeAcls => describe_acls::handle,
    CreateAcls => create_acls::handle,
    DeleteAcls => delete_acls::handle,
    DescribeConfigs => describe_configs::handle,
    AlterConfigs => alter_configs::handle,
    DescribeLogDirs => describe_log_dirs::handle,
    CreatePartitions => create_partitions::handle,
    DeleteGroups => delete_groups::handle,
    ElectLeaders => elect_leaders::handle,
    IncrementalAlterConfigs => incremental_alter_configs::handle,
    AlterPartitionReassignments => alter_partition_reassignments::handle,
    ListPartitionReassignments => list_partition_reassignments::handle,
    OffsetDelete => offset_delete::handle,
    DescribeCluster => describe_cluster::handle,
    DescribeProducers => describe_producers::handle,
    ConsumerGroupHeartbeat => consumer_group_heartbeat::handle,
    ConsumerGroupDescribe => consumer_group_describe::handle,
    ListConfigResources => list_config_resources::handle,
    DescribeTopicPartitions => describe_topic_partitions::handle,
}

/// The facts of one request.
#[derive(Debug, Clone)]
pub struct Call {
    /// The broker.
    pub node: Arc<Node>,
    /// Version of the request, and of its response.
    pub version: i16,
    /// The client's number for it.
    pub correlation_id: i32,
    /// The name that the client gives itself; shares the request's frame.
    pub client_id: Option<Str>,
    /// Where the client is.
    pub peer: SocketAddr,
}

/// Why a connection is closed instead of answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The bytes are not a request.
    #[error("malformed request of API {key} version {version}: {reason}")]
    Malformed {
        /// The key in its header.
        key: i16,
        /// The version in its header.
        version: i16,
        /// What is wrong.
        reason: DecodeError,
    },
    /// There are not even the bytes of a header.
    #[error("malformed request header: {0}")]
    Header(DecodeError),
    /// No such API, or not in this version.
    #[error("API {key} version {version} is not served")]
    Unserved {
        /// The key in its header.
        key: i16,
        /// The version in its header.
        version: i16,
    },
    /// A produce request with acks=0 failed; closing is the only way to tell.
    #[error("produce with acks=0 failed: {0}")]
    Unanswerable(String),
    /// An answer cannot be written in the client's version: a mistake of this program.
    #[error("cannot encode a response: {0}")]
    Encode(#[from] EncodeError),
}

/// How a request ends.
pub(crate) enum Outcome {
    /// With these bytes, the length included.
    Answer(Vec<Piece>),
    /// With nothing: produce with acks=0.
    Silence,
    /// With the end of the connection.
    Close(Refusal),
}

/// What gives the outcome when it is awaited.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A request that was decoded, on its way to its answer.
pub(crate) struct Work {
    /// Which API.
    pub(crate) api: ApiKey,
    /// The rest of the work; nothing of it is done before it is awaited, but for produce.
    pub(crate) answer: Answer,
}

/// Decodes a frame and begins its work.
pub(crate) async fn begin(
    node: Arc<Node>,
    peer: SocketAddr,
    frame: Bytes,
) -> Result<Work, Refusal> {
    let size_bytes = frame.len();
    let (header, body) = decode_request_frame(frame).map_err(Refusal::Header)?;
    let (key, version) = (header.api_key, header.api_version);
    let unserved = Refusal::Unserved { key, version };
    let Ok(api) = ApiKey::try_from(key) else {
        return Err(unserved);
    };
    let versions = api
        .served()
        .filter(|_| SERVED.contains(&api))
        .ok_or(unserved)?;
    node.metrics.received(api, size_bytes);
    let call = Call {
        node,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        peer,
    };
    let answer = if api == ApiKey::ApiVersions && !versions.contains(&version) {
        // the one version that is answered although it is unknown: clients start with their newest
        let frame = ApiVersionsResponse::unsupported_version_frame(call.correlation_id)?;
        Box::pin(async { Outcome::Answer(frame) })
    } else if !versions.contains(&version) {
        return Err(Refusal::Unserved { key, version });
    } else if api == ApiKey::Produce {
        produce::begin(decode(&call, body)?, call).await
    } else {
        later(api, call, body)?
    };
    Ok(Work { api, answer })
}

fn decode<R: Request>(call: &Call, mut body: Decoder) -> Result<R, Refusal> {
    let (key, version) = (R::KEY.into(), call.version);
    R::decode(&mut body, version).map_err(|reason| Refusal::Malformed {
        key,
        version,
        reason,
    })
}

/// Decodes the request now, and runs its handler when awaited.
fn answer<R, F>(call: Call, body: Decoder, handler: fn(Call, R) -> F) -> Result<Answer, Refusal>
where
    R: Request + Send + 'static,
    R::Response: Send,
    F: Future<Output = R::Response> + Send + 'static,
{
    let request = decode(&call, body)?;
    let (correlation_id, version) = (call.correlation_id, call.version);
    Ok(Box::pin(async move {
        encoded::<R>(correlation_id, version, &handler(call, request).await)
    }))
}

/// The frame of a response.
fn encoded<R: Request>(correlation_id: i32, version: i16, response: &R::Response) -> Outcome {
    match encode_response_frame::<R>(correlation_id, version, response) {
        Ok(frame) => Outcome::Answer(frame),
        Err(mistake) => {
            let api = R::KEY;
            error!(?api, version, %mistake, "response cannot be encoded");
            Outcome::Close(mistake.into())
        }
    }
}
