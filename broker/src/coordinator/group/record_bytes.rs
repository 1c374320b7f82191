//! Kafka's primitive encodings, as far as the records of `__consumer_offsets` use them.
//!
//! Big-endian integers; a text or byte field is a length and the bytes. Versions up to 3 ("fixed"):
//! the length is an `i16` (text), `i32` (bytes, arrays), -1 for null. Version 4 ("flexible"): an unsigned
//! varint of length + 1, 0 for null, and each struct ends with tagged fields.
//! Nothing is reserved from a length that is read; every length is checked against the bytes left.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why the bytes are no record of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end early, or a length points past their end.
    #[error("record is cut short")]
    CutShort,
    /// A text is not UTF-8.
    #[error("text in record is not UTF-8")]
    NotUtf8,
    /// A field that must be there is null.
    #[error("null in a field that must not be null")]
    UnexpectedNull,
    /// A version this broker does not know.
    #[error("unknown record version {0}")]
    UnknownVersion(i16),
    /// A text or list is longer than its length field can say.
    #[error("field of {0} bytes is too long for its record")]
    TooLong(usize),
}

/// Reads fields one after another.
#[derive(Debug)]
pub(super) struct Fields {
    bytes: Bytes,
    flexible: bool,
}

impl Fields {
    /// Fields of a fixed version.
    pub(super) fn new(bytes: Bytes) -> Fields {
        Fields {
            bytes,
            flexible: false,
        }
    }

    /// What follows is encoded the flexible way.
    pub(super) fn flexible(mut self, flexible: bool) -> Fields {
        self.flexible = flexible;
        self
    }

    fn take(&mut self, len: usize) -> Result<Bytes, RecordError> {
        if len > self.bytes.len() {
            return Err(RecordError::CutShort);
        }
        Ok(self.bytes.split_to(len))
    }

    /// Bytes without a length.
    pub(super) fn raw(&mut self, len: usize) -> Result<Bytes, RecordError> {
        self.take(len)
    }

    pub(super) fn i8(&mut self) -> Result<i8, RecordError> {
        Ok(self.take(1)?.get_i8())
    }

    pub(super) fn i16(&mut self) -> Result<i16, RecordError> {
        Ok(self.take(2)?.get_i16())
    }

    pub(super) fn i32(&mut self) -> Result<i32, RecordError> {
        Ok(self.take(4)?.get_i32())
    }

    pub(super) fn i64(&mut self) -> Result<i64, RecordError> {
        Ok(self.take(8)?.get_i64())
    }

    fn varint(&mut self) -> Result<usize, RecordError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = u32::from(self.take(1)?.get_u8());
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(|_| RecordError::CutShort);
            }
        }
        Err(RecordError::CutShort)
    }

    /// A length; `None` for null.
    fn len(&mut self, narrow: bool) -> Result<Option<usize>, RecordError> {
        let len = if self.flexible {
            return Ok(self.varint()?.checked_sub(1));
        } else if narrow {
            i32::from(self.i16()?)
        } else {
            self.i32()?
        };
        Ok(usize::try_from(len).ok())
    }

    pub(super) fn nullable_text(&mut self) -> Result<Option<Arc<str>>, RecordError> {
        let Some(len) = self.len(true)? else {
            return Ok(None);
        };
        let bytes = self.take(len)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| RecordError::NotUtf8)?;
        Ok(Some(Arc::from(text)))
    }

    pub(super) fn text(&mut self) -> Result<Arc<str>, RecordError> {
        self.nullable_text()?.ok_or(RecordError::UnexpectedNull)
    }

    /// A byte field, copied: it outlives the batch it came in.
    pub(super) fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let len = self.len(false)?.ok_or(RecordError::UnexpectedNull)?;
        Ok(Bytes::copy_from_slice(&self.take(len)?))
    }

    /// The length of a list that may be null.
    pub(super) fn nullable_count(&mut self) -> Result<Option<usize>, RecordError> {
        self.len(false)
    }

    /// The length of a list; the caller reads that many elements and must not reserve for them.
    pub(super) fn count(&mut self) -> Result<usize, RecordError> {
        self.len(false)?.ok_or(RecordError::UnexpectedNull)
    }

    /// The tagged fields that end a struct of a flexible version; `each` sees tag and bytes.
    pub(super) fn tags(
        &mut self,
        mut each: impl FnMut(usize, Bytes) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let len = self.varint()?;
            each(tag, self.take(len)?)?;
        }
        Ok(())
    }
}

/// Writes fields one after another.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: BytesMut,
    flexible: bool,
}

impl Writer {
    /// Begins with the version, which every key and value does.
    pub(super) fn new(version: i16, flexible: bool) -> Writer {
        let mut bytes = BytesMut::new();
        bytes.put_i16(version);
        Writer { bytes, flexible }
    }

    /// What stands inside a tag: no version.
    pub(super) fn bare(flexible: bool) -> Writer {
        Writer {
            bytes: BytesMut::new(),
            flexible,
        }
    }

    /// Bytes without a length.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    pub(super) fn i8(&mut self, value: i8) {
        self.bytes.put_i8(value);
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.put_i32(value);
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes.put_i64(value);
    }

    fn varint(&mut self, value: usize) -> Result<(), RecordError> {
        let mut rest = u32::try_from(value).map_err(|_| RecordError::TooLong(value))?;
        while let [low, ..] = rest.to_le_bytes()
            && rest >= 0x80
        {
            self.bytes.put_u8(low | 0x80);
            rest >>= 7;
        }
        let [low, ..] = rest.to_le_bytes();
        self.bytes.put_u8(low);
        Ok(())
    }

    pub(super) fn nullable_text(&mut self, text: Option<&str>) -> Result<(), RecordError> {
        match text {
            Some(text) => {
                let len =
                    i16::try_from(text.len()).map_err(|_| RecordError::TooLong(text.len()))?;
                if self.flexible {
                    self.varint(text.len() + 1)?;
                } else {
                    self.bytes.put_i16(len);
                }
                self.bytes.put_slice(text.as_bytes());
            }
            None if self.flexible => self.varint(0)?,
            None => self.bytes.put_i16(-1),
        }
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), RecordError> {
        self.nullable_text(Some(text))
    }

    pub(super) fn count(&mut self, len: usize) -> Result<(), RecordError> {
        if self.flexible {
            self.varint(len + 1)?;
        } else {
            self.bytes
                .put_i32(i32::try_from(len).map_err(|_| RecordError::TooLong(len))?);
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.count(bytes.len())?;
        self.bytes.put_slice(bytes);
        Ok(())
    }

    /// The tagged fields that end a struct, in the order of their tags.
    pub(super) fn tags(&mut self, fields: &[(usize, &[u8])]) -> Result<(), RecordError> {
        if self.flexible {
            self.varint(fields.len())?;
            for (tag, bytes) in fields {
                self.varint(*tag)?;
                self.varint(bytes.len())?;
                self.bytes.put_slice(bytes);
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}
