//! ListOffsets: the ends of a log, and the first record at or after a time.
//!
//! A search reads the disk, so it runs on a thread that may block.

use std::sync::Arc;

use headrace_protocol::ErrorCode;
use headrace_protocol::list_offsets::{
    EARLIEST, EARLIEST_LOCAL, EARLIEST_PENDING_UPLOAD, LATEST, LATEST_TIERED, ListOffsetsPartition,
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
    ListOffsetsTopicResponse, MAX_TIMESTAMP,
};
use headrace_storage::{LogView, Offset, ReadError};
use tokio::task::spawn_blocking;

use super::Call;
use crate::error::read_code;
use crate::partition::{Handle, NotServed, Topic};

/// The isolation level of a client that sees decided transactions only.
const READ_COMMITTED: i8 = 1;

/// An offset, and the timestamp it was found by (-1 if by none).
type Found = Option<(Offset, i64)>;

pub(super) async fn handle(call: Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for ListOffsetsTopic { name, partitions } in request.topics {
        let topic = call.node.registry.topic(&name);
        let mut answers = Vec::with_capacity(partitions.len());
        for asked in partitions {
            answers.push(answer(&call, topic.as_ref(), &asked, request.isolation_level).await);
        }
        topics.push(ListOffsetsTopicResponse {
            name,
            partitions: answers,
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

async fn answer(
    call: &Call,
    topic: Option<&Arc<Topic>>,
    asked: &ListOffsetsPartition,
    isolation_level: i8,
) -> ListOffsetsPartitionResponse {
    let mut answer = ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        ..ListOffsetsPartitionResponse::default()
    };
    let topic = topic.ok_or(NotServed::Unknown);
    let handle = match topic.and_then(|topic| topic.partition(asked.partition_index)) {
        Ok(handle) => handle,
        Err(reason) => {
            answer.error_code = reason.into();
            return answer;
        }
    };
    let view = handle.view();
    // what is not decided is not there for a reader of committed records
    let upto = if isolation_level == READ_COMMITTED {
        view.last_stable()
    } else {
        view.high_watermark()
    };
    match find(handle, &view, asked, (call.version, upto)).await {
        Err(error_code) => answer.error_code = error_code,
        Ok(None) => {}
        Ok(Some((offset, timestamp))) => {
            answer.offset = offset.0;
            answer.timestamp = timestamp;
            if call.version >= 4 {
                answer.leader_epoch = view.epoch_at(offset).0;
            }
        }
    }
    answer
}

async fn find(
    handle: &Handle,
    view: &Arc<LogView>,
    asked: &ListOffsetsPartition,
    (version, upto): (i16, Offset),
) -> Result<Found, ErrorCode> {
    check_epoch(view, asked.current_leader_epoch)?;
    match asked.timestamp {
        LATEST => Ok(Some((upto, -1))),
        EARLIEST => Ok(Some((view.log_start(), -1))),
        MAX_TIMESTAMP if version >= 7 => {
            search(handle, view, move |view| view.max_timestamp(upto)).await
        }
        EARLIEST_LOCAL if version >= 8 => Ok(Some((view.log_start(), -1))),
        // nothing is in tiered storage
        LATEST_TIERED if version >= 9 => Ok(None),
        EARLIEST_PENDING_UPLOAD if version >= 11 => Ok(None),
        timestamp if timestamp >= 0 => {
            search(handle, view, move |view| {
                view.find_timestamp(timestamp, upto)
            })
            .await
        }
        _ => Err(ErrorCode::UNSUPPORTED_VERSION),
    }
}

async fn search(
    handle: &Handle,
    view: &Arc<LogView>,
    search: impl Fn(&LogView) -> Result<Found, ReadError> + Send + 'static,
) -> Result<Found, ErrorCode> {
    let (handle, view) = (handle.clone(), Arc::clone(view));
    let searching = move || search_newest(view, &|| handle.view(), &search);
    match spawn_blocking(searching).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(failed)) => {
            tracing::error!(%failed, "log cannot be searched");
            Err(read_code(&failed))
        }
        Err(_) => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

/// Searches a view; one whose file went is taken anew.
fn search_newest(
    mut view: Arc<LogView>,
    newest: &dyn Fn() -> Arc<LogView>,
    search: &dyn Fn(&LogView) -> Result<Found, ReadError>,
) -> Result<Found, ReadError> {
    loop {
        let found = search(&view);
        if !found.as_ref().is_err_and(ReadError::is_gone) {
            return found;
        }
        let newer = newest();
        if Arc::ptr_eq(&view, &newer) {
            return found;
        }
        view = newer;
    }
}

/// Whether the client and this broker mean the same leader (KIP-320); -1 asks for no check.
pub(super) fn check_epoch(view: &LogView, current_leader_epoch: i32) -> Result<(), ErrorCode> {
    let ours = view.epoch().0;
    match current_leader_epoch {
        -1 => Ok(()),
        theirs if theirs < ours => Err(ErrorCode::FENCED_LEADER_EPOCH),
        theirs if theirs > ours => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::{Path, PathBuf};

    use headrace_storage::fs::MemoryDisk;
    use headrace_storage::record::{BatchBuilder, Compression};
    use headrace_storage::{Entry, Known, Log, LogConfig, LogIdentity};
    use uuid::Uuid;

    use super::*;

    fn open(disk: &MemoryDisk) -> Log {
        let identity = LogIdentity {
            cluster_id: Uuid::nil(),
            topic_id: Uuid::nil(),
            partition: 0,
        };
        let (disk, config) = (Arc::new(disk.clone()), LogConfig::default());
        Log::open(disk, Path::new("/log"), identity, config, Known::default()).unwrap()
    }

    fn append(log: &mut Log, entry: Entry) {
        log.append(entry).unwrap();
        log.write().unwrap();
        while let Some(point) = log.sync_point() {
            log.synced(point.run()).unwrap();
        }
        log.set_high_watermark(log.log_end());
        log.commit(log.last_index());
        log.raise_first_index(log.last_index());
    }

    fn batch(log: &Log, time: i64) -> Entry {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(time, None, Some(b"v"), &[]);
        let mut batch = builder.build();
        batch.stamp(log.next_offset(), log.epoch());
        Entry::Batch(batch)
    }

    #[test]
    fn a_view_whose_segment_is_gone_is_taken_anew() {
        let disk = MemoryDisk::new();
        let mut log = open(&disk);
        for time in [10, 20] {
            let entry = batch(&log, time);
            append(&mut log, entry);
            append(&mut log, Entry::Roll { at_ms: time });
        }
        drop(log);
        let mut log = open(&disk);
        log.set_high_watermark(Offset(2));
        let old = log.reader().view();
        append(&mut log, Entry::LogStart { offset: Offset(1) });
        assert_eq!(log.remove_below_log_start().unwrap(), 1);
        // whether the old view still has the file open depends on what was read by it
        let search = |view: &LogView| match view.log_start() {
            Offset(0) => Err(ReadError::Io {
                path: PathBuf::from("/log/00000000000000000000-1.log"),
                source: io::ErrorKind::NotFound.into(),
            }),
            _ => view.find_timestamp(5, Offset(2)),
        };
        let reader = log.reader();
        let found = search_newest(Arc::clone(&old), &|| reader.view(), &search).unwrap();
        assert_eq!(found, Some((Offset(1), 20)));
        let failed = search_newest(Arc::clone(&old), &|| Arc::clone(&old), &search);
        assert!(failed.is_err(), "there is no newer one");
    }
}
