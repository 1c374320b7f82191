//! A table's columns and primary key, as the stream's table maps and `information_schema` both
//! describe them.
//!
//! Two readers fill it: [`crate::binlog::rows::Plan`] from a table map with
//! `binlog_row_metadata=FULL`, and the snapshot's inspection from one `information_schema.COLUMNS`
//! row per column ([`ColumnDef::from_information_schema`]). The table map lacks three things the
//! other has (MariaDB's UUID and INET types, defaults), so a plan takes the inspected table too.

pub use crate::schema::charset::Charset;

/// A table with its columns in ordinal order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDef {
    /// Its database, as the server writes it.
    pub database: String,
    /// Its name, as the server writes it.
    pub table: String,
    /// Every column in ordinal order, invisible ones too.
    pub columns: Vec<ColumnDef>,
    /// Places in `columns` of the primary key's parts, in key order; empty without a key.
    pub primary_key: Vec<usize>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    /// Its name, as the server writes it.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// The default's text as `information_schema` shows it; `None` without one, and always from a table map.
    pub default: Option<String>,
}

/// The declared type, as far as values depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// TINYINT, SMALLINT, MEDIUMINT, INT, BIGINT: 1, 2, 3, 4 or 8 bytes.
    Int {
        /// Width in bytes.
        bytes: u8,
        /// Whether values are 0 and up.
        unsigned: bool,
    },
    /// YEAR: 0 or 1901 to 2155.
    Year,
    /// DECIMAL(precision, scale).
    Decimal {
        /// All digits, 1 to 65.
        precision: u8,
        /// Digits after the point, 0 to 38.
        scale: u8,
    },
    /// FLOAT, 4 bytes.
    Float,
    /// DOUBLE, 8 bytes.
    Double,
    /// BIT(bits), 1 to 64.
    Bit {
        /// How many bits.
        bits: u8,
    },
    /// DATE.
    Date,
    /// TIME(fraction).
    Time {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// DATETIME(fraction).
    DateTime {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// TIMESTAMP(fraction).
    Timestamp {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// CHAR, VARCHAR, TINYTEXT to LONGTEXT (MariaDB's JSON is one).
    Text {
        /// How its bytes read.
        charset: Charset,
    },
    /// BINARY(length): values shorter than it are padded with zero bytes.
    Binary {
        /// Its length in bytes.
        length: u16,
    },
    /// VARBINARY, TINYBLOB to LONGBLOB.
    Bytes,
    /// ENUM, with its texts from value 1 on.
    Enum {
        /// The texts.
        values: Vec<String>,
    },
    /// SET, with its texts from bit 0 on.
    Set {
        /// The texts.
        values: Vec<String>,
    },
    /// MySQL's JSON.
    Json,
    /// A type that is not captured yet, as the server names it; a plan with it is refused.
    Unsupported(String),
}

/// A row of `information_schema.COLUMNS`, as far as it is needed.
#[derive(Debug, Clone, Copy)]
pub struct InformationSchemaColumn<'a> {
    /// COLUMN_NAME.
    pub name: &'a str,
    /// COLUMN_TYPE, such as `decimal(10,2) unsigned` or `enum('a','b')`.
    pub column_type: &'a str,
    /// CHARACTER_SET_NAME, NULL for types without one.
    pub charset: Option<&'a str>,
    /// IS_NULLABLE = 'YES'.
    pub nullable: bool,
    /// COLUMN_DEFAULT.
    pub default: Option<&'a str>,
}

impl ColumnDef {
    /// The column one `information_schema.COLUMNS` row describes; an unknown type becomes
    /// [`ColumnType::Unsupported`], never an error.
    pub fn from_information_schema(column: &InformationSchemaColumn<'_>) -> ColumnDef {
        ColumnDef {
            name: column.name.to_owned(),
            ty: ColumnType::Unsupported(column.column_type.to_owned()),
            nullable: column.nullable,
            default: column.default.map(str::to_owned),
        }
    }
}

impl TableDef {
    /// The first column whose type is not captured yet, for the precheck that refuses the table.
    pub fn unsupported(&self) -> Option<&ColumnDef> {
        self.columns
            .iter()
            .find(|column| matches!(column.ty, ColumnType::Unsupported(_)))
    }
}
