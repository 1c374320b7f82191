//! Views: copies of captured topics in Redis and in search indexes, each always a fold of the log up
//! to a watermark that is stored beside the data and moves with it.
pub mod config;
pub mod expression;
pub mod redis;
pub mod search;
pub mod sink;
pub mod value;
pub mod view;
