//! The vote journals of a data directory: no term, vote or membership that somebody was told of is ever
//! forgotten, whatever the number of shards is at the next start.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use headrace_storage::fs::{Disk, MemoryDisk, Trace};
use headrace_storage::votes::{GroupId, Sequence, VoteJournal, VoteState};
use headrace_storage::{EntryIndex, Hint, LeaderEpoch, Offset};
use uuid::Uuid;

use crate::driver::chain;
use crate::explore::{Depth, Explored, Proven, explore};
use crate::seeded::{Seeded, soak};

const ROOT: &str = "/data";
const SEED: u64 = 4;

type States = BTreeMap<GroupId, VoteState>;

fn group(partition: i32) -> GroupId {
    GroupId {
        topic_id: Uuid::from_u128(9),
        partition,
    }
}

/// Loads all journals and begins those of so many shards, as a start of the broker does.
fn start(disk: &MemoryDisk, shards: usize) -> Result<(Vec<VoteJournal>, States), String> {
    let root = Path::new(ROOT);
    let loaded = VoteJournal::load(disk, root).map_err(|error| chain(&error))?;
    if !loaded.damaged.is_empty() {
        return Err(format!("counts as damaged: {:?}", loaded.damaged));
    }
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut journals = Vec::new();
    for shard in 0..shards {
        let journal = VoteJournal::create(Arc::clone(&shared), root, shard, &loaded);
        journals.push(journal.map_err(|error| chain(&error))?);
    }
    VoteJournal::remove_others(disk, root, shards).map_err(|error| chain(&error))?;
    Ok((journals, loaded.states.into_iter().collect()))
}

#[derive(Clone, Debug)]
enum Event {
    Staged(VoteState),
    /// So many versions were told to somebody.
    Told(usize),
    /// The others are gone for good.
    Found(usize),
}

/// What the journals must hold.
#[derive(Debug, Default)]
struct VotesProof {
    events: Vec<(usize, GroupId, Event)>,
    /// The number of shards of the next start.
    shards: Cell<usize>,
}

/// The versions of a group's state in order, and how many somebody knows; before the first there is none.
#[derive(Debug, Default)]
struct Versions {
    all: Vec<VoteState>,
    told: usize,
}

impl VotesProof {
    fn at(&self, calls: usize) -> BTreeMap<GroupId, Versions> {
        let mut found: BTreeMap<GroupId, Versions> = BTreeMap::new();
        for (at, group, event) in &self.events {
            if *at > calls {
                break;
            }
            let versions = found.entry(*group).or_default();
            match event {
                Event::Staged(state) => versions.all.push(state.clone()),
                Event::Told(count) => versions.told = versions.told.max(*count),
                Event::Found(count) => versions.all.truncate(*count),
            }
        }
        found
    }
}

impl Proven for VotesProof {
    type Seen = States;

    fn recover(&self, disk: &MemoryDisk) -> Result<States, String> {
        let shards = self.shards.get() % 3 + 1;
        self.shards.set(shards);
        let (_, states) = start(disk, shards)?;
        let (_, again) = start(&disk.fork(), shards)?;
        if states != again {
            return Err(format!("journals made of {states:?} say {again:?}"));
        }
        Ok(states)
    }

    fn allows(&self, calls: usize, seen: &States) -> Result<(), String> {
        for (group, versions) in self.at(calls) {
            let told = versions.all[..versions.told].last();
            let found = seen.get(&group);
            let later = versions.all[versions.told.saturating_sub(1)..].iter();
            if !(found == told
                || found.is_some_and(|found| later.into_iter().any(|one| one == found)))
            {
                return Err(format!(
                    "{group:?} is {found:?}, somebody knows of {told:?}"
                ));
            }
        }
        Ok(())
    }

    fn era(&self, calls: usize) -> usize {
        self.events.partition_point(|(at, ..)| *at <= calls)
    }

