//! Sockets: `listener` accepts, `connection` turns frames into requests and keeps the order of the answers;
//! `frame` reads, `answer` writes, `foreign` knows who has the wrong port.

mod answer;
pub(crate) mod connection;
mod foreign;
mod frame;
pub(crate) mod listener;

pub(crate) use frame::FRAME_BYTES_MAX;
