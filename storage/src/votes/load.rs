//! Reading the vote journals at a start.
//!
//! Rounds up to the highest `durable` that any block states were synced: each must be there, in one of its two
//! copies, or it is reported as damaged. The same holds for the first round, which is synced before the file
//! gets its name. What lies behind is what a crash left of rounds that were not synced: a whole round counts
//! (its writer may have known it durable), a torn one does not.
//!
//! Per group the record with the highest (term, sequence) counts, of those that no record has ended (`format`).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::format::{
    BLOCK_BYTES, Block, Head, PAIR_BYTES, Record, Round, read_block, read_records,
};
use super::{GroupId, Sequence, VoteState, VotesError, io_error, parse_file_name};
use crate::fs::{Disk, OpenMode};
use crate::position::LeaderEpoch;
use crate::segment::format::as_u64;

/// A journal is written anew long before this (`journal`); a larger file is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Read at a time: some hundred blocks.
const READ_BYTES: usize = 128 * PAIR_BYTES;

/// A round that was durable and is in neither copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The journal.
    pub path: PathBuf,
    /// Where about the round lay: the first byte that may be missing.
    pub position: u64,
    /// What was lost in it has a sequence below this.
    below: Sequence,
}

/// What all journals together say.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The newest state of each group. The caller removes groups that no longer exist.
    pub states: HashMap<GroupId, VoteState>,
    /// Rounds lost in both copies; what they said is not known. See [`Loaded::is_certain`].
    pub damaged: Vec<Damage>,
    /// Blocks of which one copy was damaged and the other served.
    pub copies_damaged: u64,
    /// The highest sequence there is.
    pub(super) sequence: Sequence,
    sequences: HashMap<GroupId, Sequence>,
    /// Groups that were forgotten and may have come back, while a journal still holds a state from before:
    /// since when they count.
    pub(super) since: HashMap<GroupId, Sequence>,
}

impl Loaded {
    /// Whether nothing newer about this group can have been lost.
    ///
    /// If not, its term and vote may be too low. A lone voter may go on with the term of its log's last entry
    /// or its state's, whichever is higher, plus one: nobody else can have voted. A replica with
    /// peers must not vote again under its id.
    pub fn is_certain(&self, group: &GroupId) -> bool {
        let known = self.sequences.get(group).copied().unwrap_or_default();
        self.damaged.iter().all(|damage| damage.below <= known)
    }

    /// Takes in records of all journals, in any order.
    fn resolve(&mut self, records: Vec<Record>) {
        let mut since: HashMap<GroupId, Sequence> = HashMap::new();
        for record in &records {
            self.sequence = self.sequence.max(record.sequence);
            let at = since.entry(record.group).or_default();
            *at = record.since.max(*at);
        }
        let mut best: HashMap<GroupId, (LeaderEpoch, Sequence)> = HashMap::new();
        for record in records {
            let Record {
                group, sequence, ..
            } = record;
            if sequence < since[&group] {
                self.since.insert(group, since[&group]);
                continue;
            }
            let Some(state) = record.state else { continue };
            let rank = (state.term, sequence);
            if best.get(&group).is_none_or(|known| *known < rank) {
                best.insert(group, rank);
                self.sequences.insert(group, sequence);
                self.states.insert(group, state);
            }
        }
    }
}

/// Reads all journals in the data directory.
pub(super) fn load(disk: &dyn Disk, root: &Path) -> Result<Loaded, VotesError> {
    let names = disk.list(root).map_err(io_error("list", root))?;
    let mut loaded = Loaded::default();
    let mut records = Vec::new();
    for name in names.iter().filter(|name| parse_file_name(name).is_some()) {
        let path = root.join(name);
        let rounds = read_file(disk, &path)?;
        rounds.judge(&path, &mut records, &mut loaded);
    }
    loaded.resolve(records);
    Ok(loaded)
}

/// The rounds of one file as far as they are found.
#[derive(Debug, Default)]
struct Rounds {
    found: BTreeMap<Round, Found>,
    durable: Round,
}

#[derive(Debug, Default)]
struct Found {
    /// Where its first block lies.
    position: u64,
    end: u64,
    chunks: u32,
    parts: BTreeMap<u32, Vec<u8>>,
    /// Blocks of which only one copy is sound.
    lone: u64,
}

