//! Rows events: which table, which columns, and the rows themselves.
//!
//! ```text
//! table id u48 | flags u16 | version 2 only: extra length u16 (itself included), extra |
//! column count | columns-present bitmap (updates: one before, one after) |
//! rows: NULL bitmap, then each value that is not NULL (updates: before, then after)
//! ```
//! A [`Plan`] is made once per table map and reads every row of it with borrowed values; a row
//! consumes at least one byte, so reading ends. Events whose bitmaps are not full are refused.
//!
//! Source: MySQL's Rows_event class reference.

use crate::binlog::cursor::Cursor;
use crate::binlog::error::DecodeError;
use crate::binlog::event::EventHeader;
use crate::binlog::table_map::{Layout, TableMap, bit_low_first};
use crate::binlog::value::{Reader, Stored};
use crate::schema::table::{ColumnType, TableDef};
use crate::value::Value;

/// What happened to the rows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKind {
    /// They were inserted.
    Write,
    /// They were changed.
    Update,
    /// They were deleted.
    Delete,
}

/// A rows event, its rows still bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    /// The id of the table map before it.
    pub table_id: u64,
    /// What happened.
    pub kind: RowsKind,
    /// Whether it is the last rows event of its statement.
    pub end_of_statement: bool,
    column_count: usize,
    /// Whether every column is in every row.
    full: bool,
    rows: &'a [u8],
}

/// One changed row, its columns in ordinal order.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChange<'a> {
    /// The row before an update or delete.
    pub before: Option<Vec<Value<'a>>>,
    /// The row after a write or update.
    pub after: Option<Vec<Value<'a>>>,
}

/// The flag of the last rows event of a statement.
const END_OF_STATEMENT: u16 = 1;

/// Reads types 23 to 25 (version 1) and 30 to 32 (version 2).
pub(crate) fn parse(kind: u8, body: &[u8]) -> Option<RowsEvent<'_>> {
    let mut cursor = Cursor::new(body);
    let table_id = cursor.uint(6)?;
    let flags = cursor.u16()?;
    if kind >= 30 {
        let extra = usize::from(cursor.u16()?).checked_sub(2)?;
        cursor.take(extra)?;
    }
    let kind = match kind {
        23 | 30 => RowsKind::Write,
        24 | 31 => RowsKind::Update,
        25 | 32 => RowsKind::Delete,
        _ => return None,
    };
    let column_count = cursor.length()?;
    let mut full = is_full(cursor.take(column_count.div_ceil(8))?, column_count);
    if kind == RowsKind::Update {
        full &= is_full(cursor.take(column_count.div_ceil(8))?, column_count);
    }
    let end_of_statement = flags & END_OF_STATEMENT != 0;
    let rows = cursor.rest();
    Some(RowsEvent {
        table_id,
        kind,
        end_of_statement,
        column_count,
        full,
        rows,
    })
}

fn is_full(bitmap: &[u8], count: usize) -> bool {
    count > 0 && (0..count).all(|at| bit_low_first(bitmap, at))
}

impl<'a> RowsEvent<'a> {
    /// The rows, read by the plan of the table map with this event's table id.
    pub fn rows<'p>(
        &self,
        header: &EventHeader,
        plan: &'p Plan,
    ) -> Result<Rows<'p, 'a>, DecodeError> {
        if self.column_count != plan.columns.len() {
            return Err(malformed(
                header,
                "its columns are not those of its table map",
            ));
        }
        if !self.full {
            let table = plan.full_name();
            return Err(DecodeError::PartialImage {
                table,
                log_pos: header.log_pos,
            });
        }
        let rest = Cursor::new(self.rows);
        Ok(Rows {
            plan,
            kind: self.kind,
            header: *header,
            rest,
            failed: false,
        })
    }

    /// How many rows it changes, for tables whose values are not wanted: works for every type of
    /// both servers and needs no metadata.
    pub fn count(&self, header: &EventHeader, layout: &Layout) -> Result<u64, DecodeError> {
        if self.column_count != layout.stored.len() {
            return Err(malformed(
                header,
                "its columns are not those of its table map",
            ));
        }
        if !self.full {
            let table = format!("table id {}", self.table_id);
            return Err(DecodeError::PartialImage {
                table,
                log_pos: header.log_pos,
            });
        }
        let images = if self.kind == RowsKind::Update { 2 } else { 1 };
        let mut rest = Cursor::new(self.rows);
        let mut count = 0;
        while !rest.is_empty() {
            for _ in 0..images {
                skip_image(&mut rest, &layout.stored)
                    .ok_or_else(|| malformed(header, "its rows do not fit its bytes"))?;
            }
            count += 1;
        }
        Ok(count)
    }
}

fn skip_image(rest: &mut Cursor<'_>, stored: &[Stored]) -> Option<()> {
    let nulls = rest.take(stored.len().div_ceil(8))?;
    for (at, stored) in stored.iter().enumerate() {
        if !bit_low_first(nulls, at) {
            stored.take(rest)?;
        }
    }
    Some(())
}

