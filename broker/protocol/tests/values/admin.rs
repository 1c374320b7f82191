//! The messages of admin clients about topics, leaders, disks and rules.

use super::{Pair, Random, Sample, Visitor, contains, sample_field};

values! { delete_records, delete_records_request, DeleteRecordsRequest;
    DeleteRecordsRequest { topics [..], timeout_ms [..] }
    DeleteRecordsTopic { name [..], partitions [..] }
    DeleteRecordsPartition { partition_index [..], offset [..] }
}
values! { delete_records, delete_records_response, DeleteRecordsResponse;
    DeleteRecordsResponse { throttle_time_ms [..], topics [..] }
    DeleteRecordsTopicResult { name [..], partitions [..] }
    DeleteRecordsPartitionResult { partition_index [..], low_watermark [..], error_code [..] }
}
values! { offset_for_leader_epoch, offset_for_leader_epoch_request, OffsetForLeaderEpochRequest;
    OffsetForLeaderEpochRequest { replica_id [3..], topics [..] }
    OffsetForLeaderTopic { topic [..], partitions [..] }
    OffsetForLeaderPartition { partition [..], current_leader_epoch [..], leader_epoch [..] }
}
values! { offset_for_leader_epoch, offset_for_leader_epoch_response, OffsetForLeaderEpochResponse;
    OffsetForLeaderEpochResponse { throttle_time_ms [..], topics [..] }
    OffsetForLeaderTopicResult { topic [..], partitions [..] }
    EpochEndOffset { error_code [..], partition [..], leader_epoch [..], end_offset [..] }
}
values! { describe_acls, describe_acls_request, DescribeAclsRequest;
    DescribeAclsRequest {
        resource_type_filter [..], resource_name_filter [..], pattern_type_filter [..], principal_filter [..],
        host_filter [..], operation [..], permission_type [..],
    }
}
values! { describe_acls, describe_acls_response, DescribeAclsResponse;
    DescribeAclsResponse { throttle_time_ms [..], error_code [..], error_message [..], resources [..] }
    DescribeAclsResource { resource_type [..], resource_name [..], pattern_type [..], acls [..] }
    AclDescription { principal [..], host [..], operation [..], permission_type [..] }
}
values! { create_acls, create_acls_request, CreateAclsRequest;
    CreateAclsRequest { creations [..] }
    AclCreation {
        resource_type [..], resource_name [..], resource_pattern_type [..], principal [..], host [..],
        operation [..], permission_type [..],
    }
}
values! { create_acls, create_acls_response, CreateAclsResponse;
    CreateAclsResponse { throttle_time_ms [..], results [..] }
    AclCreationResult { error_code [..], error_message [..] }
}
values! { delete_acls, delete_acls_request, DeleteAclsRequest;
    DeleteAclsRequest { filters [..] }
    DeleteAclsFilter {
        resource_type_filter [..], resource_name_filter [..], pattern_type_filter [..], principal_filter [..],
        host_filter [..], operation [..], permission_type [..],
    }
}
values! { delete_acls, delete_acls_response, DeleteAclsResponse;
    DeleteAclsResponse { throttle_time_ms [..], filter_results [..] }
    DeleteAclsFilterResult { error_code [..], error_message [..], matching_acls [..] }
    DeleteAclsMatchingAcl {
        error_code [..], error_message [..], resource_type [..], resource_name [..], pattern_type [..],
        principal [..], host [..], operation [..], permission_type [..],
    }
}
values! { describe_log_dirs, describe_log_dirs_request, DescribeLogDirsRequest;
    DescribeLogDirsRequest { topics [..] }
    DescribableLogDirTopic { topic [..], partitions [..] }
}
values! { describe_log_dirs, describe_log_dirs_response, DescribeLogDirsResponse;
    DescribeLogDirsResponse { throttle_time_ms [..], error_code [3..], results [..] }
    DescribeLogDirsResult {
        error_code [..], log_dir [..], topics [..], total_bytes [4..], usable_bytes [4..];
        lacks is_cordoned
    }
    DescribeLogDirsTopic { name [..], partitions [..] }
    DescribeLogDirsPartition { partition_index [..], partition_size [..], offset_lag [..], is_future_key [..] }
}
values! { create_partitions, create_partitions_request, CreatePartitionsRequest;
    CreatePartitionsRequest { topics [..], timeout_ms [..], validate_only [..] }
    CreatePartitionsTopic { name [..], count [..], assignments [..] }
    CreatePartitionsAssignment { broker_ids [..] }
}
values! { create_partitions, create_partitions_response, CreatePartitionsResponse;
    CreatePartitionsResponse { throttle_time_ms [..], results [..] }
    CreatePartitionsTopicResult { name [..], error_code [..], error_message [..] }
}
values! { elect_leaders, elect_leaders_request, ElectLeadersRequest;
    ElectLeadersRequest { election_type [1..], topic_partitions [..], timeout_ms [..] }
    TopicPartitions { topic [..], partitions [..] }
}
values! { elect_leaders, elect_leaders_response, ElectLeadersResponse;
    ElectLeadersResponse { throttle_time_ms [..], error_code [1..], replica_election_results [..] }
    ReplicaElectionResult { topic [..], partition_result [..] }
    PartitionResult { partition_id [..], error_code [..], error_message [..] }
}
values! { alter_partition_reassignments, alter_partition_reassignments_request, AlterPartitionReassignmentsRequest;
    AlterPartitionReassignmentsRequest { timeout_ms [..], allow_replication_factor_change [1..], topics [..] }
    ReassignableTopic { name [..], partitions [..] }
    ReassignablePartition { partition_index [..], replicas [..] }
}
values! { alter_partition_reassignments, alter_partition_reassignments_response, AlterPartitionReassignmentsResponse;
    AlterPartitionReassignmentsResponse {
        throttle_time_ms [..], allow_replication_factor_change [1..], error_code [..], error_message [..],
        responses [..],
    }
    ReassignableTopicResponse { name [..], partitions [..] }
    ReassignablePartitionResponse { partition_index [..], error_code [..], error_message [..] }
}
values! { list_partition_reassignments, list_partition_reassignments_request, ListPartitionReassignmentsRequest;
    ListPartitionReassignmentsRequest { timeout_ms [..], topics [..] }
    ListPartitionReassignmentsTopics { name [..], partition_indexes [..] }
}
values! { list_partition_reassignments, list_partition_reassignments_response, ListPartitionReassignmentsResponse;
    ListPartitionReassignmentsResponse { throttle_time_ms [..], error_code [..], error_message [..], topics [..] }
    OngoingTopicReassignment { name [..], partitions [..] }
    OngoingPartitionReassignment {
        partition_index [..], replicas [..], adding_replicas [..], removing_replicas [..],
    }
}
values! { describe_cluster, describe_cluster_request, DescribeClusterRequest;
    DescribeClusterRequest {
        include_cluster_authorized_operations [..], endpoint_type [1..], include_fenced_brokers [2..],
    }
}
values! { describe_cluster, describe_cluster_response, DescribeClusterResponse;
    DescribeClusterResponse {
        throttle_time_ms [..], error_code [..], error_message [..], endpoint_type [1..], cluster_id [..],
        controller_id [..], brokers [..], cluster_authorized_operations [..],
    }
    DescribeClusterBroker { broker_id [..], host [..], port [..], rack [..], is_fenced [2..] }
}
values! { describe_producers, describe_producers_request, DescribeProducersRequest;
    DescribeProducersRequest { topics [..] }
    TopicRequest { name [..], partition_indexes [..] }
}
values! { describe_producers, describe_producers_response, DescribeProducersResponse;
    DescribeProducersResponse { throttle_time_ms [..], topics [..] }
    TopicResponse { name [..], partitions [..] }
    PartitionResponse { partition_index [..], error_code [..], error_message [..], active_producers [..] }
    ProducerState {
        producer_id [..], producer_epoch [..], last_sequence [..], last_timestamp [..], coordinator_epoch [..],
        current_txn_start_offset [..],
    }
}
values! { describe_topic_partitions, describe_topic_partitions_request, DescribeTopicPartitionsRequest;
    DescribeTopicPartitionsRequest { topics [..], response_partition_limit [..], cursor [..] }
    TopicRequest { name [..] }
    Cursor { topic_name [..], partition_index [..] }
}
values! { describe_topic_partitions, describe_topic_partitions_response, DescribeTopicPartitionsResponse;
    DescribeTopicPartitionsResponse { throttle_time_ms [..], topics [..], next_cursor [..] }
    DescribeTopicPartitionsResponseTopic {
        error_code [..], name [..], topic_id [..], is_internal [..], partitions [..],
        topic_authorized_operations [..],
    }
    DescribeTopicPartitionsResponsePartition {
        error_code [..], partition_index [..], leader_id [..], leader_epoch [..], replica_nodes [..], isr_nodes [..],
        eligible_leader_replicas [..], last_known_elr [..], offline_replicas [..],
    }
}
values! { @fields kafka_protocol::messages::describe_topic_partitions_response;
    Cursor { topic_name [..], partition_index [..] }
}

