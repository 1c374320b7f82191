//! Records as lines of text, out and in again.
//!
//! | format | a record is | safe for |
//! |---|---|---|
//! | `raw` | the bytes themselves | text without line ends |
//! | `hex` | two digits for each byte | any bytes |
//! | `json` | an object with everything there is | any record |
//!
//! In JSON, bytes are a string where they are UTF-8 and `{"base64": "…"}` where they are not; null is null. What
//! `consume --format json` prints, `produce --format json` reads.
use std::io::{self, Write};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::ValueEnum;
use headrace_clients::Record;
use serde::Deserialize;
use serde_json::{Value, json};

/// How records stand in lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The bytes as they are.
    Raw,
    /// One JSON object per record, with key, headers and everything else.
    Json,
    /// Hexadecimal digits.
    Hex,
}

/// What is shown of a record, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Part {
    Partition,
    Offset,
    Timestamp,
    Headers,
    Key,
    Value,
}

/// How records are written.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    pub(super) format: Format,
    pub(super) parts: Vec<Part>,
    /// Between the parts.
    pub(super) separator: String,
    /// For a key or value that is null.
    pub(super) null: String,
}

impl Writing {
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        partition: i32,
        record: &Record,
    ) -> io::Result<()> {
        if self.format == Format::Json {
            return writeln!(out, "{}", as_json(partition, record));
        }
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                out.write_all(self.separator.as_bytes())?;
            }
            match part {
                Part::Partition => write!(out, "{partition}")?,
                Part::Offset => write!(out, "{}", record.offset)?,
                Part::Timestamp => write!(out, "{}", record.timestamp_ms)?,
                Part::Headers => self.headers(out, record)?,
                Part::Key => self.bytes(out, record.key.as_deref())?,
                Part::Value => self.bytes(out, record.value.as_deref())?,
            }
        }
        out.write_all(b"\n")
    }

    fn headers(&self, out: &mut impl Write, record: &Record) -> io::Result<()> {
        for (at, (name, value)) in record.headers.iter().enumerate() {
            if at > 0 {
                out.write_all(b",")?;
            }
            write!(out, "{name}=")?;
            self.bytes(out, value.as_deref())?;
        }
        Ok(())
    }

    fn bytes(&self, out: &mut impl Write, bytes: Option<&[u8]>) -> io::Result<()> {
        match bytes {
            None => out.write_all(self.null.as_bytes()),
            Some(bytes) if self.format == Format::Hex => {
                bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
            Some(bytes) => out.write_all(bytes),
        }
    }
}

/// A record to be written, as a line tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) partition: Option<i32>,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// How lines are read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) format: Format,
    /// Between key and value; without it there is no key.
    pub(super) key_separator: Option<String>,
    /// A key or value that reads so is null.
    pub(super) null: Option<String>,
}

impl Reading {
    /// Reads one line, without its end.
    pub(super) fn read(&self, line: &[u8]) -> anyhow::Result<Told> {
        if self.format == Format::Json {
            return from_json(line);
        }
        let (key, value) = self.split(line)?;
        let part = |part: Option<&[u8]>| match part {
            None => Ok(None),
            Some(part) => self.bytes(part),
        };
        Ok(Told {
            key: part(key).context("the key")?,
            value: part(Some(value)).context("the value")?,
            ..Told::default()
        })
    }

    fn split<'a>(&self, line: &'a [u8]) -> anyhow::Result<(Option<&'a [u8]>, &'a [u8])> {
        let separator = self.key_separator.as_deref();
        let Some(separator) = separator.filter(|text| !text.is_empty()) else {
            return Ok((None, line));
        };
        let separator = separator.as_bytes();
        let mut windows = line.windows(separator.len());
        match windows.position(|window| window == separator) {
            Some(at) => Ok((Some(&line[..at]), &line[at + separator.len()..])),
            None => bail!("a line has no key separator: {}", beginning(line)),
        }
    }

    fn bytes(&self, part: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        if self
            .null
            .as_ref()
            .is_some_and(|null| null.as_bytes() == part)
        {
            return Ok(None);
        }
        Ok(Some(if self.format == Format::Hex {
            unhex(part)?
        } else {
            part.to_vec()
        }))
    }
}

/// A record with everything there is.
fn as_json(partition: i32, record: &Record) -> Value {
    let header = |(name, value): &(String, Option<_>)| json!([name, bytes_json(value.as_deref())]);
    json!({
        "partition": partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": bytes_json(record.key.as_deref()),
        "value": bytes_json(record.value.as_deref()),
        "headers": record.headers.iter().map(header).collect::<Vec<_>>(),
    })
}

fn bytes_json(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => Value::String(text.to_owned()),
        Some((bytes, Err(_))) => json!({ "base64": BASE64.encode(bytes) }),
    }
}

/// The object of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Where the record was read; a new one gets its own.
    #[serde(default, rename = "offset")]
    _offset: Option<i64>,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    timestamp_ms: Option<i64>,
    #[serde(default)]
    key: Option<Content>,
    #[serde(default)]
    value: Option<Content>,
    #[serde(default)]
    headers: Vec<(String, Option<Content>)>,
}

