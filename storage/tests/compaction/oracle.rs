//! Random logs, cleaned again and again, against all that was ever written to them.
//!
//! What has to hold after each step, whatever was cleaned, cut off or opened anew:
//!
//! - a reader that starts anywhere ends with the same value of each key as if nothing had been cleaned;
//! - so does one that had read up to anywhere before, if it goes on within `delete.retention.ms`;
//! - a reader that holds an older view sees exactly what it saw;
//! - every record is the one that was written at its offset, every batch has its old place;
//! - whoever replays the log finds no transaction open that has ended, and each producer's last sequence;
//! - nothing at or past the last stable offset has changed; a look-up by time is exact;
//! - where a cleaning came to its end, one record of each key is left, and none of an aborted transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headrace_storage::compaction::{CleaningError, KeyMapBudget, Throttle, Tools, clean};
use headrace_storage::fs::Disk;
use headrace_storage::record::{ControlMarker, MarkerKind, batches};
use headrace_storage::{
    Batch, BatchBuilder, Compression, Entry, LeaderEpoch, Log, LogView, Offset,
};

use crate::bench::{Bench, CODECS, Clock, DIR, soak};
use crate::history::{History, Part, Transaction, text};
use crate::random::Random;
use crate::reader::{Reader, Seen};

/// What the oracle calls wrong, in words.
pub(crate) type Verdict = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}

/// A reader that stopped somewhere, and when.
#[derive(Clone, Debug)]
struct Paused {
    reader: Reader,
    from: Offset,
    at_ms: i64,
}

/// A log under test, with all that is known of it.
pub(crate) struct Run {
    pub(crate) bench: Bench,
    pub(crate) history: History,
    pub(crate) random: Random,
    open: BTreeMap<i64, Transaction>,
    sequences: HashMap<i64, i32>,
    paused: Vec<Paused>,
    old_views: Vec<(Arc<LogView>, Vec<Seen>)>,
    keys: u64,
    steps: u64,
    /// How many readers begin somewhere when the log is judged.
    pub(crate) starts: usize,
}

const PRODUCERS: [i64; 4] = [1, 2, 3, 4];

impl Run {
    pub(crate) fn new(seed: u64) -> Run {
        let mut random = Random::new(seed);
        let mut bench = Bench::new();
        bench.budget = KeyMapBudget::new(random.pick(&[24 * 5, 24 * 25, 1 << 20]));
        bench.config.segment_bytes_max = random.pick(&[1, 1500, 1 << 30]);
        Run {
            bench,
            history: History::default(),
            open: BTreeMap::new(),
            sequences: HashMap::new(),
            paused: Vec::new(),
            old_views: Vec::new(),
            keys: random.pick(&[3, 12, 40]),
            steps: 0,
            starts: 10,
            random,
        }
    }

    /// Appends something, or lets time pass.
    pub(crate) fn write(&mut self) {
        self.steps += 1;
        match self.random.below(20) {
            0..8 => self.data(None),
            8..13 => {
                let producer = self.random.pick(&PRODUCERS);
                self.data(Some(producer));
            }
            13..16 => self.end_transaction(),
            16 => {
                let term = LeaderEpoch(self.bench.log.epoch().0 + 1);
                self.bench.entry(Entry::NoOp { term });
            }
            17 => {
                let content = format!("voters {}", self.steps).into_bytes().into();
                self.bench.entry(Entry::Membership { content });
            }
            18 => self.roll(),
            _ => self.bench.now_ms += i64::try_from(self.random.below(400)).unwrap(),
        }
    }

    /// A batch of random records, of a producer's transaction or none.
    fn data(&mut self, producer: Option<i64>) {
        let mut builder = BatchBuilder::new(self.random.pick(&CODECS));
        let mut part = Part::Plain;
        if let Some(id) = producer {
            let sequence = self.sequences.entry(id).or_default();
            builder = builder.producer(id, 0, *sequence);
            if self.open.contains_key(&id) || self.random.once_in(2) {
                builder = builder.transactional();
                let history = &mut self.history;
                part = Part::Of(*self.open.entry(id).or_insert_with(|| history.begin()));
            }
        }
        let count = 1 + self.random.below(5);
        for _ in 0..count {
            let key = format!("key-{}", self.random.below(self.keys));
            let value = format!("value {} {}", self.steps, self.random.below(1000));
            let key = (!self.random.once_in(30)).then_some(key.as_bytes());
            let value = (!self.random.once_in(5)).then_some(value.as_bytes());
            let time = self.bench.now_ms - i64::try_from(self.random.below(500)).unwrap();
            builder.push(time, key, value, &[(b"h", Some(b"x"))]);
        }
        if let Some(id) = producer {
            *self.sequences.entry(id).or_default() += builder.record_count();
        }
        let mut batch = builder.build();
        if self.random.once_in(6) {
            batch.stamp_log_append_time(self.bench.now_ms);
        }
        self.append(batch, part);
    }

