//! The owner of one view's tasks: waits for the topic, starts a task per partition, stops them together.
//!
//! ```text
//! waiting for the topic --found--> running a task per partition --topic id or partitions changed--> start over
//!                                        |
//!                                        `--reset--> stop the tasks, empty the target, start over
//! ```
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headrace_clients::{Admin, AdminError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::status::{Problem, State};
use super::task::{Context, Task};
use crate::sink::{Identity, LogId, Partition, Sink, SinkError, Target};

/// How often a missing topic is looked for.
const TOPIC_WAIT: Duration = Duration::from_millis(250);
/// How often a topic's id and partitions are looked at while its tasks run.
const TOPIC_LOOK: Duration = Duration::from_secs(5);

/// Pause before tasks that ended by themselves (a bug) are started again.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// Tells whoever started the view how its first start went; only the first word counts.
#[derive(Debug)]
pub(crate) struct FirstStart(Mutex<Option<oneshot::Sender<Result<(), Problem>>>>);

impl FirstStart {
    pub(crate) fn new() -> (FirstStart, oneshot::Receiver<Result<(), Problem>>) {
        let (sender, receiver) = oneshot::channel();
        (FirstStart(Mutex::new(Some(sender))), receiver)
    }

    pub(crate) fn succeeded(&self) {
        self.say(Ok(()));
    }

    /// A mismatch counts as started: a person decides, the rest of the process serves.
    pub(crate) fn failed(&self, state: State, problem: &Problem) {
        self.say(if state == State::Mismatch {
            Ok(())
        } else {
            Err(problem.clone())
        });
    }

    fn say(&self, word: Result<(), Problem>) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // nobody waits for a view that ran before
            drop(sender.send(word));
        }
    }
}

/// What a supervisor is asked for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Delete what the view wrote and replay; answers the number of rows deleted.
    Reset(oneshot::Sender<Result<u64, Problem>>),
}

/// The log a view reads, as last described.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Log {
    id: LogId,
    partitions: i32,
}

/// One view.
#[derive(Debug)]
pub(crate) struct Supervisor<T: Target> {
    pub(crate) target: Arc<T>,
    pub(crate) context: Arc<Context>,
    pub(crate) admin: Admin,
    pub(crate) commands: mpsc::Receiver<Command>,
}

/// Why the tasks of a view were stopped.
enum Next {
    Shutdown,
    Again,
}

impl<T: Target> Supervisor<T> {
    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while let Some(log) = self.find_log(&stop).await {
            let (tasks, child) = self.spawn(&log, &stop);
            match self.watch(log, tasks, child, &stop).await {
                Next::Shutdown => break,
                Next::Again => {}
            }
        }
        self.context.board.stopped();
    }

    /// Waits for the topic; `None` when told to stop.
    async fn find_log(&mut self, stop: &CancellationToken) -> Option<Log> {
        loop {
            match self.describe().await {
                Ok(log) => return Some(log),
                Err(AdminError::UnknownTopic(_)) => {
                    self.context.board.waiting(None);
                    self.context.first_start.succeeded();
                }
                Err(error) => {
                    let problem = Problem::new("log-unavailable", error.to_string(), None);
                    self.context.first_start.failed(State::Failed, &problem);
                    self.context.board.waiting(Some(problem));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(TOPIC_WAIT) => {}
                Some(Command::Reset(answer)) = self.commands.recv() => {
                    let nowhere = LogId { cluster: String::new(), topic: Uuid::nil() };
                    let done = self.reset(nowhere).await;
                    drop(answer.send(done));
                }
            }
        }
    }

    async fn describe(&self) -> Result<Log, AdminError> {
        let topic = self.admin.describe_topic(&self.context.topic).await?;
        let cluster = self.admin.cluster_id().await?;
        Ok(Log {
            id: LogId {
                cluster,
                topic: topic.topic_id,
            },
            partitions: topic.partitions,
        })
    }

    fn spawn(&self, log: &Log, stop: &CancellationToken) -> (JoinSet<()>, CancellationToken) {
        self.context.board.partitions(log.partitions);
        let child = stop.child_token();
        let mut tasks = JoinSet::new();
        for partition in 0..log.partitions {
            let (target, context) = (Arc::clone(&self.target), Arc::clone(&self.context));
            let task = Task::new(
                target,
                context,
                Partition(partition),
                self.identity(log.id.clone()),
            );
            tasks.spawn(task.run(child.clone()));
        }
        (tasks, child)
    }

    fn identity(&self, log: LogId) -> Identity {
        Identity {
            log,
            definition: self.context.definition.hash().clone(),
        }
    }

    /// Leaves the tasks alone until something asks for another set of them; they are stopped on return.
    async fn watch(
        &mut self,
        log: Log,
        mut tasks: JoinSet<()>,
        child: CancellationToken,
        stop: &CancellationToken,
    ) -> Next {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    halt(&mut tasks, &child).await;
                    return Next::Shutdown;
                }
                Some(Command::Reset(answer)) = self.commands.recv() => {
                    halt(&mut tasks, &child).await;
                    let done = self.reset(log.id).await;
                    drop(answer.send(done));
                    return Next::Again;
                }
                Some(ended) = tasks.join_next() => {
                    tracing::error!(view = self.context.board.name(), ?ended, "a task of the view ended, starting over");
                    halt(&mut tasks, &child).await;
                    tokio::time::sleep(RESTART_WAIT).await;
                    return Next::Again;
                }
                () = tokio::time::sleep(TOPIC_LOOK) => {
                    let changed = match self.describe().await {
                        Ok(now) => now != log,
                        Err(AdminError::UnknownTopic(_)) => true,
                        Err(_) => false,
                    };
                    if changed {
                        tracing::info!(view = self.context.board.name(), "the topic changed, starting over");
                        halt(&mut tasks, &child).await;
                        return Next::Again;
                    }
                }
            }
        }
    }

    async fn reset(&self, log: LogId) -> Result<u64, Problem> {
        let emptied = async {
            let mut sink = self.target.open(Partition(0), self.identity(log)).await?;
            sink.reset().await
        };
        let view = self.context.board.name();
        match emptied.await {
            Ok(deleted) => {
                tracing::info!(view, deleted, "the view was reset");
                Ok(deleted)
            }
            Err(error) => {
                let hint = match &error {
                    SinkError::Refused { hint, .. } => hint.clone(),
                    _ => "try again when the target answers".into(),
                };
                Err(Problem::new("reset-failed", error.to_string(), Some(hint)))
            }
        }
    }
}

/// Stops the tasks and waits for each.
async fn halt(tasks: &mut JoinSet<()>, child: &CancellationToken) {
    child.cancel();
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a view's task ended badly");
        }
    }
}
