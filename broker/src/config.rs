//! What a broker is told at its start, checked before anything is opened.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::lookup_host;

use crate::controller::image::PARTITIONS_MAX;
use crate::coordinator::group::consumer::ConsumerSettings;
use crate::coordinator::group::{GroupSettings, PARTITION_BYTES_MAX};
use crate::error::StartError;
use crate::partition::space::SpaceRule;
use crate::partition::upkeep::UpkeepSettings;
use crate::topic_config::{Overrides, TopicConfig, setting};

/// Looking seldom keeps what retention should have removed: a day at most.
const UPKEEP_INTERVAL_MS_MAX: u32 = 24 * 3_600_000;
/// Looking more often than this would keep a core busy with thousands of logs.
const UPKEEP_INTERVAL_MS_MIN: u32 = 100;
/// Below this a pass of compaction holds too few keys to be worth reading the log for.
const CLEANER_MEMORY_BYTES_MIN: usize = 1 << 20;
/// The keys of a hundred million records fit; more is a slip of the pen.
const CLEANER_MEMORY_BYTES_MAX: usize = 4 << 30;
/// Rates beyond are no limit (0 says so), and would not fit into the throttle.
const BYTES_PER_SECOND_MAX: u64 = (4 << 30) - 1;
/// A pebibyte: no disk of one machine is larger.
const FREE_SPACE_BYTES_MAX: u64 = 1 << 50;
/// Each is a thread.
const SHARDS_MAX: usize = 1024;
/// What a process may have descriptors for.
const CONNECTIONS_MAX: usize = 1 << 20;
/// More than half of a disk is no reserve but a mistake.
const FREE_SPACE_PERCENT_MAX: u8 = 50;

/// Settings of a broker. The file's `[broker]` section gives the first ones.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where it listens, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// What clients are told to connect to, `host:port`; without it, where it listens.
    pub advertised: Option<String>,
    /// The data directory.
    pub data: PathBuf,
    /// Partitions of a topic that is made without saying how many.
    pub partitions: i32,
    /// Settings that topics have unless they say otherwise, by the topics' names for them.
    pub topic_defaults: Overrides,
    /// Whether asking for an unknown topic makes it, if the client allows it too.
    pub auto_create: bool,
    /// Listen to other machines, although there is no authentication.
    pub insecure: bool,
    /// Threads that own partitions; without it, as many as there are cores.
    pub shards: Option<usize>,
    /// How long the first rebalance of an empty group waits for more members, in milliseconds.
    pub group_initial_rebalance_delay_ms: u32,
    /// Shortest session timeout that a group's member may ask for, in milliseconds.
    pub group_min_session_timeout_ms: u32,
    /// Longest session timeout that a group's member may ask for, in milliseconds.
    pub group_max_session_timeout_ms: u32,
    /// Most members of a group.
    pub group_max_size: usize,
    /// How often members of groups whose assignment the broker makes shall send heartbeats, in milliseconds.
    pub group_consumer_heartbeat_interval_ms: u32,
    /// The least that may be.
    pub group_consumer_min_heartbeat_interval_ms: u32,
    /// The most that may be.
    pub group_consumer_max_heartbeat_interval_ms: u32,
    /// Silence after which such a member is dropped, in milliseconds.
    pub group_consumer_session_timeout_ms: u32,
    /// The least that may be.
    pub group_consumer_min_session_timeout_ms: u32,
    /// The most that may be.
    pub group_consumer_max_session_timeout_ms: u32,
    /// Most members of such a group.
    pub group_consumer_max_size: usize,
    /// How long committed offsets are kept after their group lost its last member, in minutes.
    pub offsets_retention_minutes: u32,
    /// How often offsets are looked at for that, in milliseconds.
    pub offsets_retention_check_interval_ms: u32,
    /// Connections at a time; more are closed at once.
    pub connections_max: usize,
    /// Fetch sessions at a time (Kafka's `max.incremental.fetch.session.cache.slots`).
    pub fetch_sessions_max: usize,
    /// Files of logs kept open at a time; without it, what the limit on descriptors leaves.
    pub files_max: Option<usize>,
    /// A connection on which nothing is asked for so long is closed, in milliseconds (Kafka's
    /// `connections.max.idle.ms`).
    pub connections_max_idle_ms: u64,
    /// Bytes of requests and answers in memory; connections wait for room before they read on (`memory`).
    pub request_bytes_max: usize,
    /// How often logs are looked at for retention, rolls and compaction, in milliseconds.
    pub upkeep_interval_ms: u32,
    /// Memory for the keys of the logs that are being compacted, in bytes.
    pub cleaner_memory_bytes: usize,
    /// Bytes that compaction reads and writes per second; 0 sets no limit.
    pub cleaner_bytes_per_second: u64,
    /// Bytes that the scrub of sealed segments reads per second; 0 turns it off.
    pub scrub_bytes_per_second: u64,
    /// Clients may not append when less than this is free on the disk of the data directory, in bytes.
    pub free_space_min_bytes: u64,
    /// The same as a part of the disk, in percent; the greater of both counts.
    pub free_space_min_percent: u8,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            listen: "127.0.0.1:9092".to_owned(),
            advertised: None,
            data: PathBuf::from("data"),
            partitions: 1,
            topic_defaults: Overrides::new(),
            auto_create: true,
            insecure: false,
            shards: None,
            group_initial_rebalance_delay_ms: 3_000,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 30 * 60 * 1_000,
            // Kafka has no limit; the leader is sent what every member says of itself, so there is one here
            group_max_size: 10_000,
            group_consumer_heartbeat_interval_ms: 5_000,
            group_consumer_min_heartbeat_interval_ms: 5_000,
            group_consumer_max_heartbeat_interval_ms: 15_000,
            group_consumer_session_timeout_ms: 45_000,
            group_consumer_min_session_timeout_ms: 45_000,
            group_consumer_max_session_timeout_ms: 60_000,
            // as for classic groups
            group_consumer_max_size: 10_000,
            offsets_retention_minutes: 7 * 24 * 60,
            offsets_retention_check_interval_ms: 10 * 60 * 1_000,
            // each costs a file descriptor and some 20 KiB; 65,536 descriptors are shared with the logs
            connections_max: 10_000,
            // Kafka's default; clients beyond it send all their partitions each time
            fetch_sessions_max: 1_000,
            files_max: None,
            // Kafka's default; clients close theirs a minute before
            connections_max_idle_ms: 600_000,
            // two requests of the largest size, or 200 batches of 1 MiB, and answers of 50 MiB
            request_bytes_max: 256 << 20,
            // a look at 10,000 logs takes some milliseconds
            upkeep_interval_ms: 300_000,
            cleaner_memory_bytes: 64 << 20,
            // leaves most of a usual disk to producers and consumers
            cleaner_bytes_per_second: 100 << 20,
            // a terabyte in a day and a half, for less than a hundredth of a core
            scrub_bytes_per_second: 8 << 20,
            free_space_min_bytes: 2 << 30,
            free_space_min_percent: 5,
        }
    }
}

