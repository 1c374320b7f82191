//! The life of one source: an attempt, and after a failure the next one.
//!
//! ```text
//! read stored position -> connect, prechecks -> topics, floors -> [snapshot] -> stream --,
//!    ^                                                                                   |
//!    `-- back-off <- state failed, reason <- error (server, network, data, log) <--------'
//! ```
//! An attempt owns its connections and its producer, and starts from what the log holds, so it does
//! not matter how the one before it ended.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::config::{SourceConfig, TableName};
use crate::connection::Endpoint;
use crate::error::{Problem, SourceError};
use crate::metrics::SourceMetrics;
use crate::status::{SharedStatus, State, now_ms};

/// Pause after a first failure; doubled after each further one.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause after transient failures: a server that is back should be noticed soon.
const TRANSIENT_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Longest pause after definite failures: a person acts in minutes.
const DEFINITE_PAUSE_MAX: Duration = Duration::from_mins(1);
/// An attempt that held this long starts the pauses anew.
const HELD: Duration = Duration::from_secs(30);
/// How long an attempt may take to settle its acknowledgements after it was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(8);

/// A configured source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config: SourceConfig,
    pub(crate) tables: Vec<TableName>,
    pub(crate) endpoint: Endpoint,
    pub(crate) bootstrap: String,
    pub(crate) status: Arc<SharedStatus>,
    pub(crate) metrics: SourceMetrics,
    pub(crate) stop: CancellationToken,
}

/// Tells [`crate::Sources::start`], once, whether the source has started.
#[derive(Debug)]
pub(crate) struct StartGate(Option<oneshot::Sender<Result<(), Problem>>>);

impl StartGate {
    pub(crate) fn new(sender: oneshot::Sender<Result<(), Problem>>) -> StartGate {
        StartGate(Some(sender))
    }

    /// The source runs, or counts as started because it ran before.
    pub(crate) fn open(&mut self) {
        self.tell(Ok(()));
    }

    fn tell(&mut self, result: Result<(), Problem>) {
        if let Some(sender) = self.0.take()
            && sender.send(result).is_err()
        {
            tracing::debug!("nobody waits for the source's start any more");
        }
    }
}

impl Source {
    /// Runs until told to stop, or until a first start fails.
    pub(crate) async fn run(self, mut gate: StartGate) {
        let name = self.config.name.clone();
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            self.enter(State::Starting);
            let began = Instant::now();
            let mut attempt = Attempt::new(&self);
            let error = self.until_stopped(&mut attempt, &mut gate).await;
            let ran_before = attempt.ran_before();
            drop(attempt);
            let Some(problem) = error.problem() else {
                break;
            };
            self.metrics.failures.inc();
            if began.elapsed() >= HELD {
                failures = 0;
            }
            let pause = pause(&error, failures);
            failures += 1;
            tracing::warn!(source = name, code = problem.code, error = %problem.message, hint = problem.hint, pause_ms = now_ms_of(pause), "source failed, it is tried again");
            self.metrics.enter(State::Failed);
            self.status.fail(problem, now_ms(), pause);
            if ran_before == Some(false) {
                // no position on the log: the start itself has failed
                gate.tell(Err(problem.clone()));
            } else if ran_before == Some(true) {
                gate.open();
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.enter(State::Stopped);
        gate.open();
        tracing::info!(source = name, "source stopped");
    }

    /// Runs the attempt; once told to stop it has a grace time to settle.
    async fn until_stopped(&self, attempt: &mut Attempt<'_>, gate: &mut StartGate) -> SourceError {
        let grace_over = async {
            self.stop.cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            result = attempt.run(gate) => match result {
                Ok(()) => SourceError::Stopped,
                Err(error) => error,
            },
            () = grace_over => SourceError::Stopped,
        }
    }

    fn enter(&self, state: State) {
        self.status.enter(state);
        self.metrics.enter(state);
    }
}

fn now_ms_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Doubles from [`PAUSE_MIN`] to the limit of the error's kind, up to a quarter less at random, so
/// that sources of one server do not come back together.
fn pause(error: &SourceError, failures: u32) -> Duration {
    let limit = match error {
        SourceError::Definite(_) => DEFINITE_PAUSE_MAX,
        SourceError::Transient(_) | SourceError::Stopped => TRANSIENT_PAUSE_MAX,
    };
    let full = PAUSE_MIN.saturating_mul(1 << failures.min(16)).min(limit);
    full.mul_f64(rand::rng().random_range(0.75..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_of_their_kind() {
        let transient = SourceError::transient("t", "", "");
        let definite = SourceError::definite("d", "", "");
        assert!(pause(&transient, 0) <= PAUSE_MIN);
        assert!(
            pause(&transient, 40) <= TRANSIENT_PAUSE_MAX
                && pause(&transient, 40) > TRANSIENT_PAUSE_MAX / 2
        );
        assert!(pause(&definite, 40) > TRANSIENT_PAUSE_MAX);
    }
}
