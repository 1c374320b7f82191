//! DescribeConfigs: the settings of topics and brokers.

use headrace_broker::topic_config::SETTINGS;
use headrace_protocol::ErrorCode;
use headrace_protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult, RESOURCE_BROKER,
    RESOURCE_TOPIC, SOURCE_DEFAULT, SOURCE_STATIC_BROKER, SOURCE_TOPIC,
};

use crate::requests::create_topic;
use crate::support::{Client, Server};

pub(crate) async fn describe(
    client: &mut Client,
    version: i16,
    resource: (i8, &str),
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: resource.0,
            resource_name: resource.1.into(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).into()).collect()),
        }],
        include_synonyms: true,
        include_documentation: version >= 3,
    };
    client.call(version, &request).await.results.remove(0)
}

#[tokio::test]
async fn a_topics_settings_tell_value_source_type_and_synonyms() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[("retention.ms", "1000")]).await;
    for version in 1..=4 {
        let result = describe(&mut client, version, (RESOURCE_TOPIC, "t"), None).await;
        assert_eq!(result.error_code, ErrorCode::NONE);
        let find = |name: &str| {
            result
                .configs
                .iter()
                .find(|config| config.name == name)
                .unwrap()
        };
        let set = find("retention.ms");
        assert_eq!(
            (set.value.as_deref(), set.config_source),
            (Some("1000"), SOURCE_TOPIC)
        );
        let synonyms: Vec<_> = set
            .synonyms
            .iter()
            .map(|synonym| {
                (
                    synonym.name.as_str(),
                    synonym.value.as_deref(),
                    synonym.source,
                )
            })
            .collect();
        let expected = [
            ("retention.ms", Some("1000"), SOURCE_TOPIC),
            ("log.retention.ms", Some("604800000"), SOURCE_DEFAULT),
        ];
        assert_eq!(synonyms, expected);
        let unset = find("cleanup.policy");
        assert_eq!(
            (unset.value.as_deref(), unset.config_source),
            (Some("delete"), SOURCE_DEFAULT)
        );
        assert_eq!(set.config_type, if version >= 3 { 5 } else { 0 });
        assert_eq!(set.documentation.is_some(), version >= 3);
    }
}

#[tokio::test]
async fn null_keys_ask_for_all_and_an_empty_list_for_none() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    let topic = (RESOURCE_TOPIC, "t");
    let all = describe(&mut client, 4, topic, None).await.configs.len();
    assert_eq!(all, SETTINGS.len());
    assert!(
        describe(&mut client, 4, topic, Some(&[]))
            .await
            .configs
            .is_empty()
    );
    let two = describe(&mut client, 4, topic, Some(&["segment.bytes", "no.such"])).await;
    assert_eq!(two.configs.len(), 1);
}

#[tokio::test]
async fn a_broker_shows_what_it_has() {
    let server = Server::start_with(|config| config.partitions = 7).await;
    let mut client = server.connect().await;
    let result = describe(&mut client, 4, (RESOURCE_BROKER, "1"), None).await;
    let find = |name: &str| {
        result
            .configs
            .iter()
            .find(|config| config.name == name)
            .unwrap()
    };
    let partitions = find("num.partitions");
    assert_eq!(partitions.value.as_deref(), Some("7"));
    assert_eq!(
        (partitions.config_source, partitions.read_only),
        (SOURCE_STATIC_BROKER, true)
    );
    let everywhere = describe(&mut client, 4, (RESOURCE_BROKER, ""), None).await;
    assert_eq!(
        (everywhere.error_code, everywhere.configs.len()),
        (ErrorCode::NONE, 0)
    );
}

#[tokio::test]
async fn what_is_not_there_has_no_settings() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for (resource, code) in [
        (
            (RESOURCE_TOPIC, "nowhere"),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ),
        ((RESOURCE_TOPIC, "a/b"), ErrorCode::INVALID_TOPIC_EXCEPTION),
        ((RESOURCE_BROKER, "2"), ErrorCode::INVALID_REQUEST),
        ((99, "x"), ErrorCode::INVALID_REQUEST),
    ] {
        let result = describe(&mut client, 4, resource, None).await;
        assert_eq!((result.error_code, result.configs.len()), (code, 0));
    }
}