    fn end_transaction(&mut self) {
        let open: Vec<i64> = self.open.keys().copied().collect();
        if open.is_empty() {
            return;
        }
        let producer = self.random.pick(&open);
        let transaction = self.open.remove(&producer).unwrap();
        let kind = self.random.pick(&[MarkerKind::Abort, MarkerKind::Commit]);
        let marker = ControlMarker {
            kind,
            coordinator_epoch: 0,
        };
        let builder = BatchBuilder::new(Compression::None)
            .producer(producer, 0, -1)
            .transactional()
            .control(marker, self.bench.now_ms);
        self.append(builder.build(), Part::Marker);
        self.history.outcomes[transaction] = Some(kind);
    }

    fn append(&mut self, mut batch: Batch, part: Part) {
        batch.stamp(self.bench.log.next_offset(), self.bench.log.epoch());
        self.history.add(batch.clone(), part);
        self.bench.append_batch(batch);
    }

    /// Makes what was appended durable and committed.
    pub(crate) fn settle(&mut self) {
        self.bench.undecided_from = self.history.undecided_from();
        self.bench.settle();
    }

    fn view(&self) -> Arc<LogView> {
        self.bench.log.reader().view()
    }

    /// Sends a reader on its way, and keeps a view.
    pub(crate) fn look(&mut self) {
        let view = self.view();
        let (start, stable) = (view.log_start().0, view.last_stable().0);
        let from = Offset(self.random.offset(start, stable));
        let upto = Offset(self.random.offset(from.0, stable));
        let mut reader = Reader::from(from);
        reader.read_upto(&view, upto);
        self.paused.push(Paused {
            reader,
            from,
            at_ms: self.bench.now_ms,
        });
        if self.old_views.len() < 6 {
            let seen = Reader::from(view.log_start()).read_to_end(&view);
            self.old_views.push((view, seen));
        }
    }

    /// Ends the segment.
    pub(crate) fn roll(&mut self) {
        self.bench.undecided_from = self.history.undecided_from();
        self.bench.roll();
    }

    /// Forgets what belongs to an earlier opening of the log.
    pub(crate) fn forget_views(&mut self) {
        self.old_views.clear();
    }

    /// Cleans; now and then it is cancelled after a group. Whether it came to its end.
    fn clean(&mut self) -> Result<bool, String> {
        let swaps_max = if self.random.once_in(4) { 1 } else { u64::MAX };
        self.clean_for(swaps_max).unwrap_or(Ok(false))
    }

    /// Cleans what there is, to the end.
    pub(crate) fn clean_all(&mut self) {
        if let Some(result) = self.clean_for(u64::MAX) {
            result.unwrap();
        }
    }

    /// Cleans on a disk that may fail.
    pub(crate) fn clean_cut_off(&mut self) -> Option<Result<bool, String>> {
        self.clean_for(u64::MAX)
    }

    /// Cleans, but cancels after so many groups; `None` if nothing is dirty.
    fn clean_for(&mut self, swaps_max: u64) -> Option<Result<bool, String>> {
        let bench = &mut self.bench;
        let job = bench.log.begin_cleaning(&bench.config, bench.now_ms)?;
        let cancelled = AtomicBool::new(false);
        let mut swaps = 0;
        let clock = Clock::at(bench.now_ms);
        let tools = Tools {
            budget: &bench.budget,
            throttle: &Throttle::new(None),
            clock: &clock,
            cancelled: &cancelled,
            seed: self.random.next(),
        };
        let log = &mut bench.log;
        let cleaned = clean(job, &tools, &mut |swap| {
            swaps += 1;
            cancelled.store(swaps >= swaps_max, Ordering::Relaxed);
            log.swap_cleaned(swap)
        });
        let result = match &cleaned.result {
            Ok(()) => Ok(true),
            Err(CleaningError::Cancelled) => Ok(false),
            Err(error) => Err(error.to_string()),
        };
        self.bench.log.finish_cleaning(cleaned);
        Some(result)
    }

