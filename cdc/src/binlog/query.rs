//! The Query event (2): one SQL statement with what is needed to read it.
//!
//! ```text
//! thread u32 | seconds u32 | database length u8 | error u16 | variables length u16 |
//! variables | database | 0 | statement to the end
//! ```
//! Source: MySQL's Query_event class reference.

use crate::binlog::cursor::Cursor;

/// A statement as the server logged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<'a> {
    /// The session that ran it.
    pub thread_id: u32,
    /// The session's default database; empty without one. Bytes in UTF-8.
    pub database: &'a [u8],
    /// The statement in the client's character set.
    pub statement: &'a [u8],
    /// The error the statement ended with on the server, 0 for none.
    pub error_code: u16,
    /// The session's `sql_mode` bits, 0 if not logged.
    pub sql_mode: u64,
    /// The collation id of the client's character set, if logged.
    pub client_collation: Option<u16>,
}

impl Query<'_> {
    /// The statement for messages: at most 200 characters, what is not UTF-8 replaced.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.statement[..self.statement.len().min(800)]);
        text.chars().take(200).collect()
    }
}

/// Reads type 2.
pub(crate) fn parse(body: &[u8]) -> Option<Query<'_>> {
    let mut cursor = Cursor::new(body);
    let thread_id = cursor.u32()?;
    let _seconds = cursor.u32()?;
    let database_length = usize::from(cursor.u8()?);
    let error_code = cursor.u16()?;
    let variables_length = usize::from(cursor.u16()?);
    let variables = cursor.take(variables_length)?;
    let database = cursor.take(database_length)?;
    if cursor.u8()? != 0 {
        return None;
    }
    let (sql_mode, client_collation) = read_variables(variables);
    let statement = cursor.rest();
    Some(Query {
        thread_id,
        database,
        statement,
        error_code,
        sql_mode: sql_mode.unwrap_or(0),
        client_collation,
    })
}

/// `sql_mode` and the client's collation; both stand early, so an unknown variable (whose length is
/// not told) ends the reading.
fn read_variables(variables: &[u8]) -> (Option<u64>, Option<u16>) {
    let mut cursor = Cursor::new(variables);
    let (mut sql_mode, mut collation) = (None, None);
    while let Some(code) = cursor.u8() {
        let read = match code {
            0 | 3 => cursor.take(4).is_some(),
            1 => {
                sql_mode = cursor.u64();
                sql_mode.is_some()
            }
            4 => {
                collation = cursor.u16();
                cursor.take(4).is_some()
            }
            5 | 6 => cursor
                .u8()
                .is_some_and(|length| cursor.take(length.into()).is_some()),
            7 | 8 => cursor.take(2).is_some(),
            9 => cursor.take(8).is_some(),
            _ => false,
        };
        if !read || collation.is_some() {
            break;
        }
    }
    (sql_mode, collation)
}
