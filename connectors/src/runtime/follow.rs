//! The steady state of a partition: read, batch, apply, commit, and look whether the target still has it all.
//!
//! A target that commits by itself (Redis) is visible with each call. One that does not (an index) is
//! committed at once when no record waits, but not more often than each [`IDLE_COMMIT_GAP`], and at the
//! latest after its own interval.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use headrace_clients::Reader;
use tokio::time::Instant;

use super::batch::{Batch, Batcher};
use super::decode::Decoded;
use super::task::{Stop, Task};
use crate::sink::{Applied, Call, Epoch, Offset, Sink, SinkError, Target, Watermark};

/// Records taken from the client at a time; two calls' worth, so that one can fill while transactions are cut.
const RECORDS_PER_POLL: usize = 512;
/// How long the end of an open transaction is waited for. It comes at once, unless its source died or
/// compaction removed it; then the part that is here goes as partial.
const OPEN_WAIT: Duration = Duration::from_secs(1);
/// How often the stored watermark and the log's end are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long no record must come before the log counts as idle.
const IDLE_AFTER: Duration = Duration::from_millis(3);
/// Shortest time between two commits of an idle log: each one costs an fsync and a new segment.
const IDLE_COMMIT_GAP: Duration = Duration::from_millis(50);

/// One attempt's steady state.
pub(crate) struct Follower<'a, T: Target> {
    task: &'a mut Task<T>,
    sink: T::Sink,
    reader: Reader,
    batcher: Batcher<<T::Sink as Sink>::Value>,
    epoch: Epoch,
    /// What the target is known to hold.
    previous: Option<Offset>,
    /// No call has been made in this attempt.
    first: bool,
    /// Applied and not yet committed, and since when.
    uncommitted: Option<(Watermark, Instant)>,
    committed_at: Instant,
    looked_at: Instant,
    record_at: Instant,
}

impl<'a, T: Target> Follower<'a, T> {
    pub(crate) fn new(
        task: &'a mut Task<T>,
        sink: T::Sink,
        reader: Reader,
        batcher: Batcher<<T::Sink as Sink>::Value>,
        (epoch, previous): (Epoch, Option<Offset>),
    ) -> Follower<'a, T> {
        let now = Instant::now();
        Follower {
            task,
            sink,
            reader,
            batcher,
            epoch,
            previous,
            first: true,
            uncommitted: None,
            committed_at: now - IDLE_COMMIT_GAP,
            looked_at: now,
            record_at: now,
        }
    }

    /// Follows the log until something stops it.
    pub(crate) async fn follow(mut self) -> Result<Infallible, Stop> {
        loop {
            let records = self
                .reader
                .poll_batch(RECORDS_PER_POLL, self.patience())
                .await?;
            let idle = records.is_empty();
            if !idle {
                self.record_at = Instant::now();
            }
            for record in records {
                match self.task.decoder.decode(&record, &mut self.sink).await {
                    Ok(Decoded {
                        operation,
                        size_bytes,
                        last,
                    }) => self.batcher.push(operation, size_bytes, last),
                    Err(stop) => return self.finish_before(stop).await,
                }
            }
            while let Some(batch) = self.batcher.take() {
                self.apply(batch).await?;
            }
            if self.batcher.has_open() && self.record_at.elapsed() >= OPEN_WAIT {
                self.apply_open().await?;
            }
            self.commit_if_due(idle).await?;
            if self.looked_at.elapsed() >= LOOK_INTERVAL {
                self.look().await?;
            }
        }
    }

    /// How long to wait for a record before something else is due.
    fn patience(&self) -> Duration {
        let next_look = LOOK_INTERVAL.saturating_sub(self.looked_at.elapsed());
        let commit = self
            .uncommitted
            .map(|_| IDLE_COMMIT_GAP.saturating_sub(self.committed_at.elapsed()));
        next_look.min(commit.unwrap_or(next_look)).max(IDLE_AFTER)
    }

    /// Applies everything before the record that stops the view.
    async fn finish_before(&mut self, stop: Stop) -> Result<Infallible, Stop> {
        if !matches!(stop, Stop::Emptied) {
            self.apply_open().await?;
            self.commit().await?;
        }
        Err(stop)
    }

    async fn apply_open(&mut self) -> Result<(), Stop> {
        while let Some(batch) = self.batcher.take_open() {
            self.apply(batch).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, batch: Batch<<T::Sink as Sink>::Value>) -> Result<(), Stop> {
        let Batch {
            operations,
            position,
        } = batch;
        let operations: Arc<[_]> = operations.into();
        let (epoch, previous, first) = (self.epoch, self.previous, self.first);
        let started = Instant::now();
        let applied = self
            .sink
            .apply(Call {
                epoch,
                previous,
                first,
                operations: Arc::clone(&operations),
                position,
            })
            .await?;
        self.task
            .context
            .metrics
            .applied(&applied, started.elapsed());
        self.task.context.board.counted(&applied);
        let Applied { failed, .. } = applied;
        if let Some(failed) = failed {
            let operation = operations.get(failed.operation);
            let (offset, key) =
                operation.map_or((position.offset, ""), |it| (it.offset, it.key.as_str()));
            return Err(Stop::Record {
                offset,
                key: key.to_owned(),
                reason: failed.reason,
            });
        }
        self.task.backoff.reset();
        self.previous = Some(position.offset);
        self.first = false;
        let since = self.uncommitted.map_or(started, |(_, since)| since);
        self.uncommitted = Some((Watermark { epoch, position }, since));
        if T::Sink::COMMIT_INTERVAL.is_zero() || since.elapsed() >= T::Sink::COMMIT_INTERVAL {
            self.commit().await?;
        }
        Ok(())
    }

    async fn commit_if_due(&mut self, idle: bool) -> Result<(), Stop> {
        let Some((_, since)) = self.uncommitted else {
            return Ok(());
        };
        let gap_over = self.committed_at.elapsed() >= IDLE_COMMIT_GAP;
        if (idle && gap_over) || since.elapsed() >= T::Sink::COMMIT_INTERVAL {
            self.commit().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Stop> {
        let Some((watermark, _)) = self.uncommitted.take() else {
            return Ok(());
        };
        self.sink.commit().await?;
        self.committed_at = Instant::now();
        self.task.known = Some(watermark.position.offset);
        self.task
            .context
            .board
            .visible(self.task.partition, Some(watermark), true);
        Ok(())
    }

    /// Notices loss and newer writers while nothing is written, and keeps the lag fresh.
    async fn look(&mut self) -> Result<(), Stop> {
        let stored = self.sink.stored().await?;
        let offset = stored.map(|stored| stored.position.offset);
        match stored {
            Some(stored) if stored.epoch > self.epoch => {
                return Err(SinkError::Fenced(stored.epoch).into());
            }
            _ if offset < self.previous => return Err(SinkError::Lost(offset).into()),
            _ => {}
        }
        let (_, end) = self.reader.watermarks().await?;
        let partition = self.task.partition;
        self.task.context.board.log_end(partition, end);
        self.task
            .context
            .metrics
            .lag(partition, end - offset.map_or(0, |offset| offset.0 + 1));
        self.task.backoff.reset();
        self.looked_at = Instant::now();
        Ok(())
    }
}
