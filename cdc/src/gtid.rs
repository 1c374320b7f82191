//! Global transaction ids: MySQL's sets, MariaDB's positions, and one [`Position`] over both.
//!
//! - MySQL: `uuid:1-5:7:tag:1-3,uuid2:1`: a set of numbers per (server uuid, tag). Kept as sorted,
//!   disjoint, never touching intervals, so equal sets are equal values and have one text.
//! - MariaDB: `0-1-523,1-2-7`: the last transaction of each replication domain; a domain is a
//!   sequence, so a position contains every earlier transaction of its domains.
//!
//! Sources: MySQL manual "GTID Format and Storage"; MariaDB manual "Global Transaction ID".

use std::collections::BTreeMap;

use uuid::Uuid;

mod text;

pub(crate) use text::parse_tag;

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

#[cfg(test)]
mod tests;
