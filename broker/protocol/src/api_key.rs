//! Every API of Kafka 4.3: its key, since when it is flexible, and the versions this crate has.
//!
//! A row without `served` has no messages here and must never be advertised: clients switch features on by what they
//! see. Keys 4 to 7 have no version left since Kafka 4.0; they are listed so that a log can name them.

use std::ops::RangeInclusive;

/// One row per API gives the enum, its conversions and its versions.
macro_rules! api_keys {
    (@flexible flexible $from:literal) => { Some($from) };
    (@flexible never_flexible) => { None };
    (@served) => { None };
    (@served $served:expr) => { Some($served) };
    ($($name:ident = $key:literal, $flexible:ident $($from:literal)? $(, served $served:expr)?;)+) => {
        /// The key that names an API in a request header.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("Key ", $key, ".")]
                $name = $key,
            )+
        }

        impl ApiKey {
            /// Every API, in the order of the keys.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name),+];

            /// The first flexible version, `None` if there is none.
            pub fn flexible_from(self) -> Option<i16> {
                match self {
                    $(ApiKey::$name => api_keys!(@flexible $flexible $($from)?),)+
                }
            }

            /// The versions that this crate has, `None` if it does not have the API.
            pub fn served(self) -> Option<RangeInclusive<i16>> {
                match self {
                    $(ApiKey::$name => api_keys!(@served $($served)?),)+
                }
            }
        }

        impl TryFrom<i16> for ApiKey {
            type Error = UnknownApiKey;

            fn try_from(key: i16) -> Result<ApiKey, UnknownApiKey> {
                match key {
                    $($key => Ok(ApiKey::$name),)+
                    _ => Err(UnknownApiKey(key)),
                }
            }
        }
    };
}

