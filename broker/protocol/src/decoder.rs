//! Reads one received frame.
//!
//! Invariants:
//! - decoding never panics, and a count or length is compared with the bytes left before anything is reserved;
//! - all memory that one frame makes the decoder reserve is at most 4 x frame + 64 KiB ([`Decoder::reserve`]);
//! - strings and byte fields are slices of the frame, not copies; one that outlives the request keeps the whole
//!   frame alive, so state that stays is built from [`Str::detached`].

use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::text::Str;
use crate::wire::{DecodeError, STRING_BYTES_MAX, Version};

/// Memory that a frame of any size may make the decoder reserve, besides [`EXPANSION_MAX`] times its length: 64 KiB
/// less what is not counted, the reference counts behind slices of the frame.
const EXPANSION_BYTES_FREE: usize = 63 * 1024;

/// How many times its own length a frame may make the decoder reserve. Frames of real clients stay below 4: an
/// element is at most about four times its bytes on the wire once names have their usual length.
const EXPANSION_MAX: usize = 4;

/// Reads values off the front of one frame.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// Shared with every string read from it.
    frame: Arc<Bytes>,
    /// Bytes read so far.
    at: usize,
    expansion_left: usize,
    /// How many elements the list that is read next may have.
    count_max: Option<usize>,
}

impl Decoder {
    /// Starts at the front of a frame (without its length prefix).
    pub fn new(frame: Bytes) -> Decoder {
        let expansion_left = frame
            .len()
            .saturating_mul(EXPANSION_MAX)
            .saturating_add(EXPANSION_BYTES_FREE);
        Decoder {
            frame: Arc::new(frame),
            at: 0,
            expansion_left,
            count_max: None,
        }
    }

    /// Bounds the list that is read next.
    pub(crate) fn bound_next_list(&mut self, count_max: Option<usize>) {
        self.count_max = count_max;
    }

    /// Checks the count of a list against the bound that its field has, if any.
    pub(crate) fn check_count(&mut self, count: usize) -> Result<(), DecodeError> {
        match self.count_max.take() {
            Some(max) if count > max => Err(DecodeError::Count { count, max }),
            _ => Ok(()),
        }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.frame.len() - self.at
    }

    /// Takes the next `length` bytes as a slice of the frame.
    pub fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let range = self.take(length)?;
        Ok(self.frame.slice(range))
    }

    /// Reads the next `N` bytes as they are.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let range = self.take(N)?;
        Ok(self.frame[range]
            .try_into()
            .expect("the range is N bytes long"))
    }

    /// Reads one byte.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    /// Reads two bytes, big-endian like all of Kafka's integers.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// Reads four bytes, big-endian.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Reads eight bytes, big-endian.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Reads an unsigned variable-length integer: 7 bits a byte, lowest first, at most 5 bytes.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
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
        let range = self.take(length)?;
        Str::shared(&self.frame, range)
            .map(Some)
            .ok_or(DecodeError::Text)
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
        self.at += unread;
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

    /// Moves past the next `length` bytes and says where they are.
    fn take(&mut self, length: usize) -> Result<Range<usize>, DecodeError> {
        self.check(length)?;
        let from = self.at;
        self.at += length;
        Ok(from..self.at)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{EncodeError, Encoder};

    const CLASSIC: Version = Version {
        number: 0,
        flexible: false,
    };
    const COMPACT: Version = Version {
        number: 9,
        flexible: true,
    };

    fn written(write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
        let mut to = Encoder::new();
        write(&mut to);
        to.finish().unwrap().concat()
    }

    fn reader(bytes: &[u8]) -> Decoder {
        Decoder::new(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn variable_length_integers_have_seven_bits_a_byte_lowest_first() {
        let golden: [(u32, &[u8]); 6] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 1]),
            (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in golden {
            assert_eq!(written(|to| to.uvarint(value)), bytes);
            assert_eq!(reader(bytes).uvarint(), Ok(value));
        }
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint(),
            Err(DecodeError::Varint)
        );
        assert_eq!(
            reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]).uvarint(),
            Err(DecodeError::Varint)
        );
        assert_eq!(
            reader(&[0x80]).uvarint(),
            Err(DecodeError::Short { wanted: 1, left: 0 })
        );
    }

    #[test]
    fn a_length_is_compared_with_the_bytes_left() {
        assert_eq!(
            reader(&[0, 0, 0, 2, 7]).length(CLASSIC),
            Err(DecodeError::Short { wanted: 2, left: 1 })
        );
        assert_eq!(reader(&[0, 0, 0, 1, 7]).length(CLASSIC), Ok(Some(1)));
        assert_eq!(reader(&[0xff; 4]).length(CLASSIC), Ok(None));
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xfe]).length(CLASSIC),
            Err(DecodeError::Length(-2))
        );
        assert_eq!(reader(&[0]).length(COMPACT), Ok(None));
        assert_eq!(reader(&[2, 7]).length(COMPACT), Ok(Some(1)));
        assert_eq!(
            reader(&[0xff, 0xfe]).string(CLASSIC),
            Err(DecodeError::Length(-2))
        );
        assert_eq!(
            reader(&[0, 1, 0xff]).string(CLASSIC),
            Err(DecodeError::Text)
        );
    }

    #[test]
    fn a_string_has_at_most_32767_bytes_in_either_layout() {
        let longest = "x".repeat(STRING_BYTES_MAX);
        for version in [CLASSIC, COMPACT] {
            let bytes = written(|to| to.string(Some(&longest), version).expect("not too long"));
            assert_eq!(
                reader(&bytes).string(version),
                Ok(Some(Str::from(longest.as_str())))
            );
            let mut to = Encoder::new();
            let too_long = to.string(Some(&format!("{longest}x")), version);
            assert_eq!(too_long, Err(EncodeError::TooLong(STRING_BYTES_MAX + 1)));
        }
        let mut bytes = written(|to| to.uvarint(32_769));
        bytes.resize(40_000, b'x');
        assert_eq!(reader(&bytes).string(COMPACT), Err(DecodeError::Text));
    }

    #[test]
    fn memory_beyond_the_share_of_the_frame_is_refused() {
        let mut from = reader(&[0; 100]);
        assert_eq!(from.reserve::<u64>(8_000), Ok(()));
        assert_eq!(from.reserve::<u64>(1_000), Err(DecodeError::Expansion));
        assert_eq!(from.reserve::<u64>(usize::MAX), Err(DecodeError::Expansion));
        assert_eq!(from.reserve::<u8>(912), Ok(()));
        assert_eq!(from.reserve::<u8>(1), Err(DecodeError::Expansion));
    }
}
