//! Sockets: `listener` accepts, `connection` turns frames into requests and keeps the order of the answers.

pub(crate) mod connection;
mod frame;
pub(crate) mod listener;
