//! Column values in a row image.
//!
//! Two questions, two types. [`Stored`] (from the table map's type bytes): how many bytes does the
//! value have? It is known for every type of both servers, so rows of any table can be counted.
//! [`Reader`] (from the declared type): which [`Value`] do those bytes mean? It exists only for the
//! types that are captured exactly.

pub mod decimal;
pub mod temporal;

use std::borrow::Cow;

use crate::binlog::cursor::Cursor;
use crate::binlog::json;
use crate::schema::table::{Charset, ColumnType};
use crate::value::{ShortText, Value};

/// How a column lies in a row image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// 1, 2, 3, 4 or 8 bytes.
    Int { bytes: u8 },
    /// 4 bytes.
    Float,
    /// 8 bytes.
    Double,
    /// 1 byte.
    Year,
    /// Digits in groups of nine.
    Decimal { precision: u8, scale: u8 },
    /// 3 bytes.
    Date,
    /// 3 bytes, decimal digits; before MySQL 5.6.
    OldTime,
    /// 8 bytes, decimal digits; before MySQL 5.6.
    OldDateTime,
    /// 4 bytes, seconds; before MySQL 5.6.
    OldTimestamp,
    /// 3 bytes and the fraction.
    Time { fraction: u8 },
    /// 5 bytes and the fraction.
    DateTime { fraction: u8 },
    /// 4 bytes and the fraction.
    Timestamp { fraction: u8 },
    /// The bits in as many bytes as they need.
    Bit { bits: u8 },
    /// 1 or 2 bytes.
    Enum { bytes: u8 },
    /// 1 to 8 bytes.
    Set { bytes: u8 },
    /// CHAR and BINARY: a length of 1 or 2 bytes, then the value without its padding.
    Char { length: u16 },
    /// VARCHAR and VARBINARY: a length of 1 or 2 bytes, then the value.
    VarChar { length: u16 },
    /// TEXT and BLOB: a length of 1 to 4 bytes, then the value.
    Blob { length_bytes: u8 },
    /// JSON: a length of 1 to 4 bytes, then the document.
    Json { length_bytes: u8 },
    /// A length of 1 to 4 bytes, then bytes that are not captured.
    Opaque {
        length_bytes: u8,
        name: &'static str,
    },
}

/// MySQL's vectors.
const VECTOR: &str = "VECTOR";

