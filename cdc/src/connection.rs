//! A connection to the server: where it is, how it is encrypted, and plain queries on it.
//!
//! This file and [`crate::binlog::stream`] are the only ones that know `mysql_async`; everything
//! else sees rows of text and errors that say what to do.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder, Row, SslOpts, Value};

use crate::config::{SourceConfig, TlsMode};
use crate::error::SourceError;

/// A server that does not answer within this time is unreachable; two tries (TLS, then without)
/// stay below the ten seconds a start may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// A query on a dead link ends after some of these.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Largest packet taken from the server: MySQL's own limit for a binlog event.
const PACKET_BYTES_MAX: usize = 1 << 30;

/// Which family the server belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL and Percona Server.
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl Dialect {
    /// The name in envelopes.
    pub fn connector(self) -> &'static str {
        match self {
            Dialect::Mysql => "mysql",
            Dialect::Mariadb => "mariadb",
        }
    }
}

/// Where and how to connect.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    opts: Opts,
    fallback: Option<Opts>,
    /// `host:port`, for messages.
    pub address: String,
    /// The user, for messages.
    pub user: String,
}

impl Endpoint {
    /// Reads URL, user, password and TLS mode of a source.
    pub(crate) fn of(config: &SourceConfig) -> Result<Endpoint, String> {
        let url = match config.mysql.split_once("://") {
            Some(("mysql" | "mariadb", rest)) => format!("mysql://{rest}"),
            _ => {
                return Err("mysql must be a URL such as \"mysql://cdc@127.0.0.1:3306\"".to_owned());
            }
        };
        let opts =
            Opts::from_url(&url).map_err(|error| format!("mysql is no usable URL: {error}"))?;
        let mut plain = OptsBuilder::from_opts(opts)
            // a server on this machine would otherwise be asked for its unix socket
            .prefer_socket(false)
            .max_allowed_packet(Some(PACKET_BYTES_MAX))
            .stmt_cache_size(0)
            .tcp_keepalive(Some(KEEPALIVE))
            .ssl_opts(None);
        if let Some(user) = &config.user {
            plain = plain.user(Some(user.clone()));
        }
        if let Some(password) = &config.password {
            plain = plain.pass(Some(password.clone()));
        }
        let plain = Opts::from(plain);
        let encrypted =
            |ssl: SslOpts| Opts::from(OptsBuilder::from_opts(plain.clone()).ssl_opts(ssl));
        let any_certificate = SslOpts::default()
            .with_danger_accept_invalid_certs(true)
            .with_danger_skip_domain_validation(true);
        let authorities = match &config.tls_ca {
            Some(path) => SslOpts::default()
                .with_root_certs(vec![path.clone().into()])
                .with_disable_built_in_roots(true),
            None => SslOpts::default(),
        };
        let (opts, fallback) = match config.tls {
            TlsMode::Disabled => (plain.clone(), None),
            TlsMode::Preferred => (encrypted(any_certificate), Some(plain.clone())),
            TlsMode::Required => (encrypted(any_certificate), None),
            TlsMode::VerifyCa => (
                encrypted(authorities.with_danger_skip_domain_validation(true)),
                None,
            ),
            TlsMode::VerifyIdentity => (encrypted(authorities), None),
        };
        let address = format!("{}:{}", plain.ip_or_hostname(), plain.tcp_port());
        let user = plain.user().unwrap_or_default().to_owned();
        Ok(Endpoint {
            opts,
            fallback,
            address,
            user,
        })
    }

    /// Opens a connection and learns what the server is.
    pub(crate) async fn connect(&self) -> Result<Connection, SourceError> {
        let conn = match self.open(&self.opts).await {
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) => match &self.fallback {
                Some(plain) => self.open(plain).await,
                None => {
                    return Err(SourceError::definite(
                        "tls-unavailable",
                        format!("the server at {} offers no TLS", self.address),
                        "set tls = \"preferred\" or give the server a certificate",
                    ));
                }
            },
            other => other,
        };
        let conn = conn.map_err(|error| self.explain(&error))?;
        let mut connection = Connection {
            conn,
            dialect: Dialect::Mysql,
            version: (0, 0, 0),
            address: self.address.clone(),
            user: self.user.clone(),
        };
        let text = connection
            .value("SELECT VERSION()")
            .await?
            .unwrap_or_default();
        if text.to_ascii_lowercase().contains("mariadb") {
            connection.dialect = Dialect::Mariadb;
        }
        connection.version = parse_version(&text);
        Ok(connection)
    }

    async fn open(&self, opts: &Opts) -> Result<Conn, Error> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Conn::new(opts.clone())).await {
            Ok(result) => result,
            Err(_) => Err(Error::from(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            ))),
        }
    }

    fn explain(&self, error: &Error) -> SourceError {
        explain(error, &self.address, &self.user)
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    conn: Conn,
    /// The server's family.
    pub dialect: Dialect,
    /// The server's version, `(10, 11, 19)`.
    pub version: (u16, u16, u16),
    address: String,
    user: String,
}