    fn go_on(&self, disk: &MemoryDisk) -> Result<States, String> {
        let (mut journals, mut states) = start(disk, 2)?;
        let state = states.entry(group(1)).or_default();
        (state.term, state.vote) = (LeaderEpoch(state.term.0 + 1), 77);
        journals[1].set_vote(group(1), state.term, state.vote);
        journals[1].settle().map_err(|error| chain(&error))?;
        Ok(states)
    }
}

/// Journals being driven.
struct Driver {
    disk: MemoryDisk,
    journals: Vec<VoteJournal>,
    proof: VotesProof,
    /// Per version: the shard that staged it, and when it is durable.
    staged: Vec<(GroupId, usize, Sequence)>,
}

impl Driver {
    fn new(shards: usize) -> Driver {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new(ROOT)).expect("a directory");
        disk.record();
        let mut driver = Driver {
            disk,
            journals: Vec::new(),
            proof: VotesProof::default(),
            staged: Vec::new(),
        };
        driver.restart(shards);
        driver
    }

    /// The process ends, and starts with so many shards.
    fn restart(&mut self, shards: usize) {
        let (journals, states) = start(&self.disk, shards).expect("a disk without failures");
        let calls = self.disk.recorded();
        for (group, versions) in self.proof.at(usize::MAX) {
            let found = states.get(&group);
            let count = versions.all.iter().rposition(|one| Some(one) == found);
            let count = count.map_or(0, |at| at + 1);
            self.proof.events.push((calls, group, Event::Found(count)));
            self.proof.events.push((calls, group, Event::Told(count)));
        }
        self.journals = journals;
        self.staged.clear();
    }

    fn note(&mut self, shard: usize, group: GroupId, sequence: Sequence) {
        let state = self.journals[shard].state(&group).expect("just staged");
        let event = Event::Staged(state.clone());
        let calls = self.disk.recorded();
        self.proof.events.push((calls, group, event));
        self.staged.push((group, shard, sequence));
    }

    fn vote(&mut self, shard: usize, group: GroupId, term: i32, vote: u64) {
        let sequence = self.journals[shard].set_vote(group, LeaderEpoch(term), vote);
        self.note(shard, group, sequence);
    }

    fn membership(&mut self, shard: usize, group: GroupId, index: u64) {
        let content = Bytes::from(vec![7; 5000]);
        let sequence = self.journals[shard].set_membership(group, (EntryIndex(index), content));
        self.note(shard, group, sequence);
    }

    fn hint(&mut self, shard: usize, group: GroupId, at: u64) {
        self.journals[shard].set_hint(group, hint(at));
        self.note(shard, group, Sequence(u64::MAX));
    }

    fn lower_hint(&mut self, shard: usize, group: GroupId, at: u64) {
        // On disk before the call returns, so it may be found from now on.
        let mut state = self.journals[shard]
            .state(&group)
            .cloned()
            .unwrap_or_default();
        state.hint = Some(hint(at));
        let event = (self.disk.recorded(), group, Event::Staged(state));
        self.proof.events.push(event);
        self.staged.push((group, shard, Sequence(0)));
        let lowered = self.journals[shard].lower_hint(group, hint(at));
        lowered.expect("a disk without failures");
        self.tell(shard);
    }

    fn write(&mut self, shard: usize) {
        self.journals[shard]
            .write()
            .expect("a disk without failures");
    }

    fn sync(&mut self, shard: usize) {
        self.write(shard);
        let journal = &mut self.journals[shard];
        if let Some(point) = journal.sync_point() {
            journal
                .synced(point.run())
                .expect("a disk without failures");
        }
        self.tell(shard);
    }

    /// Tells everybody what is durable.
    fn tell(&mut self, shard: usize) {
        let durable = self.journals[shard].durable();
        let calls = self.disk.recorded();
        let mut durables: BTreeMap<GroupId, usize> = BTreeMap::new();
        let before = self.proof.at(usize::MAX);
        for (group, of, sequence) in &self.staged {
            let all = self.staged.iter().filter(|(other, ..)| other == group);
            let found = before[group].all.len() - all.count();
            let nth = durables.entry(*group).or_insert(found);
            if *of == shard && *sequence <= durable {
                *nth += 1;
            }
        }
        for (group, told) in durables {
            self.proof.events.push((calls, group, Event::Told(told)));
        }
    }

    fn done(self) -> (VotesProof, Trace) {
        let trace = self.disk.take_trace();
        (self.proof, trace)
    }
}

