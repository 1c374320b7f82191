//! Whether the server is set up for capture: its version, settings and our rights, each problem with
//! the statement that mends it. Judging is pure ([`judge`]); reading the facts is one function.

use std::collections::HashMap;

use crate::connection::{Connection, Dialect};
use crate::error::SourceError;

/// The settings that are looked at.
const VARIABLES: [&str; 10] = [
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "log_bin_compress",
    "gtid_mode",
    "enforce_gtid_consistency",
    "server_id",
    "lower_case_table_names",
];

/// What the server says about itself and us.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Its family.
    pub dialect: Dialect,
    /// Its version.
    pub version: (u16, u16, u16),
    /// The settings it has among those that matter, names in lower case.
    pub variables: HashMap<String, String>,
    /// The lines of SHOW GRANTS, active roles included.
    pub grants: Vec<String>,
    /// The account we are, quoted for a GRANT: `'cdc'@'%'`.
    pub account: String,
}

impl Facts {
    /// Asks the server.
    pub(crate) async fn read(connection: &mut Connection) -> Result<Facts, SourceError> {
        let names = VARIABLES.map(|name| format!("'{name}'")).join(",");
        let rows = connection
            .rows(&format!(
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"
            ))
            .await?;
        let variables = rows
            .into_iter()
            .filter_map(|row| {
                let mut columns = row.into_iter();
                Some((columns.next()??.to_ascii_lowercase(), columns.next()??))
            })
            .collect();
        let account = connection
            .value("SELECT CURRENT_USER()")
            .await?
            .unwrap_or_default();
        let roles = match connection.dialect {
            Dialect::Mysql => connection
                .value("SELECT CURRENT_ROLE()")
                .await?
                .filter(|roles| roles != "NONE"),
            Dialect::Mariadb => None,
        };
        let show = roles.map_or("SHOW GRANTS".to_owned(), |roles| {
            format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")
        });
        let grants = connection
            .rows(&show)
            .await?
            .into_iter()
            .filter_map(|row| row.into_iter().next().flatten())
            .collect();
        Ok(Facts {
            dialect: connection.dialect,
            version: connection.version,
            variables,
            grants,
            account: quote_account(&account),
        })
    }

    /// A setting's value, empty if the server does not have it.
    fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// Whether the server has the setting, with a value other than `wanted`.
    fn differs(&self, name: &str, wanted: &str) -> bool {
        self.variables
            .get(name)
            .is_some_and(|value| !value.eq_ignore_ascii_case(wanted))
    }

    /// Whether one of the privileges is granted on everything.
    fn has_privilege(&self, names: &[&str]) -> bool {
        self.grants
            .iter()
            .filter_map(|line| global_privileges(line))
            .any(|granted| {
                granted.split(',').map(str::trim).any(|one| {
                    one.eq_ignore_ascii_case("ALL PRIVILEGES")
                        || names.iter().any(|name| one.eq_ignore_ascii_case(name))
                })
            })
    }
}

/// `GRANT a, b ON *.* TO …` -> `a, b`.
fn global_privileges(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("GRANT ")?;
    rest.find(" ON *.* ").map(|end| &rest[..end])
}

/// `cdc@%` -> `'cdc'@'%'`.
pub(crate) fn quote_account(account: &str) -> String {
    match account.rsplit_once('@') {
        Some((user, host)) => format!("'{user}'@'{host}'"),
        None => format!("'{account}'"),
    }
}

/// The first thing that prevents capture, or nothing. `server_id` is the one we shall use.
pub(crate) fn judge(facts: &Facts, server_id: u32) -> Result<(), SourceError> {
    judge_version(facts)?;
    judge_binlog(facts)?;
    judge_gtid(facts)?;
    judge_server_id(facts, server_id)?;
    judge_rights(facts)
}

fn judge_version(facts: &Facts) -> Result<(), SourceError> {
    let (oldest, name) = match facts.dialect {
        Dialect::Mysql => ((8, 0, 0), "MySQL 8.0"),
        Dialect::Mariadb => ((10, 11, 0), "MariaDB 10.11"),
    };
    if facts.version < oldest {
        let (major, minor, patch) = facts.version;
        return Err(SourceError::definite(
            "server-too-old",
            format!("the server's version {major}.{minor}.{patch} is older than {name}"),
            format!("upgrade to {name} or later"),
        ));
    }
    Ok(())
}

fn judge_binlog(facts: &Facts) -> Result<(), SourceError> {
    let setting = |name: &str, hint: &str| {
        SourceError::definite(
            "server-setting",
            format!("{name} is {:?} on the server", facts.variable(name)),
            hint,
        )
    };
    if !matches!(
        facts.variable("log_bin").to_ascii_uppercase().as_str(),
        "ON" | "1"
    ) {
        return Err(setting(
            "log_bin",
            "start the server with log_bin = binlog under [mysqld]",
        ));
    }
    if facts.differs("binlog_format", "ROW") {
        return Err(setting(
            "binlog_format",
            "SET GLOBAL binlog_format = ROW; and binlog_format = ROW under [mysqld]; sessions that are open keep the old one: reconnect them",
        ));
    }
    if facts.differs("binlog_row_image", "FULL") {
        return Err(setting(
            "binlog_row_image",
            "SET GLOBAL binlog_row_image = FULL; and the same under [mysqld]",
        ));
    }
    if facts.differs("binlog_row_metadata", "FULL") {
        return Err(setting(
            "binlog_row_metadata",
            "SET GLOBAL binlog_row_metadata = FULL; and the same under [mysqld]",
        ));
    }
    if facts.differs("binlog_row_value_options", "") {
        return Err(setting(
            "binlog_row_value_options",
            "SET GLOBAL binlog_row_value_options = ''; and the same under [mysqld]",
        ));
    }
    if facts.differs("log_bin_compress", "OFF") {
        return Err(setting(
            "log_bin_compress",
            "SET GLOBAL log_bin_compress = OFF; and the same under [mysqld]",
        ));
    }
    Ok(())
}

