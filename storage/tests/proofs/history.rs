//! What a log must hold: the entries that were staged, in order, and how many of them are promised.
//!
//! ```text
//! entry 1 | 2 | … | floor | … | last staged
//! '---- must be there ----'---- may be there, without gaps ----'
//! ```
//!
//! While the page cache survives, as it does when only the process ends, all that was written must be there.
//!
//! A truncation lowers the floor when it begins and cuts the line when it has returned. Every change is
//! noted with the number of calls recorded by then, so that [`History::at`] can say what counted at any
//! of them.

use headrace_storage::{Batch, Entry, LeaderEpoch, Offset};

/// Asked for in every recovered log, as look-ups by time.
const TIMES_ASKED: [i64; 3] = [1, 4, 8];

/// An entry as it must be found again.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) what: What,
}

impl Written {
    /// What was appended.
    pub(crate) fn entry(&self) -> Entry {
        match &self.what {
            What::Batch { batch, .. } => Entry::Batch(batch.clone()),
            What::LogStart(offset) => Entry::LogStart { offset: *offset },
            What::Control(entry) => entry.clone(),
        }
    }
}

/// What an entry is.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Batch {
        base: Offset,
        end: Offset,
        crc: u32,
        /// Offset and timestamp of each.
        records: Vec<(Offset, i64)>,
        batch: Batch,
    },
    LogStart(Offset),
    Control(Entry),
}

impl What {
    /// An entry about to be appended; batches are stamped already.
    pub(crate) fn of(entry: &Entry) -> What {
        match entry {
            Entry::Batch(batch) => What::of_batch(batch),
            Entry::LogStart { offset } => What::LogStart(*offset),
            other => What::Control(other.clone()),
        }
    }

    fn of_batch(batch: &Batch) -> What {
        let records = batch.records(1 << 20).expect("a batch of ours");
        What::Batch {
            base: batch.base_offset(),
            end: batch.last_offset().plus(1),
            crc: crc32c::crc32c(&batch.to_bytes()),
            batch: batch.clone(),
            records: records
                .iter()
                .map(|record| (record.offset, record.timestamp))
                .collect(),
        }
    }
}

/// A log as it shows itself: everything recovery must get right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) last_index: u64,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    /// The oldest entry that is given out; segments before it may be gone.
    pub(crate) first_index: u64,
    /// From there on: epoch, and the CRC of a batch's bytes.
    pub(crate) entries: Vec<(LeaderEpoch, Option<u32>)>,
    /// From the log start: base offset, epoch, CRC of all bytes.
    pub(crate) batches: Vec<(Offset, LeaderEpoch, u32)>,
    /// The first record at or after each of some times.
    pub(crate) times: Vec<Option<(Offset, i64)>>,
}

/// What counts at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) entries: Vec<Written>,
    /// So many must be there.
    pub(crate) floor: usize,
    /// So many must be there if nothing but the process has ended.
    pub(crate) written: usize,
}

impl Line {
    /// The log with only its first `count` entries, of which those below `first_index` are not given out.
    pub(crate) fn seen(&self, count: usize, first_index: u64) -> Seen {
        let mut seen = Seen {
            first_index,
            entries: Vec::new(),
            last_index: u64::try_from(count).expect("64 bits"),
            epoch: LeaderEpoch(0),
            log_start: Offset(0),
            log_end: Offset(0),
            batches: Vec::new(),
            times: Vec::new(),
        };
        let entries = &self.entries[..count];
        let given = usize::try_from(first_index - 1).expect("64 bits");
        for written in entries.iter().skip(given) {
            let crc = match written.what {
                What::Batch { crc, .. } => Some(crc),
                _ => None,
            };
            seen.entries.push((written.epoch, crc));
        }
        for written in entries {
            seen.epoch = written.epoch;
            match &written.what {
                What::Batch { end, .. } => seen.log_end = *end,
                What::LogStart(offset) => seen.log_start = seen.log_start.max(*offset),
                What::Control(_) => {}
            }
        }
        let mut records = Vec::new();
        for written in entries {
            if let What::Batch {
                base,
                end,
                crc,
                records: of_batch,
                ..
            } = &written.what
                && *end > seen.log_start
            {
                seen.batches.push((*base, written.epoch, *crc));
                records.extend(of_batch);
            }
        }
        records.retain(|(offset, _)| *offset >= seen.log_start);
        let first = |asked| records.iter().find(|(_, time)| *time >= asked).copied();
        seen.times = TIMES_ASKED.map(first).to_vec();
        seen
    }

