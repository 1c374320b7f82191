//! What AlterConfigs and IncrementalAlterConfigs make of settings: pure, and the same for topics and brokers.

use super::value::entries;
use super::{ConfigError, Kind, Overrides};

/// What is done with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// It gets this value.
    Set(String),
    /// It is set no longer.
    Delete,
    /// These entries come to the end of the list, unless they are in it.
    Append(String),
    /// These entries go.
    Subtract(String),
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edits {
    /// These are set, and nothing else is.
    Replace(Overrides),
    /// These change, the others stay.
    Change(Vec<(String, Operation)>),
}

/// A value as it is kept: without blanks around it, a list without empty and repeated entries.
pub fn normal(kind: Option<Kind>, value: &str) -> String {
    match kind {
        Some(Kind::List) => entries(value).join(","),
        _ => value.trim().to_owned(),
    }
}

/// What is set after the edits. `inherited` gives the type of a setting, and the value that counts where it is not
/// set; names that it does not know are kept, for the check of the outcome to refuse.
pub fn edited(
    before: &Overrides,
    edits: &Edits,
    inherited: &dyn Fn(&str) -> Option<(Kind, String)>,
) -> Result<Overrides, ConfigError> {
    let kind = |name: &str| inherited(name).map(|(kind, _)| kind);
    let changes = match edits {
        Edits::Replace(all) => {
            let all = all.iter();
            let normal = all.map(|(name, value)| (name.clone(), normal(kind(name), value)));
            return Ok(normal.collect());
        }
        Edits::Change(changes) => changes,
    };
    let mut after = before.clone();
    for (name, operation) in changes {
        let value = match operation {
            Operation::Delete => {
                after.remove(name);
                continue;
            }
            Operation::Set(value) => normal(kind(name), value),
            Operation::Append(more) => {
                let list = list(&after, name, inherited)?;
                normal(Some(Kind::List), &format!("{list},{more}"))
            }
            Operation::Subtract(less) => {
                let (list, less) = (list(&after, name, inherited)?, entries(less));
                let mut left = entries(&list);
                left.retain(|entry| !less.contains(entry));
                left.join(",")
            }
        };
        after.insert(name.clone(), value);
    }
    Ok(after)
}

/// The list as it is now.
fn list(
    set: &Overrides,
    name: &str,
    inherited: &dyn Fn(&str) -> Option<(Kind, String)>,
) -> Result<String, ConfigError> {
    match inherited(name) {
        Some((Kind::List, value)) => Ok(set.get(name).cloned().unwrap_or(value)),
        _ => Err(ConfigError::NotAList {
            name: name.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic_config::setting;

    fn inherited(name: &str) -> Option<(Kind, String)> {
        setting(name).map(|row| (row.kind, row.default.to_owned()))
    }

    fn change(
        before: &Overrides,
        name: &str,
        operation: Operation,
    ) -> Result<Overrides, ConfigError> {
        let edits = Edits::Change(vec![(name.to_owned(), operation)]);
        edited(before, &edits, &inherited)
    }

    fn one(name: &str, value: &str) -> Overrides {
        Overrides::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_replacement_forgets_what_it_does_not_name() {
        let edits = Edits::Replace(one("segment.ms", " 5 "));
        let after = edited(&one("retention.ms", "1"), &edits, &inherited);
        assert_eq!(after, Ok(one("segment.ms", "5")));
    }

    #[test]
    fn a_change_leaves_the_others_alone() {
        let before = one("retention.ms", "1");
        let after = change(&before, "segment.ms", Operation::Set("5".to_owned())).unwrap();
        assert_eq!(after.len(), 2);
        let after = change(&after, "retention.ms", Operation::Delete);
        assert_eq!(after, Ok(one("segment.ms", "5")));
        assert_eq!(change(&before, "no.such", Operation::Delete), Ok(before));
    }

    #[test]
    fn lists_grow_and_shrink_from_what_counts_now() {
        let name = "cleanup.policy";
        let none = Overrides::new();
        let append = |text: &str| Operation::Append(text.to_owned());
        let subtract = |text: &str| Operation::Subtract(text.to_owned());
        let both = change(&none, name, append("compact")).unwrap();
        assert_eq!(both, one(name, "delete,compact"));
        assert_eq!(change(&both, name, append("compact")), Ok(both.clone()));
        let compact = change(&both, name, subtract("delete, other")).unwrap();
        assert_eq!(compact, one(name, "compact"));
        assert_eq!(
            change(&compact, name, subtract("compact")),
            Ok(one(name, ""))
        );
        for name in ["retention.ms", "no.such"] {
            let refused = change(&none, name, append("1"));
            let name = name.to_owned();
            assert_eq!(refused, Err(ConfigError::NotAList { name }));
        }
    }
}
