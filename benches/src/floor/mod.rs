//! A broker that does nothing but what cannot be left out: the floor that the others are measured against.
//!
//! ```text
//! accept -> a thread per connection: read frame -> check the CRC -> stamp the offset -> write -> [fdatasync] -> answer
//!                                                  fetch: look the offset up -> send slices of the mapped file
//! ```
//! It serves what librdkafka needs to produce and consume, in one old version of each API. It checks no sequence
//! numbers, keeps no state across a start, and believes its clients: it is no broker to keep anything in.

mod answer;
mod frame;
mod log;
mod request;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use answer::Answer;
use frame::Frames;
use log::Logs;

/// Stack of a connection's thread: nothing in it is deep or large.
const STACK_BYTES: usize = 256 << 10;

/// What a floor is told at its start.
#[derive(Clone, Debug)]
pub struct FloorConfig {
    /// Where the files are made.
    pub data: PathBuf,
    /// One `fdatasync` per produce request and partition, before the answer.
    pub sync: bool,
}

/// Serves connections until the process ends.
pub fn serve(listener: &TcpListener, config: FloorConfig) -> io::Result<()> {
    let address = listener.local_addr()?;
    let logs = Arc::new(Logs::new(config, address.port()));
    for stream in listener.incoming() {
        let (stream, logs) = (stream?, Arc::clone(&logs));
        thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // a client that left or that sent nonsense ends its own connection only
                drop(connection(&stream, &logs));
            })?;
    }
    Ok(())
}

fn connection(stream: &TcpStream, logs: &Logs) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut frames = Frames::new(stream);
    let mut answer = Answer::default();
    while let Some(frame) = frames.next()? {
        answer.begin();
        request::serve(frame, logs, &mut answer)?;
        answer.send(stream)?;
    }
    Ok(())
}
