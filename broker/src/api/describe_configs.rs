//! DescribeConfigs: the settings of topics and brokers, from the tables in `topic_config` and `broker_settings`, each
//! with where its value comes from.

use headrace_protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym, RESOURCE_TOPIC,
    SOURCE_DEFAULT, SOURCE_DYNAMIC_BROKER, SOURCE_DYNAMIC_DEFAULT_BROKER, SOURCE_STATIC_BROKER,
    SOURCE_TOPIC,
};
use headrace_protocol::{ErrorCode, Str};

use super::Call;
use super::alteration::{Refused, resource};
use crate::broker_settings::{self, STARTED, StartedSetting};
use crate::controller::resource::Resource;
use crate::controller::topic_name;
use crate::node::Node;
use crate::topic_config::{Defaults, Found, Kind, Overrides, SETTINGS, Setting, Source};

pub(super) async fn handle(call: Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|asked| {
        let described = match asked.resource_type {
            RESOURCE_TOPIC => topic(&call, asked),
            _ => other(&call, asked),
        };
        let mut result = DescribeConfigsResult {
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            ..DescribeConfigsResult::default()
        };
        match described {
            Ok(configs) => result.configs = trimmed(configs, asked, &request),
            Err((code, message)) => {
                result.error_code = code;
                result.error_message = Some(message.into());
            }
        }
        result
    });
    DescribeConfigsResponse {
        results: results.collect(),
        ..DescribeConfigsResponse::default()
    }
}

/// The number of a source on the wire.
pub(super) fn code_of(source: Source) -> i8 {
    match source {
        Source::Topic => SOURCE_TOPIC,
        Source::Broker => SOURCE_DYNAMIC_BROKER,
        Source::Cluster => SOURCE_DYNAMIC_DEFAULT_BROKER,
        Source::File => SOURCE_STATIC_BROKER,
        Source::Default => SOURCE_DEFAULT,
    }
}

/// What topics of this name inherit.
pub(super) fn inherited_by(topic: &str, defaults: &Defaults) -> Defaults {
    if topic_name::is_internal(topic) {
        defaults.of_internal_topics()
    } else {
        defaults.clone()
    }
}

type Described = Result<Vec<DescribeConfigsResourceResult>, Refused>;

fn topic(call: &Call, asked: &DescribeConfigsResource) -> Described {
    let name = &asked.resource_name;
    if !topic_name::is_valid(name) {
        let message = format!("{name:?} is no topic name");
        return Err((ErrorCode::INVALID_TOPIC_EXCEPTION, message));
    }
    let topics = call.node.registry.topics();
    let unknown = || {
        let message = "unknown topic".to_owned();
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
    };
    let topic = topics.by_name(name).ok_or_else(unknown)?;
    let defaults = inherited_by(name, topics.defaults());
    let describe = |setting| topic_setting(setting, &topic.overrides, &defaults);
    Ok(SETTINGS.iter().map(describe).collect())
}

fn topic_setting(
    setting: &'static Setting,
    overrides: &Overrides,
    defaults: &Defaults,
) -> DescribeConfigsResourceResult {
    shown(setting.name, setting, &defaults.found(setting, overrides))
}

/// A setting of the table, with its values from the one that counts on.
fn shown(
    name: &'static str,
    setting: &'static Setting,
    found: &[Found<'_>],
) -> DescribeConfigsResourceResult {
    let first = found.first();
    DescribeConfigsResourceResult {
        name: Str::from_static(name),
        value: Some(first.map_or(Str::from_static(setting.default), |first| {
            first.value.into()
        })),
        read_only: false,
        config_source: first.map_or(SOURCE_DEFAULT, |first| code_of(first.source)),
        is_sensitive: false,
        synonyms: found.iter().map(synonym).collect(),
        config_type: setting.kind.code(),
        documentation: Some(Str::from_static(setting.doc)),
    }
}

fn synonym(found: &Found<'_>) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: Str::from_static(found.name),
        value: Some(found.value.into()),
        source: code_of(found.source),
    }
}

fn other(call: &Call, asked: &DescribeConfigsResource) -> Described {
    let topics = call.node.registry.topics();
    let defaults = topics.defaults();
    match resource(call, asked.resource_type, &asked.resource_name)? {
        Resource::Cluster => Ok(cluster(defaults)),
        Resource::Broker(_) => Ok(broker(&call.node, defaults)),
    }
}

/// What is set for all brokers at run time, and nothing else.
fn cluster(defaults: &Defaults) -> Vec<DescribeConfigsResourceResult> {
    let inherited = broker_settings::all_inherited().into_iter();
    let set = inherited.filter_map(|(name, setting)| {
        let of_cluster = |found: &Found<'_>| found.source == Source::Cluster;
        let found = defaults.inherited(setting).find(of_cluster)?;
        Some(shown(name, setting, &[found]))
    });
    set.collect()
}

fn broker(node: &Node, defaults: &Defaults) -> Vec<DescribeConfigsResourceResult> {
    let inherited = broker_settings::all_inherited().into_iter();
    let inherited = inherited.map(|(name, setting)| {
        let found: Vec<_> = defaults.inherited(setting).collect();
        shown(name, setting, &found)
    });
    let started = STARTED.iter().map(|setting| started(node, setting));
    inherited.chain(started).collect()
}

fn started(node: &Node, setting: &'static StartedSetting) -> DescribeConfigsResourceResult {
    let (name, kind): (_, Kind) = (setting.name, setting.kind);
    let value = Str::from(setting.value(node));
    DescribeConfigsResourceResult {
        name: Str::from_static(name),
        synonyms: vec![DescribeConfigsSynonym {
            name: Str::from_static(name),
            value: Some(value.clone()),
            source: SOURCE_STATIC_BROKER,
        }],
        value: Some(value),
        read_only: true,
        config_source: SOURCE_STATIC_BROKER,
        is_sensitive: false,
        config_type: kind.code(),
        documentation: Some(Str::from_static(setting.doc)),
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
