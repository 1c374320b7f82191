//! Dates and times: the bit-packed forms of MySQL 5.6 and later, and the older ones.
//!
//! ```text
//! DATE          u24 little-endian       year 15 | month 4 | day 5
//! TIME(f)       3 + f/2 bytes, big-endian, offset by half the range so that negative times sort:
//!               sign 1 | unused 1 | hour 10 | minute 6 | second 6 | fraction
//! DATETIME(f)   5 + f/2 bytes, big-endian: 1 | year * 13 + month 17 | day 5 | hour 5 | minute 6 |
//!               second 6, then the fraction
//! TIMESTAMP(f)  u32 big-endian seconds since 1970, then the fraction
//! ```
//! Fractions have an even number of digits in storage: 1 byte for two, 2 for four, 3 for six.
//! Source: MySQL Internals, "Date and Time Data Type Representation".

use time::OffsetDateTime;

use crate::binlog::cursor::Cursor;
use crate::value::ShortText;

/// Bytes of a fraction of `digits`.
pub(crate) fn fraction_bytes(digits: u8) -> usize {
    usize::from(digits).div_ceil(2)
}

/// The largest hour of a TIME.
const HOUR_MAX: u64 = 838;

/// A text in the making; `None` once a part did not fit.
struct Text(Option<ShortText>);

impl Text {
    fn new() -> Self {
        Text(Some(ShortText::new()))
    }

    fn push(&mut self, byte: u8) {
        if let Some(text) = &mut self.0
            && !text.push(byte)
        {
            self.0 = None;
        }
    }

    /// At least `width` digits.
    fn number(&mut self, number: u64, width: u32) {
        let digits = number.checked_ilog10().map_or(1, |log| log + 1).max(width);
        for place in (0..digits).rev() {
            let digit = number / 10_u64.pow(place) % 10;
            self.push(b'0' + u8::try_from(digit).expect("a remainder of 10 is below 10"));
        }
    }

    fn date(&mut self, year: u64, month: u64, day: u64) {
        if year > 9999 || month > 12 || day > 31 {
            self.0 = None;
        }
        self.number(year, 4);
        self.push(b'-');
        self.number(month, 2);
        self.push(b'-');
        self.number(day, 2);
    }

    fn clock(&mut self, hour: u64, minute: u64, second: u64) {
        if minute > 59 || second > 59 {
            self.0 = None;
        }
        self.number(hour, 2);
        self.push(b':');
        self.number(minute, 2);
        self.push(b':');
        self.number(second, 2);
    }

    /// `stored` has an even number of digits, one more than an odd `digits`.
    fn fraction(&mut self, stored: u64, digits: u8) {
        if digits == 0 {
            return;
        }
        let width = u32::from(digits);
        if stored >= 10_u64.pow(width.next_multiple_of(2)) {
            self.0 = None;
        }
        self.push(b'.');
        self.number(if width % 2 == 1 { stored / 10 } else { stored }, width);
    }
}

/// A DATE, such as `2026-01-01` or `0000-00-00`.
pub(crate) fn date(bytes: &[u8]) -> Option<ShortText> {
    let packed = Cursor::new(bytes).uint(3)?;
    let mut text = Text::new();
    text.date(packed >> 9, packed >> 5 & 0xf, packed & 0x1f);
    text.0
}

/// A TIME(fraction), such as `-00:00:01.500000`.
pub(crate) fn time(bytes: &[u8], fraction: u8) -> Option<ShortText> {
    let fraction_bits = 8 * fraction_bytes(fraction);
    let stored = Cursor::new(bytes).uint_be(3 + fraction_bytes(fraction))?;
    let zero = 0x80_0000 << fraction_bits;
    let mut text = Text::new();
    if stored < zero {
        text.push(b'-');
    }
    let packed = stored.abs_diff(zero);
    let clock = packed >> fraction_bits;
    if clock >> 12 > HOUR_MAX {
        return None;
    }
    text.clock(clock >> 12, clock >> 6 & 0x3f, clock & 0x3f);
    text.fraction(packed & ((1 << fraction_bits) - 1), fraction);
    text.0
}

/// A DATETIME(fraction), such as `2026-01-01T00:00:00.000001`.
pub(crate) fn datetime(bytes: &[u8], fraction: u8) -> Option<ShortText> {
    let mut cursor = Cursor::new(bytes);
    let packed = cursor.uint_be(5)?.checked_sub(1 << 39)?;
    let stored_fraction = cursor.uint_be(fraction_bytes(fraction))?;
    let year_month = packed >> 22;
    let mut text = Text::new();
    text.date(year_month / 13, year_month % 13, packed >> 17 & 0x1f);
    text.push(b'T');
    push_time_of_day(&mut text, packed & 0x1_ffff);
    text.fraction(stored_fraction, fraction);
    text.0
}

/// Hour 5, minute 6, second 6 bits.
fn push_time_of_day(text: &mut Text, packed: u64) {
    if packed >> 12 > 23 {
        text.0 = None;
    }
    text.clock(packed >> 12, packed >> 6 & 0x3f, packed & 0x3f);
}

/// A TIMESTAMP(fraction) in UTC, such as `2026-01-01T00:00:00.000001Z`; all zeros are the zero date.
pub(crate) fn timestamp(bytes: &[u8], fraction: u8) -> Option<ShortText> {
    let mut cursor = Cursor::new(bytes);
    let seconds = cursor.uint_be(4)?;
    push_timestamp(seconds, cursor.uint_be(fraction_bytes(fraction))?, fraction)
}

/// A TIMESTAMP as MySQL wrote it before 5.6: little-endian, no fraction.
pub(crate) fn old_timestamp(bytes: &[u8]) -> Option<ShortText> {
    push_timestamp(Cursor::new(bytes).uint(4)?, 0, 0)
}

