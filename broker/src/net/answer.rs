//! Writing an answer: one vectored write, nothing joined, nothing looked into; and never for ever.
//!
//! A client that stops reading keeps its answer in memory and its requests unread. It is given time to take
//! some bytes, then time for some more: a slow line is slow to the end, one that stands still is closed.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use headrace_protocol::Piece;
use tokio::io::AsyncWrite;
use tokio::time::timeout;

/// Slices per vectored write; the system takes at most 1,024.
const SLICES_MAX: usize = 256;

/// A client must take [`STEP_BYTES`], or what is left, within this time: longer than the stalls of any
/// working line, as long as clients wait for an answer (`request.timeout.ms`).
const STEP_TIME: Duration = Duration::from_secs(30);

/// 64 KiB in 30 s is slower than any line on which records are worth fetching.
const STEP_BYTES: usize = 64 << 10;

/// Writes all pieces in order. Those that lie in a mapped file are seen by the kernel alone.
pub(super) async fn write_all<W: AsyncWrite + Unpin>(
    to: &mut W,
    pieces: &[Piece],
) -> io::Result<()> {
    let mut left = Left {
        pieces,
        skip: 0,
        since_step: 0,
    };
    while !left.is_empty() {
        left.since_step = 0;
        let step = timeout(STEP_TIME, async {
            while !left.is_empty() && left.since_step < STEP_BYTES {
                left.write(to).await?;
            }
            io::Result::Ok(())
        });
        step.await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    }
    Ok(())
}

/// What is not written yet.
struct Left<'a> {
    pieces: &'a [Piece],
    /// Bytes of the first piece that are.
    skip: usize,
    since_step: usize,
}

impl Left<'_> {
    /// Whether all is written; pieces that are go from the front.
    fn is_empty(&mut self) -> bool {
        while let Some(first) = self.pieces.first()
            && first.len() <= self.skip
        {
            self.skip -= first.len();
            self.pieces = &self.pieces[1..];
        }
        self.pieces.is_empty()
    }

    async fn write<W: AsyncWrite + Unpin>(&mut self, to: &mut W) -> io::Result<()> {
        let written = poll_fn(|context| self.poll_write(Pin::new(&mut *to), context)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.skip += written;
        self.since_step += written;
        Ok(())
    }

    /// Writes what the socket takes.
    fn poll_write<W: AsyncWrite>(
        &self,
        to: Pin<&mut W>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(self.pieces) {
            *slice = piece.io_slice();
            count += 1;
        }
        slices[0].advance(self.skip);
        to.poll_write_vectored(context, &slices[..count])
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

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

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_reading_is_given_up() {
        let (client, mut server) = duplex(1 << 10);
        let began = Instant::now();
        let pieces = [Piece::Memory(Bytes::from(vec![0; 1 << 20]))];
        let failed = write_all(&mut server, &pieces).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), STEP_TIME.as_secs());
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_gets_it_all() {
        let (mut client, mut server) = duplex(STEP_BYTES);
        let reader = tokio::spawn(async move {
            let mut read = 0;
            let mut part = vec![0; STEP_BYTES];
            while read < 1 << 20 {
                sleep(STEP_TIME / 2).await;
                client.read_exact(&mut part).await.unwrap();
                read += part.len();
            }
        });
        let pieces = [Piece::Memory(Bytes::from(vec![0; 1 << 20]))];
        write_all(&mut server, &pieces).await.unwrap();
        reader.await.unwrap();
    }
}