/// Bytes in JSON.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "bytes are a string, {\"base64\": \"…\"}, or null"
)]
enum Content {
    Text(String),
    Binary(Binary),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binary {
    base64: String,
}

impl Content {
    fn bytes(self) -> anyhow::Result<Vec<u8>> {
        match self {
            Content::Text(text) => Ok(text.into_bytes()),
            Content::Binary(binary) => Ok(BASE64.decode(binary.base64)?),
        }
    }
}

fn from_json(line: &[u8]) -> anyhow::Result<Told> {
    let about = || format!("not a record in JSON: {}", beginning(line));
    // a list would be taken for the fields in their order
    if !line.trim_ascii_start().starts_with(b"{") {
        bail!("{}, which is an object", about());
    }
    let line: Line = serde_json::from_slice(line).with_context(about)?;
    let bytes = |content: Option<Content>| content.map(Content::bytes).transpose();
    let header = |(name, value)| Ok((name, bytes(value)?));
    Ok(Told {
        partition: line.partition,
        // a record without a time gets the time of now
        timestamp_ms: line.timestamp_ms.filter(|ms| *ms >= 0),
        key: bytes(line.key).context("the key")?,
        value: bytes(line.value).context("the value")?,
        headers: line
            .headers
            .into_iter()
            .map(header)
            .collect::<anyhow::Result<_>>()
            .context("a header")?,
    })
}

fn unhex(text: &[u8]) -> anyhow::Result<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.chunks(2).map(byte).collect();
    bytes.with_context(|| format!("not pairs of hexadecimal digits: {}", beginning(text)))
}

/// The beginning of a line that is wrong.
fn beginning(line: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&line[..line.len().min(80)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Record {
        Record {
            offset: 7,
            timestamp_ms: 1_700_000_000_000,
            key: key.map(Into::into),
            value: value.map(Into::into),
            headers: vec![
                ("a".to_owned(), Some(b"\xff"[..].into())),
                ("a".to_owned(), None),
                ("b".to_owned(), Some(b""[..].into())),
            ],
        }
    }

    fn lines(writing: &Writing, record: &Record) -> String {
        let mut out = Vec::new();
        writing.write(&mut out, 3, record).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn writing(format: Format) -> Writing {
        Writing {
            format,
            parts: vec![Part::Partition, Part::Headers, Part::Key, Part::Value],
            separator: "\t".to_owned(),
            null: "NULL".to_owned(),
        }
    }

    #[test]
    fn json_lines_give_the_same_record_again() {
        for (key, value) in [
            (Some(&b"k"[..]), Some(&b"v\n\"\\"[..])),
            (None, None),
            (Some(b""), Some(b"\x00\xfe\xff")),
            (Some(b"{\"base64\":\"\"}"), Some(b"null")),
        ] {
            let record = record(key, value);
            let line = lines(&writing(Format::Json), &record);
            let told = from_json(line.trim_end().as_bytes()).unwrap();
            assert_eq!(told.key.as_deref(), key);
            assert_eq!(told.value.as_deref(), value);
            assert_eq!(told.partition, Some(3));
            assert_eq!(told.timestamp_ms, Some(1_700_000_000_000));
            let headers: Vec<_> = told
                .headers
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_deref()))
                .collect();
            assert_eq!(
                headers,
                [("a", Some(&b"\xff"[..])), ("a", None), ("b", Some(b""))]
            );
        }
    }

    #[test]
    fn parts_stand_in_the_order_asked_for() {
        let record = record(Some(b"k"), None);
        assert_eq!(
            lines(&writing(Format::Hex), &record),
            "3\ta=ff,a=NULL,b=\t6b\tNULL\n"
        );
    }

    #[test]
    fn hex_lines_are_read_again() {
        let reading = Reading {
            format: Format::Hex,
            key_separator: Some(":".to_owned()),
            null: Some("-".to_owned()),
        };
        let told = reading.read(b"6B:00ff").unwrap();
        assert_eq!(told.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(told.value.as_deref(), Some(&b"\x00\xff"[..]));
        assert_eq!(reading.read(b"6b:-").unwrap().value, None);
        for wrong in [&b"6b"[..], b"6:00", b"6b:0", b"6b:zz", b"6b:+1"] {
            assert!(reading.read(wrong).is_err());
        }
    }

    #[test]
    fn lines_that_are_no_records_are_refused() {
        for wrong in [
            "",
            "1",
            "[]",
            "{\"valu\":\"x\"}",
            "{\"value\":1}",
            "{\"value\":{\"base64\":\"!\"}}",
            "{\"value\":{\"base64\":\"\",\"x\":1}}",
            "{\"headers\":{\"a\":\"b\"}}",
            "{\"partition\":\"0\"}",
        ] {
            assert!(from_json(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(from_json(b"{}").unwrap(), Told::default());
    }
}
