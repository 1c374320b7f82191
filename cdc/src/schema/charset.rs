//! The character sets whose bytes can be read exactly, and which collation ids belong to them.
//!
//! latin1 is the servers' Windows-1252: the five bytes that Windows leaves undefined (81, 8D, 8F,
//! 90, 9D) are the control characters of the same number, which is also what the WHATWG table says.
//!
//! Collation ids are from `information_schema.COLLATIONS` of MySQL 9.7 and MariaDB 10.11 and later;
//! an id that is not listed is an unsupported column, never a guess.

use std::borrow::Cow;

/// A character set whose bytes can be read exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// utf8mb4 and utf8mb3.
    Utf8,
    /// 7-bit ASCII.
    Ascii,
    /// MySQL's latin1.
    Latin1,
}

impl Charset {
    /// The collation of BINARY, VARBINARY and BLOB.
    pub(crate) const BINARY_COLLATION: u64 = 63;

    /// The character set of a collation id.
    pub(crate) fn of_collation(id: u64) -> Option<Charset> {
        match id {
            // utf8mb4, then utf8mb3: both servers' common ids and MySQL's 0900; MariaDB's croatian
            // and others, NO PAD, UCA 14.0.0.
            45
            | 46
            | 224..=247
            | 255..=323
            | 608..=610
            | 1069
            | 1070
            | 1248
            | 1270
            | 2304..=2503
            | 33
            | 76
            | 83
            | 192..=215
            | 223
            | 576..=578
            | 1057
            | 1107
            | 1216
            | 1238
            | 2048..=2247 => Some(Charset::Utf8),
            11 | 65 | 1035 | 1089 => Some(Charset::Ascii),
            5 | 8 | 15 | 31 | 47..=49 | 94 | 1032 | 1071 => Some(Charset::Latin1),
            _ => None,
        }
    }

    /// The character set of a name in `information_schema`.
    pub(crate) fn of_name(name: &str) -> Option<Charset> {
        match name.to_ascii_lowercase().as_str() {
            "utf8mb4" | "utf8mb3" | "utf8" => Some(Charset::Utf8),
            "ascii" => Some(Charset::Ascii),
            "latin1" => Some(Charset::Latin1),
            _ => None,
        }
    }

    /// The text of `bytes`; `None` if they are not of this character set.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Charset::Ascii if !bytes.is_ascii() => None,
            Charset::Utf8 | Charset::Ascii => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Charset::Latin1 => {
                encoding_rs::WINDOWS_1252.decode_without_bom_handling_and_without_replacement(bytes)
            }
        }
    }

    /// What is wrong with bytes that [`Charset::decode`] refused.
    pub(crate) fn wrong_bytes(self) -> &'static str {
        match self {
            Charset::Utf8 => "its bytes are not UTF-8",
            Charset::Ascii => "its bytes are not ASCII",
            Charset::Latin1 => "its bytes are not latin1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latin1_byte_has_its_character() {
        for byte in 0..=u8::MAX {
            let bytes = [byte];
            let text = Charset::Latin1.decode(&bytes).unwrap();
            let expected = match byte {
                0x80 => '€',
                0x99 => '™',
                0x81 | 0x8d | 0x8f | 0x90 | 0x9d => char::from(byte),
                0x82..=0x9f => continue,
                _ => char::from(byte),
            };
            assert_eq!(
                text.chars().collect::<Vec<_>>(),
                [expected],
                "byte {byte:02x}"
            );
        }
    }

    #[test]
    fn wrong_bytes_are_refused_and_never_replaced() {
        assert_eq!(Charset::Utf8.decode(&[0xff]), None);
        assert_eq!(Charset::Ascii.decode(&[0x80]), None);
    }
}
