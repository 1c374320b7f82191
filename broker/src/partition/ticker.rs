//! The clock of the shards: one thread that sends each a tick, if it has room for one.
//!
//! A shard that was busy finds several and takes them as one. The thread ends when all shards are gone.

use std::io;
use std::thread;

use tokio::sync::mpsc::WeakSender;

use super::shard::Message;
use crate::raft::TICK;

/// Starts the thread.
pub(super) fn start(shards: Vec<WeakSender<Message>>) -> io::Result<()> {
    let run = move || {
        loop {
            thread::park_timeout(TICK);
            let mut running = false;
            for shard in shards.iter().filter_map(WeakSender::upgrade) {
                running = true;
                drop(shard.try_send(Message::Tick));
            }
            if !running {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("ticker".to_owned())
        .spawn(run)?;
    Ok(())
}
