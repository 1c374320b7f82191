//! Views in embedded Tantivy indexes, one folder per view, with the watermark in the commit's payload.
//!
//! ```text
//! TARGET/VIEW/meta.json   payload = log, definition, layout, and per partition epoch, offset, csn, index
//!             *.…         segments
//! ```
//! One rename of `meta.json` makes documents and watermark durable together. A document is
//! the row's key (a term, by which it is replaced), the row as JSON text (stored, exact) and one indexed
//! field per column. An index has the columns of the newest schema; a column added later, or of another
//! kind, empties the index and reads the log again, as do another log and another definition.
pub mod config;
mod encode;
mod index;
mod layout;
mod payload;
mod query;
mod sink;
#[cfg(test)]
mod tests;

pub use encode::TantivyValue;
pub use query::{Found, Hit, SearchError};
pub use sink::{TantivySink, TantivyTarget};
