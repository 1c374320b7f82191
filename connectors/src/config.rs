//! The tables `[target.NAME]` and `[view.NAME]` of the configuration file, and what can be checked without a server.
//!
//! ```toml
//! [target.cache]
//! redis = "redis://127.0.0.1:6379"
//! [target.search]
//! tantivy = "index"                       # a folder per view below it
//! [view.product_cache]
//! from   = "shop.products"                # database.table of a source
//! to     = "cache"
//! key    = "product:{id}"                 # all primary-key columns and nothing else
//! as     = "hash"                         # Redis only: hash (default) or json (a string)
//! where  = "status != 'draft'"            # leaving the filter deletes the key
//! fields = { name = "name", cost = "price" }   # name in the target = column; left out: all columns
//! ```
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::redis::config as redis_config;
use crate::search::tantivy::config as tantivy_config;
use crate::view::Definition;

/// Where views are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TargetTable")]
pub enum TargetConfig {
    /// A Redis server, version 7 or later.
    Redis {
        /// `redis://[user:password@]host:port[/database]`.
        redis: String,
    },
    /// Embedded search indexes.
    Tantivy {
        /// The folder that holds one folder per view.
        tantivy: PathBuf,
    },
}

/// The table as written: exactly one of the kinds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetTable {
    redis: Option<String>,
    tantivy: Option<PathBuf>,
}

impl TryFrom<TargetTable> for TargetConfig {
    type Error = &'static str;

    fn try_from(table: TargetTable) -> Result<TargetConfig, Self::Error> {
        match (table.redis, table.tantivy) {
            (Some(redis), None) => Ok(TargetConfig::Redis { redis }),
            (None, Some(tantivy)) => Ok(TargetConfig::Tantivy { tantivy }),
            (None, None) => Err("a target needs `redis = \"redis://…\"` or `tantivy = \"FOLDER\"`"),
            (Some(_), Some(_)) => Err("a target has either `redis` or `tantivy`, not both"),
        }
    }
}

/// How a Redis view keeps a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One hash field per column; NULL is an absent field.
    #[default]
    Hash,
    /// A string that holds a JSON object.
    Json,
}

/// One view.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// The `NAME` of `[view.NAME]`; set by whoever reads the file.
    #[serde(skip)]
    pub name: String,
    /// `database.table`, or `source:database.table` where two sources have it.
    pub from: String,
    /// Name of the target.
    pub to: String,
    /// Value form, for Redis targets.
    #[serde(rename = "as", default)]
    pub as_: Option<Form>,
    /// Template of the row's key.
    pub key: String,
    /// Rows that belong to the view.
    #[serde(rename = "where", default)]
    pub where_: Option<String>,
    /// Name in the target -> column.
    #[serde(default)]
    pub fields: Option<BTreeMap<String, String>>,
}

