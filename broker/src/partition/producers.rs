//! What a partition remembers of its idempotent producers: enough to refuse gaps and to answer repeats.
//!
//! Per producer id: the epoch and the last [`REMEMBERED`] batches. A repeat of one of these is answered
//! with the offset it got the first time; anything else must follow the last one without a gap.
//! Sequence numbers wrap from 2^31 - 1 to 0. A producer that is not known may begin anywhere, since its
//! state may have expired. The snapshot that survives a restart:
//!
//! ```text
//! version u16 | offset i64 | producers u32 |
//!   { id i64 | epoch i16 | last seen ms i64 | batches u8 |
//!     { first sequence i32 | last sequence i32 | base offset i64 | last offset i64 | append time i64 }* }*
//! ```
//! It says what was known when `offset` was the log end; the batches from there on are replayed.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::{Buf, BufMut};
use headrace_storage::Offset;
use headrace_storage::record::BatchHeader;

/// Batches remembered per producer: clients keep at most five requests in flight to stay idempotent.
pub const REMEMBERED: usize = 5;

/// A producer that was silent for this long is forgotten (Kafka's `producer.id.expiration.ms`).
pub const EXPIRY: Duration = Duration::from_hours(24);

const SNAPSHOT_VERSION: u16 = 1;
const PRODUCER_BYTES: usize = 8 + 2 + 8 + 1;
const BATCH_BYTES: usize = 4 + 4 + 8 + 8 + 8;

/// A batch that a producer sent, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// Sequence number of its first record.
    first: i32,
    /// Sequence number of its last record.
    last: i32,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The broker's timestamp in milliseconds, or -1 if the producer's were kept.
    pub log_append_time: i64,
}

/// What a batch is, before it is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen before: append it.
    Fresh,
    /// A repeat: answer with what the first one got.
    Duplicate(Remembered),
}

/// Why a batch must not be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// A batch before this one is missing, or it is an old repeat that is no longer remembered.
    #[error("sequence {found} where {expected} is expected")]
    OutOfOrder {
        /// What would follow.
        expected: i32,
        /// What was sent.
        found: i32,
    },
    /// Another instance took this producer id over.
    #[error("producer epoch {found} is older than {current}")]
    Fenced {
        /// The newest epoch seen.
        current: i16,
        /// What was sent.
        found: i16,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// When it last sent something, for expiry alone.
    seen_ms: i64,
    /// The newest is at the back; never empty.
    batches: VecDeque<Remembered>,
}

/// What others are told of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: i64,
    /// The newest epoch seen.
    pub epoch: i16,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// When it last sent something, by the broker's clock, milliseconds since 1970.
    pub seen_ms: i64,
}