api_keys! {
    Produce = 0, flexible 9, served 3..=13;
    Fetch = 1, flexible 12, served 4..=18;
    ListOffsets = 2, flexible 6, served 1..=11;
    Metadata = 3, flexible 9, served 0..=13;
    LeaderAndIsr = 4, flexible 4;
    StopReplica = 5, flexible 2;
    UpdateMetadata = 6, flexible 6;
    ControlledShutdown = 7, flexible 3;
    OffsetCommit = 8, flexible 8, served 2..=10;
    OffsetFetch = 9, flexible 6, served 1..=10;
    FindCoordinator = 10, flexible 3, served 0..=6;
    JoinGroup = 11, flexible 6, served 0..=9;
    Heartbeat = 12, flexible 4, served 0..=4;
    LeaveGroup = 13, flexible 4, served 0..=5;
    SyncGroup = 14, flexible 4, served 0..=5;
    DescribeGroups = 15, flexible 5, served 0..=6;
    ListGroups = 16, flexible 3, served 0..=5;
    SaslHandshake = 17, never_flexible;
    ApiVersions = 18, flexible 3, served 0..=4;
    CreateTopics = 19, flexible 5, served 2..=7;
    DeleteTopics = 20, flexible 4, served 1..=6;
    DeleteRecords = 21, flexible 2, served 0..=2;
    InitProducerId = 22, flexible 2, served 0..=5;
    OffsetForLeaderEpoch = 23, flexible 4, served 2..=4;
    AddPartitionsToTxn = 24, flexible 3;
    AddOffsetsToTxn = 25, flexible 3;
    EndTxn = 26, flexible 3;
    WriteTxnMarkers = 27, flexible 1;
    TxnOffsetCommit = 28, flexible 3;
    DescribeAcls = 29, flexible 2, served 1..=3;
    CreateAcls = 30, flexible 2, served 1..=3;
    DeleteAcls = 31, flexible 2, served 1..=3;
    DescribeConfigs = 32, flexible 4, served 1..=4;
    AlterConfigs = 33, flexible 2, served 0..=2;
    AlterReplicaLogDirs = 34, flexible 2;
    DescribeLogDirs = 35, flexible 2, served 1..=5;
    SaslAuthenticate = 36, flexible 2;
    CreatePartitions = 37, flexible 2, served 0..=3;
    CreateDelegationToken = 38, flexible 2;
    RenewDelegationToken = 39, flexible 2;
    ExpireDelegationToken = 40, flexible 2;
    DescribeDelegationToken = 41, flexible 2;
    DeleteGroups = 42, flexible 2, served 0..=2;
    ElectLeaders = 43, flexible 2, served 0..=2;
    IncrementalAlterConfigs = 44, flexible 1, served 0..=1;
    AlterPartitionReassignments = 45, flexible 0, served 0..=1;
    ListPartitionReassignments = 46, flexible 0, served 0..=0;
    OffsetDelete = 47, never_flexible, served 0..=0;
    DescribeClientQuotas = 48, flexible 1;
    AlterClientQuotas = 49, flexible 1;
    DescribeUserScramCredentials = 50, flexible 0;
    AlterUserScramCredentials = 51, flexible 0;
    Vote = 52, flexible 0;
    BeginQuorumEpoch = 53, flexible 1;
    EndQuorumEpoch = 54, flexible 1;
    DescribeQuorum = 55, flexible 0;
    AlterPartition = 56, flexible 0;
    UpdateFeatures = 57, flexible 0;
    Envelope = 58, flexible 0;
    FetchSnapshot = 59, flexible 0;
    DescribeCluster = 60, flexible 0, served 0..=2;
    DescribeProducers = 61, flexible 0, served 0..=0;
    BrokerRegistration = 62, flexible 0;
    BrokerHeartbeat = 63, flexible 0;
    UnregisterBroker = 64, flexible 0;
    DescribeTransactions = 65, flexible 0;
    ListTransactions = 66, flexible 0;
    AllocateProducerIds = 67, flexible 0;
    ConsumerGroupHeartbeat = 68, flexible 0, served 0..=1;
    ConsumerGroupDescribe = 69, flexible 0, served 0..=1;
    ControllerRegistration = 70, flexible 0;
    GetTelemetrySubscriptions = 71, flexible 0;
    PushTelemetry = 72, flexible 0;
    AssignReplicasToDirs = 73, flexible 0;
    ListConfigResources = 74, flexible 0, served 0..=1;
    DescribeTopicPartitions = 75, flexible 0, served 0..=0;
    ShareGroupHeartbeat = 76, flexible 0;
    ShareGroupDescribe = 77, flexible 0;
    ShareFetch = 78, flexible 0;
    ShareAcknowledge = 79, flexible 0;
    AddRaftVoter = 80, flexible 0;
    RemoveRaftVoter = 81, flexible 0;
    UpdateRaftVoter = 82, flexible 0;
    InitializeShareGroupState = 83, flexible 0;
    ReadShareGroupState = 84, flexible 0;
    WriteShareGroupState = 85, flexible 0;
    DeleteShareGroupState = 86, flexible 0;
    ReadShareGroupStateSummary = 87, flexible 0;
    StreamsGroupHeartbeat = 88, flexible 0;
    StreamsGroupDescribe = 89, flexible 0;
    DescribeShareGroupOffsets = 90, flexible 0;
    AlterShareGroupOffsets = 91, flexible 0;
    DeleteShareGroupOffsets = 92, flexible 0;
}

/// A key that Kafka 4.3 does not have. Kafka closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("API key {0} is unknown")]
pub struct UnknownApiKey(pub i16);

impl ApiKey {
    /// The versions to name in ApiVersions: those served, and for Produce also 0 to 2. They cannot be served, but
    /// librdkafka before its issue 4956 sends uncompressed unless they are offered, and Kafka 4 offers them too
    /// (KAFKA-18659).
    pub fn advertised(self) -> Option<RangeInclusive<i16>> {
        let served = self.served()?;
        Some(if self == ApiKey::Produce {
            0..=*served.end()
        } else {
            served
        })
    }

    /// Whether this version has compact lengths and tag buffers.
    pub fn is_flexible(self, version: i16) -> bool {
        self.flexible_from().is_some_and(|first| version >= first)
    }
}

impl From<ApiKey> for i16 {
    fn from(key: ApiKey) -> i16 {
        key as i16
    }
}
