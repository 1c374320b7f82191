//! MySQL's binary JSON to JSON text, in exactly the form `SELECT` shows it (blanks after `,` and
//! `:`, keys in stored order), so that snapshot and stream give the same bytes.
//!
//! ```text
//! document  type u8 | value
//! object    count | size | (key offset, key length u16)... | (type u8, value or offset)... | keys, values
//! array     count | size | (type u8, value or offset)... | values
//! ```
//! Count, size and offsets are u16 in small and u32 in large containers; offsets count from the
//! container's start. Small values stand in the entry itself.
//!
//! A hostile document may point at the same bytes again and again: depth is at most the server's
//! 100, and the text at most [`GROWTH_MAX`] times the document. Source: MySQL's sql-common/json_binary.h.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::binlog::cursor::Cursor;
use crate::binlog::value::{decimal, temporal};
use crate::value::write_json_string;

/// The server refuses documents nested deeper.
const DEPTH_MAX: u32 = 100;
/// No value's text is longer than this many times its bytes: the worst is a control character in a
/// string, one byte that becomes six.
const GROWTH_MAX: usize = 8;

/// The document's text; `None` if the bytes are no document. No bytes at all are JSON's null, which
/// the server stores for a NULL forced into a NOT NULL column.
pub fn to_text(document: &[u8]) -> Option<String> {
    if document.is_empty() {
        return Some("null".to_owned());
    }
    let text_bytes_max = document.len() * GROWTH_MAX + 64;
    let mut writer = Writer {
        out: Vec::with_capacity(document.len()),
        text_bytes_max,
    };
    let (kind, value) = document.split_first()?;
    writer.value(*kind, value, 0)?;
    String::from_utf8(writer.out).ok()
}

mod kind {
    pub(super) const SMALL_OBJECT: u8 = 0;
    pub(super) const LARGE_OBJECT: u8 = 1;
    pub(super) const SMALL_ARRAY: u8 = 2;
    pub(super) const LARGE_ARRAY: u8 = 3;
    pub(super) const LITERAL: u8 = 4;
    pub(super) const INT16: u8 = 5;
    pub(super) const UINT16: u8 = 6;
    pub(super) const INT32: u8 = 7;
    pub(super) const UINT32: u8 = 8;
    pub(super) const INT64: u8 = 9;
    pub(super) const UINT64: u8 = 10;
    pub(super) const DOUBLE: u8 = 11;
    pub(super) const STRING: u8 = 12;
    pub(super) const OPAQUE: u8 = 15;
}

struct Writer {
    out: Vec<u8>,
    text_bytes_max: usize,
}

impl Writer {
    fn value(&mut self, kind: u8, bytes: &[u8], depth: u32) -> Option<()> {
        let mut cursor = Cursor::new(bytes);
        match kind {
            kind::SMALL_OBJECT | kind::LARGE_OBJECT | kind::SMALL_ARRAY | kind::LARGE_ARRAY => {
                self.container(kind, bytes, depth)?;
            }
            kind::LITERAL => self.out.extend_from_slice(match cursor.u8()? {
                0 => b"null",
                1 => b"true",
                2 => b"false",
                _ => return None,
            }),
            kind::INT16 => self.number(i16::from_le_bytes(cursor.array()?))?,
            kind::UINT16 => self.number(cursor.u16()?)?,
            kind::INT32 => self.number(i32::from_le_bytes(cursor.array()?))?,
            kind::UINT32 => self.number(cursor.u32()?)?,
            kind::INT64 => self.number(i64::from_le_bytes(cursor.array()?))?,
            kind::UINT64 => self.number(cursor.u64()?)?,
            kind::DOUBLE => write_double(&mut self.out, f64::from_le_bytes(cursor.array()?))?,
            kind::STRING => {
                let length = read_length(&mut cursor)?;
                let text = std::str::from_utf8(cursor.take(length)?).ok()?;
                write_json_string(&mut self.out, text);
            }
            kind::OPAQUE => self.opaque(cursor)?,
            _ => return None,
        }
        (self.out.len() <= self.text_bytes_max).then_some(())
    }

    fn number(&mut self, number: impl std::fmt::Display) -> Option<()> {
        write!(self.out, "{number}").ok()
    }

