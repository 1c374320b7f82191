//! The first half of a pass: reads what is to be cleaned and learns what the rewriting has to know.
//!
//! ```text
//!   log start        dirty from                     upto          end of what may be cleaned
//!   | cleaned before | keys go into the map …        | map is full |
//!   | heads only     | bodies                        | heads only  |
//! ```
//!
//! For the whole range: the last batch of every producer. For the dirty part: the newest offset of each
//! key, until the map is full; the pass then cleans up to there. For each segment that was not compacted
//! yet: what its control frames say. Keys of aborted and of control records never enter the map.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::header::CompactedHeader;
use super::input::{First, Input, Walk};
use super::key_map::KeyMap;
use super::rewrite::decoded;
use super::transactions::Aborted;
use super::{CleaningError, Pace};
use crate::log::LogIdentity;
use crate::log::epochs::EpochRun;
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::{BatchHeader, each_raw};
use crate::segment::Tail;
use crate::segment::format::{Control, Head};
use crate::segment::reader::Segment;

/// What a segment says beside its batches.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) base_epoch: LeaderEpoch,
    pub(super) base_log_start: Offset,
    pub(super) created_ms: i64,
    pub(super) previous_crc: u32,
    pub(super) end: Tail,
    pub(super) roll_at_ms: i64,
    pub(super) roll_crc: u32,
    pub(super) runs: Vec<EpochRun>,
    pub(super) membership: Option<(EntryIndex, Bytes)>,
    /// The transactions without a marker at its end: producer and first offset.
    pub(super) open: Vec<(i64, Offset)>,
}

/// What is learnt of the range.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) map: KeyMap,
    /// The map is complete for the dirty records below.
    pub(super) upto: Offset,
    pub(super) last_batches: LastBatches,
    /// One for each input, in order.
    pub(super) facts: Vec<Facts>,
    /// The transactions without a marker so far.
    open: BTreeMap<i64, Offset>,
}

/// What the survey goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) identity: &'a LogIdentity,
    pub(super) dirty_from: Offset,
    pub(super) log_start: Offset,
    pub(super) aborted: &'a Aborted,
    /// The producers that still matter; `None` for all.
    pub(super) producers: Option<&'a HashSet<i64>>,
    pub(super) decompressed_bytes_max: usize,
}

/// Surveys all inputs with an empty map.
pub(super) fn survey(
    segments: &[Segment],
    map: KeyMap,
    terms: &Terms<'_>,
    pace: &Pace<'_>,
) -> Result<Survey, CleaningError> {
    let mut survey = Survey {
        map,
        upto: Offset(i64::MAX),
        last_batches: LastBatches::default(),
        facts: Vec::with_capacity(segments.len()),
        open: BTreeMap::new(),
    };
    for segment in segments {
        let input = Input::open(segment, terms.identity)?;
        let reads_keys = segment.end_offset > terms.dirty_from;
        let mut walk = input.walk(terms.identity, reads_keys);
        let mut facts = Facts::of(&input);
        while let Some(head) = walk.next(pace)? {
            match head {
                Head::Batch(header) => survey.batch(&header, &mut walk, &mut facts, terms)?,
                Head::Control { .. } => facts.control(&mut walk)?,
            }
        }
        match &input.first {
            First::Written(..) => {
                facts.open = survey.open.iter().map(|(id, at)| (*id, *at)).collect();
            }
            First::Compacted(header) => survey.open = header.open.iter().copied().collect(),
        }
        survey.facts.push(facts);
    }
    let end = segments.last().map_or(Offset(0), |last| last.end_offset);
    survey.upto = survey.upto.min(end);
    Ok(survey)
}

impl Survey {
    fn batch(
        &mut self,
        header: &BatchHeader,
        walk: &mut Walk<'_>,
        facts: &mut Facts,
        terms: &Terms<'_>,
    ) -> Result<(), CleaningError> {
        facts.batch(header);
        if header.is_control() {
            self.open.remove(&header.producer_id);
        } else if header.is_transactional() {
            let first = self.open.entry(header.producer_id);
            first.or_insert(header.base_offset);
        }
        let matters = |producer| terms.producers.is_none_or(|known| known.contains(producer));
        if header.producer_id >= 0 && matters(&header.producer_id) {
            self.last_batches.take(header);
        }
        let from = terms.dirty_from.max(terms.log_start);
        let is_full = self.upto < Offset(i64::MAX);
        let has_keys = !header.is_control() && header.record_count > 0;
        if is_full || !has_keys || header.last_offset() < from || terms.aborted.covers(header) {
            return Ok(());
        }
        let frame = walk.batch(header)?;
        let Some(records) = decoded(header, frame, terms.decompressed_bytes_max) else {
            return Ok(());
        };
        let (map, upto) = (&mut self.map, &mut self.upto);
        let read = each_raw(&records, header, &mut |record| {
            let offset = header.base_offset.plus(i64::from(record.offset_delta));
            let Some(key) = record.key.filter(|_| offset >= from && offset < *upto) else {
                return;
            };
            if !map.put(key, offset) {
                *upto = offset;
            }
        });
        debug_assert!(read.is_ok(), "walked before");
        Ok(())
    }
}

