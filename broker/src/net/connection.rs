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
//! closes this connection, and nothing else. So does taking no answers, and silence for too long.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use headrace_protocol::Piece;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::answer::write_all;
use super::frame::{FrameError, FrameReader};
use crate::api::{self, Outcome, Refusal, Work};
use crate::memory::Lane;
use crate::node::Node;

/// Requests of one connection that are not answered yet. Idempotent clients keep 5 in flight; others may
/// keep many small ones, which a group commit answers together.
const IN_FLIGHT_MAX: usize = 128;

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
    Write(#[from] io::Error),
    /// The client does not take its answers.
    #[error("the client does not read its answers")]
    Stuck,
    /// There is no memory for its answer; clients take it as they take any broken connection, and ask again.
    #[error("there is no memory for an answer")]
    Full,
    /// Nothing was asked for too long.
    #[error("idle for {0:?}")]
    Idle(Duration),
}

/// A request on its way to its answer.
struct Pending {
    work: Work,
    began: Instant,
}

/// When the client was last heard, and whether it waits for something.
struct Activity {
    since: Instant,
    /// Milliseconds after `since`; the reader writes.
    heard_ms: AtomicU64,
    /// Requests read and not answered.
    unanswered: AtomicUsize,
}

impl Activity {
    fn new() -> Activity {
        Activity {
            since: Instant::now(),
            heard_ms: AtomicU64::new(0),
            unanswered: AtomicUsize::new(0),
        }
    }

    fn asked(&self, at: Instant) {
        self.heard(at);
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    fn answered(&self) {
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
    }

    fn heard(&self, at: Instant) {
        let ms = at.saturating_duration_since(self.since).as_millis();
        let ms = u64::try_from(ms).unwrap_or(u64::MAX);
        self.heard_ms.store(ms, Ordering::Relaxed);
    }

    /// Returns when nothing was asked and nothing was owed for so long.
    async fn idle(&self, most: Duration) -> End {
        loop {
            let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
            let silent = self.since.elapsed().saturating_sub(heard);
            if self.unanswered.load(Ordering::Relaxed) > 0 {
                self.heard(Instant::now());
            } else if silent >= most {
                return End::Idle(most);
            }
            sleep(most.saturating_sub(silent).max(IDLE_STEP)).await;
        }
    }
}

/// Looked at no more often than this.
const IDLE_STEP: Duration = Duration::from_millis(10);

/// Serves a client until it leaves or must leave.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, node: Arc<Node>) {
    // a client that sends small requests must not wait for the kernel to join them
    if let Err(failed) = stream.set_nodelay(true) {
        return debug!(%peer, %failed, "connection is gone");
    }
    let (from, to) = stream.into_split();
    let (queue, work) = mpsc::channel(IN_FLIGHT_MAX);
    let activity = Activity::new();
    let idle_max = Duration::from_millis(node.config.connections_max_idle_ms);
    let end = tokio::select! {
        end = read(from, peer, &node, &activity, &queue) => end,
        end = write(to, &node, &activity, work) => end,
        end = activity.idle(idle_max) => end,
    };
    match end {
        End::Closed | End::Frame(FrameError::Io(_)) | End::Write(_) | End::Idle(_) => {
            debug!(%peer, reason = %end, "connection ends");
        }
        End::Frame(_) | End::Refused(_) | End::Stuck | End::Full => {
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
    activity: &Activity,
    queue: &mpsc::Sender<Pending>,
) -> End {
    let mut frames = FrameReader::new(from);
    let lane = node.memory.lane();
    loop {
        match read_one(&mut frames, peer, node, &lane, activity).await {
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
    lane: &Lane,
    activity: &Activity,
) -> Result<Pending, End> {
    let length = frames.length().await?.ok_or(End::Closed)?;
    frames.begin(length).await?;
    let share = lane.admit(length).await;
    let frame = frames.frame(length, share).await?;
    let began = Instant::now();
    activity.asked(began);
    let work = api::begin(Arc::clone(node), peer, frame).await?;
    Ok(Pending { work, began })
}

/// Finishes work in order and writes the answers; returns why it stops.
async fn write(
    mut to: OwnedWriteHalf,
    node: &Node,
    activity: &Activity,
    mut work: mpsc::Receiver<Pending>,
) -> End {
    while let Some(pending) = work.recv().await {
        let Work { api, answer } = pending.work;
        let outcome = answer.await;
        node.metrics.answered(api, pending.began.elapsed());
        let frame = match outcome {
            Outcome::Answer(frame) => frame,
            Outcome::Silence => {
                activity.answered();
                continue;
            }
            Outcome::Close(refusal) => return refusal.into(),
        };
        let Some(_held) = node.memory.hold_answer(memory_bytes(&frame)) else {
            return End::Full;
        };
        if let Err(failed) = write_all(&mut to, &frame).await {
            if failed.raw_os_error() == Some(EFAULT) {
                warn!(
                    ?api,
                    "a file of the log was cut or cannot be read while it was sent"
                );
            }
            return match failed.kind() {
                io::ErrorKind::TimedOut if failed.raw_os_error().is_none() => End::Stuck,
                _ => failed.into(),
            };
        }
        activity.answered();
        node.metrics.sent(frame.iter().map(Piece::len).sum());
    }
    // best effort: the client may be gone already
    drop(to.shutdown().await);
    End::Closed
}

/// What an answer takes of this program's memory until the socket has it.
fn memory_bytes(frame: &[Piece]) -> usize {
    let memory = frame
        .iter()
        .filter(|piece| matches!(piece, Piece::Memory(_)));
    memory.map(Piece::len).sum()
}