/// A name and a port that clients can connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `host:port`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Option<Endpoint> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(address) => address,
            None if host.contains(':') => return None,
            None => host,
        };
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Endpoint {
            host: host.to_owned(),
            port,
        })
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        Endpoint {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

/// Addresses that were checked against each other.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// What to tell clients; `None`: the address that was bound.
    pub(crate) advertised: Option<Endpoint>,
}

impl BrokerConfig {
    /// Resolves and checks the addresses.
    pub(crate) async fn addresses(&self) -> Result<Addresses, StartError> {
        let listen = self.resolve().await?;
        let advertised = self.advertised.as_deref().map(|text| {
            let endpoint = Endpoint::parse(text).filter(|endpoint| endpoint.port != 0);
            endpoint.ok_or_else(|| StartError::Advertised(text.to_owned()))
        });
        let advertised = advertised.transpose()?;
        check_exposure(listen.ip(), advertised.as_ref(), self.insecure)?;
        Ok(Addresses { listen, advertised })
    }

    async fn resolve(&self) -> Result<SocketAddr, StartError> {
        let wrong = |reason: String| StartError::Listen {
            listen: self.listen.clone(),
            reason,
        };
        let resolved = lookup_host(&self.listen).await;
        let mut addresses = resolved.map_err(|failed| wrong(failed.to_string()))?;
        addresses
            .next()
            .ok_or_else(|| wrong("the name has no address".to_owned()))
    }

    /// What groups are held to.
    pub(crate) fn group_settings(&self) -> GroupSettings {
        let millis = |ms: u32| Duration::from_millis(ms.into());
        GroupSettings {
            initial_rebalance_delay: millis(self.group_initial_rebalance_delay_ms),
            session_timeout_min: millis(self.group_min_session_timeout_ms),
            session_timeout_max: millis(self.group_max_session_timeout_ms),
            members_max: self.group_max_size,
            memory_bytes_max: PARTITION_BYTES_MAX,
            offsets_retention: Duration::from_secs(60 * u64::from(self.offsets_retention_minutes)),
            offsets_retention_check: millis(self.offsets_retention_check_interval_ms),
            consumer: ConsumerSettings {
                heartbeat_interval: millis(self.group_consumer_heartbeat_interval_ms),
                session_timeout: millis(self.group_consumer_session_timeout_ms),
                members_max: self.group_consumer_max_size,
            },
        }
    }

