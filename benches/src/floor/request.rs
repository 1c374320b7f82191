//! What the floor answers: one old version of each API, parsed by hand, so that nothing is made that is not needed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use headrace_storage::fs::MappedSlice;

use super::answer::Answer;
use super::log::{Logs, Partition};

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const API_VERSIONS: i16 = 18;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;
const INIT_PRODUCER_ID: i16 = 22;

/// The one version of each API that is served. There are no groups, but librdkafka takes FindCoordinator for the sign of
/// a broker that knows lz4, and every consumer asks it.
const SERVED: [(i16, i16); 8] = [
    (PRODUCE, 3),
    (FETCH, 4),
    (LIST_OFFSETS, 1),
    (METADATA, 4),
    (FIND_COORDINATOR, 0),
    (CREATE_TOPICS, 2),
    (DELETE_TOPICS, 1),
    (INIT_PRODUCER_ID, 0),
];

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const CORRUPT_MESSAGE: i16 = 2;
/// The timestamp that asks for the first offset.
const EARLIEST: i64 = -2;
/// Bytes of a batch before its records, and where the CRC covers it from.
const BATCH_HEADER_BYTES: usize = 61;
const CRC_FROM: usize = 21;

/// Reads a request's fields one after another.
struct Fields<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Fields<'_> {
    fn take(&mut self, len: usize) -> io::Result<&mut [u8]> {
        let from = self.at;
        self.at = from.saturating_add(len);
        self.bytes
            .get_mut(from..self.at)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let taken = self.take(N)?;
        Ok(*taken.first_chunk::<N>().expect("so many were taken"))
    }

    fn i8(&mut self) -> io::Result<i8> {
        self.array().map(i8::from_be_bytes)
    }

    fn i16(&mut self) -> io::Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> io::Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> io::Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// The entries of an array; none where it is null.
    fn count(&mut self) -> io::Result<usize> {
        Ok(usize::try_from(self.i32()?).unwrap_or(0))
    }

    /// A string; null reads as empty.
    fn string(&mut self) -> io::Result<String> {
        let len = usize::try_from(self.i16()?).unwrap_or(0);
        let bytes = self.take(len)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn skip_string(&mut self) -> io::Result<()> {
        let len = usize::try_from(self.i16()?).unwrap_or(0);
        self.take(len).map(drop)
    }
}

