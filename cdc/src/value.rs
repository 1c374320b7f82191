//! One column's value as it leaves the source, borrowed from the event or the snapshot row that
//! holds it, and its JSON text.
//!
//! Both paths, the stream ([`crate::binlog::rows`]) and the snapshot ([`crate::schema::select`]),
//! end in the same [`Value`], so one row gives the same bytes whichever way it came.
//!
//! | value | JSON |
//! |---|---|
//! | `Int`, `UInt` | number, all 64 bits |
//! | `Float`, `Double` | the shortest number that reads back equal in that width |
//! | `Decimal` | string, digits exactly as declared (`"1.50"`) |
//! | `Text`, `Temporal` | string |
//! | `Bytes` | base64 string (RFC 4648, padded) |
//! | `Json` | the document itself, verbatim |

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A column value; the declared type it came from is in [`crate::schema::table::ColumnDef`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width, a YEAR, or a BIT(1).
    UInt(u64),
    /// A FLOAT; always finite.
    Float(f32),
    /// A DOUBLE; always finite.
    Double(f64),
    /// A DECIMAL as its exact text, with all digits of its scale and no leading zeros but one.
    Decimal(Cow<'a, str>),
    /// CHAR, VARCHAR, TEXT, ENUM or SET, in UTF-8.
    Text(Cow<'a, str>),
    /// BINARY (padded to its length), VARBINARY, BLOB or BIT(n>1).
    Bytes(Cow<'a, [u8]>),
    /// DATE, TIME, DATETIME or TIMESTAMP with its declared fraction digits.
    Temporal(ShortText),
    /// A JSON document, in MySQL's own text form.
    Json(Cow<'a, str>),
}

impl Value<'_> {
    /// Appends the value as JSON, by the table in this file's header.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Int(number) => write_display(out, number),
            Value::UInt(number) => write_display(out, number),
            Value::Float(number) => write_debug(out, number),
            Value::Double(number) => write_debug(out, number),
            Value::Decimal(text) => write_plain_string(out, text),
            Value::Text(text) => write_json_string(out, text),
            Value::Bytes(bytes) => write_base64(out, bytes),
            Value::Temporal(text) => write_plain_string(out, text.as_str()),
            Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// Copies what is borrowed, so that the value outlives its event.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Int(number) => Value::Int(number),
            Value::UInt(number) => Value::UInt(number),
            Value::Float(number) => Value::Float(number),
            Value::Double(number) => Value::Double(number),
            Value::Decimal(text) => Value::Decimal(Cow::Owned(text.into_owned())),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Temporal(text) => Value::Temporal(text),
            Value::Json(text) => Value::Json(Cow::Owned(text.into_owned())),
        }
    }

    /// Whether this is SQL NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

fn write_display(out: &mut Vec<u8>, number: &impl fmt::Display) {
    write!(out, "{number}").expect("writing to a Vec cannot fail");
}

/// `Debug` of a Rust float is the shortest text that reads back equal, with an exponent outside
/// 1e-5..1e16, and is valid JSON for every finite number.
fn write_debug(out: &mut Vec<u8>, number: &impl fmt::Debug) {
    write!(out, "{number:?}").expect("writing to a Vec cannot fail");
}

/// Writes text that is known to hold only digits, signs and separators.
fn write_plain_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Writes a JSON string: `"`, `\` and control characters escaped, everything else as UTF-8.
pub fn write_json_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0c => b'f',
            0x0d => b'r',
            0..=0x1f => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        if short == 0 {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 0xf)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true).expect("a value is far below usize::MAX");
    out.resize(start + length, 0);
    STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("the slice has the encoded length");
    out.push(b'"');
}

/// A text of at most 31 ASCII bytes kept inline: every temporal text fits, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText {
    length: u8,
    bytes: [u8; ShortText::CAPACITY],
}

impl ShortText {
    /// The longest temporal text is `2026-01-01T00:00:00.000001Z`, 27 bytes.
    pub const CAPACITY: usize = 31;

    /// The empty text.
    pub const fn new() -> Self {
        ShortText {
            length: 0,
            bytes: [0; ShortText::CAPACITY],
        }
    }

    /// Appends one ASCII byte; a full text or a byte that is not ASCII is left out and gives false.
    #[must_use]
    pub fn push(&mut self, byte: u8) -> bool {
        let at = usize::from(self.length);
        if at == ShortText::CAPACITY || !byte.is_ascii() {
            return false;
        }
        self.bytes[at] = byte;
        self.length += 1;
        true
    }

    /// The text of `source`, or `None` if it is longer than 31 bytes or not ASCII.
    pub fn from_ascii(source: &[u8]) -> Option<Self> {
        let mut text = ShortText::new();
        for &byte in source {
            if !text.push(byte) {
                return None;
            }
        }
        Some(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("only ASCII is pushed")
    }
}

impl Default for ShortText {
    fn default() -> Self {
        ShortText::new()
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &Value<'_>) -> String {
        let mut out = Vec::new();
        value.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_keep_all_64_bits() {
        assert_eq!(json(&Value::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(json(&Value::Int(i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn floats_are_the_shortest_text_of_their_own_width() {
        assert_eq!(json(&Value::Float(0.1)), "0.1");
        assert_eq!(
            json(&Value::Double(f64::from(0.1_f32))),
            "0.10000000149011612"
        );
        assert_eq!(json(&Value::Double(-0.0)), "-0.0");
        assert_eq!(json(&Value::Double(1e300)), "1e300");
        assert_eq!(json(&Value::Double(5e-324)), "5e-324");
        assert_eq!(json(&Value::Double(1.0)), "1.0");
    }

    #[test]
    fn strings_escape_what_json_needs_and_nothing_else() {
        let text = "a\"b\\c\u{8}\t\n\u{c}\r\u{1}\u{1f}\u{7f}é/";
        assert_eq!(
            json(&Value::Text(text.into())),
            "\"a\\\"b\\\\c\\b\\t\\n\\f\\r\\u0001\\u001f\u{7f}é/\""
        );
        assert_eq!(
            serde_json::from_str::<String>(&json(&Value::Text(text.into()))).unwrap(),
            text
        );
    }

    #[test]
    fn bytes_are_padded_base64() {
        assert_eq!(
            json(&Value::Bytes([0xff, 0, 1, 2][..].into())),
            "\"/wABAg==\""
        );
        assert_eq!(json(&Value::Bytes([][..].into())), "\"\"");
    }

    #[test]
    fn a_short_text_never_grows_past_its_place() {
        assert!(ShortText::from_ascii(&[b'x'; 31]).is_some());
        assert!(ShortText::from_ascii(&[b'x'; 32]).is_none());
        assert!(ShortText::from_ascii("é".as_bytes()).is_none());
    }
}
