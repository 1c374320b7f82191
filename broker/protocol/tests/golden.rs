//! Bytes written down by hand from the protocol's definition, read and written, and the traps of framing and versions:
//! the one answer that has another layout than was asked for, the header exceptions, unknown tagged fields, null
//! against empty, and values that a version has no field for.

#[path = "golden/admin.rs"]
mod admin;

use bytes::Bytes;
use headrace_protocol::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, SupportedFeatureKey,
};
use headrace_protocol::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use headrace_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition, decode_versioned,
    encode_versioned,
};
use headrace_protocol::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use headrace_protocol::header::{
    RequestHeader, decode_request_frame, decode_response_frame, encode_request_frame,
    encode_response_frame,
};
use headrace_protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use headrace_protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use headrace_protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use headrace_protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
    OffsetFetchResponsePartition,
};
use headrace_protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use headrace_protocol::{
    ApiKey, DecodeError, Decoder, EncodeError, Encoder, ErrorCode, Message, Piece, Records,
    Request, StoredBytes, Str,
};
use uuid::Uuid;

const TOPIC_ID: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

/// Bytes of hexadecimal digits; blanks separate fields.
fn hex(digits: &str) -> Bytes {
    let digits: Vec<_> = digits
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).expect("hexadecimal"))
        .collect()
}

fn encode<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut to = Encoder::new();
    message.encode(&mut to, version)?;
    Ok(to.finish()?.concat().into())
}

fn decode<M: Message>(bytes: &Bytes, version: i16) -> Result<M, DecodeError> {
    M::decode(&mut Decoder::new(bytes.clone()), version)
}

/// The message is written as these bytes, and they are read as this message.
fn golden<M: Message + PartialEq + std::fmt::Debug>(message: &M, version: i16, digits: &str) {
    assert_eq!(encode(message, version), Ok(hex(digits)), "{message:?}");
    assert_eq!(decode::<M>(&hex(digits), version).as_ref(), Ok(message));
}

/// trap 1
#[test]
fn an_unsupported_api_versions_request_is_answered_in_the_layout_of_version_0() {
    let frame = ApiVersionsResponse::unsupported_version_frame(0x0a0b_0c0d).unwrap();
    let frame = Piece::all_in_memory(frame).unwrap().concat();
    // length | correlation id, no tags | error 35 | int32 count | key 18, 0 to 4 | no throttle time, no tags
    assert_eq!(
        Bytes::from(frame),
        hex("00000010 0a0b0c0d 0023 00000001 0012 0000 0004")
    );
}

/// trap 2
#[test]
fn a_response_to_flexible_api_versions_has_the_old_header() {
    let response = ApiVersionsResponse {
        api_keys: vec![ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 4,
        }],
        supported_features: vec![SupportedFeatureKey {
            name: Str::from_static("f"),
            min_version: 1,
            max_version: 2,
        }],
        finalized_features_epoch: 7,
        ..ApiVersionsResponse::default()
    };
    let body =
        "0000 02 001200000004 00 00000000 02 00 08 02 0266 0001 0002 00 01 08 0000000000000007";
    golden(&response, 3, body);
    let frame = encode_response_frame::<ApiVersionsRequest>(5, 3, &response).unwrap();
    let frame = Piece::all_in_memory(frame).unwrap().concat();
    assert_eq!(
        Bytes::from(frame.clone()),
        hex(&format!("00000027 00000005 {body}"))
    );
    let (header, read) =
        decode_response_frame::<ApiVersionsRequest>(Bytes::from(frame).slice(4..), 3).unwrap();
    assert_eq!((header.correlation_id, read), (5, response));
}

/// trap 1, trap 5
#[test]
fn a_request_for_api_versions_names_the_software_from_version_3_on() {
    let request = ApiVersionsRequest {
        client_software_name: Str::from_static("kcat"),
        client_software_version: Str::from_static("1.7"),
    };
    golden(&request, 3, "05 6b636174 04 312e37 00");
    golden(&request, 4, "05 6b636174 04 312e37 00");
    for version in 0..=2 {
        assert_eq!(encode(&request, version), Ok(Bytes::new()));
        let read = decode::<ApiVersionsRequest>(&Bytes::new(), version);
        assert_eq!(read, Ok(ApiVersionsRequest::default()));
    }
}

