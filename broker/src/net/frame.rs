//! Frames on a socket: four bytes of length, then that many bytes.
//!
//! The length is the client's word: memory grows only as bytes arrive. A frame is a slice of the buffer it
//! was read into, so record batches reach the disk without being copied here.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use headrace_protocol::Piece;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

/// The largest request: Kafka's `socket.request.max.bytes`, so that every client's limits fit below it.
pub(super) const FRAME_BYTES_MAX: usize = 100 << 20;

/// Read at a time: several small requests in one system call, and little memory for an idle connection.
const READ_BYTES: usize = 16 << 10;

/// Room is made for a whole frame at once up to this size, and doubled as bytes arrive above it.
const TRUSTED_BYTES: usize = 1 << 20;

/// A large frame must show this much before room for all of it is set aside, so that clients which promise
/// and do not send keep nobody out.
const EARNEST_BYTES: usize = 64 << 10;

/// Time for the rest of a frame once it has begun.
const FRAME_TIME: Duration = Duration::from_secs(30);

/// Slices per vectored write; the system takes at most 1,024.
const SLICES_MAX: usize = 256;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The client closed the connection inside a frame.
    #[error("connection closed inside a frame")]
    Cut,
    /// The length is negative or too large.
    #[error("frame of {0} bytes where at most {FRAME_BYTES_MAX} are allowed")]
    Length(i32),
    /// The frame began and did not end.
    #[error("frame did not arrive within {} s", FRAME_TIME.as_secs())]
    Slow,
}

/// Reads frames off a socket.
pub(super) struct FrameReader<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(from: R) -> FrameReader<R> {
        FrameReader {
            from,
            buffer: BytesMut::new(),
        }
    }

    /// Waits for a frame to begin and gives its length; `None` if the client closed the connection.
    pub(super) async fn length(&mut self) -> Result<Option<usize>, FrameError> {
        if self.buffer.is_empty() {
            self.buffer.reserve(READ_BYTES);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
        in_time(self.fill(size_of::<i32>())).await?;
        let length = self.buffer.get_i32();
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= FRAME_BYTES_MAX)
            .map(Some)
            .ok_or(FrameError::Length(length))
    }

    /// Waits for the first part of the frame whose length was just read: whoever sends it means it.
    pub(super) async fn begin(&mut self, length: usize) -> Result<(), FrameError> {
        in_time(self.fill(length.min(EARNEST_BYTES))).await
    }

    /// Reads the frame whose length was just read.
    pub(super) async fn frame(&mut self, length: usize) -> Result<Bytes, FrameError> {
        in_time(self.fill(length)).await?;
        Ok(self.buffer.split_to(length).freeze())
    }

    /// Reads until the buffer holds so many bytes.
    async fn fill(&mut self, wanted: usize) -> Result<(), FrameError> {
        while self.buffer.len() < wanted {
            let trusted = wanted.min(TRUSTED_BYTES.max(2 * self.buffer.len()));
            let room = (trusted - self.buffer.len()).max(READ_BYTES);
            self.buffer.reserve(room);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Cut);
            }
        }
        Ok(())
    }
}

async fn in_time(read: impl Future<Output = Result<(), FrameError>>) -> Result<(), FrameError> {
    timeout(FRAME_TIME, read)
        .await
        .unwrap_or(Err(FrameError::Slow))
}

/// Writes all pieces in order, without joining them or looking into them: those that lie in a mapped file
/// are seen by the kernel alone.
pub(super) async fn write_all<W: AsyncWrite + Unpin>(
    to: &mut W,
    pieces: &[Piece],
) -> io::Result<()> {
    let mut left = pieces;
    let mut skip = 0;
    loop {
        while let Some(first) = left.first()
            && first.len() <= skip
        {
            skip -= first.len();
            left = &left[1..];
        }
        if left.is_empty() {
            return Ok(());
        }
        let written =
            poll_fn(|context| poll_write(Pin::new(&mut *to), context, left, skip)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        skip += written;
    }
}

/// Writes what the socket takes of the pieces, without the first `skip` bytes.
fn poll_write<W: AsyncWrite>(
    to: Pin<&mut W>,
    context: &mut Context<'_>,
    pieces: &[Piece],
    skip: usize,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = piece.io_slice();
        count += 1;
    }
    slices[0].advance(skip);
    to.poll_write_vectored(context, &slices[..count])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, duplex};

    #[tokio::test]
    async fn frames_are_read_whole_however_they_arrive() {
        for at_a_time in [1, 3, 4096] {
            let (mut client, server) = duplex(at_a_time);
            let sender = tokio::spawn(async move {
                client
                    .write_all(b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01!")
                    .await
                    .unwrap();
            });
            let mut reader = FrameReader::new(server);
            for expected in [b"hello".as_slice(), b"", b"!"] {
                let length = reader.length().await.unwrap().unwrap();
                assert_eq!(reader.frame(length).await.unwrap(), expected);
            }
            assert!(reader.length().await.unwrap().is_none());
            sender.await.unwrap();
        }
    }

    #[tokio::test]
    async fn impossible_lengths_are_refused() {
        for length in [-1, i32::MIN, i32::MAX, (100 << 20) + 1] {
            let (mut client, server) = duplex(64);
            client.write_all(&i32::to_be_bytes(length)).await.unwrap();
            let refused = FrameReader::new(server).length().await;
            assert!(matches!(refused, Err(FrameError::Length(found)) if found == length));
        }
    }

    #[tokio::test]
    async fn a_promised_length_reserves_little() {
        let (mut client, server) = duplex(64);
        client
            .write_all(&i32::to_be_bytes(100 << 20))
            .await
            .unwrap();
        client.write_all(b"only this").await.unwrap();
        drop(client);
        let mut reader = FrameReader::new(server);
        let length = reader.length().await.unwrap().unwrap();
        assert!(matches!(reader.frame(length).await, Err(FrameError::Cut)));
        assert!(reader.buffer.capacity() <= 4 * TRUSTED_BYTES);
    }

    #[tokio::test]
    async fn pieces_are_written_in_order_through_a_narrow_pipe() {
        let pieces: Vec<Bytes> = (0..600)
            .map(|number: u16| Bytes::from(vec![number.to_be_bytes()[1]; usize::from(number % 7)]))
            .collect();
        let (mut client, mut server) = duplex(5);
        let expected = pieces.concat();
        let pieces: Vec<Piece> = pieces.into_iter().map(Piece::Memory).collect();
        let writer = tokio::spawn(async move {
            write_all(&mut server, &pieces).await.unwrap();
        });
        let mut found = Vec::new();
        client.read_to_end(&mut found).await.unwrap();
        writer.await.unwrap();
        assert_eq!(found, expected);
    }
}