/// All idempotent producers of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producers {
    /// Judges a batch by its header; batches without a producer id are always fresh.
    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, SequenceError> {
        let Some(producer) = self.by_id.get(&header.producer_id) else {
            return Ok(Verdict::Fresh);
        };
        let (found, epoch) = (header.base_sequence, header.producer_epoch);
        if epoch < producer.epoch {
            let current = producer.epoch;
            return Err(SequenceError::Fenced {
                current,
                found: epoch,
            });
        }
        let expected = if epoch > producer.epoch {
            0
        } else {
            let last = last_sequence(header);
            let repeats = |batch: &&Remembered| batch.first == found && batch.last == last;
            if let Some(original) = producer.batches.iter().find(repeats) {
                return Ok(Verdict::Duplicate(*original));
            }
            let newest = producer.batches.back();
            newest.map_or(found, |batch| advance(batch.last, 1))
        };
        if found == expected {
            Ok(Verdict::Fresh)
        } else {
            Err(SequenceError::OutOfOrder { expected, found })
        }
    }

    /// Remembers a batch that was appended; its header carries the offsets it got.
    pub fn record(&mut self, header: &BatchHeader, now_ms: i64) {
        if header.producer_id < 0 || header.is_control() {
            return;
        }
        let epoch = header.producer_epoch;
        let producer = self.by_id.entry(header.producer_id);
        let producer = producer.or_insert_with(|| Producer {
            epoch,
            seen_ms: now_ms,
            batches: VecDeque::with_capacity(REMEMBERED),
        });
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
        producer.seen_ms = now_ms;
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        let stamped = header.is_log_append_time();
        producer.batches.push_back(Remembered {
            first: header.base_sequence,
            last: last_sequence(header),
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            log_append_time: if stamped { header.max_timestamp } else { -1 },
        });
    }

    /// Forgets the producers that were silent for longer than [`EXPIRY`].
    pub fn expire(&mut self, now_ms: i64) {
        let expiry_ms = i64::try_from(EXPIRY.as_millis()).unwrap_or(i64::MAX);
        self.by_id
            .retain(|_, producer| now_ms.saturating_sub(producer.seen_ms) <= expiry_ms);
    }

    /// The producers known.
    pub fn ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.by_id.keys().copied()
    }

    /// What is known of each producer, in no order.
    pub fn known(&self) -> impl Iterator<Item = Known> + '_ {
        self.by_id.iter().map(|(id, producer)| Known {
            id: *id,
            epoch: producer.epoch,
            last_sequence: producer.batches.back().map_or(-1, |batch| batch.last),
            seen_ms: producer.seen_ms,
        })
    }

    /// The number of producers known.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no producer is known.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The snapshot of this state, which is that of the log up to `offset`.
    pub fn snapshot(&self, offset: Offset) -> Vec<u8> {
        let mut ids: Vec<_> = self.by_id.keys().copied().collect();
        ids.sort_unstable();
        let mut out =
            Vec::with_capacity(14 + ids.len() * (PRODUCER_BYTES + REMEMBERED * BATCH_BYTES));
        out.put_u16(SNAPSHOT_VERSION);
        out.put_i64(offset.0);
        out.put_u32(u32::try_from(ids.len()).expect("fewer producers than 2^32 fit in memory"));
        for id in ids {
            let producer = &self.by_id[&id];
            out.put_i64(id);
            out.put_i16(producer.epoch);
            out.put_i64(producer.seen_ms);
            out.put_u8(u8::try_from(producer.batches.len()).expect("at most five"));
            for batch in &producer.batches {
                out.put_i32(batch.first);
                out.put_i32(batch.last);
                out.put_i64(batch.base_offset.0);
                out.put_i64(batch.last_offset.0);
                out.put_i64(batch.log_append_time);
            }
        }
        out
    }

    /// Reads a snapshot; `None` if the bytes are not one, and the log is then replayed from its start.
    pub fn restore(mut bytes: &[u8]) -> Option<(Offset, Producers)> {
        let from = &mut bytes;
        if from.try_get_u16().ok()? != SNAPSHOT_VERSION {
            return None;
        }
        let offset = Offset(from.try_get_i64().ok()?);
        let count = usize::try_from(from.try_get_u32().ok()?).ok()?;
        if count > from.len() / PRODUCER_BYTES {
            return None;
        }
        let mut by_id = HashMap::with_capacity(count);
        for _ in 0..count {
            let (id, producer) = read_producer(from)?;
            by_id.insert(id, producer);
        }
        from.is_empty().then_some((offset, Producers { by_id }))
    }
}

fn read_producer(from: &mut &[u8]) -> Option<(i64, Producer)> {
    let id = from.try_get_i64().ok()?;
    let epoch = from.try_get_i16().ok()?;
    let seen_ms = from.try_get_i64().ok()?;
    let count = usize::from(from.try_get_u8().ok()?);
    if count == 0 || count > REMEMBERED {
        return None;
    }
    let mut batches = VecDeque::with_capacity(REMEMBERED);
    for _ in 0..count {
        batches.push_back(Remembered {
            first: from.try_get_i32().ok()?,
            last: from.try_get_i32().ok()?,
            base_offset: Offset(from.try_get_i64().ok()?),
            last_offset: Offset(from.try_get_i64().ok()?),
            log_append_time: from.try_get_i64().ok()?,
        });
    }
    Some((
        id,
        Producer {
            epoch,
            seen_ms,
            batches,
        },
    ))
}

/// The sequence number `by` records after `from`; 0 follows 2^31 - 1.
fn advance(from: i32, by: i32) -> i32 {
    let sum = i64::from(from) + i64::from(by);
    let wrapped = sum % (i64::from(i32::MAX) + 1);
    i32::try_from(wrapped).unwrap_or(0)
}

/// Whether a batch follows another of the same producer without a gap: it is then fresh if that one is.
pub fn follows(before: &BatchHeader, header: &BatchHeader) -> bool {
    header.producer_id == before.producer_id
        && header.producer_epoch == before.producer_epoch
        && header.base_sequence == advance(last_sequence(before), 1)
}

