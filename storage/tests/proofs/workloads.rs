//! The runs whose every crash is tried. Each is short: what counts is which calls follow each other.

use headrace_storage::{BatchBuilder, Compression};

use crate::driver::Driver;

/// A run, by name.
pub(crate) type Workload = (&'static str, fn(&mut Driver));

pub(crate) const APPEND: Workload = ("append", append);
pub(crate) const CACHED: Workload = ("cached", cached);
pub(crate) const ROLL: Workload = ("roll", roll);
pub(crate) const LOG_START: Workload = ("log start", log_start);
pub(crate) const TRUNCATE: Workload = ("truncate", truncate);
pub(crate) const TRUNCATE_SEALED: Workload = ("truncate sealed", truncate_sealed);
pub(crate) const REMOVE: Workload = ("remove", remove);
pub(crate) const RESTART: Workload = ("restart", restart);
pub(crate) const CLEAN_STOP: Workload = ("clean stop", clean_stop);
pub(crate) const STALE_CHECKPOINT: Workload = ("stale checkpoint", stale_checkpoint);
pub(crate) const FRAMES_IN_VALUES: Workload = ("frames in values", frames_in_values);
pub(crate) const BOUND: Workload = ("bound", bound);

/// All runs of one log but the large one.
pub(crate) const WORKLOADS: &[Workload] = &[
    APPEND,
    CACHED,
    ROLL,
    LOG_START,
    TRUNCATE,
    TRUNCATE_SEALED,
    REMOVE,
    RESTART,
    CLEAN_STOP,
    STALE_CHECKPOINT,
    FRAMES_IN_VALUES,
];

/// Groups of several sizes, with the next group written while one is being synced.
fn append(driver: &mut Driver) {
    driver.batch(&[3], 60);
    driver.settle();
    for round in 0..3 {
        for time in 0..3 {
            driver.batch(&[time, round], 60);
        }
        driver.write();
        driver.start_sync();
        driver.batch(&[9], 700);
        driver.write();
        driver.end_sync();
    }
    driver.settle();
    for _ in 0..3 {
        driver.batch(&[5], 60);
    }
    driver.write();
}

/// Write caching: several writes to a sync, more while it runs, and the end of the process before the next.
fn cached(driver: &mut Driver) {
    let writes = |driver: &mut Driver, times: [i64; 3]| {
        for time in times {
            driver.batch(&[time], 60);
            driver.write();
        }
    };
    for at_ms in 0..2 {
        writes(driver, [1, 4, 2]);
        driver.start_sync();
        driver.run_sync();
        writes(driver, [8, 3, 9]);
        driver.end_sync();
        writes(driver, [5, 5, 7]);
        driver.kill();
        writes(driver, [6, 1, 8]);
        driver.roll(at_ms);
        driver.write();
        driver.start_sync();
        driver.batch(&[4], 60);
        driver.end_sync();
    }
    writes(driver, [2, 2, 2]);
}

/// Segments that end and begin inside groups, some with nothing but a ROLL behind the header.
fn roll(driver: &mut Driver) {
    for at_ms in 0..3 {
        driver.batch(&[2, 8], 300);
        driver.batch(&[1], 60);
        driver.roll(at_ms);
        driver.batch(&[4], 60);
        driver.write();
        driver.start_sync();
        driver.batch(&[6], 200);
        driver.end_sync();
    }
    driver.settle();
    driver.roll(7);
    driver.settle();
    driver.batch(&[5], 60);
    driver.roll(8);
    driver.lead();
    driver.batch(&[5], 60);
    driver.batch(&[5], 60);
    driver.settle();
    driver.batch(&[5], 60);
    driver.write();
}

/// The log start moves inside a segment and past one.
fn log_start(driver: &mut Driver) {
    for at_ms in 0..2 {
        for time in 0..4 {
            driver.batch(&[time], 200);
        }
        driver.log_start(3 * at_ms + 1);
        driver.settle();
        driver.roll(at_ms);
        driver.batch(&[5], 60);
        driver.settle();
    }
    driver.log_start(7);
    driver.write();
}

/// Entries are taken back: staged ones, unsynced ones, durable ones; and others come in their place.
fn truncate(driver: &mut Driver) {
    for time in 0..5 {
        driver.batch(&[time], 60);
    }
    driver.settle();
    driver.batch(&[5], 60);
    driver.truncate(6);
    driver.batch(&[6], 60);
    driver.write();
    driver.batch(&[6], 60);
    driver.truncate(5);
    driver.lead();
    driver.batch(&[7], 60);
    driver.settle();
    driver.truncate(2);
    driver.lead();
    for _ in 0..3 {
        driver.batch(&[8], 60);
    }
    driver.write();
    driver.truncate(1);
    driver.lead();
    driver.batch(&[8], 60);
    driver.write();
}

/// A truncation reaches back into sealed segments: into one, to its very end, and to its very beginning.
/// What comes in their place has the same sizes.
fn truncate_sealed(driver: &mut Driver) {
    let segment = |driver: &mut Driver, time| {
        driver.batch(&[time], 60);
        driver.batch(&[time, time], 300);
        driver.roll(time);
        driver.settle();
    };
    // Each segment: two batches and the ROLL; the first has the no-op before them.
    for time in 0..3 {
        segment(driver, time);
    }
    driver.batch(&[4], 60);
    driver.settle();
    driver.truncate(6);
    driver.lead();
    segment(driver, 5);
    driver.batch(&[4], 60);
    driver.settle();
    driver.truncate(4);
    driver.lead();
    driver.batch(&[6], 60);
    driver.write();
    driver.truncate(3);
    driver.roll(9);
    driver.settle();
    segment(driver, 6);
    driver.batch(&[4], 60);
    driver.truncate(4);
    driver.batch(&[4], 60);
    driver.write();
}

/// Segments below the log start are removed.
fn remove(driver: &mut Driver) {
    for time in 0..4 {
        driver.batch(&[time], 60);
        driver.batch(&[time], 60);
        driver.roll(time);
        driver.settle();
    }
    driver.log_start(5);
    driver.settle();
    driver.remove_below_log_start();
    driver.batch(&[5], 60);
    driver.roll(5);
    driver.log_start(9);
    driver.settle();
    driver.reopen();
    driver.settle();
    driver.remove_below_log_start();
    driver.batch(&[5], 60);
    driver.write();
}

/// Clean and unclean ends of the process between groups.
fn restart(driver: &mut Driver) {
    driver.batch(&[1], 60);
    driver.settle();
    driver.batch(&[2], 60);
    driver.batch(&[2], 60);
    driver.write();
    driver.kill();
    driver.batch(&[3], 400);
    driver.settle();
    driver.batch(&[3], 100);
    driver.reopen();
    driver.roll(1);
    driver.batch(&[4], 60);
    driver.settle();
    driver.reopen();
    driver.batch(&[5], 60);
    driver.batch(&[5], 60);
    driver.write();
}

/// Clean stops leave a checkpoint, which the next start takes; what follows is not in it.
fn clean_stop(driver: &mut Driver) {
    driver.make_data_dir();
    driver.batch(&[1], 60);
    driver.roll(1);
    driver.batch(&[2], 60);
    driver.reopen();
    driver.batch(&[3], 60);
    driver.settle();
    driver.reopen();
    driver.batch(&[4], 60);
    driver.write();
    driver.kill();
    driver.batch(&[5], 60);
    driver.settle();
    driver.reopen();
    driver.truncate(8);
    driver.lead();
    driver.batch(&[6], 60);
    driver.write();
}

/// After a clean stop entries are replaced by others of the same sizes, so that the files look as the
/// checkpoint says; only that it is gone keeps it from being taken again.
fn stale_checkpoint(driver: &mut Driver) {
    driver.make_data_dir();
    let replaced = |driver: &mut Driver| {
        driver.lead();
        driver.batch(&[1], 60);
        driver.roll(1);
        driver.settle();
    };
    replaced(driver);
    driver.reopen();
    driver.truncate(1);
    replaced(driver);
    driver.kill();
}

/// Records whose values hold frames that would continue the log.
fn frames_in_values(driver: &mut Driver) {
    driver.batch(&[1], 60);
    driver.settle();
    for _ in 0..2 {
        let mut forged = BatchBuilder::new(Compression::None);
        forged.push(6, Some(b"key"), Some(b"forged"), &[]);
        let mut forged = forged.build();
        let (offset, epoch) = driver.next();
        forged.stamp(offset, epoch);
        let value = forged.to_bytes();
        let mut carrier = BatchBuilder::new(Compression::None);
        carrier.push(2, Some(b"key"), Some(&value), &[]);
        driver.stamped(carrier.build());
        driver.write();
        driver.settle();
    }
}

/// Groups that come near the bound of what may be unsynced. Large, so explored by itself.
fn bound(driver: &mut Driver) {
    driver.batch(&[1], 60);
    driver.settle();
    for _ in 0..3 {
        driver.batch(&[2], 3 << 19);
        driver.write();
    }
    driver.settle();
}
