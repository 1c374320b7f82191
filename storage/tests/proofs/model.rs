//! Random operations on a log, compared with a plain list of its entries; it starts anew at random, after
//! power cuts that leave anything, after kills, and after closing.

use headrace_storage::fs::{MemoryDisk, Unsynced};
use headrace_storage::{Entry, EntryIndex, Log, Offset, SegmentPin};

use crate::driver::{Driver, batches_of, look, shown};
use crate::fates::{Effort, plans};
use crate::history::What;
use crate::seeded::{Seeded, soak};

/// Steps of one run.
const STEPS: usize = 100_000;
/// Runs of `make test`.
const RUNS: u64 = 2;

struct World {
    driver: Driver,
    seeded: Seeded,
    pin: Option<SegmentPin>,
    committed: usize,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    appended: u64,
    power_cuts: u64,
    kills: u64,
    closed: u64,
    truncations: u64,
    segments_removed: u64,
    ranges_read: u64,
}

fn index(at: usize) -> EntryIndex {
    EntryIndex(u64::try_from(at).expect("64 bits"))
}

impl World {
    fn new(seed: u64) -> World {
        World {
            driver: Driver::new(MemoryDisk::new()),
            seeded: Seeded::new(seed),
            pin: None,
            committed: 0,
            counts: Counts::default(),
        }
    }

    fn log(&mut self) -> &mut Log {
        self.driver.log.as_mut().expect("a log that recovers")
    }

    fn step(&mut self) {
        match self.seeded.below(100) {
            0..=29 => self.append(),
            30..=49 => self.driver.write(),
            50..=61 => self.driver.start_sync_unless_outstanding(),
            62..=76 => self.driver.end_sync(),
            77..=81 => self.roll(),
            82..=83 => self.driver.lead(),
            84..=86 => self.commit(),
            87..=88 => self.move_log_start(),
            89..=90 => self.remove(),
            91..=92 => self.truncate(),
            93..=94 => self.pin(),
            95..=97 => self.read(),
            98 => self.entries(),
            _ => self.restart(),
        }
    }

    fn append(&mut self) {
        let records = self.seeded.below(3) + 1;
        let times = (0..records).map(|_| i64::try_from(self.seeded.below(12)).expect("small"));
        let times: Vec<i64> = times.collect();
        let bytes = self.seeded.below(300);
        if self.log().should_roll(bytes * records + 100, 0) {
            self.roll();
        }
        self.driver.batch(&times, bytes);
        self.counts.appended += 1;
    }

    fn roll(&mut self) {
        let at_ms = i64::try_from(self.seeded.below(1000)).expect("small");
        self.driver.roll(at_ms);
    }

    fn commit(&mut self) {
        let line = self.driver.history.now();
        let upto = self.committed + self.seeded.below(line.floor + 1 - self.committed);
        self.committed = upto;
        self.log().commit(index(upto));
    }

    fn move_log_start(&mut self) {
        // Most of the log goes, so that it stays short.
        let end = self.driver.next().0.0;
        let back = i64::try_from(self.seeded.below(40)).expect("small");
        self.driver.log_start((end - back).max(0));
    }

    fn remove(&mut self) {
        let committed = index(self.committed);
        let log = self.log();
        log.raise_first_index(committed);
        let removed = log.remove_below_log_start().expect("a sound disk");
        assert!(self.pin.is_none() || removed == 0, "a pin holds nothing");
        self.counts.segments_removed += removed;
    }

    fn truncate(&mut self) {
        if self.log().is_syncing() {
            return;
        }
        let first = usize::try_from(self.log().first_index().0).expect("64 bits");
        let least = self.committed.max(first - 1);
        let staged = self.driver.history.now().entries.len();
        if staged > least {
            let last = least + self.seeded.below(staged - least);
            self.driver.truncate(last);
            self.driver.lead();
            self.counts.truncations += 1;
        }
    }

    fn pin(&mut self) {
        self.pin = match self.pin.take() {
            None => Some(self.log().pin()),
            Some(_) => None,
        };
    }

