//! What a power cut may leave: for the changes that are not durable, the fates worth trying.
//!
//! All subsets of kept and lost where there are few; otherwise everything kept or lost, each change alone
//! kept or lost, and seeded samples. The last write of each file is torn at every sector, at the places
//! where frames and their headers begin and end, and has each of its sectors lost while the others came; of
//! each write before it one sector is lost.
//! Where a file has grown and its data was lost, zeros, noise or the bytes of before are found.

use std::path::Path;

use headrace_storage::fs::{Fate, Garbage, Unsynced, UnsyncedKind};

use crate::seeded::Seeded;

const SECTOR_BYTES: usize = 512;
/// Sectors of one write that are torn.
const SECTORS_MAX: usize = 12;
/// All subsets of up to so many changes.
const SUBSETS_OF_MAX: usize = 5;

/// One way a disk may look after a power cut.
pub(crate) type Plan = (Vec<Fate>, Garbage);

/// How many plans to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Samples of subsets, where there are too many.
    pub(crate) samples: usize,
    /// The most plans for one moment; a seeded choice where there are more.
    pub(crate) plans_max: usize,
}

/// The plans for what is at stake now; `write` gives the bytes of the last write of a file.
pub(crate) fn plans(at_stake: &[Unsynced], seeded: &mut Seeded, effort: Effort) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    let subsets = subsets(at_stake.len(), seeded, effort.samples);
    for subset in subsets {
        plans.push((subset, Garbage::Zeros));
    }
    let after_all_and_nothing = plans.len().min(2);
    let holes = holes(at_stake, seeded, effort.plans_max / 2);
    let always = after_all_and_nothing + holes.len();
    plans.splice(after_all_and_nothing..after_all_and_nothing, holes);
    for (at, length) in last_writes(at_stake) {
        let fates = tears(length, seeded);
        for others in [Fate::Kept, Fate::Lost] {
            for fate in fates.iter().cloned() {
                let mut fates = vec![others.clone(); at_stake.len()];
                // A torn write in a file without a name would be no tear at all.
                for (fate, one) in fates.iter_mut().zip(at_stake) {
                    if one.kind == UnsyncedKind::Name {
                        *fate = Fate::Kept;
                    }
                }
                fates[at] = fate;
                plans.push((fates, Garbage::Zeros));
            }
        }
    }
    with_garbage(&mut plans, at_stake);
    if plans.len() > effort.plans_max {
        for at in always..effort.plans_max {
            let other = at + seeded.below(plans.len() - at);
            plans.swap(at, other);
        }
        plans.truncate(effort.plans_max);
    }
    plans
}

/// All is kept but a sector of one write, of each of the last writes.
fn holes(at_stake: &[Unsynced], seeded: &mut Seeded, count_max: usize) -> Vec<Plan> {
    let mut found = Vec::new();
    for (at, one) in at_stake.iter().enumerate().rev() {
        if let UnsyncedKind::Write(length) = one.kind
            && found.len() < count_max
        {
            let mut fates = vec![Fate::Kept; at_stake.len()];
            let sector = seeded.below(length.div_ceil(SECTOR_BYTES)) * SECTOR_BYTES;
            fates[at] = Fate::Without(sector..sector + SECTOR_BYTES);
            found.push((fates, Garbage::Zeros));
        }
    }
    found
}

/// Everything kept, everything lost, and subsets between.
fn subsets(count: usize, seeded: &mut Seeded, samples: usize) -> Vec<Vec<Fate>> {
    let fate = |kept: bool| if kept { Fate::Kept } else { Fate::Lost };
    let mut found = vec![vec![Fate::Kept; count]];
    if count == 0 {
        return found;
    }
    found.push(vec![Fate::Lost; count]);
    if count <= SUBSETS_OF_MAX {
        for bits in 1..(1_u32 << count) - 1 {
            found.push((0..count).map(|at| fate(bits >> at & 1 == 1)).collect());
        }
        return found;
    }
    for chosen in 0..count {
        found.push((0..count).map(|at| fate(at == chosen)).collect());
        found.push((0..count).map(|at| fate(at != chosen)).collect());
        found.push((0..count).map(|at| fate(at < chosen)).collect());
    }
    for _ in 0..samples {
        found.push((0..count).map(|_| fate(seeded.one_in(2))).collect());
    }
    found
}

/// The last write of each file: its place among the changes and its length.
fn last_writes(at_stake: &[Unsynced]) -> Vec<(usize, usize)> {
    let mut found: Vec<(&Path, usize, usize)> = Vec::new();
    for (at, one) in at_stake.iter().enumerate() {
        if let UnsyncedKind::Write(length) = one.kind {
            found.retain(|(path, ..)| *path != one.path);
            found.push((&one.path, at, length));
        }
    }
    found
        .into_iter()
        .map(|(_, at, length)| (at, length))
        .collect()
}

/// The ways to tear a write: only its first bytes, only its last, all but a sector. Of the sectors of a large
/// write some are chosen.
fn tears(length: usize, seeded: &mut Seeded) -> Vec<Fate> {
    let mut sectors: Vec<usize> = (0..length).step_by(SECTOR_BYTES).collect();
    while sectors.len() > SECTORS_MAX {
        sectors.swap_remove(seeded.below(sectors.len()));
    }
    let mut cuts = sectors.clone();
    // Where a frame begins, its prefix, magic, checksum and headers end; and all but the last byte.
    cuts.extend([1, 11, 12, 16, 17, 21, 31, 61, 89, 101, 120, 150]);
    cuts.push(length.saturating_sub(1));
    cuts.retain(|cut| (1..length).contains(cut));
    cuts.sort_unstable();
    cuts.dedup();
    let mut found = Vec::new();
    for cut in &cuts {
        found.push(Fate::Only(0..*cut));
        found.push(Fate::Only(*cut..length));
    }
    for sector in sectors {
        found.push(Fate::Without(sector..sector + SECTOR_BYTES));
    }
    found
}

/// Adds, to every plan in which a file grows and loses data, those that find other bytes there.
fn with_garbage(plans: &mut Vec<Plan>, at_stake: &[Unsynced]) {
    let grows = |fates: &[Fate]| {
        let mut pairs = fates.iter().zip(at_stake);
        pairs.any(|(fate, one)| match one.kind {
            UnsyncedKind::Size => *fate == Fate::Kept,
            UnsyncedKind::Write(_) => !matches!(fate, Fate::Kept | Fate::Lost),
            UnsyncedKind::Name => false,
        })
    };
    let grown: Vec<Vec<Fate>> = plans
        .iter()
        .filter(|(fates, _)| grows(fates))
        .map(|(fates, _)| fates.clone())
        .collect();
    for garbage in [Garbage::Noise, Garbage::Stale] {
        plans.extend(grown.iter().map(|fates| (fates.clone(), garbage)));
    }
}
