//! What is known of a table: its columns and key ([`table`]), what the server says about it
//! ([`inspect`]), and how a snapshot reads its values
//! ([`select`]).

pub mod charset;
pub mod inspect;
pub mod select;
pub mod table;
