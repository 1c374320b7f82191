//! The record headers of a captured change: which commit it belongs to and which schema names its columns.
//!
//! | header            | value                                   | absent on                     |
//! |-------------------|-----------------------------------------|-------------------------------|
//! | `headrace.csn`    | decimal, below 2^55                     | never                         |
//! | `headrace.index`  | decimal, place inside the transaction   | never                         |
//! | `headrace.last`   | `1`                                     | all but the last record of a transaction in its partition |
//! | `headrace.gtid`   | the server's GTID text                  | snapshot rows                 |
//! | `headrace.schema` | a [`SchemaId`], 32 hexadecimal digits   | never                         |
//!
//! A record without any of them comes from another producer and is judged by its offset alone;
//! a record with only some of them, or with unreadable ones, is an error, never a guess.
use std::fmt::{self, Write as _};
use std::ops::Deref;

use super::SchemaId;

/// Header of the commit sequence number.
pub const HEADER_CSN: &str = "headrace.csn";
/// Header of the record's index in its source transaction.
pub const HEADER_INDEX: &str = "headrace.index";
/// Header that marks the last record of a source transaction in its partition.
pub const HEADER_LAST: &str = "headrace.last";
/// Header of the source transaction's GTID.
pub const HEADER_GTID: &str = "headrace.gtid";
/// Header of the schema's id.
pub const HEADER_SCHEMA: &str = "headrace.schema";

/// Commit sequence numbers stay below this (55 bits).
pub const CSN_LIMIT: u64 = 1 << 55;

/// Order of a change in its source: the commit, then the place inside the commit.
///
/// Strictly increases along each partition of a captured topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Commit sequence number, below [`CSN_LIMIT`].
    pub csn: u64,
    /// Index of the record in its source transaction.
    pub index: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.csn, self.index)
    }
}

/// The headers of one captured change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeHeaders<'a> {
    /// Place of the change in its source.
    pub version: Version,
    /// True for the last record of its source transaction in this partition.
    pub last: bool,
    /// GTID of the source transaction; `None` on snapshot rows.
    pub gtid: Option<&'a str>,
    /// Schema of the columns in key and value.
    pub schema: SchemaId,
}

/// Why headers are not those of a captured change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A header that every captured change has is missing while others are there.
    #[error("header {0} is missing beside other headrace headers")]
    Missing(&'static str),
    /// A header's value cannot be read.
    #[error("header {name} has the unreadable value {value:?}")]
    Unreadable {
        /// The header.
        name: &'static str,
        /// Its value, shortened.
        value: String,
    },
}

impl<'a> ChangeHeaders<'a> {
    /// Reads the headers of a record; `None` when it carries none of ours.
    pub fn parse(
        headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<Option<ChangeHeaders<'a>>, HeaderError> {
        let (mut csn, mut index, mut schema) = (None, None, None);
        let (mut last, mut gtid) = (false, None);
        for (name, value) in headers {
            let value = value.unwrap_or_default();
            match name {
                HEADER_CSN => {
                    let number = decimal(HEADER_CSN, value)?;
                    if number >= CSN_LIMIT {
                        return Err(unreadable(HEADER_CSN, value));
                    }
                    csn = Some(number);
                }
                HEADER_INDEX => index = Some(decimal(HEADER_INDEX, value)?),
                HEADER_LAST if value == b"1" => last = true,
                HEADER_LAST => return Err(unreadable(HEADER_LAST, value)),
                HEADER_GTID => gtid = Some(text(HEADER_GTID, value)?),
                HEADER_SCHEMA => {
                    let id = text(HEADER_SCHEMA, value)?.parse();
                    schema = Some(id.map_err(|_| unreadable(HEADER_SCHEMA, value))?);
                }
                _ => {}
            }
        }
        if csn.is_none() && index.is_none() && schema.is_none() && gtid.is_none() && !last {
            return Ok(None);
        }
        Ok(Some(ChangeHeaders {
            version: Version {
                csn: csn.ok_or(HeaderError::Missing(HEADER_CSN))?,
                index: index.ok_or(HeaderError::Missing(HEADER_INDEX))?,
            },
            last,
            gtid,
            schema: schema.ok_or(HeaderError::Missing(HEADER_SCHEMA))?,
        }))
    }

    /// Writes the headers as text; [`HeaderText::pairs`] is what a producer takes.
    pub fn to_text(&self) -> HeaderText {
        let mut text = String::with_capacity(96);
        write!(text, "{}", self.version.csn).expect("a String takes all text");
        let csn_end = text.len();
        write!(text, "{}", self.version.index).expect("a String takes all text");
        let index_end = text.len();
        write!(text, "{}", self.schema).expect("a String takes all text");
        let schema_end = text.len();
        text.push_str(self.gtid.unwrap_or_default());
        HeaderText {
            text,
            csn_end,
            index_end,
            schema_end,
            gtid: self.gtid.is_some(),
            last: self.last,
        }
    }
}

/// The text of one change's headers, in one allocation.
#[derive(Clone, Debug)]
pub struct HeaderText {
    text: String,
    csn_end: usize,
    index_end: usize,
    schema_end: usize,
    gtid: bool,
    last: bool,
}

