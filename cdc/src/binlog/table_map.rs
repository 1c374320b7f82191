//! The table map event (19): which table the next rows events with its id belong to, how its
//! columns lie in a row, and with `binlog_row_metadata=FULL` what they are called and mean.
//!
//! ```text
//! table id u48 | flags u16 | database length u8, text, 0 | table length u8, text, 0 |
//! column count | a type byte per column | length, type details | NULL bitmap |
//! (field u8, length, value)... optional metadata
//! ```
//! Source: MySQL's Table_map_event class reference (both servers write the same fields).

use crate::binlog::cursor::Cursor;
use crate::binlog::error::DecodeError;
use crate::binlog::value::Stored;
use crate::schema::table::{Charset, ColumnDef, ColumnType, TableDef};

/// A table map, borrowed; [`TableMap::layout`] and [`TableMap::table_def`] read its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMap<'a> {
    /// The id that rows events name.
    pub table_id: u64,
    /// The database.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    /// Everything after the table's name; equal bytes describe equal columns.
    pub columns: &'a [u8],
    /// Whether MariaDB wrote it: the two servers count different types as text.
    mariadb: bool,
}

/// How a table's columns lie in a row image: enough to count rows, not to read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub(crate) stored: Vec<Stored>,
}

impl Layout {
    /// How many columns a row has.
    pub fn column_count(&self) -> usize {
        self.stored.len()
    }
}

/// Reads type 19.
pub(crate) fn parse(body: &[u8], mariadb: bool) -> Option<TableMap<'_>> {
    let mut cursor = Cursor::new(body);
    let table_id = cursor.uint(6)?;
    let _flags = cursor.u16()?;
    let database = read_name(&mut cursor)?;
    let table = read_name(&mut cursor)?;
    Some(TableMap {
        table_id,
        database,
        table,
        columns: cursor.rest(),
        mariadb,
    })
}

fn read_name<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    let length = usize::from(cursor.u8()?);
    let name = std::str::from_utf8(cursor.take(length)?).ok()?;
    (cursor.u8()? == 0).then_some(name)
}

impl TableMap<'_> {
    /// How its columns lie in a row.
    pub fn layout(&self) -> Result<Layout, DecodeError> {
        let fields = self.fields()?;
        Ok(Layout {
            stored: fields.stored,
        })
    }

    /// The table with its columns' names and types; needs `binlog_row_metadata=FULL`. A type that
    /// is not captured is [`ColumnType::Unsupported`].
    pub fn table_def(&self) -> Result<TableDef, DecodeError> {
        let fields = self.fields()?;
        let metadata = Metadata::read(fields.metadata, &fields.stored, self.mariadb)
            .ok_or_else(|| self.malformed("its optional metadata does not fit its columns"))?;
        let (Some(names), Some(unsigned)) = (&metadata.names, &metadata.unsigned) else {
            return Err(self.missing("the columns' names"));
        };
        let mut columns = Vec::with_capacity(fields.stored.len());
        for (at, stored) in fields.stored.iter().enumerate() {
            columns.push(ColumnDef {
                name: names[at].to_owned(),
                ty: metadata.column_type(at, stored, unsigned[at]),
                nullable: bit_low_first(fields.nullable, at),
                default: None,
            });
        }
        Ok(TableDef {
            database: self.database.to_owned(),
            table: self.table.to_owned(),
            columns,
            primary_key: metadata.primary_key,
        })
    }

    /// `database.table`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    fn fields(&self) -> Result<Fields<'_>, DecodeError> {
        read_fields(self.columns).ok_or_else(|| self.malformed("its columns do not fit its bytes"))
    }

    fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError::MalformedTableMap {
            table: self.full_name(),
            what,
        }
    }

    fn missing(&self, what: &'static str) -> DecodeError {
        DecodeError::MissingMetadata {
            table: self.full_name(),
            what,
        }
    }
}

struct Fields<'a> {
    stored: Vec<Stored>,
    /// A bit per column, lowest first.
    nullable: &'a [u8],
    metadata: &'a [u8],
}

