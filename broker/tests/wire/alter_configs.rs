//! AlterConfigs, IncrementalAlterConfigs, ListConfigResources: what is taken, what is refused, and that it is kept.

use headrace_protocol::ErrorCode;
use headrace_protocol::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use headrace_protocol::describe_configs::{
    RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC, SOURCE_DEFAULT, SOURCE_DYNAMIC_BROKER,
    SOURCE_DYNAMIC_DEFAULT_BROKER, SOURCE_STATIC_BROKER, SOURCE_TOPIC,
};
use headrace_protocol::incremental_alter_configs::{
    self as incremental, IncrementalAlterConfigsRequest, OPERATION_APPEND, OPERATION_DELETE,
    OPERATION_SET, OPERATION_SUBTRACT,
};
use headrace_protocol::list_config_resources::{
    ListConfigResourcesRequest, RESOURCE_CLIENT_METRICS,
};

use crate::configs::describe;
use crate::requests::create_topic;
use crate::support::{Client, Server};

/// An operation of a request: name, what is done, value.
pub(crate) type Edit<'a> = (&'a str, i8, Option<&'a str>);

pub(crate) fn edits_of(
    resource: (i8, &str),
    edits: &[Edit<'_>],
) -> incremental::AlterConfigsResource {
    let edit = |(name, operation, value): &Edit<'_>| incremental::AlterableConfig {
        name: (*name).into(),
        config_operation: *operation,
        value: value.map(Into::into),
    };
    incremental::AlterConfigsResource {
        resource_type: resource.0,
        resource_name: resource.1.into(),
        configs: edits.iter().map(edit).collect(),
    }
}

async fn alter_some(
    client: &mut Client,
    resources: Vec<incremental::AlterConfigsResource>,
    validate_only: bool,
) -> Vec<(ErrorCode, String)> {
    let request = IncrementalAlterConfigsRequest {
        resources,
        validate_only,
    };
    let response = client.call(1, &request).await;
    let told = response.responses.into_iter().map(|one| {
        let message = one.error_message.map(|text| text.to_string());
        (one.error_code, message.unwrap_or_default())
    });
    told.collect()
}

/// Changes some settings of one resource; the code.
pub(crate) async fn alter(
    client: &mut Client,
    resource: (i8, &str),
    edits: &[Edit<'_>],
) -> ErrorCode {
    let resources = vec![edits_of(resource, edits)];
    alter_some(client, resources, false).await[0].0
}

/// Sets settings of topic `t`, which must be taken.
pub(crate) async fn set(client: &mut Client, settings: &[(&str, &str)]) {
    let edits: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, OPERATION_SET, Some(*value)))
        .collect();
    let resources = vec![edits_of((RESOURCE_TOPIC, "t"), &edits)];
    let answer = alter_some(client, resources, false).await.remove(0);
    assert_eq!(answer, (ErrorCode::NONE, String::new()));
}

async fn replace(
    client: &mut Client,
    version: i16,
    resource: (i8, &str),
    all: &[(&str, &str)],
) -> ErrorCode {
    let config = |(name, value): &(&str, &str)| AlterableConfig {
        name: (*name).into(),
        value: Some((*value).into()),
    };
    let request = AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: resource.0,
            resource_name: resource.1.into(),
            configs: all.iter().map(config).collect(),
        }],
        validate_only: false,
    };
    client.call(version, &request).await.responses[0].error_code
}

/// The value of a setting and its source.
async fn value(client: &mut Client, resource: (i8, &str), name: &str) -> (String, i8) {
    let found = describe(client, 4, resource, Some(&[name])).await;
    let config = &found.configs[0];
    (
        config.value.as_deref().unwrap().to_owned(),
        config.config_source,
    )
}

/// Every place where a setting has a value, nearest first.
async fn synonyms(
    client: &mut Client,
    resource: (i8, &str),
    name: &str,
) -> Vec<(String, String, i8)> {
    let found = describe(client, 4, resource, Some(&[name])).await;
    let synonyms = found.configs[0].synonyms.iter();
    let told = synonyms.map(|synonym| {
        let value = synonym.value.as_deref().unwrap();
        (synonym.name.to_string(), value.to_owned(), synonym.source)
    });
    told.collect()
}

async fn one_topic() -> (Server, Client) {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[("retention.ms", "1000")]).await;
    (server, client)
}

