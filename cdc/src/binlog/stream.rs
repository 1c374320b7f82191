//! The running binlog connection: a task of its own that reads events from a position on and hands
//! them over through a queue bounded in bytes.
//!
//! ```text
//! server -> mysql_async -> [task: 15 s of silence ends it] -> queue -> Frame -> decoder
//! ```
//! The server sends a heartbeat every 5 s, so silence is a dead link. A panic inside the client
//! library (it has some on malformed packets) ends the task, which is a lost connection like any
//! other. Nothing here decodes; [`Frame::parts`] lends the bytes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use mysql_async::binlog::events::Event;
use mysql_async::{BinlogStream, BinlogStreamRequest, Sid};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::binlog::event::{EventHeader, EventParts};
use crate::connection::{Connection, Dialect, explain};
use crate::error::SourceError;
use crate::gtid::{MysqlGtidSet, Position};

/// How often the server speaks when it has nothing to say, in nanoseconds as the server wants it.
const HEARTBEAT_PERIOD_NS: u64 = 5_000_000_000;
/// Silence after which the link counts as dead: three heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Bytes of events read ahead of the decoder; a larger event comes alone.
const AHEAD_BYTES_MAX: u32 = 8 << 20;
/// Events read ahead of the decoder, however small: the smallest are about 30 bytes.
const AHEAD_EVENTS_MAX: usize = 4096;

/// Events of the binlog, in order.
#[derive(Debug)]
pub struct EventStream {
    frames: mpsc::Receiver<Result<Frame, SourceError>>,
    task: JoinHandle<()>,
}

/// One event as it came.
#[derive(Debug)]
pub struct Frame {
    event: Event,
    _room: OwnedSemaphorePermit,
}

impl Frame {
    /// The event's bytes for the decoder.
    pub fn parts(&self) -> EventParts<'_> {
        let header = self.event.header();
        EventParts {
            header: EventHeader {
                timestamp: header.timestamp(),
                kind: header.event_type_raw(),
                server_id: header.server_id(),
                size: header.event_size(),
                log_pos: header.log_pos(),
                flags: header.flags_raw(),
            },
            body: self.event.data(),
            checksum_algorithm: self
                .event
                .footer()
                .get_checksum_alg()
                .ok()
                .flatten()
                .map_or(0, |algorithm| algorithm as u8),
            checksum: self.event.checksum().unwrap_or_default(),
        }
    }
}

impl EventStream {
    /// Asks the server for everything after `position` under our replica id.
    pub async fn open(
        mut connection: Connection,
        position: &Position,
        server_id: u32,
    ) -> Result<EventStream, SourceError> {
        connection
            .execute(&format!(
                "SET @master_heartbeat_period = {HEARTBEAT_PERIOD_NS}"
            ))
            .await?;
        let request = match (connection.dialect, position) {
            (Dialect::Mariadb, Position::Mariadb(gtids)) => {
                // 4: we read GTID events; without it the server rewrites them for old replicas
                connection
                    .execute("SET @mariadb_slave_capability = 4")
                    .await?;
                connection.execute(&format!("SET @slave_connect_state = '{gtids}', @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0")).await?;
                BinlogStreamRequest::new(server_id)
            }
            (Dialect::Mysql, Position::Mysql(set)) => {
                // the server ends an older connection with the same uuid: ours, if it still lingers
                let uuid = uuid::Uuid::from_u64_pair(0x6865_6164_7261_4365, u64::from(server_id));
                connection
                    .execute(&format!(
                        "SET @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"
                    ))
                    .await?;
                BinlogStreamRequest::new(server_id)
                    .with_gtid()
                    .with_gtid_set(sids(set)?)
            }
            _ => {
                return Err(SourceError::definite(
                    "other-server",
                    "the stored position is of the other dialect (MySQL or MariaDB) than the server",
                    "point mysql = \"…\" at the server the source began with, or use a source of a new name",
                ));
            }
        };
        let (conn, address, user) = connection.into_parts();
        let stream = conn
            .get_binlog_stream(request)
            .await
            .map_err(|error| explain(&error, &address, &user))?;
        let (sender, frames) = mpsc::channel(AHEAD_EVENTS_MAX);
        let task = tokio::spawn(read(stream, sender, address, user));
        Ok(EventStream { frames, task })
    }

    /// The next event; an error ends the stream. Cancelling loses nothing.
    pub async fn next(&mut self) -> Result<Frame, SourceError> {
        match self.frames.recv().await {
            Some(frame) => frame,
            None => Err(SourceError::transient(
                "stream-lost",
                "the binlog connection ended in the client library",
                "it is opened again",
            )),
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(
    mut stream: BinlogStream,
    sender: mpsc::Sender<Result<Frame, SourceError>>,
    address: String,
    user: String,
) {
    let room = Arc::new(Semaphore::new(AHEAD_BYTES_MAX as usize));
    loop {
        let next = tokio::time::timeout(SILENCE_MAX, stream.next()).await;
        let result = match next {
            Ok(Some(Ok(event))) => {
                let bytes = event.header().event_size().clamp(1, AHEAD_BYTES_MAX);
                let room = room
                    .clone()
                    .acquire_many_owned(bytes)
                    .await
                    .expect("the semaphore is never closed");
                Ok(Frame { event, _room: room })
            }
            Ok(Some(Err(error))) => Err(explain(&error, &address, &user)),
            Ok(None) => Err(SourceError::transient(
                "stream-lost",
                format!("the server at {address} ended the binlog stream"),
                "it is opened again",
            )),
            Err(_) => Err(SourceError::transient(
                "stream-silent",
                format!(
                    "nothing came from {address} for {} s",
                    SILENCE_MAX.as_secs()
                ),
                "it is opened again",
            )),
        };
        let last = result.is_err();
        if sender.send(result).await.is_err() || last {
            return;
        }
    }
}

/// The set as the client library wants it: one entry for each server and tag.
fn sids(set: &MysqlGtidSet) -> Result<Vec<Sid<'static>>, SourceError> {
    let entries = set.iter().map(|(source, intervals)| {
        let mut text = source.server.to_string();
        if !source.tag.is_empty() {
            text.push(':');
            text.push_str(&source.tag);
        }
        for interval in intervals {
            write!(text, ":{}-{}", interval.first, interval.last).expect("a String takes all text");
        }
        text.parse::<Sid<'static>>().map_err(|error| {
            SourceError::definite(
                "bad-position",
                format!("the GTID set {text} cannot be sent: {error}"),
                "report this with the text",
            )
        })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_becomes_one_entry_for_each_server_and_tag() {
        let text = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7:tag:3,4e11fa47-71ca-11e1-9e33-c80aa9429562:9";
        let set: MysqlGtidSet = text.parse().unwrap();
        assert_eq!(sids(&set).unwrap().len(), 3);
        assert!(sids(&MysqlGtidSet::default()).unwrap().is_empty());
    }
}
