//! How each type of value lies on the wire, and what the table of a message says about one field.
//!
//! [`Wire`] is implemented here for the primitive types, by [`messages!`](crate::messages) for every struct. Types
//! that can be null on the wire implement [`Nullable`], and `Option` of them is a nullable field.

use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use uuid::Uuid;

use crate::error_code::ErrorCode;
use crate::records::Records;
use crate::text::Str;
use crate::wire::{DecodeError, Decoder, EncodeError, Encoder, Version};

/// A value that is part of a message.
pub(crate) trait Wire: Sized {
    fn read(from: &mut Decoder, version: Version) -> Result<Self, DecodeError>;
    fn write(&self, to: &mut Encoder, version: Version) -> Result<(), EncodeError>;
    fn is_null(&self) -> bool {
        false
    }
}

/// A value with a length before it, and a length that means null; a struct has a byte before it, -1 for null.
pub(crate) trait Nullable: Sized {
    fn read_nullable(from: &mut Decoder, version: Version) -> Result<Option<Self>, DecodeError>;
    fn write_nullable(
        value: Option<&Self>,
        to: &mut Encoder,
        version: Version,
    ) -> Result<(), EncodeError>;
}

/// Everything nullable is also a value that is never null.
macro_rules! never_null {
    ($($type:ty),+) => {$(
        impl Wire for $type {
            fn read(from: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
                Self::read_nullable(from, version)?.ok_or(DecodeError::Null)
            }
            fn write(&self, to: &mut Encoder, version: Version) -> Result<(), EncodeError> {
                Self::write_nullable(Some(self), to, version)
            }
        }
    )+};
}

never_null!(Str, Bytes, Records);

impl<T: Nullable> Wire for Option<T> {
    fn read(from: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        T::read_nullable(from, version)
    }
    fn write(&self, to: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), to, version)
    }
    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl<T: Wire> Nullable for Vec<T> {
    fn read_nullable(from: &mut Decoder, version: Version) -> Result<Option<Self>, DecodeError> {
        let Some(count) = from.length(version)? else {
            return Ok(None);
        };
        from.check_count(count)?;
        from.reserve::<T>(count)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(from, version)?);
        }
        Ok(Some(elements))
    }
    fn write_nullable(
        value: Option<&Self>,
        to: &mut Encoder,
        version: Version,
    ) -> Result<(), EncodeError> {
        to.length(value.map(Vec::len), version)?;
        value
            .into_iter()
            .flatten()
            .try_for_each(|element| element.write(to, version))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(from: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        Self::read_nullable(from, version)?.ok_or(DecodeError::Null)
    }
    fn write(&self, to: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), to, version)
    }
}

impl Nullable for Str {
    fn read_nullable(from: &mut Decoder, version: Version) -> Result<Option<Self>, DecodeError> {
        from.string(version)
    }
    fn write_nullable(
        value: Option<&Self>,
        to: &mut Encoder,
        version: Version,
    ) -> Result<(), EncodeError> {
        to.string(value.map(Str::as_str), version)
    }
}

impl Nullable for Bytes {
    fn read_nullable(from: &mut Decoder, version: Version) -> Result<Option<Self>, DecodeError> {
        from.length(version)?
            .map(|length| from.bytes(length))
            .transpose()
    }
    fn write_nullable(
        value: Option<&Self>,
        to: &mut Encoder,
        version: Version,
    ) -> Result<(), EncodeError> {
        to.length(value.map(Bytes::len), version)?;
        if let Some(bytes) = value {
            to.bytes(bytes);
        }
        Ok(())
    }
}

impl Nullable for Records {
    fn read_nullable(from: &mut Decoder, version: Version) -> Result<Option<Self>, DecodeError> {
        let Some(bytes) = Bytes::read_nullable(from, version)? else {
            return Ok(None);
        };
        from.reserve::<Bytes>(1)?;
        Ok(Some(Records::from(bytes)))
    }
    fn write_nullable(
        value: Option<&Self>,
        to: &mut Encoder,
        version: Version,
    ) -> Result<(), EncodeError> {
        to.length(value.map(Records::len), version)?;
        value
            .into_iter()
            .flat_map(Records::pieces)
            .for_each(|piece| to.piece(piece));
        Ok(())
    }
}

/// The types of fixed size.
macro_rules! fixed {
    ($($type:ty: |$from:ident| $read:expr, |$value:ident, $to:ident| $write:expr;)+) => {$(
        impl Wire for $type {
            fn read($from: &mut Decoder, _version: Version) -> Result<Self, DecodeError> {
                Ok($read)
            }
            fn write(&self, $to: &mut Encoder, _version: Version) -> Result<(), EncodeError> {
                let $value = self;
                $write;
                Ok(())
            }
        }
    )+};
}

