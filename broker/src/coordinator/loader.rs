//! Reads one partition of `__consumer_offsets` from its start and rebuilds the groups it holds.
//!
//! Keys of other group protocols (share, streams) and control batches are passed over. A record of ours that does not decode
//! ends the load: to go on without it would give an older offset for a committed one (L15).

use std::sync::Arc;

use bytes::{Buf, Bytes};
use headrace_storage::Offset;
use headrace_storage::record::{self, BatchError, Record};

use super::group::consumer;
use super::group::offsets::TopicPartition;
use super::group::records::{CommittedOffset, GroupMetadata, Key, RecordError};
use super::group::{GroupSettings, Now};
use super::groups::Groups;
use super::log::{OffsetsLog, ReadFailed};

/// Bytes read at a time (Kafka's `offsets.load.buffer.size`).
const READ_BYTES: usize = 5 << 20;

/// Bytes one batch may decompress to. Our own are not compressed; copied ones stay below this.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Why a partition could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The log could not be read.
    #[error("cannot read the log at offset {at}: {source}")]
    Read {
        /// Where.
        at: i64,
        /// Why.
        source: ReadFailed,
    },
    /// The log gave nothing although it should hold more.
    #[error("the log ends at offset {at}, before {end}")]
    Ends {
        /// Where it ends.
        at: i64,
        /// Where it should end.
        end: i64,
    },
    /// A batch is damaged.
    #[error("damaged batch at or after offset {at}: {source}")]
    Batch {
        /// Where.
        at: i64,
        /// Why.
        source: BatchError,
    },
    /// A record is not what its key says.
    #[error("unreadable record at offset {at}: {source}")]
    Record {
        /// Where.
        at: i64,
        /// Why.
        source: RecordError,
    },
}

/// The groups of a partition, as of its durable end.
pub async fn load(
    log: &Arc<dyn OffsetsLog>,
    settings: Arc<GroupSettings>,
    now: Now,
) -> Result<Groups, LoadError> {
    let mut groups = Groups::new(settings);
    let (start, end) = log.bounds().await;
    let mut at = start;
    while at < end {
        let chunks = log.read(at, end, READ_BYTES).await;
        let chunks = chunks.map_err(|source| LoadError::Read { at: at.0, source })?;
        let next = replay(&mut groups, contiguous(chunks), at, now)?;
        if next <= at {
            return Err(LoadError::Ends {
                at: at.0,
                end: end.0,
            });
        }
        at = next;
    }
    Ok(groups)
}

fn contiguous(mut chunks: Vec<Bytes>) -> Bytes {
    if chunks.len() == 1 {
        return chunks.swap_remove(0);
    }
    chunks.concat().into()
}

/// Replays whole batches; returns the offset after them.
fn replay(groups: &mut Groups, bytes: Bytes, from: Offset, now: Now) -> Result<Offset, LoadError> {
    let mut at = from;
    for batch in record::batches(bytes) {
        let damaged = |source| LoadError::Batch { at: at.0, source };
        let batch = batch.map_err(damaged)?;
        if !batch.is_control() {
            for record in batch.records(DECOMPRESSED_BYTES_MAX).map_err(damaged)? {
                let offset = record.offset.0;
                replay_record(groups, record, now)
                    .map_err(|source| LoadError::Record { at: offset, source })?;
            }
        }
        at = batch.last_offset().plus(1);
    }
    Ok(at)
}

fn replay_record(groups: &mut Groups, record: Record, now: Now) -> Result<(), RecordError> {
    let Some(key) = record.key.filter(Buf::has_remaining) else {
        return Ok(());
    };
    if let Some((group, record)) =
        consumer::records::Record::decode(key.clone(), record.value.clone())?
    {
        groups.replay_consumer(&group, record);
        return Ok(());
    }
    match Key::decode(key)? {
        Key::Offset {
            group,
            topic,
            partition,
        } => {
            let offset = record.value.map(CommittedOffset::decode).transpose()?;
            groups.replay_offset(&group, TopicPartition { topic, partition }, offset);
        }
        Key::Group(group) => {
            let metadata = record.value.map(GroupMetadata::decode).transpose()?;
            groups.replay_group(&group, metadata, now);
        }
        Key::Other(version) => {
            tracing::debug!(version, "record of another group protocol passed over");
        }
    }
    Ok(())
}
