//! A cleaning cut off at every call, by a power cut or by the death of the process, and one whose calls
//! fail one after the other. The next start has to find a log that the oracle has nothing to say against,
//! and the next cleaning has to come to its end.

use std::io;

use headrace_storage::fs::{Fate, Fault, Garbage, MemoryDisk};

use crate::bench::{Bench, open, soak};
use crate::oracle::{Run, Verdict};
use crate::random::Random;

/// A log with several segments, some of them compacted before, all durable.
fn prepared(seed: u64) -> Run {
    let mut run = Run::new(seed);
    run.starts = 3;
    run.bench.config.segment_bytes_max = 1500;
    for round in 0..2 {
        for _ in 0..20 {
            run.write();
        }
        run.settle();
        run.roll();
        if round == 0 {
            run.clean_all();
        }
        run.look();
    }
    run
}

/// Opens what is left on a disk, judges it, cleans it to the end, and judges again.
fn goes_on(run: &mut Run, disk: MemoryDisk) -> Verdict {
    let log = open(&disk).map_err(|error| format!("not opened: {error}"))?;
    run.bench = Bench {
        disk,
        log,
        config: run.bench.config.clone(),
        budget: run.bench.budget.clone(),
        now_ms: run.bench.now_ms,
        undecided_from: run.bench.undecided_from,
    };
    run.forget_views();
    run.bench.commit();
    run.judge()?;
    run.clean_all();
    run.judge()?;
    run.judge_cleaned()?;
    run.no_leftovers()
}

/// All the ways in which the disk may be found after a crash now.
fn states(disk: &MemoryDisk, random: &mut Random) -> Vec<(&'static str, MemoryDisk)> {
    let mut states = vec![
        ("all unsynced lost", disk.crash()),
        ("process died", disk.fork()),
    ];
    let at_stake = disk.unsynced().len();
    for _ in 0..2 {
        let fates: Vec<Fate> = (0..at_stake)
            .map(|_| {
                if random.once_in(2) {
                    Fate::Kept
                } else {
                    Fate::Lost
                }
            })
            .collect();
        let garbage = random.pick(&[Garbage::Zeros, Garbage::Noise, Garbage::Stale]);
        states.push(("some unsynced lost", disk.crash_as(&fates, garbage)));
    }
    states
}

/// Every crash of one cleaning; how many states there were.
pub(crate) fn every_crash(seed: u64) -> Result<u64, String> {
    let mut run = prepared(seed);
    run.judge()?;
    let disk = run.bench.disk.clone();
    disk.record();
    run.clean_all();
    let trace = disk.take_trace();
    run.judge()?;
    let mut replay = trace.replay();
    let mut random = Random::new(seed);
    let mut explored = 0;
    loop {
        for (name, state) in states(replay.disk(), &mut random) {
            explored += 1;
            goes_on(&mut run, state).map_err(|wrong| {
                let (at, last) = (replay.done(), replay.last_call());
                format!("seed {seed}, {name} after call {at} ({last}): {wrong}")
            })?;
        }
        if !replay.step() {
            return Ok(explored);
        }
    }
}

#[test]
fn every_crash_of_a_cleaning_is_survived() {
    let mut explored = 0;
    for seed in 1..=2 * soak() {
        explored += every_crash(seed).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    println!("compaction: {explored} crash states");
}

/// Every call of one cleaning failing; how many there were.
pub(crate) fn every_failure(seed: u64) -> Result<u64, String> {
    for at_call in 0.. {
        let mut run = prepared(seed);
        let disk = run.bench.disk.clone();
        let kind =
            [io::ErrorKind::Other, io::ErrorKind::StorageFull][usize::from(at_call % 2 == 0)];
        disk.fail(Fault {
            at_call,
            kind,
            lasting: at_call % 3 == 0,
        });
        let result = run.clean_cut_off();
        let reached = disk.calls() > at_call;
        disk.heal();
        let wrong =
            |wrong| format!("seed {seed}, call {at_call} failing, then {result:?}: {wrong}");
        run.judge().map_err(wrong)?;
        goes_on(&mut run, disk.fork()).map_err(wrong)?;
        if !reached {
            return Ok(at_call);
        }
    }
    unreachable!("a cleaning has an end")
}

#[test]
fn every_call_of_a_cleaning_may_fail() {
    let calls: u64 = (1..=2 * soak())
        .map(|seed| every_failure(seed).unwrap_or_else(|wrong| panic!("{wrong}")))
        .sum();
    println!("compaction: {calls} calls failed");
}
