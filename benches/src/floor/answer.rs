//! An answer: bytes made here, and between them slices of mapped files that only the kernel looks into.

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;

use headrace_storage::fs::MappedSlice;

/// Slices per vectored write; the system takes at most 1,024.
const SLICES_MAX: usize = 256;

/// A response under construction; its buffers are used again and again.
#[derive(Default)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    /// Each goes behind so many of `bytes`, in order.
    stored: Vec<(usize, MappedSlice)>,
}

impl Answer {
    /// Forgets the last answer and leaves room for the length.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.stored.clear();
        self.i32(0);
    }

    pub(super) fn i8(&mut self, value: i8) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// A string, or with fewer than 32,768 bytes of anything.
    pub(super) fn string(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).unwrap_or(0));
        self.bytes.extend(text.as_bytes());
    }

    /// A count of 32 bits, as before an array or records.
    pub(super) fn count(&mut self, count: usize) {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX));
    }

    /// A count as flexible versions write it: one more, as an unsigned varint of one byte.
    pub(super) fn compact_count(&mut self, count: u8) {
        self.bytes.push(count + 1);
    }

    /// Records of a file, or none.
    pub(super) fn records(&mut self, slice: Option<MappedSlice>) {
        self.count(slice.as_ref().map_or(0, MappedSlice::len));
        if let Some(slice) = slice {
            self.stored.push((self.bytes.len(), slice));
        }
    }

    /// Writes the answer.
    pub(super) fn send(&mut self, mut to: &TcpStream) -> io::Result<()> {
        let stored: usize = self.stored.iter().map(|(_, slice)| slice.len()).sum();
        let length = i32::try_from(self.bytes.len() - size_of::<i32>() + stored)
            .map_err(io::Error::other)?;
        self.bytes[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
        if self.stored.is_empty() {
            return to.write_all(&self.bytes);
        }
        let mut slices = Vec::with_capacity(2 * self.stored.len() + 1);
        let mut from = 0;
        for (at, slice) in &self.stored {
            slices.push(IoSlice::new(&self.bytes[from..*at]));
            slices.push(slice.io_slice());
            from = *at;
        }
        slices.push(IoSlice::new(&self.bytes[from..]));
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let count = left.len().min(SLICES_MAX);
            let written = to.write_vectored(&left[..count])?;
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }
}