impl HeaderText {
    /// The headers as name and value.
    pub fn pairs(&self) -> HeaderPairs<'_> {
        let bytes = self.text.as_bytes();
        let mut pairs = HeaderPairs {
            pairs: [("", &[]); 5],
            len: 0,
        };
        pairs.push(HEADER_CSN, &bytes[..self.csn_end]);
        pairs.push(HEADER_INDEX, &bytes[self.csn_end..self.index_end]);
        pairs.push(HEADER_SCHEMA, &bytes[self.index_end..self.schema_end]);
        if self.gtid {
            pairs.push(HEADER_GTID, &bytes[self.schema_end..]);
        }
        if self.last {
            pairs.push(HEADER_LAST, b"1");
        }
        pairs
    }
}

/// A slice of header names and values that borrows a [`HeaderText`].
#[derive(Clone, Copy, Debug)]
pub struct HeaderPairs<'a> {
    pairs: [(&'static str, &'a [u8]); 5],
    len: usize,
}

impl<'a> HeaderPairs<'a> {
    fn push(&mut self, name: &'static str, value: &'a [u8]) {
        self.pairs[self.len] = (name, value);
        self.len += 1;
    }
}

impl<'a> Deref for HeaderPairs<'a> {
    type Target = [(&'static str, &'a [u8])];

    fn deref(&self) -> &Self::Target {
        &self.pairs[..self.len]
    }
}

fn text<'a>(name: &'static str, value: &'a [u8]) -> Result<&'a str, HeaderError> {
    std::str::from_utf8(value).map_err(|_| unreadable(name, value))
}

/// Digits only: no sign, no spaces, no empty text.
fn decimal(name: &'static str, value: &[u8]) -> Result<u64, HeaderError> {
    let digits = text(name, value)?;
    let number = digits.parse().map_err(|_| unreadable(name, value))?;
    if digits.starts_with('+') {
        Err(unreadable(name, value))
    } else {
        Ok(number)
    }
}

fn unreadable(name: &'static str, value: &[u8]) -> HeaderError {
    let shown = &value[..value.len().min(40)];
    HeaderError::Unreadable {
        name,
        value: String::from_utf8_lossy(shown).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Schema;

    fn headers(gtid: Option<&str>, last: bool) -> ChangeHeaders<'_> {
        let version = Version {
            csn: 36_028_797_018_963_967,
            index: 18,
        };
        ChangeHeaders {
            version,
            last,
            gtid,
            schema: Schema { columns: vec![] }.id(),
        }
    }

    fn parse<'a>(
        pairs: &'a [(&'a str, &'a [u8])],
    ) -> Result<Option<ChangeHeaders<'a>>, HeaderError> {
        ChangeHeaders::parse(pairs.iter().map(|(name, value)| (*name, Some(*value))))
    }

    #[test]
    fn headers_read_back_as_written() {
        for (gtid, last) in [
            (Some("0-1-5"), true),
            (Some(""), false),
            (None, true),
            (None, false),
        ] {
            let written = headers(gtid, last).to_text();
            assert_eq!(parse(&written.pairs()), Ok(Some(headers(gtid, last))));
        }
    }

    #[test]
    fn golden_headers() {
        let written = headers(Some("0-1-5"), true).to_text();
        let shown: Vec<_> = written
            .pairs()
            .iter()
            .map(|(name, value)| format!("{name}={}", std::str::from_utf8(value).unwrap()))
            .collect();
        let schema = format!("headrace.schema={}", headers(None, false).schema);
        assert_eq!(
            shown,
            [
                "headrace.csn=36028797018963967",
                "headrace.index=18",
                &schema,
                "headrace.gtid=0-1-5",
                "headrace.last=1"
            ]
        );
    }

    #[test]
    fn a_record_of_another_producer_has_none() {
        assert_eq!(parse(&[("traceparent", b"00")]), Ok(None));
        assert_eq!(parse(&[]), Ok(None));
    }

    #[test]
    fn half_a_set_of_headers_is_an_error() {
        assert_eq!(
            parse(&[(HEADER_CSN, b"1")]),
            Err(HeaderError::Missing(HEADER_INDEX))
        );
        assert_eq!(
            parse(&[(HEADER_LAST, b"1")]),
            Err(HeaderError::Missing(HEADER_CSN))
        );
        assert_eq!(
            parse(&[(HEADER_CSN, b"1"), (HEADER_INDEX, b"0")]),
            Err(HeaderError::Missing(HEADER_SCHEMA))
        );
    }

    #[test]
    fn unreadable_values_are_errors() {
        for value in [
            "",
            "-1",
            "+1",
            "1 ",
            "36028797018963968",
            "18446744073709551616",
            "\u{fe}",
        ] {
            assert!(
                parse(&[(HEADER_CSN, value.as_bytes())]).is_err(),
                "{value:?}"
            );
        }
        assert!(parse(&[(HEADER_LAST, b"0")]).is_err());
        assert!(parse(&[(HEADER_GTID, &[0xff])]).is_err());
        assert!(parse(&[(HEADER_SCHEMA, b"0123")]).is_err());
    }

    #[test]
    fn versions_order_by_commit_then_index() {
        let version = |csn, index| Version { csn, index };
        assert!(version(1, 9) < version(2, 0));
        assert!(version(2, 0) < version(2, 1));
    }
}