    /// Whether a log may show so many entries after the end of its process.
    pub(crate) fn allows_of_cache(&self, seen: &Seen) -> Result<(), String> {
        let count = usize::try_from(seen.last_index).unwrap_or(usize::MAX);
        if count < self.written {
            return Err(format!(
                "the log ends with entry {count}, {} were written",
                self.written
            ));
        }
        Ok(())
    }

    /// Whether a log may show this.
    pub(crate) fn allows(&self, seen: &Seen) -> Result<(), String> {
        let count = usize::try_from(seen.last_index).unwrap_or(usize::MAX);
        if count < self.floor {
            return Err(format!(
                "the log ends with entry {count}, {} were promised",
                self.floor
            ));
        }
        if count > self.entries.len() {
            return Err(format!(
                "the log ends with entry {count}, {} were written",
                self.entries.len()
            ));
        }
        let wanted = self.seen(count, seen.first_index);
        if wanted != *seen {
            return Err(format!("the log is {seen:?}, written was {wanted:?}"));
        }
        Ok(())
    }
}

/// The times every look at a log asks for.
pub(crate) fn times_asked() -> [i64; 3] {
    TIMES_ASKED
}

#[derive(Clone, Debug)]
enum Event {
    Staged(Box<Written>),
    Promised(usize),
    InCache(usize),
    CacheInDoubt,
    TruncationBegun(usize),
    Truncated(usize),
}

impl Line {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Staged(written) => self.entries.push(Written::clone(written)),
            Event::Promised(count) => self.floor = self.floor.max(*count),
            Event::InCache(count) => self.written = self.written.max(*count),
            Event::CacheInDoubt => self.written = 0,
            Event::TruncationBegun(last) => {
                self.floor = self.floor.min(*last);
                self.written = self.written.min(*last);
            }
            Event::Truncated(last) => self.entries.truncate(*last),
        }
    }
}

/// Everything that happened to a log, with when.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    events: Vec<(usize, Event)>,
    now: Line,
}

impl History {
    fn note(&mut self, calls: usize, event: Event) {
        self.now.take(&event);
        self.events.push((calls, event));
    }

    pub(crate) fn staged(&mut self, calls: usize, written: Written) {
        self.note(calls, Event::Staged(Box::new(written)));
    }

    /// The first `count` entries are acknowledged.
    pub(crate) fn promised(&mut self, calls: usize, count: usize) {
        self.note(calls, Event::Promised(count));
    }

    /// The first `count` entries are written.
    pub(crate) fn in_cache(&mut self, calls: usize, count: usize) {
        self.note(calls, Event::InCache(count));
    }

    /// A call failed: the page cache may not hold what was written.
    pub(crate) fn cache_in_doubt(&mut self, calls: usize) {
        self.note(calls, Event::CacheInDoubt);
    }

    pub(crate) fn truncation_begun(&mut self, calls: usize, last: usize) {
        self.note(calls, Event::TruncationBegun(last));
    }

    pub(crate) fn truncated(&mut self, calls: usize, last: usize) {
        self.note(calls, Event::Truncated(last));
    }

    /// How many of the events have happened after so many calls.
    pub(crate) fn era(&self, calls: usize) -> usize {
        self.events.partition_point(|(at, _)| *at <= calls)
    }

    /// What counts after so many calls.
    pub(crate) fn at(&self, calls: usize) -> Line {
        let mut line = Line::default();
        for (_, event) in &self.events[..self.era(calls)] {
            line.take(event);
        }
        line
    }

    /// What counts now.
    pub(crate) fn now(&self) -> &Line {
        &self.now
    }
}