fn hint(at: u64) -> Hint {
    Hint {
        offset: Offset(i64::try_from(at).expect("small")),
        index: EntryIndex(at),
        epoch: LeaderEpoch(1),
    }
}

/// Votes of groups of two shards, a membership of several blocks, and starts with more and fewer shards.
fn votes() -> (VotesProof, Trace) {
    let mut driver = Driver::new(2);
    driver.vote(0, group(0), 1, 11);
    driver.vote(1, group(1), 1, 12);
    driver.sync(0);
    driver.sync(1);
    driver.vote(0, group(0), 2, 0);
    driver.write(0);
    driver.membership(1, group(1), 3);
    driver.sync(1);
    driver.sync(0);
    driver.restart(3);
    driver.vote(2, group(1), 3, 13);
    driver.vote(0, group(0), 3, 11);
    driver.sync(2);
    driver.write(0);
    driver.restart(1);
    driver.vote(0, group(1), 4, 0);
    driver.sync(0);
    driver.vote(0, group(1), 5, 15);
    driver.write(0);
    driver.done()
}

/// Hints are raised without a sync, and lowered with one.
fn hints() -> (VotesProof, Trace) {
    let mut driver = Driver::new(1);
    driver.vote(0, group(0), 1, 11);
    driver.sync(0);
    driver.hint(0, group(0), 10);
    driver.vote(0, group(1), 1, 11);
    driver.sync(0);
    driver.lower_hint(0, group(0), 5);
    driver.hint(0, group(0), 8);
    driver.write(0);
    driver.restart(2);
    driver.done()
}

/// Every crash of both runs.
pub(crate) fn every_crash() -> (Explored, Result<(), String>) {
    let mut total = Explored::default();
    for (name, (proof, trace)) in [("votes", votes()), ("hints", hints())] {
        let (explored, result) = explore(&proof, &trace, Depth::usual(), SEED);
        total = total.and(explored);
        if let Err(wrong) = result {
            return (total, Err(format!("{name}: {wrong}")));
        }
    }
    (total, Ok(()))
}

/// Flips one byte after the other: the twin of the block serves.
pub(crate) fn every_byte_may_flip() -> (u64, Result<(), String>) {
    let (proof, trace) = votes();
    let mut replay = trace.replay();
    while replay.step() {}
    let disk = replay.disk();
    let names = disk.list(Path::new(ROOT)).expect("a disk without failures");
    let mut seeded = Seeded::new(SEED);
    let mut flips = 0;
    let wanted = match proof.recover(&disk.fork()) {
        Ok(wanted) => wanted,
        Err(wrong) => return (0, Err(wrong)),
    };
    let one_in = usize::try_from((16 / soak()).max(1)).expect("64 bits");
    for path in names.iter().map(|name| PathBuf::from(ROOT).join(name)) {
        let size = disk.bytes_of(&path).expect("a file").len();
        for at in (0..size)
            .filter(|_| seeded.one_in(one_in))
            .collect::<Vec<_>>()
        {
            flips += 1;
            let damaged = disk.fork();
            damaged.damage(&path, |bytes| bytes[at] ^= 0x10);
            let found = start(&damaged, 1).map(|(_, states)| states);
            if found.as_ref() != Ok(&wanted) {
                let place = format!("byte {at} of {}", path.display());
                return (flips, Err(format!("{place} flipped: {found:?}")));
            }
        }
    }
    (flips, Ok(()))
}

#[test]
fn no_vote_that_somebody_knows_of_is_forgotten() {
    let (explored, result) = every_crash();
    println!("crash states of votes: {explored}");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn flipped_byte_of_a_vote_journal_is_served_from_the_copy() {
    let (flips, result) = every_byte_may_flip();
    println!("votes: {flips} flips");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}
