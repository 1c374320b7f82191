//! Which statements of Query events may pass: an allow list.
//!
//! Rows come as rows events; a statement that changes rows, or the table they are in, would be
//! lost if it were passed over. So a statement passes only if it is known to leave captured rows
//! alone, and everything else stops the source with its text:
//!
//! - transaction control (a ROLLBACK TO SAVEPOINT takes back rows that were already read: refused);
//! - account, view, routine, trigger, event and server DDL; FLUSH; CREATE and DROP INDEX;
//! - CREATE TABLE without a query or OR REPLACE; ALTER TABLE without a table's RENAME, a PARTITION
//!   operation or one of the ways that lose rows (IGNORE, another ENGINE, DISCARD and IMPORT);
//! - DROP, TRUNCATE, RENAME, OPTIMIZE, ANALYZE, REPAIR that name no captured table or database.
//!
//! A name that cannot be read counts as captured. An executable comment (`/*! … */`) may or may not
//! run, by the server's version: both readings must lead to the same answer.

use crate::binlog::query::Query;
use crate::binlog::token::{Token, Tokens, Unreadable};

mod table;

/// A table by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
}

/// What a statement means for a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// BEGIN or START TRANSACTION; also MySQL's `CREATE TABLE … START TRANSACTION`, whose rows
    /// follow and end in a commit.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK of the whole transaction. The server logs it when tables without transactions were
    /// written too: captured rows of that transaction must be refused.
    Rollback,
    /// SAVEPOINT or RELEASE SAVEPOINT; never an end of a transaction.
    Savepoint,
    /// Changes no captured row and no table's shape.
    Harmless,
    /// Changes the shape of these tables, captured or not, and leaves their rows: what is known of
    /// them must be read anew.
    Ddl {
        /// The tables.
        tables: Vec<TableName>,
    },
    /// Stops the source.
    Refused {
        /// Why, with the statement's beginning.
        reason: String,
    },
}

/// Which tables a source captures, for the statements that may not touch them.
pub trait Captured {
    /// Whether the table is captured; names compare without case.
    fn table(&self, database: &str, table: &str) -> bool;
    /// Whether any table of the database is captured; names compare without case.
    fn database(&self, database: &str) -> bool;
}

impl Captured for Vec<TableName> {
    fn table(&self, database: &str, table: &str) -> bool {
        self.iter()
            .any(|name| same(&name.database, database) && same(&name.table, table))
    }

    fn database(&self, database: &str) -> bool {
        self.iter().any(|name| same(&name.database, database))
    }
}

fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}

