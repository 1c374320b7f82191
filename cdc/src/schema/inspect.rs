//! What `information_schema` says about a captured table, and what it says about our right to
//! capture it: kind, engine, primary key, types, foreign keys.

use headrace_clients::change::{Column, ColumnType as PlainType, Schema};

use crate::config::TableName;
use crate::connection::{Connection, Dialect, TextRow};
use crate::error::SourceError;
use crate::precheck::quote_account;
use crate::schema::select::{quote_name, snapshot_value};
use crate::schema::table::{ColumnDef, ColumnType, InformationSchemaColumn, TableDef};
use crate::value::Value;

/// From this version on MySQL logs the rows that a foreign key changes.
const CASCADES_LOGGED_FROM: (u16, u16, u16) = (9, 6, 0);

/// Reads one table as it is now; refuses by name what cannot be captured.
pub async fn inspect(
    connection: &mut Connection,
    name: &TableName,
) -> Result<TableDef, SourceError> {
    let filter = filter(name);
    let tables = connection.rows(&format!("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE {filter}")).await?;
    let Some(found) = tables.first() else {
        return Err(unseen(connection, name).await?);
    };
    check_kind(connection, name, found)?;
    // the right to read it, in the server's own words
    connection
        .execute(&format!(
            "SELECT 1 FROM {}.{} LIMIT 0",
            quote_name(&name.database),
            quote_name(&name.table)
        ))
        .await
        .map_err(|error| explain_select(error, name))?;
    let table = read_columns(connection, name).await?;
    if table.primary_key.is_empty() {
        return Err(no_primary_key(name));
    }
    if let Some(column) = table.unsupported()
        && let ColumnType::Unsupported(ty) = &column.ty
    {
        return Err(SourceError::definite(
            "unsupported-type",
            format!(
                "column {} of table {name} has the type {ty}, which is not captured yet",
                column.name
            ),
            "take the table out of tables",
        ));
    }
    Ok(table)
}

/// A table without a primary key has no key for its records.
pub fn no_primary_key(name: &TableName) -> SourceError {
    SourceError::definite(
        "no-primary-key",
        format!("table {name} has no primary key"),
        format!(
            "ALTER TABLE {}.{} ADD PRIMARY KEY (…); or take it out of tables",
            quote_name(&name.database),
            quote_name(&name.table)
        ),
    )
}

/// The columns and primary key of a table as they are now; none if it does not exist any more.
pub async fn read_columns(
    connection: &mut Connection,
    name: &TableName,
) -> Result<TableDef, SourceError> {
    let filter = filter(name);
    let columns = connection
        .rows(&format!("SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE, COLUMN_DEFAULT, EXTRA FROM information_schema.COLUMNS WHERE {filter} ORDER BY ORDINAL_POSITION"))
        .await?;
    let key = connection.rows(&format!("SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE {filter} AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX")).await?;
    let dialect = connection.dialect;
    let columns: Vec<ColumnDef> = columns.iter().map(|row| column(dialect, row)).collect();
    let key_names = key.iter().filter_map(|row| row.first()?.as_deref());
    let primary_key = key_names
        .filter_map(|key| columns.iter().position(|column| column.name == key))
        .collect();
    Ok(TableDef {
        database: name.database.clone(),
        table: name.table.clone(),
        columns,
        primary_key,
    })
}

fn filter(name: &TableName) -> String {
    format!(
        "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        quote_text(&name.database),
        quote_text(&name.table)
    )
}

/// The columns of the primary key, in key order.
pub fn key_names(table: &TableDef) -> Vec<String> {
    table
        .primary_key
        .iter()
        .map(|&at| table.columns[at].name.clone())
        .collect()
}

/// A table that is not there, or hidden from us.
async fn unseen(connection: &mut Connection, name: &TableName) -> Result<SourceError, SourceError> {
    let account = connection.value("SELECT CURRENT_USER()").await?;
    Ok(SourceError::definite(
        "unknown-table",
        format!("table {name} does not exist on the server, or we may not see it"),
        format!(
            "check tables = [\"database.table\"]; if the table is there: GRANT SELECT ON {}.{} TO {};",
            quote_name(&name.database),
            quote_name(&name.table),
            quote_account(&account.unwrap_or_default())
        ),
    ))
}

