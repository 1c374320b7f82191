//! One column's value as it lies in an envelope: JSON text, read without a JSON tree.
//!
//! ```text
//! 42   -0.5   "text \" escaped"   "aGVsbG8="   {"a":1}   null
//! ```
//! Everything here takes the text of one value that a JSON parser has already checked; a value that
//! is not of the form its column type promises is a [`ValueError`], never a guess.
use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headrace_clients::change::{ColumnType, Row};

/// The value's JSON is not what its column type says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value is not {expected}: {found}")]
pub struct ValueError {
    /// What was expected, for people.
    pub expected: &'static str,
    /// The first characters of what was found.
    pub found: String,
}

impl ValueError {
    /// Describes `json`, cut to a readable length.
    pub fn new(expected: &'static str, json: &str) -> ValueError {
        ValueError {
            expected,
            found: json.chars().take(60).collect(),
        }
    }
}

/// Where a column stands in its schema: its value is looked for there first, then by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index in the table's column order.
    pub index: usize,
    /// The column's name.
    pub name: String,
}

impl Place {
    /// The JSON text of this column in `row`; `None` for NULL and for a row written without it.
    pub fn of<'a>(&self, row: &Row<'a>) -> Option<&'a str> {
        let json = match row.columns.get(self.index) {
            Some((name, value)) if *name == self.name => value.get(),
            _ => row.get(&self.name)?,
        };
        (json != "null").then_some(json)
    }
}

/// The text inside a JSON string; borrowed unless it has escapes.
pub fn unquote(json: &str) -> Result<Cow<'_, str>, ValueError> {
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or_else(|| ValueError::new("a string", json))?;
    if inner.contains('\\') {
        let text: String =
            serde_json::from_str(json).map_err(|_| ValueError::new("a string", json))?;
        Ok(Cow::Owned(text))
    } else {
        Ok(Cow::Borrowed(inner))
    }
}

/// The bytes of a binary column.
pub fn unbase64(json: &str) -> Result<Vec<u8>, ValueError> {
    STANDARD
        .decode(unquote(json)?.as_bytes())
        .map_err(|_| ValueError::new("base64", json))
}

/// The value as plain bytes: a number's digits, a string's text, a binary column's own bytes, JSON as its text.
pub fn plain(ty: ColumnType, json: &str) -> Result<Cow<'_, [u8]>, ValueError> {
    match ty {
        ColumnType::Bytes => unbase64(json).map(Cow::Owned),
        ColumnType::Json => Ok(Cow::Borrowed(json.as_bytes())),
        _ => Ok(match text(json)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }),
    }
}

/// A scalar as text: a number's digits as written, a string's characters.
pub fn text(json: &str) -> Result<Cow<'_, str>, ValueError> {
    if json.starts_with('"') {
        unquote(json)
    } else if json.starts_with(['{', '[']) || json.is_empty() {
        Err(ValueError::new("a number or a string", json))
    } else {
        Ok(Cow::Borrowed(json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        assert!(matches!(
            unquote(r#""plain ä""#),
            Ok(Cow::Borrowed("plain ä"))
        ));
        assert_eq!(unquote(r#""a\"b\u00e4\n""#).unwrap(), "a\"bä\n");
        assert!(unquote("7").is_err());
        assert!(unquote("\"").is_err());
    }

    #[test]
    fn plain_bytes_follow_the_table_of_values() {
        let plain = |ty, json| plain(ty, json).map(Cow::into_owned);
        assert_eq!(
            plain(ColumnType::UInt, "18446744073709551615").unwrap(),
            b"18446744073709551615"
        );
        assert_eq!(plain(ColumnType::Text, r#""x\ty""#).unwrap(), b"x\ty");
        assert_eq!(plain(ColumnType::Bytes, r#""AP8=""#).unwrap(), [0, 255]);
        assert_eq!(
            plain(ColumnType::Json, r#"{"a": [1.10]}"#).unwrap(),
            br#"{"a": [1.10]}"#
        );
        assert!(plain(ColumnType::Bytes, r#""not base64!""#).is_err());
        assert!(plain(ColumnType::Int, "[1]").is_err());
    }

    #[test]
    fn a_value_is_found_by_place_then_by_name() {
        let row = Row::parse(br#"{"a":1,"b":null,"c":"x"}"#).unwrap();
        let at = |index, name: &str| {
            Place {
                index,
                name: name.into(),
            }
            .of(&row)
        };
        assert_eq!(at(2, "c"), Some("\"x\""));
        assert_eq!(at(0, "c"), Some("\"x\""));
        assert_eq!(at(9, "a"), Some("1"));
        assert_eq!(at(1, "b"), None);
        assert_eq!(at(1, "none"), None);
    }
}
