//! The topics that a group wants: by name, and by patterns that are matched when topics change.
//!
//! A request brings the topics as they were when it came; their version grows with every change of them, so a group
//! looks again only when there is something to see. A pattern must match a whole name, in the syntax of RE2: time
//! linear in the text, no look-around, no back references. What a pattern compiles to is bounded.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use uuid::Uuid;

use super::member::Member;
use super::request::Refused;
use super::state::State;

/// What a topic is to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicShape {
    /// Its incarnation.
    pub id: Uuid,
    /// How many partitions it has.
    pub partitions: i32,
}

/// The topics of the broker at one moment. Of two with the same version, both say the same; a greater version is newer.
pub trait Topics: Debug + Send + Sync {
    /// Grows with each change.
    fn version(&self) -> u64;

    /// The topic of this name.
    fn shape(&self, name: &str) -> Option<TopicShape>;

    /// All names.
    fn names(&self) -> Vec<Arc<str>>;
}

/// The topics behind a pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Their names.
    pub topics: BTreeSet<Arc<str>>,
    /// The version of the topics they were found in; of this run of the broker.
    pub version: i64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// Bytes a compiled pattern may take: tens of times what patterns of topic names need.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Bytes of the tables that speed matching up; they are dropped with the pattern.
const TABLES_BYTES_MAX: usize = 1 << 20;

/// Compiles a pattern that must match whole names.
pub fn compile(pattern: &str) -> Result<Regex, Refused> {
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(TABLES_BYTES_MAX)
            .build()
    };
    // First alone: a closing bracket too many must not close ours.
    let compiled = build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z")));
    compiled.map_err(|error| {
        // The last line of the text is the reason, the others point at the place.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim();
        Refused::pattern(pattern, reason.trim_start_matches("error: "))
    })
}

/// Finds the topics of a pattern that has been checked.
pub fn resolve(pattern: &Regex, topics: &dyn Topics, now_ms: i64) -> Resolved {
    let mut found = BTreeSet::new();
    for name in topics.names() {
        if pattern.is_match(&name) {
            found.insert(name);
        }
    }
    Resolved {
        topics: found,
        version: i64::try_from(topics.version()).unwrap_or(i64::MAX),
        at_ms: now_ms,
    }
}

impl State {
    /// The names a member is subscribed to, by name and by pattern.
    pub fn subscription(&self, member: &Member) -> BTreeSet<Arc<str>> {
        let mut names = member.wishes.topics.clone();
        let resolved = member
            .wishes
            .pattern()
            .and_then(|text| self.patterns.get(text));
        if let Some(resolved) = resolved {
            names.extend(resolved.topics.iter().cloned());
        }
        names
    }

    /// All names that any member is subscribed to.
    pub fn subscribed(&self) -> BTreeSet<&Arc<str>> {
        let named = self
            .members()
            .values()
            .flat_map(|member| member.wishes.topics.iter());
        let matched = self
            .patterns
            .values()
            .flat_map(|resolved| resolved.topics.iter());
        named.chain(matched).collect()
    }

    /// A number that changes when one of the group's topics comes, goes, grows or is made anew.
    pub fn hash_of(&self, topics: &dyn Topics) -> i64 {
        let mut hash = Fnv::new();
        let mut any = false;
        for name in self.subscribed() {
            if let Some(shape) = topics.shape(name) {
                any = true;
                hash.add(name.as_bytes());
                // No name has this byte: it ends the name.
                hash.add(&[0xff]);
                hash.add(shape.id.as_bytes());
                hash.add(&shape.partitions.to_be_bytes());
            }
        }
        if any { hash.number() } else { 0 }
    }
}

/// FNV-1a of 64 bits: the same on every machine and in every release, since it is written to the log.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn number(&self) -> i64 {
        i64::from_be_bytes(self.0.to_be_bytes())
    }
}
