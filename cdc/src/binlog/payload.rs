//! The transaction payload event (40): a whole transaction's events, compressed as one.
//!
//! ```text
//! (field, length, value)...  fields: 1 payload size, 2 compression (0 zstd, 255 none),
//!                            3 uncompressed size, 0 end; then the payload
//! ```
//! Inner events have no checksum and end position 0 (use the outer event's). Their sizes must add
//! up to the announced size exactly: a cut transaction is an error, never a short one.
//!
//! Source: MySQL's Transaction_payload_event class reference.

use std::io::Read as _;

use crate::binlog::cursor::Cursor;

/// A compressed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPayload<'a> {
    compressed: bool,
    uncompressed_bytes: u64,
    payload: &'a [u8],
}

/// The bytes do not expand to what they announce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// The announced size is above the caller's limit.
    #[error("{uncompressed_bytes} bytes are above the limit of {limit_bytes}")]
    TooLarge {
        /// The announced size.
        uncompressed_bytes: u64,
        /// The caller's limit.
        limit_bytes: u64,
    },
    /// The payload is damaged or does not have the announced size.
    #[error("the payload does not expand to its announced {uncompressed_bytes} bytes: {reason}")]
    Damaged {
        /// The announced size.
        uncompressed_bytes: u64,
        /// What happened instead.
        reason: String,
    },
}

impl TransactionPayload<'_> {
    /// The size of all inner events together, with their headers.
    pub fn uncompressed_bytes(&self) -> u64 {
        self.uncompressed_bytes
    }

    /// The inner events, one after the other, each with its header and without a checksum. Holds at
    /// most `limit_bytes`, and grows only as bytes really come out.
    pub fn expand(&self, limit_bytes: u64) -> Result<Vec<u8>, ExpandError> {
        let announced = self.uncompressed_bytes;
        if announced > limit_bytes {
            return Err(ExpandError::TooLarge {
                uncompressed_bytes: announced,
                limit_bytes,
            });
        }
        let damaged = |reason: String| ExpandError::Damaged {
            uncompressed_bytes: announced,
            reason,
        };
        let mut bytes = Vec::new();
        if self.compressed {
            zstd::stream::read::Decoder::with_buffer(self.payload)
                .and_then(|decoder| decoder.take(announced + 1).read_to_end(&mut bytes))
                .map_err(|error| damaged(error.to_string()))?;
        } else {
            bytes.extend_from_slice(self.payload);
        }
        if u64::try_from(bytes.len()) != Ok(announced) {
            return Err(damaged(format!("{} bytes came out", bytes.len())));
        }
        Ok(bytes)
    }
}

/// Reads type 40.
pub(crate) fn parse(body: &[u8]) -> Option<TransactionPayload<'_>> {
    let mut cursor = Cursor::new(body);
    let (mut size, mut compression, mut uncompressed) = (None, None, None);
    loop {
        let field = cursor.lenenc()?;
        if field == 0 {
            break;
        }
        let mut value = Cursor::new(cursor.lenenc_bytes()?);
        match field {
            1 => size = Some(value.lenenc()?),
            2 => compression = Some(value.lenenc()?),
            3 => uncompressed = Some(value.lenenc()?),
            _ => return None,
        }
    }
    let payload = cursor.rest();
    if u64::try_from(payload.len()) != Ok(size?) {
        return None;
    }
    let compressed = match compression? {
        0 => true,
        255 => false,
        _ => return None,
    };
    let uncompressed_bytes = match uncompressed {
        Some(bytes) => bytes,
        None if !compressed => size?,
        None => return None,
    };
    Some(TransactionPayload {
        compressed,
        uncompressed_bytes,
        payload,
    })
}
