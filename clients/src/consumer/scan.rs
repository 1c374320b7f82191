//! Partitions read once, from some offset to the end they have now: positions, schemas, claims, last records.
use tokio::time::{Instant, timeout_at};

use super::reader::{Arrival, Reader};
use super::{ReadError, Record, native};
use crate::connection::{ClientConfig, REQUEST_TIMEOUT};

/// How far behind the end a last record is looked for, each in one attempt.
const STEPS_BACK: [i64; 3] = [1, 64, 4096];

/// How much further back each attempt looks for the last records.
const STEP_BACK_FACTOR: i64 = 8;

/// Reads a whole partition from its log start to the end it has now: small compacted topics.
/// Fails with [`ReadError::Unreachable`] when the cluster is silent for [`REQUEST_TIMEOUT`].
pub async fn read_to_end(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
) -> Result<Vec<Record>, ReadError> {
    let mut reader = connect(config, topic, partition)?;
    let (start, end) = reader.watermarks().await?;
    read_range(&mut reader, start, end).await
}

/// The last record of a partition; `None` when it holds none.
///
/// Offsets below the end may hold no record (control batches, compaction), so it looks further and further back.
pub async fn last_record(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
) -> Result<Option<Record>, ReadError> {
    let mut reader = connect(config, topic, partition)?;
    let (start, end) = reader.watermarks().await?;
    for back in STEPS_BACK {
        let from = (end - back).max(start);
        let last = read_range(&mut reader, from, end).await?.pop();
        if last.is_some() || from == start {
            return Ok(last);
        }
    }
    Ok(read_range(&mut reader, start, end).await?.pop())
}

/// The last `count` records of a partition, fewer when it holds fewer.
///
/// Offsets below the end may hold no record (control batches, compaction), so it looks further and further back.
pub async fn last_records(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    count: usize,
) -> Result<Vec<Record>, ReadError> {
    let mut reader = connect(config, topic, partition)?;
    let (start, end) = reader.watermarks().await?;
    let mut back = i64::try_from(count).unwrap_or(i64::MAX).max(1);
    loop {
        let from = end.saturating_sub(back).max(start);
        let mut records = read_range(&mut reader, from, end).await?;
        if records.len() >= count || from == start {
            let surplus = records.len().saturating_sub(count);
            records.drain(..surplus);
            return Ok(records);
        }
        back = back.saturating_mul(STEP_BACK_FACTOR);
    }
}

/// A reader that learns of the log's end at once instead of after a long poll.
fn connect(config: &ClientConfig, topic: &str, partition: i32) -> Result<Reader, ReadError> {
    let mut native = native(config);
    native.set("fetch.wait.max.ms", "5");
    Reader::connect(native, topic, partition)
}

/// The records from `from` up to `end`.
async fn read_range(reader: &mut Reader, from: i64, end: i64) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    if from >= end {
        return Ok(records);
    }
    reader.assign(from)?;
    let mut deadline = Instant::now() + REQUEST_TIMEOUT;
    while reader.position() < end {
        let Ok(arrival) = timeout_at(deadline, reader.arrival()).await else {
            return Err(reader.unreachable());
        };
        match arrival? {
            Arrival::Record(record) if record.offset < end => {
                records.push(record);
                deadline = Instant::now() + REQUEST_TIMEOUT;
            }
            // offsets below the end without a record: control batches, compaction
            Arrival::Record(_) | Arrival::End => break,
            Arrival::Nothing => {}
        }
    }
    Ok(records)
}