/// One row of a result, every column as text; `None` is NULL.
pub(crate) type TextRow = Vec<Option<String>>;

impl Connection {
    /// Runs a statement whose result does not matter.
    pub async fn execute(&mut self, sql: &str) -> Result<(), SourceError> {
        self.conn
            .query_drop(sql)
            .await
            .map_err(|error| explain(&error, &self.address, &self.user))
    }

    /// All rows of a small result.
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>, SourceError> {
        let rows: Vec<Row> = self
            .conn
            .query(sql)
            .await
            .map_err(|error| explain(&error, &self.address, &self.user))?;
        Ok(rows
            .into_iter()
            .map(|row| row.unwrap().into_iter().map(text_of).collect())
            .collect())
    }

    /// The first column of the first row.
    pub async fn value(&mut self, sql: &str) -> Result<Option<String>, SourceError> {
        let rows = self.rows(sql).await?;
        Ok(rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next().flatten()))
    }

    /// Runs a SELECT and hands out its rows one by one, each column's bytes as the server sent
    /// them in the text protocol; the whole result is never held.
    pub async fn select(&mut self, sql: &str) -> Result<Select<'_>, SourceError> {
        let result = self.conn.query_iter(sql.to_owned()).await;
        match result {
            Ok(result) => Ok(Select {
                result,
                address: &self.address,
                user: &self.user,
                values: Vec::new(),
            }),
            Err(error) => Err(explain(&error, &self.address, &self.user)),
        }
    }

    /// Closes the connection in the server's protocol.
    pub async fn close(self) {
        if let Err(error) = self.conn.disconnect().await {
            tracing::debug!(%error, "closing a connection failed");
        }
    }

    /// The bare connection and its address, for the binlog stream.
    pub(crate) fn into_parts(self) -> (Conn, String, String) {
        (self.conn, self.address, self.user)
    }
}

/// The code of error 1412: a table was altered after the transaction's snapshot was taken.
pub(crate) const TABLE_ALTERED: &str = "table-altered";

/// A running SELECT.
pub struct Select<'a> {
    result: mysql_async::QueryResult<'a, 'static, mysql_async::TextProtocol>,
    address: &'a str,
    user: &'a str,
    values: Vec<Option<Vec<u8>>>,
}

impl std::fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Select")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Select<'_> {
    /// The next row, or `None` after the last.
    pub async fn next(&mut self) -> Result<Option<&[Option<Vec<u8>>]>, SourceError> {
        let row = self
            .result
            .next()
            .await
            .map_err(|error| explain(&error, self.address, self.user))?;
        let Some(row) = row else { return Ok(None) };
        self.values.clear();
        self.values.extend(row.unwrap().into_iter().map(bytes_of));
        Ok(Some(&self.values))
    }
}

fn bytes_of(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        // the text protocol has no other form
        other => Some(other.as_sql(true).into_bytes()),
    }
}

