//! Opens a consistent snapshot together with its place in the binlog.
//!
//! Reading the place after the transaction has begun is wrong: commits slip in between. So:
//! - MariaDB: the transaction itself knows its place (`binlog_snapshot_file` and `_position`), exact
//!   and without a lock.
//! - MySQL with RELOAD: a global read lock around the two, for milliseconds.
//! - MySQL without: the place *before* the transaction; the stream repeats what fell in between.

use crate::connection::{Connection, Dialect};
use crate::error::SourceError;
use crate::gtid::Position;
use crate::schema::select::SESSION;
use crate::schema::select::quote_name;

/// Longest wait for the global read lock: while we wait, every writer waits behind us.
const LOCK_WAIT_SECONDS: u32 = 10;
/// How long the server keeps a snapshot's connection open while the log is slow to take its rows.
const NET_WRITE_SECONDS: u32 = 3600;

/// Where a snapshot stands in the binlog.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The transactions whose effects the rows hold (MySQL without a lock: at least these).
    pub gtid: Position,
    /// The server's clock at that moment, in milliseconds since 1970.
    pub ts_ms: u64,
}

/// Prepares the session and opens the transaction; the connection stays in it.
pub(crate) async fn open(connection: &mut Connection) -> Result<Place, SourceError> {
    connection.execute(SESSION).await?;
    connection.execute(&format!("SET SESSION net_write_timeout = {NET_WRITE_SECONDS}, wait_timeout = {NET_WRITE_SECONDS}")).await?;
    let no_limit = match connection.dialect {
        Dialect::Mysql => "SET SESSION max_execution_time = 0",
        Dialect::Mariadb => "SET SESSION max_statement_time = 0",
    };
    connection.execute(no_limit).await?;
    connection
        .execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    let gtid = match connection.dialect {
        Dialect::Mariadb => open_mariadb(connection).await?,
        Dialect::Mysql => open_mysql(connection).await?,
    };
    let ts_ms = connection
        .value("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)")
        .await?
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    Ok(Place { gtid, ts_ms })
}

/// Begins the transaction.
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

async fn open_mariadb(connection: &mut Connection) -> Result<Position, SourceError> {
    connection
        .execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        .await?;
    let rows = connection
        .rows("SHOW STATUS LIKE 'binlog_snapshot_%'")
        .await?;
    let find = |wanted: &str| {
        rows.iter().find_map(|row| match row.as_slice() {
            [Some(name), Some(value)] if name.eq_ignore_ascii_case(wanted) => Some(value.clone()),
            _ => None,
        })
    };
    let (Some(file), Some(position)) = (
        find("binlog_snapshot_file"),
        find("binlog_snapshot_position"),
    ) else {
        return Err(no_place(
            "binlog_snapshot_file is not among the status variables",
        ));
    };
    if file.is_empty() || !position.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_place("binlog_snapshot_file is empty"));
    }
    let text = connection
        .value(&format!(
            "SELECT BINLOG_GTID_POS('{}', {position})",
            file.replace('\'', "''")
        ))
        .await?;
    let text = text.ok_or_else(|| no_place("BINLOG_GTID_POS gave NULL"))?;
    Ok(Position::Mariadb(
        text.parse()
            .map_err(|error| no_place(&format!("{error}")))?,
    ))
}

async fn open_mysql(connection: &mut Connection) -> Result<Position, SourceError> {
    connection
        .execute(&format!(
            "SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}"
        ))
        .await?;
    match connection.execute("FLUSH TABLES WITH READ LOCK").await {
        Ok(()) => {
            let opened = begin_locked(connection).await;
            connection.execute("UNLOCK TABLES").await?;
            opened
        }
        Err(SourceError::Stopped) => Err(SourceError::Stopped),
        Err(error) => {
            tracing::info!(reason = %error, "no global read lock: the snapshot begins a little after its position, and the stream repeats what fell in between");
            let gtid = executed(connection).await?;
            connection.execute(BEGIN).await?;
            Ok(gtid)
        }
    }
}

async fn begin_locked(connection: &mut Connection) -> Result<Position, SourceError> {
    connection.execute(BEGIN).await?;
    executed(connection).await
}

async fn executed(connection: &mut Connection) -> Result<Position, SourceError> {
    let text = connection
        .value("SELECT @@GLOBAL.gtid_executed")
        .await?
        .unwrap_or_default();
    Ok(Position::Mysql(
        text.parse()
            .map_err(|error| no_place(&format!("{error}")))?,
    ))
}

fn no_place(reason: &str) -> SourceError {
    SourceError::definite(
        "no-position",
        format!("the server does not tell its binlog position: {reason}"),
        "check that log_bin is on",
    )
}

/// Ends the transaction and with it the metadata locks on the tables read.
pub(crate) async fn close(connection: &mut Connection) -> Result<(), SourceError> {
    connection.execute("COMMIT").await
}

/// Whether `position` can still be continued from: the server must know all of it, and must still
/// have everything after it.
pub(crate) async fn check_resumable(
    connection: &mut Connection,
    position: &Position,
) -> Result<(), SourceError> {
    let Position::Mysql(set) = position else {
        // MariaDB judges it when the stream is asked for, in strict mode
        return Ok(());
    };
    let executed = connection
        .value(&format!(
            "SELECT GTID_SUBSET('{set}', @@GLOBAL.gtid_executed)"
        ))
        .await?;
    if executed.as_deref() != Some("1") {
        return Err(SourceError::definite(
            "position-unknown",
            format!("the stored position {set} holds transactions this server never executed"),
            "it is another server, or an old backup of it; point the source at the server it began with, or take a new snapshot with a source of a new name",
        ));
    }
    let complete = connection
        .value(&format!(
            "SELECT GTID_SUBSET(@@GLOBAL.gtid_purged, '{set}')"
        ))
        .await?;
    if complete.as_deref() != Some("1") {
        let missing = connection
            .value(&format!(
                "SELECT GTID_SUBTRACT(@@GLOBAL.gtid_purged, '{set}')"
            ))
            .await?
            .unwrap_or_default();
        return Err(SourceError::definite(
            "position-lost",
            format!("the server has purged transactions after the stored position: {missing}"),
            "keep binlogs longer (binlog_expire_logs_seconds), and take a new snapshot with a source of a new name",
        ));
    }
    Ok(())
}

/// The SELECT of all rows of a table.
pub(crate) fn select_all(database: &str, table: &str, columns: &[String]) -> String {
    format!(
        "SELECT {} FROM {}.{}",
        columns.join(", "),
        quote_name(database),
        quote_name(table)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_quoted() {
        assert_eq!(
            select_all("d`", "t", &["`a`".to_owned(), "`b`".to_owned()]),
            "SELECT `a`, `b` FROM `d```.`t`"
        );
    }
}
