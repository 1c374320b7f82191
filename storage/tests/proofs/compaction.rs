//! Compaction: each crash leaves the files before or after a swap, and no reader, wherever it stands, makes
//! anything else of a compacted log than of the log as it was written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use headrace_storage::compaction::{
    CleaningClock, CleaningConfig, KeyMapBudget, Throttle, Tools, clean,
};
use headrace_storage::fs::{MemoryDisk, Trace};
use headrace_storage::record::{ControlMarker, MarkerKind};
use headrace_storage::{Batch, BatchBuilder, Compression, EntryIndex, LogView, Offset};

use crate::crash_states::SEED;
use crate::driver::{Driver, batches_of, chain, open};
use crate::exchange::Exchange;
use crate::explore::{Depth, Explored, explore};
use crate::history::What;
use crate::seeded::{Seeded, soak};

/// How long tombstones and markers stay.
const DELETE_RETENTION_MS: i64 = 1000;

/// A clock that stands still.
struct Still(i64);

impl CleaningClock for Still {
    fn now_ms(&self) -> i64 {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn pause(&self, _: Duration) {}
}

fn config() -> CleaningConfig {
    CleaningConfig {
        dirty_ratio_min: 0.0,
        delete_retention_ms: DELETE_RETENTION_MS,
        ..CleaningConfig::default()
    }
}

/// Cleans all that may be cleaned; `swapped` is called after each exchange of files.
fn clean_all(driver: &mut Driver, now_ms: i64, swapped: &mut dyn FnMut(&MemoryDisk)) -> bool {
    let disk = driver.disk.clone();
    let log = driver.log.as_mut().expect("opened");
    let Some(job) = log.begin_cleaning(&config(), now_ms) else {
        return false;
    };
    let tools = Tools {
        budget: &KeyMapBudget::new(1 << 20),
        throttle: &Throttle::new(None),
        clock: &Still(now_ms),
        cancelled: &AtomicBool::new(false),
        seed: 7,
    };
    let cleaned = clean(job, &tools, &mut |swap| {
        let taken = log.swap_cleaned(swap);
        swapped(&disk);
        taken
    });
    cleaned.result.as_ref().expect("a disk without failures");
    log.finish_cleaning(cleaned);
    true
}

/// Who writes: no producer, an idempotent one, or one in a transaction.
#[derive(Clone, Copy, Debug, Default)]
struct Producer {
    sequence: i32,
    in_transaction: bool,
}

/// Writes a keyed log, with what is open at any time known.
struct Shop {
    driver: Driver,
    producers: HashMap<i64, Producer>,
    first_open: HashMap<i64, Offset>,
    value: u32,
}

impl Shop {
    fn new(disk: MemoryDisk) -> Shop {
        Shop {
            driver: Driver::new(disk),
            producers: HashMap::new(),
            first_open: HashMap::new(),
            value: 0,
        }
    }

    /// A batch of one value, or a tombstone, per key; in the producer's transaction if `transactional`.
    fn put(
        &mut self,
        producer: i64,
        transactional: bool,
        keys: &[(&str, bool)],
        codec: Compression,
    ) {
        let state = self.producers.entry(producer).or_default();
        let mut builder = BatchBuilder::new(codec).producer(producer, 0, state.sequence);
        if transactional {
            builder = builder.transactional();
            state.in_transaction = true;
            let next = self.driver.next().0;
            self.first_open.entry(producer).or_insert(next);
        }
        for (key, delete) in keys {
            self.value += 1;
            let value = format!("value {}", self.value);
            let value = (!delete).then_some(value.as_bytes());
            builder.push(i64::from(self.value), Some(key.as_bytes()), value, &[]);
            state.sequence += 1;
        }
        self.driver.stamped(builder.build());
    }

    fn end(&mut self, producer: i64, kind: MarkerKind) {
        let marker = ControlMarker {
            kind,
            coordinator_epoch: 1,
        };
        let builder = BatchBuilder::new(Compression::None).producer(producer, 0, -1);
        self.driver.stamped(builder.control(marker, 5).build());
        self.producers.entry(producer).or_default().in_transaction = false;
        self.first_open.remove(&producer);
    }

    fn roll(&mut self) {
        self.driver.roll(1);
    }

