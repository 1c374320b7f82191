//! Random values of every message, for our types and for those of the oracle at once.
//!
//! The tables name each field and the versions that have it as Kafka 4.3's message definitions do. They are written
//! apart from the tables in `src/`, so that a slip there is not repeated here: a field that our struct has and the
//! table lacks does not compile, and the same seed must give the same bytes from both crates.

#![allow(dead_code, reason = "each test binary uses its part of this module")]

use bytes::Bytes;
use headrace_protocol::{ErrorCode, Message, Records, Str};
use kafka_protocol::messages::{BrokerId, GroupId, ProducerId, TopicName, TransactionalId};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use uuid::Uuid;

/// SplitMix64: small, and the same on every machine for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a usize fits");
        usize::try_from(self.next() % bound).expect("it is below a usize")
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    /// Mostly short; now and then at the places where a compact length takes one byte more, or where bytes are
    /// spliced.
    fn length(&mut self) -> usize {
        match self.below(40) {
            0 => 126 + self.below(4),
            1 => 510 + self.below(4),
            2..=9 => 0,
            _ => self.below(12),
        }
    }

    fn bytes(&mut self) -> Bytes {
        let length = self.length();
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn text(&mut self) -> String {
        let length = self.length();
        (0..length)
            .map(|_| ['a', 'Z', '0', '-', '.', 'é', '水', '𝄞'][self.below(8)])
            .collect()
    }
}

/// A random value as a version has it.
pub(crate) trait Sample: Sized {
    fn sample(random: &mut Random, version: i16) -> Self;
    fn is_null(&self) -> bool {
        false
    }
}

macro_rules! samples {
    ($($type:ty: |$random:ident| $value:expr;)+) => {$(
        impl Sample for $type {
            fn sample($random: &mut Random, _version: i16) -> Self {
                $value
            }
        }
    )+};
}

/// Integers: any, small, or at an end of their range.
macro_rules! integer {
    ($type:ty, $random:ident) => {
        match $random.below(6) {
            0 => 0,
            1 => -1,
            2 => <$type>::MIN,
            3 => <$type>::MAX,
            _ => {
                let bytes = $random.next().to_be_bytes();
                <$type>::from_be_bytes(
                    bytes[..size_of::<$type>()]
                        .try_into()
                        .expect("as long as the type"),
                )
            }
        }
    };
}

