//! How a snapshot reads a column so that its JSON equals the stream's, byte for byte.
//!
//! The session that runs the SELECT must have `time_zone='+00:00'`, `character_set_results=utf8mb4`
//! and `sql_mode=''` ([`SESSION`]), and use the text protocol.

use std::borrow::Cow;

use crate::schema::table::ColumnDef;
use crate::value::Value;

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
    quote_name(&column.name)
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
    let Some(text) = text else {
        return Ok(Value::Null);
    };
    let text = std::str::from_utf8(text).map_err(|_| SnapshotValueError {
        column: column.name.clone(),
        reason: "not UTF-8".to_owned(),
    })?;
    Ok(Value::Text(Cow::Borrowed(text)))
}
