//! Views in embedded Tantivy indexes, one folder per view, with the watermark in the commit's payload.
pub mod config;
