//! What a column's bytes mean: one reader per captured type.

use std::borrow::Cow;

use super::{Stored, decimal, temporal};
use crate::binlog::cursor::Cursor;
use crate::binlog::json;
use crate::schema::table::{Charset, ColumnType};
use crate::value::{ShortText, Value};

/// What a column's bytes mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reader {
    Signed,
    Unsigned,
    Float,
    Double,
    Year,
    Decimal { precision: u8, scale: u8 },
    Date,
    OldTime,
    OldDateTime,
    OldTimestamp,
    Time { fraction: u8 },
    DateTime { fraction: u8 },
    Timestamp { fraction: u8 },
    Bit { bits: u8 },
    Enum { values: Vec<String> },
    Set { values: Vec<String> },
    Text { charset: Charset },
    Binary { length: usize },
    Bytes,
    Json,
}

impl Reader {
    /// The reader of a declared type over its storage; `None` if the type is not captured or the
    /// two do not belong together.
    pub(crate) fn new(stored: &Stored, ty: &ColumnType) -> Option<Reader> {
        Some(match (ty, *stored) {
            (
                ColumnType::Int {
                    unsigned: false, ..
                },
                Stored::Int { .. },
            ) => Reader::Signed,
            (ColumnType::Int { unsigned: true, .. }, Stored::Int { .. }) => Reader::Unsigned,
            (ColumnType::Year, Stored::Year) => Reader::Year,
            (ColumnType::Decimal { .. }, Stored::Decimal { precision, scale }) => {
                Reader::Decimal { precision, scale }
            }
            (ColumnType::Float, Stored::Float) => Reader::Float,
            (ColumnType::Double, Stored::Double) => Reader::Double,
            (ColumnType::Bit { .. }, Stored::Bit { bits }) => Reader::Bit { bits },
            (ColumnType::Date, Stored::Date) => Reader::Date,
            (ColumnType::Time { .. }, Stored::Time { fraction }) => Reader::Time { fraction },
            (ColumnType::Time { fraction: 0 }, Stored::OldTime) => Reader::OldTime,
            (ColumnType::DateTime { .. }, Stored::DateTime { fraction }) => {
                Reader::DateTime { fraction }
            }
            (ColumnType::DateTime { fraction: 0 }, Stored::OldDateTime) => Reader::OldDateTime,
            (ColumnType::Timestamp { .. }, Stored::Timestamp { fraction }) => {
                Reader::Timestamp { fraction }
            }
            (ColumnType::Timestamp { fraction: 0 }, Stored::OldTimestamp) => Reader::OldTimestamp,
            (ColumnType::Text { charset }, stored) if stored.is_text() => {
                Reader::Text { charset: *charset }
            }
            (ColumnType::Binary { .. }, Stored::Char { length }) => Reader::Binary {
                length: length.into(),
            },
            (ColumnType::Bytes, stored) if stored.is_text() => Reader::Bytes,
            (ColumnType::Enum { values }, Stored::Enum { .. }) => Reader::Enum {
                values: values.clone(),
            },
            (ColumnType::Set { values }, Stored::Set { .. }) => Reader::Set {
                values: values.clone(),
            },
            (ColumnType::Json, Stored::Json { .. }) => Reader::Json,
            _ => return None,
        })
    }

