//! The catalogue's bytes and checks.

use super::*;

fn topic(name: &str, partitions: i32) -> TopicRecord {
    TopicRecord {
        id: Uuid::from_u128(u128::from(name.as_bytes()[0])),
        name: name.into(),
        partitions,
        overrides: Overrides::from([("retention.ms".to_owned(), "5".to_owned())]),
    }
}

fn sample() -> Image {
    let mut image = Image::default();
    image.insert(topic("b", 3));
    image.insert(topic("a", 1));
    image.take_producer_ids();
    image.set_resource(Resource::Cluster, one("message.max.bytes", "2000000"));
    image.set_resource(Resource::Broker(1), one("log.retention.ms", "7"));
    image
}

fn one(name: &str, value: &str) -> Overrides {
    Overrides::from([(name.to_owned(), value.to_owned())])
}

/// Nothing is set for all topics.
fn of_program() -> Defaults {
    Defaults::default()
}

#[test]
fn a_catalogue_of_before_there_were_settings_of_brokers_is_read() {
    let mut image = Image::default();
    image.insert(topic("a", 2));
    let bytes = image.encode();
    let before = [&[0, 1], &bytes[2..bytes.len() - 4]].concat();
    assert_eq!(Image::decode(&before), Ok(image));
}

#[test]
fn resources_without_settings_are_no_more_and_their_number_is_bounded() {
    let mut image = sample();
    assert!(image.set_resource(Resource::Broker(1), Overrides::new()));
    assert_eq!(image.resource(&Resource::Broker(1)), None);
    for number in 0..RESOURCES_MAX {
        let id = i32::try_from(number).unwrap();
        let fits = image.set_resource(Resource::Broker(id), one("log.retention.ms", "7"));
        // the cluster has one place
        assert_eq!(fits, number + 1 < RESOURCES_MAX);
    }
    assert!(image.set_resource(Resource::Broker(0), one("log.retention.ms", "8")));
}

#[test]
fn topics_of_the_broker_refuse_what_has_no_effect_on_them() {
    let check = |name, value| {
        let set = one(name, value);
        check_config("__consumer_offsets", &set, &of_program()).map_err(|error| error.to_string())
    };
    assert!(check("segment.bytes", "5000000").is_ok());
    assert!(check("cleanup.policy", "compact").is_ok());
    for (name, value) in [
        ("cleanup.policy", "delete"),
        ("cleanup.policy", "compact,delete"),
        ("compression.type", "zstd"),
        ("max.message.bytes", "5"),
        ("min.insync.replicas", "2"),
        ("message.timestamp.type", "LogAppendTime"),
    ] {
        let refused = check(name, value).unwrap_err();
        assert!(refused.contains(name), "{refused}");
    }
}

#[test]
fn what_is_written_reads_back() {
    let bytes = sample().encode();
    assert_eq!(Image::decode(&bytes), Ok(sample()));
    assert_eq!(
        Image::decode(&Image::default().encode()),
        Ok(Image::default())
    );
}

#[test]
fn the_format_is_fixed() {
    let mut image = Image::default();
    image.insert(topic("a", 2));
    image.set_resource(Resource::Broker(1), one("log.retention.ms", "7"));
    let golden = [
        [0, 2].as_slice(),
        &[0; 8],
        &[0, 0, 0, 1],
        &[0; 15],
        &[b'a', 0, 1, b'a', 0, 0, 0, 2, 0, 1, 0, 12],
        b"retention.ms",
        &[0, 1, b'5'],
        &[0, 0, 0, 1, 4, 0, 1, b'1', 0, 1, 0, 16],
        b"log.retention.ms",
        &[0, 1, b'7'],
    ]
    .concat();
    assert_eq!(image.encode(), golden);
}

#[test]
fn damage_is_refused_and_never_panics() {
    let bytes = sample().encode();
    for cut in 0..bytes.len() {
        assert!(Image::decode(&bytes[..cut]).is_err());
    }
    let newer = [&[0, 3], &bytes[2..]].concat();
    assert_eq!(Image::decode(&newer), Err(ImageError::Version(3)));
}

#[test]
fn topics_are_checked_before_they_are_made() {
    let image = sample();
    let none = Overrides::new();
    assert_eq!(
        image.check("a", 1, &none, &of_program()),
        Err(TopicRefused::Exists("a".into()))
    );
    assert_eq!(
        image.check("a/b", 1, &none, &of_program()),
        Err(TopicRefused::Name)
    );
    assert_eq!(
        image.check("c", 0, &none, &of_program()),
        Err(TopicRefused::Partitions(0))
    );
    let many = PARTITIONS_MAX + 1;
    assert_eq!(
        image.check("c", many, &none, &of_program()),
        Err(TopicRefused::Partitions(many))
    );
    assert!(
        image
            .check("c", PARTITIONS_MAX, &none, &of_program())
            .is_ok()
    );
}

#[test]
fn write_caching_is_refused_where_a_power_cut_may_lose_nothing() {
    let cached = Overrides::from([("write.caching".to_owned(), "true".to_owned())]);
    let image = sample();
    for name in [
        "__consumer_offsets",
        "__transaction_state",
        "__headrace_positions",
    ] {
        let refused = image
            .check(name, 1, &cached, &of_program())
            .unwrap_err()
            .to_string();
        assert!(refused.contains("write.caching"), "{refused}");
        assert!(refused.contains("must survive a power cut"), "{refused}");
    }
    let taken = image.check("c", 1, &cached, &of_program()).unwrap();
    assert!(taken.write_caching);
}

#[test]
fn producer_ids_are_never_given_out_twice() {
    let mut image = sample();
    let first = image.take_producer_ids();
    let mut reread = Image::decode(&image.encode()).unwrap();
    assert_eq!(reread.take_producer_ids().start, first.end);
}

#[test]
fn a_topic_grows_within_the_bounds_unless_its_partitions_are_fixed() {
    let mut image = sample();
    image.insert(topic("__headrace_positions", 1));
    let id = |name: &str| topic(name, 1).id;
    let grown = image.check_growth(id("b"), 5).unwrap().unwrap();
    assert_eq!((&*grown.name, grown.partitions), ("b", 5));
    for asked in [3, 2, 0, -1] {
        let refused = image.check_growth(id("b"), asked).unwrap();
        let (name, has) = ("b".into(), 3);
        assert_eq!(refused, Err(TopicRefused::NotMore { name, has, asked }));
    }
    let many = PARTITIONS_MAX + 1;
    let refused = image.check_growth(id("b"), many).unwrap();
    assert_eq!(refused, Err(TopicRefused::Partitions(many)));
    let fixed = image.check_growth(id("__headrace_positions"), 2).unwrap();
    assert!(matches!(fixed, Err(TopicRefused::FixedPartitions(_))));
    assert_eq!(image.check_growth(Uuid::from_u128(1), 2), None);
    image.insert(TopicRecord {
        partitions: PARTITIONS_MAX,
        ..topic("c", 1)
    });
    image.insert(TopicRecord {
        partitions: PARTITIONS_MAX - 6,
        ..topic("d", 1)
    });
    assert!(image.check_growth(id("b"), 4).unwrap().is_ok());
    let refused = image.check_growth(id("b"), 5).unwrap();
    assert_eq!(refused, Err(TopicRefused::Partitions(5)), "all together");
}
