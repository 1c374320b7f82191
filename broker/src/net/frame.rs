//! Frames on a socket: four bytes of length, then that many bytes.
//!
//! ```text
//!  small frames:  socket -> scratch of the thread -> one piece of memory, cut into frames
//!  large frame:   socket -> memory of its size and a little more; what came behind it is the next frame's head
//! ```
//! So an idle client has no buffer, several small requests cost one system call, and so does one large one,
//! whose bytes are copied by the kernel alone and reach the log as slices of it. The length is the client's
//! word: what is reserved for it is not touched before bytes arrive, and counted (`crate::memory`).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::timeout;

use super::foreign::Protocol;
use crate::memory::Share;

/// The largest request: Kafka's `socket.request.max.bytes`, so that every client's limits fit below it.
pub(crate) const FRAME_BYTES_MAX: usize = 100 << 20;

/// Read at a time where small requests come: four of 16 KiB in one system call, and no more than a thread's
/// cache holds.
const READ_BYTES: usize = 64 << 10;

/// From this size on a frame is read into memory of its own: a system call more then costs less than a copy.
const LARGE_BYTES: usize = 32 << 10;

/// What may come behind a large frame: enough for the head of the next one, little to copy.
const HEAD_BYTES: usize = 4 << 10;

/// A large frame must show this much before it is counted and room for all of it is reserved, so that
/// clients which promise and do not send keep nobody out.
const EARNEST_BYTES: usize = 1 << 10;

/// Time for the rest of a frame once it has begun.
const FRAME_TIME: Duration = Duration::from_secs(30);

/// Slower than this a large frame need not be, whatever the line.
const BYTES_PER_SECOND_MIN: usize = 1 << 20;

thread_local! {
    /// Where reads of any connection go first; nothing stays in it.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

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
    /// The client means another server.
    #[error("{0}")]
    Foreign(Protocol),
    /// The frame began and did not end.
    #[error("frame did not arrive within {0:?}")]
    Slow(Duration),
}

/// Reads frames off a socket.
pub(super) struct FrameReader<R> {
    from: R,
    /// What was read and not taken yet; without memory while there is nothing.
    ahead: BytesMut,
    /// Whether the last frame was a large one: then the next one probably is.
    after_large: bool,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(from: R) -> FrameReader<R> {
        FrameReader {
            from,
            ahead: BytesMut::new(),
            after_large: false,
        }
    }

    /// Waits for a frame to begin and gives its length; `None` if the client closed the connection.
    pub(super) async fn length(&mut self) -> Result<Option<usize>, FrameError> {
        if self.ahead.is_empty() && self.read_ahead().await? == 0 {
            return Ok(None);
        }
        self.fill(size_of::<i32>(), FRAME_TIME).await?;
        if let Some(protocol) = Protocol::of(&self.ahead) {
            return Err(FrameError::Foreign(protocol));
        }
        let length = self.ahead.get_i32();
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= FRAME_BYTES_MAX)
            .map(Some)
            .ok_or(FrameError::Length(length))
    }

    /// Waits for the first part of the frame whose length was just read: whoever sends it means it. A small
    /// frame is then there as a whole.
    pub(super) async fn begin(&mut self, length: usize) -> Result<(), FrameError> {
        let part = if length < LARGE_BYTES {
            length
        } else {
            EARNEST_BYTES
        };
        self.fill(part, FRAME_TIME).await
    }

    /// Reads the frame whose length was just read; its bytes hold the share.
    pub(super) async fn frame(&mut self, length: usize, share: Share) -> Result<Bytes, FrameError> {
        self.after_large = length >= LARGE_BYTES;
        if self.after_large {
            return Ok(share.count(self.large(length).await?));
        }
        self.fill(length, FRAME_TIME).await?;
        let frame = self.ahead.split_to(length).freeze();
        self.let_go();
        Ok(share.count(frame))
    }

    async fn large(&mut self, length: usize) -> Result<Vec<u8>, FrameError> {
        let mut frame = Vec::with_capacity(length + HEAD_BYTES);
        let there = self.ahead.split_to(self.ahead.len().min(length));
        frame.extend_from_slice(&there);
        drop(there);
        self.let_go();
        let slowest = u64::try_from(length / BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
        let limit = FRAME_TIME + Duration::from_secs(slowest);
        in_time(limit, async {
            while frame.len() < length {
                if self.from.read_buf(&mut frame).await? == 0 {
                    return Err(FrameError::Cut);
                }
            }
            Ok(())
        })
        .await?;
        self.ahead.extend_from_slice(&frame[length..]);
        frame.truncate(length);
        Ok(frame)
    }

    /// Reads until there are so many bytes ahead.
    async fn fill(&mut self, wanted: usize, limit: Duration) -> Result<(), FrameError> {
        if self.ahead.len() >= wanted {
            return Ok(());
        }
        in_time(limit, async {
            while self.ahead.len() < wanted {
                if self.read_ahead().await? == 0 {
                    return Err(FrameError::Cut);
                }
            }
            Ok(())
        })
        .await
    }

    /// Reads what is there, by way of the thread's scratch: nothing is held while there is nothing.
    async fn read_ahead(&mut self) -> io::Result<usize> {
        let FrameReader {
            from,
            ahead,
            after_large,
        } = self;
        let most = if *after_large { HEAD_BYTES } else { READ_BYTES };
        poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(&mut scratch[..most]);
                ready!(Pin::new(&mut *from).poll_read(context, &mut read))?;
                ahead.extend_from_slice(read.filled());
                Ok(read.filled().len()).into()
            })
        })
        .await
    }

    /// Gives the memory back that frames may share with nothing any more.
    fn let_go(&mut self) {
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
    }
}

