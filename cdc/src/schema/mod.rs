//! What is known of a table: its columns and key ([`table`]), and how a snapshot reads them
//! ([`select`]).

pub mod charset;
pub mod select;
pub mod table;
