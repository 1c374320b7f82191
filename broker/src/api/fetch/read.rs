//! One pass over the partitions of a fetch: whole batches as they lie, from immutable views.
//!
//! Sealed segments give slices of their mapping, which go to the socket as pieces of the response without
//! ever being looked at here.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use headrace_protocol::fetch::{
    EpochEndOffset, FetchPartition, FetchableTopicResponse, PartitionData,
};
use headrace_protocol::{ErrorCode, Piece, Records, StoredBytes};
use headrace_storage::fs::MappedSlice;
use headrace_storage::{Chunk, LeaderEpoch, LogView, Offset, ReadError};

use super::{Asked, find};
use crate::api::list_offsets::check_epoch;
use crate::error::read_code;
use crate::partition::{Handle, Topics};

/// Bytes of one response, whatever the client would take (Kafka's `fetch.max.bytes`); the first batch may
/// be larger.
const RESPONSE_BYTES_MAX: usize = 55 << 20;

/// The first version of Fetch whose clients know zstd.
const ZSTD_FROM_VERSION: i16 = 10;

/// The isolation level of a client that sees decided transactions only.
const READ_COMMITTED: i8 = 1;

/// One pass over the partitions of a request.
pub(super) struct Pass {
    pub(super) responses: Vec<FetchableTopicResponse>,
    pub(super) size_bytes: usize,
    /// Something that the client must see at once.
    pub(super) urgent: bool,
}

/// Whether a pass may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// It gives up instead.
    Never,
    ForDisk,
}

/// Why a partition gives an error.
enum Refused {
    Code(ErrorCode),
    /// Nothing was found wrong with the request, but the log cannot be read.
    Read(ReadError),
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Refused {
        Refused::Code(code)
    }
}

impl From<ReadError> for Refused {
    fn from(failed: ReadError) -> Refused {
        Refused::Read(failed)
    }
}

/// What one partition may still give, and to whom.
#[derive(Clone, Copy)]
struct Room {
    version: i16,
    isolation_level: i8,
    left_bytes: usize,
    at_least_one: bool,
    waits: Waits,
}

/// Records in a mapped file, as a piece of a response.
#[derive(Debug)]
struct Mapped(MappedSlice);

impl StoredBytes for Mapped {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn io_slice(&self) -> IoSlice<'_> {
        self.0.io_slice()
    }

    fn to_bytes(&self) -> io::Result<Bytes> {
        self.0.to_bytes()
    }
}

fn piece(chunk: Chunk) -> Piece {
    match chunk {
        Chunk::Memory(bytes) => Piece::Memory(bytes),
        Chunk::Mapped(slice) => Piece::Stored(Arc::new(Mapped(slice))),
    }
}

/// Reads every partition that is asked for, in order and in the room that there is; `None` if it would have
/// to wait and may not.
pub(super) fn read(
    topics: &Topics,
    asked: &Asked,
    room_bytes: usize,
    waits: Waits,
) -> Option<Pass> {
    let bytes_max = usize::try_from(asked.max_bytes)
        .unwrap_or(0)
        .min(RESPONSE_BYTES_MAX)
        .min(room_bytes);
    let mut pass = Pass {
        responses: Vec::with_capacity(asked.wanted.len()),
        size_bytes: 0,
        urgent: false,
    };
    for wanted in &asked.wanted {
        let mut partitions = Vec::with_capacity(wanted.topic.partitions.len());
        for place in &wanted.topic.partitions {
            let room = Room {
                version: asked.version,
                isolation_level: asked.isolation_level,
                left_bytes: bytes_max.saturating_sub(pass.size_bytes),
                at_least_one: pass.size_bytes == 0 && room_bytes > 0,
                waits,
            };
            let found = find(topics, asked.version, wanted, place.partition);
            let mut data = match found.and_then(|handle| partition(handle, place, room)) {
                Ok(read) => read?,
                Err(error_code) => PartitionData {
                    error_code,
                    ..PartitionData::default()
                },
            };
            data.partition_index = place.partition;
            pass.size_bytes += data.records.as_ref().map_or(0, Records::len);
            pass.urgent |= data.error_code.is_err() || data.diverging_epoch.end_offset >= 0;
            partitions.push(data);
        }
        pass.responses.push(FetchableTopicResponse {
            topic: wanted.topic.topic.clone(),
            topic_id: wanted.topic.topic_id,
            partitions,
        });
    }
    Some(pass)
}