fn push_timestamp(seconds: u64, stored_fraction: u64, fraction: u8) -> Option<ShortText> {
    let mut text = Text::new();
    if seconds == 0 && stored_fraction == 0 {
        text.date(0, 0, 0);
        text.push(b'T');
        text.clock(0, 0, 0);
    } else {
        let at = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
        let year = u64::try_from(at.year()).ok()?;
        text.date(year, u8::from(at.month()).into(), at.day().into());
        text.push(b'T');
        text.clock(at.hour().into(), at.minute().into(), at.second().into());
    }
    text.fraction(stored_fraction, fraction);
    text.push(b'Z');
    text.0
}

/// A TIME as MySQL wrote it before 5.6: the decimal number ±HHMMSS.
pub(crate) fn old_time(bytes: &[u8]) -> Option<ShortText> {
    let stored = Cursor::new(bytes).uint(3)?;
    let negative = stored & 0x80_0000 != 0;
    let number = if negative { (1 << 24) - stored } else { stored };
    if number / 10_000 > HOUR_MAX {
        return None;
    }
    let mut text = Text::new();
    if negative {
        text.push(b'-');
    }
    text.clock(number / 10_000, number / 100 % 100, number % 100);
    text.0
}

/// A DATETIME as MySQL wrote it before 5.6: the decimal number YYYYMMDDhhmmss.
pub(crate) fn old_datetime(bytes: &[u8]) -> Option<ShortText> {
    let number = Cursor::new(bytes).uint(8)?;
    let (day_part, clock) = (number / 1_000_000, number % 1_000_000);
    if clock / 10_000 > 23 {
        return None;
    }
    let mut text = Text::new();
    text.date(day_part / 10_000, day_part / 100 % 100, day_part % 100);
    text.push(b'T');
    text.clock(clock / 10_000, clock / 100 % 100, clock % 100);
    text.0
}

/// Which of MySQL's packed 64-bit forms a JSON document holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    /// Only the date is shown.
    Date,
    /// Date and time with six fraction digits.
    DateTime,
    /// Signed time with six fraction digits.
    Time,
}

/// A date or time inside a JSON document, as MySQL's JSON text shows it.
pub(crate) fn packed(packed: i64, kind: Packed) -> Option<ShortText> {
    let magnitude = packed.unsigned_abs();
    let (high, fraction) = (magnitude >> 24, magnitude & 0xff_ffff);
    let mut text = Text::new();
    if kind == Packed::Time {
        if packed < 0 {
            text.push(b'-');
        }
        if high >> 12 > HOUR_MAX {
            return None;
        }
        text.clock(high >> 12, high >> 6 & 0x3f, high & 0x3f);
    } else {
        let year_month = high >> 22;
        text.date(year_month / 13, year_month % 13, high >> 17 & 0x1f);
        if packed < 0 || kind == Packed::Date {
            return text.0.filter(|_| packed >= 0);
        }
        text.push(b' ');
        push_time_of_day(&mut text, high & 0x1_ffff);
    }
    text.fraction(fraction, 6);
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Option<ShortText>) -> String {
        value.map_or_else(|| "none".to_owned(), |text| text.as_str().to_owned())
    }

    #[test]
    fn negative_times_keep_their_fraction() {
        // -00:00:01.5 is the offset less ((1 << 8) + 50).
        let stored = (0x80_0000_u32 << 8) - ((1 << 8) + 50);
        assert_eq!(text(time(&stored.to_be_bytes(), 1)), "-00:00:01.5");
        assert_eq!(text(time(&stored.to_be_bytes(), 2)), "-00:00:01.50");
        assert_eq!(text(time(&[0x80, 0, 0], 0)), "00:00:00");
        assert_eq!(text(time(&[0x4b, 0x91, 0x05], 0)), "-838:59:59");
    }

    #[test]
    fn zero_dates_are_written_as_they_are() {
        assert_eq!(text(date(&[0, 0, 0])), "0000-00-00");
        assert_eq!(
            text(datetime(&[0x80, 0, 0, 0, 0], 0)),
            "0000-00-00T00:00:00"
        );
        assert_eq!(
            text(timestamp(&[0, 0, 0, 0, 0, 0], 3)),
            "0000-00-00T00:00:00.000Z"
        );
        assert_eq!(
            text(timestamp(&[0, 0, 0, 0, 0, 10], 3)),
            "1970-01-01T00:00:00.001Z"
        );
    }

    #[test]
    fn impossible_parts_are_refused() {
        assert_eq!(text(date(&[0xff, 0xff, 0xff])), "none");
        assert_eq!(text(datetime(&[0xff; 5], 0)), "none");
        assert_eq!(text(datetime(&[0; 5], 0)), "none");
        assert_eq!(text(time(&[0xff; 3], 0)), "none");
        assert_eq!(text(timestamp(&[0, 0, 0, 1, 100], 2)), "none");
        assert_eq!(text(old_datetime(&[0xff; 8])), "none");
    }

    #[test]
    fn the_forms_before_mysql_5_6_are_decimal_digits() {
        let number = 20_260_131_235_959_u64;
        assert_eq!(
            text(old_datetime(&number.to_le_bytes())),
            "2026-01-31T23:59:59"
        );
        assert_eq!(text(old_time(&[0x3e, 0x6d, 0x01])), "09:35:02");
        assert_eq!(text(old_time(&[0xc2, 0x92, 0xfe])), "-09:35:02");
        assert_eq!(text(old_timestamp(&[1, 0, 0, 0])), "1970-01-01T00:00:01Z");
    }
}