fn last_sequence(header: &BatchHeader) -> i32 {
    advance(header.base_sequence, header.last_offset_delta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headrace_storage::LeaderEpoch;
    use headrace_storage::record::{Batch, BatchBuilder, Compression};

    const NOW: i64 = 1_000_000;

    fn batch(epoch: i16, sequence: i32, records: i32, base: i64) -> Batch {
        let mut builder = BatchBuilder::new(Compression::None).producer(7, epoch, sequence);
        for _ in 0..records {
            builder.push(5, None, Some(b"v"), &[]);
        }
        let mut batch = builder.build();
        batch.stamp(Offset(base), LeaderEpoch(0));
        batch
    }

    /// Checks and records batches of one record, as a log would.
    fn after(sequences: &[i32]) -> Producers {
        let mut producers = Producers::default();
        for (base, sequence) in (0_i64..).zip(sequences) {
            let batch = batch(0, *sequence, 1, base);
            assert_eq!(producers.check(batch.header()), Ok(Verdict::Fresh));
            producers.record(batch.header(), NOW);
        }
        producers
    }

    fn check(producers: &Producers, epoch: i16, sequence: i32) -> Result<Verdict, SequenceError> {
        producers.check(batch(epoch, sequence, 1, 99).header())
    }

    /// trap 29
    #[test]
    fn a_repeat_of_the_last_five_batches_gets_the_original_offset() {
        let producers = after(&[0, 1, 2, 3, 4, 5]);
        for sequence in 1..=5 {
            let Ok(Verdict::Duplicate(original)) = check(&producers, 0, sequence) else {
                panic!("{sequence} is a repeat");
            };
            assert_eq!(original.base_offset, Offset(i64::from(sequence)));
        }
    }

    /// trap 29
    #[test]
    fn gaps_and_forgotten_repeats_are_out_of_order() {
        let producers = after(&[0, 1, 2, 3, 4, 5]);
        for found in [0, 7, 100] {
            let refused = SequenceError::OutOfOrder { expected: 6, found };
            assert_eq!(check(&producers, 0, found), Err(refused));
        }
    }

    /// trap 29
    #[test]
    fn a_repeat_of_another_length_is_out_of_order() {
        let producers = after(&[0, 1]);
        let longer = batch(0, 1, 2, 99);
        assert!(producers.check(longer.header()).is_err());
    }

    /// trap 29
    #[test]
    fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
        let mut producers = after(&[0, 1]);
        let refused = SequenceError::OutOfOrder {
            expected: 0,
            found: 2,
        };
        assert_eq!(check(&producers, 1, 2), Err(refused));
        assert_eq!(check(&producers, 1, 0), Ok(Verdict::Fresh));
        producers.record(batch(1, 0, 1, 2).header(), NOW);
        let fenced = SequenceError::Fenced {
            current: 1,
            found: 0,
        };
        assert_eq!(check(&producers, 0, 2), Err(fenced));
    }

    /// trap 29
    #[test]
    fn an_unknown_producer_may_begin_anywhere() {
        assert_eq!(check(&Producers::default(), 3, 77), Ok(Verdict::Fresh));
    }

    /// trap 29
    #[test]
    fn zero_follows_the_greatest_sequence_number() {
        let mut producers = Producers::default();
        let across = batch(0, i32::MAX - 1, 4, 0);
        producers.record(across.header(), NOW);
        assert_eq!(check(&producers, 0, 2), Ok(Verdict::Fresh));
        assert!(matches!(
            producers.check(across.header()),
            Ok(Verdict::Duplicate(_))
        ));
        let producers = after(&[i32::MAX]);
        assert_eq!(check(&producers, 0, 0), Ok(Verdict::Fresh));
    }

    /// trap 30
    #[test]
    fn silent_producers_expire() {
        let mut producers = after(&[0]);
        let expiry_ms = i64::try_from(EXPIRY.as_millis()).unwrap();
        producers.expire(NOW + expiry_ms);
        assert_eq!(producers.len(), 1);
        producers.expire(NOW + expiry_ms + 1);
        assert!(producers.is_empty());
    }

    /// trap 30
    #[test]
    fn a_snapshot_reads_back_and_damage_never_panics() {
        let mut producers = after(&[0, 1, 2, 3, 4, 5]);
        let mut stamped = BatchBuilder::new(Compression::None).producer(9, 2, 4);
        stamped.push(5, None, None, &[]);
        let mut stamped = stamped.build();
        stamped.stamp_log_append_time(77);
        producers.record(stamped.header(), NOW);
        let bytes = producers.snapshot(Offset(6));
        assert_eq!(Producers::restore(&bytes), Some((Offset(6), producers)));
        for cut in 0..bytes.len() {
            assert_eq!(Producers::restore(&bytes[..cut]), None);
        }
        let mut greedy = bytes.clone();
        greedy[10..14].fill(0xff);
        assert_eq!(Producers::restore(&greedy), None);
    }

    #[test]
    fn the_snapshot_format_is_fixed() {
        let bytes = after(&[3]).snapshot(Offset(1));
        let golden = [
            [0, 1].as_slice(),
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0],
            &[0, 0, 0, 0, 0, 0x0f, 0x42, 0x40],
            &[1],
            &[0, 0, 0, 3, 0, 0, 0, 3],
            &[0; 16],
            &[0xff; 8],
        ]
        .concat();
        assert_eq!(bytes, golden);
    }
}