fn judge_gtid(facts: &Facts) -> Result<(), SourceError> {
    if facts.dialect == Dialect::Mysql && facts.differs("gtid_mode", "ON") {
        return Err(SourceError::definite(
            "server-setting",
            format!(
                "gtid_mode is {:?} on the server",
                facts.variable("gtid_mode")
            ),
            "run one after the other: SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = OFF_PERMISSIVE; SET GLOBAL gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = ON; and set both under [mysqld]",
        ));
    }
    Ok(())
}

fn judge_server_id(facts: &Facts, server_id: u32) -> Result<(), SourceError> {
    let theirs = facts.variable("server_id");
    if theirs == "0" {
        return Err(SourceError::definite(
            "server-setting",
            "server_id is 0 on the server: it refuses replicas",
            "SET GLOBAL server_id = 1; and the same under [mysqld]",
        ));
    }
    if theirs == server_id.to_string() {
        return Err(SourceError::definite(
            "server-id-taken",
            format!("server_id = {server_id} is the server's own"),
            "set server_id = N of its own under [source.…]",
        ));
    }
    Ok(())
}

fn judge_rights(facts: &Facts) -> Result<(), SourceError> {
    let (monitor, monitor_names) = match facts.dialect {
        Dialect::Mysql => ("REPLICATION CLIENT", &["REPLICATION CLIENT", "SUPER"][..]),
        Dialect::Mariadb => (
            "BINLOG MONITOR",
            &["BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"][..],
        ),
    };
    let slave_names = &["REPLICATION SLAVE", "REPLICATION REPLICA"][..];
    let mut missing = Vec::new();
    if !facts.has_privilege(slave_names) {
        missing.push("REPLICATION SLAVE");
    }
    if !facts.has_privilege(monitor_names) {
        missing.push(monitor);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(SourceError::definite(
        "missing-privilege",
        format!("{} lacks {missing}", facts.account),
        format!("GRANT {missing} ON *.* TO {};", facts.account),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(dialect: Dialect) -> Facts {
        let pairs = [
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
            ("server_id", "1"),
        ];
        let mut variables: HashMap<String, String> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        if dialect == Dialect::Mysql {
            variables.insert("gtid_mode".to_owned(), "ON".to_owned());
        }
        let version = if dialect == Dialect::Mysql {
            (9, 7, 0)
        } else {
            (10, 11, 19)
        };
        let grants = vec![
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `cdc`@`%`".to_owned(),
            "GRANT SELECT ON `shop`.* TO `cdc`@`%`".to_owned(),
        ];
        Facts {
            dialect,
            version,
            variables,
            grants,
            account: quote_account("cdc@%"),
        }
    }

    fn hint(facts: &Facts) -> String {
        judge(facts, 5000)
            .unwrap_err()
            .problem()
            .unwrap()
            .hint
            .clone()
    }

    #[test]
    fn a_server_that_is_set_up_passes() {
        judge(&facts(Dialect::Mysql), 5000).unwrap();
        judge(&facts(Dialect::Mariadb), 5000).unwrap();
    }

    #[test]
    fn each_setting_is_mended_by_the_statement_in_the_message() {
        for (name, value, statement) in [
            ("log_bin", "OFF", "log_bin = binlog"),
            ("binlog_format", "MIXED", "SET GLOBAL binlog_format = ROW"),
            (
                "binlog_row_image",
                "MINIMAL",
                "SET GLOBAL binlog_row_image = FULL",
            ),
            (
                "binlog_row_metadata",
                "NO_LOG",
                "SET GLOBAL binlog_row_metadata = FULL",
            ),
            (
                "binlog_row_value_options",
                "PARTIAL_JSON",
                "SET GLOBAL binlog_row_value_options = ''",
            ),
            (
                "log_bin_compress",
                "ON",
                "SET GLOBAL log_bin_compress = OFF",
            ),
            ("server_id", "0", "SET GLOBAL server_id = 1"),
        ] {
            let mut facts = facts(Dialect::Mariadb);
            facts.variables.insert(name.to_owned(), value.to_owned());
            assert!(hint(&facts).contains(statement), "{name}");
        }
    }

    #[test]
    fn gtid_mode_off_names_its_four_steps() {
        let mut facts = facts(Dialect::Mysql);
        facts
            .variables
            .insert("gtid_mode".to_owned(), "OFF".to_owned());
        assert_eq!(hint(&facts).matches("SET GLOBAL").count(), 4);
    }

    #[test]
    fn missing_rights_are_granted_by_the_statement_in_the_message() {
        let mut facts = facts(Dialect::Mariadb);
        facts.grants.remove(0);
        assert_eq!(
            hint(&facts),
            "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO 'cdc'@'%';"
        );
        facts.grants =
            vec!["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION".to_owned()];
        judge(&facts, 5000).unwrap();
    }

    #[test]
    fn our_id_must_not_be_the_servers() {
        assert!(
            judge(&facts(Dialect::Mysql), 1)
                .unwrap_err()
                .to_string()
                .contains("server_id = 1")
        );
    }

    #[test]
    fn an_old_server_is_refused() {
        let mut facts = facts(Dialect::Mariadb);
        facts.version = (10, 6, 18);
        assert!(
            judge(&facts, 5000)
                .unwrap_err()
                .to_string()
                .contains("10.6.18")
        );
    }
}
