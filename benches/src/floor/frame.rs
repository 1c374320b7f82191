//! Frames in one reused buffer: several small ones in a system call, a large one without a copy of what follows it.

use std::io::{self, Read};
use std::net::TcpStream;

/// Read beyond the frame that is waited for: room for several small requests, little to move when a large one ends.
const AHEAD_BYTES: usize = 32 << 10;
/// The largest frame taken.
const FRAME_BYTES_MAX: usize = 100 << 20;
const LENGTH_BYTES: usize = size_of::<i32>();

/// The frames of a connection.
pub(super) struct Frames<'a> {
    from: &'a TcpStream,
    buffer: Vec<u8>,
    /// What was read and not given out lies in `start..end`.
    start: usize,
    end: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(from: &'a TcpStream) -> Frames<'a> {
        Frames {
            from,
            buffer: vec![0; AHEAD_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// The next frame without its length; `None` when the client has closed the connection.
    pub(super) fn next(&mut self) -> io::Result<Option<&mut [u8]>> {
        if !self.fill(LENGTH_BYTES)? {
            return Ok(None);
        }
        let head = self.buffer[self.start..].first_chunk::<LENGTH_BYTES>();
        let length = i32::from_be_bytes(*head.expect("filled"));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if !self.fill(LENGTH_BYTES + length)? {
            return Ok(None);
        }
        let from = self.start + LENGTH_BYTES;
        self.start = from + length;
        Ok(Some(&mut self.buffer[from..from + length]))
    }

    /// Reads until so many bytes are there; false at the end of the stream.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.end - self.start >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < wanted + AHEAD_BYTES {
            self.buffer.resize(wanted + AHEAD_BYTES, 0);
        }
        while self.end < wanted {
            let upto = wanted + AHEAD_BYTES;
            match self.from.read(&mut self.buffer[self.end..upto])? {
                0 => return Ok(false),
                read => self.end += read,
            }
        }
        Ok(true)
    }
}
