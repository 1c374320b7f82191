//! Zigzag variable-length integers, as protobuf and Kafka's records use them.
//!
//! Seven bits per byte, least significant first, the top bit says that more follow. Reading stops with
//! `None` at the end of the input and at the first byte that would overflow; it never panics.

/// Reads a zigzag varint of at most 32 bits and moves `input` past it.
pub(super) fn read_i32(input: &mut &[u8]) -> Option<i32> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(unzigzag_32(u32::from(first)));
    }
    let raw = read_unsigned(input, 32)?;
    Some(unzigzag_32(u32::try_from(raw).ok()?))
}

/// Reads a zigzag varint of at most 64 bits and moves `input` past it.
pub(super) fn read_i64(input: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(i64::from(unzigzag_32(u32::from(first))));
    }
    let raw = read_unsigned(input, 64)?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

fn unzigzag_32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

fn read_unsigned(input: &mut &[u8], bits: u32) -> Option<u64> {
    let mut value = 0_u64;
    let mut shift = 0;
    loop {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let part = u64::from(byte & 0x7F);
        let room = bits - shift;
        if room < 7 && part >> room != 0 {
            return None;
        }
        value |= part << shift;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift >= bits {
            return None;
        }
    }
}

/// Appends `value` as a zigzag varint; an `i32` field has the same bytes as its `i64` widening.
pub(crate) fn write(value: i64, out: &mut Vec<u8>) {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while raw >= 0x80 {
        let [low, ..] = raw.to_le_bytes();
        out.push(low | 0x80);
        raw >>= 7;
    }
    let [low, ..] = raw.to_le_bytes();
    out.push(low);
}

/// The number of bytes [`write`] appends for `value`.
pub(crate) fn len(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let bits = usize::try_from(u64::BITS - raw.leading_zeros()).unwrap_or(64);
    bits.div_ceil(7).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_round_trip(value: i64, small: i32) {
            let mut out = Vec::new();
            write(value, &mut out);
            prop_assert_eq!(out.len(), len(value));
            let mut input = out.as_slice();
            prop_assert_eq!(read_i64(&mut input), Some(value));
            prop_assert!(input.is_empty());

            let mut out = Vec::new();
            write(i64::from(small), &mut out);
            let mut input = out.as_slice();
            prop_assert_eq!(read_i32(&mut input), Some(small));
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn known_bytes_are_read() {
        for (bytes, value) in [
            (&[0x00][..], 0_i64),
            (&[0x01], -1),
            (&[0x02], 1),
            (&[0x7F], -64),
            (&[0x80, 0x01], 64),
        ] {
            let mut input = bytes;
            assert_eq!(read_i64(&mut input), Some(value));
        }
    }

    #[test]
    fn overlong_and_cut_numbers_are_refused() {
        let mut eleven = &[0xFF; 11][..];
        assert_eq!(read_i64(&mut eleven), None);
        let mut six = &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01][..];
        assert_eq!(read_i32(&mut six), None);
        let mut too_wide = &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F][..];
        assert_eq!(read_i32(&mut too_wide), None);
        let mut cut = &[0x80][..];
        assert_eq!(read_i32(&mut cut), None);
    }
}
