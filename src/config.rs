//! The one configuration file: broker, HTTP, sources, targets, views.
//!
//! ```toml
//! [broker]
//! listen     = "127.0.0.1:9092"
//! advertised = "127.0.0.1:9092"        # required for a wildcard listen
//! data       = "data"                  # also: partitions (1), auto_create (true)
//! upkeep_interval_ms       = 300000    # how often (Kafka: log.retention.check.interval.ms) retention, rolls and compaction are looked at
//! cleaner_memory_bytes     = 67108864  # for the keys of the logs being compacted
//! cleaner_bytes_per_second = 104857600 # what compaction reads and writes; 0: no limit
//! scrub_bytes_per_second   = 8388608   # what the check of old segments reads; 0: off
//! free_space_min_bytes     = 2147483648 # below the greater of this and
//! free_space_min_percent   = 5         #   this part of the disk, appends are refused
//! group_initial_rebalance_delay_ms = 3000 # how long an empty group's first rebalance waits for more members
//! group_min_session_timeout_ms = 6000  # shortest session timeout that a member may ask for
//! group_max_session_timeout_ms = 1800000 # and the longest
//! group_max_size           = 10000     # members of one group
//! offsets_retention_minutes = 10080    # how long offsets outlive their group's last member
//! offsets_retention_check_interval_ms = 600000 # how often that is looked at
//! [broker.topic_defaults]              # settings of all topics that do not say otherwise (docs/configuration.md)
//! "retention.ms" = 86400000
//! [http]
//! listen = "127.0.0.1:9644"
//! [source.NAME]                        # headrace_cdc::SourceConfig
//! [target.NAME]                        # headrace_connectors::TargetConfig
//! [view.NAME]                          # headrace_connectors::ViewConfig
//! ```
//! - Every error names file and line; an unknown key also the nearest known one.
//! - Paths are relative to the file.
//! - `${env:NAME}` and `${file:PATH}` stand for a secret in `mysql`, `user`, `password` and `redis`. Inside a URL
//!   the secret is percent-encoded, so that no character of it is read as part of the URL.
mod place;
mod secret;
mod topics;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use headrace_broker::BrokerConfig;
use headrace_broker::controller::image::PARTITIONS_MAX;
use headrace_broker::topic_config::{Overrides, TopicConfig};
use headrace_cdc::SourceConfig;
use headrace_connectors::{TargetConfig, ViewConfig};
use serde::Deserialize;

use place::Places;

pub(crate) use topics::Topics;

/// Where the broker listens unless told otherwise.
const BROKER_LISTEN: &str = "127.0.0.1:9092";
/// Where HTTP listens unless told otherwise.
const HTTP_LISTEN: &str = "127.0.0.1:9644";

/// Everything a server is told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) broker: BrokerTable,
    pub(crate) http: HttpTable,
    pub(crate) sources: Vec<SourceConfig>,
    pub(crate) targets: BTreeMap<String, TargetConfig>,
    pub(crate) views: Vec<ViewConfig>,
}

/// `[broker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BrokerTable {
    /// Address to listen on.
    pub(crate) listen: String,
    /// Address that clients are told; the listen address if left out.
    pub(crate) advertised: Option<String>,
    /// Directory of all topics.
    pub(crate) data: PathBuf,
    /// Partitions of a topic created without a number.
    pub(crate) partitions: i32,
    /// Whether a producer's first record creates its topic.
    pub(crate) auto_create: bool,
    /// Settings of topics that do not have their own, by name.
    pub(crate) topic_defaults: toml::Table,
    /// How often logs are looked at for retention, rolls and compaction, in milliseconds.
    pub(crate) upkeep_interval_ms: u32,
    /// Memory for the keys of the logs that are being compacted, in bytes.
    pub(crate) cleaner_memory_bytes: usize,
    /// Bytes that compaction reads and writes per second; 0 sets no limit.
    pub(crate) cleaner_bytes_per_second: u64,
    /// Bytes that the scrub of sealed segments reads per second; 0 turns it off.
    pub(crate) scrub_bytes_per_second: u64,
    /// Appends are refused when less than this is free on the disk of the data directory, in bytes.
    pub(crate) free_space_min_bytes: u64,
    /// The same as a part of the disk, in percent; the greater of both counts.
    pub(crate) free_space_min_percent: u8,
    /// How long the first rebalance of an empty group waits for more members, in milliseconds.
    pub(crate) group_initial_rebalance_delay_ms: u32,
    /// Shortest session timeout that a group's member may ask for, in milliseconds.
    pub(crate) group_min_session_timeout_ms: u32,
    /// Longest session timeout that a group's member may ask for, in milliseconds.
    pub(crate) group_max_session_timeout_ms: u32,
    /// Most members of a group.
    pub(crate) group_max_size: usize,
    /// How long committed offsets are kept after their group lost its last member, in minutes.
    pub(crate) offsets_retention_minutes: u32,
    /// How often offsets are looked at for that, in milliseconds.
    pub(crate) offsets_retention_check_interval_ms: u32,
}

