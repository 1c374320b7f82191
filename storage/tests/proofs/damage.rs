//! Every byte of every file flips once: what is served is right, or refused with the file and the place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use headrace_storage::fs::{Disk, MemoryDisk};

use crate::driver::{DIR, Driver, ROOT, look, open, recover};
use crate::history::Seen;
use crate::seeded::{Seeded, soak};
use crate::workloads::WORKLOADS;

/// Of so many bytes one is flipped in `make test`.
const ONE_BYTE_IN: u64 = 5;

fn files(disk: &MemoryDisk) -> Vec<PathBuf> {
    let names = disk.list(DIR.as_ref()).expect("a disk without failures");
    let paths = names.iter().map(|name| [DIR, name].iter().collect());
    paths.collect()
}

/// A log at rest: everything is below the hint, so nothing may be cut.
fn at_rest(script: fn(&mut Driver)) -> (MemoryDisk, Seen) {
    let mut driver = Driver::new(MemoryDisk::new());
    script(&mut driver);
    driver.settle();
    let seen = open(&driver.disk).and_then(|log| look(&log));
    (driver.disk.fork(), seen.expect("a sound log"))
}

fn judge(disk: &MemoryDisk, path: &Path, whole: &Seen) -> Result<(), String> {
    let name = path.file_name().expect("a file").to_string_lossy();
    let look = || open(disk).and_then(|log| look(&log));
    let Ok(seen) = catch_unwind(AssertUnwindSafe(look)) else {
        return Err("a panic".to_owned());
    };
    match seen {
        Ok(seen) if seen == *whole => Ok(()),
        Ok(seen) => Err(format!("served {seen:?} instead of {whole:?}")),
        // What is refused must say where.
        Err(refused) if refused.contains(&*name) || !refused.starts_with("recovery") => Ok(()),
        Err(refused) => Err(format!("refusal does not name the file: {refused}")),
    }
}

/// Flips byte after byte; gives the number of flips and what was wrong first.
pub(crate) fn every_byte_may_flip() -> (u64, Result<(), String>) {
    let one_in = usize::try_from((ONE_BYTE_IN / soak()).max(1)).expect("64 bits");
    let mut seeded = Seeded::new(5);
    let mut flips = 0;
    for (name, script) in WORKLOADS {
        let (disk, whole) = at_rest(*script);
        for path in files(&disk) {
            let size = disk.bytes_of(&path).expect("a file").len();
            for at in 0..size {
                if !seeded.one_in(one_in) {
                    continue;
                }
                flips += 1;
                let damaged = disk.fork();
                let bit = 1 << seeded.below(8);
                damaged.damage(&path, |bytes| bytes[at] ^= bit);
                if let Err(wrong) = judge(&damaged, &path, &whole) {
                    let place = format!("byte {at} of {} flipped by {bit:#x}", path.display());
                    return (flips, Err(format!("{name}: {place}: {wrong}")));
                }
            }
        }
    }
    (flips, Ok(()))
}

/// Damages the head of a frame that has more than a group behind it, in a log without a hint: a power cut
/// does not leave that. Gives what was wrong.
pub(crate) fn head_far_before_the_end_may_be_damaged() -> (u64, Result<(), String>) {
    let mut driver = Driver::new(MemoryDisk::new());
    for _ in 0..4 {
        driver.batch(&[1], 3 << 19);
        driver.settle();
    }
    let disk = driver.disk;
    let path = Path::new(DIR).join("00000000000000000000-1.log");
    forget_hint(&disk);
    // The segment's header, the no-op, the first batch.
    for frame in [89, 120] {
        for byte in [8, 11, 16] {
            let damaged = disk.fork();
            damaged.damage(&path, |bytes| bytes[frame + byte] ^= 0x55);
            if let Ok(log) = open(&damaged) {
                let wrong = format!(
                    "byte {byte} of the frame at {frame} damaged: cut to {}",
                    log.log_end()
                );
                return (1, Err(wrong));
            }
        }
    }
    (6, Ok(()))
}

/// Puts the index of other entries beside an unsealed segment: it must not be gone on from.
pub(crate) fn index_may_be_of_other_entries() -> (u64, Result<(), String>) {
    let [old, new] = [1, 2].map(|term| {
        let mut driver = Driver::in_term(MemoryDisk::new(), term);
        for _ in 0..4 {
            driver.batch(&[1], 3 << 19);
            driver.settle();
        }
        driver.disk
    });
    let index = Path::new(DIR).join("00000000000000000000-1.index");
    let stale = old
        .bytes_of(&index)
        .expect("an index of the first megabytes");
    let whole = recover(&new.fork()).expect("a sound log");
    new.damage(&index, |bytes| *bytes = stale);
    let result = match recover(&new) {
        Ok(seen) if seen == whole => Ok(()),
        other => Err(format!("with another index the log is {other:?}")),
    };
    (1, result)
}

/// Takes away what says how far the log was durable.
fn forget_hint(disk: &MemoryDisk) {
    let journal = Path::new(ROOT).join("votes-0");
    disk.remove(&journal).expect("a journal");
}

#[test]
fn damage_far_before_the_end_is_refused_without_a_hint() {
    let (_, result) = head_far_before_the_end_may_be_damaged();
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn index_of_other_entries_is_not_gone_on_from() {
    let (_, result) = index_may_be_of_other_entries();
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn flipped_byte_is_found_or_does_not_matter() {
    let (flips, result) = every_byte_may_flip();
    println!("damage: {flips} flips");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}
