//! Threads that make written bytes durable, so that a shard never waits for a disk.
//!
//! A shard has at most one sync per log outstanding, so the queue holds at most one entry per log; all
//! that arrives for that log meanwhile is its next group.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use headrace_storage::{SyncDone, SyncPoint};

/// Syncs that run side by side. Up to 16 dirty files a disk takes in parallel with gain; beyond that
/// their queue only grows (replication notes, "Sync").
const THREADS: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// The pool; its threads end when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Syncer {
    queue: Sender<Job>,
}

impl std::fmt::Debug for Syncer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Syncer")
    }
}

impl Syncer {
    /// Starts the threads.
    pub(super) fn start() -> io::Result<Syncer> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..THREADS {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name(format!("sync-{number}"))
                .spawn(move || run(&jobs))?;
        }
        Ok(Syncer { queue })
    }

    /// Has a sync run; `report` is called on the pool's thread with its outcome.
    pub(super) fn submit(&self, point: SyncPoint, report: impl FnOnce(SyncDone) + Send + 'static) {
        self.run(move || report(point.run()));
    }

    /// Has something else run that waits for the disk; a shard has at most one such outstanding.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.queue
            .send(Box::new(job))
            .expect("the threads live as long as this sender");
    }
}

fn run(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // the lock is held while waiting: one thread waits for a job, the others for the lock
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else {
            return;
        };
        job();
    }
}
