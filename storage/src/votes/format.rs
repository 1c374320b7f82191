//! The bytes of a vote journal: rounds, cut into blocks, each block twice.
//!
//! ```text
//! file:    block 0 | block 0 again | block 1 | block 1 again | …        (4 KiB each)
//! block:   'HRVOTES' 01 | round u64 | durable u64 | chunk u32 | chunks u32 | length u32 | payload … | zeros | CRC-32C
//! payload of a round (its chunks joined): records one after another
//! record:  topic id 16 | partition i32 | sequence u64 | since u64 | flags u8
//!          flags & 1, a state:        term i32 | vote u64
//!          flags & 2, its hint:       offset i64 | index u64 | epoch i32
//!          flags & 4, its membership: index u64 | length u32 | bytes
//!          flags = 0: the group was forgotten
//! ```
//!
//! A record ends all of its group with a sequence below `since`: a group that was forgotten and came back
//! begins anew, also with a lower term.
//!
//! Every block says which part of which round it is, so one that is damaged is replaced by its twin, and two
//! that are damaged are known by their gap. `durable` is the last round that was synced when this one was
//! written: up to there a gap is damage, behind it an ordinary power cut. The CRC is seeded with the place of
//! the pair, so a block that was written elsewhere does not fit. Rounds count from 1 in each file.

use bytes::{Buf, BufMut, Bytes};
use uuid::Uuid;

use super::{GroupId, Sequence, VoteState};
use crate::log::Hint;
use crate::planted::{Mistake, planted};
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::format::as_u64;

/// What a disk writes and loses as one; the two copies of a block never share it.
pub(super) const BLOCK_BYTES: usize = 4096;
/// A block and its copy.
pub(super) const PAIR_BYTES: usize = 2 * BLOCK_BYTES;

const MAGIC: [u8; 7] = *b"HRVOTES";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 36;
const CRC_BYTES: usize = 4;
const PAYLOAD_BYTES_MAX: usize = BLOCK_BYTES - HEAD_BYTES - CRC_BYTES;

const STATE: u8 = 1;
const HINT: u8 = 2;
const MEMBERSHIP: u8 = 4;

/// The number of a round within its file, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Round(pub(super) u64);

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) round: Round,
    /// The last round that was synced when this one was written.
    pub(super) durable: Round,
    pub(super) chunk: u32,
    pub(super) chunks: u32,
}

/// One block as it is found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block<'a> {
    Sound(Head, &'a [u8]),
    /// Zeros, or nothing at all: never written.
    Blank,
    Unsound,
    /// Sound, but of a format that this program does not know.
    Newer(u8),
}

/// A group's state as of a sequence; without a state the group was forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) group: GroupId,
    pub(super) sequence: Sequence,
    /// What is older does not count.
    pub(super) since: Sequence,
    pub(super) state: Option<VoteState>,
}

/// The bytes of a round that begins at the given pair, and how many pairs they are.
pub(super) fn write_round(
    round: Round,
    durable: Round,
    first_pair: u64,
    payload: &[u8],
) -> (Vec<u8>, u64) {
    let chunks = payload.len().div_ceil(PAYLOAD_BYTES_MAX).max(1);
    let mut out = Vec::with_capacity(chunks * PAIR_BYTES);
    for chunk in 0..chunks {
        let from = chunk * PAYLOAD_BYTES_MAX;
        let part = &payload[from..payload.len().min(from + PAYLOAD_BYTES_MAX)];
        let start = out.len();
        out.put_slice(&MAGIC);
        out.put_u8(VERSION);
        out.put_u64(round.0);
        out.put_u64(durable.0);
        out.put_u32(as_u32(chunk));
        out.put_u32(as_u32(chunks));
        out.put_u32(as_u32(part.len()));
        out.put_slice(part);
        out.resize(start + BLOCK_BYTES - CRC_BYTES, 0);
        let crc = crc32c::crc32c_append(seed(first_pair + as_u64(chunk)), &out[start..]);
        out.put_u32(crc);
        if planted(Mistake::JournalOneCopy) {
            out.resize(start + PAIR_BYTES, 0);
        } else {
            out.extend_from_within(start..);
        }
    }
    (out, as_u64(chunks))
}

