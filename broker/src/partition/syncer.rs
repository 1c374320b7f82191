//! Threads that make written bytes durable, so that a shard never waits for a disk.
//!
//! A shard has at most one sync per log outstanding, and one of its vote journal, so the queue holds at most one
//! entry for each; all that arrives for that log meanwhile is its next group. How many of the logs that wait
//! are synced at once is the strategy's to say (`durability`).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use headrace_storage::durability::PARALLEL_FILES_MAX;
use headrace_storage::{Durability, SyncDone, SyncPoint};

type Report = Box<dyn FnOnce(SyncDone) + Send>;

enum Job {
    Sync(Box<SyncPoint>, Report),
    Other(Box<dyn FnOnce() + Send>),
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// How many of them are syncs of logs.
    points: usize,
    closed: bool,
}

/// What one thread does next.
enum Work {
    Round(Vec<SyncPoint>, Vec<Report>),
    Other(Box<dyn FnOnce() + Send>),
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    strategy: Arc<dyn Durability>,
}

/// The pool; its threads end when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Syncer(Arc<Handle>);

struct Handle(Arc<Shared>);

impl std::fmt::Debug for Syncer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Syncer")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.wake.notify_all();
    }
}

impl Syncer {
    /// Starts the threads.
    pub(super) fn start(strategy: Arc<dyn Durability>) -> io::Result<Syncer> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            strategy,
        });
        let syncer = Syncer(Arc::new(Handle(Arc::clone(&shared))));
        for number in 0..PARALLEL_FILES_MAX {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("sync-{number}"))
                .spawn(move || shared.run())?;
        }
        Ok(syncer)
    }

    /// Has a sync run; `report` is called on the pool's thread with its outcome.
    pub(super) fn submit(&self, point: SyncPoint, report: impl FnOnce(SyncDone) + Send + 'static) {
        self.push(Job::Sync(Box::new(point), Box::new(report)));
    }

    /// Has something else run that waits for the disk; a shard has at most one such outstanding.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.push(Job::Other(Box::new(job)));
    }

    fn push(&self, job: Job) {
        let Handle(shared) = &*self.0;
        let mut queue = shared.lock();
        queue.points += usize::from(matches!(job, Job::Sync(..)));
        queue.jobs.push_back(job);
        drop(queue);
        shared.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some(work) = self.next() {
            match work {
                Work::Other(job) => job(),
                Work::Round(points, reports) => {
                    let done = self.strategy.run(points);
                    for (report, done) in reports.into_iter().zip(done) {
                        report(done);
                    }
                }
            }
        }
    }

    /// Waits for something to do; `None` if nothing will come any more.
    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        loop {
            match queue.jobs.pop_front() {
                Some(Job::Other(job)) => return Some(Work::Other(job)),
                Some(Job::Sync(point, report)) => {
                    let count = self.strategy.round(queue.points);
                    return Some(queue.round(*point, report, count));
                }
                None if queue.closed => return None,
                None => {
                    let woken = self.wake.wait(queue);
                    queue = woken.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Queue {
    /// Takes so many syncs, the first among them; other jobs keep their order.
    fn round(&mut self, point: SyncPoint, report: Report, count: usize) -> Work {
        let (mut points, mut reports) = (vec![point], vec![report]);
        if count > 1 {
            let mut others = VecDeque::new();
            for job in self.jobs.drain(..) {
                match job {
                    Job::Sync(point, report) if points.len() < count => {
                        points.push(*point);
                        reports.push(report);
                    }
                    job => others.push_back(job),
                }
            }
            self.jobs = others;
        }
        self.points -= points.len();
        Work::Round(points, reports)
    }
}