/// trap 5: no feature is listed, so none with the minimum 0 that version 3 cannot carry
#[test]
fn api_versions_are_laid_out_as_each_version_says() {
    let response = ApiVersionsResponse {
        api_keys: vec![ApiVersion {
            api_key: 0,
            min_version: 0,
            max_version: 13,
        }],
        ..ApiVersionsResponse::default()
    };
    golden(&response, 0, "0000 00000001 0000 0000 000d");
    for version in [1, 2] {
        golden(&response, version, "0000 00000001 0000 0000 000d 00000000");
    }
    for version in [3, 4] {
        golden(&response, version, "0000 02 0000 0000 000d 00 00000000 00");
    }
}

/// trap 2
#[test]
fn a_flexible_request_header_keeps_its_int16_client_id_and_skips_tags() {
    let frame = hex("000c 0004 00000007 0001 63 02 00 01 ff 63 02 aabb  0267 00000003 026d 00 00");
    let (header, mut body) = decode_request_frame(frame).unwrap();
    let expected = RequestHeader {
        api_key: 12,
        api_version: 4,
        correlation_id: 7,
        client_id: Some(Str::from_static("c")),
    };
    assert_eq!(header, expected);
    let request = HeartbeatRequest::decode(&mut body, 4).unwrap();
    let expected = HeartbeatRequest {
        group_id: Str::from_static("g"),
        generation_id: 3,
        member_id: Str::from_static("m"),
        group_instance_id: None,
    };
    assert_eq!(request, expected);
    assert_eq!(body.left(), 0);

    let frame = encode_request_frame(7, None, 0, &expected)
        .unwrap()
        .concat();
    assert_eq!(
        Bytes::from(frame),
        hex("00000014 000c 0000 00000007 ffff 0001 67 00000003 0001 6d")
    );
}

/// trap 7
#[test]
fn unknown_tagged_fields_are_skipped_at_every_depth() {
    let topic = |tags: &str| format!("{} 0261 {tags}", "00".repeat(16));
    let plain = hex(&format!("02 {} 01 00 00", topic("00")));
    let tagged = hex(&format!(
        "02 {} 01 00 02 05 00 90 01 03 010203",
        topic("01 07 02 ffff")
    ));
    let request = decode::<MetadataRequest>(&plain, 12).unwrap();
    assert_eq!(request.topics.as_ref().map(Vec::len), Some(1));
    assert_eq!(decode::<MetadataRequest>(&tagged, 12), Ok(request));
}

#[test]
fn a_tagged_field_must_end_where_its_size_says() {
    let fetch = |tags: &str| {
        hex(&format!(
            "{} 01 01 01 {tags}",
            "00".repeat(4 * 3 + 1 + 4 + 4)
        ))
    };
    let read = |tags: &str| decode::<FetchRequest>(&fetch(tags), 15);
    assert_eq!(
        read("01 00 03 036162").unwrap().cluster_id.as_deref(),
        Some("ab")
    );
    assert_eq!(read("01 00 04 036162 00"), Err(DecodeError::Tag(0)));
    assert_eq!(read("01 00 02 036162"), Err(DecodeError::Tag(0)));
    assert_eq!(
        read("01 00 09 036162"),
        Err(DecodeError::Short { wanted: 9, left: 3 })
    );
}

/// trap 7, trap 10
#[test]
fn null_and_empty_topics_differ_from_metadata_version_1_on() {
    let none = MetadataRequest {
        topics: Some(Vec::new()),
        ..MetadataRequest::default()
    };
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    golden(&none, 0, "00000000");
    golden(&none, 1, "00000000");
    golden(&all, 1, "ffffffff");
    golden(&all, 9, "00 01 00 00 00");
    golden(&none, 9, "01 01 00 00 00");
    assert_eq!(
        encode(&all, 0),
        Err(EncodeError::Null {
            field: "topics",
            version: 0
        })
    );
    assert_eq!(
        decode::<MetadataRequest>(&hex("ffffffff"), 0),
        Err(DecodeError::Null)
    );
    let by_id = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            topic_id: TOPIC_ID,
            name: None,
        }]),
        ..MetadataRequest::default()
    };
    golden(
        &by_id,
        12,
        "02 0102030405060708090a0b0c0d0e0f10 00 00 01 00 00",
    );
}

