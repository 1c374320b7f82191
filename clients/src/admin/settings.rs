//! The settings of topics: what each is, where it comes from, what it does.
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use headrace_protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, RESOURCE_TOPIC, SOURCE_DEFAULT, SOURCE_DYNAMIC_BROKER,
    SOURCE_STATIC_BROKER, SOURCE_TOPIC,
};
use headrace_protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, OPERATION_DELETE, OPERATION_SET,
};

use super::route::To;
use super::{Admin, AdminError, check_topic, first_code, only};

/// DescribeConfigs with documentation (Kafka 2.6 and later).
const DESCRIBE_CONFIGS: RangeInclusive<i16> = 3..=4;

/// IncrementalAlterConfigs (Kafka 2.3 and later).
const ALTER_CONFIGS: RangeInclusive<i16> = 0..=1;

/// One setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSetting {
    /// Its value; `None` for one that is not shown.
    pub value: Option<String>,
    /// Who set it.
    pub origin: SettingOrigin,
    /// What it does, in the broker's words.
    pub documentation: Option<String>,
}

/// Who set a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// The topic has its own value.
    Topic,
    /// It was set for this broker, or for all, while they ran.
    DynamicBroker,
    /// The broker's configuration file.
    StaticBroker,
    /// Nobody.
    Default,
    /// A number that this client does not know.
    Other(i8),
}

impl SettingOrigin {
    fn of(source: i8) -> SettingOrigin {
        match source {
            SOURCE_TOPIC => SettingOrigin::Topic,
            // 3: for all brokers
            SOURCE_DYNAMIC_BROKER | 3 => SettingOrigin::DynamicBroker,
            SOURCE_STATIC_BROKER => SettingOrigin::StaticBroker,
            SOURCE_DEFAULT => SettingOrigin::Default,
            other => SettingOrigin::Other(other),
        }
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingOrigin::Topic => f.pad("topic"),
            SettingOrigin::DynamicBroker => f.pad("broker, dynamic"),
            SettingOrigin::StaticBroker => f.pad("broker"),
            SettingOrigin::Default => f.pad("default"),
            SettingOrigin::Other(source) => write!(f, "source {source}"),
        }
    }
}

impl Admin {
    /// The settings of a topic.
    pub async fn topic_settings(
        &self,
        name: &str,
    ) -> Result<BTreeMap<String, TopicSetting>, AdminError> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: RESOURCE_TOPIC,
                resource_name: name.into(),
                configuration_keys: None,
            }],
            include_synonyms: false,
            include_documentation: true,
        };
        let code = |answer: &DescribeConfigsResponse| first_code(&answer.results, |r| r.error_code);
        let answer = self.ask(To::Any, DESCRIBE_CONFIGS, &request, code).await?;
        let result = only(answer.results, name)?;
        check_topic(name, result.error_code, result.error_message.as_ref())?;
        Ok(result.configs.into_iter().map(setting).collect())
    }

    /// Gives a topic settings of its own, or takes them back where there is no value; all or none.
    pub async fn alter_topic_settings(
        &self,
        name: &str,
        changes: &[(&str, Option<&str>)],
    ) -> Result<(), AdminError> {
        let change = |(setting, value): &(&str, Option<&str>)| AlterableConfig {
            name: (*setting).into(),
            config_operation: if value.is_some() {
                OPERATION_SET
            } else {
                OPERATION_DELETE
            },
            value: value.map(Into::into),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: RESOURCE_TOPIC,
                resource_name: name.into(),
                configs: changes.iter().map(change).collect(),
            }],
            validate_only: false,
        };
        let code = |answer: &IncrementalAlterConfigsResponse| {
            first_code(&answer.responses, |r| r.error_code)
        };
        let to = To::Controller;
        let answer = self.ask(to, ALTER_CONFIGS, &request, code).await?;
        let result = only(answer.responses, name)?;
        check_topic(name, result.error_code, result.error_message.as_ref())
    }
}

fn setting(found: DescribeConfigsResourceResult) -> (String, TopicSetting) {
    let setting = TopicSetting {
        value: found.value.map(String::from),
        origin: SettingOrigin::of(found.config_source),
        documentation: found
            .documentation
            .map(String::from)
            .filter(|text| !text.is_empty()),
    };
    (found.name.into(), setting)
}
