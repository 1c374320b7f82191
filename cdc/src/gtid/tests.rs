//! GTID texts as the servers write them, and the algebra of sets against `HashSet`.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> MysqlGtidSet {
    text.parse().unwrap()
}

fn gtid(server: u8, tag: &str, number: u64) -> MysqlGtid {
    let server = Uuid::from_bytes([server; 16]);
    MysqlGtid {
        source: GtidSource {
            server,
            tag: tag.to_owned(),
        },
        number,
    }
}

#[test]
fn the_servers_own_texts_are_read() {
    let tagged = set(&format!("{SERVER}:1-523:mytag:1"));
    assert_eq!(tagged, set(&format!("{SERVER}:1-523,{SERVER}:mytag:1")));
    assert_eq!(tagged, set(&format!("{SERVER}:1-523:MyTag:1")));
    assert_eq!(tagged.to_string(), format!("{SERVER}:1-523:mytag:1"));
    let lines = format!("{SERVER}:1-3:5,\n00000000-0000-0000-0000-000000000001:7");
    assert_eq!(set(&lines).iter().count(), 2);
    assert!(set("").is_empty());
    assert_eq!(
        set(&format!("{SERVER}:1-2:3-4:9")).to_string(),
        format!("{SERVER}:1-4:9")
    );
}

#[test]
fn wrong_texts_are_refused() {
    for text in [
        "x",
        SERVER,
        &format!("{SERVER}:"),
        &format!("{SERVER}:0"),
        &format!("{SERVER}:3-2"),
        &format!("{SERVER}:+1"),
        &format!("{SERVER}:1-2-3"),
        &format!("{SERVER}:1:tag"),
        &format!("{SERVER}:tag:other:1"),
        &format!("{SERVER}:9223372036854775808"),
        &format!("{SERVER}:1:{}:1", "t".repeat(33)),
    ] {
        assert!(text.parse::<MysqlGtidSet>().is_err(), "{text}");
    }
    for text in ["1", "1-2", "1-2-3-4", "a-b-c", "4294967296-1-1", "0--1"] {
        assert!(text.parse::<MariadbPosition>().is_err(), "{text}");
    }
}

#[test]
fn mariadb_positions_know_a_domains_order() {
    let position: MariadbPosition = "1-2-7, 0-1-523".parse().unwrap();
    assert_eq!(position.to_string(), "0-1-523,1-2-7");
    let gtid = |domain, server, sequence| MariadbGtid {
        domain,
        server,
        sequence,
    };
    assert!(position.contains(&gtid(0, 9, 523)));
    assert!(!position.contains(&gtid(0, 1, 524)));
    assert!(!position.contains(&gtid(2, 1, 1)));
    let later: MariadbPosition = "0-1-524,1-2-7,5-1-1".parse().unwrap();
    assert!(position.is_subset_of(&later) && !later.is_subset_of(&position));
    assert_eq!(later.subtract(&position).to_string(), "0-1-524,5-1-1");
}

#[test]
fn positions_keep_their_dialect_in_json() {
    let mysql: MysqlGtidSet = set(&format!("{SERVER}:1-5:t:2"));
    for (position, json) in [
        (Position::mysql(), "\"mysql:\"".to_owned()),
        (Position::mariadb(), "\"mariadb:\"".to_owned()),
        (
            Position::Mysql(mysql),
            format!("\"mysql:{SERVER}:1-5:t:2\""),
        ),
        (
            Position::Mariadb("0-1-5".parse().unwrap()),
            "\"mariadb:0-1-5\"".to_owned(),
        ),
    ] {
        assert_eq!(serde_json::to_string(&position).unwrap(), json);
        assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
    }
    assert!(serde_json::from_str::<Position>("\"0-1-5\"").is_err());
    assert_eq!(
        Position::mysql().is_subset_of(&Position::mariadb()),
        Err(DialectMismatch)
    );
}

/// Transactions of two servers with and without a tag, numbers close together so that they touch.
fn gtids() -> impl Strategy<Value = Vec<MysqlGtid>> {
    let one = (0_u8..2, prop_oneof![Just(""), Just("tag")], 1_u64..40);
    vec(
        one.prop_map(|(server, tag, number)| gtid(server, tag, number)),
        0..60,
    )
}

fn build(gtids: &[MysqlGtid]) -> MysqlGtidSet {
    let mut set = MysqlGtidSet::default();
    for gtid in gtids {
        set.add(gtid);
    }
    set
}

fn numbers(set: &MysqlGtidSet) -> HashSet<MysqlGtid> {
    set.iter()
        .flat_map(|(source, intervals)| {
            let source = source.clone();
            intervals
                .iter()
                .flat_map(|interval| interval.first..=interval.last)
                .map(move |number| MysqlGtid {
                    source: source.clone(),
                    number,
                })
        })
        .collect()
}

proptest! {
    #[test]
    fn a_set_behaves_like_a_set(ours in gtids(), theirs in gtids()) {
        let (a, b) = (build(&ours), build(&theirs));
        let (x, y): (HashSet<_>, HashSet<_>) =
            (ours.into_iter().collect(), theirs.into_iter().collect());
        prop_assert_eq!(&numbers(&a), &x);
        prop_assert_eq!(numbers(&a.subtract(&b)), x.difference(&y).cloned().collect());
        prop_assert_eq!(a.is_subset_of(&b), x.is_subset(&y));
        prop_assert!(y.iter().all(|gtid| a.contains(gtid) == x.contains(gtid)));
        let mut union = a.clone();
        union.union(&b);
        prop_assert_eq!(numbers(&union), x.union(&y).cloned().collect());
        // One set has one text and one shape.
        prop_assert_eq!(&a.to_string().parse::<MysqlGtidSet>().unwrap(), &a);
        for (_, intervals) in a.iter() {
            prop_assert!(intervals.windows(2).all(|two| two[0].last + 1 < two[1].first));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9a-f:,\\-t ]{0,60}") {
        if let Ok(set) = text.parse::<MysqlGtidSet>() {
            prop_assert_eq!(set.to_string().parse::<MysqlGtidSet>().unwrap(), set);
        }
        if let Ok(position) = text.parse::<MariadbPosition>() {
            prop_assert_eq!(position.to_string().parse::<MariadbPosition>().unwrap(), position);
        }
    }
}