    /// Whether the directory holds the log's files and nothing else.
    pub(crate) fn no_leftovers(&self) -> Verdict {
        let names = self.bench.disk.list(Path::new(DIR)).unwrap();
        let is_segment = |name: &&String| {
            let extension = Path::new(name.as_str()).extension();
            extension.is_some_and(|of| of == "log" || of == "cleaned")
        };
        let found: BTreeSet<String> = names.iter().filter(is_segment).cloned().collect();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let segments = self.bench.log.segments();
        let known: BTreeSet<String> = segments.iter().map(|of| name(&of.path)).collect();
        let more: Vec<_> = found.difference(&known).collect();
        // the active segment's file is no sealed one
        ensure!(more.len() <= 1, "files are left over: {more:?}");
        Ok(())
    }

    /// Judges the log as it is.
    pub(crate) fn judge(&mut self) -> Verdict {
        let view = self.view();
        self.readers(&view)?;
        self.old_views()?;
        self.batches(&view)?;
        replay(&self.bench.log, &self.history)?;
        self.times(&view)
    }

    fn readers(&mut self, view: &LogView) -> Verdict {
        let (start, stable) = (view.log_start(), view.last_stable());
        let mut starts = vec![start.0, stable.0];
        starts.extend((0..self.starts).map(|_| self.random.offset(start.0, stable.0)));
        for from in starts {
            let mut reader = Reader::from(Offset(from));
            reader.read_upto(view, Offset(i64::MAX));
            let expected = self.history.fold(Offset(from), stable);
            ensure!(
                reader.state == expected,
                "reader from {from} has {:?} instead of {expected:?}",
                reader.state
            );
            let ends = reader.position == stable;
            ensure!(
                ends,
                "reader from {from} ends at {} of {stable}",
                reader.position
            );
        }
        let (now_ms, retention) = (self.bench.now_ms, self.bench.config.delete_retention_ms);
        self.paused
            .retain(|paused| now_ms - paused.at_ms < retention && paused.reader.position >= start);
        for paused in &self.paused {
            let mut reader = paused.reader.clone();
            reader.read_upto(view, Offset(i64::MAX));
            let expected = self.history.fold(paused.from, stable);
            ensure!(
                reader.state == expected,
                "reader from {} that stopped at {} has {:?} instead of {expected:?}",
                paused.from,
                paused.reader.position,
                reader.state
            );
        }
        Ok(())
    }

    fn old_views(&mut self) -> Verdict {
        for (view, seen) in &self.old_views {
            let again = Reader::from(view.log_start()).read_to_end(view);
            ensure!(again == *seen, "an older view shows something else now");
        }
        if self.old_views.len() == 6 || self.random.once_in(5) {
            self.old_views.clear();
        }
        Ok(())
    }

    fn batches(&self, view: &LogView) -> Verdict {
        let stable = view.last_stable();
        let mut next = Offset(0);
        for batch in all(view, view.log_end()) {
            let header = batch.header();
            let base = header.base_offset;
            let written = self
                .history
                .at(base)
                .ok_or(format!("no batch began at {base}"))?;
            let old = written.batch.header();
            ensure!(base >= next, "batch at {base} goes back");
            next = batch.last_offset().plus(1);
            if base >= stable {
                ensure!(
                    batch == written.batch,
                    "undecided batch at {base} has changed"
                );
            }
            let kept = |of: &headrace_storage::BatchHeader| {
                (
                    of.last_offset_delta,
                    of.epoch,
                    (of.producer_id, of.producer_epoch, of.base_sequence),
                    (
                        of.is_control(),
                        of.is_transactional(),
                        of.is_log_append_time(),
                    ),
                )
            };
            ensure!(
                kept(header) == kept(old),
                "batch at {base}: {header:?} was {old:?}"
            );
            let records = batch.records(1 << 20).map_err(|error| error.to_string())?;
            let codec = batch.compression() == written.batch.compression();
            ensure!(
                records.is_empty() || codec,
                "batch at {base} has another codec"
            );
            for record in &records {
                let same = written.records.contains(record);
                ensure!(same, "record {record:?} was never written");
            }
            let times = records.iter().map(|record| record.timestamp);
            let max = times.max().unwrap_or(header.max_timestamp);
            ensure!(
                max == header.max_timestamp,
                "batch at {base} has a wrong greatest time"
            );
        }
        Ok(())
    }

