//! One partition of one view: attempts, one after another, until it is told to stop.
//!
//! ```text
//! attempt:  open target, judge watermark --> newest schema --> claim epoch --> follow
//! follow:   poll -> decode -> batch -> apply -> commit when due -> look at the watermark each second
//! ```
//! An attempt ends only with a [`Stop`]; what follows it is a fresh attempt from the stored watermark, so
//! there is one way to start and it is the way to recover.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use headrace_clients::{ClientConfig, ProduceError, ReadError, Reader, Record};
use tokio_util::sync::CancellationToken;

use super::batch::Batcher;
use super::claim::Claims;
use super::decode::Decoder;
use super::follow::Follower;
use super::retry::Backoff;
use super::schemas::{SchemaProblem, Schemas};
use super::status::{Board, Problem, State};
use super::supervisor::FirstStart;
use crate::metrics::ViewMetrics;
use crate::sink::{Identity, Mismatch, Offset, Partition, Sink, SinkError, Target, Watermark};
use crate::view::{Definition, DefinitionError};

/// Shortest wait of a writer that was fenced: the newer one is to be left in peace.
const FENCED_WAIT: Duration = Duration::from_secs(5);

/// What all tasks of a view share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) definition: Definition,
    pub(crate) topic: String,
    pub(crate) client: ClientConfig,
    pub(crate) board: Board,
    pub(crate) metrics: ViewMetrics,
    pub(crate) claims: Arc<Claims>,
    pub(crate) schemas: Arc<Schemas>,
    pub(crate) first_start: FirstStart,
}