samples! {
    i8: |random| integer!(i8, random);
    i16: |random| integer!(i16, random);
    i32: |random| integer!(i32, random);
    i64: |random| integer!(i64, random);
    bool: |random| random.one_in(2);
    Uuid: |random| if random.one_in(4) { Uuid::nil() } else { Uuid::from_u64_pair(random.next(), random.next()) };
    ErrorCode: |random| ErrorCode(i16::sample(random, 0));
    BrokerId: |random| BrokerId(i32::sample(random, 0));
    ProducerId: |random| ProducerId(i64::sample(random, 0));
    Str: |random| Str::from(random.text());
    StrBytes: |random| StrBytes::from_string(random.text());
    TopicName: |random| TopicName(StrBytes::from_string(random.text()));
    GroupId: |random| GroupId(StrBytes::from_string(random.text()));
    TransactionalId: |random| TransactionalId(StrBytes::from_string(random.text()));
    Bytes: |random| random.bytes();
    Records: |random| {
        let mut front = random.bytes();
        let back = front.split_off(front.len() / 3);
        Records::from(vec![front, back])
    };
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(random: &mut Random, version: i16) -> Self {
        let count = if size_of::<T>() <= size_of::<i32>() && random.one_in(20) {
            130
        } else {
            random.below(4)
        };
        (0..count).map(|_| T::sample(random, version)).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(random: &mut Random, version: i16) -> Self {
        let null = random.one_in(4);
        let value = T::sample(random, version);
        if null { None } else { Some(value) }
    }
    fn is_null(&self) -> bool {
        self.is_none()
    }
}

/// A value that is not null unless it may be.
fn sample_field<T: Sample>(random: &mut Random, version: i16, null_allowed: bool) -> T {
    loop {
        let value = T::sample(random, version);
        if null_allowed || !value.is_null() {
            return value;
        }
    }
}

/// Fields with their versions, and the versions that may have null if that is not all of them; what the oracle `lacks`
/// is left at its default, and `golden.rs` has bytes of it.
macro_rules! values {
    ($ours:ident, $oracle:ident, $message:ident; $($structs:tt)+) => {
        values! { @fields headrace_protocol::$ours; $($structs)+ }
        values! { @exhaustive headrace_protocol::$ours; $($structs)+ }
        values! { @fields kafka_protocol::messages::$oracle; $($structs)+ }

        impl Pair for headrace_protocol::$ours::$message {
            type Oracle = kafka_protocol::messages::$oracle::$message;
        }
    };
    (@null) => { .. };
    (@null $nullable:expr) => { $nullable };
    (@fields $($module:ident)::+; $(
        $name:ident { $($field:ident [$versions:expr $(, null $nullable:expr)?]),* $(,)?
            $(; lacks $($lacking:ident),+)? }
    )+) => {
        const _: () = {
            use $($module)::+ as message;
            $(
                impl Sample for message::$name {
                    #[allow(unused_variables, reason = "some requests have no field")]
                    fn sample(random: &mut Random, version: i16) -> Self {
                        let mut value = Self::default();
                        $(
                            if contains(&($versions), version) {
                                let null_allowed = contains(&(values!(@null $($nullable)?)), version);
                                value.$field = sample_field(random, version, null_allowed);
                            }
                        )*
                        value
                    }
                }
            )+
        };
    };
    (@exhaustive $($module:ident)::+; $(
        $name:ident { $($field:ident [$versions:expr $(, null $nullable:expr)?]),* $(,)?
            $(; lacks $($lacking:ident),+)? }
    )+) => {
        const _: () = {
            use $($module)::+ as message;
            $({
                const fn all_fields_named(value: &message::$name) {
                    let message::$name { $($field: _,)* $($($lacking: _,)+)? } = value;
                }
            })+
        };
    };
}

mod admin;

fn contains(versions: &impl std::ops::RangeBounds<i16>, version: i16) -> bool {
    versions.contains(&version)
}

/// A message of ours and the same message of the oracle.
pub(crate) trait Pair: Message + Sample + PartialEq + std::fmt::Debug {
    type Oracle: Encodable
        + Decodable
        + kafka_protocol::protocol::Message
        + Sample
        + PartialEq
        + std::fmt::Debug;
}

/// Something to do with every message.
pub(crate) trait Visitor {
    fn visit<M: Pair>(&mut self, name: &str);
}

values! { api_versions, api_versions_request, ApiVersionsRequest;
    ApiVersionsRequest { client_software_name [3..], client_software_version [3..] }
}
values! { api_versions, api_versions_response, ApiVersionsResponse;
    ApiVersionsResponse {
        error_code [..], api_keys [..], throttle_time_ms [1..], supported_features [3..],
        finalized_features_epoch [3..], finalized_features [3..], zk_migration_ready [3..],
    }
    ApiVersion { api_key [..], min_version [..], max_version [..] }
    SupportedFeatureKey { name [3..], min_version [3..], max_version [3..] }
    FinalizedFeatureKey { name [3..], max_version_level [3..], min_version_level [3..] }
}
values! { metadata, metadata_request, MetadataRequest;
    MetadataRequest {
        topics [.., null 1..], allow_auto_topic_creation [4..],
        include_cluster_authorized_operations [8..=10], include_topic_authorized_operations [8..],
    }
    MetadataRequestTopic { topic_id [10..], name [.., null 10..] }
}
values! { metadata, metadata_response, MetadataResponse;
    MetadataResponse {
        throttle_time_ms [3..], brokers [..], cluster_id [2..], controller_id [1..], topics [..],
        cluster_authorized_operations [8..=10], error_code [13..],
    }
    MetadataResponseBroker { node_id [..], host [..], port [..], rack [1..] }
    MetadataResponseTopic {
        error_code [..], name [.., null 12..], topic_id [10..], is_internal [1..], partitions [..],
        topic_authorized_operations [8..],
    }
    MetadataResponsePartition {
        error_code [..], partition_index [..], leader_id [..], leader_epoch [7..], replica_nodes [..],
        isr_nodes [..], offline_replicas [5..],
    }
}
values! { produce, produce_request, ProduceRequest;
    ProduceRequest { transactional_id [..], acks [..], timeout_ms [..], topic_data [..] }
    TopicProduceData { name [..=12], topic_id [13..], partition_data [..] }
    PartitionProduceData { index [..], records [..] }
}
values! { produce, produce_response, ProduceResponse;
    ProduceResponse { responses [..], throttle_time_ms [..], node_endpoints [10..] }
    TopicProduceResponse { name [..=12], topic_id [13..], partition_responses [..] }
    PartitionProduceResponse {
        index [..], error_code [..], base_offset [..], log_append_time_ms [..], log_start_offset [5..],
        record_errors [8..], error_message [8..], current_leader [10..],
    }
    BatchIndexAndErrorMessage { batch_index [8..], batch_index_error_message [8..] }
    LeaderIdAndEpoch { leader_id [10..], leader_epoch [10..] }
    NodeEndpoint { node_id [10..], host [10..], port [10..], rack [10..] }
}
values! { fetch, fetch_request, FetchRequest;
    FetchRequest {
        cluster_id [12..], replica_id [..=14], replica_state [15..], max_wait_ms [..], min_bytes [..],
        max_bytes [..], isolation_level [..], session_id [7..], session_epoch [7..], topics [..],
        forgotten_topics_data [7..], rack_id [11..],
    }
    ReplicaState { replica_id [15..], replica_epoch [15..] }
    FetchTopic { topic [..=12], topic_id [13..], partitions [..] }
    FetchPartition {
        partition [..], current_leader_epoch [9..], fetch_offset [..], last_fetched_epoch [12..],
        log_start_offset [5..], partition_max_bytes [..], replica_directory_id [17..],
        high_watermark [18..],
    }
    ForgottenTopic { topic [7..=12], topic_id [13..], partitions [7..] }
}
values! { fetch, fetch_response, FetchResponse;
    FetchResponse {
        throttle_time_ms [..], error_code [7..], session_id [7..], responses [..], node_endpoints [16..],
    }
    FetchableTopicResponse { topic [..=12], topic_id [13..], partitions [..] }
    PartitionData {
        partition_index [..], error_code [..], high_watermark [..], last_stable_offset [..],
        log_start_offset [5..], diverging_epoch [12..], current_leader [12..], snapshot_id [12..],
        aborted_transactions [..], preferred_read_replica [11..], records [..],
    }
    EpochEndOffset { epoch [12..], end_offset [12..] }
    LeaderIdAndEpoch { leader_id [12..], leader_epoch [12..] }
    SnapshotId { end_offset [..], epoch [..] }
    AbortedTransaction { producer_id [..], first_offset [..] }
    NodeEndpoint { node_id [16..], host [16..], port [16..], rack [16..] }
}
values! { list_offsets, list_offsets_request, ListOffsetsRequest;
    ListOffsetsRequest { replica_id [..], isolation_level [2..], topics [..], timeout_ms [10..] }
    ListOffsetsTopic { name [..], partitions [..] }
    ListOffsetsPartition { partition_index [..], current_leader_epoch [4..], timestamp [..] }
}
values! { list_offsets, list_offsets_response, ListOffsetsResponse;
    ListOffsetsResponse { throttle_time_ms [2..], topics [..] }
    ListOffsetsTopicResponse { name [..], partitions [..] }
    ListOffsetsPartitionResponse {
        partition_index [..], error_code [..], timestamp [..], offset [..], leader_epoch [4..],
    }
}
values! { create_topics, create_topics_request, CreateTopicsRequest;
    CreateTopicsRequest { topics [..], timeout_ms [..], validate_only [..] }
    CreatableTopic { name [..], num_partitions [..], replication_factor [..], assignments [..], configs [..] }
    CreatableReplicaAssignment { partition_index [..], broker_ids [..] }
    CreatableTopicConfig { name [..], value [..] }
}
values! { create_topics, create_topics_response, CreateTopicsResponse;
    CreateTopicsResponse { throttle_time_ms [..], topics [..] }
    CreatableTopicResult {
        name [..], topic_id [7..], error_code [..], error_message [..], topic_config_error_code [5..],
        num_partitions [5..], replication_factor [5..], configs [5..],
    }
    CreatableTopicConfigs {
        name [5..], value [5..], read_only [5..], config_source [5..], is_sensitive [5..],
    }
}
values! { delete_topics, delete_topics_request, DeleteTopicsRequest;
    DeleteTopicsRequest { topics [6..], topic_names [..=5], timeout_ms [..] }
    DeleteTopicState { name [6..], topic_id [6..] }
}
values! { delete_topics, delete_topics_response, DeleteTopicsResponse;
    DeleteTopicsResponse { throttle_time_ms [..], responses [..] }
    DeletableTopicResult { name [.., null 6..], topic_id [6..], error_code [..], error_message [5..] }
}
values! { describe_configs, describe_configs_request, DescribeConfigsRequest;
    DescribeConfigsRequest { resources [..], include_synonyms [..], include_documentation [3..] }
    DescribeConfigsResource { resource_type [..], resource_name [..], configuration_keys [..] }
}
values! { describe_configs, describe_configs_response, DescribeConfigsResponse;
    DescribeConfigsResponse { throttle_time_ms [..], results [..] }
    DescribeConfigsResult {
        error_code [..], error_message [..], resource_type [..], resource_name [..], configs [..],
    }
    DescribeConfigsResourceResult {
        name [..], value [..], read_only [..], config_source [..], is_sensitive [..], synonyms [..],
        config_type [3..], documentation [3..],
    }
    DescribeConfigsSynonym { name [..], value [..], source [..] }
}
values! { alter_configs, alter_configs_request, AlterConfigsRequest;
    AlterConfigsRequest { resources [..], validate_only [..] }
    AlterConfigsResource { resource_type [..], resource_name [..], configs [..] }
    AlterableConfig { name [..], value [..] }
}
values! { alter_configs, alter_configs_response, AlterConfigsResponse;
    AlterConfigsResponse { throttle_time_ms [..], responses [..] }
    AlterConfigsResourceResponse { error_code [..], error_message [..], resource_type [..], resource_name [..] }
}
values! { incremental_alter_configs, incremental_alter_configs_request, IncrementalAlterConfigsRequest;
    IncrementalAlterConfigsRequest { resources [..], validate_only [..] }
    AlterConfigsResource { resource_type [..], resource_name [..], configs [..] }
    AlterableConfig { name [..], config_operation [..], value [..] }
}
values! { incremental_alter_configs, incremental_alter_configs_response, IncrementalAlterConfigsResponse;
    IncrementalAlterConfigsResponse { throttle_time_ms [..], responses [..] }
    AlterConfigsResourceResponse { error_code [..], error_message [..], resource_type [..], resource_name [..] }
}
values! { list_config_resources, list_config_resources_request, ListConfigResourcesRequest;
    ListConfigResourcesRequest { resource_types [1..] }
}
values! { list_config_resources, list_config_resources_response, ListConfigResourcesResponse;
    ListConfigResourcesResponse { throttle_time_ms [..], error_code [..], config_resources [..] }
    ConfigResource { resource_name [..], resource_type [1..] }
}
values! { find_coordinator, find_coordinator_request, FindCoordinatorRequest;
    FindCoordinatorRequest { key [..=3], key_type [1..], coordinator_keys [4..] }
}
values! { find_coordinator, find_coordinator_response, FindCoordinatorResponse;
    FindCoordinatorResponse {
        throttle_time_ms [1..], error_code [..=3], error_message [1..=3], node_id [..=3], host [..=3],
        port [..=3], coordinators [4..],
    }
    Coordinator { key [4..], node_id [4..], host [4..], port [4..], error_code [4..], error_message [4..] }
}
values! { join_group, join_group_request, JoinGroupRequest;
    JoinGroupRequest {
        group_id [..], session_timeout_ms [..], rebalance_timeout_ms [1..], member_id [..],
        group_instance_id [5..], protocol_type [..], protocols [..], reason [8..],
    }
    JoinGroupRequestProtocol { name [..], metadata [..] }
}
values! { join_group, join_group_response, JoinGroupResponse;
    JoinGroupResponse {
        throttle_time_ms [2..], error_code [..], generation_id [..], protocol_type [7..],
        protocol_name [.., null 7..], leader [..], skip_assignment [9..], member_id [..], members [..],
    }
    JoinGroupResponseMember { member_id [..], group_instance_id [5..], metadata [..] }
}
values! { sync_group, sync_group_request, SyncGroupRequest;
    SyncGroupRequest {
        group_id [..], generation_id [..], member_id [..], group_instance_id [3..], protocol_type [5..],
        protocol_name [5..], assignments [..],
    }
    SyncGroupRequestAssignment { member_id [..], assignment [..] }
}
values! { sync_group, sync_group_response, SyncGroupResponse;
    SyncGroupResponse {
        throttle_time_ms [1..], error_code [..], protocol_type [5..], protocol_name [5..], assignment [..],
    }
}
values! { heartbeat, heartbeat_request, HeartbeatRequest;
    HeartbeatRequest { group_id [..], generation_id [..], member_id [..], group_instance_id [3..] }
}
values! { heartbeat, heartbeat_response, HeartbeatResponse;
    HeartbeatResponse { throttle_time_ms [1..], error_code [..] }
}
values! { leave_group, leave_group_request, LeaveGroupRequest;
    LeaveGroupRequest { group_id [..], member_id [..=2], members [3..] }
    MemberIdentity { member_id [3..], group_instance_id [3..], reason [5..] }
}
values! { leave_group, leave_group_response, LeaveGroupResponse;
    LeaveGroupResponse { throttle_time_ms [1..], error_code [..], members [3..] }
    MemberResponse { member_id [3..], group_instance_id [3..], error_code [3..] }
}
values! { offset_commit, offset_commit_request, OffsetCommitRequest;
    OffsetCommitRequest {
        group_id [..], generation_id_or_member_epoch [..], member_id [..], group_instance_id [7..],
        retention_time_ms [..=4], topics [..],
    }
    OffsetCommitRequestTopic { name [..=9], topic_id [10..], partitions [..] }
    OffsetCommitRequestPartition {
        partition_index [..], committed_offset [..], committed_leader_epoch [6..], committed_metadata [..],
    }
}
values! { offset_commit, offset_commit_response, OffsetCommitResponse;
    OffsetCommitResponse { throttle_time_ms [3..], topics [..] }
    OffsetCommitResponseTopic { name [..=9], topic_id [10..], partitions [..] }
    OffsetCommitResponsePartition { partition_index [..], error_code [..] }
}
values! { offset_fetch, offset_fetch_request, OffsetFetchRequest;
    OffsetFetchRequest { group_id [..=7], topics [..=7, null 2..=7], groups [8..], require_stable [7..] }
    OffsetFetchRequestTopic { name [..=7], partition_indexes [..=7] }
    OffsetFetchRequestGroup { group_id [8..], member_id [9..], member_epoch [9..], topics [8..] }
    OffsetFetchRequestTopics { name [8..=9], topic_id [10..], partition_indexes [8..] }
}
values! { offset_fetch, offset_fetch_response, OffsetFetchResponse;
    OffsetFetchResponse { throttle_time_ms [3..], topics [..=7], error_code [2..=7], groups [8..] }
    OffsetFetchResponseTopic { name [..=7], partitions [..=7] }
    OffsetFetchResponsePartition {
        partition_index [..=7], committed_offset [..=7], committed_leader_epoch [5..=7], metadata [..=7],
        error_code [..=7],
    }
    OffsetFetchResponseGroup { group_id [8..], topics [8..], error_code [8..] }
    OffsetFetchResponseTopics { name [8..=9], topic_id [10..], partitions [8..] }
    OffsetFetchResponsePartitions {
        partition_index [8..], committed_offset [8..], committed_leader_epoch [8..], metadata [8..],
        error_code [8..],
    }
}
values! { list_groups, list_groups_request, ListGroupsRequest;
    ListGroupsRequest { states_filter [4..], types_filter [5..] }
}
values! { list_groups, list_groups_response, ListGroupsResponse;
    ListGroupsResponse { throttle_time_ms [1..], error_code [..], groups [..] }
    ListedGroup { group_id [..], protocol_type [..], group_state [4..], group_type [5..] }
}
values! { describe_groups, describe_groups_request, DescribeGroupsRequest;
    DescribeGroupsRequest { groups [..], include_authorized_operations [3..] }
}
values! { describe_groups, describe_groups_response, DescribeGroupsResponse;
    DescribeGroupsResponse { throttle_time_ms [1..], groups [..] }
    DescribedGroup {
        error_code [..], error_message [6..], group_id [..], group_state [..], protocol_type [..],
        protocol_data [..], members [..], authorized_operations [3..],
    }
    DescribedGroupMember {
        member_id [..], group_instance_id [4..], client_id [..], client_host [..], member_metadata [..],
        member_assignment [..],
    }
}
values! { delete_groups, delete_groups_request, DeleteGroupsRequest;
    DeleteGroupsRequest { groups_names [..] }
}
values! { delete_groups, delete_groups_response, DeleteGroupsResponse;
    DeleteGroupsResponse { throttle_time_ms [..], results [..] }
    DeletableGroupResult { group_id [..], error_code [..] }
}
values! { offset_delete, offset_delete_request, OffsetDeleteRequest;
    OffsetDeleteRequest { group_id [..], topics [..] }
    OffsetDeleteRequestTopic { name [..], partitions [..] }
    OffsetDeleteRequestPartition { partition_index [..] }
}
values! { offset_delete, offset_delete_response, OffsetDeleteResponse;
    OffsetDeleteResponse { error_code [..], throttle_time_ms [..], topics [..] }
    OffsetDeleteResponseTopic { name [..], partitions [..] }
    OffsetDeleteResponsePartition { partition_index [..], error_code [..] }
}
values! { init_producer_id, init_producer_id_request, InitProducerIdRequest;
    InitProducerIdRequest {
        transactional_id [..], transaction_timeout_ms [..], producer_id [3..], producer_epoch [3..],
    }
}
values! { init_producer_id, init_producer_id_response, InitProducerIdResponse;
    InitProducerIdResponse { throttle_time_ms [..], error_code [..], producer_id [..], producer_epoch [..] }
}
values! { consumer_group_heartbeat, consumer_group_heartbeat_request, ConsumerGroupHeartbeatRequest;
    ConsumerGroupHeartbeatRequest {
        group_id [..], member_id [..], member_epoch [..], instance_id [..], rack_id [..], rebalance_timeout_ms [..],
        subscribed_topic_names [..], subscribed_topic_regex [1..], server_assignor [..], topic_partitions [..],
    }
    TopicPartitions { topic_id [..], partitions [..] }
}
// The response has a struct of its own that is the same as the request's: ours is one.
values! { @fields kafka_protocol::messages::consumer_group_heartbeat_response;
    ConsumerGroupHeartbeatResponse {
        throttle_time_ms [..], error_code [..], error_message [..], member_id [..], member_epoch [..],
        heartbeat_interval_ms [..], assignment [..],
    }
    Assignment { topic_partitions [..] }
    TopicPartitions { topic_id [..], partitions [..] }
}
values! { @fields headrace_protocol::consumer_group_heartbeat;
    ConsumerGroupHeartbeatResponse {
        throttle_time_ms [..], error_code [..], error_message [..], member_id [..], member_epoch [..],
        heartbeat_interval_ms [..], assignment [..],
    }
    Assignment { topic_partitions [..] }
}
values! { @exhaustive headrace_protocol::consumer_group_heartbeat;
    ConsumerGroupHeartbeatResponse {
        throttle_time_ms [..], error_code [..], error_message [..], member_id [..], member_epoch [..],
        heartbeat_interval_ms [..], assignment [..],
    }
    Assignment { topic_partitions [..] }
}

impl Pair for headrace_protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse {
    type Oracle = kafka_protocol::messages::ConsumerGroupHeartbeatResponse;
}

values! { consumer_group_describe, consumer_group_describe_request, ConsumerGroupDescribeRequest;
    ConsumerGroupDescribeRequest { group_ids [..], include_authorized_operations [..] }
}
values! { consumer_group_describe, consumer_group_describe_response, ConsumerGroupDescribeResponse;
    ConsumerGroupDescribeResponse { throttle_time_ms [..], groups [..] }
    DescribedGroup {
        error_code [..], error_message [..], group_id [..], group_state [..], group_epoch [..],
        assignment_epoch [..], assignor_name [..], members [..], authorized_operations [..],
    }
    Member {
        member_id [..], instance_id [..], rack_id [..], member_epoch [..], client_id [..], client_host [..],
        subscribed_topic_names [..], subscribed_topic_regex [..], assignment [..], target_assignment [..],
        member_type [1..],
    }
    Assignment { topic_partitions [..] }
    TopicPartitions { topic_id [..], topic_name [..], partitions [..] }
}
values! { @fields kafka_protocol::messages::consumer_protocol_subscription;
    ConsumerProtocolSubscription {
        topics [..], user_data [..], owned_partitions [1..], generation_id [2..], rack_id [3..],
    }
    TopicPartition { topic [..], partitions [..] }
}
values! { @fields kafka_protocol::messages::consumer_protocol_assignment;
    ConsumerProtocolAssignment { assigned_partitions [..], user_data [..] }
    TopicPartition { topic [..], partitions [..] }
}
values! { @fields headrace_protocol::consumer_protocol;
    ConsumerProtocolSubscription {
        topics [..], user_data [..], owned_partitions [1..], generation_id [2..], rack_id [3..],
    }
    ConsumerProtocolAssignment { assigned_partitions [..], user_data [..] }
    TopicPartition { topic [..], partitions [..] }
}

impl Pair for headrace_protocol::consumer_protocol::ConsumerProtocolSubscription {
    type Oracle = kafka_protocol::messages::ConsumerProtocolSubscription;
}

impl Pair for headrace_protocol::consumer_protocol::ConsumerProtocolAssignment {
    type Oracle = kafka_protocol::messages::ConsumerProtocolAssignment;
}

/// Visits every message of every API, and what consumers put into their groups.
pub(crate) fn for_each_message(visitor: &mut impl Visitor) {
    macro_rules! visit {
        ($($module:ident::$message:ident,)+) => {
            $(visitor.visit::<headrace_protocol::$module::$message>(stringify!($message));)+
        };
    }
    visit! {
        api_versions::ApiVersionsRequest,
        api_versions::ApiVersionsResponse,
        metadata::MetadataRequest,
        metadata::MetadataResponse,
        produce::ProduceRequest,
        produce::ProduceResponse,
        fetch::FetchRequest,
        fetch::FetchResponse,
        list_offsets::ListOffsetsRequest,
        list_offsets::ListOffsetsResponse,
        create_topics::CreateTopicsRequest,
        create_topics::CreateTopicsResponse,
        delete_topics::DeleteTopicsRequest,
        delete_topics::DeleteTopicsResponse,
        describe_configs::DescribeConfigsRequest,
        describe_configs::DescribeConfigsResponse,
        alter_configs::AlterConfigsRequest,
        alter_configs::AlterConfigsResponse,
        incremental_alter_configs::IncrementalAlterConfigsRequest,
        incremental_alter_configs::IncrementalAlterConfigsResponse,
        list_config_resources::ListConfigResourcesRequest,
        list_config_resources::ListConfigResourcesResponse,
        find_coordinator::FindCoordinatorRequest,
        find_coordinator::FindCoordinatorResponse,
        join_group::JoinGroupRequest,
        join_group::JoinGroupResponse,
        sync_group::SyncGroupRequest,
        sync_group::SyncGroupResponse,
        heartbeat::HeartbeatRequest,
        heartbeat::HeartbeatResponse,
        leave_group::LeaveGroupRequest,
        leave_group::LeaveGroupResponse,
        offset_commit::OffsetCommitRequest,
        offset_commit::OffsetCommitResponse,
        offset_fetch::OffsetFetchRequest,
        offset_fetch::OffsetFetchResponse,
        list_groups::ListGroupsRequest,
        list_groups::ListGroupsResponse,
        describe_groups::DescribeGroupsRequest,
        describe_groups::DescribeGroupsResponse,
        delete_groups::DeleteGroupsRequest,
        delete_groups::DeleteGroupsResponse,
        offset_delete::OffsetDeleteRequest,
        offset_delete::OffsetDeleteResponse,
        init_producer_id::InitProducerIdRequest,
        init_producer_id::InitProducerIdResponse,
        consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
        consumer_group_heartbeat::ConsumerGroupHeartbeatResponse,
        consumer_group_describe::ConsumerGroupDescribeRequest,
        consumer_group_describe::ConsumerGroupDescribeResponse,
        consumer_protocol::ConsumerProtocolSubscription,
        consumer_protocol::ConsumerProtocolAssignment,
    }
    admin::for_each_message(visitor);
}