const TOPIC: (i8, &str) = (RESOURCE_TOPIC, "t");
const BROKER: (i8, &str) = (RESOURCE_BROKER, "1");
const CLUSTER: (i8, &str) = (RESOURCE_BROKER, "");

/// trap 21
#[tokio::test]
async fn alter_configs_replaces_all_and_incremental_changes_only_what_it_names() {
    let (_server, mut client) = one_topic().await;
    for version in 0..=2 {
        let segment_ms = [("segment.ms", "5000")];
        assert_eq!(
            replace(&mut client, version, TOPIC, &segment_ms).await,
            ErrorCode::NONE
        );
        assert_eq!(
            value(&mut client, TOPIC, "segment.ms").await,
            ("5000".to_owned(), SOURCE_TOPIC)
        );
        let back = ("604800000".to_owned(), SOURCE_DEFAULT);
        assert_eq!(value(&mut client, TOPIC, "retention.ms").await, back);
        set(&mut client, &[("retention.ms", "7000")]).await;
        assert_eq!(
            value(&mut client, TOPIC, "segment.ms").await,
            ("5000".to_owned(), SOURCE_TOPIC)
        );
        let delete = [("segment.ms", OPERATION_DELETE, None)];
        assert_eq!(alter(&mut client, TOPIC, &delete).await, ErrorCode::NONE);
        assert_eq!(value(&mut client, TOPIC, "segment.ms").await, back);
        assert_eq!(
            value(&mut client, TOPIC, "retention.ms").await,
            ("7000".to_owned(), SOURCE_TOPIC)
        );
    }
    assert_eq!(replace(&mut client, 2, TOPIC, &[]).await, ErrorCode::NONE);
    assert_eq!(
        value(&mut client, TOPIC, "retention.ms").await.1,
        SOURCE_DEFAULT
    );
}