/// Reads one block of the given pair.
pub(super) fn read_block(bytes: &[u8], pair: u64) -> Block<'_> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Block::Blank;
    }
    if bytes.len() != BLOCK_BYTES {
        return Block::Unsound;
    }
    let (body, mut stated) = bytes.split_at(BLOCK_BYTES - CRC_BYTES);
    if crc32c::crc32c_append(seed(pair), body) != stated.get_u32() {
        return Block::Unsound;
    }
    let Some((&version, mut fields)) = body.strip_prefix(&MAGIC).and_then(<[u8]>::split_first)
    else {
        return Block::Unsound;
    };
    if version != VERSION {
        return Block::Newer(version);
    }
    let head = Head {
        round: Round(fields.get_u64()),
        durable: Round(fields.get_u64()),
        chunk: fields.get_u32(),
        chunks: fields.get_u32(),
    };
    let length = usize::try_from(fields.get_u32()).unwrap_or(usize::MAX);
    let sane = head.chunk < head.chunks && head.durable < head.round;
    match fields.get(..length).filter(|_| sane) {
        Some(payload) => Block::Sound(head, payload),
        None => Block::Unsound,
    }
}

/// Adds a record to a round's payload.
pub(super) fn put_record(
    out: &mut Vec<u8>,
    group: &GroupId,
    (sequence, since): (Sequence, Sequence),
    state: Option<&VoteState>,
) {
    out.put_slice(group.topic_id.as_bytes());
    out.put_i32(group.partition);
    out.put_u64(sequence.0);
    out.put_u64(since.0);
    let Some(state) = state else {
        return out.put_u8(0);
    };
    let mut flags = STATE;
    flags |= state.hint.map_or(0, |_| HINT);
    flags |= state.membership.as_ref().map_or(0, |_| MEMBERSHIP);
    out.put_u8(flags);
    out.put_i32(state.term.0);
    out.put_u64(state.vote);
    if let Some(hint) = state.hint {
        out.put_i64(hint.offset.0);
        out.put_u64(hint.index.0);
        out.put_i32(hint.epoch.0);
    }
    if let Some((index, content)) = &state.membership {
        out.put_u64(index.0);
        out.put_u32(as_u32(content.len()));
        out.put_slice(content);
    }
}

/// Reads a round's payload; `None` if it is not whole records of ours.
pub(super) fn read_records(payload: &[u8]) -> Option<Vec<Record>> {
    let mut rest = payload;
    let mut records = Vec::new();
    while !rest.is_empty() {
        records.push(read_record(&mut rest)?);
    }
    Some(records)
}

fn read_record(rest: &mut &[u8]) -> Option<Record> {
    let mut topic_id = [0; 16];
    rest.try_copy_to_slice(&mut topic_id).ok()?;
    let group = GroupId {
        topic_id: Uuid::from_bytes(topic_id),
        partition: rest.try_get_i32().ok()?,
    };
    let sequence = Sequence(rest.try_get_u64().ok()?);
    let since = Sequence(rest.try_get_u64().ok()?);
    let flags = rest.try_get_u8().ok()?;
    let state = match flags {
        0 => None,
        _ if flags & STATE != 0 && flags <= (STATE | HINT | MEMBERSHIP) => {
            Some(read_state(rest, flags)?)
        }
        _ => return None,
    };
    Some(Record {
        group,
        sequence,
        since,
        state,
    })
}

fn read_state(rest: &mut &[u8], flags: u8) -> Option<VoteState> {
    let mut state = VoteState {
        term: LeaderEpoch(rest.try_get_i32().ok()?),
        vote: rest.try_get_u64().ok()?,
        ..VoteState::default()
    };
    if flags & HINT != 0 {
        state.hint = Some(Hint {
            offset: Offset(rest.try_get_i64().ok()?),
            index: EntryIndex(rest.try_get_u64().ok()?),
            epoch: LeaderEpoch(rest.try_get_i32().ok()?),
        });
    }
    if flags & MEMBERSHIP != 0 {
        let index = EntryIndex(rest.try_get_u64().ok()?);
        let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        let content = rest.split_off(..length)?;
        state.membership = Some((index, Bytes::copy_from_slice(content)));
    }
    Some(state)
}

fn seed(pair: u64) -> u32 {
    crc32c::crc32c(&pair.to_be_bytes())
}

fn as_u32(len: usize) -> u32 {
    u32::try_from(len).expect("a round is far smaller than 4 GiB")
}