/// Why an attempt ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the index was emptied to take a new column; it is read again from the start")]
    Emptied,
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the view could not be claimed: {0}")]
    Claim(#[from] ProduceError),
    #[error(transparent)]
    Schema(#[from] SchemaProblem),
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    #[error("the record at offset {offset} with key {key} cannot be applied: {reason}")]
    Record {
        offset: Offset,
        key: String,
        reason: String,
    },
}

impl Stop {
    /// A record that stops the view.
    pub(crate) fn record(record: &Record, reason: String) -> Stop {
        let key = record
            .key
            .as_deref()
            .map_or_else(|| "none".into(), String::from_utf8_lossy);
        Stop::Record {
            offset: Offset(record.offset),
            key: key.chars().take(200).collect(),
            reason,
        }
    }

    /// State and message of a view that met this.
    fn shown(&self, view: &str) -> (State, Problem) {
        let reset = || format!("if that is intended: headrace view reset {view}");
        let failed = |code, hint: Option<String>| {
            (State::Failed, Problem::new(code, self.to_string(), hint))
        };
        match self {
            Stop::Emptied => failed("rebuilding", None),
            Stop::Sink(SinkError::Mismatch(mismatch)) => {
                let hint = format!(
                    "headrace view reset {view} deletes what the view wrote and replays the log"
                );
                (
                    State::Mismatch,
                    Problem::new("mismatch", mismatch.to_string(), Some(hint)),
                )
            }
            Stop::Sink(SinkError::Refused { hint, .. }) => {
                failed("target-refused", Some(hint.clone()))
            }
            Stop::Sink(SinkError::Fenced(_)) => failed(
                "fenced",
                Some("another process writes this view: stop one of them".into()),
            ),
            Stop::Sink(SinkError::Lost(_)) => failed("lost", None),
            Stop::Sink(SinkError::Unavailable(_)) => failed(
                "target-unavailable",
                Some(
                    "check that the target runs and what [target.…] says of it; it is tried again"
                        .into(),
                ),
            ),
            Stop::Read(ReadError::OffsetOutOfRange { .. }) => {
                failed("log-out-of-range", Some(reset()))
            }
            Stop::Read(_) | Stop::Claim(_) | Stop::Schema(_) => failed("log-unavailable", None),
            Stop::Definition(_) => failed(
                "definition",
                Some(format!("change [view.{view}] in the configuration")),
            ),
            Stop::Record { .. } => failed(
                "record",
                Some("correct the row at its source, or the view; it is tried again".into()),
            ),
        }
    }
}

/// The task of one partition.
#[derive(Debug)]
pub(crate) struct Task<T: Target> {
    pub(crate) target: Arc<T>,
    pub(crate) context: Arc<Context>,
    pub(crate) partition: Partition,
    pub(crate) identity: Identity,
    /// What this task knows to be stored, across attempts: less than that is loss.
    pub(crate) known: Option<Offset>,
    pub(crate) backoff: Backoff,
    pub(crate) decoder: Decoder,
}

impl<T: Target> Task<T> {
    pub(crate) fn new(
        target: Arc<T>,
        context: Arc<Context>,
        partition: Partition,
        identity: Identity,
    ) -> Task<T> {
        let decoder = Decoder::new(&context);
        Task {
            target,
            context,
            partition,
            identity,
            known: None,
            backoff: Backoff::default(),
            decoder,
        }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.attempt() => ended,
            };
            let Err(ended) = ended;
            let delay = self.after(&ended);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// Shows why the attempt ended and says how long to wait for the next.
    fn after(&mut self, ended: &Stop) -> Duration {
        let view = self.context.board.name();
        let mut delay = self.backoff.next(rand::random());
        match ended {
            Stop::Emptied => {
                self.known = None;
                tracing::info!(view, partition = self.partition.0, "{ended}");
                return Duration::ZERO;
            }
            Stop::Sink(SinkError::Lost(_)) => {
                tracing::warn!(view, partition = self.partition.0, "{ended}");
                return delay / 4;
            }
            Stop::Sink(SinkError::Fenced(_)) => {
                self.context.board.fenced();
                self.context.metrics.fenced();
                delay = delay.max(FENCED_WAIT);
            }
            _ => {}
        }
        let (state, problem) = ended.shown(view);
        tracing::warn!(
            view,
            partition = self.partition.0,
            code = problem.code,
            hint = problem.hint,
            "{ended}"
        );
        self.context.first_start.failed(state, &problem);
        self.context.metrics.up(self.partition, false);
        self.context
            .board
            .failed(self.partition, state, problem, delay);
        delay
    }

    async fn attempt(&mut self) -> Result<Infallible, Stop> {
        let mut sink = self
            .target
            .open(self.partition, self.identity.clone())
            .await?;
        let (stored, reader, end) = match self.judge(&mut sink).await {
            Err(Stop::Sink(SinkError::Mismatch(mismatch))) if T::Sink::REBUILDS => {
                tracing::info!(view = self.context.board.name(), "{mismatch}: rebuilding");
                sink.reset().await?;
                self.known = None;
                self.judge(&mut sink).await?
            }
            judged => judged?,
        };
        self.context.board.visible(self.partition, stored, false);
        self.note_loss(stored);
        self.decoder.prepare(self.partition, end, &mut sink).await?;
        let epoch = self
            .context
            .claims
            .claim(self.context.board.name(), self.partition)
            .await?;
        self.context.board.running(self.partition);
        self.context.metrics.up(self.partition, true);
        self.context.first_start.succeeded();
        let position = stored.map(|stored| stored.position);
        let batcher = Batcher::new(position.and_then(|position| position.version));
        let previous = position.map(|position| position.offset);
        Follower::new(self, sink, reader, batcher, (epoch, previous))
            .follow()
            .await
    }

    /// Reads the stored watermark and compares it with the bounds of the log; opens the log behind it.
    async fn judge(&self, sink: &mut T::Sink) -> Result<(Option<Watermark>, Reader, Offset), Stop> {
        let stored = sink.stored().await?;
        let from = stored.map_or(0, |stored| stored.position.offset.0 + 1);
        let open = |from| {
            Reader::open(
                &self.context.client,
                &self.context.topic,
                self.partition.0,
                from,
            )
        };
        let mut reader = open(from)?;
        let (start, end) = reader.watermarks().await?;
        let partition = self.partition.0;
        match stored.map(|stored| stored.position.offset) {
            Some(stored) if from > end => {
                return Err(SinkError::from(Mismatch::PastEnd {
                    partition,
                    stored,
                    end: Offset(end),
                })
                .into());
            }
            Some(stored) if from < start => {
                return Err(SinkError::from(Mismatch::BeforeStart {
                    partition,
                    stored,
                    start: Offset(start),
                })
                .into());
            }
            None if start > 0 => reader = open(start)?,
            _ => {}
        }
        self.context.board.log_end(self.partition, end);
        Ok((stored, reader, Offset(end)))
    }

    /// Counts writes that were acknowledged and are gone.
    fn note_loss(&mut self, stored: Option<Watermark>) {
        let offset = stored.map(|stored| stored.position.offset);
        if self.known > offset {
            let (known, found) = (
                self.known.map(|known| known.0),
                offset.map(|offset| offset.0),
            );
            tracing::warn!(
                view = self.context.board.name(),
                known,
                found,
                "the target lost writes, reading again"
            );
            self.context.board.lost();
            self.context.metrics.lost();
        }
        self.known = offset;
    }
}
