//! The v2 record batch: parsed once, checked once, then passed by reference.
//!
//! ```text
//!  0        8       12      16 17    21     23       27      35      43      51     53     57      61
//!  | base   | length| epoch |2 | crc | attr | last   | base  | max   | prod. | prod.| base | count | records
//!  | offset |       |       |  |     |      | delta  | time  | time  | id    | epoch| seq. |       |
//!  '------- stamped by us --------'  '------------- covered by the CRC-32C, the client's bytes ------------
//! ```
//!
//! All integers are big-endian. The base offset and the leader epoch lie outside the CRC, so a leader
//! stamps them without touching the body. Message formats 0 and 1 are not read.

mod batch;
mod builder;
mod compression;
mod control;
mod records;
#[cfg(test)]
mod tests;
mod varint;

pub(crate) use batch::{BASE_TIME_AT, CRC_COVERS_FROM, DELETE_HORIZON_BIT, PREFIX_BYTES};
pub use batch::{Batch, BatchError, BatchHeader, HEADER_BYTES, batches};
pub use builder::BatchBuilder;
pub use compression::{Compression, CompressionError};
pub(crate) use control::marker_kind;
pub use control::{ControlMarker, MarkerKind};
pub use records::Record;
pub(crate) use records::{RawRecord, each_raw};
pub(crate) use varint::{len as varint_len, write as write_varint};
