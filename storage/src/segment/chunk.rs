//! A run of whole batches on its way out of the log: in memory, or still in the file.

use std::io::{self, IoSlice};

use bytes::Bytes;

use crate::fs::MappedSlice;

/// One or more whole batches as they lie.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// Read from the file.
    Memory(Bytes),
    /// Mapped: goes to a socket without a copy.
    Mapped(MappedSlice),
}

impl Chunk {
    /// The bytes in it.
    pub fn len(&self) -> usize {
        match self {
            Chunk::Memory(bytes) => bytes.len(),
            Chunk::Mapped(slice) => slice.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes for a vectored write and nothing else (see [`MappedSlice::io_slice`]).
    pub fn io_slice(&self) -> IoSlice<'_> {
        match self {
            Chunk::Memory(bytes) => IoSlice::new(bytes),
            Chunk::Mapped(slice) => slice.io_slice(),
        }
    }

    /// The bytes in memory; those of a mapping are read from its file.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        match self {
            Chunk::Memory(bytes) => Ok(bytes.clone()),
            Chunk::Mapped(slice) => slice.to_bytes(),
        }
    }
}
