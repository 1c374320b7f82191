//! A thread that does its turn every so often, until it is stopped or forgotten.
//!
//! It waits on a channel, so it wakes at once when it is told to stop. A test asks for a turn and waits for its
//! end instead of waiting for time to pass.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::partition::shard::answer;

/// Why a turn is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The time has come.
    Time,
    /// Somebody asked for it: whatever is due at intervals is due now.
    Asked,
}

#[derive(Debug)]
enum Command {
    Turn(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// The way to the thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Beat(mpsc::Sender<Command>);

impl Beat {
    /// Starts the thread; the first turn is one interval away.
    pub(super) fn start(
        name: &str,
        every: Duration,
        turn: impl FnMut(Cause) + Send + 'static,
    ) -> io::Result<Beat> {
        let (commands, inbox) = mpsc::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&inbox, every, turn))?;
        Ok(Beat(commands))
    }

    /// Has a turn done; ready when it is.
    pub(super) async fn turn(&self) {
        self.tell(Command::Turn).await;
    }

    /// Ends the thread; ready when its last turn is over.
    pub(super) async fn stop(&self) {
        self.tell(Command::Stop).await;
    }

    async fn tell(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (reply, done) = oneshot::channel();
        // a thread that has ended drops the command and with it `reply`
        drop(self.0.send(command(reply)));
        drop(done.await);
    }
}

fn run(inbox: &mpsc::Receiver<Command>, every: Duration, mut turn: impl FnMut(Cause)) {
    loop {
        match inbox.recv_timeout(every) {
            Ok(Command::Turn(reply)) => {
                turn(Cause::Asked);
                answer(reply, ());
            }
            Ok(Command::Stop(reply)) => {
                // what it holds is let go before the answer
                drop(turn);
                answer(reply, ());
                return;
            }
            Err(RecvTimeoutError::Timeout) => turn(Cause::Time),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn turns_are_done_when_asked_for_and_none_after_the_stop() {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        let beat = Beat::start("test", Duration::from_hours(1), move |cause| {
            assert_eq!(cause, Cause::Asked);
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let beat = beat.unwrap();
        beat.turn().await;
        beat.turn().await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        beat.stop().await;
        assert_eq!(Arc::strong_count(&asked), 1, "the thread lets go of all");
        beat.turn().await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn turns_come_by_themselves() {
        let (done, mut turns) = tokio::sync::mpsc::unbounded_channel();
        let _beat = Beat::start("test", Duration::from_millis(1), move |cause| {
            done.send(cause).unwrap_or(());
        });
        assert_eq!(turns.recv().await, Some(Cause::Time));
        assert_eq!(turns.recv().await, Some(Cause::Time));
    }
}