    /// The value of `bytes`, as [`Stored::take`] gave them; an error says what is wrong with them.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8]) -> Result<Value<'a>, &'static str> {
        const LENGTH: &str = "the value's length is impossible";
        let temporal = |text: Option<ShortText>| {
            text.map(Value::Temporal)
                .ok_or("not a date or time the server can hold")
        };
        match self {
            Reader::Signed => signed(bytes).map(Value::Int).ok_or(LENGTH),
            Reader::Unsigned => unsigned(bytes).map(Value::UInt).ok_or(LENGTH),
            Reader::Float => {
                let float = f32::from_le_bytes(bytes.try_into().map_err(|_| LENGTH)?);
                float
                    .is_finite()
                    .then_some(Value::Float(float))
                    .ok_or("not a finite number")
            }
            Reader::Double => {
                let double = f64::from_le_bytes(bytes.try_into().map_err(|_| LENGTH)?);
                double
                    .is_finite()
                    .then_some(Value::Double(double))
                    .ok_or("not a finite number")
            }
            Reader::Year => match *bytes {
                [0] => Ok(Value::UInt(0)),
                [years] => Ok(Value::UInt(1900 + u64::from(years))),
                _ => Err(LENGTH),
            },
            Reader::Decimal { precision, scale } => decimal::read(bytes, *precision, *scale)
                .map(|text| Value::Decimal(Cow::Owned(text)))
                .ok_or("not a decimal number"),
            Reader::Date => temporal(temporal::date(bytes)),
            Reader::OldTime => temporal(temporal::old_time(bytes)),
            Reader::OldDateTime => temporal(temporal::old_datetime(bytes)),
            Reader::OldTimestamp => temporal(temporal::old_timestamp(bytes)),
            Reader::Time { fraction } => temporal(temporal::time(bytes, *fraction)),
            Reader::DateTime { fraction } => temporal(temporal::datetime(bytes, *fraction)),
            Reader::Timestamp { fraction } => temporal(temporal::timestamp(bytes, *fraction)),
            Reader::Bit { bits: 1 } => match *bytes {
                [bit @ 0..=1] => Ok(Value::UInt(bit.into())),
                _ => Err("a BIT(1) is 0 or 1"),
            },
            Reader::Bit { .. } | Reader::Bytes => Ok(Value::Bytes(Cow::Borrowed(bytes))),
            Reader::Enum { values } => read_enum(bytes, values),
            Reader::Set { values } => read_set(bytes, values),
            Reader::Text { charset } => charset
                .decode(bytes)
                .map(Value::Text)
                .ok_or(charset.wrong_bytes()),
            Reader::Binary { length } => pad(bytes, *length),
            Reader::Json => json::to_text(bytes)
                .map(|text| Value::Json(Cow::Owned(text)))
                .ok_or("not a JSON document"),
        }
    }
}

/// A little-endian two's complement number of 1 to 8 bytes.
fn signed(bytes: &[u8]) -> Option<i64> {
    let unused_bits = 64 - 8 * u32::try_from(bytes.len()).ok()?;
    Some(
        unsigned(bytes)?
            .wrapping_shl(unused_bits)
            .cast_signed()
            .wrapping_shr(unused_bits),
    )
}

fn unsigned(bytes: &[u8]) -> Option<u64> {
    (!bytes.is_empty())
        .then(|| Cursor::new(bytes).uint(bytes.len()))
        .flatten()
}

/// Value 0 is the empty text of an invalid value; the first text is value 1.
fn read_enum(bytes: &[u8], values: &[String]) -> Result<Value<'static>, &'static str> {
    let number = unsigned(bytes).and_then(|number| usize::try_from(number).ok());
    let text = match number.ok_or("the value's length is impossible")? {
        0 => String::new(),
        number => values
            .get(number - 1)
            .ok_or("not a value of the ENUM")?
            .clone(),
    };
    Ok(Value::Text(Cow::Owned(text)))
}

/// The texts of the set bits, lowest first, with commas.
fn read_set(bytes: &[u8], values: &[String]) -> Result<Value<'static>, &'static str> {
    let bits = unsigned(bytes).ok_or("the value's length is impossible")?;
    if values.len() < 64 && bits >> values.len() != 0 {
        return Err("not a value of the SET");
    }
    let mut text = String::new();
    for (at, value) in values.iter().enumerate().take(64) {
        if bits >> at & 1 == 1 {
            if bits & ((1 << at) - 1) != 0 {
                text.push(',');
            }
            text.push_str(value);
        }
    }
    Ok(Value::Text(Cow::Owned(text)))
}

/// The zero bytes that the row leaves off a BINARY(length) are put back.
fn pad(bytes: &[u8], length: usize) -> Result<Value<'_>, &'static str> {
    match bytes.len() {
        held if held == length => Ok(Value::Bytes(Cow::Borrowed(bytes))),
        held if held < length => {
            let mut padded = bytes.to_vec();
            padded.resize(length, 0);
            Ok(Value::Bytes(Cow::Owned(padded)))
        }
        _ => Err("longer than its column"),
    }
}
