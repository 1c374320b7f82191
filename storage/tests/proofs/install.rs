//! A snapshot's files in the place of a log: fetched in pieces, verified, exchanged.

use std::path::Path;
use std::sync::Arc;

use headrace_storage::fs::{MemoryDisk, Trace};
use headrace_storage::manifest::{InstallError, PinnedLog, Receiver};

use crate::crash_states::SEED;
use crate::driver::{DIR, Driver, chain, lower_hint};
use crate::exchange::Exchange;
use crate::explore::{Depth, Explored, explore};
use crate::seeded::soak;
use crate::workloads::{REMOVE, ROLL};

/// A log whose last entries are not the source's.
fn old() -> MemoryDisk {
    let mut driver = Driver::new(MemoryDisk::new());
    for time in 0..3 {
        driver.batch(&[time, time], 100);
        driver.roll(time);
        driver.settle();
    }
    driver.batch(&[9], 60);
    driver.settle();
    driver.disk
}

/// A log to copy; kept open, since its files are pinned.
fn source(script: fn(&mut Driver)) -> (Driver, PinnedLog) {
    let mut driver = Driver::new(MemoryDisk::new());
    script(&mut driver);
    driver.settle();
    driver.commit();
    let log = driver.log.as_ref().expect("opened");
    let pinned = log.snapshot(log.flushed_index()).expect("a sound log");
    (driver, pinned)
}

fn fetch(receiver: &mut Receiver, from: &PinnedLog) -> Result<(), InstallError> {
    while let Some(wanted) = receiver.next() {
        let bytes = from.read(wanted.file, wanted.position, 700);
        receiver.take(wanted.file, wanted.position, &bytes.expect("a sound log"))?;
        if wanted.position > 1000 {
            receiver.sync()?;
        }
    }
    Ok(())
}

/// Copies a log over another.
fn install(script: fn(&mut Driver)) -> (Exchange, Trace) {
    let disk = old();
    let (_source, pinned) = source(script);
    let manifest = pinned.manifest().expect("a sound log");
    let mut exchange = Exchange::begin(&disk);
    let shared = Arc::new(disk.clone());
    let receiver = Receiver::begin(shared, Path::new(DIR), manifest.clone());
    let mut receiver = receiver.expect("a disk without failures");
    fetch(&mut receiver, &pinned).expect("a disk without failures");
    receiver
        .install(&mut |hint| lower_hint(&disk, hint))
        .expect("what was fetched is right");
    exchange.through(&disk);
    assert_eq!(exchange.last().last_index, manifest.applied.0);
    assert_eq!(exchange.last().log_end, manifest.end_offset);
    (exchange, disk.take_trace())
}

/// Every crash of two installs.
pub(crate) fn every_crash() -> (Explored, Result<(), String>) {
    let mut total = Explored::default();
    let scripts = if soak() > 1 { 2 } else { 1 };
    for (name, script) in [ROLL, REMOVE].into_iter().take(scripts) {
        let (exchange, trace) = install(script);
        let (explored, result) = explore(&exchange, &trace, Depth::usual(), SEED);
        total = total.and(explored);
        if let Err(wrong) = result {
            return (total, Err(format!("{name}: {wrong}")));
        }
    }
    (total, Ok(()))
}

/// Flips a byte of each piece on its way: what is installed in the end is right.
pub(crate) fn every_piece_may_be_damaged() -> (u64, Result<(), String>) {
    let (_source, pinned) = source(ROLL.1);
    let manifest = pinned.manifest().expect("a sound log");
    let (exchange, _) = install(ROLL.1);
    let mut tries = 0;
    for (file, stated) in manifest.files.iter().enumerate() {
        for at in (0..stated.size_bytes).step_by(97) {
            tries += 1;
            if let Err(wrong) = damaged_on_its_way(&pinned, &exchange, file, at) {
                let place = format!("byte {at} of {}", stated.name());
                return (tries, Err(format!("{place} damaged on its way: {wrong}")));
            }
        }
    }
    (tries, Ok(()))
}

fn damaged_on_its_way(
    pinned: &PinnedLog,
    exchange: &Exchange,
    damaged: usize,
    at: u64,
) -> Result<(), String> {
    let disk = old();
    let manifest = pinned.manifest().expect("a sound log");
    let shared = Arc::new(disk.clone());
    let receiver = Receiver::begin(shared, Path::new(DIR), manifest);
    let mut receiver = receiver.map_err(|error| chain(&error))?;
    let mut damage = Some(at);
    while let Some(wanted) = receiver.next() {
        let bytes = pinned.read(wanted.file, wanted.position, usize::MAX);
        let mut bytes = bytes.expect("a sound log");
        if wanted.file == damaged
            && let Some(at) = damage.take()
        {
            bytes[usize::try_from(at).expect("small")] ^= 1;
        }
        // Refused at the end of the file, and wanted again.
        drop(receiver.take(wanted.file, wanted.position, &bytes));
    }
    let installed = receiver.install(&mut |hint| lower_hint(&disk, hint));
    installed.map_err(|error| chain(&error))?;
    let seen = crate::driver::recover(&disk)?;
    if seen != *exchange.last() {
        return Err(format!("installed {seen:?}"));
    }
    Ok(())
}

#[test]
fn crash_while_a_snapshot_is_installed_leaves_the_old_log_or_the_new() {
    let (explored, result) = every_crash();
    println!("crash states of install: {explored}");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn damaged_piece_of_a_snapshot_is_fetched_again() {
    let (tries, result) = every_piece_may_be_damaged();
    println!("install: {tries} damaged pieces");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}
