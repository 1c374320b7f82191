//! Global transaction ids: MySQL's sets, MariaDB's positions, and one [`Position`] over both.
//!
//! - MySQL: `uuid:1-5:7:tag:1-3,uuid2:1`: a set of numbers per (server uuid, tag). Kept as sorted,
//!   disjoint, never touching intervals, so equal sets are equal values and have one text.
//! - MariaDB: `0-1-523,1-2-7`: the last transaction of each replication domain; a domain is a
//!   sequence, so a position contains every earlier transaction of its domains.
//!
//! Sources: MySQL manual "GTID Format and Storage"; MariaDB manual "Global Transaction ID".

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The highest transaction number MySQL gives.
const GNO_MAX: u64 = u64::MAX >> 1;

/// A text that is no GTID, set or position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}: {text:?}")]
pub struct GtidParseError {
    expected: &'static str,
    text: String,
}

/// Two positions of different dialects were compared or mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a MySQL and a MariaDB position cannot be compared")]
pub struct DialectMismatch;

/// The id of one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Gtid {
    /// `uuid:5` or `uuid:tag:5`.
    Mysql(MysqlGtid),
    /// `0-1-523`.
    Mariadb(MariadbGtid),
}

/// MySQL's id of one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MysqlGtid {
    /// Who gave the number.
    pub source: GtidSource,
    /// The number, from 1.
    pub number: u64,
}

/// A server and, from MySQL 8.3 on, a tag: each pair counts on its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GtidSource {
    /// The server's uuid.
    pub server: Uuid,
    /// The tag, lower case; empty without one.
    pub tag: String,
}

/// MariaDB's id of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MariadbGtid {
    /// The replication domain.
    pub domain: u32,
    /// The server that wrote it.
    pub server: u32,
    /// The number within the domain.
    pub sequence: u64,
}

/// An interval of transaction numbers, both ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The first number, at least 1.
    pub first: u64,
    /// The last number, at least `first`.
    pub last: u64,
}

/// A set of MySQL transactions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MysqlGtidSet {
    sources: BTreeMap<GtidSource, Vec<Interval>>,
}

/// The last MariaDB transaction of each domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MariadbPosition {
    domains: BTreeMap<u32, MariadbGtid>,
}

/// How far a source has read, in its server's dialect.
///
/// `Display` is the server's own text; serde's text has the dialect before it (`mysql:…`,
/// `mariadb:…`), so that an empty position keeps its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The set of executed transactions.
    Mysql(MysqlGtidSet),
    /// The last transaction of each domain.
    Mariadb(MariadbPosition),
}

impl MysqlGtidSet {
    /// Whether it holds no transaction.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Each server and tag with its intervals, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&GtidSource, &[Interval])> {
        self.sources
            .iter()
            .map(|(source, intervals)| (source, intervals.as_slice()))
    }

    /// Adds one transaction.
    pub fn add(&mut self, gtid: &MysqlGtid) {
        let interval = Interval {
            first: gtid.number,
            last: gtid.number,
        };
        if let Some(intervals) = self.sources.get_mut(&gtid.source) {
            insert_interval(intervals, interval);
        } else {
            self.sources.insert(gtid.source.clone(), vec![interval]);
        }
    }

    /// Adds every number of `interval` for `source`.
    pub fn add_interval(&mut self, source: GtidSource, interval: Interval) {
        insert_interval(self.sources.entry(source).or_default(), interval);
    }

    /// Adds every transaction of `other`.
    pub fn union(&mut self, other: &MysqlGtidSet) {
        for (source, intervals) in other.iter() {
            for interval in intervals {
                self.add_interval(source.clone(), *interval);
            }
        }
    }

    /// Whether the transaction is in the set.
    pub fn contains(&self, gtid: &MysqlGtid) -> bool {
        self.sources.get(&gtid.source).is_some_and(|intervals| {
            let after = intervals.partition_point(|interval| interval.first <= gtid.number);
            after > 0 && intervals[after - 1].last >= gtid.number
        })
    }

    /// Whether every transaction of this set is in `other`.
    pub fn is_subset_of(&self, other: &MysqlGtidSet) -> bool {
        self.sources.iter().all(|(source, intervals)| {
            let theirs = other.sources.get(source).map_or(&[][..], Vec::as_slice);
            intervals.iter().all(|interval| {
                let after = theirs.partition_point(|their| their.first <= interval.first);
                after > 0 && theirs[after - 1].last >= interval.last
            })
        })
    }

    /// The transactions of this set that are not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &MysqlGtidSet) -> MysqlGtidSet {
        let mut left = MysqlGtidSet::default();
        for (source, intervals) in &self.sources {
            let theirs = other.sources.get(source).map_or(&[][..], Vec::as_slice);
            let rest = subtract_intervals(intervals, theirs);
            if !rest.is_empty() {
                left.sources.insert(source.clone(), rest);
            }
        }
        left
    }
}