    fn container(&mut self, kind: u8, bytes: &[u8], depth: u32) -> Option<()> {
        if depth >= DEPTH_MAX {
            return None;
        }
        let is_object = matches!(kind, kind::SMALL_OBJECT | kind::LARGE_OBJECT);
        let wide = matches!(kind, kind::LARGE_OBJECT | kind::LARGE_ARRAY);
        let place_bytes = if wide { 4 } else { 2 };
        let mut cursor = Cursor::new(bytes);
        let count = usize::try_from(cursor.uint(place_bytes)?).ok()?;
        let size = usize::try_from(cursor.uint(place_bytes)?).ok()?;
        let bytes = bytes.get(..size)?;
        let key_entry = place_bytes + 2;
        let keys_length = if is_object {
            count.checked_mul(key_entry)?
        } else {
            0
        };
        let mut keys = Cursor::new(cursor.take(keys_length)?);
        let mut values = Cursor::new(cursor.take(count.checked_mul(1 + place_bytes)?)?);
        self.out.push(if is_object { b'{' } else { b'[' });
        for at in 0..count {
            if at > 0 {
                self.out.extend_from_slice(b", ");
            }
            if is_object {
                let offset = usize::try_from(keys.uint(place_bytes)?).ok()?;
                let length = usize::from(keys.u16()?);
                let key = bytes.get(offset..offset.checked_add(length)?)?;
                write_json_string(&mut self.out, std::str::from_utf8(key).ok()?);
                self.out.extend_from_slice(b": ");
            }
            let kind = values.u8()?;
            let place = values.take(place_bytes)?;
            if is_inline(kind, wide) {
                self.value(kind, place, depth + 1)?;
            } else {
                let offset = usize::try_from(Cursor::new(place).uint(place_bytes)?).ok()?;
                self.value(kind, bytes.get(offset..)?, depth + 1)?;
            }
        }
        self.out.push(if is_object { b'}' } else { b']' });
        Some(())
    }

    /// A value of an SQL type that JSON lacks: type u8, length, bytes.
    fn opaque(&mut self, mut cursor: Cursor<'_>) -> Option<()> {
        let field_kind = cursor.u8()?;
        let length = read_length(&mut cursor)?;
        let bytes = cursor.take(length)?;
        let packed = match field_kind {
            7 | 12 => temporal::Packed::DateTime,
            10 => temporal::Packed::Date,
            11 => temporal::Packed::Time,
            246 => {
                let ([precision, scale], digits) = bytes.split_first_chunk::<2>()?;
                let text = decimal::read(digits, *precision, *scale)?;
                self.out.extend_from_slice(text.as_bytes());
                return Some(());
            }
            _ => {
                self.base64(field_kind, bytes);
                return Some(());
            }
        };
        let text = temporal::packed(i64::from_le_bytes(bytes.try_into().ok()?), packed)?;
        write!(self.out, "\"{}\"", text.as_str()).ok()
    }

    /// The server breaks base64 after every 76 characters; in JSON the break is escaped.
    fn base64(&mut self, field_kind: u8, bytes: &[u8]) {
        const LINE_BYTES: usize = 76 / 4 * 3;
        write!(self.out, "\"base64:type{field_kind}:").expect("writing to a Vec cannot fail");
        for (at, line) in bytes.chunks(LINE_BYTES).enumerate() {
            if at > 0 {
                self.out.extend_from_slice(b"\\n");
            }
            self.out.extend_from_slice(STANDARD.encode(line).as_bytes());
        }
        self.out.push(b'"');
    }
}

fn is_inline(kind: u8, wide: bool) -> bool {
    match kind {
        kind::LITERAL | kind::INT16 | kind::UINT16 => true,
        kind::INT32 | kind::UINT32 => wide,
        _ => false,
    }
}

/// Seven bits per byte, lowest first, the high bit set on all but the last; at most five bytes.
fn read_length(cursor: &mut Cursor<'_>) -> Option<usize> {
    let mut length: u64 = 0;
    for shift in (0..35).step_by(7) {
        let byte = cursor.u8()?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).ok();
        }
    }
    None
}

/// A double as MySQL's JSON text shows it: the shortest digits that read back equal, an exponent
/// outside 1e-15..1e15, and `.0` where it would look like an integer.
fn write_double(out: &mut Vec<u8>, double: f64) -> Option<()> {
    if !double.is_finite() {
        return None;
    }
    // Shortest digits d.ddd and their exponent.
    let scientific = format!("{double:e}");
    let (_, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if !(-15..15).contains(&exponent) {
        out.extend_from_slice(scientific.as_bytes());
        return Some(());
    }
    let start = out.len();
    write!(out, "{double}").ok()?;
    if !out[start..].contains(&b'.') {
        out.extend_from_slice(b".0");
    }
    Some(())
}
