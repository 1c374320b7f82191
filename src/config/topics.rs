//! Which topic a view reads: `from = "database.table"` or `"source:database.table"`.
use headrace_cdc::SourceConfig;
use headrace_clients::change::topic_name;

use super::Quoted;
use super::place::nearest;

/// The captured tables of all sources, and their topics.
#[derive(Debug, Clone)]
pub(crate) struct Topics(Vec<Captured>);

#[derive(Debug, Clone)]
struct Captured {
    source: String,
    /// `database.table`
    table: String,
    topic: String,
}

impl Topics {
    /// Tables that cannot be read as `database.table` are the source's error and left out here.
    pub(crate) fn of(sources: &[SourceConfig]) -> Topics {
        let tables = sources.iter().flat_map(|source| {
            let tables = source.checked_tables().unwrap_or_default();
            tables.into_iter().map(move |name| Captured {
                source: source.name.clone(),
                table: name.to_string(),
                topic: topic_name(&source.name, &name.database, &name.table),
            })
        });
        Topics(tables.collect())
    }

    /// The topic that `from` means, or what is wrong with it.
    pub(crate) fn find(&self, from: &str) -> Result<String, String> {
        let (source, table) = match from.split_once(':') {
            Some((source, table)) => (Some(source), table),
            None => (None, from),
        };
        let matches = |captured: &&Captured| {
            captured.table == table && source.is_none_or(|source| captured.source == source)
        };
        let found: Vec<_> = self.0.iter().filter(matches).collect();
        match found.as_slice() {
            [one] => Ok(one.topic.clone()),
            [] => Err(self.unknown(from, table)),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .map(|one| format!("{}:{}", one.source, one.table))
                    .collect();
                Err(format!(
                    "several sources capture {}; write one of {}",
                    Quoted(table),
                    names.join(", ")
                ))
            }
        }
    }

    fn unknown(&self, from: &str, table: &str) -> String {
        match nearest(table, self.0.iter().map(|captured| captured.table.as_str())) {
            Some(near) if near != table => {
                format!(
                    "no source captures {}; did you mean {}?",
                    Quoted(from),
                    Quoted(near)
                )
            }
            _ => format!(
                "no source captures {}; add the table to `tables` of a [source.NAME]",
                Quoted(from)
            ),
        }
    }
}
