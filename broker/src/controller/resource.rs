//! What has settings beside topics: a broker, and all of them.

use headrace_protocol::describe_configs::RESOURCE_BROKER;

use crate::broker_settings::{self, SettingRefused};
use crate::topic_config::Overrides;

/// Resources with settings of their own in one catalogue; each is a line of it.
pub const RESOURCES_MAX: usize = 1_000;

/// Something that settings are given to at run time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// All brokers.
    Cluster,
    /// The broker of this number.
    Broker(i32),
}

impl Resource {
    /// What a type and a name on the wire (or in the catalogue) mean.
    pub fn of(code: i8, name: &str) -> Option<Resource> {
        match (code, name) {
            (RESOURCE_BROKER, "") => Some(Resource::Cluster),
            (RESOURCE_BROKER, id) => {
                let id: i32 = id.parse().ok()?;
                (id >= 0).then_some(Resource::Broker(id))
            }
            _ => None,
        }
    }

    /// Kafka's number of its type.
    pub fn code(&self) -> i8 {
        match self {
            Resource::Cluster | Resource::Broker(_) => RESOURCE_BROKER,
        }
    }

    /// Its name on the wire.
    pub fn name(&self) -> String {
        match self {
            Resource::Cluster => String::new(),
            Resource::Broker(id) => id.to_string(),
        }
    }

    /// Whether it may have these settings.
    pub fn check(&self, settings: &Overrides) -> Result<(), SettingRefused> {
        match self {
            Resource::Cluster | Resource::Broker(_) => broker_settings::check(settings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_type_are_read_back() {
        for resource in [Resource::Cluster, Resource::Broker(7)] {
            let read = Resource::of(resource.code(), &resource.name());
            assert_eq!(read, Some(resource));
        }
        for (code, name) in [(4, "x"), (4, "-1"), (2, "t"), (99, "")] {
            assert_eq!(Resource::of(code, name), None, "{code} {name}");
        }
    }
}