#[test]
fn a_value_without_a_field_is_an_error_unless_the_field_is_ignorable() {
    let response = MetadataResponse {
        cluster_id: Some(Str::from_static("c")),
        controller_id: 1,
        throttle_time_ms: 9,
        ..MetadataResponse::default()
    };
    golden(&MetadataResponse::default(), 0, "00000000 00000000");
    assert_eq!(
        encode(&response, 0),
        Ok(hex("00000000 00000000")),
        "all of them are ignorable"
    );

    let static_member = HeartbeatRequest {
        group_instance_id: Some(Str::from_static("i")),
        ..HeartbeatRequest::default()
    };
    let error = EncodeError::Field {
        field: "group_instance_id",
        version: 2,
    };
    assert_eq!(encode(&static_member, 2), Err(error));
    assert!(encode(&static_member, 3).is_ok());
    assert_eq!(
        encode(&static_member, 5),
        Err(EncodeError::Version {
            key: 12,
            version: 5
        })
    );
    assert_eq!(
        decode::<HeartbeatRequest>(&hex("00"), -1),
        Err(DecodeError::Version {
            key: 12,
            version: -1
        })
    );
}

#[test]
fn commits_by_topic_id_are_as_kafka_writes_them() {
    let commit = OffsetCommitRequest {
        group_id: Str::from_static("g"),
        generation_id_or_member_epoch: 3,
        member_id: Str::from_static("m"),
        topics: vec![OffsetCommitRequestTopic {
            topic_id: TOPIC_ID,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 1,
                committed_offset: 258,
                committed_leader_epoch: 5,
                committed_metadata: Some(Str::from_static("x")),
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let partition = "00000001 0000000000000102 00000005 0278 00";
    let topic = format!("0102030405060708090a0b0c0d0e0f10 02 {partition} 00");
    golden(&commit, 10, &format!("0267 00000003 026d 00 02 {topic} 00"));
    golden(
        &OffsetCommitResponse {
            throttle_time_ms: 1,
            ..OffsetCommitResponse::default()
        },
        10,
        "00000001 01 00",
    );

    let fetch = OffsetFetchRequest {
        require_stable: true,
        groups: vec![
            OffsetFetchRequestGroup {
                group_id: Str::from_static("g"),
                member_id: Some(Str::from_static("m")),
                member_epoch: 2,
                topics: Some(vec![OffsetFetchRequestTopics {
                    topic_id: TOPIC_ID,
                    partition_indexes: vec![0, 1],
                    ..OffsetFetchRequestTopics::default()
                }]),
            },
            OffsetFetchRequestGroup {
                group_id: Str::from_static("h"),
                ..OffsetFetchRequestGroup::default()
            },
        ],
        ..OffsetFetchRequest::default()
    };
    let first = "0267 026d 00000002 02 0102030405060708090a0b0c0d0e0f10 03 00000000 00000001 00 00";
    golden(
        &fetch,
        10,
        &format!("03 {first} 0268 00 ffffffff 00 00 01 00"),
    );
}

#[test]
fn a_struct_that_may_be_null_has_a_byte_before_it() {
    let kept = ConsumerGroupHeartbeatResponse {
        member_id: Some("m".into()),
        member_epoch: 2,
        heartbeat_interval_ms: 5000,
        ..ConsumerGroupHeartbeatResponse::default()
    };
    golden(&kept, 1, "00000000 0000 00 02 6d 00000002 00001388 ff 00");
    let part = TopicPartitions {
        topic_id: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        partitions: vec![7],
    };
    let assigned = ConsumerGroupHeartbeatResponse {
        assignment: Some(Assignment {
            topic_partitions: vec![part],
        }),
        ..kept
    };
    golden(
        &assigned,
        1,
        "00000000 0000 00 02 6d 00000002 00001388
         01 02 00112233445566778899aabbccddeeff 02 00000007 00 00 00",
    );
}

/// trap 31
#[test]
fn a_partition_with_another_leader_names_it_in_a_tag() {
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic_id: TOPIC_ID,
            partitions: vec![PartitionData {
                partition_index: 1,
                error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
                current_leader: LeaderIdAndEpoch {
                    leader_id: 2,
                    leader_epoch: 7,
                },
                ..PartitionData::default()
            }],
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    };
    let partition = format!(
        "00000001 0006 {} 00 ffffffff 01 01 01 09 00000002 00000007 00",
        "ff".repeat(24)
    );
    let topic = format!("0102030405060708090a0b0c0d0e0f10 02 {partition} 00");
    golden(
        &response,
        16,
        &format!("00000000 0000 00000000 02 {topic} 00"),
    );
}

#[test]
fn record_sets_are_spliced_into_the_frame_and_sliced_out_of_it() {
    let pieces = [Bytes::from(vec![1; 5000]), Bytes::from(vec![2; 600])];
    let request = ProduceRequest {
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: Str::from_static("t"),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Records::from(pieces.to_vec())),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let segments = encode_request_frame(1, None, 9, &request).unwrap();
    let places: Vec<_> = segments.iter().map(|segment| segment.as_ptr()).collect();
    assert_eq!(segments.len(), 4, "front, two pieces, tags");
    assert_eq!(
        places[1..3],
        [pieces[0].as_ptr(), pieces[1].as_ptr()],
        "not copied"
    );

    let frame = Bytes::from(segments.concat()).slice(4..);
    let (_, mut body) = decode_request_frame(frame.clone()).unwrap();
    let read = ProduceRequest::decode(&mut body, 9).unwrap();
    assert_eq!(read, request);
    let records = read.topic_data[0].partition_data[0]
        .records
        .clone()
        .unwrap()
        .into_bytes()
        .unwrap();
    assert!(
        frame.as_ptr_range().contains(&records.as_ptr()),
        "not copied"
    );
    assert_eq!(records.len(), 5600);
}

/// Records that lie elsewhere; `None` where they cannot be read.
#[derive(Debug)]
struct Elsewhere(Option<Bytes>);

impl StoredBytes for Elsewhere {
    fn len(&self) -> usize {
        self.0.as_ref().map_or(1000, Bytes::len)
    }

    fn io_slice(&self) -> std::io::IoSlice<'_> {
        std::io::IoSlice::new(self.0.as_deref().expect("only readable ones are sent"))
    }

    fn to_bytes(&self) -> std::io::Result<Bytes> {
        self.0.clone().ok_or(std::io::ErrorKind::NotFound.into())
    }
}

#[test]
fn stored_records_are_pieces_of_a_response_and_of_nothing_else() {
    let bytes = Bytes::from(vec![5; 700]);
    let stored = Piece::Stored(std::sync::Arc::new(Elsewhere(Some(bytes.clone()))));
    let front = Piece::Memory(Bytes::from_static(&[4; 10]));
    let records = Records::from(vec![front, stored.clone(), stored]);
    let partition = |records| PartitionData {
        records: Some(records),
        ..PartitionData::default()
    };
    let response = |records| FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: Str::from_static("t"),
            partitions: vec![partition(records)],
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    };
    let pieces = encode_response_frame::<FetchRequest>(1, 12, &response(records.clone())).unwrap();
    let kinds: Vec<bool> = pieces
        .iter()
        .map(|piece| matches!(piece, Piece::Stored(_)))
        .collect();
    assert_eq!(kinds, [false, true, true, false]);
    assert_eq!(
        Piece::all_in_memory(pieces.clone()),
        Err(EncodeError::Stored)
    );

    let sent: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| piece.io_slice().to_vec())
        .collect();
    let frame = Bytes::from(sent).slice(4..);
    let (_, read) = decode_response_frame::<FetchRequest>(frame, 12).unwrap();
    assert_eq!(read, response(records.clone()));
    assert_eq!(records.into_bytes().unwrap().len(), 1410);

    let lost = Records::from(vec![Piece::Stored(std::sync::Arc::new(Elsewhere(None)))]);
    assert_ne!(lost.clone(), lost, "what cannot be read equals nothing");
    assert!(lost.into_bytes().is_err());
}

