//! What topics have that do not say otherwise, and where each value comes from.
//!
//! ```text
//! topic > this broker, at run time > all brokers, at run time > configuration file > this program
//! ```
//! The order is Kafka's, and so are the names: below the topic a setting has its broker-wide name (`retention.ms`
//! is `log.retention.ms`). A setting without such a name is the topic's alone.

use super::{Overrides, SETTINGS, Scope, Setting};

/// Where a value comes from, nearest to the topic first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Set on the topic.
    Topic,
    /// Set on this broker at run time.
    Broker,
    /// Set for all brokers at run time.
    Cluster,
    /// From the configuration file.
    File,
    /// Set nowhere.
    Default,
}

/// A value and where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The name it has there.
    pub name: &'static str,
    /// The value.
    pub value: &'a str,
    /// The place.
    pub source: Source,
}

/// What a broker has for all topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// From the configuration file, by the names that topics have for them.
    pub file: Overrides,
    /// Set for all brokers, by the brokers' names.
    pub cluster: Overrides,
    /// Set for this broker, by the brokers' names.
    pub broker: Overrides,
}

impl Defaults {
    /// The values of a setting for a topic with these overrides, the one that counts first. What this program itself
    /// has is in it only if there is a broker-wide name for it.
    pub fn found<'a>(&'a self, setting: &'static Setting, topic: &'a Overrides) -> Vec<Found<'a>> {
        let own = topic.get(setting.name).map(|value| Found {
            name: setting.name,
            value,
            source: Source::Topic,
        });
        own.into_iter().chain(self.inherited(setting)).collect()
    }

    /// The same below the topic: the values of the broker's setting.
    pub fn inherited<'a>(
        &'a self,
        setting: &'static Setting,
    ) -> impl Iterator<Item = Found<'a>> + use<'a> {
        let name = setting.synonym;
        let at = move |values: &'a Overrides, key: &str, source| {
            let value = values.get(key)?.as_str();
            let name = name?;
            Some(Found {
                name,
                value,
                source,
            })
        };
        let broker = name.and_then(|name| at(&self.broker, name, Source::Broker));
        let cluster = name.and_then(|name| at(&self.cluster, name, Source::Cluster));
        let file = at(&self.file, setting.name, Source::File);
        let default = name.map(|name| Found {
            name,
            value: setting.default,
            source: Source::Default,
        });
        [broker, cluster, file, default].into_iter().flatten()
    }

    /// What the broker's own topics have of it: nothing that is about what clients append.
    #[must_use]
    pub fn of_internal_topics(&self) -> Defaults {
        let is_of_log = |setting: &&Setting| setting.scope == Scope::Log;
        let kept =
            |values: &Overrides, name: fn(&'static Setting) -> Option<&'static str>| -> Overrides {
                let names = SETTINGS.iter().filter(is_of_log).filter_map(name);
                let kept = names.filter_map(|name| values.get_key_value(name));
                kept.map(|(name, value)| (name.clone(), value.clone()))
                    .collect()
            };
        Defaults {
            file: kept(&self.file, |setting| Some(setting.name)),
            cluster: kept(&self.cluster, |setting| setting.synonym),
            broker: kept(&self.broker, |setting| setting.synonym),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic_config::{TopicConfig, setting};

    fn one(name: &str, value: &str) -> Overrides {
        Overrides::from([(name.to_owned(), value.to_owned())])
    }

    fn defaults() -> Defaults {
        Defaults {
            file: one("retention.ms", "4"),
            cluster: one("log.retention.ms", "3"),
            broker: one("log.retention.ms", "2"),
        }
    }

    /// trap 21: the order of synonyms is topic, broker, cluster, file, default.
    #[test]
    fn the_nearest_value_counts_and_all_are_told_in_order() {
        let (defaults, topic) = (defaults(), one("retention.ms", "1"));
        let found = defaults.found(setting("retention.ms").unwrap(), &topic);
        let told: Vec<_> = found
            .iter()
            .map(|found| (found.name, found.value))
            .collect();
        let expected = [
            ("retention.ms", "1"),
            ("log.retention.ms", "2"),
            ("log.retention.ms", "3"),
            ("log.retention.ms", "4"),
            ("log.retention.ms", "604800000"),
        ];
        assert_eq!(told, expected);
        assert!(found.is_sorted_by_key(|found| found.source));
        let age = |topic: &Overrides, defaults: &Defaults| {
            let config = TopicConfig::of(topic, defaults).unwrap();
            config.retention.unwrap().as_millis()
        };
        assert_eq!(age(&topic, &defaults), 1);
        let none = Overrides::new();
        assert_eq!(age(&none, &defaults), 2);
        let file = Defaults {
            cluster: none.clone(),
            broker: none.clone(),
            ..defaults
        };
        assert_eq!(age(&none, &file), 4);
    }

    #[test]
    fn a_setting_without_a_broker_wide_name_is_the_topics_alone() {
        let defaults = Defaults::default();
        let none = Overrides::new();
        let found = defaults.found(setting("write.caching").unwrap(), &none);
        assert_eq!(found, []);
    }

    #[test]
    fn topics_of_the_broker_inherit_nothing_that_is_about_clients() {
        let both = [
            ("compression.type", "zstd"),
            ("log.segment.bytes", "5000000"),
        ];
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let defaults = Defaults {
            broker: Overrides::from(both.map(text)),
            ..Defaults::default()
        };
        let none = Overrides::new();
        let config = TopicConfig::of(&none, &defaults.of_internal_topics()).unwrap();
        assert_eq!(config.compression, None);
        assert_eq!(config.segment_bytes_max, 5_000_000);
    }
}
