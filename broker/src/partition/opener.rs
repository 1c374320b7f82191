//! Opens and closes logs, many side by side: both wait for the disk, and neither may hold up a shard.
//!
//! A log is opened here and then handed to its shard, with its replica's group and the state of its producers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use headrace_storage::fs::Disk;
use headrace_storage::votes::{GroupId, VoteState};
use headrace_storage::{
    Checkpoints, Known, Log, LogCheckpoint, LogConfig, LogIdentity, Offset, OpenError, ReadError,
    WriteError,
};
use tracing::{error, warn};

use super::boot::{Identity, boot, committed_offset};
use super::core::Recovered;
use super::producers::Producers;
use crate::raft::Group;

/// Logs opened or closed at a time; a disk gains little from more waiting for it (see `syncer`).
const THREADS: usize = 16;

/// The side file with the producers' state.
pub(super) const PRODUCERS_FILE: &str = "producers";

/// Whether a log must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It was made before: without its directory it is lost, not empty.
    Must,
    /// It is made now, or was left by a creation that a crash interrupted.
    May,
}

/// A log to open, or to create if it is not there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) identity: LogIdentity,
    pub(super) config: LogConfig,
    pub(super) existing: Existing,
    pub(super) replica: Identity,
    /// What the vote journal knows of it.
    pub(super) state: Option<VoteState>,
    /// What it was at a clean stop, if that was the last thing done to it.
    pub(super) checkpoint: Option<LogCheckpoint>,
}

/// A log and what its leader must know.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: GroupId,
    pub(super) log: Log,
    pub(super) group: Group,
    pub(super) recovered: Recovered,
}

/// A log to close, and the producers' state to leave beside it.
pub(super) type Closing = (Log, Option<Vec<u8>>);

/// Why a partition cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenFailure {
    /// The log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its directory is gone.
    #[error("directory {0} is missing; bring it back, or delete the topic")]
    Missing(String),
    /// What consensus must know of it cannot be read.
    #[error("cannot read the entries that consensus starts from: {0}")]
    Entries(#[from] ReadError),
    /// Its producers cannot be read back.
    #[error("cannot read the producers' state: {0}")]
    Producers(String),
    /// The first write of this term failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The shard is gone.
    #[error("the shard has stopped")]
    Stopped,
}

/// Opens logs; the results stand in the order of the places.
pub(super) fn open_all(
    disk: &Arc<dyn Disk>,
    places: Vec<Place>,
    now_ms: i64,
) -> Vec<Result<Opened, OpenFailure>> {
    side_by_side(places, |place| {
        let Place {
            dir,
            identity,
            config,
            existing,
            replica,
            state,
            checkpoint,
        } = place;
        if existing == Existing::Must && is_missing(&**disk, &dir) {
            return Err(OpenFailure::Missing(dir.display().to_string()));
        }
        let hint = state.as_ref().and_then(|state| state.hint);
        let mut log = Log::open(
            Arc::clone(disk),
            &dir,
            identity,
            config,
            Known { hint, checkpoint },
        )?;
        let group = Group::new(boot(&log, replica, state.as_ref())?);
        log.commit(group.commit());
        let (snapshot, producers) = read_producers(&log, now_ms)?;
        let recovered = Recovered {
            log_start: log.log_start(),
            high_watermark: committed_offset(&log, group.commit(), state.as_ref()),
            log_end: log.log_end(),
            last_index: log.last_index(),
            producers,
            snapshot,
        };
        log.set_high_watermark(recovered.high_watermark);
        let id = GroupId::from(&identity);
        Ok(Opened {
            id,
            log,
            group,
            recovered,
        })
    })
}

fn is_missing(disk: &dyn Disk, dir: &Path) -> bool {
    let listed = disk.list(dir);
    listed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Closes logs and gives what the next start may take over; the first failure is returned, all are logged.
pub(super) fn close_all(logs: Vec<Closing>) -> Result<Checkpoints, WriteError> {
    let close = |(log, producers): Closing| {
        if let Some(bytes) = producers
            && let Err(failed) = log.write_side_file(PRODUCERS_FILE, &bytes)
        {
            warn!(%failed, "producer snapshot is not written");
        }
        let group = GroupId::from(log.identity());
        log.close().map(|checkpoint| (group, checkpoint))
    };
    let mut checkpoints = Checkpoints::default();
    let mut result = Ok(());
    for closed in side_by_side(logs, close) {
        match closed {
            Ok(checkpoint) => checkpoints.extend([checkpoint]),
            Err(failed) => {
                error!(%failed, "log is not closed cleanly");
                result = result.and(Err(failed));
            }
        }
    }
    result.map(|()| checkpoints)
}

/// The producers as of the log's end: the newest snapshot that the log reaches, and what came after it.
/// Gives the snapshot's offset too.
pub(super) fn read_producers(
    log: &Log,
    now_ms: i64,
) -> Result<(Option<Offset>, Producers), OpenFailure> {
    let snapshot = match log.read_side_file(PRODUCERS_FILE) {
        Ok(bytes) => bytes.and_then(|bytes| Producers::restore(&bytes)),
        Err(damaged) => {
            warn!(%damaged, "producer snapshot is unreadable, the log is read instead");
            None
        }
    };
    let reached = |(at, _): &(_, _)| *at <= log.log_end() && *at >= log.log_start();
    let snapshot = snapshot.filter(reached);
    let at = snapshot.as_ref().map(|(at, _)| *at);
    let (from, mut producers) = snapshot.unwrap_or_else(|| (log.log_start(), Producers::default()));
    let mut remember = |header: &_| producers.record(header, now_ms);
    log.replay(from, &mut remember)
        .map_err(|failed| OpenFailure::Producers(failed.to_string()))?;
    producers.expire(now_ms);
    Ok((at, producers))
}

/// Does the same to every item on a few threads; the results stand in the order of the items.
fn side_by_side<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if items.len() <= 1 {
        return items.into_iter().map(work).collect();
    }
    let threads = THREADS.min(items.len());
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let queue = Mutex::new(items.into_iter().enumerate());
    let run = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, item)) = next else { return };
            let result = (place, work(item));
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(run);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        for count in [0, 1, 2, 100] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(side_by_side(items, |item| item * 2), expected);
        }
    }
}
