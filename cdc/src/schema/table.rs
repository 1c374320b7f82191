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
        let ty = declared_type(column.column_type, column.charset)
            .unwrap_or_else(|| ColumnType::Unsupported(unsupported_name(column)));
        ColumnDef {
            name: column.name.to_owned(),
            ty,
            nullable: column.nullable,
            default: column.default.map(str::to_owned),
        }
    }
}

fn unsupported_name(column: &InformationSchemaColumn<'_>) -> String {
    match column.charset {
        Some(charset) => format!("{} CHARACTER SET {charset}", column.column_type),
        None => column.column_type.to_owned(),
    }
}

/// Reads a COLUMN_TYPE such as `decimal(10,2) unsigned`. Comments mark what is stored in another
/// way (`/*!100301 COMPRESSED*/`, `/* mariadb-5.3 */`): not captured.
fn declared_type(text: &str, charset: Option<&str>) -> Option<ColumnType> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = name.to_ascii_lowercase();
    if name == "enum" || name == "set" {
        Charset::of_name(charset?)?;
        let values = quoted_list(rest)?;
        return Some(if name == "enum" {
            ColumnType::Enum { values }
        } else {
            ColumnType::Set { values }
        });
    }
    if rest.contains("/*") {
        return None;
    }
    let (numbers, attributes) = match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')')?,
        None => ("", rest),
    };
    let numbers = numbers
        .split(',')
        .filter(|n| !n.is_empty())
        .map(|n| n.trim().parse().ok());
    let numbers = numbers.collect::<Option<Vec<u32>>>()?;
    let first = numbers.first().copied();
    let small = |number: Option<u32>| u8::try_from(number.unwrap_or(0)).ok();
    let unsigned = attributes
        .split(' ')
        .any(|word| word.eq_ignore_ascii_case("unsigned"));
    let int = |bytes| Some(ColumnType::Int { bytes, unsigned });
    match name.as_str() {
        "tinyint" => int(1),
        "smallint" => int(2),
        "mediumint" => int(3),
        "int" => int(4),
        "bigint" => int(8),
        "year" => Some(ColumnType::Year),
        "decimal" => Some(ColumnType::Decimal {
            precision: small(Some(first.unwrap_or(10)))?,
            scale: small(numbers.get(1).copied())?,
        }),
        "float" => Some(ColumnType::Float),
        "double" => Some(ColumnType::Double),
        "bit" => Some(ColumnType::Bit {
            bits: small(Some(first.unwrap_or(1)))?,
        }),
        "date" => Some(ColumnType::Date),
        "time" => Some(ColumnType::Time {
            fraction: small(first)?,
        }),
        "datetime" => Some(ColumnType::DateTime {
            fraction: small(first)?,
        }),
        "timestamp" => Some(ColumnType::Timestamp {
            fraction: small(first)?,
        }),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
            Some(ColumnType::Text {
                charset: Charset::of_name(charset?)?,
            })
        }
        "binary" => Some(ColumnType::Binary {
            length: u16::try_from(first.unwrap_or(1)).ok()?,
        }),
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Some(ColumnType::Bytes),
        "json" => Some(ColumnType::Json),
        _ => None,
    }
}

/// Reads `('a','b')`: a quote inside is doubled, some characters have a backslash.
fn quoted_list(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_prefix('(')?.chars().peekable();
    let mut values = Vec::new();
    loop {
        if rest.next()? != '\'' {
            return None;
        }
        let mut value = String::new();
        loop {
            match rest.next()? {
                '\'' if rest.peek() == Some(&'\'') => value.extend(rest.next()),
                '\'' => break,
                '\\' => value.push(match rest.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    '0' => '\0',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        values.push(value);
        match rest.next()? {
            ',' => {}
            ')' => return Some(values),
            _ => return None,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(column_type: &str, charset: Option<&str>) -> ColumnType {
        let row = InformationSchemaColumn {
            name: "c",
            column_type,
            charset,
            nullable: true,
            default: None,
        };
        ColumnDef::from_information_schema(&row).ty
    }

    #[test]
    fn declared_types_are_read() {
        let int = |bytes, unsigned| ColumnType::Int { bytes, unsigned };
        for (text, ty) in [
            ("tinyint(1)", int(1, false)),
            ("mediumint(8) unsigned zerofill", int(3, true)),
            ("bigint unsigned", int(8, true)),
            (
                "decimal(65,30)",
                ColumnType::Decimal {
                    precision: 65,
                    scale: 30,
                },
            ),
            (
                "decimal(10,0) unsigned",
                ColumnType::Decimal {
                    precision: 10,
                    scale: 0,
                },
            ),
            ("float(7,3) unsigned", ColumnType::Float),
            ("double", ColumnType::Double),
            ("year(4)", ColumnType::Year),
            ("bit(64)", ColumnType::Bit { bits: 64 }),
            ("time(6)", ColumnType::Time { fraction: 6 }),
            ("datetime", ColumnType::DateTime { fraction: 0 }),
            ("timestamp(3)", ColumnType::Timestamp { fraction: 3 }),
            ("binary(16)", ColumnType::Binary { length: 16 }),
            ("varbinary(9)", ColumnType::Bytes),
            ("json", ColumnType::Json),
        ] {
            assert_eq!(declared(text, None), ty, "{text}");
        }
    }

    #[test]
    fn text_needs_a_known_character_set() {
        let utf8 = ColumnType::Text {
            charset: Charset::Utf8,
        };
        assert_eq!(declared("varchar(20)", Some("utf8mb3")), utf8);
        assert_eq!(
            declared("longtext", Some("latin1")),
            ColumnType::Text {
                charset: Charset::Latin1
            }
        );
        assert_eq!(
            declared("char(4)", Some("gbk")),
            ColumnType::Unsupported("char(4) CHARACTER SET gbk".to_owned())
        );
    }

    #[test]
    fn enum_texts_lose_their_quotes() {
        assert_eq!(
            declared(r"enum('a','it''s','b,c)','x\\y','')", Some("utf8mb4")),
            ColumnType::Enum {
                values: ["a", "it's", "b,c)", r"x\y", ""]
                    .map(str::to_owned)
                    .to_vec()
            }
        );
    }

    #[test]
    fn other_types_are_unsupported_by_name() {
        for text in [
            "uuid",
            "inet6",
            "geometry",
            "vector(3)",
            "datetime(3) /* mariadb-5.3 */",
            "varchar(10) /*M!100301 COMPRESSED*/",
        ] {
            assert!(
                matches!(declared(text, Some("utf8mb4")), ColumnType::Unsupported(_)),
                "{text}"
            );
        }
    }
}