fn check_kind(connection: &Connection, name: &TableName, row: &TextRow) -> Result<(), SourceError> {
    let text = |row: &TextRow, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let (database, table) = (text(row, 0), text(row, 1));
    if (database.as_str(), table.as_str()) != (name.database.as_str(), name.table.as_str()) {
        return Err(SourceError::definite(
            "unknown-table",
            format!("the server writes table {name} as {database}.{table}"),
            format!("write \"{database}.{table}\" in tables"),
        ));
    }
    let kind = text(row, 2);
    if kind != "BASE TABLE" {
        return Err(SourceError::definite(
            "not-a-table",
            format!("{name} is a {kind}"),
            "only plain tables are captured; take it out of tables",
        ));
    }
    let engine = text(row, 3);
    if !matches!(engine.to_ascii_uppercase().as_str(), "INNODB" | "ROCKSDB") {
        let how = if connection.dialect == Dialect::Mariadb {
            "InnoDB or RocksDB"
        } else {
            "InnoDB"
        };
        return Err(SourceError::definite(
            "engine-without-transactions",
            format!(
                "table {name} has the engine {engine}, which cannot give a consistent snapshot"
            ),
            format!(
                "ALTER TABLE {}.{} ENGINE = InnoDB; ({how} tables are captured)",
                quote_name(&name.database),
                quote_name(&name.table)
            ),
        ));
    }
    Ok(())
}

fn explain_select(error: SourceError, name: &TableName) -> SourceError {
    match error {
        SourceError::Definite(mut problem) if problem.code == "missing-privilege" => {
            problem.hint = format!(
                "GRANT SELECT ON {}.{} TO our user",
                quote_name(&name.database),
                quote_name(&name.table)
            );
            SourceError::Definite(problem)
        }
        other => other,
    }
}

fn column(dialect: Dialect, row: &TextRow) -> ColumnDef {
    let text = |at: usize| row.get(at).and_then(Option::as_deref);
    let generated = text(5).is_some_and(|extra| extra.to_ascii_uppercase().contains("GENERATED"));
    let default = match dialect {
        // DEFAULT_GENERATED is an expression; the columns that are themselves generated have none
        _ if generated => None,
        Dialect::Mysql => text(4).map(str::to_owned),
        Dialect::Mariadb => text(4).and_then(mariadb_literal),
    };
    ColumnDef::from_information_schema(&InformationSchemaColumn {
        name: text(0).unwrap_or_default(),
        column_type: text(1).unwrap_or_default(),
        charset: text(2),
        nullable: text(3) == Some("YES"),
        default: default.as_deref(),
    })
}

/// MariaDB shows a default as SQL: the literal's value, or `None` for NULL and expressions.
fn mariadb_literal(sql: &str) -> Option<String> {
    if let Some(quoted) = sql
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        return Some(unescape(quoted));
    }
    let number =
        sql.parse::<f64>().is_ok() && sql.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    number.then(|| sql.to_owned())
}

fn unescape(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => text.extend(characters.next()),
            '\\' => text.extend(characters.next().map(|escaped| match escaped {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                other => other,
            })),
            other => text.push(other),
        }
    }
    text
}

/// The schema that goes with a table's records.
pub fn schema_of(table: &TableDef) -> Schema {
    let columns = table.columns.iter().enumerate().map(|(at, column)| Column {
        name: column.name.clone(),
        ty: plain_type(&column.ty),
        key: table
            .primary_key
            .iter()
            .position(|&key| key == at)
            .and_then(|place| u32::try_from(place + 1).ok()),
        nullable: column.nullable,
        default: column
            .default
            .as_deref()
            .and_then(|text| default_text(column, text)),
    });
    Schema {
        columns: columns.collect(),
    }
}