/// trap 34
#[test]
fn defaults_of_responses_do_no_harm() {
    assert_eq!(PartitionData::default().high_watermark, -1);
    assert_eq!(
        PartitionData::default().records,
        Some(Records::default()),
        "empty, not null"
    );
    assert_eq!(OffsetFetchResponsePartition::default().committed_offset, -1);
    assert_eq!(
        headrace_protocol::create_topics::CreatableTopicConfigs::default().config_source,
        5
    );
    assert_eq!(
        headrace_protocol::describe_configs::DescribeConfigsResourceResult::default().config_source,
        5
    );
}

#[test]
fn a_newer_consumer_protocol_is_read_as_the_newest_known() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec![Str::from_static("t")],
        generation_id: 4,
        rack_id: Some(Str::from_static("r")),
        ..ConsumerProtocolSubscription::default()
    };
    let body = "00000001 0001 74 ffffffff 00000000 00000004 0001 72";
    assert_eq!(
        encode_versioned(&subscription, 3),
        Ok(hex(&format!("0003 {body}")))
    );
    assert_eq!(
        decode_versioned(hex(&format!("0009 {body} ffff"))),
        Ok(subscription)
    );
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![TopicPartition {
            topic: Str::from_static("t"),
            partitions: vec![0, 2],
        }],
        user_data: None,
    };
    let bytes = hex("0000 00000001 0001 74 00000002 00000000 00000002 ffffffff");
    assert_eq!(decode_versioned(bytes), Ok(assignment));
    assert_eq!(
        decode_versioned::<ConsumerProtocolAssignment>(hex("fffe")),
        Err(DecodeError::Version {
            key: -1,
            version: -2
        })
    );
}

