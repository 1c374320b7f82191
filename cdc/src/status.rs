//! What a source shows of itself in `/v1/sources`: one value behind a lock that is held for a few
//! assignments, written by the source's task, read by anyone.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::csn::Csn;
use crate::error::Problem;
use crate::gtid::Position;

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Connecting and checking.
    Starting,
    /// Reading the tables.
    Snapshot,
    /// Following the binlog.
    Streaming,
    /// Waiting for the next attempt; the reason is the last error.
    Failed,
    /// Told to stop.
    Stopped,
}

impl State {
    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Snapshot => "snapshot",
            State::Streaming => "streaming",
            State::Failed => "failed",
            State::Stopped => "stopped",
        }
    }
}

/// One source in `/v1/sources`; times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// The last position stored on the log.
    pub position: Option<ShownPosition>,
    /// When the log acknowledged the newest record.
    pub published_at_ms: Option<u64>,
    /// From the commit of the last transaction to its capture; 0 when there is nothing to read.
    pub lag_ms: Option<u64>,
    /// Row changes and snapshot rows captured since the process started.
    pub rows: u64,
    /// The snapshot while it runs.
    pub snapshot: Option<ShownSnapshot>,
    /// Why it failed last; stays until it streams again.
    pub last_error: Option<ShownError>,
    /// When it is tried again, while failed.
    pub next_attempt_ms: Option<u64>,
}

/// A position in `/v1/sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownPosition {
    /// In the server's own text.
    pub gtid: String,
    /// Its commit sequence number.
    pub csn: u64,
}

/// A running snapshot in `/v1/sources`. Its transaction holds metadata locks on the tables read so far:
/// DDL on them waits until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownSnapshot {
    /// The table being read.
    pub table: String,
    /// Its place among the captured tables, from 1.
    pub table_number: usize,
    /// How many tables are captured.
    pub tables: usize,
    /// Rows read, of all tables.
    pub rows: u64,
    /// Tables on which DDL waits for the end of the snapshot.
    pub locked_tables: Vec<String>,
}

/// An error in `/v1/sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownError {
    /// Code, message and hint.
    #[serde(flatten)]
    pub problem: Problem,
    /// When it happened.
    pub at_ms: u64,
}

/// The status of one source, shared between its task and the HTTP interface.
#[derive(Debug)]
pub(crate) struct SharedStatus(Mutex<SourceStatus>);

impl SharedStatus {
    /// A source that has not begun.
    pub(crate) fn new(name: &str) -> SharedStatus {
        SharedStatus(Mutex::new(SourceStatus {
            name: name.to_owned(),
            state: State::Starting,
            position: None,
            published_at_ms: None,
            lag_ms: None,
            rows: 0,
            snapshot: None,
            last_error: None,
            next_attempt_ms: None,
        }))
    }

    /// A copy of it.
    pub(crate) fn get(&self) -> SourceStatus {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes the state; one that works forgets the last error.
    pub(crate) fn enter(&self, state: State) {
        self.update(|status| {
            status.state = state;
            status.next_attempt_ms = None;
            if state == State::Streaming {
                status.last_error = None;
            }
            if state != State::Snapshot {
                status.snapshot = None;
            }
        });
    }

    /// Notes a failure and when the next attempt is.
    pub(crate) fn fail(&self, problem: &Problem, now_ms: u64, pause: Duration) {
        self.update(|status| {
            status.state = State::Failed;
            status.snapshot = None;
            status.last_error = Some(ShownError {
                problem: problem.clone(),
                at_ms: now_ms,
            });
            status.next_attempt_ms = Some(now_ms + millis(pause));
        });
    }

    /// Notes what is stored on the log.
    pub(crate) fn stored(&self, gtid: &Position, csn: Csn) {
        self.update(|status| {
            status.position = Some(ShownPosition {
                gtid: gtid.to_string(),
                csn: csn.0,
            });
        });
    }
}

/// The wall clock in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_json_of_a_failed_source() {
        let status = SharedStatus::new("shop");
        status.stored(&Position::mariadb(), Csn(7));
        let problem = Problem {
            code: "access-denied",
            message: "no".to_owned(),
            hint: "yes".to_owned(),
        };
        status.fail(&problem, 1000, Duration::from_secs(2));
        assert_eq!(
            serde_json::to_string(&status.get()).unwrap(),
            concat!(
                r#"{"name":"shop","state":"failed","position":{"gtid":"","csn":7},"published_at_ms":null,"lag_ms":null,"rows":0,"snapshot":null,"#,
                r#""last_error":{"code":"access-denied","message":"no","hint":"yes","at_ms":1000},"next_attempt_ms":3000}"#
            )
        );
        status.enter(State::Streaming);
        assert_eq!(status.get().last_error, None);
    }
}