fn malformed(header: &EventHeader, what: &'static str) -> DecodeError {
    DecodeError::Malformed {
        kind: header.kind,
        log_pos: header.log_pos,
        what,
    }
}

/// How to read the rows of one table map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    table: TableDef,
    columns: Vec<PlanColumn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PlanColumn {
    stored: Stored,
    reader: Reader,
}

impl Plan {
    /// The plan of a table map. `inspected` is the table in `information_schema`, which may be newer
    /// than the map; it is asked only for what a table map cannot tell: defaults, that a BINARY is
    /// really MariaDB's UUID, INET4 or INET6, and that an old temporal form has fractions.
    pub fn new(map: &TableMap<'_>, inspected: Option<&TableDef>) -> Result<Plan, DecodeError> {
        let layout = map.layout()?;
        let mut table = map.table_def()?;
        let mut columns = Vec::with_capacity(layout.stored.len());
        for (column, stored) in table.columns.iter_mut().zip(layout.stored) {
            let known = inspected
                .and_then(|table| table.columns.iter().find(|known| known.name == column.name));
            if let Some(known) = known {
                column.default.clone_from(&known.default);
                if matches!(known.ty, ColumnType::Unsupported(_)) {
                    column.ty = known.ty.clone();
                }
            }
            let Some(reader) = Reader::new(&stored, &column.ty) else {
                let ty = match &column.ty {
                    ColumnType::Unsupported(name) => name.clone(),
                    _ => stored.name().to_owned(),
                };
                let column = column.name.clone();
                return Err(DecodeError::UnsupportedColumn {
                    table: map.full_name(),
                    column,
                    ty,
                });
            };
            columns.push(PlanColumn { stored, reader });
        }
        Ok(Plan { table, columns })
    }

    /// The table as its map describes it.
    pub fn table(&self) -> &TableDef {
        &self.table
    }

    fn full_name(&self) -> String {
        format!("{}.{}", self.table.database, self.table.table)
    }
}

/// Iterates over the rows of an event; ends after the first error.
#[derive(Debug, Clone)]
pub struct Rows<'p, 'a> {
    plan: &'p Plan,
    kind: RowsKind,
    header: EventHeader,
    rest: Cursor<'a>,
    failed: bool,
}

impl<'a> Rows<'_, 'a> {
    /// Reads over the next `count` rows without making values; gives how many there were.
    pub fn skip_rows(&mut self, count: u64) -> Result<u64, DecodeError> {
        let images = if self.kind == RowsKind::Update { 2 } else { 1 };
        let mut skipped = 0;
        while skipped < count && !self.failed && !self.rest.is_empty() {
            for _ in 0..images {
                self.skip_image().inspect_err(|_| self.failed = true)?;
            }
            skipped += 1;
        }
        Ok(skipped)
    }

    fn skip_image(&mut self) -> Result<(), DecodeError> {
        let short = malformed(&self.header, "its rows do not fit its bytes");
        let columns = &self.plan.columns;
        let nulls = self
            .rest
            .take(columns.len().div_ceil(8))
            .ok_or_else(|| short.clone())?;
        for (at, column) in columns.iter().enumerate() {
            if !bit_low_first(nulls, at) {
                column
                    .stored
                    .take(&mut self.rest)
                    .ok_or_else(|| short.clone())?;
            }
        }
        Ok(())
    }

    fn change(&mut self) -> Result<RowChange<'a>, DecodeError> {
        let before = if self.kind == RowsKind::Write {
            None
        } else {
            Some(self.image()?)
        };
        let after = if self.kind == RowsKind::Delete {
            None
        } else {
            Some(self.image()?)
        };
        Ok(RowChange { before, after })
    }

    fn image(&mut self) -> Result<Vec<Value<'a>>, DecodeError> {
        let columns = &self.plan.columns;
        let short = "its rows do not fit its bytes";
        let nulls = self
            .rest
            .take(columns.len().div_ceil(8))
            .ok_or_else(|| malformed(&self.header, short))?;
        let mut values = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            if bit_low_first(nulls, at) {
                values.push(Value::Null);
                continue;
            }
            let bytes = column
                .stored
                .take(&mut self.rest)
                .ok_or_else(|| malformed(&self.header, short))?;
            let value = column
                .reader
                .read(bytes)
                .map_err(|reason| DecodeError::Value {
                    table: self.plan.full_name(),
                    column: self.plan.table.columns[at].name.clone(),
                    reason: reason.to_owned(),
                })?;
            values.push(value);
        }
        Ok(values)
    }
}

impl<'a> Iterator for Rows<'_, 'a> {
    type Item = Result<RowChange<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let change = self.change();
        self.failed = change.is_err();
        Some(change)
    }
}
