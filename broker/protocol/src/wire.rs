//! The wire's primitive values: how they lie, and what can be wrong with them.
//!
//! ```text
//!                classic versions                 flexible versions ("compact")
//! string         int16 length, UTF-8              uvarint length+1, UTF-8      null: length -1, or 0
//! bytes,records  int32 length, bytes              uvarint length+1, bytes      null: length -1, or 0
//! array          int32 count, elements            uvarint count+1, elements    null: count -1, or 0
//! struct         its fields in order              the same, then the tag buffer: uvarint count,
//!                                                 count x (uvarint tag, uvarint size, value)
//!                that may be null: int8 1 before it, or -1 alone
//! ```
//!
//! Integers are big-endian; a uvarint has 7 bits a byte, lowest first, at most 32 bits. [`Decoder`] reads these
//! values off a frame, [`Encoder`] collects them into one.

pub use crate::decoder::Decoder;
pub use crate::encoder::Encoder;

/// Kafka's own limit for every string, compact ones too.
pub(crate) const STRING_BYTES_MAX: usize = 0x7fff;

/// Why bytes are not a message. The answer is always the same: the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A value, a length or a count asks for more bytes than the frame has left.
    #[error("frame too short: {wanted} more bytes wanted, {left} left")]
    Short {
        /// Bytes (or elements of at least one byte) asked for.
        wanted: usize,
        /// Bytes left in the frame.
        left: usize,
    },
    /// A variable-length integer of more than 32 bits.
    #[error("variable-length integer of more than 32 bits")]
    Varint,
    /// A length or count below -1.
    #[error("negative length {0}")]
    Length(i32),
    /// A string longer than 32,767 bytes or not UTF-8.
    #[error("string too long or not UTF-8")]
    Text,
    /// Null where the version does not allow it.
    #[error("null in a field that is not nullable")]
    Null,
    /// The frame would need more memory than 4 times its length and 64 KiB.
    #[error("frame expands to more than 4 times its length")]
    Expansion,
    /// A list that is longer than any that makes sense.
    #[error("a list of {count} elements, where {max} are the most")]
    Count {
        /// Elements it says it has.
        count: usize,
        /// Elements it may have.
        max: usize,
    },
    /// A known tagged field whose value does not end where its size says.
    #[error("tagged field {0} does not match its size")]
    Tag(u32),
    /// A version that the message does not have, or an API key that does not exist.
    #[error("version {version} of API {key} is not supported")]
    Version {
        /// API key of the message, -1 if it has none.
        key: i16,
        /// The version asked for.
        version: i16,
    },
}

/// Why a value cannot be sent. Each is a mistake of the sender, never of the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field that is not ignorable has a value and the version has no such field.
    #[error("field {field} is set, but version {version} has no such field")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null and the version does not allow it.
    #[error("field {field} is null, which version {version} does not allow")]
    Null {
        /// Name of the field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string above 32,767 bytes, or a frame, array or byte field above 2 GiB.
    #[error("value of {0} bytes or elements is too long for its length field")]
    TooLong(usize),
    /// Records that lie elsewhere, in a message that has to be in memory as a whole.
    #[error("stored records in a message other than a fetch response")]
    Stored,
    /// A version that the message does not have.
    #[error("version {version} of API {key} is not supported")]
    Version {
        /// API key of the message, -1 if it has none.
        key: i16,
        /// The version asked for.
        version: i16,
    },
}

/// Version of the message being read or written, with what it says about the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The number from the request header.
    pub number: i16,
    /// Compact lengths and tag buffers.
    pub flexible: bool,
}