    fn times(&mut self, view: &LogView) -> Verdict {
        let stable = view.last_stable();
        for _ in 0..4 {
            let time = self.bench.now_ms - i64::try_from(self.random.below(6000)).unwrap();
            let records = all(view, stable).into_iter();
            let mut records = records.flat_map(|batch| batch.records(1 << 20).unwrap());
            let expected = records
                .find(|record| record.timestamp >= time && record.offset >= view.log_start())
                .map(|record| (record.offset, record.timestamp));
            let found = view
                .find_timestamp(time, stable)
                .map_err(|error| error.to_string())?;
            ensure!(
                found == expected,
                "first at {time} is {found:?} instead of {expected:?}"
            );
        }
        Ok(())
    }

    /// What has to hold where a cleaning came to its end.
    pub(crate) fn judge_cleaned(&self) -> Verdict {
        let view = self.view();
        let segments = view.segments();
        let compacted = segments.iter().take_while(|segment| segment.compacted);
        let upto = compacted.last().map_or(Offset(0), |last| last.end_offset);
        let mut newest = BTreeSet::new();
        for batch in all(&view, upto) {
            let written = self.history.at(batch.base_offset()).unwrap();
            let visible = self.history.is_visible(written) || batch.is_control();
            let count = batch.header().record_count;
            ensure!(
                visible || count == 0,
                "aborted records are left at {}",
                batch.base_offset()
            );
            for record in batch.records(1 << 20).unwrap() {
                if batch.is_control() {
                    continue;
                }
                let key = record.key.as_deref().map(text);
                let key = key.ok_or(format!("record {} has no key", record.offset))?;
                let first = newest.insert(key.clone());
                ensure!(first, "an older record of {key} or a newer one is left");
            }
        }
        Ok(())
    }

    /// A step of a run: writes, reads, cleans, opens anew.
    pub(crate) fn step(&mut self) -> Verdict {
        for _ in 0..self.random.below(12) {
            self.write();
        }
        self.settle();
        if self.random.once_in(3) {
            self.look();
        }
        if self.random.once_in(12) {
            let stable = self.view().last_stable().0;
            let offset = Offset(self.random.offset(self.bench.log.log_start().0, stable));
            self.bench.entry(Entry::LogStart { offset });
            self.settle();
        }
        if self.random.once_in(3) {
            let all = self.clean()?;
            if all {
                self.judge_cleaned()?;
            }
        }
        if self.random.once_in(8) {
            let at_rest = self.random.once_in(2);
            if at_rest {
                self.bench.log.remove_below_log_start().unwrap();
            }
            self.bench.reopen();
        }
        self.judge()
    }
}

/// All batches that end below `upto`, checked.
pub(crate) fn all(view: &LogView, upto: Offset) -> Vec<Batch> {
    let chunks = view.read(view.log_start(), upto, usize::MAX, true);
    chunks
        .unwrap()
        .iter()
        .flat_map(|chunk| batches(chunk.to_bytes().unwrap()))
        .map(Result::unwrap)
        .collect()
}

/// What whoever replays the log finds.
fn replay(log: &Log, history: &History) -> Verdict {
    let mut open = BTreeMap::new();
    let mut last = BTreeMap::new();
    log.replay(log.log_start(), &mut |header| {
        if header.is_control() {
            open.remove(&header.producer_id);
        } else {
            if header.is_transactional() {
                open.entry(header.producer_id).or_insert(header.base_offset);
            }
            last.insert(header.producer_id, *header);
        }
    })
    .map_err(|error| error.to_string())?;
    for (producer, first) in open {
        let part = history.at(first).map(|of| of.part);
        let undecided = matches!(part, Some(Part::Of(at)) if history.outcomes[at].is_none());
        ensure!(
            undecided,
            "transaction of {producer} at {first} has no marker any more"
        );
    }
    for (producer, batch) in history.last_of_producers(log.log_end()) {
        if batch.last_offset() < log.log_start() {
            continue;
        }
        let found = last.get(&producer).map(|header| header.base_offset);
        let expected = Some(batch.base_offset());
        ensure!(
            found == expected,
            "last batch of {producer} is {found:?} instead of {expected:?}"
        );
    }
    Ok(())
}

/// Runs a seed for so many steps.
pub(crate) fn run(seed: u64, steps: u64) -> Verdict {
    let mut run = Run::new(seed);
    for step in 0..steps {
        run.step()
            .map_err(|wrong| format!("seed {seed}, step {step}: {wrong}"))?;
    }
    Ok(())
}

#[test]
fn every_reader_sees_the_same_whatever_was_cleaned() {
    let seeds = 50 * soak();
    for seed in 1..=seeds {
        run(seed, 40).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    println!("compaction: {seeds} random logs, 40 steps each");
}