fn read_fields(columns: &[u8]) -> Option<Fields<'_>> {
    let mut cursor = Cursor::new(columns);
    let count = cursor.length().filter(|count| *count > 0)?;
    let kinds = cursor.take(count)?;
    let mut details = Cursor::new(cursor.lenenc_bytes()?);
    let stored = kinds
        .iter()
        .map(|kind| Stored::read(*kind, &mut details))
        .collect::<Option<Vec<_>>>()?;
    if !details.is_empty() {
        return None;
    }
    let nullable = cursor.take(count.div_ceil(8))?;
    Some(Fields {
        stored,
        nullable,
        metadata: cursor.rest(),
    })
}

/// The optional metadata, spread over all columns.
#[derive(Default)]
struct Metadata<'a> {
    names: Option<Vec<&'a str>>,
    /// False for columns that are not numeric.
    unsigned: Option<Vec<bool>>,
    /// Collation ids of text columns.
    collations: Vec<Option<u64>>,
    /// Collation ids of ENUM and SET columns.
    choice_collations: Vec<Option<u64>>,
    /// Texts of ENUM and SET columns, in their charset.
    choices: Vec<Option<Vec<&'a [u8]>>>,
    primary_key: Vec<usize>,
}

mod field {
    pub(super) const SIGNEDNESS: u8 = 1;
    pub(super) const DEFAULT_CHARSET: u8 = 2;
    pub(super) const COLUMN_CHARSET: u8 = 3;
    pub(super) const COLUMN_NAME: u8 = 4;
    pub(super) const SET_STR_VALUE: u8 = 5;
    pub(super) const ENUM_STR_VALUE: u8 = 6;
    pub(super) const SIMPLE_PRIMARY_KEY: u8 = 8;
    pub(super) const PRIMARY_KEY_WITH_PREFIX: u8 = 9;
    pub(super) const CHOICE_DEFAULT_CHARSET: u8 = 10;
    pub(super) const CHOICE_COLUMN_CHARSET: u8 = 11;
}

impl<'a> Metadata<'a> {
    /// Fields that no value depends on (geometry subtypes, visibility, dimensions) and unknown ones
    /// are passed over: each tells its length.
    fn read(bytes: &'a [u8], stored: &[Stored], mariadb: bool) -> Option<Metadata<'a>> {
        let has_collation = if mariadb {
            Stored::has_collation_in_mariadb
        } else {
            Stored::has_collation_in_mysql
        };
        let count = stored.len();
        let mut metadata = Metadata {
            collations: vec![None; count],
            choice_collations: vec![None; count],
            choices: vec![None; count],
            ..Metadata::default()
        };
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let field = cursor.u8()?;
            let value = Cursor::new(cursor.lenenc_bytes()?);
            match field {
                field::SIGNEDNESS => metadata.unsigned = Some(read_signs(value, stored)?),
                field::DEFAULT_CHARSET => {
                    read_default_charset(value, stored, has_collation, &mut metadata.collations)?;
                }
                field::COLUMN_CHARSET => {
                    read_charsets(value, stored, has_collation, &mut metadata.collations)?;
                }
                field::CHOICE_DEFAULT_CHARSET => {
                    let target = &mut metadata.choice_collations;
                    read_default_charset(value, stored, Stored::is_choice, target)?;
                }
                field::CHOICE_COLUMN_CHARSET => {
                    let target = &mut metadata.choice_collations;
                    read_charsets(value, stored, Stored::is_choice, target)?;
                }
                field::COLUMN_NAME => metadata.names = Some(read_names(value, count)?),
                field::SET_STR_VALUE => {
                    read_choices(value, stored, Stored::is_set, &mut metadata.choices)?;
                }
                field::ENUM_STR_VALUE => {
                    read_choices(value, stored, Stored::is_enum, &mut metadata.choices)?;
                }
                field::SIMPLE_PRIMARY_KEY => {
                    metadata.primary_key = read_key(value, count, false)?;
                }
                field::PRIMARY_KEY_WITH_PREFIX => {
                    metadata.primary_key = read_key(value, count, true)?;
                }
                _ => {}
            }
        }
        // A table without numeric columns has no signs.
        if metadata.unsigned.is_none() && !stored.iter().any(Stored::is_numeric) {
            metadata.unsigned = Some(vec![false; count]);
        }
        Some(metadata)
    }