/// Keeps `intervals` sorted, disjoint and never touching.
fn insert_interval(intervals: &mut Vec<Interval>, new: Interval) {
    let from = intervals.partition_point(|old| old.last < new.first.saturating_sub(1));
    let to = intervals.partition_point(|old| old.first <= new.last.saturating_add(1));
    let merged = intervals[from..to]
        .iter()
        .fold(new, |merged, old| Interval {
            first: merged.first.min(old.first),
            last: merged.last.max(old.last),
        });
    intervals.splice(from..to, [merged]);
}

fn subtract_intervals(ours: &[Interval], theirs: &[Interval]) -> Vec<Interval> {
    let mut rest = Vec::new();
    for our in ours {
        let mut first = our.first;
        for their in theirs
            .iter()
            .filter(|t| t.last >= our.first && t.first <= our.last)
        {
            if their.first > first {
                rest.push(Interval {
                    first,
                    last: their.first - 1,
                });
            }
            first = their.last.saturating_add(1);
        }
        if first <= our.last {
            rest.push(Interval {
                first,
                last: our.last,
            });
        }
    }
    rest
}

impl MariadbPosition {
    /// Whether it names no domain.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// The last transaction of each domain, by domain.
    pub fn iter(&self) -> impl Iterator<Item = MariadbGtid> {
        self.domains.values().copied()
    }

    /// Makes `gtid` the last transaction of its domain.
    pub fn add(&mut self, gtid: MariadbGtid) {
        self.domains.insert(gtid.domain, gtid);
    }

    /// Whether the transaction is at or before this position in its domain.
    pub fn contains(&self, gtid: &MariadbGtid) -> bool {
        self.domains
            .get(&gtid.domain)
            .is_some_and(|last| last.sequence >= gtid.sequence)
    }

    /// Whether `other` is at or past this position in every domain of this one.
    pub fn is_subset_of(&self, other: &MariadbPosition) -> bool {
        self.domains.values().all(|gtid| other.contains(gtid))
    }

    /// The domains in which this position is past `other`, with their last transaction.
    #[must_use]
    pub fn subtract(&self, other: &MariadbPosition) -> MariadbPosition {
        let ahead = self.domains.values().filter(|gtid| !other.contains(gtid));
        MariadbPosition {
            domains: ahead.map(|gtid| (gtid.domain, *gtid)).collect(),
        }
    }
}

impl Position {
    /// The empty MySQL position.
    pub fn mysql() -> Self {
        Position::Mysql(MysqlGtidSet::default())
    }

    /// The empty MariaDB position.
    pub fn mariadb() -> Self {
        Position::Mariadb(MariadbPosition::default())
    }

    /// Whether it holds no transaction.
    pub fn is_empty(&self) -> bool {
        match self {
            Position::Mysql(set) => set.is_empty(),
            Position::Mariadb(position) => position.is_empty(),
        }
    }

    /// Moves past one transaction.
    pub fn add(&mut self, gtid: &Gtid) -> Result<(), DialectMismatch> {
        match (self, gtid) {
            (Position::Mysql(set), Gtid::Mysql(gtid)) => set.add(gtid),
            (Position::Mariadb(position), Gtid::Mariadb(gtid)) => position.add(*gtid),
            _ => return Err(DialectMismatch),
        }
        Ok(())
    }

    /// Whether the transaction is already behind this position.
    pub fn contains(&self, gtid: &Gtid) -> Result<bool, DialectMismatch> {
        match (self, gtid) {
            (Position::Mysql(set), Gtid::Mysql(gtid)) => Ok(set.contains(gtid)),
            (Position::Mariadb(position), Gtid::Mariadb(gtid)) => Ok(position.contains(gtid)),
            _ => Err(DialectMismatch),
        }
    }

    /// Whether everything behind this position is behind `other` too.
    pub fn is_subset_of(&self, other: &Position) -> Result<bool, DialectMismatch> {
        match (self, other) {
            (Position::Mysql(ours), Position::Mysql(theirs)) => Ok(ours.is_subset_of(theirs)),
            (Position::Mariadb(ours), Position::Mariadb(theirs)) => Ok(ours.is_subset_of(theirs)),
            _ => Err(DialectMismatch),
        }
    }

    /// What is behind this position and not behind `other`.
    pub fn subtract(&self, other: &Position) -> Result<Position, DialectMismatch> {
        match (self, other) {
            (Position::Mysql(ours), Position::Mysql(theirs)) => {
                Ok(Position::Mysql(ours.subtract(theirs)))
            }
            (Position::Mariadb(ours), Position::Mariadb(theirs)) => {
                Ok(Position::Mariadb(ours.subtract(theirs)))
            }
            _ => Err(DialectMismatch),
        }
    }
}

