//! DECIMAL: digits in big-endian groups of nine (four bytes each), a shorter group at each outer
//! end, the first bit set for numbers that are not negative, all bits flipped for negative ones.
//!
//! ```text
//! DECIMAL(14,4) 1234567890.1234   0x81 0x0d 0xfb 0x38 0xd2 0x04 0xd2
//!                                 1    234567890                1234
//! ```
//! Source: MySQL's strings/decimal.cc, description of the binary format.

/// Bytes of a group by its number of digits.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// Digits of a full group.
const GROUP_DIGITS: usize = 9;

/// Bytes of a DECIMAL(precision, scale).
pub(crate) fn stored_bytes(precision: u8, scale: u8) -> usize {
    let scale = usize::from(scale);
    let whole = usize::from(precision).saturating_sub(scale);
    let bytes = |digits: usize| digits / GROUP_DIGITS * 4 + GROUP_BYTES[digits % GROUP_DIGITS];
    bytes(whole) + bytes(scale)
}

/// The exact text: no leading zeros but one before the point, all digits of the scale after it.
pub(crate) fn read(bytes: &[u8], precision: u8, scale: u8) -> Option<String> {
    if scale > precision || bytes.len() != stored_bytes(precision, scale) {
        return None;
    }
    let negative = bytes.first()? & 0x80 == 0;
    let flip = if negative { 0xff } else { 0 };
    let mut groups = Groups { bytes, at: 0, flip };
    let scale = usize::from(scale);
    let whole = usize::from(precision) - scale;
    let mut digits = Vec::with_capacity(whole + scale);
    groups.push(&mut digits, whole % GROUP_DIGITS)?;
    for _ in 0..whole / GROUP_DIGITS + scale / GROUP_DIGITS {
        groups.push(&mut digits, GROUP_DIGITS)?;
    }
    groups.push(&mut digits, scale % GROUP_DIGITS)?;

    let leading = digits[..whole]
        .iter()
        .take_while(|digit| **digit == b'0')
        .count();
    let mut text = String::with_capacity(digits.len() + 3);
    if negative && digits.iter().any(|digit| *digit != b'0') {
        text.push('-');
    }
    if leading == whole {
        text.push('0');
    }
    text.extend(
        digits[leading..whole]
            .iter()
            .map(|digit| char::from(*digit)),
    );
    if scale > 0 {
        text.push('.');
        text.extend(digits[whole..].iter().map(|digit| char::from(*digit)));
    }
    Some(text)
}

struct Groups<'a> {
    bytes: &'a [u8],
    at: usize,
    flip: u8,
}

impl Groups<'_> {
    /// Appends the next group of `count` digits; `None` if its bytes hold more digits than that.
    fn push(&mut self, digits: &mut Vec<u8>, count: usize) -> Option<()> {
        let length = GROUP_BYTES[count];
        let mut number: u32 = 0;
        for (place, byte) in self
            .bytes
            .get(self.at..self.at + length)?
            .iter()
            .enumerate()
        {
            let sign_bit = if self.at + place == 0 { 0x80 } else { 0 };
            number = number << 8 | u32::from(byte ^ self.flip ^ sign_bit);
        }
        self.at += length;
        let start = digits.len();
        digits.resize(start + count, b'0');
        for digit in digits[start..].iter_mut().rev() {
            *digit += u8::try_from(number % 10).expect("a remainder of 10 is below 10");
            number /= 10;
        }
        (number == 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manuals_example_reads_back() {
        let bytes = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(read(&bytes, 14, 4).as_deref(), Some("1234567890.1234"));
        let flipped = bytes.map(|byte| !byte);
        assert_eq!(read(&flipped, 14, 4).as_deref(), Some("-1234567890.1234"));
    }

    #[test]
    fn zero_keeps_its_scale_and_has_no_sign() {
        assert_eq!(read(&[0x80, 0x00], 3, 2).as_deref(), Some("0.00"));
        assert_eq!(read(&[0x7f, 0xff], 3, 2).as_deref(), Some("0.00"));
        assert_eq!(read(&[0x80], 2, 2).as_deref(), Some("0.00"));
        assert_eq!(read(&[0x87], 1, 0).as_deref(), Some("7"));
    }

    #[test]
    fn a_group_with_too_many_digits_is_refused() {
        assert_eq!(read(&[0xe4, 0], 4, 2), None);
        assert_eq!(read(&[0x80], 4, 2), None);
    }
}