#[test]
fn a_key_has_the_versions_of_its_messages() {
    fn check<R: Request>(served: &mut Vec<ApiKey>) {
        assert_eq!(R::KEY.served(), Some(R::VERSIONS), "{:?}", R::KEY);
        assert_eq!(R::Response::VERSIONS, R::VERSIONS, "{:?}", R::KEY);
        let flexible = R::KEY.flexible_from().unwrap_or(i16::MAX);
        assert_eq!(flexible, R::FLEXIBLE, "{:?}", R::KEY);
        served.push(R::KEY);
    }
    macro_rules! check {
        ($($module:ident::$request:ident),+ $(,)?) => {{
            let mut served = Vec::new();
            $(check::<headrace_protocol::$module::$request>(&mut served);)+
            served
        }};
    }
    let served = check!(
        produce::ProduceRequest,
        fetch::FetchRequest,
        list_offsets::ListOffsetsRequest,
        metadata::MetadataRequest,
        offset_commit::OffsetCommitRequest,
        offset_fetch::OffsetFetchRequest,
        find_coordinator::FindCoordinatorRequest,
        join_group::JoinGroupRequest,
        heartbeat::HeartbeatRequest,
        leave_group::LeaveGroupRequest,
        sync_group::SyncGroupRequest,
        describe_groups::DescribeGroupsRequest,
        list_groups::ListGroupsRequest,
        api_versions::ApiVersionsRequest,
        create_topics::CreateTopicsRequest,
        delete_topics::DeleteTopicsRequest,
        delete_records::DeleteRecordsRequest,
        init_producer_id::InitProducerIdRequest,
        offset_for_leader_epoch::OffsetForLeaderEpochRequest,
        describe_acls::DescribeAclsRequest,
        create_acls::CreateAclsRequest,
        delete_acls::DeleteAclsRequest,
        describe_configs::DescribeConfigsRequest,
        alter_configs::AlterConfigsRequest,
        describe_log_dirs::DescribeLogDirsRequest,
        create_partitions::CreatePartitionsRequest,
        delete_groups::DeleteGroupsRequest,
        elect_leaders::ElectLeadersRequest,
        incremental_alter_configs::IncrementalAlterConfigsRequest,
        alter_partition_reassignments::AlterPartitionReassignmentsRequest,
        list_partition_reassignments::ListPartitionReassignmentsRequest,
        offset_delete::OffsetDeleteRequest,
        describe_cluster::DescribeClusterRequest,
        describe_producers::DescribeProducersRequest,
        consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
        consumer_group_describe::ConsumerGroupDescribeRequest,
        list_config_resources::ListConfigResourcesRequest,
        describe_topic_partitions::DescribeTopicPartitionsRequest,
    );
    let listed: Vec<_> = ApiKey::ALL
        .iter()
        .copied()
        .filter(|key| key.served().is_some())
        .collect();
    assert_eq!(served, listed);
    assert_eq!(
        ApiKey::Produce.advertised(),
        Some(0..=13),
        "old librdkafka compresses only if 0 is offered"
    );
    assert_eq!(ApiKey::EndTxn.advertised(), None);
}

#[test]
fn keys_and_codes_are_those_of_kafka() {
    for (key, number) in ApiKey::ALL.iter().zip(0..) {
        assert_eq!(
            (i16::from(*key), ApiKey::try_from(number)),
            (number, Ok(*key))
        );
    }
    assert_eq!(ApiKey::ALL.len(), 93);
    assert!(ApiKey::try_from(93).is_err() && ApiKey::try_from(-1).is_err());
    for (code, number) in ErrorCode::ALL.iter().zip(-1..) {
        assert_eq!(code.0, number);
        let oracle = kafka_protocol::error::ResponseError::try_from_code(number);
        let named = oracle.map_or("NONE".to_owned(), |error| format!("{error:?}"));
        let ours = code.name().unwrap().replace('_', "");
        assert!(ours.eq_ignore_ascii_case(&named), "{code}: {named}");
    }
    assert_eq!(ErrorCode::ALL.len(), 135);
    assert_eq!(
        ErrorCode::UNKNOWN_TOPIC_ID.to_string(),
        "UNKNOWN_TOPIC_ID (100)"
    );
    assert_eq!(ErrorCode(1000).to_string(), "error 1000");
    assert!(HeartbeatResponse::default().error_code.is_ok());
}