impl Default for BrokerTable {
    fn default() -> BrokerTable {
        let broker = BrokerConfig::default();
        BrokerTable {
            listen: BROKER_LISTEN.to_owned(),
            advertised: None,
            data: PathBuf::from("data"),
            partitions: 1,
            auto_create: true,
            topic_defaults: toml::Table::new(),
            upkeep_interval_ms: broker.upkeep_interval_ms,
            cleaner_memory_bytes: broker.cleaner_memory_bytes,
            cleaner_bytes_per_second: broker.cleaner_bytes_per_second,
            scrub_bytes_per_second: broker.scrub_bytes_per_second,
            free_space_min_bytes: broker.free_space_min_bytes,
            free_space_min_percent: broker.free_space_min_percent,
            group_initial_rebalance_delay_ms: broker.group_initial_rebalance_delay_ms,
            group_min_session_timeout_ms: broker.group_min_session_timeout_ms,
            group_max_session_timeout_ms: broker.group_max_session_timeout_ms,
            group_max_size: broker.group_max_size,
            offsets_retention_minutes: broker.offsets_retention_minutes,
            offsets_retention_check_interval_ms: broker.offsets_retention_check_interval_ms,
        }
    }
}

impl BrokerTable {
    /// The settings that topics inherit, by name. TOML takes the dots of a name without quotes for tables within
    /// tables: both spellings mean the same.
    pub(crate) fn topic_defaults(&self) -> Result<Overrides, String> {
        let mut flat = Overrides::new();
        let mut tables = vec![(String::new(), &self.topic_defaults)];
        while let Some((prefix, table)) = tables.pop() {
            for (key, value) in table {
                let name = format!("{prefix}{key}");
                let text = match value {
                    toml::Value::Table(inner) => {
                        tables.push((format!("{name}."), inner));
                        continue;
                    }
                    toml::Value::String(text) => text.clone(),
                    toml::Value::Integer(number) => number.to_string(),
                    toml::Value::Float(number) => number.to_string(),
                    toml::Value::Boolean(yes) => yes.to_string(),
                    toml::Value::Array(_) | toml::Value::Datetime(_) => {
                        return Err(format!("{name} is a number, a text, or true or false"));
                    }
                };
                flat.insert(name, text);
            }
        }
        Ok(flat)
    }
}

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpTable {
    /// Address to listen on.
    pub(crate) listen: String,
}

impl Default for HttpTable {
    fn default() -> HttpTable {
        HttpTable {
            listen: HTTP_LISTEN.to_owned(),
        }
    }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    broker: BrokerTable,
    #[serde(default)]
    http: HttpTable,
    #[serde(default)]
    source: BTreeMap<String, SourceConfig>,
    #[serde(default)]
    target: BTreeMap<String, TargetConfig>,
    #[serde(default)]
    view: BTreeMap<String, ViewConfig>,
}

/// What is wrong, and where: `headrace.toml:12: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub(crate) struct ConfigError {
    place: String,
    message: String,
}

impl Config {
    /// Reads a configuration file.
    pub(crate) fn read(path: &Path) -> Result<Config, ConfigError> {
        let error = |message| ConfigError {
            place: path.display().to_string(),
            message,
        };
        let text = std::fs::read_to_string(path)
            .map_err(|cause| error(format!("the configuration file cannot be read: {cause}")))?;
        Config::parse(&text, path)
    }

    /// A broker alone.
    pub(crate) fn broker_only() -> Config {
        let file = File {
            broker: BrokerTable::default(),
            http: HttpTable::default(),
            source: BTreeMap::new(),
            target: BTreeMap::new(),
            view: BTreeMap::new(),
        };
        Config::from_file(file)
    }

