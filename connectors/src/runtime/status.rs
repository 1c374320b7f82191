//! What a view says about itself: written by its tasks, read over HTTP and by the caller of [`crate::Views`].
//!
//! A view is as well as its worst partition; its last error is that of the partition that failed last.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::sink::{Applied, Partition, Watermark};

/// What a view or partition is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not yet at the first record, or waiting for its topic.
    Starting,
    /// Following the log.
    Running,
    /// Waiting for the next attempt.
    Failed,
    /// The target holds something else; nothing is written until a reset.
    Mismatch,
    /// Shut down.
    Stopped,
}

/// The last thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Constant word for programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Problem {
    pub(crate) fn new(
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Problem {
        Problem {
            code,
            message: message.into(),
            hint,
            at_ms: now_ms(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}; {hint}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A stored watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WatermarkStatus {
    /// Epoch of the writer.
    pub epoch: i64,
    /// Offset of the last record taken in.
    pub offset: i64,
    /// Commit sequence number of the newest change taken in.
    pub csn: Option<u64>,
    /// Its index in the commit.
    pub index: Option<u64>,
}

/// One partition of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: i32,
    /// The watermark that readers of the target see.
    pub watermark: Option<WatermarkStatus>,
    /// When that watermark was stored, in milliseconds since 1970.
    pub applied_at_ms: Option<i64>,
    /// Records of the log not yet taken in, as of the last look.
    pub lag_records: Option<i64>,
    /// True inside a source transaction too large for one call.
    pub partial: bool,
}

/// One view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewStatus {
    /// Its name.
    pub name: String,
    /// State of its worst partition.
    pub state: State,
    /// By number.
    pub partitions: Vec<PartitionStatus>,
    /// Operations applied since the start of the process.
    pub applied: u64,
    /// Operations that had been applied before.
    pub skipped_as_replay: u64,
    /// Calls refused because a newer writer owns the view.
    pub fenced: u64,
    /// Times the target had lost writes and got them again.
    pub lost_and_healed: u64,
    /// Present while the view is not well.
    pub last_error: Option<Problem>,
    /// When the next attempt starts, in milliseconds since 1970; present while it waits.
    pub next_attempt_ms: Option<i64>,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[derive(Debug)]
struct Part {
    state: State,
    watermark: Option<Watermark>,
    applied_at_ms: Option<i64>,
    end: Option<i64>,
    problem: Option<Problem>,
    next_attempt_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Inner {
    stopped: bool,
    parts: BTreeMap<i32, Part>,
    waiting: Option<Problem>,
    applied: u64,
    skipped: u64,
    fenced: u64,
    lost: u64,
}

/// The status of one view; clones share it. The lock is held for single assignments only.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    name: Arc<str>,
    inner: Arc<Mutex<Inner>>,
}

impl Board {
    pub(crate) fn new(name: &str) -> Board {
        Board {
            name: name.into(),
            inner: Arc::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No partition runs; `problem` says what is waited for.
    pub(crate) fn waiting(&self, problem: Option<Problem>) {
        let mut inner = self.lock();
        inner.waiting = problem;
        inner.parts.clear();
    }

    /// The view has these partitions from now on.
    pub(crate) fn partitions(&self, count: i32) {
        let mut inner = self.lock();
        inner.waiting = None;
        inner.parts = (0..count)
            .map(|partition| (partition, Part::starting()))
            .collect();
    }

    pub(crate) fn stopped(&self) {
        self.lock().stopped = true;
    }

    pub(crate) fn fenced(&self) {
        self.lock().fenced += 1;
    }

    pub(crate) fn lost(&self) {
        self.lock().lost += 1;
    }

    pub(crate) fn counted(&self, applied: &Applied) {
        let mut inner = self.lock();
        inner.applied += applied.applied;
        inner.skipped += applied.skipped;
    }

    /// The partition follows the log again.
    pub(crate) fn running(&self, partition: Partition) {
        self.change(partition, |part| {
            part.state = State::Running;
            part.problem = None;
            part.next_attempt_ms = None;
        });
    }

    /// What readers of the target see now, as far as it is known; `fresh` when it has just been stored.
    pub(crate) fn visible(&self, partition: Partition, watermark: Option<Watermark>, fresh: bool) {
        self.change(partition, |part| {
            part.watermark = watermark;
            if fresh {
                part.applied_at_ms = Some(now_ms());
            }
        });
    }

    /// The log's end as just asked.
    pub(crate) fn log_end(&self, partition: Partition, end: i64) {
        self.change(partition, |part| part.end = Some(end));
    }

    /// The partition waits `delay` for its next attempt.
    pub(crate) fn failed(
        &self,
        partition: Partition,
        state: State,
        problem: Problem,
        delay: Duration,
    ) {
        let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        self.change(partition, |part| {
            part.state = state;
            part.problem = Some(problem);
            part.next_attempt_ms = Some(now_ms().saturating_add(delay_ms));
        });
    }

    fn change(&self, partition: Partition, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.lock().parts.get_mut(&partition.0) {
            change(part);
        }
    }

    /// The whole status as of now.
    pub(crate) fn status(&self) -> ViewStatus {
        let inner = self.lock();
        let worst = inner.parts.values().max_by_key(|part| severity(part.state));
        let state = match worst {
            _ if inner.stopped => State::Stopped,
            Some(part) => part.state,
            None if inner.waiting.is_some() => State::Failed,
            None => State::Starting,
        };
        let problems = inner
            .parts
            .values()
            .filter_map(|part| part.problem.as_ref())
            .chain(&inner.waiting);
        ViewStatus {
            name: self.name.to_string(),
            state,
            partitions: inner
                .parts
                .iter()
                .map(|(number, part)| part.status(*number))
                .collect(),
            applied: inner.applied,
            skipped_as_replay: inner.skipped,
            fenced: inner.fenced,
            lost_and_healed: inner.lost,
            last_error: problems.max_by_key(|problem| problem.at_ms).cloned(),
            next_attempt_ms: inner
                .parts
                .values()
                .filter_map(|part| part.next_attempt_ms)
                .min(),
        }
    }
}

fn severity(state: State) -> u8 {
    match state {
        State::Running => 0,
        State::Starting => 1,
        State::Stopped => 2,
        State::Failed => 3,
        State::Mismatch => 4,
    }
}

impl Part {
    fn starting() -> Part {
        Part {
            state: State::Starting,
            watermark: None,
            applied_at_ms: None,
            end: None,
            problem: None,
            next_attempt_ms: None,
        }
    }

    fn status(&self, partition: i32) -> PartitionStatus {
        let watermark = self.watermark.map(|watermark| WatermarkStatus {
            epoch: watermark.epoch.0,
            offset: watermark.position.offset.0,
            csn: watermark.position.version.map(|version| version.csn),
            index: watermark.position.version.map(|version| version.index),
        });
        let next = watermark.map_or(0, |watermark| watermark.offset + 1);
        PartitionStatus {
            partition,
            watermark,
            applied_at_ms: self.applied_at_ms,
            lag_records: self.end.map(|end| (end - next).max(0)),
            partial: self
                .watermark
                .is_some_and(|watermark| watermark.position.partial),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Epoch, Offset, Position};

    #[test]
    fn a_view_is_as_well_as_its_worst_partition() {
        let board = Board::new("v");
        assert_eq!(board.status().state, State::Starting);
        board.partitions(2);
        board.running(Partition(0));
        assert_eq!(board.status().state, State::Starting);
        let problem = Problem::new("target_unavailable", "gone", None);
        board.failed(
            Partition(1),
            State::Failed,
            problem.clone(),
            Duration::from_secs(1),
        );
        let status = board.status();
        assert_eq!(
            (status.state, status.last_error),
            (State::Failed, Some(problem))
        );
        assert!(status.next_attempt_ms > Some(now_ms()));
        board.running(Partition(1));
        let status = board.status();
        assert_eq!(
            (status.state, status.last_error, status.next_attempt_ms),
            (State::Running, None, None)
        );
    }

    #[test]
    fn the_status_has_the_documented_shape() {
        let board = Board::new("v");
        board.partitions(1);
        board.running(Partition(0));
        let version = Some(headrace_clients::change::Version { csn: 7, index: 3 });
        let position = Position {
            offset: Offset(41),
            version,
            partial: true,
        };
        board.visible(
            Partition(0),
            Some(Watermark {
                epoch: Epoch(2),
                position,
            }),
            false,
        );
        board.log_end(Partition(0), 50);
        board.counted(&Applied {
            applied: 40,
            skipped: 2,
            failed: None,
        });
        let json = serde_json::to_string(&board.status()).unwrap();
        let expected = concat!(
            r#"{"name":"v","state":"running","partitions":[{"partition":0,"watermark":{"epoch":2,"offset":41,"csn":7,"index":3},"#,
            r#""applied_at_ms":null,"lag_records":8,"partial":true}],"applied":40,"skipped_as_replay":2,"fenced":0,"#,
            r#""lost_and_healed":0,"last_error":null,"next_attempt_ms":null}"#,
        );
        assert_eq!(json, expected);
    }
}