    /// How logs are kept in order beside the traffic.
    pub fn upkeep_settings(&self) -> UpkeepSettings {
        UpkeepSettings {
            interval: Duration::from_millis(self.upkeep_interval_ms.into()),
            cleaner_memory_bytes: self.cleaner_memory_bytes,
            cleaner_bytes_per_second: self.cleaner_bytes_per_second,
            scrub_bytes_per_second: self.scrub_bytes_per_second,
            space: SpaceRule {
                bytes_min: self.free_space_min_bytes,
                percent_min: self.free_space_min_percent,
            },
        }
    }

    /// Checks the numbers of groups whose assignment the broker makes, by Kafka's rules.
    fn check_consumer_groups(&self) -> Result<(), StartError> {
        let refused = |name, right: &'static str| Err(StartError::Setting { name, right });
        let interval = self.group_consumer_heartbeat_interval_ms;
        let (least, most) = (
            self.group_consumer_min_heartbeat_interval_ms,
            self.group_consumer_max_heartbeat_interval_ms,
        );
        if least == 0 || !(least..=most).contains(&interval) {
            return refused(
                "group_consumer_heartbeat_interval_ms",
                "between group_consumer_min_heartbeat_interval_ms (at least 1) and group_consumer_max_heartbeat_interval_ms",
            );
        }
        let session = self.group_consumer_session_timeout_ms;
        let (least, most) = (
            self.group_consumer_min_session_timeout_ms,
            self.group_consumer_max_session_timeout_ms,
        );
        if least == 0 || !(least..=most).contains(&session) {
            return refused(
                "group_consumer_session_timeout_ms",
                "between group_consumer_min_session_timeout_ms (at least 1) and group_consumer_max_session_timeout_ms",
            );
        }
        if interval >= session {
            return refused(
                "group_consumer_session_timeout_ms",
                "more than group_consumer_heartbeat_interval_ms",
            );
        }
        if self.group_consumer_max_size == 0 {
            return refused("group_consumer_max_size", "at least 1");
        }
        Ok(())
    }

    /// Checks the numbers.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(StartError::Partitions(self.partitions));
        }
        self.check_consumer_groups()?;
        let wrong = self.bounds().into_iter().find(|(_, holds, _)| !holds);
        if let Some((name, _, right)) = wrong {
            return Err(StartError::Setting { name, right });
        }
        self.check_topic_defaults()
    }

    /// Each number's key, whether it lies where it must, and where that is.
    fn bounds(&self) -> [(&'static str, bool, &'static str); 12] {
        let interval_ms = UPKEEP_INTERVAL_MS_MIN..=UPKEEP_INTERVAL_MS_MAX;
        let memory = CLEANER_MEMORY_BYTES_MIN..=CLEANER_MEMORY_BYTES_MAX;
        let shards = |shards| (1..=SHARDS_MAX).contains(&shards);
        [
            (
                "upkeep_interval_ms",
                interval_ms.contains(&self.upkeep_interval_ms),
                "from 100 to 86400000",
            ),
            (
                "cleaner_memory_bytes",
                memory.contains(&self.cleaner_memory_bytes),
                "from 1048576 to 4294967296",
            ),
            (
                "cleaner_bytes_per_second",
                self.cleaner_bytes_per_second <= BYTES_PER_SECOND_MAX,
                "at most 4294967295; 0 sets no limit",
            ),
            (
                "scrub_bytes_per_second",
                self.scrub_bytes_per_second <= BYTES_PER_SECOND_MAX,
                "at most 4294967295; 0 turns it off",
            ),
            (
                "free_space_min_bytes",
                self.free_space_min_bytes <= FREE_SPACE_BYTES_MAX,
                "at most 1125899906842624",
            ),
            (
                "free_space_min_percent",
                self.free_space_min_percent <= FREE_SPACE_PERCENT_MAX,
                "at most 50",
            ),
            (
                "offsets_retention_minutes",
                self.offsets_retention_minutes >= 1,
                "at least 1",
            ),
            (
                "offsets_retention_check_interval_ms",
                self.offsets_retention_check_interval_ms >= 1,
                "at least 1",
            ),
            ("shards", self.shards.is_none_or(shards), "from 1 to 1024"),
            (
                "connections_max",
                (1..=CONNECTIONS_MAX).contains(&self.connections_max),
                "from 1 to 1048576",
            ),
            ("group_max_size", self.group_max_size >= 1, "at least 1"),
            (
                "group_max_session_timeout_ms",
                self.group_min_session_timeout_ms <= self.group_max_session_timeout_ms,
                "at least group_min_session_timeout_ms",
            ),
        ]
    }

    /// What topics inherit must be theirs to inherit, and right.
    fn check_topic_defaults(&self) -> Result<(), StartError> {
        let wrong = |reason: String| Err(StartError::TopicDefaults(reason));
        for name in self.topic_defaults.keys() {
            if setting(name).is_some_and(|setting| setting.synonym.is_none()) {
                return wrong(format!("{name} is set on each topic alone"));
            }
        }
        match TopicConfig::parse(&self.topic_defaults) {
            Ok(_) => Ok(()),
            Err(refused) => wrong(refused.to_string()),
        }
    }
}

