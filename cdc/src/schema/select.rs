//! How a snapshot reads a column so that its JSON equals the stream's, byte for byte.
//!
//! The session that runs the SELECT prepares itself by [`SESSION`] and uses the text protocol:
//! - `time_zone` +00:00: a TIMESTAMP comes in UTC;
//! - `character_set_results` utf8mb4: all text, ENUM and SET come in UTF-8; bytes come as they are;
//! - `sql_mode` empty: a CHAR comes without its padding.
//!
//! FLOAT and DOUBLE are multiplied by `1e0`: the server shows six digits of a plain FLOAT, and as
//! many as declared of a DOUBLE(M,D); the product is a DOUBLE of the same number (`-0` too) in the
//! shortest text that reads back equal.

use std::borrow::Cow;
use std::str::FromStr;

use crate::schema::table::{ColumnDef, ColumnType};
use crate::value::{ShortText, Value};

/// The statement that prepares a session for [`select_expression`].
pub const SESSION: &str =
    "SET SESSION time_zone = '+00:00', character_set_results = utf8mb4, sql_mode = ''";

/// A snapshot column that cannot be read as its declared type; definite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {reason}")]
pub struct SnapshotValueError {
    /// The column.
    pub column: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The SELECT list item that reads `column` exactly, its name quoted.
pub fn select_expression(column: &ColumnDef) -> String {
    let name = quote_name(&column.name);
    match column.ty {
        ColumnType::Float | ColumnType::Double => format!("{name} * 1e0"),
        _ => name,
    }
}

/// A name in backticks.
pub fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The value of one text-protocol column that [`select_expression`] asked for; `None` is NULL.
pub fn snapshot_value<'a>(
    column: &ColumnDef,
    text: Option<&'a [u8]>,
) -> Result<Value<'a>, SnapshotValueError> {
    let Some(bytes) = text else {
        return Ok(Value::Null);
    };
    read(&column.ty, bytes).ok_or_else(|| SnapshotValueError {
        column: column.name.clone(),
        reason: format!(
            "{:?} is no {:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(64)]),
            column.ty
        ),
    })
}

fn read<'a>(ty: &ColumnType, bytes: &'a [u8]) -> Option<Value<'a>> {
    Some(match ty {
        ColumnType::Int {
            unsigned: false, ..
        } => Value::Int(parse(bytes)?),
        ColumnType::Int { unsigned: true, .. } | ColumnType::Year => Value::UInt(parse(bytes)?),
        ColumnType::Decimal { .. } => Value::Decimal(decimal(text(bytes)?)?),
        ColumnType::Float => Value::Float(parse(bytes).filter(|float: &f32| float.is_finite())?),
        ColumnType::Double => {
            Value::Double(parse(bytes).filter(|double: &f64| double.is_finite())?)
        }
        ColumnType::Bit { bits: 1 } => match bytes {
            [bit @ 0..=1] => Value::UInt(u64::from(*bit)),
            _ => return None,
        },
        ColumnType::Bit { bits } => {
            let held = bytes.len() == usize::from(*bits).div_ceil(8);
            held.then_some(Value::Bytes(Cow::Borrowed(bytes)))?
        }
        ColumnType::Date => Value::Temporal(temporal(bytes, b"dddd-dd-dd", 0)?),
        ColumnType::Time { fraction } => time(bytes, *fraction)?,
        ColumnType::DateTime { fraction } => {
            Value::Temporal(temporal(bytes, b"dddd-dd-ddTdd:dd:dd", *fraction)?)
        }
        ColumnType::Timestamp { fraction } => {
            let mut text = temporal(bytes, b"dddd-dd-ddTdd:dd:dd", *fraction)?;
            text.push(b'Z').then_some(Value::Temporal(text))?
        }
        ColumnType::Text { .. } | ColumnType::Enum { .. } | ColumnType::Set { .. } => {
            Value::Text(Cow::Borrowed(text(bytes)?))
        }
        ColumnType::Json => Value::Json(Cow::Borrowed(text(bytes)?)),
        ColumnType::Binary { .. } | ColumnType::Bytes => Value::Bytes(Cow::Borrowed(bytes)),
        ColumnType::Unsupported(_) => return None,
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn parse<N: FromStr>(bytes: &[u8]) -> Option<N> {
    text(bytes)?.parse().ok()
}

/// Leaves out the zeros that ZEROFILL puts in front.
fn decimal(text: &str) -> Option<Cow<'_, str>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let zeros = whole
        .bytes()
        .take(whole.len() - 1)
        .take_while(|byte| *byte == b'0')
        .count();
    if zeros == 0 {
        return Some(Cow::Borrowed(text));
    }
    let sign = if text.len() > digits.len() { "-" } else { "" };
    Some(Cow::Owned(format!("{sign}{}", &digits[zeros..])))
}

fn time(bytes: &[u8], fraction: u8) -> Option<Value<'static>> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let shape: &[u8] = if digits.get(2) == Some(&b':') {
        b"dd:dd:dd"
    } else {
        b"ddd:dd:dd"
    };
    temporal(digits, shape, fraction)?;
    ShortText::from_ascii(bytes).map(Value::Temporal)
}

