//! The catalogue as a value: topics by name, what is set at run time beside them, and the producer ids not given out
//! yet.
//!
//! Pure; `encode` and `decode` are its form on disk, inside a checksummed file:
//!
//! ```text
//! version u16 | next producer id i64 | topics u32 |
//!   { id 16 bytes | name | partitions i32 | settings u16 | { name | value }* }*      text: length u16, UTF-8
//!   | resources u32 | { type i8 | name | settings u16 | { name | value }* }*         from version 2 on
//! ```
//! Topics and resources lie in the order of their names, so equal catalogues have equal bytes. Version 1 is read too.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use uuid::Uuid;

use super::resource::{RESOURCES_MAX, Resource};
use super::topic_name;
use crate::topic_config::{ConfigError, Defaults, Overrides, Scope, TopicConfig, setting};

const VERSION: u16 = 2;
/// Without resources.
const VERSION_BEFORE: u16 = 1;

/// Producer ids taken from the catalogue at a time: one durable write serves a thousand producers, and a
/// crash wastes at most that many of 2^63.
pub const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

/// Partitions one topic may have. Each is a directory, an open file and a mapping; a process may have
/// some 65,000 mappings.
pub const PARTITIONS_MAX: i32 = 10_000;

/// Partitions of all topics together, for the same reason.
pub const PARTITIONS_TOTAL_MAX: i32 = 20_000;

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its id; a topic made again under the same name gets another.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions it has.
    pub partitions: i32,
    /// What is set on it.
    pub overrides: Overrides,
}

/// Why a topic is not made, or not altered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicRefused {
    /// There is one of this name.
    #[error("topic {0} already exists")]
    Exists(Arc<str>),
    /// The name breaks the rules.
    #[error(
        "topic names have 1 to 249 letters, digits, '.', '_' or '-', and are not \".\" or \"..\""
    )]
    Name,
    /// Not a possible number of partitions.
    #[error(
        "{0} partitions: a topic has 1 to {PARTITIONS_MAX}, all topics together at most {PARTITIONS_TOTAL_MAX}"
    )]
    Partitions(i32),
    /// No more than the topic has.
    #[error("topic {name} has {has} partitions already: {asked} would not be more")]
    NotMore {
        /// The topic.
        name: Arc<str>,
        /// What it has.
        has: i32,
        /// What was asked for.
        asked: i32,
    },
    /// The broker finds its own state by the number of partitions.
    #[error("{0} cannot be given more partitions: what lies in it is found by their number")]
    FixedPartitions(Arc<str>),
    /// A setting is unknown or its value wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Why bytes are not a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Written by a program of another version.
    #[error("catalogue has version {0}; this program knows those up to {VERSION}")]
    Version(u16),
    /// Cut, or followed by more, or holding a topic that cannot be.
    #[error("catalogue is malformed at {0} bytes before its end")]
    Malformed(usize),
}

/// The state of the cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    topics: BTreeMap<Arc<str>, TopicRecord>,
    /// What is set at run time on anything but topics; none of them is empty.
    resources: BTreeMap<Resource, Overrides>,
    producer_id_next: i64,
}

impl Image {
    /// All topics in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &TopicRecord> {
        self.topics.values()
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&TopicRecord> {
        self.topics.get(name)
    }

    /// What is set on a broker, all brokers or a group.
    pub fn resource(&self, resource: &Resource) -> Option<&Overrides> {
        self.resources.get(resource)
    }

    /// Everything that something is set on, but for topics.
    pub fn resources(&self) -> impl Iterator<Item = (&Resource, &Overrides)> {
        self.resources.iter()
    }

    /// Whether a topic could be made, where the broker has these defaults.
    pub fn check(
        &self,
        name: &str,
        partitions: i32,
        overrides: &Overrides,
        defaults: &Defaults,
    ) -> Result<TopicConfig, TopicRefused> {
        if !topic_name::is_valid(name) {
            return Err(TopicRefused::Name);
        }
        if let Some(topic) = self.topics.get(name) {
            return Err(TopicRefused::Exists(Arc::clone(&topic.name)));
        }
        let others: i32 = self.topics().map(|topic| topic.partitions).sum();
        let most = PARTITIONS_MAX.min(PARTITIONS_TOTAL_MAX - others);
        if !(1..=most).contains(&partitions) {
            return Err(TopicRefused::Partitions(partitions));
        }
        Ok(check_config(name, overrides, defaults)?)
    }

    /// Whether a topic could have so many partitions; gives it as it would be.
    pub fn check_growth(&self, id: Uuid, asked: i32) -> Option<Result<TopicRecord, TopicRefused>> {
        let topic = self.topics().find(|topic| topic.id == id)?;
        let (name, has) = (Arc::clone(&topic.name), topic.partitions);
        let others: i32 = self.topics().map(|topic| topic.partitions).sum::<i32>() - has;
        Some(if topic_name::is_vital(&name) {
            Err(TopicRefused::FixedPartitions(name))
        } else if asked <= has {
            Err(TopicRefused::NotMore { name, has, asked })
        } else if asked > PARTITIONS_MAX.min(PARTITIONS_TOTAL_MAX - others) {
            Err(TopicRefused::Partitions(asked))
        } else {
            Ok(TopicRecord {
                partitions: asked,
                ..topic.clone()
            })
        })
    }

    /// Adds a topic that [`Image::check`] accepted, or has it take the place of what it was.
    pub fn insert(&mut self, topic: TopicRecord) {
        self.topics.insert(Arc::clone(&topic.name), topic);
    }

    /// Sets what was checked; nothing of it is left if there is nothing to set. False: there are too many resources.
    pub fn set_resource(&mut self, resource: Resource, settings: Overrides) -> bool {
        if settings.is_empty() {
            self.resources.remove(&resource);
            return true;
        }
        let known = self.resources.contains_key(&resource);
        let fits = known || self.resources.len() < RESOURCES_MAX;
        if fits {
            self.resources.insert(resource, settings);
        }
        fits
    }

