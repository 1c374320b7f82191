//! Reads a search view back over HTTP.

use headrace_servers::Flavor;
use serde_json::Value as Json;

use super::Table;
use super::columns::{Kind, TableShape};
use super::headrace::Headrace;

/// Every document that matches `query`; the hits' keys are the view's keys without `prefix`.
pub fn documents(
    headrace: &Headrace,
    view: &str,
    query: &str,
    shape: &TableShape,
    flavor: Flavor,
) -> Table {
    let answer = search(headrace, view, query);
    let hits = answer["hits"].as_array().expect("hits");
    assert_eq!(
        answer["total"].as_u64(),
        u64::try_from(hits.len()).ok(),
        "a search of more than one page"
    );
    let mut rows = Table::new();
    for hit in hits {
        let row = shape
            .columns
            .iter()
            .filter(|c| indexed(c.kind))
            .filter_map(|c| {
                let value = c.from_json(hit["fields"].get(c.name)?, flavor);
                Some((c.name.to_owned(), value))
            })
            .collect();
        let key = hit["key"].as_str().expect("a key").to_owned();
        if let Some(other) = rows.insert(key, row) {
            panic!("{view}: a key has two documents, {hit} and {other:?}");
        }
    }
    rows
}

/// Whether a column of this kind is in the index at all.
pub fn indexed(kind: Kind) -> bool {
    !matches!(kind, Kind::Binary | Kind::Bits(_))
}

/// The answer of one search, with the largest page.
pub fn search(headrace: &Headrace, view: &str, query: &str) -> Json {
    let query: String = query
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    headrace.json(&format!("/v1/views/{view}/search?q={query}&limit=10000"))
}
