//! One client: frames in, answers out in the order of the requests.
//!
//! ```text
//! read frame -> api::begin: decode; a produce request takes its place in the logs at once
//!        |
//!        '==queue of work, bounded==> await the first, write its answer, await the next ...
//! ```
//!
//! All but produce runs when its turn comes, so a client sees the requests of one connection take effect in
//! order; only produce requests overlap, and they keep their order in the logs. Whatever is not a request
//! closes this connection, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use headrace_protocol::Piece;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::{debug, info, warn};

use super::frame::{FrameError, FrameReader, write_all};
use crate::api::{self, Outcome, Refusal, Work};
use crate::node::Node;

/// Requests of one connection that are not answered yet. Idempotent clients keep 5 in flight; others may
/// keep many small ones, which a group commit answers together.
const IN_FLIGHT_MAX: usize = 128;

/// Unit of the budget for request bytes: fine enough to be fair, coarse enough to count in 32 bits.
const BUDGET_UNIT_BYTES: usize = 1024;

/// What a write fails with when the kernel cannot read what is to be sent: records in a mapped file that
/// somebody truncated, or that the disk cannot read. The frame has begun, so the connection has to end.
const EFAULT: i32 = 14;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The client closed it.
    #[error("closed by the client")]
    Closed,
    /// What was sent is not a frame, or the socket failed.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What was sent is not a request that is served.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Writing an answer failed.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

/// A request on its way to its answer.
struct Pending {
    work: Work,
    began: Instant,
    /// Its share of the budget, given back with its answer.
    _permit: OwnedSemaphorePermit,
}

/// The budget for the bytes of all requests in memory.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    units_max: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Budget {
        let units_max = (bytes_max / BUDGET_UNIT_BYTES).clamp(1, u32::MAX as usize);
        Budget {
            units: Arc::new(Semaphore::new(units_max)),
            units_max,
        }
    }

    /// Waits for room; a request above the whole budget waits until it is alone.
    async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let units = bytes.div_ceil(BUDGET_UNIT_BYTES).clamp(1, self.units_max);
        let units = u32::try_from(units).expect("clamped to 32 bits");
        let taken = Arc::clone(&self.units).acquire_many_owned(units).await;
        taken.expect("the semaphore is never closed")
    }
}

/// Serves a client until it leaves or must leave.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, node: Arc<Node>, budget: Budget) {
    // a client that sends small requests must not wait for the kernel to join them
    if let Err(failed) = stream.set_nodelay(true) {
        return debug!(%peer, %failed, "connection is gone");
    }
    let (from, to) = stream.into_split();
    let (queue, work) = mpsc::channel(IN_FLIGHT_MAX);
    let end = tokio::select! {
        end = read(from, peer, &node, &budget, &queue) => end,
        end = write(to, &node, work) => end,
    };
    match end {
        End::Closed | End::Frame(FrameError::Io(_)) | End::Write(_) => {
            debug!(%peer, reason = %end, "connection ends");
        }
        End::Frame(_) | End::Refused(_) => {
            node.metrics.connections_failed.inc();
            info!(%peer, reason = %end, "connection is closed");
        }
    }
}

/// Reads requests and queues their work; returns why it stops.
async fn read(
    from: OwnedReadHalf,
    peer: SocketAddr,
    node: &Arc<Node>,
    budget: &Budget,
    queue: &mpsc::Sender<Pending>,
) -> End {
    let mut frames = FrameReader::new(from);
    loop {
        match read_one(&mut frames, peer, node, budget).await {
            Ok(pending) => {
                if queue.send(pending).await.is_err() {
                    return End::Closed;
                }
            }
            Err(end) => return end,
        }
    }
}

async fn read_one(
    frames: &mut FrameReader<OwnedReadHalf>,
    peer: SocketAddr,
    node: &Arc<Node>,
    budget: &Budget,
) -> Result<Pending, End> {
    let length = frames.length().await?.ok_or(End::Closed)?;
    frames.begin(length).await?;
    let permit = budget.take(length).await;
    let frame = frames.frame(length).await?;
    let began = Instant::now();
    let work = api::begin(Arc::clone(node), peer, frame).await?;
    Ok(Pending {
        work,
        began,
        _permit: permit,
    })
}

/// Finishes work in order and writes the answers; returns why it stops.
async fn write(mut to: OwnedWriteHalf, node: &Node, mut work: mpsc::Receiver<Pending>) -> End {
    while let Some(pending) = work.recv().await {
        let Work { api, answer } = pending.work;
        let outcome = answer.await;
        node.metrics.answered(api, pending.began.elapsed());
        let frame = match outcome {
            Outcome::Answer(frame) => frame,
            Outcome::Silence => continue,
            Outcome::Close(refusal) => return refusal.into(),
        };
        if let Err(failed) = write_all(&mut to, &frame).await {
            if failed.raw_os_error() == Some(EFAULT) {
                warn!(
                    ?api,
                    "a file of the log was cut or cannot be read while it was sent"
                );
            }
            return failed.into();
        }
        node.metrics.sent(frame.iter().map(Piece::len).sum());
    }
    // best effort: the client may be gone already
    drop(to.shutdown().await);
    End::Closed
}