impl fmt::Display for MysqlGtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = None;
        for (source, intervals) in &self.sources {
            if server != Some(source.server) {
                let comma = if server.is_some() { "," } else { "" };
                write!(f, "{comma}{}", source.server)?;
                server = Some(source.server);
            }
            if !source.tag.is_empty() {
                write!(f, ":{}", source.tag)?;
            }
            for Interval { first, last } in intervals {
                if first == last {
                    write!(f, ":{first}")?;
                } else {
                    write!(f, ":{first}-{last}")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for MysqlGtidSet {
    type Err = GtidParseError;

    /// Reads MySQL's own text, tags after plain intervals (`uuid:1-523:tag:1`) or with the uuid
    /// repeated; blanks and line breaks around parts are skipped, an empty part too.
    fn from_str(text: &str) -> Result<Self, GtidParseError> {
        let error = || GtidParseError {
            expected: "MySQL GTID set",
            text: text.to_owned(),
        };
        let mut set = MysqlGtidSet::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let mut items = part.split(':').map(str::trim);
            let server = items.next().and_then(|uuid| Uuid::try_parse(uuid).ok());
            let mut source = GtidSource {
                server: server.ok_or_else(error)?,
                tag: String::new(),
            };
            let mut named_without_interval = true;
            for item in items {
                if let Some(interval) = parse_interval(item) {
                    set.add_interval(source.clone(), interval);
                    named_without_interval = false;
                } else {
                    let tag = parse_tag(item).ok_or_else(error)?;
                    if named_without_interval && !source.tag.is_empty() {
                        return Err(error());
                    }
                    source.tag = tag;
                    named_without_interval = true;
                }
            }
            if named_without_interval {
                return Err(error());
            }
        }
        Ok(set)
    }
}

fn parse_interval(text: &str) -> Option<Interval> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let interval = Interval {
        first: parse_number(first)?,
        last: parse_number(last)?,
    };
    (interval.first >= 1 && interval.first <= interval.last && interval.last <= GNO_MAX)
        .then_some(interval)
}

/// Digits only: Rust's parse would take a sign too.
fn parse_number<N: FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A tag is a letter or `_`, then up to 31 letters, digits or `_`; case does not count.
pub(crate) fn parse_tag(text: &str) -> Option<String> {
    let starts = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (starts && rest && text.len() <= 32).then(|| text.to_ascii_lowercase())
}

impl fmt::Display for MysqlGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source.tag.is_empty() {
            write!(f, "{}:{}", self.source.server, self.number)
        } else {
            write!(
                f,
                "{}:{}:{}",
                self.source.server, self.source.tag, self.number
            )
        }
    }
}

impl fmt::Display for MariadbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gtid::Mysql(gtid) => gtid.fmt(f),
            Gtid::Mariadb(gtid) => gtid.fmt(f),
        }
    }
}

impl fmt::Display for MariadbPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, gtid) in self.domains.values().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{gtid}")?;
        }
        Ok(())
    }
}

impl FromStr for MariadbPosition {
    type Err = GtidParseError;

    /// Reads `0-1-523,1-2-7`; of two entries of one domain the higher sequence counts.
    fn from_str(text: &str) -> Result<Self, GtidParseError> {
        let error = || GtidParseError {
            expected: "MariaDB GTID position",
            text: text.to_owned(),
        };
        let mut position = MariadbPosition::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let gtid = parse_mariadb_gtid(part).ok_or_else(error)?;
            if !position.contains(&gtid) {
                position.add(gtid);
            }
        }
        Ok(position)
    }
}

fn parse_mariadb_gtid(text: &str) -> Option<MariadbGtid> {
    let mut parts = text.split('-');
    let gtid = MariadbGtid {
        domain: parse_number(parts.next()?)?,
        server: parse_number(parts.next()?)?,
        sequence: parse_number(parts.next()?)?,
    };
    parts.next().is_none().then_some(gtid)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Mysql(set) => set.fmt(f),
            Position::Mariadb(position) => position.fmt(f),
        }
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Position::Mysql(set) => serializer.collect_str(&format_args!("mysql:{set}")),
            Position::Mariadb(position) => {
                serializer.collect_str(&format_args!("mariadb:{position}"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(deserializer)?;
        if let Some(set) = text.strip_prefix("mysql:") {
            set.parse().map(Position::Mysql).map_err(D::Error::custom)
        } else if let Some(position) = text.strip_prefix("mariadb:") {
            position
                .parse()
                .map(Position::Mariadb)
                .map_err(D::Error::custom)
        } else {
            Err(D::Error::custom(
                "a position starts with mysql: or mariadb:",
            ))
        }
    }
}

#[cfg(test)]
#[path = "gtid_tests.rs"]
mod tests;
