//! Reading and writing the primitive values of Kafka's wire: a [`Decoder`] over one received frame and an
//! [`Encoder`] that collects the pieces of one frame to send.
//!
//! ```text
//!                classic versions                 flexible versions ("compact")
//! string         int16 length, UTF-8              uvarint length+1, UTF-8      null: length -1, or 0
//! bytes,records  int32 length, bytes              uvarint length+1, bytes      null: length -1, or 0
//! array          int32 count, elements            uvarint count+1, elements    null: count -1, or 0
//! struct         its fields in order              the same, then the tag buffer: uvarint count,
//!                                                 count x (uvarint tag, uvarint size, value)
//! ```
//!
//! Invariants:
//! - decoding never panics, and a count or length is compared with the bytes left before anything is reserved;
//! - all memory that one frame makes the decoder reserve is at most 4 x frame + 64 KiB ([`Decoder::reserve`]);
//! - strings and byte fields are slices of the frame, not copies; one that outlives the request keeps the whole
//!   frame alive, so state that stays is built from [`Str::detached`];
//! - the encoder copies small byte fields and splices larger ones, so record sets leave as they lie.

use std::mem::size_of;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::text::Str;
use crate::value::Wire;

/// Byte fields of at least this size are spliced into the output, not copied: below it a copy costs less than
/// one more segment in the vectored write.
const SPLICE_BYTES_MIN: usize = 512;

/// Kafka's own limit for every string, compact ones too.
const STRING_BYTES_MAX: usize = 0x7fff;

/// Memory that a frame of any size may make the decoder reserve, besides [`EXPANSION_MAX`] times its length.
const EXPANSION_BYTES_FREE: usize = 64 * 1024;

/// How many times its own length a frame may make the decoder reserve. Frames of real clients stay below 4: an
/// element is at most about four times its bytes on the wire once names have their usual length.
const EXPANSION_MAX: usize = 4;

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

/// Reads values off the front of one frame.
#[derive(Debug, Clone)]
pub struct Decoder {
    rest: Bytes,
    expansion_left: usize,
}

impl Decoder {
    /// Starts at the front of a frame (without its length prefix).
    pub fn new(frame: Bytes) -> Decoder {
        let expansion_left = frame
            .len()
            .saturating_mul(EXPANSION_MAX)
            .saturating_add(EXPANSION_BYTES_FREE);
        Decoder {
            rest: frame,
            expansion_left,
        }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `length` bytes as a slice of the frame.
    pub fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.check(length)?;
        Ok(self.rest.split_to(length))
    }

    /// Reads one byte, big-endian like all of Kafka's integers.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.check(size_of::<i8>())?;
        Ok(self.rest.get_i8())
    }

    /// Reads two bytes.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.check(size_of::<i16>())?;
        Ok(self.rest.get_i16())
    }

    /// Reads four bytes.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.check(size_of::<i32>())?;
        Ok(self.rest.get_i32())
    }

    /// Reads eight bytes.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.check(size_of::<i64>())?;
        Ok(self.rest.get_i64())
    }

    /// Reads the next `N` bytes as they are.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.check(N)?;
        let mut array = [0; N];
        self.rest.copy_to_slice(&mut array);
        Ok(array)
    }

    /// Reads an unsigned variable-length integer: 7 bits a byte, lowest first, at most 5 bytes.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            self.check(1)?;
            let byte = self.rest.get_u8();
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::Varint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// Reads the length of bytes or the count of an array, `None` for null, and checks it against the bytes left:
    /// an element is at least one byte.
    pub fn length(&mut self, version: Version) -> Result<Option<usize>, DecodeError> {
        let length = if version.flexible {
            self.uvarint()?.checked_sub(1)
        } else {
            let length = self.i32()?;
            match u32::try_from(length) {
                Ok(length) => Some(length),
                Err(_) if length == -1 => None,
                Err(_) => return Err(DecodeError::Length(length)),
            }
        };
        self.checked_length(length)
    }

    /// Reads the length of a string, `None` for null.
    pub fn string_length(&mut self, version: Version) -> Result<Option<usize>, DecodeError> {
        if version.flexible {
            return self.length(version);
        }
        let length = self.i16()?;
        match u16::try_from(length) {
            Ok(length) => self.checked_length(Some(u32::from(length))),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::Length(i32::from(length))),
        }
    }

    /// Reads a string, `None` for null.
    pub fn string(&mut self, version: Version) -> Result<Option<Str>, DecodeError> {
        let Some(length) = self.string_length(version)? else {
            return Ok(None);
        };
        if length > STRING_BYTES_MAX {
            return Err(DecodeError::Text);
        }
        Str::from_utf8(self.bytes(length)?)
            .map(Some)
            .map_err(|_| DecodeError::Text)
    }

    /// Accounts for memory about to be reserved; an error once the frame's share is used up.
    pub fn reserve<T>(&mut self, count: usize) -> Result<(), DecodeError> {
        let bytes = count.saturating_mul(size_of::<T>());
        self.expansion_left = self
            .expansion_left
            .checked_sub(bytes)
            .ok_or(DecodeError::Expansion)?;
        Ok(())
    }

    /// Reads the head of the next tagged field.
    pub(crate) fn tagged(&mut self) -> Result<Tagged, DecodeError> {
        let tag = self.uvarint()?;
        let size = usize::try_from(self.uvarint()?).map_err(|_| DecodeError::Tag(tag))?;
        self.check(size)?;
        Ok(Tagged {
            tag,
            left_after: self.left() - size,
        })
    }

    /// Ends a tagged field: one that was read must end where its size says, an unknown one is skipped.
    pub(crate) fn end_tagged(&mut self, tagged: &Tagged, read: bool) -> Result<(), DecodeError> {
        let unread = self
            .left()
            .checked_sub(tagged.left_after)
            .ok_or(DecodeError::Tag(tagged.tag))?;
        if read && unread > 0 {
            return Err(DecodeError::Tag(tagged.tag));
        }
        self.rest.advance(unread);
        Ok(())
    }

    /// Skips a whole tag buffer, of which no tag is known.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            let tagged = self.tagged()?;
            self.end_tagged(&tagged, false)?;
        }
        Ok(())
    }

    fn check(&self, wanted: usize) -> Result<(), DecodeError> {
        let left = self.left();
        if wanted > left {
            Err(DecodeError::Short { wanted, left })
        } else {
            Ok(())
        }
    }

    fn checked_length(&self, length: Option<u32>) -> Result<Option<usize>, DecodeError> {
        let Some(length) = length else {
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.check(length)?;
        Ok(Some(length))
    }
}

