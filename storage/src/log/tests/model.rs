//! Random operations on a log, compared with a `Vec` after each.
//!
//! The model keeps every batch that was staged, how many of them are written, and how many are flushed.
//! A crash keeps an arbitrary part of what was not synced; the log must come back as a prefix of the
//! model that contains everything flushed.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::fs::Surviving;

#[derive(Clone, Debug)]
enum Step {
    Append {
        times: Vec<i64>,
        value_bytes: usize,
    },
    NoOp,
    Roll,
    Write,
    /// Takes a sync point and leaves it outstanding.
    StartSync,
    /// Runs the outstanding sync point, and hands it back or not (a crash comes between).
    EndSync {
        noticed: bool,
    },
    /// A power cut; each unsynced write is kept, lost or torn by these numbers.
    PowerCut {
        names: bool,
        fates: Vec<u8>,
    },
    /// The process dies, the page cache stays.
    Kill,
    Close,
    Read {
        from: prop::sample::Index,
        upto: prop::sample::Index,
        bytes_max: usize,
        at_least_one: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let read = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0_usize..3000,
        any::<bool>(),
    );
    prop_oneof![
        8 => (vec(0_i64..50, 1..4), 0_usize..400)
            .prop_map(|(times, value_bytes)| Step::Append { times, value_bytes }),
        1 => Just(Step::NoOp),
        1 => Just(Step::Roll),
        5 => Just(Step::Write),
        3 => Just(Step::StartSync),
        4 => proptest::bool::weighted(0.8).prop_map(|noticed| Step::EndSync { noticed }),
        1 => (any::<bool>(), vec(any::<u8>(), 8)).prop_map(|(names, fates)| Step::PowerCut { names, fates }),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
        5 => read.prop_map(|(from, upto, bytes_max, at_least_one)| Step::Read { from, upto, bytes_max, at_least_one }),
    ]
}

struct World {
    disk: MemoryDisk,
    log: Log,
    point: Option<SyncPoint>,
    staged: Vec<Batch>,
    term: i32,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes_max: 4000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

fn start(disk: &MemoryDisk, term: i32, hint: Option<Hint>) -> Log {
    let known = Known {
        hint,
        ..Known::default()
    };
    let mut log = Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        identity(),
        config(),
        known,
    )
    .unwrap();
    log.append(Entry::NoOp {
        term: LeaderEpoch(term),
    })
    .unwrap();
    log
}

impl World {
    fn new() -> World {
        let disk = MemoryDisk::new();
        let log = start(&disk, 1, None);
        World {
            disk,
            log,
            point: None,
            staged: Vec::new(),
            term: 1,
        }
    }

