//! The record set of a Produce or Fetch partition: bytes that this crate carries and never looks into.
//!
//! A set read from a frame is one slice of that frame. A set to send may be several slices (the pieces a log read
//! gave): they are spliced into the response one behind the other, without being joined first.

use bytes::{Bytes, BytesMut};

/// Record batches as they lie, in one or more pieces. Two sets are equal when their bytes are.
#[derive(Debug, Clone, Default)]
pub struct Records(Vec<Bytes>);

impl Records {
    /// Size of all pieces in bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte in it; an empty set differs from a null one.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// The pieces in order.
    pub fn segments(&self) -> &[Bytes] {
        &self.0
    }

    /// The whole set as one slice; copies only if there are several pieces.
    pub fn into_bytes(self) -> Bytes {
        match <[Bytes; 1]>::try_from(self.0) {
            Ok([whole]) => whole,
            Err(pieces) => {
                let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
                for piece in &pieces {
                    joined.extend_from_slice(piece);
                }
                joined.freeze()
            }
        }
    }
}

impl From<Bytes> for Records {
    fn from(whole: Bytes) -> Records {
        if whole.is_empty() {
            Records::default()
        } else {
            Records(vec![whole])
        }
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(pieces: Vec<Bytes>) -> Records {
        Records(pieces)
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        self.len() == other.len() && self.0.iter().flatten().eq(other.0.iter().flatten())
    }
}

impl Eq for Records {}
