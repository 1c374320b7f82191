//! Every byte of every file flips once: what is served is right, or refused with the file and the place.

use std::path::{Path, PathBuf};

use headrace_storage::fs::{Disk, MemoryDisk};

use crate::driver::{DIR, Driver, look, open};
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
    match open(disk).and_then(|log| look(&log)) {
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

#[test]
fn flipped_byte_is_found_or_does_not_matter() {
    let (flips, result) = every_byte_may_flip();
    println!("damage: {flips} flips");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}