    /// Removes the topic with this id.
    pub fn remove(&mut self, id: Uuid) -> Option<TopicRecord> {
        let name = self.topics().find(|topic| topic.id == id)?.name.clone();
        self.topics.remove(&name)
    }

    /// Takes the next block of producer ids; they are the caller's once the image is durable.
    pub fn take_producer_ids(&mut self) -> Range<i64> {
        let first = self.producer_id_next;
        self.producer_id_next = first.saturating_add(PRODUCER_IDS_PER_BLOCK);
        first..self.producer_id_next
    }

    /// The bytes of the catalogue file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u16(VERSION);
        out.put_i64(self.producer_id_next);
        out.put_u32(u32::try_from(self.topics.len()).expect("bounded by the partitions"));
        for topic in self.topics() {
            out.put_slice(topic.id.as_bytes());
            put_text(&mut out, &topic.name);
            out.put_i32(topic.partitions);
            put_settings(&mut out, &topic.overrides);
        }
        out.put_u32(u32::try_from(self.resources.len()).expect("bounded"));
        for (resource, settings) in &self.resources {
            out.put_i8(resource.code());
            put_text(&mut out, &resource.name());
            put_settings(&mut out, settings);
        }
        out
    }

    /// Reads the catalogue file.
    pub fn decode(mut bytes: &[u8]) -> Result<Image, ImageError> {
        let from = &mut bytes;
        let version = from.try_get_u16().map_err(|_| ImageError::Malformed(0))?;
        if ![VERSION_BEFORE, VERSION].contains(&version) {
            return Err(ImageError::Version(version));
        }
        let image = read_image(from);
        let image = match version {
            VERSION_BEFORE => image,
            _ => image.and_then(|image| read_resources(image, from)),
        };
        image
            .filter(|_| from.is_empty())
            .ok_or(ImageError::Malformed(from.len()))
    }
}

fn read_image(from: &mut &[u8]) -> Option<Image> {
    let mut image = Image {
        producer_id_next: from.try_get_i64().ok().filter(|next| *next >= 0)?,
        ..Image::default()
    };
    // what the broker has for all topics is checked against them once it is known
    let none = Defaults::default();
    for _ in 0..from.try_get_u32().ok()? {
        let topic = read_topic(from)?;
        image
            .check(&topic.name, topic.partitions, &topic.overrides, &none)
            .ok()?;
        image.insert(topic);
    }
    Some(image)
}

fn read_resources(mut image: Image, from: &mut &[u8]) -> Option<Image> {
    for _ in 0..from.try_get_u32().ok()? {
        let code = from.try_get_i8().ok()?;
        let resource = Resource::of(code, read_text(from)?)?;
        let settings = read_settings(from)?;
        resource.check(&settings).ok()?;
        let fits = !settings.is_empty() && image.set_resource(resource, settings);
        fits.then_some(())?;
    }
    Some(image)
}

/// Whether a topic may have these settings, where the broker has these defaults; what they come to.
pub fn check_config(
    topic: &str,
    overrides: &Overrides,
    defaults: &Defaults,
) -> Result<TopicConfig, ConfigError> {
    let refused = |name: &'static str, reason: String| {
        let value = overrides.get(name).cloned().unwrap_or_default();
        Err(ConfigError::Invalid {
            name,
            value,
            reason,
        })
    };
    if !topic_name::is_internal(topic) {
        let config = TopicConfig::of(overrides, defaults)?;
        if config.write_caching && topic_name::is_vital(topic) {
            let reason = format!("what {topic} holds must survive a power cut");
            return refused("write.caching", reason);
        }
        return Ok(config);
    }
    let config = TopicConfig::of(overrides, &defaults.of_internal_topics())?;
    let of_clients = |name: &String| setting(name).filter(|row| row.scope == Scope::Produce);
    if let Some(row) = overrides.keys().find_map(of_clients) {
        let reason = format!("only the broker writes to {topic}");
        return refused(row.name, reason);
    }
    if config.write_caching {
        let reason = format!("what {topic} holds must survive a power cut");
        return refused("write.caching", reason);
    }
    if overrides.contains_key("cleanup.policy") && (config.delete || !config.compact) {
        let reason = format!("{topic} is compacted: the newest record of each key must stay");
        return refused("cleanup.policy", reason);
    }
    Ok(config)
}

fn read_topic(from: &mut &[u8]) -> Option<TopicRecord> {
    let (id, rest) = from.split_first_chunk()?;
    *from = rest;
    let name = Arc::from(read_text(from)?);
    let partitions = from.try_get_i32().ok()?;
    let overrides = read_settings(from)?;
    let id = Uuid::from_bytes(*id);
    Some(TopicRecord {
        id,
        name,
        partitions,
        overrides,
    })
}

fn put_settings(out: &mut Vec<u8>, settings: &Overrides) {
    out.put_u16(u16::try_from(settings.len()).expect("bounded by the table"));
    for (name, value) in settings {
        put_text(out, name);
        put_text(out, value);
    }
}

fn read_settings(from: &mut &[u8]) -> Option<Overrides> {
    let mut settings = Overrides::new();
    for _ in 0..from.try_get_u16().ok()? {
        let name = read_text(from)?.to_owned();
        settings.insert(name, read_text(from)?.to_owned());
    }
    Some(settings)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u16(u16::try_from(text.len()).expect("texts of the wire are below 32 KiB"));
    out.put_slice(text.as_bytes());
}

fn read_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(from.try_get_u16().ok()?);
    let (text, rest) = from.split_at_checked(length)?;
    *from = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests;
