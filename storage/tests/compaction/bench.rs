//! A log on a disk in memory, with what is needed to clean it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headrace_storage::compaction::{
    Cleaned, CleaningClock, CleaningConfig, CleaningError, CleaningMetrics, KeyMapBudget, Throttle,
    Tools, clean,
};
use headrace_storage::fs::MemoryDisk;
use headrace_storage::record::{ControlMarker, MarkerKind};
use headrace_storage::{
    Batch, BatchBuilder, Compression, Entry, Known, Log, LogConfig, LogIdentity, Offset, OpenError,
};
use uuid::Uuid;

use crate::reader::Reader;

pub(crate) const DIR: &str = "/topics/log";

pub(crate) fn identity() -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::from_u128(1),
        topic_id: Uuid::from_u128(2),
        partition: 3,
    }
}

/// A clock that the test sets; pauses move it.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<(i64, Duration)>);

impl Clock {
    pub(crate) fn at(now_ms: i64) -> Clock {
        Clock(Mutex::new((now_ms, Duration::ZERO)))
    }
}

impl CleaningClock for Clock {
    fn now_ms(&self) -> i64 {
        self.0.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().1
    }

    fn pause(&self, time: Duration) {
        self.0.lock().unwrap().1 += time;
    }
}

/// A log on a disk in memory, and the time.
pub(crate) struct Bench {
    pub(crate) disk: MemoryDisk,
    pub(crate) log: Log,
    pub(crate) config: CleaningConfig,
    pub(crate) budget: Arc<KeyMapBudget>,
    pub(crate) now_ms: i64,
    /// Where the first transaction without a marker begins.
    pub(crate) undecided_from: Option<Offset>,
}

pub(crate) fn open(disk: &MemoryDisk) -> Result<Log, OpenError> {
    let config = LogConfig {
        index_interval_bytes: 200,
        ..LogConfig::default()
    };
    let disk = Arc::new(disk.clone());
    Log::open(disk, Path::new(DIR), identity(), config, Known::default())
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let disk = MemoryDisk::new();
        let log = open(&disk).unwrap();
        let config = CleaningConfig {
            dirty_ratio_min: 0.0,
            delete_retention_ms: 1000,
            ..CleaningConfig::default()
        };
        Bench {
            disk,
            log,
            config,
            budget: KeyMapBudget::new(1 << 20),
            now_ms: 1_000_000,
            undecided_from: None,
        }
    }

    /// Appends a batch of (key, value) made by `builder`.
    pub(crate) fn append(&mut self, mut builder: BatchBuilder, records: &[(&str, Option<&str>)]) {
        for (key, value) in records {
            let (key, value) = (key.as_bytes(), value.map(str::as_bytes));
            builder.push(self.now_ms, Some(key), value, &[(b"h", Some(b"x"))]);
        }
        self.append_batch(builder.build());
    }

    pub(crate) fn append_batch(&mut self, mut batch: Batch) {
        batch.stamp(self.log.next_offset(), self.log.epoch());
        self.log.append(Entry::Batch(batch)).unwrap();
    }

    pub(crate) fn put(&mut self, records: &[(&str, Option<&str>)]) {
        self.append(BatchBuilder::new(Compression::None), records);
    }

    pub(crate) fn end_transaction(&mut self, producer: i64, kind: MarkerKind) {
        let marker = ControlMarker {
            kind,
            coordinator_epoch: 0,
        };
        let builder = BatchBuilder::new(Compression::None)
            .producer(producer, 0, -1)
            .control(marker, self.now_ms);
        self.append_batch(builder.build());
    }

    pub(crate) fn entry(&mut self, entry: Entry) {
        self.log.append(entry).unwrap();
    }

    /// Ends the segment.
    pub(crate) fn roll(&mut self) {
        let at_ms = self.now_ms;
        self.entry(Entry::Roll { at_ms });
        self.settle();
    }

    /// Writes and syncs everything, and says that it is committed.
    pub(crate) fn settle(&mut self) {
        self.log.write().unwrap();
        while let Some(point) = self.log.sync_point() {
            self.log.synced(point.run()).unwrap();
        }
        self.commit();
    }

    pub(crate) fn commit(&mut self) {
        let (last, end) = (self.log.last_index(), self.log.log_end());
        self.log.commit(last);
        self.log.raise_first_index(last.next());
        self.log.set_marks(end, self.undecided_from.unwrap_or(end));
    }

    /// Cleans once; what there is to clean is cleaned to its end.
    pub(crate) fn clean(&mut self) -> CleaningMetrics {
        let cleaned = self.try_clean().expect("something is dirty");
        cleaned.result.as_ref().unwrap();
        self.log.finish_cleaning(cleaned)
    }

    pub(crate) fn try_clean(&mut self) -> Option<Cleaned> {
        let job = self.log.begin_cleaning(&self.config, self.now_ms)?;
        let clock = Clock::at(self.now_ms);
        let tools = Tools {
            budget: &self.budget,
            throttle: &Throttle::new(None),
            clock: &clock,
            cancelled: &AtomicBool::new(false),
            seed: 7,
        };
        let log = &mut self.log;
        Some(clean(job, &tools, &mut |swap| log.swap_cleaned(swap)))
    }

    /// Cleans, and is cancelled when so many groups are swapped.
    pub(crate) fn clean_upto(&mut self, groups: u32) {
        let job = self.log.begin_cleaning(&self.config, self.now_ms);
        let job = job.expect("something is dirty");
        let cancelled = AtomicBool::new(false);
        let tools = Tools {
            budget: &self.budget,
            throttle: &Throttle::new(None),
            clock: &Clock::at(self.now_ms),
            cancelled: &cancelled,
            seed: 7,
        };
        let (mut swaps, log) = (0, &mut self.log);
        let cleaned = clean(job, &tools, &mut |swap| {
            swaps += 1;
            cancelled.store(swaps == groups, Ordering::Relaxed);
            log.swap_cleaned(swap)
        });
        assert!(matches!(cleaned.result, Err(CleaningError::Cancelled)));
        self.log.finish_cleaning(cleaned);
    }

    pub(crate) fn reopen(&mut self) {
        self.log = open(&self.disk).unwrap();
        self.commit();
    }

    /// All records a reader of committed ones sees from the log start: offset, key, value.
    pub(crate) fn records(&self) -> Vec<(i64, String, Option<String>)> {
        let view = self.log.reader().view();
        Reader::from(view.log_start()).read_to_end(&view)
    }

    pub(crate) fn keys(&self) -> Vec<(i64, String)> {
        let records = self.records().into_iter();
        records.map(|(offset, key, _)| (offset, key)).collect()
    }
}

pub(crate) const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// How many times the usual number of seeds: 1, or what `HEADRACE_SOAK` says.
pub(crate) fn soak() -> u64 {
    let asked = std::env::var("HEADRACE_SOAK").ok();
    asked.map_or(1, |times| times.parse().unwrap())
}
