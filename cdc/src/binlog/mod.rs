//! The binary log: event bytes in, events and row values out. Everything here but the stream is
//! pure: no clock, no socket.

mod cursor;
pub mod error;
pub mod event;
pub mod json;
pub mod payload;
pub mod query;
pub mod rows;
pub mod statement;
pub mod stream;
pub mod table_map;
mod token;
pub mod transaction;
pub mod value;