    fn restart(&mut self) {
        self.pin = None;
        match self.seeded.below(3) {
            0 => {
                self.driver.end_sync();
                self.driver.reopen();
                self.counts.closed += 1;
            }
            1 => {
                self.driver.kill();
                self.counts.kills += 1;
            }
            _ => {
                let at_stake: Vec<Unsynced> = self.driver.disk.unsynced();
                let effort = Effort {
                    samples: 4,
                    plans_max: usize::MAX,
                };
                let mut plans = plans(&at_stake, &mut self.seeded, effort);
                let plan = plans.swap_remove(self.seeded.below(plans.len()));
                self.driver.disk = self.driver.disk.crash_as(&plan.0, plan.1);
                self.driver.kill();
                self.counts.power_cuts += 1;
            }
        }
        assert!(
            self.driver.failures.is_empty(),
            "{:?}",
            self.driver.failures
        );
        let committed = index(self.committed);
        self.log().commit(committed);
        self.driver.settle();
        let committed = self.driver.history.now().floor;
        self.committed = committed;
        self.log().commit(index(committed));
        let log = self.driver.log.as_ref().expect("opened");
        let seen = look(log).expect("a sound log");
        self.driver.history.now().allows(&seen).expect("the model");
    }

    /// Reads any range, and compares what came with the list.
    fn read(&mut self) {
        self.counts.ranges_read += 1;
        let view = self.log().reader().view();
        let (start, end) = (view.log_start().0, view.log_end().0);
        let place = |seeded: &mut Seeded| {
            let length = usize::try_from(end - start).expect("in order") + 1;
            Offset(start + i64::try_from(seeded.below(length)).expect("small"))
        };
        let (from, upto) = (place(&mut self.seeded), place(&mut self.seeded));
        let bytes_max = self.seeded.below(3000);
        let chunks = view.read(from, upto, bytes_max, true).expect("in range");
        let found = batches_in(&chunks);
        let entries = &self.driver.history.now().entries;
        let wanted = entries.iter().filter_map(|written| match &written.what {
            What::Batch { base, end, crc, .. } if *end > from && *end <= upto => {
                Some((*base, written.epoch, *crc))
            }
            _ => None,
        });
        let wanted: Vec<_> = wanted.take(found.len() + 1).collect();
        assert!(
            wanted.starts_with(&found),
            "{found:?} instead of {wanted:?}"
        );
        assert!(
            found.len() == wanted.len() || !found.is_empty(),
            "nothing read"
        );
        let all = batches_of(&view, view.log_end()).expect("a sound log");
        assert!(
            all.first()
                .is_none_or(|batch| batch.last_offset().0 >= start)
        );
    }

    /// Asks for any range of entries.
    fn entries(&mut self) {
        let log = self.driver.log.as_ref().expect("opened");
        let (first, last) = (log.first_index().0, log.last_index().0);
        if first > last {
            return;
        }
        let length = usize::try_from(last - first).expect("in order") + 1;
        let from = first + u64::try_from(self.seeded.below(length)).expect("64 bits");
        let found = log.entries(EntryIndex(from), EntryIndex(last + 1), 2000);
        let found = found.expect("in range");
        assert!(!found.is_empty());
        let entries = &self.driver.history.now().entries;
        for (at, stored) in (from..).zip(&found) {
            let written = &entries[usize::try_from(at).expect("64 bits") - 1];
            assert_eq!((stored.index.0, stored.epoch), (at, written.epoch));
            if let (Entry::Batch(found), What::Batch { batch, .. }) = (&stored.entry, &written.what)
            {
                assert_eq!(found, batch);
            }
        }
    }
}

fn batches_in(
    chunks: &[headrace_storage::Chunk],
) -> Vec<(Offset, headrace_storage::LeaderEpoch, u32)> {
    let bytes = chunks
        .iter()
        .map(|chunk| chunk.to_bytes().expect("a sound disk"));
    let found = bytes.flat_map(headrace_storage::record::batches);
    found
        .map(|batch| shown(&batch.expect("a sound batch")))
        .collect()
}

#[test]
fn log_behaves_as_a_list() {
    for seed in 0..RUNS * soak() {
        println!("model: seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        println!("model: seed {seed}, {STEPS} steps: {:?}", world.counts);
    }
}
