//! CREATE TABLE and ALTER TABLE: which of their many forms leave captured rows alone.

use super::{CAPTURED, Judge, Refusal, Statement, TableName, UNREADABLE};
use crate::binlog::token::Token;

impl Judge<'_, '_> {
    /// Refuses the query of a CREATE TABLE … SELECT in every form: SELECT anywhere (it is a reserved
    /// word), AS, TABLE, VALUES and WITH where a query may begin.
    pub(super) fn create_table(&mut self) -> Result<Statement, Refusal> {
        const QUERY: Refusal = "CREATE TABLE with a query";
        self.if_exists()?;
        let name = self.table()?;
        let mut depth = 0_u32;
        let mut opened = false;
        let mut begins = false;
        while let Some(token) = self.tokens.next()? {
            let at_query = depth == 0 || (depth == 1 && opened);
            opened = token == Token::Sign(b'(');
            match token {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') => depth = depth.checked_sub(1).ok_or(UNREADABLE)?,
                Token::Word(word) => {
                    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
                    if is("SELECT") || at_query && (is("AS") || is("TABLE") || is("VALUES")) {
                        return Err(QUERY);
                    }
                    if depth == 0
                        && is("START")
                        && self.tokens.take_word(&["TRANSACTION"])?.is_some()
                    {
                        begins = true;
                    }
                }
                _ => {}
            }
        }
        Ok(if begins {
            Statement::Begin
        } else {
            Statement::Ddl { tables: vec![name] }
        })
    }

    pub(super) fn alter_table(&mut self, ignore: bool) -> Result<Statement, Refusal> {
        self.if_exists()?;
        let name = self.table()?;
        let captured = self.is_captured(&name);
        if captured && ignore {
            return Err("ALTER IGNORE TABLE may delete rows of a captured table");
        }
        let mut tables = vec![name];
        let mut depth = 0_u32;
        let mut starts = true;
        while let Some(token) = self.tokens.next()? {
            match token {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') => depth = depth.checked_sub(1).ok_or(UNREADABLE)?,
                Token::Word(word) if depth == 0 && starts => {
                    if let Some(renamed) = self.alter_action(word, captured)? {
                        tables.push(renamed);
                    }
                }
                Token::Word(word) if depth == 0 => self.alter_option(word, captured)?,
                _ => {}
            }
            starts = depth == 0 && token == Token::Sign(b',');
        }
        Ok(Statement::Ddl { tables })
    }

    /// The first word of an action of ALTER TABLE, with the names that follow it: a name may look
    /// like a word that matters. Gives the table's new name.
    fn alter_action(&mut self, word: &[u8], captured: bool) -> Result<Option<TableName>, Refusal> {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        if is("RENAME") {
            if self
                .tokens
                .take_word(&["COLUMN", "INDEX", "KEY"])?
                .is_some()
            {
                self.if_exists()?;
                self.tokens.take_name()?;
                self.word(&["TO"])?;
                self.tokens.take_name()?;
                return Ok(None);
            }
            self.tokens.take_word(&["TO", "AS"])?;
            self.tokens.take_sign(b'=')?;
            return if captured {
                Err(CAPTURED)
            } else {
                self.uncaptured_table().map(Some)
            };
        }
        if is("ADD") || is("MODIFY") || is("CHANGE") || is("DROP") || is("ALTER") {
            let column = self.tokens.take_word(&["COLUMN"])?.is_some();
            if !column && self.tokens.take_word(&["PARTITION"])?.is_some() {
                return self.alter_option(b"PARTITION", captured).map(|()| None);
            }
            if !column && self.tokens.take_word(&["SYSTEM"])?.is_some() {
                let versioning = self.tokens.take_word(&["VERSIONING"])?.is_some();
                return if captured && versioning {
                    Err(CAPTURED)
                } else {
                    Ok(None)
                };
            }
            self.if_exists()?;
            for _ in 0..if is("CHANGE") { 2 } else { 1 } {
                if matches!(self.tokens.peek()?, Some(Token::Word(_) | Token::Name(..))) {
                    self.tokens.next()?;
                }
            }
            return Ok(None);
        }
        // CONVERT TO CHARACTER SET; else rows of another table come in or go out.
        let to_charset = is("CONVERT")
            && self.tokens.take_word(&["TO"])?.is_some()
            && self.tokens.take_word(&["CHARACTER", "CHARSET"])?.is_some();
        if (is("EXCHANGE") || is("CONVERT")) && !to_charset {
            return Err("ALTER TABLE that moves rows between tables");
        }
        if captured && (is("DISCARD") || is("IMPORT")) {
            return Err(CAPTURED);
        }
        self.alter_option(word, captured).map(|()| None)
    }

    /// Any other word of ALTER TABLE outside parentheses.
    fn alter_option(&mut self, word: &[u8], captured: bool) -> Result<(), Refusal> {
        const KEEP_ROWS: &[&str] = &["INNODB", "MYISAM", "ARIA", "ROCKSDB"];
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        if !captured {
            return Ok(());
        }
        if is("PARTITION") {
            return Err("a PARTITION operation on a captured table");
        }
        if is("AFTER") || is("COLLATE") {
            self.tokens.take_name()?;
        }
        if is("ENGINE") {
            self.tokens.take_sign(b'=')?;
            let engine = self.tokens.take_name()?;
            if !KEEP_ROWS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&engine))
            {
                return Err("ALTER TABLE moves a captured table to an ENGINE that may lose rows");
            }
        }
        Ok(())
    }
}