fn plain_type(ty: &ColumnType) -> PlainType {
    match ty {
        ColumnType::Int {
            unsigned: false, ..
        } => PlainType::Int,
        ColumnType::Int { unsigned: true, .. } => PlainType::UInt,
        ColumnType::Year => PlainType::Year,
        ColumnType::Decimal { precision, scale } => PlainType::Decimal {
            precision: u32::from(*precision),
            scale: u32::from(*scale),
        },
        ColumnType::Float => PlainType::Float,
        ColumnType::Double => PlainType::Double,
        ColumnType::Bit { bits: 1 } => PlainType::Bit,
        ColumnType::Bit { .. }
        | ColumnType::Binary { .. }
        | ColumnType::Bytes
        | ColumnType::Unsupported(_) => PlainType::Bytes,
        ColumnType::Date => PlainType::Date,
        ColumnType::Time { fraction } => PlainType::Time {
            fraction: *fraction,
        },
        ColumnType::DateTime { fraction } => PlainType::DateTime {
            fraction: *fraction,
        },
        ColumnType::Timestamp { fraction } => PlainType::Timestamp {
            fraction: *fraction,
        },
        ColumnType::Text { .. } => PlainType::Text,
        ColumnType::Enum { .. } => PlainType::Enum,
        ColumnType::Set { .. } => PlainType::Set,
        ColumnType::Json => PlainType::Json,
    }
}

/// The default as the text the envelope would show for it; bytes and bits have no literal we read.
fn default_text(column: &ColumnDef, text: &str) -> Option<String> {
    if matches!(
        column.ty,
        ColumnType::Bit { .. } | ColumnType::Binary { .. } | ColumnType::Bytes | ColumnType::Json
    ) {
        return None;
    }
    let value = snapshot_value(column, Some(text.as_bytes())).ok()?;
    match value {
        Value::Null | Value::Bytes(_) => None,
        Value::Text(text) | Value::Decimal(text) | Value::Json(text) => Some(text.into_owned()),
        Value::Temporal(text) => Some(text.as_str().to_owned()),
        number @ (Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Double(_)) => {
            let mut json = Vec::new();
            number.write_json(&mut json);
            String::from_utf8(json).ok()
        }
    }
}

/// Foreign keys that change captured rows without a trace in the binlog: one sentence each.
pub async fn unlogged_cascades(
    connection: &mut Connection,
    tables: &[TableName],
) -> Result<Vec<String>, SourceError> {
    if connection.dialect == Dialect::Mysql && connection.version >= CASCADES_LOGGED_FROM {
        return Ok(Vec::new());
    }
    let rows = connection
        .rows("SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE UPDATE_RULE IN ('CASCADE','SET NULL','SET DEFAULT') OR DELETE_RULE IN ('CASCADE','SET NULL','SET DEFAULT')")
        .await?;
    let warnings = rows.iter().filter_map(|row| {
        let text = |at: usize| row.get(at).and_then(Option::as_deref);
        let (database, table) = (text(0)?, text(1)?);
        tables.iter().find(|name| name.database == database && name.table == table)?;
        Some(format!("the foreign key {} changes rows of {database}.{table} (ON UPDATE {}, ON DELETE {}), which this server does not log: such changes are not captured", text(2)?, text(3)?, text(4)?))
    });
    Ok(warnings.collect())
}

/// A text literal for the server.
fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mariadb_defaults_are_literals_or_nothing() {
        assert_eq!(mariadb_literal("'it''s'").as_deref(), Some("it's"));
        assert_eq!(mariadb_literal("'a\\\\b'").as_deref(), Some("a\\b"));
        assert_eq!(mariadb_literal("-0.50").as_deref(), Some("-0.50"));
        assert_eq!(mariadb_literal("NULL"), None);
        assert_eq!(mariadb_literal("current_timestamp()"), None);
        assert_eq!(mariadb_literal("''").as_deref(), Some(""));
    }

    #[test]
    fn an_expression_is_no_default() {
        let row: TextRow = [
            "at",
            "datetime",
            "",
            "NO",
            "CURRENT_TIMESTAMP",
            "DEFAULT_GENERATED",
        ]
        .map(|text| Some(text.to_owned()))
        .to_vec();
        assert_eq!(column(Dialect::Mysql, &row).default, None);
    }

    #[test]
    fn the_key_is_numbered_in_key_order() {
        let plain = |name: &str| ColumnDef {
            name: name.to_owned(),
            ty: ColumnType::Int {
                bytes: 8,
                unsigned: false,
            },
            nullable: false,
            default: None,
        };
        let table = TableDef {
            database: "d".into(),
            table: "t".into(),
            columns: vec![plain("a"), plain("b"), plain("c")],
            primary_key: vec![2, 0],
        };
        let keys: Vec<_> = schema_of(&table)
            .columns
            .iter()
            .map(|column| column.key)
            .collect();
        assert_eq!(keys, [Some(2), None, Some(1)]);
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(quote_text(r"a'b\"), r"'a''b\\'");
    }
}
