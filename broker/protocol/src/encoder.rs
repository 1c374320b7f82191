//! Collects one frame to send.
//!
//! Small values are copied into one buffer; larger byte fields, record sets above all, are kept as slices between its
//! parts and leave as they lie, in one vectored write.

use std::mem::size_of;

use bytes::{BufMut, Bytes, BytesMut};

use crate::records::Piece;
use crate::value::Wire;
use crate::wire::{EncodeError, STRING_BYTES_MAX, Version};

/// Byte fields of at least this size are spliced into the output, not copied: below it a copy costs less than
/// one more segment in the vectored write.
const SPLICE_BYTES_MIN: usize = 512;

/// Room for the small values of a usual answer: one allocation instead of one for each doubling.
const USUAL_BYTES: usize = 256;

/// Collects the bytes of one frame: small values in one buffer, large byte fields as slices in between.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: BytesMut,
    /// Slices and the length of `buffer` when they were added, in order.
    spliced: Vec<(usize, Piece)>,
    spliced_bytes: usize,
}

impl Encoder {
    /// An empty frame.
    pub fn new() -> Encoder {
        Encoder {
            buffer: BytesMut::with_capacity(USUAL_BYTES),
            ..Encoder::default()
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced_bytes
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a message that is in memory as a whole: its bytes in order.
    pub fn finish(self) -> Result<Vec<Bytes>, EncodeError> {
        Piece::all_in_memory(self.pieces())
    }

    /// What was written, in order, for one vectored write.
    fn pieces(mut self) -> Vec<Piece> {
        let mut segments = Vec::with_capacity(2 * self.spliced.len() + 1);
        let mut taken = 0;
        for (at, slice) in self.spliced {
            if at > taken {
                segments.push(Piece::Memory(self.buffer.split_to(at - taken).freeze()));
                taken = at;
            }
            segments.push(slice);
        }
        if !self.buffer.is_empty() {
            segments.push(Piece::Memory(self.buffer.freeze()));
        }
        segments
    }

    /// Ends a frame whose first four bytes were kept free for its length, which is filled in.
    pub(crate) fn finish_frame(mut self) -> Result<Vec<Piece>, EncodeError> {
        let length = self.len() - size_of::<i32>();
        let length = i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?;
        self.buffer[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
        Ok(self.pieces())
    }

    /// Writes bytes as they are; large ones are spliced in without a copy.
    pub fn bytes(&mut self, bytes: &Bytes) {
        if bytes.len() >= SPLICE_BYTES_MIN {
            self.splice(Piece::Memory(bytes.clone()));
        } else {
            self.buffer.put_slice(bytes);
        }
    }

    /// Writes a piece as it is; one that lies elsewhere is never copied.
    pub(crate) fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Memory(bytes) => self.bytes(bytes),
            Piece::Stored(_) => self.splice(piece.clone()),
        }
    }

    fn splice(&mut self, piece: Piece) {
        self.spliced_bytes += piece.len();
        self.spliced.push((self.buffer.len(), piece));
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
        for piece in inner.pieces() {
            self.piece(&piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_stand_between_the_bytes_written_around_them() {
        let large = Bytes::from(vec![9; SPLICE_BYTES_MIN]);
        let mut to = Encoder::new();
        to.bytes(&large);
        to.i8(1);
        to.bytes(&Bytes::from_static(&[2]));
        to.bytes(&large);
        to.bytes(&large);
        assert_eq!(to.len(), 3 * SPLICE_BYTES_MIN + 2);
        let segments = to.finish().unwrap();
        assert_eq!(
            segments,
            [
                large.clone(),
                Bytes::from_static(&[1, 2]),
                large.clone(),
                large
            ]
        );
        assert!(Encoder::new().is_empty());
    }
}