/// A view or target that can never work as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("view `{view}`, `{setting}`: {message}")]
pub struct ConfigError {
    /// Name of the view.
    pub view: String,
    /// The setting inside `[view.NAME]` that is wrong.
    pub setting: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(
        view: &str,
        setting: &'static str,
        message: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            view: view.to_owned(),
            setting,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> ConfigError {
        ConfigError {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Checks everything that needs no server and no schema; [`crate::Views::start`] does the same first.
pub fn check(
    views: &[ViewConfig],
    targets: &BTreeMap<String, TargetConfig>,
) -> Result<(), ConfigError> {
    let mut definitions = Vec::with_capacity(views.len());
    for view in views {
        check_name(view)?;
        let target = targets.get(&view.to).ok_or_else(|| {
            let error = ConfigError::new(
                &view.name,
                "to",
                format!("there is no target `{}`", view.to),
            );
            match nearest(&view.to, targets.keys().map(String::as_str)) {
                Some(known) => error.hint(format!("did you mean `{known}`?")),
                None => error.hint(format!("add [target.{}]", view.to)),
            }
        })?;
        let definition = Definition::new(view)?;
        match target {
            TargetConfig::Redis { redis } => redis_config::check(view, &definition, redis)?,
            TargetConfig::Tantivy { .. } => tantivy_config::check(view)?,
        }
        definitions.push((view, definition));
    }
    check_prefixes(&definitions, targets)
}

/// A view's name is part of a Redis key, a folder and an URL.
fn check_name(view: &ViewConfig) -> Result<(), ConfigError> {
    let name = &view.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        let error = ConfigError::new(
            name,
            "name",
            "a view's name has 1 to 100 letters, digits, `_` or `-`",
        );
        return Err(error.hint("rename the table [view.NAME]"));
    }
    Ok(())
}

/// Two Redis views of one server whose keys could overlap would delete each other's rows on a reset.
fn check_prefixes(
    views: &[(&ViewConfig, Definition)],
    targets: &BTreeMap<String, TargetConfig>,
) -> Result<(), ConfigError> {
    for (at, (view, definition)) in views.iter().enumerate() {
        let Some(TargetConfig::Redis { redis }) = targets.get(&view.to) else {
            continue;
        };
        for (other, other_definition) in &views[..at] {
            let same = matches!(targets.get(&other.to), Some(TargetConfig::Redis { redis: url }) if url == redis);
            let (mine, theirs) = (definition.key().prefix(), other_definition.key().prefix());
            if same && (mine.starts_with(theirs) || theirs.starts_with(mine)) {
                let message = format!(
                    "its keys start with `{mine}` and those of view `{}` with `{theirs}`, in the same Redis",
                    other.name
                );
                return Err(ConfigError::new(&view.name, "key", message)
                    .hint("give each view a prefix of its own, such as `NAME:{id}`"));
            }
        }
    }
    Ok(())
}

/// The known name most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase()),
                known,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, to: &str, key: &str) -> ViewConfig {
        ViewConfig {
            name: name.into(),
            from: "shop.products".into(),
            to: to.into(),
            as_: None,
            key: key.into(),
            where_: None,
            fields: None,
        }
    }

    fn targets() -> BTreeMap<String, TargetConfig> {
        let redis = |url: &str| TargetConfig::Redis { redis: url.into() };
        [
            ("cache".to_owned(), redis("redis://127.0.0.1:6379")),
            ("cache2".to_owned(), redis("redis://127.0.0.1:6379")),
            ("other".to_owned(), redis("redis://127.0.0.1:6380")),
            (
                "search".to_owned(),
                TargetConfig::Tantivy {
                    tantivy: "index".into(),
                },
            ),
        ]
        .into()
    }

    fn error(views: &[ViewConfig]) -> String {
        let error = check(views, &targets()).unwrap_err();
        format!("{error} | {}", error.hint.clone().unwrap_or_default())
    }

    #[test]
    fn good_views_pass() {
        let views = [
            view("a", "cache", "product:{id}"),
            view("b", "cache", "order:{id}"),
            view("c", "other", "product:{id}"),
            view("d", "search", "{id}"),
            view("e", "search", "{id}"),
        ];
        assert_eq!(check(&views, &targets()), Ok(()));
    }

    #[test]
    fn overlapping_prefixes_on_one_redis_are_refused() {
        let expected = "view `b`, `key`: its keys start with `product:x:` and those of view `a` with `product:`, in the same Redis";
        let views = [
            view("a", "cache", "product:{id}"),
            view("b", "cache2", "product:x:{id}"),
        ];
        assert!(error(&views).starts_with(expected), "{}", error(&views));
        assert!(
            check(
                &[view("a", "cache", "p:{id}"), view("b", "cache", "p:{id}")],
                &targets()
            )
            .is_err()
        );
    }

    #[test]
    fn a_redis_key_needs_a_prefix_of_its_own() {
        assert!(error(&[view("a", "cache", "{id}")]).contains("text before the first {"));
        assert!(error(&[view("a", "cache", "__headrace:{id}")]).contains("__headrace:"));
        assert!(error(&[view("a", "cache", "__{id}")]).contains("__headrace:"));
    }

    #[test]
    fn unknown_targets_and_bad_names_are_refused() {
        assert!(
            error(&[view("a", "cach", "p:{id}")])
                .ends_with("there is no target `cach` | did you mean `cache`?")
        );
        assert!(check(&[view("a b", "cache", "p:{id}")], &targets()).is_err());
        assert!(check(&[view("", "cache", "p:{id}")], &targets()).is_err());
    }

    #[test]
    fn bad_expressions_are_errors_of_the_file() {
        let mut bad = view("a", "cache", "p:{id}");
        bad.where_ = Some("status = 'x'".into());
        assert!(error(&[bad]).ends_with("SQL's = is written =="));
        let mut bad = view("a", "search", "p:{id}");
        bad.as_ = Some(Form::Hash);
        assert!(error(&[bad]).contains("`as`"));
    }
}
