//! Searching an index by Tantivy's query grammar.
use serde::Serialize;
use serde_json::value::RawValue;
use tantivy::collector::{Count, TopDocs};
use tantivy::query::{AllQuery, Query, QueryParser};
use tantivy::schema::{Field, Value as _};
use tantivy::{DocAddress, Score, Searcher, TantivyDocument, TantivyError};

use super::index::Searchable;

/// Longest query, in bytes.
const QUERY_BYTES_MAX: usize = 4 * 1024;
/// Deepest nesting of a query: Tantivy's parser goes down the stack once per bracket and per sign.
const QUERY_DEPTH_MAX: usize = 64;

/// What a search found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Rows that match, however many are returned.
    pub total: usize,
    /// The best of them, best first.
    pub hits: Vec<Hit>,
}

/// One row.
#[derive(Debug, Serialize)]
pub struct Hit {
    /// Its key.
    pub key: String,
    /// How well it matches.
    pub score: Score,
    /// Its fields as the log has them; NULL is absent.
    pub fields: Box<RawValue>,
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The query cannot be read, or names an unknown field.
    #[error("{0}")]
    Query(String),
    /// The view has not opened its index yet.
    #[error("the index is not open yet")]
    NotOpen,
    /// The index cannot be read.
    #[error("the index cannot be read: {0}")]
    Index(#[from] TantivyError),
    /// A document is not one of ours.
    #[error("the index holds a document that is no row")]
    NoRow,
}

/// The best `limit` rows that match `q`; an empty `q` matches all.
pub(super) fn search(on: &Searchable, q: &str, limit: usize) -> Result<Found, SearchError> {
    if on.layout.slots.is_empty() {
        // no record has come yet: no field is known, and no row is there
        return Ok(Found {
            total: 0,
            hits: Vec::new(),
        });
    }
    let query = parse(on, q)?;
    let searcher = on.reader.searcher();
    if limit == 0 {
        return Ok(Found {
            total: searcher.search(&query, &Count)?,
            hits: Vec::new(),
        });
    }
    let best = TopDocs::with_limit(limit).order_by_score();
    let (best, total) = searcher.search(&query, &(best, Count))?;
    let hits = best
        .into_iter()
        .map(|(score, address)| hit(on, &searcher, score, address));
    Ok(Found {
        total,
        hits: hits.collect::<Result<_, _>>()?,
    })
}

fn parse(on: &Searchable, q: &str) -> Result<Box<dyn Query>, SearchError> {
    if q.trim().is_empty() {
        return Ok(Box::new(AllQuery));
    }
    check_limits(q)?;
    let defaults = on.layout.default_fields();
    let parser = QueryParser::for_index(&on.index, defaults);
    parser
        .parse_query(q)
        .map_err(|error| SearchError::Query(format!("the query cannot be read: {error}")))
}

fn check_limits(q: &str) -> Result<(), SearchError> {
    if q.len() > QUERY_BYTES_MAX {
        return Err(SearchError::Query(format!(
            "the query has {} bytes, at most {QUERY_BYTES_MAX} are allowed",
            q.len()
        )));
    }
    let (mut depth, mut run) = (0_usize, 0_usize);
    for c in q.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        run = if matches!(c, '+' | '-') || c.is_whitespace() {
            run + 1
        } else {
            0
        };
        if depth > QUERY_DEPTH_MAX || run > QUERY_DEPTH_MAX {
            return Err(SearchError::Query(format!(
                "the query is nested deeper than {QUERY_DEPTH_MAX}"
            )));
        }
    }
    Ok(())
}

fn hit(
    on: &Searchable,
    searcher: &Searcher,
    score: Score,
    address: DocAddress,
) -> Result<Hit, SearchError> {
    let document: TantivyDocument = searcher.doc(address)?;
    let text = |field: Field| {
        document
            .get_first(field)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let key = text(on.layout.key).ok_or(SearchError::NoRow)?;
    let row = text(on.layout.row).ok_or(SearchError::NoRow)?;
    let fields = RawValue::from_string(row).map_err(|_| SearchError::NoRow)?;
    Ok(Hit { key, score, fields })
}
