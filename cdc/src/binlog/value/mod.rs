//! Column values in a row image.
//!
//! Two questions, two types. [`Stored`] (from the table map's type bytes): how many bytes does the
//! value have? It is known for every type of both servers, so rows of any table can be counted.
//! [`Reader`] (from the declared type): which [`crate::value::Value`] do those bytes mean? It exists only for the
//! types that are captured exactly.

pub(crate) mod decimal;
mod reader;
pub(crate) mod temporal;

pub(crate) use reader::Reader;

use crate::binlog::cursor::Cursor;
use crate::schema::table::{Charset, ColumnType};

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
                (1..=64).contains(&bits).then_some(Stored::Bit { bits })?
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
            _ => Stored::read_opaque(kind, details)?,
        })
    }

    /// Types whose values are not read: only their length is known.
    fn read_opaque(kind: u8, details: &mut Cursor<'_>) -> Option<Stored> {
        let (length_bytes, name) = match kind {
            140 => (details.u8()?, "TEXT or BLOB COMPRESSED"),
            141 => (
                if details.u16()? > 255 { 2 } else { 1 },
                "VARCHAR or VARBINARY COMPRESSED",
            ),
            242 => (details.u8()?, VECTOR),
            255 => (details.u8()?, "GEOMETRY"),
            _ => return None,
        };
        (1..=4)
            .contains(&length_bytes)
            .then_some(Stored::Opaque { length_bytes, name })
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