fn text_of(value: Value) -> Option<String> {
    bytes_of(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// `10.11.19-MariaDB-log` -> (10, 11, 19); an old MariaDB's `5.5.5-` in front is skipped.
fn parse_version(text: &str) -> (u16, u16, u16) {
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

/// Turns a client error into one that says what to do.
pub(crate) fn explain(error: &Error, address: &str, user: &str) -> SourceError {
    match error {
        Error::Server(server) => explain_server(server.code, &server.message, address, user),
        Error::Io(_) if error.to_string().contains("certificate") => SourceError::definite(
            "tls-certificate",
            format!("the certificate of the server at {address} is refused: {error}"),
            "name the authority's file in tls_ca, or set tls = \"required\" to trust any certificate",
        ),
        Error::Io(_) => SourceError::transient(
            "server-unreachable",
            format!("cannot reach the server at {address}: {error}"),
            "check that it runs and that host and port in mysql = \"…\" are right",
        ),
        Error::Driver(_) | Error::Other(_) => SourceError::transient(
            "connection-failed",
            format!("the connection to {address} failed: {error}"),
            "check the server's error log",
        ),
        Error::Url(_) => SourceError::definite(
            "bad-url",
            error.to_string(),
            "write mysql = \"mysql://user@host:3306\"",
        ),
    }
}

fn explain_server(code: u16, message: &str, address: &str, user: &str) -> SourceError {
    let text = format!("the server at {address} answered error {code}: {message}");
    match code {
        // host not allowed, access denied (user, database), plugin not loaded
        1045 | 1044 | 1130 | 1698 | 1524 => SourceError::definite(
            "access-denied",
            text,
            format!(
                "check user and password; to create the user: CREATE USER '{user}'@'%' IDENTIFIED BY '…'"
            ),
        ),
        1142 | 1143 | 1227 => SourceError::definite(
            "missing-privilege",
            text,
            format!("GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{user}'@'%'"),
        ),
        1049 | 1146 => {
            SourceError::definite("unknown-table", text, "check tables = [\"database.table\"]")
        }
        1236 => explain_binlog(message, &text),
        1412 => SourceError::definite(TABLE_ALTERED, text, "it is read again in a new transaction"),
        1153 => SourceError::definite(
            "row-too-large",
            text,
            "SET GLOBAL max_allowed_packet = 1073741824; and the same under [mysqld]",
        ),
        // too many connections, shutdown, lock wait timeout, deadlock, query or connection killed
        1040 | 1053 | 1203 | 1205 | 1213 | 1317 | 1927 | 1152 | 1158..=1161 | 3024 | 1969 => {
            SourceError::transient("server-busy", text, "it is tried again")
        }
        _ => SourceError::definite(
            "server-error",
            text,
            "see the server's manual for this error",
        ),
    }
}

/// Error 1236 says in words only why the binlog cannot be sent.
fn explain_binlog(message: &str, text: &str) -> SourceError {
    let lower = message.to_ascii_lowercase();
    if lower.contains("same server_uuid")
        || lower.contains("same server_id")
        || lower.contains("same server-id")
    {
        SourceError::definite(
            "server-id-taken",
            text,
            "another replica or source uses our server_id; set server_id = N of its own under [source.…]",
        )
    } else {
        SourceError::definite(
            "position-lost",
            text,
            "the stored position cannot be continued on this server: binlogs were purged, or it is another server; keep binlogs longer (binlog_expire_logs_seconds), and take a new snapshot with a source of a new name",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Start;

    fn config(url: &str) -> SourceConfig {
        SourceConfig {
            name: "s".into(),
            mysql: url.into(),
            user: None,
            password: None,
            tables: vec![],
            start: Start::Snapshot,
            server_id: None,
            tls: TlsMode::Preferred,
            tls_ca: None,
            partitions: 1,
        }
    }

    #[test]
    fn both_schemes_are_taken_and_another_is_refused() {
        for url in ["mysql://u@h:3307", "mariadb://u@h:3307"] {
            let endpoint = Endpoint::of(&config(url)).unwrap();
            assert_eq!(
                (endpoint.address.as_str(), endpoint.user.as_str()),
                ("h:3307", "u")
            );
        }
        assert!(
            Endpoint::of(&config("postgres://h"))
                .unwrap_err()
                .contains("mysql://")
        );
        assert!(Endpoint::of(&config("127.0.0.1:3306")).is_err());
    }

    #[test]
    fn user_and_password_override_the_url() {
        let mut config = config("mysql://u:p@h");
        config.user = Some("other".into());
        config.password = Some("secret".into());
        let endpoint = Endpoint::of(&config).unwrap();
        assert_eq!(endpoint.opts.user(), Some("other"));
        assert_eq!(endpoint.opts.pass(), Some("secret"));
    }

    #[test]
    fn versions_of_both_families_are_read() {
        assert_eq!(
            parse_version("10.11.19-MariaDB-0+deb12u1-log"),
            (10, 11, 19)
        );
        assert_eq!(parse_version("5.5.5-10.6.7-MariaDB"), (10, 6, 7));
        assert_eq!(parse_version("9.7.0"), (9, 7, 0));
    }

    #[test]
    fn a_purged_binlog_and_a_taken_id_are_told_apart() {
        let purged = explain_server(
            1236,
            "Could not find GTID state requested by slave in any binlog files",
            "h:1",
            "u",
        );
        assert_eq!(purged.problem().unwrap().code, "position-lost");
        let taken = explain_server(
            1236,
            "A slave with the same server_uuid/server_id as this slave has connected to the master",
            "h:1",
            "u",
        );
        assert_eq!(taken.problem().unwrap().code, "server-id-taken");
        assert!(matches!(
            explain_server(1040, "Too many connections", "h:1", "u"),
            SourceError::Transient(_)
        ));
    }
}
