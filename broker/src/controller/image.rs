//! The catalogue as a value: topics by name, and the producer ids not given out yet.
//!
//! Pure; `encode` and `decode` are its form on disk, inside a checksummed file:
//!
//! ```text
//! version u16 | next producer id i64 | topics u32 |
//!   { id 16 bytes | name | partitions i32 | settings u16 | { name | value }* }*      text: length u16, UTF-8
//! ```
//! Topics lie in the order of their names, so equal catalogues have equal bytes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use uuid::Uuid;

use super::topic_name;
use crate::topic_config::{ConfigError, Overrides, TopicConfig};

const VERSION: u16 = 1;

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
    /// What was set when it was made.
    pub overrides: Overrides,
}

/// Why a topic is not made.
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
    #[error("catalogue has version {0}; this program knows only {VERSION}")]
    Version(u16),
    /// Cut, or followed by more, or holding a topic that cannot be.
    #[error("catalogue is malformed at {0} bytes before its end")]
    Malformed(usize),
}

/// The state of the cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    topics: BTreeMap<Arc<str>, TopicRecord>,
    producer_id_next: i64,
}

impl Image {
    /// All topics in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &TopicRecord> {
        self.topics.values()
    }

    /// Whether a topic could be made; gives its parsed settings.
    pub fn check(
        &self,
        name: &str,
        partitions: i32,
        overrides: &Overrides,
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
        let config = TopicConfig::parse(overrides)?;
        if config.write_caching && topic_name::is_vital(name) {
            let reason = format!("what {name} holds must survive a power cut");
            return Err(TopicRefused::Config(ConfigError::Invalid {
                name: "write.caching",
                value: "true".to_owned(),
                reason,
            }));
        }
        Ok(config)
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
            out.put_u16(u16::try_from(topic.overrides.len()).expect("bounded by the table"));
            for (name, value) in &topic.overrides {
                put_text(&mut out, name);
                put_text(&mut out, value);
            }
        }
        out
    }

    /// Reads the catalogue file.
    pub fn decode(mut bytes: &[u8]) -> Result<Image, ImageError> {
        let from = &mut bytes;
        let version = from.try_get_u16().map_err(|_| ImageError::Malformed(0))?;
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        let image = read_image(from);
        image
            .filter(|_| from.is_empty())
            .ok_or(ImageError::Malformed(from.len()))
    }
}

fn read_image(from: &mut &[u8]) -> Option<Image> {
    let mut image = Image {
        producer_id_next: from.try_get_i64().ok().filter(|next| *next >= 0)?,
        topics: BTreeMap::new(),
    };
    for _ in 0..from.try_get_u32().ok()? {
        let topic = read_topic(from)?;
        image
            .check(&topic.name, topic.partitions, &topic.overrides)
            .ok()?;
        image.insert(topic);
    }
    Some(image)
}

