//! Changes of settings: of a topic, or of what a broker has for all of them.
//!
//! ```text
//! alter: edits -> checked, with every topic that inherits -> catalogue durable -> visible -> shards have it -> answer
//! ```
//! Whoever is answered finds the new settings in effect. A crash in between leaves the old ones or the new.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::info;

use super::{Owner, publishable};
use crate::broker_settings::{self, SettingRefused};
use crate::controller::image::{TopicRecord, TopicRefused, check_config};
use crate::controller::resource::Resource;
use crate::controller::topic_name;
use crate::partition::registry::{ChangeFailure, LoadError};
use crate::partition::settings::LogSettings;
use crate::partition::shard::Message;
use crate::partition::topics::{Topic, Topics};
use crate::topic_config::{
    self, ConfigError, Defaults, Edits, Overrides, Source, TopicConfig, edited,
};

/// What has the settings.
#[derive(Debug)]
pub(in crate::partition) enum Altered {
    /// The topic of this name.
    Topic(Arc<str>),
    /// Something else.
    Resource(Resource),
}

impl Owner {
    pub(super) fn alter(
        &mut self,
        of: &Altered,
        edits: &Edits,
        validate_only: bool,
    ) -> Result<(), ChangeFailure> {
        match of {
            Altered::Topic(name) => self.alter_topic(name, edits, validate_only),
            Altered::Resource(resource) => self.alter_resource(resource, edits, validate_only),
        }
    }

    /// What this broker has for all topics, as the catalogue of now says.
    pub(super) fn defaults_of_now(&self) -> Defaults {
        let set = |resource| self.image.resource(&resource).cloned().unwrap_or_default();
        Defaults {
            file: self.file_defaults.clone(),
            cluster: set(Resource::Cluster),
            broker: set(Resource::Broker(self.data.node_id())),
        }
    }

    /// A topic's settings, parsed; they were checked when they or the defaults were set.
    pub(super) fn config_of(&self, topic: &TopicRecord) -> TopicConfig {
        let config = check_config(&topic.name, &topic.overrides, &self.defaults);
        config.expect("checked before it came into the image, and again at the start")
    }

    /// Checks at a start that every topic may have what the configuration file says for all.
    pub(super) fn check_defaults(&self) -> Result<(), LoadError> {
        for topic in self.image.topics() {
            let checked = check_config(&topic.name, &topic.overrides, &self.defaults);
            checked.map_err(|reason| LoadError::Defaults {
                topic: Arc::clone(&topic.name),
                reason,
            })?;
        }
        Ok(())
    }

    fn alter_topic(
        &mut self,
        name: &str,
        edits: &Edits,
        validate_only: bool,
    ) -> Result<(), ChangeFailure> {
        let record = self.image.topic(name).ok_or(ChangeFailure::Unknown)?;
        let refused = |reason| ChangeFailure::Refused(TopicRefused::Config(reason));
        let inherited = |setting: &str| {
            let row = topic_config::setting(setting)?;
            let value = self.defaults.inherited(row).next();
            let value = value.map_or(row.default, |found| found.value);
            Some((row.kind, value.to_owned()))
        };
        let overrides = edited(&record.overrides, edits, &inherited).map_err(refused)?;
        let config = check_config(name, &overrides, &self.defaults).map_err(refused)?;
        if topic_name::is_internal(name) && (config.delete || !config.compact) {
            let reason = format!("{name} is compacted: the newest record of each key must stay");
            return Err(refused(ConfigError::Invalid {
                name: "cleanup.policy",
                value: overrides.get("cleanup.policy").cloned().unwrap_or_default(),
                reason,
            }));
        }
        if validate_only || overrides == record.overrides {
            return Ok(());
        }
        let record = TopicRecord {
            overrides,
            ..record.clone()
        };
        let mut image = self.image.clone();
        image.insert(record);
        self.write(image)?;
        info!(topic = name, "settings of a topic are altered");
        self.publish_settings();
        Ok(())
    }

    fn alter_resource(
        &mut self,
        resource: &Resource,
        edits: &Edits,
        validate_only: bool,
    ) -> Result<(), ChangeFailure> {
        let before = self.image.resource(resource).cloned().unwrap_or_default();
        let inherited = |name: &str| {
            let row = broker_settings::inherited(name)?;
            let own = match resource {
                Resource::Cluster => Source::Cluster,
                Resource::Broker(_) => Source::Broker,
            };
            let mut values = self.defaults.inherited(row);
            let value = values.find(|found| found.source > own);
            let value = value.map_or(row.default, |found| found.value);
            Some((row.kind, value.to_owned()))
        };
        let after = edited(&before, edits, &inherited);
        let after = after.map_err(|error| SettingRefused::Invalid(error.to_string()))?;
        resource.check(&after)?;
        self.check_topics(resource, &after)?;
        let mut image = self.image.clone();
        if !image.set_resource(resource.clone(), after.clone()) {
            return Err(SettingRefused::TooMany.into());
        }
        if validate_only || after == before {
            return Ok(());
        }
        self.write(image)?;
        info!(?resource, "settings are altered");
        self.publish_settings();
        Ok(())
    }

    /// Whether every topic goes with what it would inherit.
    fn check_topics(&self, resource: &Resource, after: &Overrides) -> Result<(), SettingRefused> {
        let mut defaults = self.defaults.clone();
        match resource {
            Resource::Cluster => defaults.cluster.clone_from(after),
            Resource::Broker(id) if *id == self.data.node_id() => {
                defaults.broker.clone_from(after);
            }
            Resource::Broker(_) => return Ok(()),
        }
        let alone = TopicConfig::of(&Overrides::new(), &defaults);
        alone.map_err(|reason| SettingRefused::Invalid(reason.to_string()))?;
        for topic in self.image.topics() {
            let checked = check_config(&topic.name, &topic.overrides, &defaults);
            checked.map_err(|reason| {
                SettingRefused::Invalid(format!(
                    "topic {} does not go with it: {reason}",
                    topic.name
                ))
            })?;
        }
        Ok(())
    }

    /// Shows readers the topics as the image has them, and has the shards go by their settings.
    fn publish_settings(&mut self) {
        self.defaults = self.defaults_of_now();
        let before = self.topics.load_full();
        let mut topics = Topics::clone(&before);
        topics.set_defaults(self.defaults.clone());
        let mut changed = Vec::new();
        for record in self.image.topics() {
            let Some(topic) = before.by_id(record.id) else {
                continue;
            };
            let config = self.config_of(record);
            if config == topic.config && record.overrides == topic.overrides {
                continue;
            }
            let partitions = topic.partitions.clone();
            let topic = Arc::new(publishable(record.clone(), config, partitions));
            changed.push(Arc::clone(&topic));
            topics.insert(topic);
        }
        self.topics.store(Arc::new(topics));
        configure(&changed);
    }
}

/// Has the shards go by the settings of these topics; returns when all do.
fn configure(topics: &[Arc<Topic>]) {
    let mut asked = Vec::new();
    for topic in topics {
        let settings = LogSettings::of(&topic.config);
        for handle in topic.served() {
            let (reply, answer) = oneshot::channel();
            let (slot, settings) = (handle.0.slot, Box::new(settings.clone()));
            let message = Message::Configure {
                slot,
                settings,
                reply,
            };
            // a shard that is gone needs no settings
            drop(handle.0.inbox.blocking_send(message));
            asked.push(answer);
        }
    }
    for answer in asked {
        drop(answer.blocking_recv());
    }
}
