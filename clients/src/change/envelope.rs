//! Key and value of a captured record: JSON in Debezium's shape, columns kept as their JSON text.
//!
//! ```text
//! {"before":{…}|null, "after":{…}|null, "source":{…}, "op":"c|u|d|r", "ts_ms":1767225600000}
//!      |                  |
//!      `---- Row ---------`    column -> raw JSON value, in table order
//! ```
//! One type both writes (the source) and reads (the views), so the two cannot drift apart.
//! Reading borrows from the record; a member it does not know is skipped.
use std::borrow::Cow;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// What happened to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Inserted, or the new place of a row whose key changed.
    #[serde(rename = "c")]
    Create,
    /// Updated under the same key.
    #[serde(rename = "u")]
    Update,
    /// Deleted, or the old place of a row whose key changed.
    #[serde(rename = "d")]
    Delete,
    /// Read by a snapshot.
    #[serde(rename = "r")]
    Read,
}

/// Whether a record comes from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Snapshot {
    /// A snapshot row.
    True,
    /// The last row of the snapshot.
    Last,
    /// A streamed change.
    False,
}

/// Where a change comes from: the member `source` of the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin<'a> {
    /// Version of Headrace that wrote it.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// `mysql` or `mariadb`.
    #[serde(borrow)]
    pub connector: Cow<'a, str>,
    /// Name of the source.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Time of the commit in the server, milliseconds since 1970.
    pub ts_ms: i64,
    /// Snapshot or stream.
    pub snapshot: Snapshot,
    /// Database of the table.
    #[serde(borrow)]
    pub db: Cow<'a, str>,
    /// The table.
    #[serde(borrow)]
    pub table: Cow<'a, str>,
    /// `server_id` of the server that executed the change; 0 in a snapshot.
    pub server_id: u32,
    /// GTID of the transaction; `null` in a snapshot.
    #[serde(borrow)]
    pub gtid: Option<Cow<'a, str>>,
    /// Binlog file of the event.
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    /// Position of the event in the file.
    pub pos: u64,
    /// Row inside the event, from 0.
    pub row: u64,
}

/// The value of a captured record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope<'a> {
    /// The row before the change; `None` for create and read.
    #[serde(borrow)]
    pub before: Option<&'a RawValue>,
    /// The row after the change; `None` for delete.
    #[serde(borrow)]
    pub after: Option<&'a RawValue>,
    /// Where the change comes from.
    #[serde(borrow)]
    pub source: Origin<'a>,
    /// What happened.
    pub op: Op,
    /// When Headrace made this record, milliseconds since 1970.
    pub ts_ms: i64,
}

/// The bytes are not the JSON of a captured record.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON, or a member is missing or of another type.
    #[error("not the JSON of a captured change: {0}")]
    Json(#[from] serde_json::Error),
    /// `op` needs an image that is not there.
    #[error("the change has no `{0}` image")]
    ImageMissing(&'static str),
}

impl<'a> Envelope<'a> {
    /// Reads a record's value and checks that the images its `op` needs are there.
    pub fn parse(value: &'a [u8]) -> Result<Envelope<'a>, EnvelopeError> {
        let envelope: Envelope<'a> = serde_json::from_slice(value)?;
        let (needs, image) = match envelope.op {
            Op::Delete => ("before", envelope.before),
            Op::Create | Op::Update | Op::Read => ("after", envelope.after),
        };
        image.ok_or(EnvelopeError::ImageMissing(needs))?;
        Ok(envelope)
    }

    /// Appends the JSON of the envelope.
    pub fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self)
            .expect("memory takes all bytes and every member serializes");
    }
}