    /// Makes all durable and committed; what is open holds the last stable offset back.
    fn settle(&mut self) -> Offset {
        self.driver.settle();
        self.driver.commit();
        let log = self.driver.log.as_mut().expect("opened");
        let end = log.log_end();
        let stable = self.first_open.values().copied().min().unwrap_or(end);
        log.raise_first_index(EntryIndex(log.flushed_index().0 + 1));
        log.set_marks(end, stable);
        stable
    }
}

/// A reader of committed records: where it stands, what it made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reader {
    position: Offset,
    state: BTreeMap<String, String>,
    aborting: HashSet<i64>,
}

impl Reader {
    fn take(&mut self, batch: &Batch, is_aborted: bool) {
        let from = self.position;
        self.position = batch.last_offset().plus(1);
        if is_aborted || batch.is_control() {
            return;
        }
        for record in batch.records(1 << 20).expect("a batch of ours") {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let key = record.key.as_deref().map(text).unwrap_or_default();
            if record.offset < from {
                continue;
            }
            match record.value.as_deref().map(text) {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
    }

    /// Reads on to the last stable offset as a client does, by the list of aborted transactions.
    fn read_on(&mut self, view: &LogView) -> Result<(), String> {
        let upto = view.last_stable();
        let aborted = view.aborted_transactions(self.position, upto);
        let mut aborted = aborted.map_err(|error| chain(&error))?;
        aborted.sort_by_key(|of| of.first_offset);
        let mut aborted = aborted.into_iter().peekable();
        for batch in batches_of(view, upto)? {
            if batch.last_offset() < self.position {
                continue;
            }
            while let Some(begun) = aborted.next_if(|of| of.first_offset <= batch.last_offset()) {
                if begun.last_offset >= batch.base_offset() {
                    self.aborting.insert(begun.producer_id);
                }
            }
            let producer = batch.header().producer_id;
            if let Some(marker) = batch.control_marker()
                && marker.kind == MarkerKind::Abort
            {
                self.aborting.remove(&producer);
            }
            let void = batch.is_transactional() && self.aborting.contains(&producer);
            self.take(&batch, void);
        }
        Ok(())
    }
}

/// The readers at every batch of the log as it was written, each with the state it had there; the last is
/// at the stable offset.
fn readers(driver: &Driver, stable: Offset) -> Vec<Reader> {
    let entries = &driver.history.now().entries;
    let batches = entries.iter().filter_map(|written| match &written.what {
        What::Batch { batch, .. } => Some(batch),
        _ => None,
    });
    let batches: Vec<&Batch> = batches.collect();
    let mut found = vec![Reader::default()];
    for (at, batch) in batches.iter().enumerate() {
        if batch.base_offset() >= stable {
            break;
        }
        let producer = batch.header().producer_id;
        let mut later = batches[at..].iter();
        let end = later.find_map(|later| {
            let marker = later.control_marker()?;
            (later.header().producer_id == producer).then_some(marker.kind)
        });
        let void =
            batch.is_transactional() && !batch.is_control() && end == Some(MarkerKind::Abort);
        let mut next = found.last().expect("it begins with one").clone();
        next.take(batch, void);
        let aborting = end == Some(MarkerKind::Abort) && batch.is_transactional();
        if aborting && !batch.is_control() {
            next.aborting.insert(producer);
        } else if batch.is_control() {
            next.aborting.remove(&producer);
        }
        found.push(next);
    }
    found
}

/// Where each producer's sequence stands.
fn sequences(batches: impl Iterator<Item = Batch>) -> BTreeMap<i64, i32> {
    let mut found = BTreeMap::new();
    for batch in batches.filter(|batch| !batch.is_control()) {
        let header = *batch.header();
        let count = header.last_offset().0 - header.base_offset.0;
        let last = header.base_sequence + i32::try_from(count).expect("small");
        found.insert(header.producer_id, last);
    }
    found
}

/// Compares a log with what every reader must make of it.
fn judge(
    view: &LogView,
    readers: &[Reader],
    sequences_wanted: &BTreeMap<i64, i32>,
) -> Result<(), String> {
    let wanted = &readers.last().expect("it begins with one").state;
    for reader in readers {
        let mut on = reader.clone();
        on.read_on(view)?;
        if on.state != *wanted {
            let from = reader.position;
            return Err(format!(
                "a reader from {from} on ends at {} with {:?} instead of {wanted:?} at {}",
                on.position,
                on.state,
                view.last_stable()
            ));
        }
    }
    let found = sequences(batches_of(view, view.log_end())?.into_iter());
    if found != *sequences_wanted {
        return Err(format!(
            "sequences stand at {found:?} instead of {sequences_wanted:?}"
        ));
    }
    Ok(())
}

/// Writes at random, cleans now and then, and compares.
fn random_run(seed: u64) -> Result<u64, String> {
    let mut seeded = Seeded::new(seed);
    let mut shop = Shop::new(MemoryDisk::new());
    let mut now_ms = 100_000;
    let mut cleanings = 0;
    for _ in 0..12 {
        for _ in 0..seeded.below(20) + 5 {
            random_write(&mut shop, &mut seeded);
        }
        shop.roll();
        let stable = shop.settle();
        let expected = readers(&shop.driver, stable);
        let view = shop.driver.log.as_ref().expect("opened").reader().view();
        let sequences = sequences(batches_of(&view, view.log_end())?.into_iter());
        judge(&view, &expected, &sequences).map_err(|wrong| format!("before: {wrong}"))?;
        // Tombstones stay long enough for every reader: no more than the retention passes in a run.
        now_ms += DELETE_RETENTION_MS / 20;
        cleanings += u64::from(clean_all(&mut shop.driver, now_ms, &mut |_| {}));
        let log = shop.driver.log.as_mut().expect("opened");
        judge(&log.reader().view(), &expected, &sequences)?;
        // And as a start finds it.
        let mut found = open(&shop.driver.disk.fork())?;
        found.commit(found.last_index());
        found.set_marks(found.log_end(), stable);
        judge(&found.reader().view(), &expected, &sequences)?;
    }
    Ok(cleanings)
}

fn random_write(shop: &mut Shop, seeded: &mut Seeded) {
    const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let codec = [Compression::None, Compression::Lz4, Compression::Zstd][seeded.below(3)];
    let producer = i64::try_from(seeded.below(3)).expect("small") + 1;
    let open = shop.first_open.contains_key(&producer);
    match seeded.below(10) {
        0 if open => shop.end(producer, MarkerKind::Abort),
        1 if open => shop.end(producer, MarkerKind::Commit),
        2 => shop.roll(),
        kind => {
            let count = seeded.below(3) + 1;
            let keys: Vec<(&str, bool)> = (0..count)
                .map(|_| (KEYS[seeded.below(KEYS.len())], seeded.one_in(4)))
                .collect();
            // A producer writes transactions or not; once one is open it goes on.
            shop.put(producer, producer > 1 && (open || kind > 4), &keys, codec);
        }
    }
}

/// Random logs, cleaned again and again; gives the cleanings.
pub(crate) fn readers_agree() -> (u64, Result<(), String>) {
    let mut cleanings = 0;
    for seed in 0..12 * soak() {
        match random_run(seed) {
            Ok(done) => cleanings += done,
            Err(wrong) => return (cleanings, Err(format!("seed {seed}: {wrong}"))),
        }
    }
    (cleanings, Ok(()))
}

/// Two cleanings, the second of what the first has written and more.
fn cleaned() -> [(Exchange, Trace); 2] {
    let mut shop = Shop::new(MemoryDisk::new());
    for at in 0..3 {
        shop.put(1, false, &[("a", false), ("b", at == 1)], Compression::None);
        shop.put(2, true, &[("c", false)], Compression::None);
        shop.end(
            2,
            if at == 1 {
                MarkerKind::Abort
            } else {
                MarkerKind::Commit
            },
        );
        shop.roll();
    }
    let first = cleaning(&mut shop, 1000);
    shop.put(1, false, &[("b", false), ("d", true)], Compression::None);
    shop.roll();
    [first, cleaning(&mut shop, 2000)]
}

/// One cleaning, recorded.
fn cleaning(shop: &mut Shop, now_ms: i64) -> (Exchange, Trace) {
    shop.settle();
    let disk = shop.driver.disk.clone();
    let mut exchange = Exchange::begin(&disk);
    let cleaned = clean_all(&mut shop.driver, now_ms, &mut |disk| exchange.through(disk));
    assert!(cleaned, "nothing was due");
    (exchange, disk.take_trace())
}

/// Every crash of both cleanings.
pub(crate) fn every_crash() -> (Explored, Result<(), String>) {
    let mut total = Explored::default();
    for (exchange, trace) in cleaned() {
        let (explored, result) = explore(&exchange, &trace, Depth::usual(), SEED);
        total = total.and(explored);
        if result.is_err() {
            return (total, result);
        }
    }
    (total, Ok(()))
}

#[test]
fn crash_while_a_log_is_compacted_leaves_it_before_or_after_a_swap() {
    let (explored, result) = every_crash();
    println!("crash states of compaction: {explored}");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn readers_make_the_same_of_a_compacted_log() {
    let (cleanings, result) = readers_agree();
    println!("compaction: {cleanings} cleanings");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}