/// trap 21
#[tokio::test]
async fn only_lists_are_added_to_and_removed_from() {
    let (_server, mut client) = one_topic().await;
    let policy = |operation, text| [("cleanup.policy", operation, Some(text))];
    for (edit, after) in [
        (policy(OPERATION_APPEND, "compact"), "delete,compact"),
        (policy(OPERATION_APPEND, "compact"), "delete,compact"),
        (policy(OPERATION_SUBTRACT, "delete"), "compact"),
        (policy(OPERATION_SUBTRACT, "delete"), "compact"),
        (policy(OPERATION_SET, "delete , compact"), "delete,compact"),
    ] {
        assert_eq!(alter(&mut client, TOPIC, &edit).await, ErrorCode::NONE);
        assert_eq!(value(&mut client, TOPIC, "cleanup.policy").await.0, after);
    }
    for operation in [OPERATION_APPEND, OPERATION_SUBTRACT] {
        for name in ["retention.ms", "no.such"] {
            let edit = [(name, operation, Some("1"))];
            assert_eq!(
                alter(&mut client, TOPIC, &edit).await,
                ErrorCode::INVALID_CONFIG
            );
        }
    }
    let unknown = alter(&mut client, TOPIC, &policy(OPERATION_APPEND, "shred")).await;
    assert_eq!(unknown, ErrorCode::INVALID_CONFIG);
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_and_changes_nothing() {
    let (_server, mut client) = one_topic().await;
    let set = |name, value| vec![(name, OPERATION_SET, value)];
    let twice = [set("segment.ms", Some("5")), set("segment.ms", Some("6"))].concat();
    let half = [set("segment.ms", Some("5")), set("retention.ms", Some("x"))].concat();
    let invalid = ErrorCode::INVALID_REQUEST;
    for (resource, edits, code) in [
        (TOPIC, twice, invalid),
        (TOPIC, set("segment.ms", None), invalid),
        (TOPIC, vec![("segment.ms", 9, Some("5"))], invalid),
        (TOPIC, set("no.such", Some("5")), ErrorCode::INVALID_CONFIG),
        (
            TOPIC,
            set("segment.ms", Some("x")),
            ErrorCode::INVALID_CONFIG,
        ),
        (
            TOPIC,
            set("segment.bytes", Some("1000")),
            ErrorCode::INVALID_CONFIG,
        ),
        (
            TOPIC,
            set("remote.storage.enable", Some("true")),
            ErrorCode::INVALID_CONFIG,
        ),
        (TOPIC, half, ErrorCode::INVALID_CONFIG),
        (
            (RESOURCE_TOPIC, "nowhere"),
            set("segment.ms", Some("5")),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ),
        (
            (RESOURCE_TOPIC, "a/b"),
            set("segment.ms", Some("5")),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        ),
        ((RESOURCE_TOPIC, ""), set("segment.ms", Some("5")), invalid),
        ((99, "x"), set("segment.ms", Some("5")), invalid),
    ] {
        assert_eq!(
            alter(&mut client, resource, &edits).await,
            code,
            "{resource:?} {edits:?}"
        );
    }
    let gone = alter(&mut client, TOPIC, &[("no.such", OPERATION_DELETE, None)]).await;
    assert_eq!(gone, ErrorCode::NONE, "what is not set can be taken back");
    assert_eq!(
        value(&mut client, TOPIC, "segment.ms").await.1,
        SOURCE_DEFAULT
    );
    assert_eq!(value(&mut client, TOPIC, "retention.ms").await.0, "1000");
    assert_eq!(
        replace(&mut client, 2, TOPIC, &[("no.such", "5")]).await,
        ErrorCode::INVALID_CONFIG
    );
    assert_eq!(value(&mut client, TOPIC, "retention.ms").await.0, "1000");
}

#[tokio::test]
async fn a_resource_that_stands_twice_is_refused_and_the_others_are_altered() {
    let (_server, mut client) = one_topic().await;
    create_topic(&mut client, "u", &[]).await;
    let edit = [("segment.ms", OPERATION_SET, Some("5"))];
    let resources = [TOPIC, (RESOURCE_TOPIC, "u"), TOPIC];
    let resources = resources.map(|resource| edits_of(resource, &edit)).to_vec();
    let answers = alter_some(&mut client, resources, false).await;
    let codes: Vec<_> = answers.iter().map(|(code, _)| *code).collect();
    let twice = ErrorCode::INVALID_REQUEST;
    assert_eq!(codes, [twice, ErrorCode::NONE, twice]);
    assert_eq!(
        value(&mut client, TOPIC, "segment.ms").await.1,
        SOURCE_DEFAULT
    );
    assert_eq!(
        value(&mut client, (RESOURCE_TOPIC, "u"), "segment.ms")
            .await
            .0,
        "5"
    );
}

#[tokio::test]
async fn validate_only_checks_and_changes_nothing() {
    let (_server, mut client) = one_topic().await;
    for resource in [TOPIC, BROKER] {
        let name = if resource == TOPIC {
            "segment.ms"
        } else {
            "log.roll.ms"
        };
        for (text, fails) in [("5", false), ("x", true)] {
            let edits = vec![edits_of(resource, &[(name, OPERATION_SET, Some(text))])];
            let answer = alter_some(&mut client, edits, true).await.remove(0);
            assert_eq!(answer.0.is_err(), fails, "{answer:?}");
        }
        assert_eq!(value(&mut client, resource, name).await.1, SOURCE_DEFAULT);
    }
}

/// trap 21
#[tokio::test]
async fn topics_inherit_from_broker_cluster_and_file_in_that_order() {
    let server = Server::start_with(|config| {
        let file = &mut config.topic_defaults;
        file.insert("retention.ms".to_owned(), "4000".to_owned());
    })
    .await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    let inherited = |value: &str, source| (value.to_owned(), source);
    assert_eq!(
        value(&mut client, TOPIC, "retention.ms").await,
        inherited("4000", SOURCE_STATIC_BROKER)
    );
    let to = |text| [("log.retention.ms", OPERATION_SET, Some(text))];
    assert_eq!(
        alter(&mut client, CLUSTER, &to("3000")).await,
        ErrorCode::NONE
    );
    let expected = inherited("3000", SOURCE_DYNAMIC_DEFAULT_BROKER);
    assert_eq!(value(&mut client, TOPIC, "retention.ms").await, expected);
    assert_eq!(
        value(&mut client, CLUSTER, "log.retention.ms").await,
        expected
    );
    assert_eq!(
        alter(&mut client, BROKER, &to("2000")).await,
        ErrorCode::NONE
    );
    let expected = inherited("2000", SOURCE_DYNAMIC_BROKER);
    assert_eq!(value(&mut client, TOPIC, "retention.ms").await, expected);
    set(&mut client, &[("retention.ms", "1000")]).await;
    let own = |name: &str, value: &str, source| (name.to_owned(), value.to_owned(), source);
    let below = [
        own("log.retention.ms", "2000", SOURCE_DYNAMIC_BROKER),
        own("log.retention.ms", "3000", SOURCE_DYNAMIC_DEFAULT_BROKER),
        own("log.retention.ms", "4000", SOURCE_STATIC_BROKER),
        own("log.retention.ms", "604800000", SOURCE_DEFAULT),
    ];
    assert_eq!(
        synonyms(&mut client, BROKER, "log.retention.ms").await,
        below
    );
    let all = [&[own("retention.ms", "1000", SOURCE_TOPIC)], &below[..]].concat();
    assert_eq!(synonyms(&mut client, TOPIC, "retention.ms").await, all);
    // what is set for all is kept like what is set on a topic
    let server = server.crash().await;
    let mut client = server.connect().await;
    assert_eq!(synonyms(&mut client, TOPIC, "retention.ms").await, all);
    let config = &server.broker.registry().topic("t").unwrap().config;
    assert_eq!(config.retention.unwrap().as_millis(), 1000);
    assert_eq!(replace(&mut client, 2, BROKER, &[]).await, ErrorCode::NONE);
    let server = server.kill().await;
    let mut client = server.connect().await;
    let left = synonyms(&mut client, BROKER, "log.retention.ms").await;
    assert_eq!(left, below[1..]);
}

#[tokio::test]
async fn what_a_broker_was_started_with_is_not_set_while_it_runs() {
    let (_server, mut client) = one_topic().await;
    let set = |name, value| [(name, OPERATION_SET, Some(value))];
    for (resource, name, text, code) in [
        (BROKER, "num.partitions", "5", ErrorCode::INVALID_REQUEST),
        (
            CLUSTER,
            "auto.create.topics.enable",
            "false",
            ErrorCode::INVALID_REQUEST,
        ),
        (BROKER, "no.such", "5", ErrorCode::INVALID_CONFIG),
        (BROKER, "log.roll.ms", "x", ErrorCode::INVALID_REQUEST),
        (
            CLUSTER,
            "log.segment.bytes",
            "5",
            ErrorCode::INVALID_REQUEST,
        ),
        (
            (RESOURCE_BROKER, "2"),
            "log.roll.ms",
            "5",
            ErrorCode::INVALID_REQUEST,
        ),
        (
            (RESOURCE_BROKER, "x"),
            "log.roll.ms",
            "5",
            ErrorCode::INVALID_REQUEST,
        ),
    ] {
        assert_eq!(
            alter(&mut client, resource, &set(name, text)).await,
            code,
            "{name}"
        );
    }
    let edits = vec![edits_of(BROKER, &set("num.partitions", "5"))];
    let told = alter_some(&mut client, edits, false).await.remove(0).1;
    assert!(told.contains("num.partitions"), "{told}");
    let gone = alter(
        &mut client,
        BROKER,
        &[("num.partitions", OPERATION_DELETE, None)],
    )
    .await;
    assert_eq!(gone, ErrorCode::NONE);
}

#[tokio::test]
async fn a_default_that_contradicts_a_topic_is_refused_and_names_it() {
    let (_server, mut client) = one_topic().await;
    set(&mut client, &[("min.compaction.lag.ms", "5000")]).await;
    let edit = [(
        "log.cleaner.max.compaction.lag.ms",
        OPERATION_SET,
        Some("4000"),
    )];
    let answer = alter_some(&mut client, vec![edits_of(BROKER, &edit)], false)
        .await
        .remove(0);
    assert_eq!(answer.0, ErrorCode::INVALID_REQUEST);
    assert!(answer.1.contains("topic t "), "{}", answer.1);
    assert_eq!(
        value(&mut client, BROKER, edit[0].0).await.1,
        SOURCE_DEFAULT
    );
}

#[tokio::test]
async fn settings_outlive_every_end_of_the_broker() {
    let (server, mut client) = one_topic().await;
    set(
        &mut client,
        &[("segment.ms", "5000"), ("cleanup.policy", "compact,delete")],
    )
    .await;
    let mut server = server.crash().await;
    for _ in 0..2 {
        let mut client = server.connect().await;
        assert_eq!(value(&mut client, TOPIC, "segment.ms").await.0, "5000");
        assert_eq!(
            value(&mut client, TOPIC, "cleanup.policy").await.0,
            "compact,delete"
        );
        assert_eq!(value(&mut client, TOPIC, "retention.ms").await.0, "1000");
        server = server.restart().await;
    }
}

#[tokio::test]
async fn a_failed_write_of_the_catalogue_leaves_the_settings_as_they_were() {
    let (server, mut client) = one_topic().await;
    server.disk().fail(headrace_storage::fs::Fault {
        at_call: 0,
        kind: std::io::ErrorKind::StorageFull,
        lasting: true,
    });
    let edit = [("retention.ms", OPERATION_SET, Some("9"))];
    let refused = alter(&mut client, TOPIC, &edit).await;
    server.disk().heal();
    assert_eq!(refused, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(value(&mut client, TOPIC, "retention.ms").await.0, "1000");
    assert_eq!(alter(&mut client, TOPIC, &edit).await, ErrorCode::NONE);
    assert_eq!(value(&mut client, TOPIC, "retention.ms").await.0, "9");
}

#[tokio::test]
async fn a_topic_made_again_has_none_of_the_settings_before() {
    let (server, mut client) = one_topic().await;
    let id = server.broker.registry().topic("t").unwrap().id;
    server.broker.registry().delete(id).await.unwrap();
    create_topic(&mut client, "t", &[]).await;
    assert_eq!(
        value(&mut client, TOPIC, "retention.ms").await.1,
        SOURCE_DEFAULT
    );
}

#[tokio::test]
async fn the_brokers_own_topics_take_only_what_has_an_effect_on_them() {
    let (server, mut client) = one_topic().await;
    server.broker.registry().consumer_offsets().await.unwrap();
    let offsets = (RESOURCE_TOPIC, "__consumer_offsets");
    assert_eq!(
        value(&mut client, offsets, "cleanup.policy").await,
        ("compact".to_owned(), SOURCE_TOPIC)
    );
    let set = |name, value| [(name, OPERATION_SET, Some(value))];
    assert_eq!(
        alter(&mut client, offsets, &set("segment.bytes", "5000000")).await,
        ErrorCode::NONE
    );
    for (name, text) in [
        ("cleanup.policy", "delete"),
        ("write.caching", "true"),
        ("min.insync.replicas", "2"),
        ("compression.type", "gzip"),
    ] {
        let refused = alter(&mut client, offsets, &set(name, text)).await;
        assert_eq!(refused, ErrorCode::INVALID_CONFIG, "{name}");
    }
    let policy_gone = [("cleanup.policy", OPERATION_DELETE, None)];
    assert_eq!(
        alter(&mut client, offsets, &policy_gone).await,
        ErrorCode::INVALID_CONFIG
    );
    // nor do they inherit it
    assert_eq!(
        alter(&mut client, CLUSTER, &set("compression.type", "gzip")).await,
        ErrorCode::NONE
    );
    assert_eq!(
        value(&mut client, offsets, "compression.type").await.1,
        SOURCE_DEFAULT
    );
    assert_eq!(
        value(&mut client, TOPIC, "compression.type").await.0,
        "gzip"
    );
}

#[tokio::test]
async fn what_has_settings_is_listed_by_type() {
    let (_server, mut client) = one_topic().await;
    let list = async |client: &mut Client, version, resource_types: &[i8]| {
        let request = ListConfigResourcesRequest {
            resource_types: resource_types.to_vec(),
        };
        let response = client.call(version, &request).await;
        let found = response.config_resources.into_iter();
        let found = found.map(|one| (one.resource_type, one.resource_name.to_string()));
        (response.error_code, found.collect::<Vec<_>>())
    };
    let broker = (RESOURCE_BROKER, "1".to_owned());
    let topic = (RESOURCE_TOPIC, "t".to_owned());
    let all = (ErrorCode::NONE, vec![broker, topic.clone()]);
    assert_eq!(list(&mut client, 1, &[]).await, all);
    let topics = list(&mut client, 1, &[RESOURCE_TOPIC]).await;
    assert_eq!(topics, (ErrorCode::NONE, vec![topic]));
    let none = (ErrorCode::NONE, vec![]);
    assert_eq!(
        list(&mut client, 1, &[RESOURCE_GROUP, RESOURCE_CLIENT_METRICS]).await,
        none
    );
    assert_eq!(
        list(&mut client, 0, &[]).await,
        none,
        "subscriptions to metrics, of which there are none"
    );
    let unknown = list(&mut client, 1, &[99]).await;
    assert_eq!(unknown, (ErrorCode::UNSUPPORTED_VERSION, vec![]));
}
