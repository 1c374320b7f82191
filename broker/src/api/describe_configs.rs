//! DescribeConfigs: the settings of topics (the table in `topic_config`) and the few that a broker has.

use headrace_protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym, RESOURCE_BROKER,
    RESOURCE_TOPIC, SOURCE_DEFAULT, SOURCE_STATIC_BROKER, SOURCE_TOPIC,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use crate::controller::topic_name;
use crate::node::Node;
use crate::partition::registry::CONSUMER_OFFSETS_PARTITIONS;
use crate::topic_config::{Kind, Overrides, SETTINGS, Setting};

pub(super) async fn handle(call: Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let described = match resource.resource_type {
            RESOURCE_TOPIC => topic(&call, resource),
            RESOURCE_BROKER => broker(&call.node, resource),
            _ => Err((
                ErrorCode::INVALID_REQUEST,
                "only topics and brokers have settings",
            )),
        };
        let mut result = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..DescribeConfigsResult::default()
        };
        match described {
            Ok(configs) => result.configs = trimmed(configs, resource, &request),
            Err((code, message)) => {
                result.error_code = code;
                result.error_message = Some(Str::from_static(message));
            }
        }
        result
    });
    DescribeConfigsResponse {
        results: results.collect(),
        ..DescribeConfigsResponse::default()
    }
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, &'static str)>;

fn topic(call: &Call, resource: &DescribeConfigsResource) -> Described {
    if !topic_name::is_valid(&resource.resource_name) {
        return Err((ErrorCode::INVALID_TOPIC_EXCEPTION, "not a topic name"));
    }
    let topic = call.node.registry.topic(&resource.resource_name);
    let topic = topic.ok_or((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "unknown topic"))?;
    let describe = |setting| topic_setting(setting, &topic.overrides);
    Ok(SETTINGS.iter().map(describe).collect())
}

fn topic_setting(
    setting: &'static Setting,
    overrides: &Overrides,
) -> DescribeConfigsResourceResult {
    let set = overrides
        .get(setting.name)
        .map(|value| Str::from(value.as_str()));
    let default = Str::from_static(setting.default);
    let own = set
        .clone()
        .map(|value| synonym(setting.name, value, SOURCE_TOPIC));
    let inherited = setting
        .synonym
        .map(|name| synonym(name, default.clone(), SOURCE_DEFAULT));
    DescribeConfigsResourceResult {
        name: Str::from_static(setting.name),
        config_source: if set.is_some() {
            SOURCE_TOPIC
        } else {
            SOURCE_DEFAULT
        },
        value: Some(set.unwrap_or(default)),
        read_only: false,
        is_sensitive: false,
        synonyms: own.into_iter().chain(inherited).collect(),
        config_type: setting.kind.code(),
        documentation: Some(Str::from_static(setting.doc)),
    }
}

fn broker(node: &Node, resource: &DescribeConfigsResource) -> Described {
    // the empty name asks for what is set for all brokers at run time: nothing
    if resource.resource_name.is_empty() {
        return Ok(Vec::new());
    }
    if resource.resource_name != node.id.to_string().as_str() {
        return Err((ErrorCode::INVALID_REQUEST, "no such broker"));
    }
    Ok(broker_settings(node).map(broker_setting).collect())
}

/// Name, type, value, and what it does.
type BrokerSetting = (&'static str, Kind, String, &'static str);

fn broker_settings(node: &Node) -> impl Iterator<Item = BrokerSetting> {
    let config = &node.config;
    let endpoint = format!(
        "PLAINTEXT://{}:{}",
        node.advertised.host, node.advertised.port
    );
    [
        (
            "advertised.listeners",
            Kind::String,
            endpoint,
            "What clients connect to.",
        ),
        (
            "auto.create.topics.enable",
            Kind::Boolean,
            config.auto_create.to_string(),
            "Whether asking for an unknown topic makes it.",
        ),
        (
            "default.replication.factor",
            Kind::Int,
            "1".to_owned(),
            "Copies of a topic's data that is made without saying how many.",
        ),
        (
            "listeners",
            Kind::List,
            format!("PLAINTEXT://{}", config.listen),
            "Where the broker listens.",
        ),
        (
            "log.dirs",
            Kind::List,
            config.data.display().to_string(),
            "The data directory.",
        ),
        (
            "node.id",
            Kind::Int,
            node.id.to_string(),
            "The broker's number in its cluster.",
        ),
        (
            "num.partitions",
            Kind::Int,
            config.partitions.to_string(),
            "Partitions of a topic that is made without saying how many.",
        ),
        (
            "offsets.topic.num.partitions",
            Kind::Int,
            CONSUMER_OFFSETS_PARTITIONS.to_string(),
            "Partitions of the topic with the groups' offsets.",
        ),
        (
            "socket.request.max.bytes",
            Kind::Int,
            (100 << 20).to_string(),
            "The largest request in bytes.",
        ),
    ]
    .into_iter()
}

fn broker_setting((name, kind, value, doc): BrokerSetting) -> DescribeConfigsResourceResult {
    let value = Str::from(value);
    DescribeConfigsResourceResult {
        name: Str::from_static(name),
        synonyms: vec![synonym(name, value.clone(), SOURCE_STATIC_BROKER)],
        value: Some(value),
        read_only: true,
        config_source: SOURCE_STATIC_BROKER,
        is_sensitive: false,
        config_type: kind.code(),
        documentation: Some(Str::from_static(doc)),
    }
}

fn synonym(name: &'static str, value: Str, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: Str::from_static(name),
        value: Some(value),
        source,
    }
}

/// Leaves what was asked for: null keys ask for all, an empty list for none.
fn trimmed(
    configs: Vec<DescribeConfigsResourceResult>,
    resource: &DescribeConfigsResource,
    request: &DescribeConfigsRequest,
) -> Vec<DescribeConfigsResourceResult> {
    let keys = resource.configuration_keys.as_ref();
    let wanted = |config: &DescribeConfigsResourceResult| {
        keys.is_none_or(|keys| keys.contains(&config.name))
    };
    let trim = |mut config: DescribeConfigsResourceResult| {
        if !request.include_synonyms {
            config.synonyms.clear();
        }
        if !request.include_documentation {
            config.documentation = None;
        }
        config
    };
    configs.into_iter().filter(wanted).map(trim).collect()
}