fn read_topic(from: &mut &[u8]) -> Option<TopicRecord> {
    let (id, rest) = from.split_first_chunk()?;
    *from = rest;
    let name = Arc::from(read_text(from)?);
    let partitions = from.try_get_i32().ok()?;
    let mut overrides = Overrides::new();
    for _ in 0..from.try_get_u16().ok()? {
        let setting = read_text(from)?.to_owned();
        overrides.insert(setting, read_text(from)?.to_owned());
    }
    let id = Uuid::from_bytes(*id);
    Some(TopicRecord {
        id,
        name,
        partitions,
        overrides,
    })
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
mod tests {
    use super::*;

    fn topic(name: &str, partitions: i32) -> TopicRecord {
        TopicRecord {
            id: Uuid::from_u128(u128::from(name.as_bytes()[0])),
            name: name.into(),
            partitions,
            overrides: Overrides::from([("retention.ms".to_owned(), "5".to_owned())]),
        }
    }

    fn sample() -> Image {
        let mut image = Image::default();
        image.insert(topic("b", 3));
        image.insert(topic("a", 1));
        image.take_producer_ids();
        image
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = sample().encode();
        assert_eq!(Image::decode(&bytes), Ok(sample()));
        assert_eq!(
            Image::decode(&Image::default().encode()),
            Ok(Image::default())
        );
    }

    #[test]
    fn the_format_is_fixed() {
        let mut image = Image::default();
        image.insert(topic("a", 2));
        let golden = [
            [0, 1].as_slice(),
            &[0; 8],
            &[0, 0, 0, 1],
            &[0; 15],
            &[b'a', 0, 1, b'a', 0, 0, 0, 2, 0, 1, 0, 12],
            b"retention.ms",
            &[0, 1, b'5'],
        ]
        .concat();
        assert_eq!(image.encode(), golden);
    }

    #[test]
    fn damage_is_refused_and_never_panics() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(Image::decode(&bytes[..cut]).is_err());
        }
        let newer = [&[0, 2], &bytes[2..]].concat();
        assert_eq!(Image::decode(&newer), Err(ImageError::Version(2)));
    }

    #[test]
    fn topics_are_checked_before_they_are_made() {
        let image = sample();
        let none = Overrides::new();
        assert_eq!(
            image.check("a", 1, &none),
            Err(TopicRefused::Exists("a".into()))
        );
        assert_eq!(image.check("a/b", 1, &none), Err(TopicRefused::Name));
        assert_eq!(image.check("c", 0, &none), Err(TopicRefused::Partitions(0)));
        let many = PARTITIONS_MAX + 1;
        assert_eq!(
            image.check("c", many, &none),
            Err(TopicRefused::Partitions(many))
        );
        assert!(image.check("c", PARTITIONS_MAX, &none).is_ok());
    }

    #[test]
    fn a_topic_grows_within_the_bounds_unless_its_partitions_are_fixed() {
        let mut image = sample();
        image.insert(topic("__headrace_positions", 1));
        let id = |name: &str| topic(name, 1).id;
        let grown = image.check_growth(id("b"), 5).unwrap().unwrap();
        assert_eq!((&*grown.name, grown.partitions), ("b", 5));
        for asked in [3, 2, 0, -1] {
            let refused = image.check_growth(id("b"), asked).unwrap();
            let (name, has) = ("b".into(), 3);
            assert_eq!(refused, Err(TopicRefused::NotMore { name, has, asked }));
        }
        let many = PARTITIONS_MAX + 1;
        let refused = image.check_growth(id("b"), many).unwrap();
        assert_eq!(refused, Err(TopicRefused::Partitions(many)));
        let fixed = image.check_growth(id("__headrace_positions"), 2).unwrap();
        assert!(matches!(fixed, Err(TopicRefused::FixedPartitions(_))));
        assert_eq!(image.check_growth(Uuid::from_u128(1), 2), None);
        image.insert(TopicRecord {
            partitions: PARTITIONS_MAX,
            ..topic("c", 1)
        });
        image.insert(TopicRecord {
            partitions: PARTITIONS_MAX - 6,
            ..topic("d", 1)
        });
        assert!(image.check_growth(id("b"), 4).unwrap().is_ok());
        let refused = image.check_growth(id("b"), 5).unwrap();
        assert_eq!(refused, Err(TopicRefused::Partitions(5)), "all together");
    }

    #[test]
    fn write_caching_is_refused_where_a_power_cut_may_lose_nothing() {
        let cached = Overrides::from([("write.caching".to_owned(), "true".to_owned())]);
        let image = sample();
        for name in [
            "__consumer_offsets",
            "__transaction_state",
            "__headrace_positions",
        ] {
            let refused = image.check(name, 1, &cached).unwrap_err().to_string();
            assert!(refused.contains("write.caching"), "{refused}");
            assert!(refused.contains("must survive a power cut"), "{refused}");
        }
        let taken = image.check("c", 1, &cached).unwrap();
        assert!(taken.write_caching);
    }

    #[test]
    fn producer_ids_are_never_given_out_twice() {
        let mut image = sample();
        let first = image.take_producer_ids();
        let mut reread = Image::decode(&image.encode()).unwrap();
        assert_eq!(reread.take_producer_ids().start, first.end);
    }
}