/// Reads one partition. A view whose file went is taken anew.
fn partition(
    handle: &Handle,
    asked: &FetchPartition,
    room: Room,
) -> Result<Option<PartitionData>, ErrorCode> {
    let mut view = handle.view();
    loop {
        let failed = match from_view(&view, asked, room) {
            Ok(read) => return Ok(read),
            Err(Refused::Code(code)) => return Err(code),
            Err(Refused::Read(failed)) => failed,
        };
        let newer = handle.view();
        if !failed.is_gone() || Arc::ptr_eq(&view, &newer) {
            // the scrub has told of damage; clients ask again and again
            if !matches!(failed, ReadError::Damaged { .. }) {
                tracing::error!(%failed, "log cannot be read");
            }
            return Err(read_code(&failed));
        }
        view = newer;
    }
}

/// What a view gives; `None` where it would have to wait and may not.
fn from_view(
    view: &LogView,
    asked: &FetchPartition,
    room: Room,
) -> Result<Option<PartitionData>, Refused> {
    check_epoch(view, asked.current_leader_epoch)?;
    let from = Offset(asked.fetch_offset);
    if from < view.log_start() || from > view.log_end() {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE.into());
    }
    let mut data = PartitionData {
        high_watermark: view.high_watermark().0,
        last_stable_offset: view.last_stable().0,
        log_start_offset: view.log_start().0,
        ..PartitionData::default()
    };
    let upto = if room.isolation_level == READ_COMMITTED {
        // nobody can have aborted anything yet
        data.aborted_transactions = Some(Vec::new());
        view.last_stable()
    } else {
        view.high_watermark()
    };
    if let Some(diverging) = diverging(view, asked) {
        data.diverging_epoch = diverging;
        return Ok(Some(data));
    }
    let partition_bytes = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
    let bytes_max = partition_bytes.min(room.left_bytes);
    if from < upto && (bytes_max > 0 || room.at_least_one) {
        let chunks = match room.waits {
            Waits::Never => view.read_resident(from, upto, bytes_max, room.at_least_one)?,
            Waits::ForDisk => Some(view.read(from, upto, bytes_max, room.at_least_one)?),
        };
        let Some(chunks) = chunks else {
            return Ok(None);
        };
        data.records = Some(records(room.version, chunks)?);
    }
    Ok(Some(data))
}

/// The chunks as a record set, unless the client does not know their compression.
fn records(version: i16, chunks: Vec<Chunk>) -> Result<Records, ErrorCode> {
    if version >= ZSTD_FROM_VERSION {
        return Ok(Records::from(
            chunks.into_iter().map(piece).collect::<Vec<_>>(),
        ));
    }
    let read: io::Result<Vec<Bytes>> = chunks.iter().map(Chunk::to_bytes).collect();
    let pieces = read.map_err(|failed| {
        tracing::error!(%failed, "log cannot be read");
        ErrorCode::KAFKA_STORAGE_ERROR
    })?;
    if pieces.iter().any(|piece| holds_zstd(piece)) {
        return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    }
    Ok(Records::from(pieces))
}

/// Whether what the client read last was written by an epoch that ended earlier here (KIP-595).
fn diverging(view: &LogView, asked: &FetchPartition) -> Option<EpochEndOffset> {
    if asked.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end_offset) = view.end_offset_for_epoch(LeaderEpoch(asked.last_fetched_epoch))?;
    let diverges = epoch.0 < asked.last_fetched_epoch || end_offset.0 < asked.fetch_offset;
    diverges.then_some(EpochEndOffset {
        epoch: epoch.0,
        end_offset: end_offset.0,
    })
}

/// Walks the headers of whole batches.
fn holds_zstd(mut batches: &[u8]) -> bool {
    while let Some(header) = batches.first_chunk::<23>() {
        let length = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if header[22] & 0x07 == 4 {
            return true;
        }
        let size = usize::try_from(length).map_or(usize::MAX, |length| length + 12);
        batches = batches.get(size..).unwrap_or_default();
    }
    false
}