    fn restart(&mut self, disk: MemoryDisk) {
        let flushed = self.log.flushed();
        self.disk = disk;
        self.point = None;
        self.term += 1;
        // the journal may have kept any hint; the newest asks for the most
        let hint = Some(self.log.hint());
        self.log = start(&self.disk, self.term, hint);
        let end = self.log.log_end();
        assert!(end >= flushed, "flushed to {flushed}, back at {end}");
        self.staged.retain(|batch| batch.base_offset() < end);
        assert_eq!(
            self.staged
                .last()
                .map_or(Offset(0), |batch| batch.last_offset().plus(1)),
            end
        );
        assert_eq!(self.log.flushed(), end);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append { times, value_bytes } => {
                if self.log.should_roll(value_bytes * times.len(), 0) {
                    self.log.append(Entry::Roll { at_ms: 0 }).unwrap();
                }
                let batch = append(&mut self.log, &times, value_bytes);
                self.staged.push(batch);
            }
            Step::NoOp => {
                self.term += 1;
                self.log
                    .append(Entry::NoOp {
                        term: LeaderEpoch(self.term),
                    })
                    .unwrap();
            }
            Step::Roll => {
                self.log.append(Entry::Roll { at_ms: 0 }).unwrap();
            }
            Step::Write => {
                let end = self.log.write().unwrap();
                assert_eq!(end, self.log.log_end());
            }
            Step::StartSync => {
                if let Some(point) = self.log.sync_point() {
                    assert!(self.point.is_none());
                    self.point = Some(point);
                }
            }
            Step::EndSync { noticed } => self.end_sync(noticed),
            Step::PowerCut { names, fates } => self.power_cut(names, fates),
            Step::Kill => self.restart(self.disk.clone()),
            Step::Close => self.close(),
            Step::Read {
                from,
                upto,
                bytes_max,
                at_least_one,
            } => {
                let end = usize::try_from(self.log.log_end().0).unwrap();
                let from = Offset(i64::try_from(from.index(end + 1)).unwrap());
                let upto = Offset(i64::try_from(upto.index(end + 1)).unwrap());
                self.compare(from, upto, bytes_max, at_least_one);
            }
        }
        self.compare(self.log.log_start(), self.log.log_end(), usize::MAX, false);
        self.check_order();
    }

    fn end_sync(&mut self, noticed: bool) {
        let Some(done) = self.point.take().map(SyncPoint::run) else {
            return;
        };
        if noticed {
            self.log.synced(done).unwrap();
        } else {
            drop(done);
            self.restart(self.disk.clone());
        }
    }

    fn power_cut(&mut self, names: bool, fates: Vec<u8>) {
        let mut fates = fates.into_iter().cycle();
        let disk = self
            .disk
            .crash_keeping(names, &mut |_, len| match fates.next() {
                Some(fate) if fate < 80 => Surviving::None,
                Some(fate) if fate < 160 => Surviving::All,
                Some(fate) => Surviving::First(len * usize::from(fate - 160) / 100),
                None => Surviving::None,
            });
        self.restart(disk);
    }

    fn close(&mut self) {
        self.end_sync(true);
        let elsewhere = Arc::new(MemoryDisk::new());
        let other = Path::new("/other");
        let other = Log::open(elsewhere, other, identity(), config(), Known::default()).unwrap();
        std::mem::replace(&mut self.log, other).close().unwrap();
        let all = self.staged.len();
        self.restart(self.disk.crash());
        assert_eq!(self.staged.len(), all, "a closed log is complete");
    }

    /// Reads a range and compares it with the model.
    fn compare(&self, from: Offset, upto: Offset, bytes_max: usize, at_least_one: bool) {
        let view = self.log.reader().view();
        let chunks = view.read(from, upto, bytes_max, at_least_one).unwrap();
        let read = batches_of(&chunks);
        let mut wanted = self
            .staged
            .iter()
            .filter(|batch| batch.last_offset() >= from && batch.last_offset() < upto);
        let mut left = bytes_max;
        for batch in &read {
            assert_eq!(Some(batch), wanted.next());
            assert_eq!(view.epoch_at(batch.base_offset()), batch.header().epoch);
            assert!(batch.size_bytes() <= left || (at_least_one && *batch == read[0]));
            left = left.saturating_sub(batch.size_bytes());
        }
        let next = wanted.next().map(Batch::size_bytes);
        let fits = next.is_some_and(|size| size <= left || (at_least_one && read.is_empty()));
        // A read may end early at a control frame or at the end of a segment, but never empty-handed.
        assert!(
            !fits || !read.is_empty(),
            "nothing read although a batch fits"
        );
        assert!(!fits || bytes_max < usize::MAX, "not everything read");
    }

    fn check_order(&self) {
        let view = self.log.reader().view();
        assert!(view.log_start() <= view.last_stable());
        assert!(view.last_stable() <= view.high_watermark());
        assert!(view.high_watermark() <= view.log_end());
        assert!(self.log.flushed() <= self.log.log_end());
        assert!(self.log.log_end() <= self.log.next_offset());
        let mut headers = Vec::new();
        self.log
            .replay(Offset(0), &mut |header| headers.push(header.base_offset))
            .unwrap();
        let written = self.staged.iter().map(Batch::base_offset);
        assert!(
            written
                .take_while(|base| *base < view.log_end())
                .eq(headers)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn log_behaves_as_a_vec(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
    }
}