/// Judges one statement.
pub fn classify(query: &Query<'_>, captured: &dyn Captured) -> Statement {
    let judge = |executable_comments| match Tokens::new(query, executable_comments) {
        None => Err("its character set hides quotes"),
        Some(tokens) => Judge {
            tokens,
            query,
            captured,
        }
        .statement(),
    };
    let refused = |why: &str| Statement::Refused {
        reason: format!("{why}: {}", query.excerpt()),
    };
    match (judge(true), judge(false)) {
        (Err(why), _) | (_, Err(why)) => refused(why),
        (Ok(Verdict::Empty), Ok(Verdict::Empty)) => Statement::Harmless,
        (Ok(Verdict::Is(one)), Ok(Verdict::Empty)) => one,
        (Ok(one), Ok(other)) if one == other => match one {
            Verdict::Is(statement) => statement,
            Verdict::Empty => Statement::Harmless,
        },
        _ => refused("it depends on an executable comment"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing but comments.
    Empty,
    /// A statement that passes.
    Is(Statement),
}

/// Why a statement does not pass.
type Refusal = &'static str;

const UNKNOWN: Refusal = "a statement that is not known to leave captured rows alone";
const CAPTURED: Refusal = "a statement that changes a captured table";
const XA: Refusal = "XA transactions are not captured yet";
const UNREADABLE: Refusal = "a statement that cannot be read";

impl From<Unreadable> for Refusal {
    fn from(_: Unreadable) -> Self {
        UNREADABLE
    }
}

struct Judge<'q, 'a> {
    tokens: Tokens<'a>,
    query: &'q Query<'a>,
    captured: &'q dyn Captured,
}

impl Judge<'_, '_> {
    fn statement(mut self) -> Result<Verdict, Refusal> {
        const FIRST: &[&str] = &[
            "ALTER",
            "ANALYZE",
            "BEGIN",
            "COMMIT",
            "CREATE",
            "DROP",
            "FLUSH",
            "GRANT",
            "OPTIMIZE",
            "RELEASE",
            "RENAME",
            "REPAIR",
            "REVOKE",
            "ROLLBACK",
            "SAVEPOINT",
            "SET",
            "START",
            "TRUNCATE",
            "XA",
        ];
        if self.tokens.peek()?.is_none() {
            return Ok(Verdict::Empty);
        }
        let statement = match self.tokens.take_word(FIRST)?.ok_or(UNKNOWN)? {
            "BEGIN" => self.only(&["WORK"], Statement::Begin)?,
            "START" => {
                self.word(&["TRANSACTION"])?;
                self.only(&[], Statement::Begin)?
            }
            "COMMIT" => self.only(&["WORK"], Statement::Commit)?,
            "ROLLBACK" => self.only(&["WORK"], Statement::Rollback)?,
            "SAVEPOINT" => Statement::Savepoint,
            "RELEASE" => {
                self.word(&["SAVEPOINT"])?;
                Statement::Savepoint
            }
            "FLUSH" | "GRANT" | "REVOKE" => Statement::Harmless,
            "SET" => return self.set(),
            "XA" => return Err(XA),
            "CREATE" => self.create()?,
            "ALTER" => self.alter()?,
            "DROP" => self.drop()?,
            "TRUNCATE" => {
                self.tokens.take_word(&["TABLE"])?;
                self.uncaptured_table()?;
                Statement::Harmless
            }
            "RENAME" => self.rename()?,
            _ => {
                self.tokens.take_word(&["NO_WRITE_TO_BINLOG", "LOCAL"])?;
                self.word(&["TABLE", "TABLES"])?;
                self.uncaptured_tables()?;
                Statement::Harmless
            }
        };
        Ok(Verdict::Is(statement))
    }

    /// Nothing may follow but one of these words.
    fn only(&mut self, words: &[&'static str], statement: Statement) -> Result<Statement, Refusal> {
        self.tokens.take_word(words)?;
        self.tokens.take_sign(b';')?;
        if self.tokens.peek()?.is_none() {
            Ok(statement)
        } else {
            Err(UNKNOWN)
        }
    }

    fn word(&mut self, words: &[&'static str]) -> Result<&'static str, Refusal> {
        self.tokens.take_word(words)?.ok_or(UNKNOWN)
    }

    /// SET PASSWORD, SET DEFAULT ROLE, and MariaDB's `SET STATEMENT variable = value, … FOR` before
    /// another statement.
    fn set(mut self) -> Result<Verdict, Refusal> {
        if self.tokens.take_word(&["PASSWORD", "DEFAULT"])?.is_some() {
            return Ok(Verdict::Is(Statement::Harmless));
        }
        self.word(&["STATEMENT"])?;
        let mut depth = 0_u32;
        loop {
            if depth == 0 && self.tokens.take_word(&["FOR"])?.is_some() {
                return self.statement();
            }
            match self.tokens.next()?.ok_or(UNREADABLE)? {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') => depth = depth.checked_sub(1).ok_or(UNREADABLE)?,
                _ => {}
            }
        }
    }

    /// A table's name with its database; the session's database where none is written.
    fn table(&mut self) -> Result<TableName, Refusal> {
        let first = self.tokens.take_name()?;
        if self.tokens.take_sign(b'.')? {
            return Ok(TableName {
                database: first,
                table: self.tokens.take_name()?,
            });
        }
        let database = std::str::from_utf8(self.query.database).map_err(|_| UNREADABLE)?;
        if database.is_empty() {
            return Err(UNREADABLE);
        }
        Ok(TableName {
            database: database.to_owned(),
            table: first,
        })
    }

    fn is_captured(&self, name: &TableName) -> bool {
        self.captured.table(&name.database, &name.table)
    }

    fn uncaptured_table(&mut self) -> Result<TableName, Refusal> {
        let name = self.table()?;
        if self.is_captured(&name) {
            Err(CAPTURED)
        } else {
            Ok(name)
        }
    }

    fn uncaptured_tables(&mut self) -> Result<Vec<TableName>, Refusal> {
        let mut names = vec![self.uncaptured_table()?];
        while self.tokens.take_sign(b',')? {
            names.push(self.uncaptured_table()?);
        }
        Ok(names)
    }

    fn uncaptured_database(&mut self) -> Result<(), Refusal> {
        let database = self.tokens.take_name()?;
        if self.captured.database(&database) {
            Err(CAPTURED)
        } else {
            Ok(())
        }
    }

    /// Passes over IF EXISTS and IF NOT EXISTS.
    fn if_exists(&mut self) -> Result<(), Refusal> {
        if self.tokens.take_word(&["IF"])?.is_some() {
            self.tokens.take_word(&["NOT"])?;
            self.word(&["EXISTS"])?;
        }
        Ok(())
    }

    /// Passes over what may stand before an object's kind: `DEFINER = user@host`, `ALGORITHM = x`,
    /// `SQL SECURITY x`, and single words. Gives the kind and the last of the single words.
    fn object(&mut self) -> Result<(&'static str, &'static str), Refusal> {
        const KINDS: &[&str] = &[
            "DATABASE",
            "EVENT",
            "FUNCTION",
            "INDEX",
            "PACKAGE",
            "PROCEDURE",
            "ROLE",
            "SCHEMA",
            "SEQUENCE",
            "SERVER",
            "TABLE",
            "TABLES",
            "TRIGGER",
            "USER",
            "VIEW",
        ];
        const WORDS: &[&str] = &[
            "AGGREGATE",
            "FULLTEXT",
            "IGNORE",
            "OFFLINE",
            "ONLINE",
            "SPATIAL",
            "TEMPORARY",
            "UNIQUE",
        ];
        let mut last = "";
        loop {
            if let Some(kind) = self.tokens.take_word(KINDS)? {
                return Ok((kind, last));
            }
            if let Some(word) = self.tokens.take_word(WORDS)? {
                last = word;
            } else if self.tokens.take_word(&["SQL"])?.is_some() {
                self.word(&["SECURITY"])?;
                self.word(&["DEFINER", "INVOKER"])?;
            } else if self.tokens.take_word(&["ALGORITHM"])?.is_some() {
                self.sign(b'=')?;
                self.tokens.next()?;
            } else if self.tokens.take_word(&["DEFINER"])?.is_some() {
                self.sign(b'=')?;
                self.account()?;
            } else {
                return Err(UNKNOWN);
            }
        }
    }

    /// `user@host`, `role`, `CURRENT_USER` or `CURRENT_USER()`.
    fn account(&mut self) -> Result<(), Refusal> {
        self.tokens.next()?;
        if self.tokens.take_sign(b'@')? {
            self.tokens.next()?;
        } else if self.tokens.take_sign(b'(')? {
            self.sign(b')')?;
        }
        Ok(())
    }

    fn sign(&mut self, sign: u8) -> Result<(), Refusal> {
        if self.tokens.take_sign(sign)? {
            Ok(())
        } else {
            Err(UNKNOWN)
        }
    }

    fn create(&mut self) -> Result<Statement, Refusal> {
        let or_replace = self.tokens.take_word(&["OR"])?.is_some();
        if or_replace {
            self.word(&["REPLACE"])?;
        }
        match self.object()?.0 {
            "TABLE" if or_replace => Err("CREATE OR REPLACE TABLE drops a table unseen"),
            "TABLE" => self.create_table(),
            "SEQUENCE" => {
                self.if_exists()?;
                Ok(Statement::Ddl {
                    tables: vec![self.uncaptured_table()?],
                })
            }
            "DATABASE" | "SCHEMA" if or_replace => {
                self.uncaptured_database()?;
                Ok(Statement::Harmless)
            }
            "INDEX" => self.index(),
            _ => Ok(Statement::Harmless),
        }
    }

    /// `… INDEX name … ON table`.
    fn index(&mut self) -> Result<Statement, Refusal> {
        while self.tokens.take_word(&["ON"])?.is_none() {
            self.tokens.next()?.ok_or(UNREADABLE)?;
        }
        Ok(Statement::Ddl {
            tables: vec![self.table()?],
        })
    }

    fn alter(&mut self) -> Result<Statement, Refusal> {
        match self.object()? {
            ("TABLE", word) => self.alter_table(word == "IGNORE"),
            ("SEQUENCE", _) => {
                self.if_exists()?;
                Ok(Statement::Ddl {
                    tables: vec![self.uncaptured_table()?],
                })
            }
            ("INDEX" | "TABLES" | "TRIGGER", _) => Err(UNKNOWN),
            _ => Ok(Statement::Harmless),
        }
    }

    fn drop(&mut self) -> Result<Statement, Refusal> {
        match self.object()? {
            ("TABLE" | "TABLES", "TEMPORARY") => Ok(Statement::Harmless),
            ("TABLE" | "TABLES" | "SEQUENCE", _) => {
                self.if_exists()?;
                Ok(Statement::Ddl {
                    tables: self.uncaptured_tables()?,
                })
            }
            ("DATABASE" | "SCHEMA", _) => {
                self.if_exists()?;
                self.uncaptured_database()?;
                Ok(Statement::Harmless)
            }
            ("INDEX", _) => self.index(),
            _ => Ok(Statement::Harmless),
        }
    }

    fn rename(&mut self) -> Result<Statement, Refusal> {
        if self.word(&["TABLE", "TABLES", "USER"])? == "USER" {
            return Ok(Statement::Harmless);
        }
        self.if_exists()?;
        let mut tables = Vec::new();
        loop {
            tables.push(self.uncaptured_table()?);
            // MariaDB: WAIT n, NOWAIT.
            while self.tokens.take_word(&["TO"])?.is_none() {
                self.tokens.next()?.ok_or(UNREADABLE)?;
            }
            tables.push(self.uncaptured_table()?);
            if !self.tokens.take_sign(b',')? {
                return Ok(Statement::Ddl { tables });
            }
        }
    }
}

#[cfg(test)]
mod tests;
