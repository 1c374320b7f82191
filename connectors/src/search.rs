//! Views in search indexes.
pub mod tantivy;