    fn column_type(&self, at: usize, stored: &Stored, unsigned: bool) -> ColumnType {
        let collation = if stored.is_choice() {
            self.choice_collations[at]
        } else {
            self.collations[at]
        };
        if stored.is_choice() {
            let texts = collation
                .and_then(Charset::of_collation)
                .and_then(|charset| {
                    let texts = self.choices[at].as_ref()?.iter();
                    texts
                        .map(|text| charset.decode(text).map(Into::into))
                        .collect::<Option<Vec<String>>>()
                });
            let Some(values) = texts else {
                return ColumnType::Unsupported(format!(
                    "{} in collation {}",
                    stored.name(),
                    collation.map_or_else(|| "unknown".to_owned(), |id| id.to_string())
                ));
            };
            return stored.choice_type(values);
        }
        stored.column_type(unsigned, collation)
    }
}

/// A bit per numeric column (YEAR and DECIMAL are numeric, BIT is not), highest first.
fn read_signs(value: Cursor<'_>, stored: &[Stored]) -> Option<Vec<bool>> {
    let bits = value.rest();
    let mut signs = vec![false; stored.len()];
    let numeric = (0..stored.len()).filter(|at| stored[*at].is_numeric());
    for (place, at) in numeric.enumerate() {
        signs[at] = bits.get(place / 8)? >> (7 - place % 8) & 1 == 1;
    }
    Some(signs)
}

/// One collation for all columns that match, then (place among them, collation) of the others.
fn read_default_charset(
    mut value: Cursor<'_>,
    stored: &[Stored],
    matches: fn(&Stored) -> bool,
    collations: &mut [Option<u64>],
) -> Option<()> {
    let places: Vec<usize> = (0..stored.len())
        .filter(|at| matches(&stored[*at]))
        .collect();
    let default = value.lenenc()?;
    for at in &places {
        collations[*at] = Some(default);
    }
    while !value.is_empty() {
        let place = value.length()?;
        collations[*places.get(place)?] = Some(value.lenenc()?);
    }
    Some(())
}

fn read_charsets(
    mut value: Cursor<'_>,
    stored: &[Stored],
    matches: fn(&Stored) -> bool,
    collations: &mut [Option<u64>],
) -> Option<()> {
    for (column, collation) in stored.iter().zip(collations) {
        if matches(column) {
            *collation = Some(value.lenenc()?);
        }
    }
    value.is_empty().then_some(())
}

fn read_names(mut value: Cursor<'_>, count: usize) -> Option<Vec<&str>> {
    let names = (0..count)
        .map(|_| std::str::from_utf8(value.lenenc_bytes()?).ok())
        .collect::<Option<Vec<&str>>>()?;
    value.is_empty().then_some(names)
}

fn read_choices<'a>(
    mut value: Cursor<'a>,
    stored: &[Stored],
    matches: fn(&Stored) -> bool,
    choices: &mut [Option<Vec<&'a [u8]>>],
) -> Option<()> {
    for (column, texts) in stored.iter().zip(choices) {
        if matches(column) {
            let count = value
                .length()
                .filter(|count| *count <= value.rest().len())?;
            *texts = Some(
                (0..count)
                    .map(|_| value.lenenc_bytes())
                    .collect::<Option<Vec<_>>>()?,
            );
        }
    }
    value.is_empty().then_some(())
}

/// The key's columns in key order, each followed by its prefix length where there are prefixes.
fn read_key(mut value: Cursor<'_>, count: usize, prefixes: bool) -> Option<Vec<usize>> {
    let mut key = Vec::new();
    while !value.is_empty() {
        let at = value
            .length()
            .filter(|at| *at < count && key.len() < count)?;
        key.push(at);
        if prefixes {
            value.lenenc()?;
        }
    }
    Some(key)
}

/// Bit `at` of a bitmap whose first column is the lowest bit of the first byte.
pub(crate) fn bit_low_first(bitmap: &[u8], at: usize) -> bool {
    bitmap
        .get(at / 8)
        .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}