async fn in_time(
    limit: Duration,
    read: impl Future<Output = Result<(), FrameError>>,
) -> Result<(), FrameError> {
    timeout(limit, read)
        .await
        .unwrap_or(Err(FrameError::Slow(limit)))
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::memory::Memory;

    async fn next(reader: &mut FrameReader<DuplexStream>) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = reader.length().await? else {
            return Ok(None);
        };
        reader.begin(length).await?;
        let share = Memory::new(1 << 30, Gauge::default()).hold(length);
        reader.frame(length, share).await.map(Some)
    }

    fn framed(frame: &[u8]) -> Vec<u8> {
        let length = i32::try_from(frame.len()).unwrap();
        [&length.to_be_bytes()[..], frame].concat()
    }

    #[tokio::test]
    async fn frames_are_read_whole_however_they_arrive() {
        let sizes = [5, 0, 1, 40_000, 33_000, 7, 300_000, 1 << 20, 2, 32 << 10];
        let frames: Vec<Vec<u8>> = (0..)
            .zip(sizes)
            .map(|(seed, size)| {
                (0..size)
                    .map(|at| u8::try_from((at * 7 + seed) % 251).unwrap())
                    .collect()
            })
            .collect();
        let all: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
        for at_a_time in [1, 3, 4096, 100_000, 10_000_000] {
            let (mut client, server) = duplex(at_a_time);
            let all = all.clone();
            let sender = tokio::spawn(async move {
                client.write_all(&all).await.unwrap();
            });
            let mut reader = FrameReader::new(server);
            for expected in &frames {
                assert_eq!(next(&mut reader).await.unwrap().unwrap(), expected);
            }
            assert!(next(&mut reader).await.unwrap().is_none());
            sender.await.unwrap();
        }
    }

    /// trap 8
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
    async fn other_protocols_are_told_by_their_first_bytes() {
        for (hello, expected) in [
            (b"\x16\x03\x01\x02\x00".as_slice(), Protocol::Tls),
            (b"GET / HTTP/1.1\r\n", Protocol::Http),
            (b"POST /topics HTTP/1.1\r\n", Protocol::Http),
        ] {
            let (mut client, server) = duplex(64);
            client.write_all(hello).await.unwrap();
            let refused = FrameReader::new(server).length().await;
            assert!(matches!(refused, Err(FrameError::Foreign(found)) if found == expected));
        }
    }

    /// trap 8
    #[tokio::test]
    async fn a_frame_that_ends_early_is_cut() {
        for promised in [100, 100 << 20] {
            let (mut client, server) = duplex(4096);
            client.write_all(&i32::to_be_bytes(promised)).await.unwrap();
            client
                .write_all(&[7; 2000][..usize::try_from(promised.min(2000)).unwrap() - 1])
                .await
                .unwrap();
            drop(client);
            let cut = next(&mut FrameReader::new(server)).await;
            assert!(matches!(cut, Err(FrameError::Cut)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_does_not_go_on_ends_the_connection() {
        for begun in [b"\0\0".as_slice(), b"\0\0\0\x09abc", b"\x06\0\0\0abc"] {
            let (mut client, server) = duplex(64);
            client.write_all(begun).await.unwrap();
            let slow = next(&mut FrameReader::new(server)).await;
            assert!(matches!(slow, Err(FrameError::Slow(_))), "{begun:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_held_between_frames() {
        let (mut client, server) = duplex(1 << 20);
        let mut reader = FrameReader::new(server);
        for size in [10, 10_000, 200_000] {
            client.write_all(&framed(&vec![1; size])).await.unwrap();
            next(&mut reader).await.unwrap();
            assert_eq!(reader.ahead.capacity(), 0, "after {size} bytes");
        }
    }
}
