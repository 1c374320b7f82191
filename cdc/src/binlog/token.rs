//! Words, names and signs of an SQL statement, for the allow list in [`super::statement`].
//!
//! Comments are passed over. `/*! … */` and MariaDB's `/*M! … */` are code for one server and a
//! comment for another: the caller chooses how they read. Nothing is copied, and every token takes
//! at least one byte.

use std::borrow::Cow;

use crate::binlog::query::Query;
use crate::schema::table::Charset;

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A keyword, a number or a name without quotes.
    Word(&'a [u8]),
    /// A quoted name, without its outer quotes, and the quote.
    Name(&'a [u8], u8),
    /// A string literal.
    Text,
    /// Any other byte.
    Sign(u8),
}

/// A name that cannot be read, or a statement whose quotes or comments do not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// A cursor over a statement's tokens.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "four independent facts about how the statement is written"
)]
pub(crate) struct Tokens<'a> {
    rest: &'a [u8],
    executable_comments: bool,
    in_executable_comment: bool,
    ansi_quotes: bool,
    backslash_escapes: bool,
    utf8_names: bool,
}

const ANSI_QUOTES: u64 = 1 << 2;
const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

impl<'a> Tokens<'a> {
    /// The tokens of a statement; `None` in a character set whose characters may end in the byte of
    /// a quote or backslash, if there are such characters.
    pub(crate) fn new(query: &Query<'a>, executable_comments: bool) -> Option<Self> {
        let collation = u64::from(query.client_collation.unwrap_or(0));
        if hides_quotes(collation) && !query.statement.is_ascii() {
            return None;
        }
        Some(Tokens {
            rest: query.statement,
            executable_comments,
            in_executable_comment: false,
            ansi_quotes: query.sql_mode & ANSI_QUOTES != 0,
            backslash_escapes: query.sql_mode & NO_BACKSLASH_ESCAPES == 0,
            utf8_names: Charset::of_collation(collation) == Some(Charset::Utf8),
        })
    }

    /// The next token; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Token<'a>>, Unreadable> {
        self.skip_blanks_and_comments()?;
        let Some((&first, after)) = self.rest.split_first() else {
            return Ok(None);
        };
        if is_word(first) {
            let end = self.rest.iter().position(|byte| !is_word(*byte));
            let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.rest = rest;
            return Ok(Some(Token::Word(word)));
        }
        self.rest = after;
        match first {
            b'`' => self
                .quoted(b'`', false)
                .map(|name| Some(Token::Name(name, b'`'))),
            b'"' if self.ansi_quotes => self
                .quoted(b'"', false)
                .map(|name| Some(Token::Name(name, b'"'))),
            b'\'' | b'"' => self
                .quoted(first, self.backslash_escapes)
                .map(|_| Some(Token::Text)),
            sign => Ok(Some(Token::Sign(sign))),
        }
    }

    /// The next token without taking it.
    pub(crate) fn peek(&self) -> Result<Option<Token<'a>>, Unreadable> {
        self.clone().next()
    }

    /// Takes the next token if it is one of these words; gives which.
    pub(crate) fn take_word(
        &mut self,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, Unreadable> {
        let mut ahead = self.clone();
        let Some(Token::Word(word)) = ahead.next()? else {
            return Ok(None);
        };
        let found = words
            .iter()
            .find(|known| word.eq_ignore_ascii_case(known.as_bytes()));
        if found.is_some() {
            *self = ahead;
        }
        Ok(found.copied())
    }

    /// Takes the next token if it is this sign.
    pub(crate) fn take_sign(&mut self, sign: u8) -> Result<bool, Unreadable> {
        let found = self.peek()? == Some(Token::Sign(sign));
        if found {
            self.next()?;
        }
        Ok(found)
    }

    /// Takes a name.
    pub(crate) fn take_name(&mut self) -> Result<String, Unreadable> {
        let (bytes, quote) = match self.next()? {
            Some(Token::Word(word)) => (word, None),
            Some(Token::Name(name, quote)) => (name, Some(char::from(quote))),
            _ => return Err(Unreadable),
        };
        if !self.utf8_names && !bytes.is_ascii() {
            return Err(Unreadable);
        }
        let name = std::str::from_utf8(bytes).map_err(|_| Unreadable)?;
        let name = match quote {
            Some(quote) => {
                let twice: String = [quote, quote].iter().collect();
                Cow::Owned(name.replace(&twice, quote.encode_utf8(&mut [0; 4])))
            }
            None => Cow::Borrowed(name),
        };
        if name.is_empty() {
            Err(Unreadable)
        } else {
            Ok(name.into_owned())
        }
    }

    /// Takes everything up to the closing quote; a doubled quote is one inside.
    fn quoted(&mut self, quote: u8, backslash: bool) -> Result<&'a [u8], Unreadable> {
        let text = self.rest;
        let mut at = 0;
        loop {
            match text.get(at) {
                None => return Err(Unreadable),
                Some(b'\\') if backslash => at += 2,
                Some(byte) if *byte == quote => {
                    if text.get(at + 1) != Some(&quote) {
                        self.rest = &text[at + 1..];
                        return Ok(&text[..at]);
                    }
                    at += 2;
                }
                Some(_) => at += 1,
            }
        }
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), Unreadable> {
        loop {
            let rest = self.rest;
            if rest.first().is_some_and(u8::is_ascii_whitespace) || rest.first() == Some(&0x0b) {
                self.rest = &rest[1..];
            } else if rest.starts_with(b"#") || is_dash_comment(rest) {
                let end = rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len());
                self.rest = &rest[end..];
            } else if self.in_executable_comment && rest.starts_with(b"*/") {
                self.rest = &rest[2..];
                self.in_executable_comment = false;
            } else if self.executable_comments
                && let Some(code) = executable_comment(rest)
            {
                self.rest = code;
                self.in_executable_comment = true;
            } else if let Some(comment) = rest.strip_prefix(b"/*") {
                let end = comment
                    .windows(2)
                    .position(|two| two == b"*/")
                    .ok_or(Unreadable)?;
                self.rest = &comment[end + 2..];
            } else {
                return Ok(());
            }
        }
    }
}

/// `--` begins a comment only before a blank, a control character or the end.
fn is_dash_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"--") && rest.get(2).is_none_or(|byte| *byte <= b' ')
}

/// What follows the opening of an executable comment and its version.
fn executable_comment(rest: &[u8]) -> Option<&[u8]> {
    let code = rest
        .strip_prefix(b"/*!")
        .or_else(|| rest.strip_prefix(b"/*M!"))?;
    let digits = code
        .iter()
        .take(6)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    Some(&code[if digits >= 5 { digits } else { 0 }..])
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// big5, sjis, gbk, cp932 and gb18030: a character's second byte may be a backtick or backslash.
/// MariaDB's NO PAD collations are 1024 higher.
fn hides_quotes(collation: u64) -> bool {
    let base = if (1024..2048).contains(&collation) {
        collation - 1024
    } else {
        collation
    };
    matches!(base, 1 | 13 | 28 | 84 | 87 | 88 | 95 | 96 | 248..=250)
}