fixed! {
    i8: |from| from.i8()?, |value, to| to.i8(*value);
    i16: |from| from.i16()?, |value, to| to.i16(*value);
    i32: |from| from.i32()?, |value, to| to.i32(*value);
    i64: |from| from.i64()?, |value, to| to.i64(*value);
    bool: |from| from.i8()? != 0, |value, to| to.i8(i8::from(*value));
    ErrorCode: |from| ErrorCode(from.i16()?), |value, to| to.i16(value.0);
    Uuid: |from| Uuid::from_bytes(from.array()?), |value, to| to.array(value.as_bytes());
}

/// What the table says about one field: the versions that have it, and its options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    name: &'static str,
    versions: (i16, i16),
    nullable: (i16, i16),
    tag: Option<u32>,
    ignorable: bool,
    count_max: Option<usize>,
}

impl Field {
    #[inline]
    pub(crate) fn new(name: &'static str, versions: impl RangeBounds<i16>) -> Field {
        let all = (i16::MIN, i16::MAX);
        Field {
            name,
            versions: bounds(&versions),
            nullable: all,
            tag: None,
            ignorable: false,
            count_max: None,
        }
    }

    /// Stands in the tag buffer under this tag, and is left out when it has its default value.
    #[inline]
    pub(crate) fn tagged(self, tag: u32) -> Field {
        Field {
            tag: Some(tag),
            ..self
        }
    }

    /// May be null in these versions only; without this a field of type `Option` may always be null.
    #[inline]
    pub(crate) fn nullable(self, versions: impl RangeBounds<i16>) -> Field {
        Field {
            nullable: bounds(&versions),
            ..self
        }
    }

    /// Is silently left out of versions that lack it, whatever its value.
    #[inline]
    pub(crate) fn ignorable(self) -> Field {
        Field {
            ignorable: true,
            ..self
        }
    }

    /// Is a list of at most so many elements when it is read.
    #[inline]
    pub(crate) fn at_most(self, count: usize) -> Field {
        Field {
            count_max: Some(count),
            ..self
        }
    }

    /// Whether the version has the field among the fixed fields.
    #[inline]
    pub(crate) fn in_body(&self, version: Version) -> bool {
        self.tag.is_none() && self.exists(version)
    }

    /// Whether the version has the field in the tag buffer, under this tag.
    #[inline]
    pub(crate) fn has_tag(&self, tag: u32, version: Version) -> bool {
        self.tag == Some(tag) && self.exists(version)
    }

    /// The tag to write the value under, if it belongs in the tag buffer.
    #[inline]
    pub(crate) fn tag_for<T: PartialEq>(
        &self,
        value: &T,
        default: &T,
        version: Version,
    ) -> Option<u32> {
        self.tag
            .filter(|_| self.exists(version) && value != default)
    }

    /// Reads the value where it stands.
    #[inline]
    pub(crate) fn read<T: Wire>(
        &self,
        from: &mut Decoder,
        version: Version,
    ) -> Result<T, DecodeError> {
        from.bound_next_list(self.count_max);
        let value = T::read(from, version)?;
        if value.is_null() && !self.null_allowed(version) {
            Err(DecodeError::Null)
        } else {
            Ok(value)
        }
    }

    /// Writes the value among the fixed fields if that is its place, and refuses one that has no place at all.
    #[inline]
    pub(crate) fn write<T: Wire + PartialEq>(
        &self,
        value: &T,
        default: &T,
        to: &mut Encoder,
        version: Version,
    ) -> Result<(), EncodeError> {
        let Field { name: field, .. } = *self;
        if !self.exists(version) {
            let lost = !self.ignorable && value != default;
            return if lost {
                Err(EncodeError::Field {
                    field,
                    version: version.number,
                })
            } else {
                Ok(())
            };
        }
        if value.is_null() && !self.null_allowed(version) {
            return Err(EncodeError::Null {
                field,
                version: version.number,
            });
        }
        if self.tag.is_none() {
            value.write(to, version)
        } else {
            Ok(())
        }
    }

    #[inline]
    pub(crate) fn exists(&self, version: Version) -> bool {
        (self.versions.0..=self.versions.1).contains(&version.number)
    }

    #[inline]
    pub(crate) fn null_allowed(&self, version: Version) -> bool {
        (self.nullable.0..=self.nullable.1).contains(&version.number)
    }
}

/// First and last version of a range.
#[inline]
fn bounds(versions: &impl RangeBounds<i16>) -> (i16, i16) {
    let first = match versions.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => i16::MIN,
    };
    let last = match versions.end_bound() {
        Bound::Included(last) => *last,
        Bound::Excluded(after) => after.saturating_sub(1),
        Bound::Unbounded => i16::MAX,
    };
    (first, last)
}
