//! A reader over event bytes that never passes their end: every read is an `Option`, and `None`
//! means the bytes were too short. Little-endian unless the name says otherwise.

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned integer of `length` bytes, at most 8.
    pub(crate) fn uint(&mut self, length: usize) -> Option<u64> {
        let bytes = self.take(length)?;
        let mut wide = [0; 8];
        wide.get_mut(..length)?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(wide))
    }

    /// A big-endian unsigned integer of `length` bytes, at most 8.
    pub(crate) fn uint_be(&mut self, length: usize) -> Option<u64> {
        let bytes = self.take(length)?;
        let mut wide = [0; 8];
        wide.get_mut(8_usize.checked_sub(length)?..)?
            .copy_from_slice(bytes);
        Some(u64::from_be_bytes(wide))
    }

    /// MySQL's length-encoded integer: one byte up to 250, or 252, 253, 254 before 2, 3, 8 bytes.
    pub(crate) fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            short @ 0..=250 => Some(u64::from(short)),
            252 => self.uint(2),
            253 => self.uint(3),
            254 => self.uint(8),
            _ => None,
        }
    }

    /// A length-encoded length.
    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.lenenc()?).ok()
    }

    /// Bytes after their length-encoded length.
    pub(crate) fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// The variable-length integer of MySQL's serialization library: as many 1 bits at the low end
    /// of the first byte as bytes follow it.
    pub(crate) fn varlen(&mut self) -> Option<u64> {
        let first = *self.rest.first()?;
        let ones = usize::try_from(first.trailing_ones()).ok()?;
        if ones == 8 {
            self.u8()?;
            return self.u64();
        }
        Some(self.uint(ones + 1)? >> (ones + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_odd_lengths_read_in_both_orders() {
        let bytes = [1, 2, 3];
        assert_eq!(Cursor::new(&bytes).uint(3), Some(0x03_02_01));
        assert_eq!(Cursor::new(&bytes).uint_be(3), Some(0x01_02_03));
        assert_eq!(Cursor::new(&bytes).uint(4), None);
        assert_eq!(Cursor::new(&[0; 16]).uint(9), None);
        assert_eq!(Cursor::new(&[0; 16]).uint_be(9), None);
    }

    #[test]
    fn varlen_integers_read_by_their_low_ones() {
        assert_eq!(Cursor::new(&[0x02]).varlen(), Some(1));
        assert_eq!(Cursor::new(&[0x01, 0x02]).varlen(), Some(0x80));
        assert_eq!(
            Cursor::new(&[0xff, 1, 0, 0, 0, 0, 0, 0, 0]).varlen(),
            Some(1)
        );
        assert_eq!(Cursor::new(&[0xff, 1]).varlen(), None);
    }
}
