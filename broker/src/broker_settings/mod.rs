//! Settings of a broker: those of topics that it has for all of them, which can be set while it runs, and what it was
//! started with, which is only shown.
//!
//! The names are Kafka's. What topics inherit is the table of `topic_config` under its broker-wide names; [`STARTED`]
//! is the table of the rest.

#[cfg(test)]
mod document;
mod started;

use crate::topic_config::{ConfigError, Overrides, SETTINGS, Setting, TopicConfig};

pub use started::{STARTED, StartedSetting};

/// Why a broker does not get a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingRefused {
    /// No such setting.
    #[error("unknown broker setting {0}")]
    Unknown(String),
    /// It is the configuration file's.
    #[error("{0} cannot be set while the broker runs; it is read at the start")]
    AtStart(&'static str),
    /// The value does not parse or is out of bounds, or contradicts what a topic has set.
    #[error("{0}")]
    Invalid(String),
    /// Too much is set.
    #[error("too many resources have settings of their own")]
    TooMany,
}

/// The setting of topics that is set on brokers under this name.
pub fn inherited(name: &str) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .find(|setting| setting.synonym == Some(name))
}

/// The settings of topics that brokers have for all of them, in the order of the brokers' names.
pub fn all_inherited() -> Vec<(&'static str, &'static Setting)> {
    let named = SETTINGS.iter();
    let named = named.filter_map(|setting| Some((setting.synonym?, setting)));
    let mut named: Vec<_> = named.collect();
    named.sort_unstable_by_key(|(name, _)| *name);
    named
}

/// Whether a broker may have these settings, as far as they can be told without its topics.
pub fn check(settings: &Overrides) -> Result<(), SettingRefused> {
    let mut together = Overrides::new();
    for (name, value) in settings {
        let Some(row) = inherited(name) else {
            let started = STARTED.iter().find(|row| row.name == name);
            return Err(match started {
                Some(row) => SettingRefused::AtStart(row.name),
                None => SettingRefused::Unknown(name.clone()),
            });
        };
        row.check(value).map_err(|error| as_told(name, &error))?;
        together.insert(row.name.to_owned(), value.clone());
    }
    let together = TopicConfig::parse(&together);
    let wrong = |error: ConfigError| SettingRefused::Invalid(error.to_string());
    together.map(|_| ()).map_err(wrong)
}

/// The error under the broker's name for the setting.
fn as_told(name: &str, error: &ConfigError) -> SettingRefused {
    SettingRefused::Invalid(match error {
        ConfigError::Invalid { value, reason, .. } => {
            format!("invalid value {value:?} for {name}: {reason}")
        }
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<(), SettingRefused> {
        check(&Overrides::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn what_topics_inherit_can_be_set_and_the_rest_cannot() {
        assert_eq!(checked("log.retention.ms", "5"), Ok(()));
        assert_eq!(checked("compression.type", "zstd"), Ok(()));
        let at_start = Err(SettingRefused::AtStart("num.partitions"));
        assert_eq!(checked("num.partitions", "5"), at_start);
        // a name of topics is none of brokers
        let unknown = Err(SettingRefused::Unknown("retention.ms".to_owned()));
        assert_eq!(checked("retention.ms", "5"), unknown);
        let refused = checked("log.segment.bytes", "5").unwrap_err().to_string();
        assert!(refused.contains("log.segment.bytes"), "{refused}");
    }

    #[test]
    fn names_are_unique_and_sorted() {
        let inherited = all_inherited();
        assert!(inherited.is_sorted_by(|(one, _), (other, _)| one < other));
        assert!(STARTED.is_sorted_by(|one, other| one.name < other.name));
        let twice = |row: &StartedSetting| super::inherited(row.name).is_some();
        assert!(!STARTED.iter().any(twice));
    }
}