impl Stored {
    /// Reads a type byte's details; `None` for an unknown type or impossible details.
    pub(crate) fn read(kind: u8, details: &mut Cursor<'_>) -> Option<Stored> {
        let length_bytes = |details: &mut Cursor<'_>| {
            details
                .u8()
                .filter(|length_bytes| (1..=4).contains(length_bytes))
        };
        let fraction = |details: &mut Cursor<'_>| details.u8().filter(|digits| *digits <= 6);
        Some(match kind {
            1 => Stored::Int { bytes: 1 },
            2 => Stored::Int { bytes: 2 },
            3 => Stored::Int { bytes: 4 },
            4 => details
                .u8()
                .filter(|bytes| *bytes == 4)
                .map(|_| Stored::Float)?,
            5 => details
                .u8()
                .filter(|bytes| *bytes == 8)
                .map(|_| Stored::Double)?,
            7 => Stored::OldTimestamp,
            8 => Stored::Int { bytes: 8 },
            9 => Stored::Int { bytes: 3 },
            10 | 14 => Stored::Date,
            11 => Stored::OldTime,
            12 => Stored::OldDateTime,
            13 => Stored::Year,
            15 | 253 => Stored::VarChar {
                length: details.u16()?,
            },
            16 => {
                let (bits, bytes) = (details.u8()?, details.u8()?);
                let bits = bytes.checked_mul(8)?.checked_add(bits)?;
                (bits >= 1 && bits <= 64).then_some(Stored::Bit { bits })?
            }
            17 => Stored::Timestamp {
                fraction: fraction(details)?,
            },
            18 => Stored::DateTime {
                fraction: fraction(details)?,
            },
            19 => Stored::Time {
                fraction: fraction(details)?,
            },
            140 => Stored::Opaque {
                length_bytes: length_bytes(details)?,
                name: "TEXT or BLOB COMPRESSED",
            },
            141 => {
                let length_bytes = if details.u16()? > 255 { 2 } else { 1 };
                Stored::Opaque {
                    length_bytes,
                    name: "VARCHAR or VARBINARY COMPRESSED",
                }
            }
            242 => Stored::Opaque {
                length_bytes: length_bytes(details)?,
                name: VECTOR,
            },
            245 => Stored::Json {
                length_bytes: length_bytes(details)?,
            },
            246 => {
                let (precision, scale) = (details.u8()?, details.u8()?);
                let sound = (1..=65).contains(&precision) && scale <= precision;
                sound.then_some(Stored::Decimal { precision, scale })?
            }
            249..=252 => Stored::Blob {
                length_bytes: length_bytes(details)?,
            },
            247 | 248 | 254 => Stored::read_string(kind, details)?,
            255 => Stored::Opaque {
                length_bytes: length_bytes(details)?,
                name: "GEOMETRY",
            },
            _ => return None,
        })
    }

    /// CHAR, BINARY, ENUM and SET share a type; the details' first byte tells them apart, and lends
    /// two bits (inverted) to the length of CHARs above 255 bytes.
    fn read_string(kind: u8, details: &mut Cursor<'_>) -> Option<Stored> {
        let (first, second) = (details.u8()?, details.u8()?);
        let (real, length) = if first & 0x30 == 0x30 {
            (first, u16::from(second))
        } else {
            (
                first | 0x30,
                u16::from(second) | u16::from(first & 0x30 ^ 0x30) << 4,
            )
        };
        match (real, kind) {
            (247, 247 | 254) if (1..=2).contains(&second) => Some(Stored::Enum { bytes: second }),
            (248, 248 | 254) if (1..=8).contains(&second) => Some(Stored::Set { bytes: second }),
            (254, 254) => Some(Stored::Char { length }),
            _ => None,
        }
    }

    /// Takes the value's bytes, without their length.
    pub(crate) fn take<'a>(&self, row: &mut Cursor<'a>) -> Option<&'a [u8]> {
        let length = match *self {
            Stored::Int { bytes } | Stored::Enum { bytes } | Stored::Set { bytes } => bytes.into(),
            Stored::Year => 1,
            Stored::Date | Stored::OldTime => 3,
            Stored::Float | Stored::OldTimestamp => 4,
            Stored::Double | Stored::OldDateTime => 8,
            Stored::Decimal { precision, scale } => decimal::stored_bytes(precision, scale),
            Stored::Time { fraction } => 3 + temporal::fraction_bytes(fraction),
            Stored::DateTime { fraction } => 5 + temporal::fraction_bytes(fraction),
            Stored::Timestamp { fraction } => 4 + temporal::fraction_bytes(fraction),
            Stored::Bit { bits } => usize::from(bits).div_ceil(8),
            Stored::Char { length } | Stored::VarChar { length } => row
                .uint(if length > 255 { 2 } else { 1 })
                .and_then(|n| usize::try_from(n).ok())?,
            Stored::Blob { length_bytes }
            | Stored::Json { length_bytes }
            | Stored::Opaque { length_bytes, .. } => row
                .uint(length_bytes.into())
                .and_then(|n| usize::try_from(n).ok())?,
        };
        row.take(length)
    }

    /// Whether the signedness bitmap has a bit for it.
    pub(crate) fn is_numeric(&self) -> bool {
        matches!(
            self,
            Stored::Int { .. }
                | Stored::Float
                | Stored::Double
                | Stored::Year
                | Stored::Decimal { .. }
        )
    }

    /// Whether MySQL's column character sets name it.
    pub(crate) fn has_collation_in_mysql(&self) -> bool {
        self.is_text() || matches!(self, Stored::Opaque { name: VECTOR, .. })
    }

    /// Whether MariaDB's column character sets name it.
    pub(crate) fn has_collation_in_mariadb(&self) -> bool {
        self.is_text() || matches!(self, Stored::Opaque { .. })
    }

    /// CHAR, VARCHAR, TEXT and their binary forms.
    pub(crate) fn is_text(&self) -> bool {
        matches!(
            self,
            Stored::Char { .. } | Stored::VarChar { .. } | Stored::Blob { .. }
        )
    }

    pub(crate) fn is_enum(&self) -> bool {
        matches!(self, Stored::Enum { .. })
    }

    pub(crate) fn is_set(&self) -> bool {
        matches!(self, Stored::Set { .. })
    }

    pub(crate) fn is_choice(&self) -> bool {
        self.is_enum() || self.is_set()
    }

    /// ENUM or SET with its texts.
    pub(crate) fn choice_type(&self, values: Vec<String>) -> ColumnType {
        if self.is_enum() {
            ColumnType::Enum { values }
        } else {
            ColumnType::Set { values }
        }
    }

    /// The declared type as far as the table map tells it; ENUM and SET are the caller's.
    pub(crate) fn column_type(&self, unsigned: bool, collation: Option<u64>) -> ColumnType {
        match *self {
            Stored::Int { bytes } => ColumnType::Int { bytes, unsigned },
            Stored::Float => ColumnType::Float,
            Stored::Double => ColumnType::Double,
            Stored::Year => ColumnType::Year,
            Stored::Decimal { precision, scale } => ColumnType::Decimal { precision, scale },
            Stored::Date => ColumnType::Date,
            Stored::OldTime => ColumnType::Time { fraction: 0 },
            Stored::OldDateTime => ColumnType::DateTime { fraction: 0 },
            Stored::OldTimestamp => ColumnType::Timestamp { fraction: 0 },
            Stored::Time { fraction } => ColumnType::Time { fraction },
            Stored::DateTime { fraction } => ColumnType::DateTime { fraction },
            Stored::Timestamp { fraction } => ColumnType::Timestamp { fraction },
            Stored::Bit { bits } => ColumnType::Bit { bits },
            Stored::Json { .. } => ColumnType::Json,
            Stored::Char { .. } | Stored::VarChar { .. } | Stored::Blob { .. } => {
                self.text_type(collation)
            }
            Stored::Enum { .. } | Stored::Set { .. } | Stored::Opaque { .. } => {
                ColumnType::Unsupported(self.name().to_owned())
            }
        }
    }

    fn text_type(&self, collation: Option<u64>) -> ColumnType {
        match (collation, *self) {
            (Some(Charset::BINARY_COLLATION), Stored::Char { length }) => {
                ColumnType::Binary { length }
            }
            (Some(Charset::BINARY_COLLATION), _) => ColumnType::Bytes,
            (Some(id), _) => match Charset::of_collation(id) {
                Some(charset) => ColumnType::Text { charset },
                None => ColumnType::Unsupported(format!("{} in collation {id}", self.name())),
            },
            (None, _) => ColumnType::Unsupported(format!("{} in unknown collation", self.name())),
        }
    }

    /// The type in the servers' words, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Stored::Int { .. } => "INT",
            Stored::Float => "FLOAT",
            Stored::Double => "DOUBLE",
            Stored::Year => "YEAR",
            Stored::Decimal { .. } => "DECIMAL",
            Stored::Date => "DATE",
            Stored::OldTime | Stored::Time { .. } => "TIME",
            Stored::OldDateTime | Stored::DateTime { .. } => "DATETIME",
            Stored::OldTimestamp | Stored::Timestamp { .. } => "TIMESTAMP",
            Stored::Bit { .. } => "BIT",
            Stored::Enum { .. } => "ENUM",
            Stored::Set { .. } => "SET",
            Stored::Char { .. } => "CHAR",
            Stored::VarChar { .. } => "VARCHAR",
            Stored::Blob { .. } => "TEXT",
            Stored::Json { .. } => "JSON",
            Stored::Opaque { name, .. } => name,
        }
    }
}

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
