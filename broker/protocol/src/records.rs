//! The record set of a Produce or Fetch partition: bytes that this crate carries and never looks into.
//!
//! A set read from a frame is one slice of that frame. A set to send may be several pieces (the chunks a log read
//! gave): they are spliced into the response one behind the other, without being joined first. A piece may even lie
//! elsewhere ([`StoredBytes`], a mapped file): then only the socket ever sees its bytes.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::wire::EncodeError;

/// Bytes that are not in this program's memory, but can be sent from where they lie.
pub trait StoredBytes: Debug + Send + Sync {
    /// How many there are; never changes.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes for a vectored write and nothing else: nobody may look into them.
    fn io_slice(&self) -> IoSlice<'_>;

    /// The bytes in memory, for those who must look.
    fn to_bytes(&self) -> io::Result<Bytes>;
}

/// A part of a frame, or of a record set.
#[derive(Debug, Clone)]
pub enum Piece {
    /// In memory.
    Memory(Bytes),
    /// Elsewhere.
    Stored(Arc<dyn StoredBytes>),
}

impl Piece {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Piece::Memory(bytes) => bytes.len(),
            Piece::Stored(stored) => stored.len(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes for a vectored write and nothing else.
    pub fn io_slice(&self) -> IoSlice<'_> {
        match self {
            Piece::Memory(bytes) => IoSlice::new(bytes),
            Piece::Stored(stored) => stored.io_slice(),
        }
    }

    /// The bytes in memory; stored ones are read.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        match self {
            Piece::Memory(bytes) => Ok(bytes.clone()),
            Piece::Stored(stored) => stored.to_bytes(),
        }
    }

    /// The same pieces where all of them are in memory, as those of every message but a fetch response are.
    pub fn all_in_memory(pieces: Vec<Piece>) -> Result<Vec<Bytes>, EncodeError> {
        let memory = pieces.into_iter().map(|piece| match piece {
            Piece::Memory(bytes) => Ok(bytes),
            Piece::Stored(_) => Err(EncodeError::Stored),
        });
        memory.collect()
    }
}

/// Record batches as they lie, in one or more pieces.
///
/// Two sets are equal when their bytes are; stored pieces are read for that, and what cannot be read equals nothing.
#[derive(Debug, Clone, Default)]
pub struct Records(Vec<Piece>);

impl Records {
    /// Size of all pieces in bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(Piece::len).sum()
    }

    /// Whether there is no byte in it; an empty set differs from a null one.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Piece::is_empty)
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The whole set as one slice; copies only if there are several pieces, and reads only stored ones.
    pub fn into_bytes(self) -> io::Result<Bytes> {
        if let [piece] = self.0.as_slice() {
            return piece.to_bytes();
        }
        let mut joined = BytesMut::with_capacity(self.len());
        for piece in &self.0 {
            joined.extend_from_slice(&piece.to_bytes()?);
        }
        Ok(joined.freeze())
    }
}

impl From<Bytes> for Records {
    fn from(whole: Bytes) -> Records {
        if whole.is_empty() {
            Records::default()
        } else {
            Records(vec![Piece::Memory(whole)])
        }
    }
}

impl From<Vec<Piece>> for Records {
    fn from(pieces: Vec<Piece>) -> Records {
        Records(pieces)
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(pieces: Vec<Bytes>) -> Records {
        Records(pieces.into_iter().map(Piece::Memory).collect())
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        let bytes = |records: &Records| records.clone().into_bytes().ok();
        self.len() == other.len()
            && bytes(self).is_some_and(|these| bytes(other).is_some_and(|those| these == those))
    }
}

impl Eq for Records {}
