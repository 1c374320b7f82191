//! Clients that mean another server, told by their first four bytes.
//!
//! Read as the length of a frame, each of these is above the limit (the smallest, a TLS handshake, is 352
//! MiB), so no Kafka client is ever taken for one.

use std::fmt;

/// What was spoken instead of Kafka's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tls,
    Http,
}

/// The first four bytes of a request by each method of HTTP, and of HTTP/2.
const HTTP: [&[u8; 4]; 10] = [
    b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"CONN", b"OPTI", b"TRAC", b"PATC", b"PRI ",
];

/// A handshake record of TLS 1.0 to 1.3 (SSL 3 says the same).
const TLS: [u8; 2] = [0x16, 0x03];

impl Protocol {
    /// The protocol that begins like this; `None` if it may be Kafka's.
    pub(super) fn of(begin: &[u8]) -> Option<Protocol> {
        let begin = begin.first_chunk::<4>()?;
        if begin.starts_with(&TLS) {
            Some(Protocol::Tls)
        } else if HTTP.contains(&begin) {
            Some(Protocol::Http)
        } else {
            None
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Protocol::Tls => "a TLS handshake, but this listener does not speak TLS",
            Protocol::Http => "an HTTP request, but this is the port for Kafka clients",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::frame::FRAME_BYTES_MAX;

    #[test]
    fn no_frame_that_is_allowed_is_taken_for_another_protocol() {
        let mut begins: Vec<[u8; 4]> = HTTP.iter().map(|begin| **begin).collect();
        begins.push([TLS[0], TLS[1], 0, 0]);
        for begin in begins {
            let length = usize::try_from(u32::from_be_bytes(begin)).unwrap();
            assert!(length > FRAME_BYTES_MAX, "{begin:?}");
        }
        assert_eq!(Protocol::of(&[0, 0, 0, 9]), None);
    }
}
