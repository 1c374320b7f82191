//! Waits for what was sent to be safe in the log, in the order of sending: the count of
//! acknowledgements is that of a prefix, and the first failure is kept.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headrace_clients::{Delivery, ProduceError};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::error::SourceError;
use crate::status::now_ms;

/// Deliveries handed to the waiting task at a time, so that it is not woken for each.
const CHUNK: usize = 256;
/// Chunks waited for in order; the producer's own limit in bytes is reached long before.
const CHUNKS_MAX: usize = 256;

/// Waits for deliveries in the order of sending.
#[derive(Debug)]
pub(crate) struct Acks {
    queue: mpsc::Sender<Vec<Delivery>>,
    /// Sent, and not yet handed to the task.
    chunk: Vec<Delivery>,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    acked: AtomicU64,
    /// 0 before the first.
    last_ack_ms: AtomicU64,
    failed: Mutex<Option<SourceError>>,
    /// Mirrors `failed`, to be looked at once per record.
    has_failed: AtomicBool,
    changed: Notify,
}

impl Acks {
    /// Nothing sent yet.
    pub(crate) fn start() -> Acks {
        let (queue, chunks) = mpsc::channel(CHUNKS_MAX);
        let state = Arc::new(State::default());
        let task = tokio::spawn(wait_for_acks(chunks, state.clone()));
        Acks {
            queue,
            chunk: Vec::new(),
            state,
            task,
        }
    }

    /// Adds a delivery to wait for; it may be counted only after [`Acks::flush`].
    pub(crate) async fn expect(&mut self, delivery: Delivery) -> Result<(), SourceError> {
        self.chunk.push(delivery);
        if self.chunk.len() < CHUNK {
            Ok(())
        } else {
            self.flush().await
        }
    }

    /// Has everything added so far waited for.
    pub(crate) async fn flush(&mut self) -> Result<(), SourceError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        if self
            .queue
            .send(std::mem::take(&mut self.chunk))
            .await
            .is_err()
        {
            self.check()?;
            let what = "the task that waits for acks ended";
            return Err(SourceError::log("cannot write to the log", what));
        }
        Ok(())
    }

    /// The first failure, from then on.
    pub(crate) fn check(&self) -> Result<(), SourceError> {
        if self.state.has_failed.load(Ordering::Acquire)
            && let Some(error) = self
                .state
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        {
            return Err(error);
        }
        Ok(())
    }

    /// How many are acknowledged, all before them included.
    pub(crate) fn count(&self) -> Result<u64, SourceError> {
        self.check()?;
        Ok(self.state.acked.load(Ordering::Acquire))
    }

    /// Resolves when `sent` are acknowledged, or at a failure.
    pub(crate) async fn reached(&self, sent: u64) -> Result<(), SourceError> {
        loop {
            let changed = self.state.changed.notified();
            if self.count()? >= sent {
                return Ok(());
            }
            changed.await;
        }
    }

    /// When the newest acknowledgement came, in milliseconds since 1970; none before the first.
    pub(crate) fn last_ms(&self) -> Option<u64> {
        match self.state.last_ack_ms.load(Ordering::Relaxed) {
            0 => None,
            at_ms => Some(at_ms),
        }
    }
}

impl Drop for Acks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn wait_for_acks(mut chunks: mpsc::Receiver<Vec<Delivery>>, state: Arc<State>) {
    while let Some(chunk) = chunks.recv().await {
        for delivery in chunk {
            if let Err(error) = delivery.await {
                let failure = Some(produce_error(&error));
                *state.failed.lock().unwrap_or_else(PoisonError::into_inner) = failure;
                state.has_failed.store(true, Ordering::Release);
                state.changed.notify_waiters();
                return;
            }
            state.acked.fetch_add(1, Ordering::Release);
        }
        state.last_ack_ms.store(now_ms(), Ordering::Relaxed);
        state.changed.notify_waiters();
    }
}

/// What a failed delivery means for the source.
pub(crate) fn produce_error(error: &ProduceError) -> SourceError {
    match error {
        ProduceError::TooLarge { .. } => SourceError::definite(
            "row-too-large",
            error.to_string(),
            "raise the topic's max.message.bytes to 67108864",
        ),
        ProduceError::UnknownTopic { .. } => SourceError::transient(
            "topic-missing",
            error.to_string(),
            "it was deleted while the source ran",
        ),
        ProduceError::Refused { .. } => SourceError::definite(
            "record-refused",
            error.to_string(),
            "see the broker's log and the topic's settings",
        ),
        ProduceError::Fatal { .. } => SourceError::log("cannot write to the log", error),
    }
}
