//! Golden bytes of every key and value, read and written, and hostile bytes.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn offset() -> CommittedOffset {
    CommittedOffset {
        offset: 258,
        leader_epoch: 5,
        metadata: Arc::from("m"),
        commit_time_ms: 1,
        expiry_time_ms: None,
        topic_id: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
    }
}

fn group() -> GroupMetadata {
    GroupMetadata {
        protocol_type: Arc::from("consumer"),
        generation: Generation(7),
        protocol: Some(Arc::from("range")),
        leader: Some(Arc::from("a-1")),
        state_since_ms: 2,
        members: vec![MemberRecord {
            member_id: Arc::from("a-1"),
            instance_id: None,
            client_id: Arc::from("a"),
            client_host: Arc::from("/h"),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Bytes::from_static(b"\x01"),
            assignment: Bytes::from_static(b"\x02\x03"),
        }],
    }
}

#[test]
fn offset_key_is_version_one() {
    let key = Key::Offset {
        group: Arc::from("g"),
        topic: Arc::from("t1"),
        partition: 3,
    };
    let bytes = hex("0001 0001 67 0002 7431 00000003");
    assert_eq!(key.encode().unwrap(), bytes);
    assert_eq!(Key::decode(bytes).unwrap(), key);
    assert_eq!(
        Key::decode(hex("0000 0001 67 0002 7431 00000003")).unwrap(),
        key
    );
}

#[test]
fn group_key_is_version_two() {
    let key = Key::Group(Arc::from("g"));
    let bytes = hex("0002 0001 67");
    assert_eq!(key.encode().unwrap(), bytes);
    assert_eq!(Key::decode(bytes).unwrap(), key);
}

#[test]
fn newer_key_is_named_and_not_read() {
    assert_eq!(Key::decode(hex("0005 ffff")).unwrap(), Key::Other(5));
}

#[test]
fn offset_is_written_in_version_four_with_its_topic_id() {
    let bytes = hex("0004 0000000000000102 00000005 02 6d 0000000000000001
         01 00 10 00112233445566778899aabbccddeeff");
    assert_eq!(offset().encode().unwrap(), bytes);
    assert_eq!(CommittedOffset::decode(bytes).unwrap(), offset());
    let nil = CommittedOffset {
        topic_id: Uuid::nil(),
        ..offset()
    };
    let bytes = hex("0004 0000000000000102 00000005 02 6d 0000000000000001 00");
    assert_eq!(nil.encode().unwrap(), bytes);
    assert_eq!(CommittedOffset::decode(bytes).unwrap(), nil);
}

#[test]
fn offset_with_expiry_is_written_in_version_one() {
    let value = CommittedOffset {
        expiry_time_ms: Some(9),
        ..offset()
    };
    let bytes = hex("0001 0000000000000102 0001 6d 0000000000000001 0000000000000009");
    assert_eq!(value.encode().unwrap(), bytes);
    let read = CommittedOffset::decode(bytes).unwrap();
    assert_eq!(
        read,
        CommittedOffset {
            leader_epoch: -1,
            topic_id: Uuid::nil(),
            ..value
        }
    );
}

#[test]
fn older_offsets_are_read() {
    let old = CommittedOffset {
        leader_epoch: -1,
        topic_id: Uuid::nil(),
        ..offset()
    };
    for version in ["0000", "0002"] {
        let bytes = hex(&format!(
            "{version} 0000000000000102 0001 6d 0000000000000001"
        ));
        assert_eq!(CommittedOffset::decode(bytes).unwrap(), old);
    }
    let v3 = CommittedOffset {
        topic_id: Uuid::nil(),
        ..offset()
    };
    let bytes = hex("0003 0000000000000102 00000005 0001 6d 0000000000000001");
    assert_eq!(CommittedOffset::decode(bytes).unwrap(), v3);
}

const MEMBER_START: &str = "0003 612d31";
const MEMBER_END: &str = "0001 61 0002 2f68";

#[test]
fn group_is_written_in_version_three() {
    let bytes = hex(&format!(
        "0003 0008 636f6e73756d6572 00000007 0005 72616e6765 0003 612d31 0000000000000002 00000001
         {MEMBER_START} ffff {MEMBER_END} 000493e0 0000afc8 00000001 01 00000002 0203"
    ));
    assert_eq!(group().encode().unwrap(), bytes);
    assert_eq!(GroupMetadata::decode(bytes).unwrap(), group());
}

#[test]
fn empty_group_has_null_protocol_and_leader() {
    let empty = GroupMetadata {
        protocol: None,
        leader: None,
        members: Vec::new(),
        ..group()
    };
    let bytes = hex("0003 0008 636f6e73756d6572 00000007 ffff ffff 0000000000000002 00000000");
    assert_eq!(empty.encode().unwrap(), bytes);
    assert_eq!(GroupMetadata::decode(bytes).unwrap(), empty);
}

#[test]
fn older_and_newer_groups_are_read() {
    let start = "0008 636f6e73756d6572 00000007 0005 72616e6765 0003 612d31";
    let tail = "00000001 01 00000002 0203";
    let v0 = hex(&format!(
        "0000 {start} 00000001 {MEMBER_START} {MEMBER_END} 0000afc8 {tail}"
    ));
    let v1 = hex(&format!(
        "0001 {start} 00000001 {MEMBER_START} {MEMBER_END} 000493e0 0000afc8 {tail}"
    ));
    let v4 = hex(
        "0004 09 636f6e73756d6572 00000007 06 72616e6765 04 612d31 0000000000000002 02
         04 612d31 00 02 61 03 2f68 000493e0 0000afc8 02 01 03 0203 00 00",
    );
    let mut old = GroupMetadata {
        state_since_ms: -1,
        ..group()
    };
    assert_eq!(GroupMetadata::decode(v1).unwrap(), old);
    old.members[0].rebalance_timeout_ms = 45_000;
    assert_eq!(GroupMetadata::decode(v0).unwrap(), old);
    assert_eq!(GroupMetadata::decode(v4).unwrap(), group());
}

#[test]
fn unknown_value_version_is_refused() {
    assert_eq!(
        CommittedOffset::decode(hex("0005")),
        Err(RecordError::UnknownVersion(5))
    );
    assert_eq!(
        GroupMetadata::decode(hex("ffff")),
        Err(RecordError::UnknownVersion(-1))
    );
}

#[test]
fn text_longer_than_its_length_field_is_refused() {
    let key = Key::Group(Arc::from("x".repeat(40_000)));
    assert_eq!(key.encode(), Err(RecordError::TooLong(40_000)));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), version in 0_u8..6) {
        let mut bytes = bytes;
        if bytes.len() >= 2 {
            bytes[0] = 0;
            bytes[1] = version;
        }
        let bytes = Bytes::from(bytes);
        drop(Key::decode(bytes.clone()));
        drop(CommittedOffset::decode(bytes.clone()));
        drop(GroupMetadata::decode(bytes));
    }

    #[test]
    fn any_offset_comes_back(offset: i64, leader_epoch: i32, metadata in ".{0,40}", id: u128) {
        let value = CommittedOffset {
            offset, leader_epoch, metadata: Arc::from(metadata), commit_time_ms: offset,
            expiry_time_ms: None, topic_id: Uuid::from_u128(id),
        };
        prop_assert_eq!(CommittedOffset::decode(value.encode().unwrap()).unwrap(), value);
    }
}