/// The text if it has the shape (`d` a digit, `T` the blank between date and time) and then exactly
/// `fraction` digits.
fn temporal(bytes: &[u8], shape: &[u8], fraction: u8) -> Option<ShortText> {
    let (main, rest) = bytes.split_at_checked(shape.len())?;
    let mut text = ShortText::new();
    for (byte, expected) in main.iter().zip(shape) {
        let pushed = match expected {
            b'd' if byte.is_ascii_digit() => text.push(*byte),
            b'T' if *byte == b' ' => text.push(b'T'),
            sign if byte == sign => text.push(*byte),
            _ => false,
        };
        if !pushed {
            return None;
        }
    }
    let digits = match rest.split_first() {
        None => &[][..],
        Some((b'.', digits)) => digits,
        Some(_) => return None,
    };
    if digits.len() != usize::from(fraction) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    rest.iter().all(|byte| text.push(*byte)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::table::Charset;

    fn json(ty: ColumnType, text: &[u8]) -> Option<String> {
        let column = ColumnDef {
            name: "c".to_owned(),
            ty,
            nullable: true,
            default: None,
        };
        let mut out = Vec::new();
        snapshot_value(&column, Some(text))
            .ok()?
            .write_json(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn text_of_the_server_becomes_the_streams_json() {
        let decimal = || ColumnType::Decimal {
            precision: 6,
            scale: 2,
        };
        let utf8 = || ColumnType::Text {
            charset: Charset::Utf8,
        };
        for (ty, text, expected) in [
            (
                ColumnType::Int {
                    bytes: 4,
                    unsigned: true,
                },
                &b"00042"[..],
                "42",
            ),
            (
                ColumnType::Int {
                    bytes: 3,
                    unsigned: false,
                },
                b"-1",
                "-1",
            ),
            (ColumnType::Year, b"0000", "0"),
            (decimal(), b"0012.30", "\"12.30\""),
            (decimal(), b"-0.50", "\"-0.50\""),
            (decimal(), b"0000.00", "\"0.00\""),
            (ColumnType::Float, b"0.10000000149011612", "0.1"),
            (ColumnType::Double, b"-0", "-0.0"),
            (ColumnType::Bit { bits: 1 }, b"\x01", "1"),
            (ColumnType::Bit { bits: 9 }, b"\x01\xff", "\"Af8=\""),
            (
                ColumnType::Time { fraction: 1 },
                b"-838:59:59.0",
                "\"-838:59:59.0\"",
            ),
            (
                ColumnType::DateTime { fraction: 0 },
                b"0000-00-00 00:00:00",
                "\"0000-00-00T00:00:00\"",
            ),
            (
                ColumnType::Timestamp { fraction: 3 },
                b"2026-01-01 00:00:00.001",
                "\"2026-01-01T00:00:00.001Z\"",
            ),
            (utf8(), b"a\"b", "\"a\\\"b\""),
        ] {
            assert_eq!(json(ty, text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn text_that_does_not_fit_its_type_is_an_error() {
        let fraction = 0;
        for (ty, text) in [
            (
                ColumnType::Int {
                    bytes: 4,
                    unsigned: true,
                },
                &b"-1"[..],
            ),
            (
                ColumnType::Decimal {
                    precision: 3,
                    scale: 1,
                },
                b"1e5",
            ),
            (ColumnType::Double, b"nan"),
            (ColumnType::Bit { bits: 9 }, b"\x01"),
            (ColumnType::DateTime { fraction }, b"2026-01-01 00:00:00.5"),
            (ColumnType::DateTime { fraction }, b"current_timestamp()"),
            (
                ColumnType::Text {
                    charset: Charset::Utf8,
                },
                b"\xff",
            ),
            (ColumnType::Unsupported("uuid".to_owned()), b"x"),
        ] {
            assert_eq!(json(ty.clone(), text), None, "{ty:?}");
        }
    }

    #[test]
    fn names_are_quoted_and_floats_multiplied() {
        let column = |ty| ColumnDef {
            name: "a`b".to_owned(),
            ty,
            nullable: true,
            default: None,
        };
        assert_eq!(select_expression(&column(ColumnType::Date)), "`a``b`");
        assert_eq!(
            select_expression(&column(ColumnType::Float)),
            "`a``b` * 1e0"
        );
    }
}