/// Answers a request.
pub(super) fn serve(frame: &mut [u8], logs: &Logs, answer: &mut Answer) -> io::Result<()> {
    let mut fields = Fields {
        bytes: frame,
        at: 0,
    };
    let (api, _version, correlation) = (fields.i16()?, fields.i16()?, fields.i32()?);
    fields.skip_string()?;
    answer.i32(correlation);
    match api {
        PRODUCE => produce(fields, logs, answer),
        FETCH => fetch(fields, logs, answer),
        LIST_OFFSETS => list_offsets(fields, logs, answer),
        METADATA => metadata(fields, logs, answer),
        API_VERSIONS => {
            api_versions(answer);
            Ok(())
        }
        FIND_COORDINATOR => {
            answer.i16(0);
            broker(logs, answer);
            Ok(())
        }
        CREATE_TOPICS => create_topics(fields, logs, answer),
        DELETE_TOPICS => delete_topics(fields, logs, answer),
        INIT_PRODUCER_ID => {
            init_producer_id(answer);
            Ok(())
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Version 3, which every client asks with.
fn api_versions(answer: &mut Answer) {
    answer.i16(0);
    let count = u8::try_from(SERVED.len() + 1).expect("a few");
    answer.compact_count(count);
    for (api, version) in SERVED {
        answer.i16(api);
        answer.i16(version);
        answer.i16(version);
        answer.i8(0);
    }
    answer.i16(API_VERSIONS);
    answer.i16(0);
    answer.i16(3);
    answer.i8(0);
    answer.i32(0);
    answer.i8(0);
}

fn init_producer_id(answer: &mut Answer) {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    answer.i32(0);
    answer.i16(0);
    answer.i64(NEXT.fetch_add(1, Ordering::Relaxed));
    answer.i16(0);
}

fn produce(mut fields: Fields<'_>, logs: &Logs, answer: &mut Answer) -> io::Result<()> {
    fields.skip_string()?;
    let (_acks, _timeout) = (fields.i16()?, fields.i32()?);
    let topics = fields.count()?;
    answer.count(topics);
    for _ in 0..topics {
        let topic = fields.string()?;
        answer.string(&topic);
        let partitions = fields.count()?;
        answer.count(partitions);
        for _ in 0..partitions {
            let index = fields.i32()?;
            let len = fields.count()?;
            let batch = fields.take(len)?;
            let (error, offset) = match logs.find(&topic, index) {
                None => (UNKNOWN_TOPIC_OR_PARTITION, -1),
                Some(partition) => match records(batch) {
                    None => (CORRUPT_MESSAGE, -1),
                    Some(records) => (0, partition.append(batch, records)?),
                },
            };
            answer.i32(index);
            answer.i16(error);
            answer.i64(offset);
            answer.i64(-1);
        }
    }
    answer.i32(0);
    Ok(())
}

/// The records of a batch whose CRC is right.
fn records(batch: &[u8]) -> Option<i64> {
    if batch.len() < BATCH_HEADER_BYTES {
        return None;
    }
    let crc = u32::from_be_bytes(*batch[17..].first_chunk()?);
    let last_offset_delta = i32::from_be_bytes(*batch[23..].first_chunk()?);
    (crc32c::crc32c(&batch[CRC_FROM..]) == crc).then_some(i64::from(last_offset_delta) + 1)
}

/// A partition of a fetch: where it stands, and from where it is read.
struct Asked {
    topic: usize,
    index: i32,
    partition: Option<Arc<Partition>>,
    from: i64,
    bytes_max: u64,
}

fn fetch(mut fields: Fields<'_>, logs: &Logs, answer: &mut Answer) -> io::Result<()> {
    let _replica = fields.i32()?;
    let wait = Duration::from_millis(u64::try_from(fields.i32()?).unwrap_or(0));
    let enough = u64::try_from(fields.i32()?).unwrap_or(0);
    let bytes_max = u64::try_from(fields.i32()?).unwrap_or(0);
    fields.i8()?;
    let (mut names, mut asked) = (Vec::new(), Vec::new());
    for topic in 0..fields.count()? {
        let name = fields.string()?;
        for _ in 0..fields.count()? {
            let index = fields.i32()?;
            asked.push(Asked {
                topic,
                index,
                partition: logs.find(&name, index),
                from: fields.i64()?,
                bytes_max: u64::try_from(fields.i32()?).unwrap_or(0),
            });
        }
        names.push(name);
    }
    let deadline = Instant::now() + wait;
    let slices = loop {
        let arrived = logs.arrived();
        let (slices, size) = read(&asked, bytes_max)?;
        if size >= enough || !logs.wait(arrived, deadline) {
            break slices;
        }
    };
    fetched(&names, asked, slices, answer);
    Ok(())
}

/// One pass over the partitions: what each gives, and how much that is.
fn read(asked: &[Asked], bytes_max: u64) -> io::Result<(Vec<Option<MappedSlice>>, u64)> {
    let mut size = 0;
    let mut slices = Vec::with_capacity(asked.len());
    for one in asked {
        let slice = match &one.partition {
            Some(partition) if size < bytes_max => {
                partition.read(one.from, one.bytes_max.min(bytes_max - size))?
            }
            _ => None,
        };
        let len = slice.as_ref().map_or(0, MappedSlice::len);
        size += u64::try_from(len).map_err(io::Error::other)?;
        slices.push(slice);
    }
    Ok((slices, size))
}

fn fetched(
    names: &[String],
    asked: Vec<Asked>,
    slices: Vec<Option<MappedSlice>>,
    answer: &mut Answer,
) {
    answer.i32(0);
    answer.count(names.len());
    let mut rest = asked.into_iter().zip(slices).peekable();
    for (topic, name) in names.iter().enumerate() {
        answer.string(name);
        let mut of_topic = Vec::new();
        while let Some(one) = rest.next_if(|(one, _)| one.topic == topic) {
            of_topic.push(one);
        }
        answer.count(of_topic.len());
        for (one, slice) in of_topic {
            let end = one.partition.as_ref().map(|found| found.next_offset());
            answer.i32(one.index);
            answer.i16(end.map_or(UNKNOWN_TOPIC_OR_PARTITION, |_| 0));
            answer.i64(end.unwrap_or(-1));
            answer.i64(end.unwrap_or(-1));
            answer.i32(-1);
            answer.records(slice);
        }
    }
}

fn list_offsets(mut fields: Fields<'_>, logs: &Logs, answer: &mut Answer) -> io::Result<()> {
    let _replica = fields.i32()?;
    let topics = fields.count()?;
    answer.count(topics);
    for _ in 0..topics {
        let topic = fields.string()?;
        answer.string(&topic);
        let partitions = fields.count()?;
        answer.count(partitions);
        for _ in 0..partitions {
            let (index, timestamp) = (fields.i32()?, fields.i64()?);
            let partition = logs.find(&topic, index);
            let offset = match &partition {
                Some(_) if timestamp == EARLIEST => 0,
                Some(partition) => partition.next_offset(),
                None => -1,
            };
            answer.i32(index);
            answer.i16(partition.map_or(UNKNOWN_TOPIC_OR_PARTITION, |_| 0));
            answer.i64(-1);
            answer.i64(offset);
        }
    }
    Ok(())
}

fn metadata(mut fields: Fields<'_>, logs: &Logs, answer: &mut Answer) -> io::Result<()> {
    let count = fields.i32()?;
    let names = match usize::try_from(count) {
        Ok(count) => (0..count)
            .map(|_| fields.string())
            .collect::<io::Result<Vec<_>>>()?,
        Err(_) => logs.names(),
    };
    answer.i32(0);
    answer.count(1);
    broker(logs, answer);
    answer.i16(-1);
    answer.string("floor");
    answer.i32(1);
    answer.count(names.len());
    for name in names {
        let partitions = logs.count(&name);
        answer.i16(partitions.map_or(UNKNOWN_TOPIC_OR_PARTITION, |_| 0));
        answer.string(&name);
        answer.i8(0);
        let partitions = partitions.unwrap_or(0);
        answer.count(partitions);
        for index in 0..partitions {
            answer.i16(0);
            answer.count(index);
            answer.i32(1);
            for _replicas_then_in_sync in 0..2 {
                answer.count(1);
                answer.i32(1);
            }
        }
    }
    Ok(())
}

/// The one broker there is.
fn broker(logs: &Logs, answer: &mut Answer) {
    answer.i32(1);
    answer.string("127.0.0.1");
    answer.i32(i32::from(logs.port));
}

fn create_topics(mut fields: Fields<'_>, logs: &Logs, answer: &mut Answer) -> io::Result<()> {
    let topics = fields.count()?;
    answer.i32(0);
    answer.count(topics);
    for _ in 0..topics {
        let topic = fields.string()?;
        let partitions = fields.count()?;
        fields.i16()?;
        for _ in 0..fields.count()? {
            fields.i32()?;
            for _ in 0..fields.count()? {
                fields.i32()?;
            }
        }
        for _ in 0..fields.count()? {
            fields.skip_string()?;
            fields.skip_string()?;
        }
        logs.create(&topic, partitions)?;
        answer.string(&topic);
        answer.i16(0);
        answer.i16(-1);
    }
    Ok(())
}

fn delete_topics(mut fields: Fields<'_>, logs: &Logs, answer: &mut Answer) -> io::Result<()> {
    let topics = fields.count()?;
    answer.i32(0);
    answer.count(topics);
    for _ in 0..topics {
        let topic = fields.string()?;
        logs.delete(&topic);
        answer.string(&topic);
        answer.i16(0);
    }
    Ok(())
}
