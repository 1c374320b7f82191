//! The `[source.NAME]` part of the configuration file.
//!
//! ```toml
//! [source.shop]
//! mysql  = "mysql://cdc@127.0.0.1:3306"     # mariadb:// is the same
//! tables = ["shop.products"]
//! start  = "snapshot"
//! ```

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// Partitions of a topic that `partitions` may ask for at most: each costs a file and a lane.
const PARTITIONS_MAX: i32 = 256;

/// One source: a server, and the tables to capture from it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name, the table's key in the file; part of every topic name.
    #[serde(default)]
    pub name: String,
    /// `mysql://` or `mariadb://` URL of the server.
    pub mysql: String,
    /// User, instead of the URL's.
    #[serde(default)]
    pub user: Option<String>,
    /// Password, instead of the URL's.
    #[serde(default)]
    pub password: Option<String>,
    /// The captured tables, each `database.table`.
    pub tables: Vec<String>,
    /// Where a source that never ran on this log begins.
    #[serde(default)]
    pub start: Start,
    /// Our id among the server's replicas; derived from the log and the source's name if left out.
    #[serde(default)]
    pub server_id: Option<u32>,
    /// How far the connection must be encrypted and the server checked.
    #[serde(default)]
    pub tls: TlsMode,
    /// PEM file of the authorities for `verify_ca` and `verify_identity`; the system's if left out.
    #[serde(default)]
    pub tls_ca: Option<PathBuf>,
    /// Partitions of the topics it creates.
    #[serde(default = "one_partition")]
    pub partitions: i32,
}

/// Where a source without a stored position begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// All rows of the tables first, then the stream from before the first row was read.
    #[default]
    Snapshot,
}

/// The TLS modes of MySQL's own client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Never encrypted.
    Disabled,
    /// Encrypted if the server can, any certificate.
    #[default]
    Preferred,
    /// Encrypted, any certificate.
    Required,
    /// Encrypted, a certificate of a known authority.
    VerifyCa,
    /// Encrypted, a certificate of a known authority for this host.
    VerifyIdentity,
}

/// A captured table as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Its database.
    pub database: String,
    /// Its name in the database.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// A password never reaches a log line.
impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceConfig")
            .field("name", &self.name)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

fn one_partition() -> i32 {
    1
}

impl SourceConfig {
    /// The captured tables in the order of the file, or what is wrong with the configuration.
    pub fn checked_tables(&self) -> Result<Vec<TableName>, String> {
        if self.name.is_empty()
            || !self
                .name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        {
            return Err(format!(
                "the name {:?} must be letters, digits, '_' and '-'",
                self.name
            ));
        }
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(format!(
                "partitions = {} must be 1 to {PARTITIONS_MAX}",
                self.partitions
            ));
        }
        if self.server_id == Some(0) {
            return Err(
                "server_id = 0 is no id of a replica; write another number or leave it out"
                    .to_owned(),
            );
        }
        if self.tables.is_empty() {
            return Err(
                "tables is empty; write the tables to capture as \"database.table\"".to_owned(),
            );
        }
        let mut tables = Vec::with_capacity(self.tables.len());
        for text in &self.tables {
            let name = parse_table(text)?;
            if tables.contains(&name) {
                return Err(format!("table {text:?} is there twice"));
            }
            tables.push(name);
        }
        Ok(tables)
    }
}

fn parse_table(text: &str) -> Result<TableName, String> {
    match text.split_once('.') {
        Some((database, table)) if !database.is_empty() && !table.is_empty() => Ok(TableName {
            database: database.to_owned(),
            table: table.to_owned(),
        }),
        _ => Err(format!("table {text:?} must be written \"database.table\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(tables: &[&str]) -> SourceConfig {
        SourceConfig {
            name: "shop".to_owned(),
            mysql: "mysql://u:secret@h".to_owned(),
            user: None,
            password: None,
            tables: tables.iter().map(|&text| text.to_owned()).collect(),
            start: Start::Snapshot,
            server_id: None,
            tls: TlsMode::Preferred,
            tls_ca: None,
            partitions: 1,
        }
    }

    #[test]
    fn a_table_is_database_and_name() {
        let tables = config(&["shop.products", "a.b.c"])
            .checked_tables()
            .unwrap();
        assert_eq!(tables[0].to_string(), "shop.products");
        assert_eq!(
            (tables[1].database.as_str(), tables[1].table.as_str()),
            ("a", "b.c")
        );
    }

    #[test]
    fn a_table_without_database_or_named_twice_is_refused() {
        assert!(
            config(&["products"])
                .checked_tables()
                .unwrap_err()
                .contains("database.table")
        );
        assert!(
            config(&["a.b", "a.b"])
                .checked_tables()
                .unwrap_err()
                .contains("twice")
        );
        assert!(config(&[]).checked_tables().is_err());
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", config(&["a.b"])).contains("secret"));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = r#"{"mysql": "mysql://h", "tables": ["a.b"], "tabels": []}"#;
        assert!(
            serde_json::from_str::<SourceConfig>(text)
                .unwrap_err()
                .to_string()
                .contains("tabels")
        );
    }
}