/// A broker without authentication stays on its machine unless told otherwise, and clients must be able to
/// dial what they are told.
fn check_exposure(
    listen: IpAddr,
    advertised: Option<&Endpoint>,
    insecure: bool,
) -> Result<(), StartError> {
    if !listen.is_loopback() && !insecure {
        return Err(StartError::Exposed(listen));
    }
    if listen.is_unspecified() && advertised.is_none() {
        return Err(StartError::WildcardWithoutAdvertised(listen));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        let host = host.to_owned();
        Endpoint { host, port }
    }

    #[test]
    fn endpoints_are_host_and_port() {
        assert_eq!(
            Endpoint::parse("kafka.local:9092"),
            Some(endpoint("kafka.local", 9092))
        );
        assert_eq!(Endpoint::parse("[::1]:9092"), Some(endpoint("::1", 9092)));
        for wrong in [
            "",
            "9092",
            ":9092",
            "host",
            "host:",
            "host:70000",
            "::1:9092",
        ] {
            assert_eq!(Endpoint::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn other_machines_are_let_in_only_when_told_so() {
        let refused = check_exposure([192, 0, 2, 1].into(), None, false);
        assert!(matches!(refused, Err(StartError::Exposed(_))));
        assert!(check_exposure([192, 0, 2, 1].into(), None, true).is_ok());
        assert!(check_exposure([127, 0, 0, 1].into(), None, false).is_ok());
    }

    fn inherit(config: &mut BrokerConfig, name: &str, value: &str) {
        let value = value.to_owned();
        config.topic_defaults.insert(name.to_owned(), value);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        let good = BrokerConfig::default();
        assert!(good.check().is_ok());
        let wrong: [fn(&mut BrokerConfig); 23] = [
            |config| config.group_consumer_heartbeat_interval_ms = 4_999,
            |config| config.group_consumer_heartbeat_interval_ms = 15_001,
            |config| config.group_consumer_session_timeout_ms = 44_999,
            |config| config.group_consumer_session_timeout_ms = 60_001,
            |config| config.group_consumer_max_size = 0,
            |config| config.offsets_retention_minutes = 0,
            |config| config.offsets_retention_check_interval_ms = 0,
            |config| config.partitions = 0,
            |config| config.partitions = PARTITIONS_MAX + 1,
            |config| config.upkeep_interval_ms = u32::MAX,
            |config| config.cleaner_memory_bytes = usize::MAX,
            |config| config.cleaner_bytes_per_second = u64::MAX,
            |config| config.scrub_bytes_per_second = u64::MAX,
            |config| config.free_space_min_bytes = u64::MAX,
            |config| config.shards = Some(0),
            |config| config.connections_max = 0,
            |config| config.group_max_size = 0,
            |config| config.group_max_session_timeout_ms = 1,
            |config| inherit(config, "retention.ms", "soon"),
            |config| inherit(config, "write.caching", "true"),
            |config| config.upkeep_interval_ms = 99,
            |config| config.cleaner_memory_bytes = 1000,
            |config| config.free_space_min_percent = 51,
        ];
        for change in wrong {
            let mut config = good.clone();
            change(&mut config);
            assert!(config.check().is_err());
        }
    }

    #[test]
    fn a_wildcard_needs_an_advertised_address() {
        let refused = check_exposure([0, 0, 0, 0].into(), None, true);
        assert!(matches!(
            refused,
            Err(StartError::WildcardWithoutAdvertised(_))
        ));
        let advertised = Endpoint::parse("host:9092").unwrap();
        assert!(check_exposure([0, 0, 0, 0].into(), Some(&advertised), true).is_ok());
    }
}
