//! Golden bytes of every key and value, read and written, and hostile bytes.

use proptest::prelude::*;

use super::*;

const TOPIC: Uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
const TOPIC_HEX: &str = "00112233445566778899aabbccddeeff";

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn golden(record: &Record, key: &str, value: &str) {
    assert_eq!(record.key("g").unwrap(), hex(key));
    assert_eq!(record.value().unwrap(), Some(hex(value)));
    let read = Record::decode(hex(key), Some(hex(value))).unwrap();
    assert_eq!(read, Some((Arc::from("g"), record.clone())));
}

#[test]
fn the_epoch_of_a_group_has_the_hash_of_its_topics_in_a_tag() {
    golden(
        &Record::Epoch(Some((Epoch(7), 0))),
        "0003 0001 67",
        "0000 00000007 00",
    );
    golden(
        &Record::Epoch(Some((Epoch(7), -2))),
        "0003 0001 67",
        "0000 00000007 01 00 08 fffffffffffffffe",
    );
}

#[test]
fn the_epoch_of_the_targets_has_their_time_in_a_tag() {
    golden(
        &Record::TargetEpoch(Some((Epoch(8), 3))),
        "0006 0001 67",
        "0000 00000008 01 00 08 0000000000000003",
    );
}

#[test]
fn wishes_of_a_member() {
    let wishes = Wishes {
        instance_id: Some(Arc::from("i")),
        rack_id: None,
        client_id: Arc::from("c"),
        client_host: Arc::from("/h"),
        topics: BTreeSet::from([Arc::from("a"), Arc::from("b")]),
        pattern: None,
        rebalance_timeout_ms: 258,
        assignor: Some(Arc::from("range")),
    };
    golden(
        &Record::Wishes(Arc::from("m"), Some(Arc::new(wishes))),
        "0005 0001 67 0001 6d",
        "0000 0269 00 0263 032f68 03 0261 0262 00 00000102 0672616e6765 00",
    );
}

#[test]
fn a_member_of_the_classic_protocol_is_read_without_its_protocols() {
    let value = "0000 00 00 01 01 01 00 ffffffff 00 01 00 03 aabbcc";
    let read = Record::decode(hex("0005 0001 67 0001 6d"), Some(hex(value))).unwrap();
    let Some((_, Record::Wishes(_, Some(wishes)))) = read else {
        panic!("not wishes: {read:?}");
    };
    assert_eq!(wishes.rebalance_timeout_ms, -1);
}

#[test]
fn the_target_of_a_member() {
    let target: Partitions = [(TOPIC, 1), (TOPIC, 2)].into_iter().collect();
    golden(
        &Record::Target(Arc::from("m"), Some(Arc::new(target))),
        "0007 0001 67 0001 6d",
        &format!("0000 02 {TOPIC_HEX} 03 00000001 00000002 00 00"),
    );
}

#[test]
fn what_a_member_holds_has_since_when_in_a_tag_of_each_topic() {
    let mut hold = Hold {
        epoch: Epoch(9),
        previous_epoch: Epoch(8),
        phase: Phase::Unrevoked,
        ..Hold::default()
    };
    hold.assigned.insert(TOPIC, 1, Epoch(4));
    hold.revoking.insert(TOPIC, 2, Epoch(9));
    golden(
        &Record::Hold(Arc::from("m"), Some(Arc::new(hold.clone()))),
        "0008 0001 67 0001 6d",
        &format!(
            "0000 00000009 00000008 01 02 {TOPIC_HEX} 02 00000001 01 00 05 02 00000004
             02 {TOPIC_HEX} 02 00000002 01 00 05 02 00000009 00"
        ),
    );
    let older = format!("0000 00000009 00000008 01 02 {TOPIC_HEX} 02 00000001 00 01 00");
    let read = Record::decode(hex("0008 0001 67 0001 6d"), Some(hex(&older))).unwrap();
    let Some((_, Record::Hold(_, Some(read)))) = read else {
        panic!("not what a member holds: {read:?}");
    };
    assert_eq!(
        read.assigned.since(TOPIC, 1),
        Some(Epoch(9)),
        "the member's own epoch"
    );
}

#[test]
fn the_topics_of_a_pattern() {
    let resolved = Resolved {
        topics: BTreeSet::from([Arc::from("x1")]),
        version: 5,
        at_ms: 6,
    };
    golden(
        &Record::Pattern(Arc::from("x.*"), Some(Arc::new(resolved))),
        "0010 0001 67 0003 782e2a",
        "0000 02 037831 0000000000000005 0000000000000006 00",
    );
}

#[test]
fn what_older_releases_wrote_of_topics_is_passed_over() {
    for value in [None, Some(hex("0000 01 00"))] {
        let read = Record::decode(hex("0004 0001 67"), value).unwrap();
        assert_eq!(read, Some((Arc::from("g"), Record::OldTopics)));
    }
    for other in ["0001 0001 67", "0002 0001 67", "000b 0001 67"] {
        assert_eq!(Record::decode(hex(other), None), Ok(None));
    }
}

#[test]
fn a_tombstone_is_a_key_without_a_value() {
    for record in [
        Record::Epoch(None),
        Record::OldTopics,
        Record::Wishes(Arc::from("m"), None),
        Record::TargetEpoch(None),
        Record::Target(Arc::from("m"), None),
        Record::Hold(Arc::from("m"), None),
        Record::Pattern(Arc::from("x"), None),
    ] {
        assert!(record.is_tombstone());
        assert_eq!(record.value(), Ok(None));
        let read = Record::decode(record.key("g").unwrap(), None).unwrap();
        assert_eq!(read, Some((Arc::from("g"), record)));
    }
}

#[test]
fn values_of_a_newer_version_are_refused() {
    let read = Record::decode(hex("0003 0001 67"), Some(hex("0001 00000007 00")));
    assert_eq!(read, Err(RecordError::UnknownVersion(1)));
}

proptest! {
    #[test]
    fn bytes_never_panic(
        number in prop_oneof![3_i16..=8, Just(16)],
        key in prop::collection::vec(any::<u8>(), 0..20),
        value in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.extend(key);
        let mut good = vec![0, 0];
        good.extend(value.clone());
        drop(Record::decode(bytes.into(), Some(value.into())));
        for key in ["0003 0001 67", "0005 0001 67 0001 6d", "0007 0001 67 0001 6d", "0008 0001 67 0001 6d", "0010 0001 67 0001 6d"] {
            drop(Record::decode(hex(key), Some(good.clone().into())));
        }
    }
}