    /// Reads the text of the file at `path`.
    fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let places = Places::of(text, path);
        let file: File = toml::from_str(text).map_err(|error| places.toml_error(&error))?;
        let mut config = Config::from_file(file);
        config.fill_in_secrets(&places)?;
        config.make_paths_relative_to(path.parent().unwrap_or(Path::new("")));
        config.check(&places)?;
        Ok(config)
    }

    fn from_file(file: File) -> Config {
        let source = |(name, source)| SourceConfig { name, ..source };
        let view = |(name, view)| ViewConfig { name, ..view };
        Config {
            broker: file.broker,
            http: file.http,
            sources: file.source.into_iter().map(source).collect(),
            targets: file.target,
            views: file.view.into_iter().map(view).collect(),
        }
    }

    fn fill_in_secrets(&mut self, places: &Places<'_>) -> Result<(), ConfigError> {
        let folder = places.folder();
        for source in &mut self.sources {
            let at = |key| move |name: &str, message| places.error(&["source", name, key], message);
            let name = source.name.clone();
            source.mysql =
                secret::in_url(&source.mysql, folder).map_err(|e| at("mysql")(&name, e))?;
            for (key, value) in [
                ("user", &mut source.user),
                ("password", &mut source.password),
            ] {
                if let Some(value) = value {
                    *value = secret::in_text(value, folder).map_err(|e| at(key)(&name, e))?;
                }
            }
        }
        for (name, target) in &mut self.targets {
            if let TargetConfig::Redis { redis } = target {
                *redis = secret::in_url(redis, folder)
                    .map_err(|e| places.error(&["target", name, "redis"], e))?;
            }
        }
        Ok(())
    }

    fn make_paths_relative_to(&mut self, folder: &Path) {
        self.broker.data = folder.join(&self.broker.data);
        for target in self.targets.values_mut() {
            if let TargetConfig::Tantivy { tantivy } = target {
                *tantivy = folder.join(&*tantivy);
            }
        }
        for source in &mut self.sources {
            if let Some(authority) = &mut source.tls_ca {
                *authority = folder.join(&*authority);
            }
        }
    }

    /// Everything that can be said without a server.
    fn check(&self, places: &Places<'_>) -> Result<(), ConfigError> {
        if !(1..=PARTITIONS_MAX).contains(&self.broker.partitions) {
            let message = format!("partitions must lie between 1 and {PARTITIONS_MAX}");
            return Err(places.error(&["broker", "partitions"], message));
        }
        let defaults = self.broker.topic_defaults();
        let checked = defaults.and_then(|defaults| {
            let parsed = TopicConfig::parse(&defaults);
            parsed.map(|_| ()).map_err(|refused| refused.to_string())
        });
        checked.map_err(|message| places.error(&["broker", "topic_defaults"], message))?;
        check_listen(&self.broker)
            .map_err(|message| places.error(&["broker", "listen"], message))?;
        for source in &self.sources {
            let checked = source.checked_tables();
            checked.map_err(|message| places.error(&["source", &source.name], message))?;
        }
        headrace_connectors::check(&self.views, &self.targets).map_err(|error| {
            let message = match &error.hint {
                Some(hint) => format!("{}; {hint}", error.message),
                None => error.message.clone(),
            };
            places.error(&["view", &error.view, error.setting], message)
        })?;
        let topics = Topics::of(&self.sources);
        for view in &self.views {
            let topic = topics.find(&view.from);
            topic.map_err(|message| places.error(&["view", &view.name, "from"], message))?;
        }
        Ok(())
    }
}

/// A wildcard address is none that a client could dial.
pub(crate) fn check_listen(broker: &BrokerTable) -> Result<(), String> {
    let listen = &broker.listen;
    if !listen.contains(':') {
        return Err(format!("{listen:?} is no address; write \"HOST:PORT\""));
    }
    if is_wildcard(listen) && broker.advertised.is_none() {
        return Err(format!(
            "{listen} is every address of this machine; say in `advertised` which one clients shall use, \
             such as advertised = \"db1.example.org:9092\""
        ));
    }
    Ok(())
}

/// Whether an address means every interface.
pub(crate) fn is_wildcard(listen: &str) -> bool {
    listen.starts_with(':')
        || listen
            .parse::<SocketAddr>()
            .is_ok_and(|address| address.ip().is_unspecified())
}

/// Whether an address is reachable from this machine only.
pub(crate) fn is_loopback(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A text in quotes, for messages.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests;