pub(super) fn for_each_message(visitor: &mut impl Visitor) {
    macro_rules! visit {
        ($($module:ident::$message:ident,)+) => {
            $(visitor.visit::<headrace_protocol::$module::$message>(stringify!($message));)+
        };
    }
    visit! {
        delete_records::DeleteRecordsRequest,
        delete_records::DeleteRecordsResponse,
        offset_for_leader_epoch::OffsetForLeaderEpochRequest,
        offset_for_leader_epoch::OffsetForLeaderEpochResponse,
        describe_acls::DescribeAclsRequest,
        describe_acls::DescribeAclsResponse,
        create_acls::CreateAclsRequest,
        create_acls::CreateAclsResponse,
        delete_acls::DeleteAclsRequest,
        delete_acls::DeleteAclsResponse,
        describe_log_dirs::DescribeLogDirsRequest,
        describe_log_dirs::DescribeLogDirsResponse,
        create_partitions::CreatePartitionsRequest,
        create_partitions::CreatePartitionsResponse,
        elect_leaders::ElectLeadersRequest,
        elect_leaders::ElectLeadersResponse,
        alter_partition_reassignments::AlterPartitionReassignmentsRequest,
        alter_partition_reassignments::AlterPartitionReassignmentsResponse,
        list_partition_reassignments::ListPartitionReassignmentsRequest,
        list_partition_reassignments::ListPartitionReassignmentsResponse,
        describe_cluster::DescribeClusterRequest,
        describe_cluster::DescribeClusterResponse,
        describe_producers::DescribeProducersRequest,
        describe_producers::DescribeProducersResponse,
        describe_topic_partitions::DescribeTopicPartitionsRequest,
        describe_topic_partitions::DescribeTopicPartitionsResponse,
    }
}