/// Columns of one row, or of a key, each with its JSON text, in the order written.
#[derive(Clone, Debug, Default)]
pub struct Row<'a> {
    /// Name and value; a name is there once.
    pub columns: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Row<'a> {
    /// Reads a JSON object: a record's key, or an image of an [`Envelope`].
    pub fn parse(json: &'a [u8]) -> Result<Row<'a>, EnvelopeError> {
        Ok(serde_json::from_slice(json)?)
    }

    /// Reads an image of an [`Envelope`].
    pub fn of(image: &'a RawValue) -> Result<Row<'a>, EnvelopeError> {
        Row::parse(image.get().as_bytes())
    }

    /// The JSON text of a column; `null` for NULL; `None` when the row was written without it.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.columns
            .iter()
            .find(|(column, _)| column == name)
            .map(|(_, value)| value.get())
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row<'a>, D::Error> {
        deserializer
            .deserialize_map(RowVisitor)
            .map(|columns| Row { columns })
    }
}

/// A column name, borrowed unless it has escapes (a bare `Cow` would always be copied).
#[derive(Deserialize, Hash, PartialEq, Eq)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut columns = Vec::new();
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &RawValue>()? {
            columns.push((name, value));
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: &str = concat!(
        r#"{"before":{"id":7,"n":null},"after":{"id":7,"n":18446744073709551615},"#,
        r#""source":{"version":"0.1.0","connector":"mariadb","name":"shop","ts_ms":1767225600000,"snapshot":"false","#,
        r#""db":"shop","table":"products","server_id":1,"gtid":"0-1-5","file":"binlog.000001","pos":4711,"row":0},"#,
        r#""op":"u","ts_ms":1767225600004}"#,
    );

    #[test]
    fn golden_envelope_reads_and_writes() {
        let envelope = Envelope::parse(UPDATE.as_bytes()).unwrap();
        assert_eq!(envelope.op, Op::Update);
        assert_eq!(envelope.source.gtid.as_deref(), Some("0-1-5"));
        let after = Row::of(envelope.after.unwrap()).unwrap();
        assert_eq!(after.get("n"), Some("18446744073709551615"));
        assert_eq!(after.get("none"), None);
        let before = Row::of(envelope.before.unwrap()).unwrap();
        assert_eq!(before.get("n"), Some("null"));
        let mut written = Vec::new();
        envelope.write(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), UPDATE);
    }

    #[test]
    fn reading_borrows_names_and_values() {
        let row = Row::parse(br#"{"plain":1,"esc\"aped":"x"}"#).unwrap();
        assert!(matches!(row.columns[0].0, Cow::Borrowed("plain")));
        assert_eq!(row.columns[1].0, r#"esc"aped"#);
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"{"plain":1,"esc\"aped":"x"}"#
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        let row = Row::parse(br#"{"a":1.10,"b":1e400,"c":-0.0}"#).unwrap();
        assert_eq!(
            (row.get("a"), row.get("b"), row.get("c")),
            (Some("1.10"), Some("1e400"), Some("-0.0"))
        );
    }

    #[test]
    fn unknown_members_are_skipped() {
        let more = UPDATE.replace(r#""op":"u""#, r#""transaction":{"id":1},"op":"u""#);
        assert!(Envelope::parse(more.as_bytes()).is_ok());
    }

    #[test]
    fn an_operation_without_its_image_is_an_error() {
        let delete = UPDATE
            .replace(r#""op":"u""#, r#""op":"d""#)
            .replace(r#"{"id":7,"n":null}"#, "null");
        assert!(matches!(
            Envelope::parse(delete.as_bytes()),
            Err(EnvelopeError::ImageMissing("before"))
        ));
        let create = UPDATE.replace(r#"{"id":7,"n":18446744073709551615}"#, "null");
        assert!(matches!(
            Envelope::parse(create.as_bytes()),
            Err(EnvelopeError::ImageMissing("after"))
        ));
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let deep = "[".repeat(100_000);
        for bad in [
            "",
            "null",
            "[]",
            "7",
            r#"{"op":"u"}"#,
            &UPDATE.replace(r#""op":"u""#, r#""op":"x""#),
            &deep,
        ] {
            assert!(Envelope::parse(bad.as_bytes()).is_err());
        }
        assert!(Row::parse(b"[1]").is_err());
        assert!(Row::parse(&[b'{', 0xff]).is_err());
    }
}
