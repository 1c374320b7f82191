//! Where in the file an error is, and what may have been meant.
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Quoted};

/// Likeness (Jaro-Winkler) from which a known name is suggested for an unknown one.
const LIKE: f64 = 0.75;

/// The text of a configuration file, for finding lines in it.
pub(super) struct Places<'a> {
    text: &'a str,
    path: &'a Path,
}

impl<'a> Places<'a> {
    pub(super) fn of(text: &'a str, path: &'a Path) -> Places<'a> {
        Places { text, path }
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> &'a Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// An error about a key, at its line, or at the line of the nearest table around it.
    pub(super) fn error(&self, keys: &[&str], message: impl Into<String>) -> ConfigError {
        let root = DeTable::parse(self.text).ok();
        let span = root.as_ref().and_then(|root| find(root.get_ref(), keys));
        let name = keys.join(".");
        self.at(span, format!("{}: {}", Quoted(&name), message.into()))
    }

    /// An error of the parser, an unknown key with the nearest known one.
    pub(super) fn toml_error(&self, error: &toml::de::Error) -> ConfigError {
        let message =
            unknown_key(error.message()).unwrap_or_else(|| error.message().replace('\n', " "));
        self.at(error.span(), message)
    }

    fn at(&self, span: Option<Range<usize>>, message: String) -> ConfigError {
        let path = self.path.display();
        let place = match span {
            Some(span) => {
                let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
                let line = String::from_utf8_lossy(before).matches('\n').count() + 1;
                format!("{path}:{line}")
            }
            None => path.to_string(),
        };
        ConfigError { place, message }
    }
}

/// Where the deepest of the keys that exists stands.
fn find(table: &DeTable<'_>, keys: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = keys.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    let deeper = match value.get_ref() {
        DeValue::Table(table) => find(table, rest),
        _ => None,
    };
    Some(deeper.unwrap_or_else(|| Spanned::span(key)))
}

/// Rewrites serde's message about an unknown field, which lists what it knows.
fn unknown_key(message: &str) -> Option<String> {
    let (unknown, expected) = message.strip_prefix("unknown field `")?.split_once("`, ")?;
    let known: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
    Some(match nearest(unknown, known.iter().copied()) {
        Some(near) => format!(
            "unknown key {}; did you mean {}?",
            Quoted(unknown),
            Quoted(near)
        ),
        None => format!(
            "unknown key {}; known here: {}",
            Quoted(unknown),
            known.join(", ")
        ),
    })
}

/// The known name most like `name`, if one is like it.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase()),
                known,
            )
        })
        .filter(|(likeness, _)| *likeness > LIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
