//! GTIDs, sets and positions as text: the servers' own forms, and serde's with the dialect before.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{
    Gtid, GtidParseError, GtidSource, Interval, MariadbGtid, MariadbPosition, MysqlGtid,
    MysqlGtidSet, Position,
};

/// The highest transaction number MySQL gives.
const GNO_MAX: u64 = u64::MAX >> 1;

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