impl Facts {
    fn of(input: &Input) -> Facts {
        match &input.first {
            First::Compacted(header) => Facts::of_compacted(header),
            First::Written(header, frame) => Facts {
                base_epoch: frame.epoch,
                base_log_start: header.log_start,
                created_ms: header.created_ms,
                previous_crc: header.previous_crc,
                end: Tail {
                    offset: frame.offset,
                    index: EntryIndex(frame.index.0.saturating_sub(1)),
                    epoch: frame.epoch,
                    log_start: header.log_start,
                },
                roll_at_ms: -1,
                roll_crc: 0,
                runs: Vec::new(),
                membership: None,
                open: Vec::new(),
            },
        }
    }

    fn of_compacted(header: &CompactedHeader) -> Facts {
        Facts {
            base_epoch: header.base_epoch,
            base_log_start: header.base_log_start,
            created_ms: header.created_ms,
            previous_crc: header.previous_crc,
            end: header.end,
            roll_at_ms: header.roll_at_ms,
            roll_crc: header.roll_crc,
            runs: header.runs.clone(),
            membership: header.membership.clone(),
            open: header.open.clone(),
        }
    }

    /// Takes a batch of a segment as it was written; in a compacted one the header said all.
    fn batch(&mut self, header: &BatchHeader) {
        if self.end.offset > header.base_offset {
            return;
        }
        let before = self.end;
        self.end.offset = header.last_offset().plus(1);
        self.end.index = before.index.next();
        self.runs.extend(EpochRun::begins(&before, &self.end));
    }

    fn control(&mut self, walk: &mut Walk<'_>) -> Result<(), CleaningError> {
        let (frame, crc) = walk.control()?;
        let before = self.end;
        if frame.index != before.index.next() || frame.epoch < before.epoch {
            return Err(walk.corrupt("control frame does not continue the log"));
        }
        match frame.control {
            Control::Membership(content) => self.membership = Some((frame.index, content)),
            Control::LogStart(offset) => {
                self.end.log_start = self.end.log_start.max(offset);
            }
            Control::Roll { at_ms } => (self.roll_at_ms, self.roll_crc) = (at_ms, crc),
            _ => {}
        }
        self.end.index = frame.index;
        self.end.epoch = frame.epoch;
        self.runs.extend(EpochRun::begins(&before, &self.end));
        Ok(())
    }
}

/// The last batch of every producer in the range: it holds the producer's last sequence number, without
/// which a repeated batch could not be told from a new one. A marker counts if it brought a newer epoch
/// than the data before it, or if there is none: it fences what is older.
///
/// One entry per producer in the range (some 60 bytes), as many as the broker itself keeps for them.
#[derive(Debug, Default)]
pub(super) struct LastBatches {
    of: HashMap<i64, Last>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// The last offset and the producer's epoch.
    data: Option<(Offset, i16)>,
    /// Behind the data.
    marker: Option<(Offset, i16)>,
}

impl LastBatches {
    fn take(&mut self, header: &BatchHeader) {
        let last = self.of.entry(header.producer_id).or_default();
        let at = Some((header.last_offset(), header.producer_epoch));
        if header.is_control() {
            last.marker = at;
        } else {
            *last = Last {
                data: at,
                marker: None,
            };
        }
    }

    /// Whether this batch is the last of its producer.
    pub(super) fn is_last(&self, header: &BatchHeader) -> bool {
        let Some(last) = self.of.get(&header.producer_id) else {
            return false;
        };
        let at = Some((header.last_offset(), header.producer_epoch));
        if header.is_control() {
            let fences = last
                .data
                .is_none_or(|(_, epoch)| header.producer_epoch > epoch);
            fences && last.marker == at
        } else {
            last.data == at
        }
    }
}