impl Found {
    /// Its records, if all of its blocks are there.
    fn records(&self) -> Option<Vec<Record>> {
        let whole = u32::try_from(self.parts.len()) == Ok(self.chunks);
        let parts: Vec<&[u8]> = self.parts.values().map(Vec::as_slice).collect();
        whole.then(|| read_records(&parts.concat())).flatten()
    }
}

impl Rounds {
    fn add(&mut self, pair: u64, head: Head, payload: &[u8], lone: bool) {
        self.durable = self.durable.max(head.durable);
        let found = self.found.entry(head.round).or_default();
        let start = pair.saturating_sub(u64::from(head.chunk));
        found.position = start * as_u64(PAIR_BYTES);
        found.end = (pair + 1) * as_u64(PAIR_BYTES);
        found.chunks = head.chunks;
        found.lone += u64::from(lone);
        found.parts.insert(head.chunk, payload.to_vec());
    }

    /// Splits what is there from what is lost.
    fn judge(self, path: &Path, records: &mut Vec<Record>, loaded: &mut Loaded) {
        let damaged = &mut loaded.damaged;
        let durable = self.durable.max(Round(1));
        let mut expected = Round(1);
        let mut position = 0;
        // the place of a loss whose end is not found yet
        let mut lost = None;
        for (round, found) in self.found {
            if round > expected && expected <= durable {
                lost = lost.or(Some(position));
            }
            if round <= durable && found.lone > 0 {
                loaded.copies_damaged += found.lone;
                tracing::warn!(path = %path.display(), position = found.position, "one copy of a round of the vote journal is damaged, the other serves");
            }
            match found.records() {
                Some(sound) => {
                    if let Some(position) = lost.take() {
                        let below = sound.iter().map(|record| record.sequence).min();
                        damaged.push(damage(path, position, below.unwrap_or(NEVER)));
                    }
                    records.extend(sound);
                }
                None if round <= durable => lost = lost.or(Some(found.position)),
                None => {
                    tracing::info!(path = %path.display(), position = found.position, "torn round is ignored");
                }
            }
            position = found.end;
            expected = Round(round.0.saturating_add(1));
        }
        if expected <= durable {
            lost = lost.or(Some(position));
        }
        damaged.extend(lost.map(|position| damage(path, position, NEVER)));
    }
}

/// Above all sequences: nothing sound lies behind the loss.
const NEVER: Sequence = Sequence(u64::MAX);

fn damage(path: &Path, position: u64, below: Sequence) -> Damage {
    tracing::error!(path = %path.display(), position, "a round of the vote journal is lost in both copies");
    Damage {
        path: path.to_path_buf(),
        position,
        below,
    }
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Rounds, VotesError> {
    let file = disk
        .open(path, OpenMode::Read)
        .map_err(io_error("open", path))?;
    let size = file.size().map_err(io_error("measure", path))?;
    if size > FILE_BYTES_MAX {
        let path = path.to_path_buf();
        return Err(VotesError::TooLarge { path, size });
    }
    let mut rounds = Rounds::default();
    let mut piece = Vec::new();
    let mut position = 0;
    while position < size {
        piece.clear();
        file.read_at(position, READ_BYTES, &mut piece)
            .map_err(io_error("read", path))?;
        for bytes in piece.chunks(PAIR_BYTES) {
            read_pair(path, position, bytes, &mut rounds)?;
            position += as_u64(PAIR_BYTES);
        }
        if piece.is_empty() {
            break;
        }
    }
    Ok(rounds)
}

/// Takes in the first sound block of a pair.
fn read_pair(
    path: &Path,
    position: u64,
    bytes: &[u8],
    rounds: &mut Rounds,
) -> Result<(), VotesError> {
    let pair = position / as_u64(PAIR_BYTES);
    let (first, second) = bytes.split_at(bytes.len().min(BLOCK_BYTES));
    let copies = [read_block(first, pair), read_block(second, pair)];
    let mut sound = Vec::new();
    for copy in copies {
        match copy {
            Block::Sound(head, payload) => sound.push((head, payload)),
            Block::Blank | Block::Unsound => {}
            Block::Newer(version) => {
                let path = path.to_path_buf();
                return Err(VotesError::Newer {
                    path,
                    position,
                    version,
                });
            }
        }
    }
    if let Some((head, payload)) = sound.first() {
        rounds.add(pair, *head, payload, sound.len() == 1);
    }
    Ok(())
}