/// Head of a tagged field: its tag, and how many bytes of the frame are left behind its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tagged {
    pub(crate) tag: u32,
    left_after: usize,
}

/// Collects the bytes of one frame: small values in one buffer, large byte fields as slices in between.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: BytesMut,
    /// Slices and the length of `buffer` when they were added, in order.
    spliced: Vec<(usize, Bytes)>,
    spliced_bytes: usize,
}

impl Encoder {
    /// An empty frame.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced_bytes
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the frame: its bytes in order, for one vectored write.
    pub fn finish(mut self) -> Vec<Bytes> {
        let mut segments = Vec::with_capacity(2 * self.spliced.len() + 1);
        let mut taken = 0;
        for (at, slice) in self.spliced {
            if at > taken {
                segments.push(self.buffer.split_to(at - taken).freeze());
                taken = at;
            }
            segments.push(slice);
        }
        if !self.buffer.is_empty() {
            segments.push(self.buffer.freeze());
        }
        segments
    }

    /// Ends a frame whose first four bytes were kept free for its length, which is filled in.
    pub(crate) fn finish_frame(mut self) -> Result<Vec<Bytes>, EncodeError> {
        let length = self.len() - size_of::<i32>();
        let length = i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?;
        self.buffer[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
        Ok(self.finish())
    }

    /// Writes bytes as they are; large ones are spliced in without a copy.
    pub fn bytes(&mut self, bytes: &Bytes) {
        if bytes.len() >= SPLICE_BYTES_MIN {
            self.spliced_bytes += bytes.len();
            self.spliced.push((self.buffer.len(), bytes.clone()));
        } else {
            self.buffer.put_slice(bytes);
        }
    }

    /// Writes the bytes of an array as they are.
    pub fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.buffer.put_slice(bytes);
    }

    /// Writes one byte.
    pub fn i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    /// Writes two bytes, big-endian.
    pub fn i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    /// Writes four bytes, big-endian.
    pub fn i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// Writes eight bytes, big-endian.
    pub fn i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    /// Writes an unsigned variable-length integer.
    pub fn uvarint(&mut self, mut value: u32) {
        while value > 0x7f {
            self.buffer.put_u8(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value.to_le_bytes()[0]);
    }

    /// Writes the length of bytes or the count of an array, `None` for null.
    pub fn length(&mut self, length: Option<usize>, version: Version) -> Result<(), EncodeError> {
        let length = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?,
        };
        if version.flexible {
            self.uvarint(length.wrapping_add(1).cast_unsigned());
        } else {
            self.i32(length);
        }
        Ok(())
    }

    /// Writes a string, `None` for null.
    pub fn string(&mut self, string: Option<&str>, version: Version) -> Result<(), EncodeError> {
        let length = match string {
            None => -1,
            Some(text) if text.len() > STRING_BYTES_MAX => {
                return Err(EncodeError::TooLong(text.len()));
            }
            Some(text) => {
                i16::try_from(text.len()).map_err(|_| EncodeError::TooLong(text.len()))?
            }
        };
        if version.flexible {
            self.uvarint(u32::from(length.wrapping_add(1).cast_unsigned()));
        } else {
            self.i16(length);
        }
        self.buffer.put_slice(string.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Writes a tagged field: its value goes to a frame of its own first, because its size stands before it.
    pub(crate) fn tagged<T: Wire>(
        &mut self,
        tag: u32,
        value: &T,
        version: Version,
    ) -> Result<(), EncodeError> {
        let mut inner = Encoder::new();
        value.write(&mut inner, version)?;
        let size = inner.len();
        self.uvarint(tag);
        self.uvarint(u32::try_from(size).map_err(|_| EncodeError::TooLong(size))?);
        for segment in inner.finish() {
            self.bytes(&segment);
        }
        Ok(())
    }
}
