//! The vote journal: golden bytes, damage, crashes at every call, and random runs against a plain map.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::file::FILE_BYTES_MAX;
use super::format::{
    BLOCK_BYTES, Block, PAIR_BYTES, Round, put_record, read_block, read_records, write_round,
};
use super::*;
use crate::fs::{Disk, Fault, MemoryDisk, OpenMode, Surviving};
use crate::log::WriteError;
use crate::position::Offset;
use crate::segment::format::as_u64;

const ROOT: &str = "/data";

fn root() -> &'static Path {
    Path::new(ROOT)
}

fn group(number: u128) -> GroupId {
    GroupId {
        topic_id: Uuid::from_u128(number),
        partition: 3,
    }
}

fn hint(at: u64) -> Hint {
    Hint {
        offset: Offset(at.cast_signed() * 10),
        index: EntryIndex(at),
        epoch: LeaderEpoch(1),
    }
}

fn new_disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir_all(root()).unwrap();
    disk
}

fn load(disk: &MemoryDisk) -> Loaded {
    VoteJournal::load(disk, root()).unwrap()
}

fn create(disk: &MemoryDisk, shard: usize, loaded: &Loaded) -> Result<VoteJournal, WriteError> {
    VoteJournal::create(Arc::new(disk.clone()), root(), shard, loaded)
}

fn fresh(disk: &MemoryDisk) -> VoteJournal {
    create(disk, 0, &load(disk)).unwrap()
}

/// Writes and syncs until nothing must be synced.
fn sync(journal: &mut VoteJournal) -> Result<(), WriteError> {
    journal.write()?;
    while let Some(point) = journal.sync_point() {
        journal.synced(point.run())?;
        journal.write()?;
    }
    Ok(())
}

/// A copy of the disk, as it is seen now and durable.
fn copy(disk: &MemoryDisk) -> MemoryDisk {
    disk.crash_keeping(true, &mut |_, _| Surviving::All)
}

fn journal_path(shard: usize) -> PathBuf {
    root().join(file_name(shard))
}

#[test]
fn blocks_and_records_have_these_bytes() {
    let state = VoteState {
        term: LeaderEpoch(7),
        vote: 0x0001_0000_0002,
        hint: Some(hint(5)),
        membership: Some((EntryIndex(2), Bytes::from_static(b"abc"))),
    };
    let mut payload = Vec::new();
    put_record(
        &mut payload,
        &group(0xAB),
        (Sequence(9), Sequence(0)),
        Some(&state),
    );
    put_record(&mut payload, &group(1), (Sequence(10), Sequence(10)), None);
    let mut expected = vec![0; 15];
    expected.extend([
        0xAB, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 7,
    ]);
    expected.extend([0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2]);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1]);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, b'a', b'b', b'c']);
    expected.extend([0; 15]);
    expected.extend([
        1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 10, 0,
    ]);
    assert_eq!(payload, expected);

    let (bytes, pairs) = write_round(Round(4), Round(2), 6, &payload);
    assert_eq!((bytes.len(), pairs), (PAIR_BYTES, 1));
    assert_eq!(bytes[..BLOCK_BYTES], bytes[BLOCK_BYTES..], "two copies");
    assert_eq!(&bytes[..8], b"HRVOTES\x01");
    assert_eq!(
        bytes[8..24],
        [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2]
    );
    assert_eq!(bytes[24..36], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 121]);
    assert_eq!(bytes[36..157], payload);
    assert_eq!(bytes[157..4092], [0; 4092 - 157]);
    assert_eq!(bytes[4092..4096], GOLDEN_CRC);
    let block = read_block(&bytes[..BLOCK_BYTES], 6);
    assert!(
        matches!(block, Block::Sound(_, found) if found == payload),
        "{block:?}"
    );
    assert_eq!(
        read_block(&bytes[..BLOCK_BYTES], 7),
        Block::Unsound,
        "another place"
    );
    let records = read_records(&payload).unwrap();
    assert_eq!(records[0].state.as_ref(), Some(&state));
    assert_eq!(
        (records[1].sequence, &records[1].state),
        (Sequence(10), &None)
    );
}

/// Of the block above; computed once with another implementation of CRC-32C.
const GOLDEN_CRC: [u8; 4] = [0xED, 0x7C, 0x98, 0xED];

#[test]
fn synced_votes_come_back_and_unsynced_ones_need_not() {
    let disk = new_disk();
    let mut journal = fresh(&disk);
    assert!(!journal.needs_sync() && journal.sync_point().is_none());
    let voted = journal.set_vote(group(1), LeaderEpoch(4), 77);
    assert!(journal.needs_sync() && journal.durable() < voted);
    sync(&mut journal).unwrap();
    assert!(!journal.needs_sync() && journal.durable() >= voted);
    assert_eq!(
        journal.set_vote(group(1), LeaderEpoch(4), 77),
        voted,
        "nothing changed"
    );
    assert!(!journal.needs_sync());
    journal.set_membership(group(1), (EntryIndex(1), Bytes::from_static(b"m")));
    sync(&mut journal).unwrap();
    journal.set_vote(group(1), LeaderEpoch(5), 0);
    journal.write().unwrap();
    let lost = &load(&disk.crash()).states[&group(1)];
    assert_eq!((lost.term, lost.vote), (LeaderEpoch(4), 77));
    assert_eq!(
        lost.membership,
        Some((EntryIndex(1), Bytes::from_static(b"m")))
    );
    let kept = load(&copy(&disk));
    assert_eq!(kept.states[&group(1)].term, LeaderEpoch(5));
    assert!(kept.damaged.is_empty() && kept.is_certain(&group(1)) && kept.is_certain(&group(2)));
}

#[test]
fn what_is_staged_during_a_sync_is_the_next_round() {
    let disk = new_disk();
    let mut journal = fresh(&disk);
    let first = journal.set_vote(group(1), LeaderEpoch(1), 1);
    journal.write().unwrap();
    let point = journal.sync_point().unwrap();
    let second = journal.set_vote(group(2), LeaderEpoch(1), 1);
    journal.write().unwrap();
    assert!(journal.sync_point().is_none(), "one at a time");
    let durable = journal.synced(point.run()).unwrap();
    assert!(durable >= first && durable < second && journal.needs_sync());
    assert!(!load(&disk.crash()).states.contains_key(&group(2)));
    sync(&mut journal).unwrap();
    assert_eq!(load(&disk.crash()).states.len(), 2);
}

#[test]
fn raised_hints_are_written_and_synced_by_the_data_they_cover() {
    let disk = new_disk();
    let mut journal = fresh(&disk);
    journal.set_vote(group(1), LeaderEpoch(1), 1);
    sync(&mut journal).unwrap();
    let seen = |disk: &MemoryDisk| load(disk).states[&group(1)].hint;
    for at in 1..=64 {
        journal.set_hint(group(1), hint(at));
        assert!(!journal.needs_sync());
        journal.note_synced_bytes(1 << 20);
        journal.write().unwrap();
        let written = at / 4 * 4;
        assert_eq!(
            seen(&copy(&disk)),
            (written > 0).then(|| hint(written)),
            "after a kill"
        );
        assert_eq!(seen(&disk.crash()), None, "after a power cut");
        assert_eq!(journal.sync_point().is_some(), at == 64);
    }
}

#[test]
fn pressed_hints_are_written_and_not_synced() {
    let disk = new_disk();
    let mut journal = fresh(&disk);
    journal.set_vote(group(1), LeaderEpoch(1), 1);
    sync(&mut journal).unwrap();
    let before = disk.calls();
    journal.press_hints();
    journal.write().unwrap();
    assert_eq!(disk.calls(), before, "nothing is staged");
    journal.set_hint(group(1), hint(7));
    journal.note_synced_bytes(1);
    journal.write().unwrap();
    assert_eq!(load(&copy(&disk)).states[&group(1)].hint, None);
    journal.press_hints();
    journal.write().unwrap();
    let seen = load(&copy(&disk)).states[&group(1)].hint;
    assert_eq!(seen, Some(hint(7)), "after a kill");
    assert!(journal.sync_point().is_none());
}

#[test]
fn lowered_hint_is_durable_on_return_and_a_vote_takes_hints_along() {
    let disk = new_disk();
    let mut journal = fresh(&disk);
    journal.set_hint(group(1), hint(9));
    journal.set_vote(group(1), LeaderEpoch(1), 1);
    sync(&mut journal).unwrap();
    assert_eq!(load(&disk.crash()).states[&group(1)].hint, Some(hint(9)));
    journal.lower_hint(group(1), hint(4)).unwrap();
    assert_eq!(load(&disk.crash()).states[&group(1)].hint, Some(hint(4)));
    journal.set_hint(group(1), hint(3));
    assert!(journal.needs_sync(), "lowered without the call that blocks");
    journal.settle().unwrap();
    assert_eq!(load(&disk.crash()).states[&group(1)].hint, Some(hint(3)));
}

/// A journal of three synced rounds; gives the votes of groups 1, 2 and 3.
fn with_rounds(disk: &MemoryDisk) -> VoteJournal {
    let mut journal = fresh(disk);
    for number in 1..=3 {
        journal.set_vote(group(number), LeaderEpoch(1), 1);
        sync(&mut journal).unwrap();
    }
    journal
}

#[test]
fn damage_to_one_copy_costs_nothing() {
    let disk = new_disk();
    drop(with_rounds(&disk));
    let whole = load(&disk);
    let path = journal_path(0);
    let size = disk.bytes_of(&path).unwrap().len();
    for at in (0..size).step_by(7) {
        let after = copy(&disk);
        after.damage(&path, |bytes| bytes[at] ^= 0x10);
        let found = load(&after);
        assert_eq!(found.states, whole.states, "byte {at}");
        assert!(found.damaged.is_empty());
        // the last round is not known to be synced, so there it may be what a crash left
        assert_eq!(found.copies_damaged, u64::from(at < size - PAIR_BYTES));
    }
    for sector in 0..size / 512 {
        let after = copy(&disk);
        after.damage(&path, |bytes| bytes[sector * 512..][..512].fill(0xFF));
        assert_eq!(load(&after).states, whole.states, "sector {sector}");
    }
}

#[test]
fn damage_to_both_copies_is_reported_and_says_who_is_certain() {
    let disk = new_disk();
    drop(with_rounds(&disk));
    let path = journal_path(0);
    let pairs = disk.bytes_of(&path).unwrap().len() / PAIR_BYTES;
    assert_eq!(pairs, 4, "the first round and three votes");
    for pair in 0..pairs {
        let after = copy(&disk);
        after.damage(&path, |bytes| {
            bytes[pair * PAIR_BYTES + 40] ^= 1;
            bytes[pair * PAIR_BYTES + BLOCK_BYTES + 3000] ^= 1;
        });
        let found = load(&after);
        if pair == pairs - 1 {
            assert!(found.damaged.is_empty(), "looks like a torn last round");
            continue;
        }
        assert_eq!(found.damaged.len(), 1, "pair {pair}");
        assert_eq!(found.damaged[0].path, path);
        assert_eq!(found.damaged[0].position, as_u64(pair * PAIR_BYTES));
        let certain = (1..=3).filter(|number| found.is_certain(&group(*number)));
        let later: Vec<u128> = (1..=3).filter(|number| *number > pair as u128).collect();
        assert_eq!(certain.collect::<Vec<_>>(), later, "pair {pair}");
        assert!(!found.is_certain(&group(9)), "who knows what was lost");
    }
}

#[test]
fn cut_and_emptied_journals_are_reported_but_for_the_last_round() {
    let disk = new_disk();
    drop(with_rounds(&disk));
    let path = journal_path(0);
    let size = disk.bytes_of(&path).unwrap().len();
    for cut in (0..size).step_by(512) {
        let after = copy(&disk);
        after.damage(&path, |bytes| bytes.truncate(cut));
        let found = load(&after);
        // a file always has its first round; later ones fall off like torn ones
        assert_eq!(found.damaged.is_empty(), cut >= BLOCK_BYTES, "cut at {cut}");
        let sound = (cut / BLOCK_BYTES).div_ceil(2);
        assert_eq!(found.states.len(), sound.saturating_sub(1), "cut at {cut}");
    }
    let after = copy(&disk);
    after.damage(&path, |bytes| bytes.fill(0));
    assert_eq!(load(&after).damaged.len(), 1);
}

#[test]
fn newer_format_and_giant_file_are_refused() {
    let disk = new_disk();
    drop(fresh(&disk));
    let path = journal_path(0);
    disk.damage(&path, |bytes| {
        bytes[7] = 2;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&[0; 8]), &bytes[..BLOCK_BYTES - 4]);
        bytes[BLOCK_BYTES - 4..BLOCK_BYTES].copy_from_slice(&crc.to_be_bytes());
    });
    let refused = VoteJournal::load(&disk, root()).unwrap_err();
    assert!(
        matches!(refused, VotesError::Newer { version: 2, .. }),
        "{refused}"
    );
}

#[test]
fn names_that_are_not_ours_are_left_alone() {
    let disk = new_disk();
    let names = [
        "votes-",
        "votes-00",
        "votes-1.tmp",
        "votes-x",
        "votes",
        "votes-0.tmp",
    ];
    for name in names {
        drop(disk.open(&root().join(name), OpenMode::Create).unwrap());
    }
    assert!(load(&disk).damaged.is_empty());
    VoteJournal::remove_others(&disk, root(), 1).unwrap();
    assert_eq!(
        disk.list(root()).unwrap(),
        ["votes", "votes-", "votes-00", "votes-x"]
    );
}

#[test]
fn outgrown_journal_is_written_anew_and_keeps_everything() {
    let disk = new_disk();
    let mut journal = fresh(&disk);
    let rounds = FILE_BYTES_MAX / as_u64(PAIR_BYTES) + 10;
    let mut largest = 0;
    for at in 1..=rounds {
        journal.set_vote(
            group(u128::from(at % 5)),
            LeaderEpoch(i32::try_from(at).unwrap()),
            at,
        );
        sync(&mut journal).unwrap();
        largest = largest.max(disk.bytes_of(&journal_path(0)).unwrap().len());
    }
    assert!(
        as_u64(largest) <= FILE_BYTES_MAX + as_u64(PAIR_BYTES),
        "{largest}"
    );
    assert!(
        disk.bytes_of(&journal_path(0)).unwrap().len() < 20 * PAIR_BYTES,
        "written anew"
    );
    let found = load(&disk.crash());
    assert_eq!(found.states.len(), 5);
    for at in rounds - 4..=rounds {
        assert_eq!(found.states[&group(u128::from(at % 5))].vote, at);
    }
    assert_eq!(disk.list(root()).unwrap(), ["votes-0"]);
}

/// A journal that will be written anew by the next sync point.
fn outgrown(disk: &MemoryDisk) -> VoteJournal {
    let mut journal = fresh(disk);
    journal.set_hint(group(1), hint(100));
    // one round of many blocks
    let content = Bytes::from(vec![7; usize::try_from(FILE_BYTES_MAX / 2).unwrap() + 9000]);
    journal.set_membership(group(1), (EntryIndex(1), content));
    sync(&mut journal).unwrap();
    journal.set_membership(group(1), (EntryIndex(2), Bytes::new()));
    journal
}

#[test]
fn hint_lowered_while_the_journal_is_written_anew_stays_lowered() {
    for worker_first in [false, true] {
        let disk = new_disk();
        let mut journal = outgrown(&disk);
        journal.write().unwrap();
        let point = journal.sync_point().unwrap();
        let done = if worker_first {
            let done = point.run();
            journal.lower_hint(group(1), hint(50)).unwrap();
            done
        } else {
            journal.lower_hint(group(1), hint(50)).unwrap();
            point.run()
        };
        assert_eq!(load(&disk.crash()).states[&group(1)].hint, Some(hint(50)));
        journal.synced(done).unwrap();
        sync(&mut journal).unwrap();
        let found = load(&disk.crash());
        assert_eq!(found.states[&group(1)].hint, Some(hint(50)));
        assert_eq!(
            found.states[&group(1)].membership,
            Some((EntryIndex(2), Bytes::new()))
        );
    }
}

#[test]
fn journals_of_any_number_of_shards_are_read_and_none_is_lost_on_the_way() {
    let disk = new_disk();
    for (shard, term) in [(0, 3), (1, 5), (2, 4)] {
        let mut journal = create(&disk, shard, &Loaded::default()).unwrap();
        journal.set_vote(group(1), LeaderEpoch(term), 1);
        journal.set_vote(group(10 + shard as u128), LeaderEpoch(1), 1);
        sync(&mut journal).unwrap();
    }
    let before = load(&disk).states;
    assert_eq!(
        before[&group(1)].term,
        LeaderEpoch(5),
        "the highest term counts"
    );
    assert_eq!(before.len(), 4);
    for shards in [1, 2, 5] {
        for at_call in 0.. {
            let first = copy(&disk);
            let loaded = load(&first);
            first.fail(Fault {
                at_call,
                kind: io::ErrorKind::Other,
                lasting: true,
            });
            let moved = (0..shards).try_for_each(|shard| create(&first, shard, &loaded).map(drop));
            let moved = moved.and_then(|()| VoteJournal::remove_others(&first, root(), shards));
            first.heal();
            for after in [copy(&first), first.crash()] {
                let found = load(&after);
                assert_eq!(found.states, before, "{shards} shards, call {at_call}");
                assert!(found.damaged.is_empty());
            }
            if moved.is_ok() {
                assert_eq!(first.crash().list(root()).unwrap().len(), shards);
                break;
            }
        }
    }
}

#[test]
fn forgotten_group_stays_forgotten_and_may_begin_anew() {
    let disk = new_disk();
    let mut journal = fresh(&disk);
    journal.set_vote(group(1), LeaderEpoch(9), 1);
    journal.set_vote(group(2), LeaderEpoch(1), 1);
    sync(&mut journal).unwrap();
    // the other shard's journal holds the group too, and is never written again
    drop(create(&disk, 1, &load(&disk)).unwrap());
    let mut journal = fresh(&disk);
    journal.forget(group(1));
    journal.set_vote(group(2), LeaderEpoch(2), 1);
    sync(&mut journal).unwrap();
    assert!(journal.state(&group(1)).is_none());
    assert_eq!(load(&disk.crash()).states.len(), 1);
    drop(journal);
    let mut journal = fresh(&disk);
    assert_eq!(
        load(&disk.crash()).states.len(),
        1,
        "the tombstone is still needed"
    );
    journal.set_vote(group(1), LeaderEpoch(2), 4);
    sync(&mut journal).unwrap();
    assert_eq!(
        load(&disk.crash()).states[&group(1)].vote,
        4,
        "although the term was higher once"
    );
}

#[test]
fn forgetting_is_written_without_waiting_for_others_and_leaves_nothing_in_a_new_file() {
    const GONE: u128 = 0x1234_5678_9ABC_DEF0_0FED_CBA9_8765_4321;
    let disk = new_disk();
    let mut journal = fresh(&disk);
    let is_named = || {
        let bytes = disk.bytes_of(&journal_path(0)).unwrap();
        bytes.windows(16).any(|found| found == GONE.to_be_bytes())
    };
    journal.set_vote(group(GONE), LeaderEpoch(1), 1);
    sync(&mut journal).unwrap();
    journal.forget(group(GONE));
    assert!(journal.needs_sync());
    sync(&mut journal).unwrap();
    assert!(load(&disk.crash()).states.is_empty() && is_named());
    let content = Bytes::from(vec![7; usize::try_from(FILE_BYTES_MAX / 2).unwrap() + 9000]);
    for index in 1..3 {
        journal.set_membership(group(1), (EntryIndex(index), content.clone()));
        sync(&mut journal).unwrap();
    }
    assert!(!is_named(), "the file was not written anew");
    assert_eq!(load(&disk.crash()).states.len(), 1);
}

#[test]
fn first_failure_closes_the_journal() {
    for at_call in 0..2 {
        let disk = new_disk();
        let mut journal = fresh(&disk);
        disk.fail(Fault {
            at_call,
            kind: io::ErrorKind::StorageFull,
            lasting: false,
        });
        journal.set_vote(group(1), LeaderEpoch(1), 1);
        let failed = sync(&mut journal).unwrap_err().to_string();
        assert!(
            failed.contains("votes-0") && failed.contains("failed on purpose"),
            "{failed}"
        );
        assert!(journal.needs_sync(), "for ever");
        assert_eq!(journal.write().unwrap_err().to_string(), failed);
        assert_eq!(journal.settle().unwrap_err().to_string(), failed);
        assert!(journal.sync_point().is_none());
        assert_eq!(journal.write_error().unwrap().to_string(), failed);
    }
}

#[test]
fn failed_sync_of_the_worker_is_not_answered_by_a_later_one() {
    let disk = new_disk();
    let mut journal = fresh(&disk);
    journal.set_hint(group(1), hint(9));
    journal.set_vote(group(1), LeaderEpoch(1), 1);
    journal.write().unwrap();
    let point = journal.sync_point().unwrap();
    disk.fail(Fault {
        at_call: 0,
        kind: io::ErrorKind::Other,
        lasting: false,
    });
    let done = point.run();
    assert!(journal.lower_hint(group(1), hint(1)).is_err());
    assert!(journal.synced(done).is_err());
}

/// Some turns of a shard: votes, hints, a file written anew. Stops at the first failure. `acknowledged` learns
/// what was said to be durable.
fn turns(
    journal: &mut VoteJournal,
    acknowledged: &mut HashMap<GroupId, VoteState>,
) -> Result<(), WriteError> {
    for turn in 1..=4_u32 {
        for number in 0..turn {
            let term = LeaderEpoch(turn.cast_signed());
            journal.set_vote(group(u128::from(number)), term, u64::from(number) + 1);
            journal.set_hint(group(u128::from(number)), hint(u64::from(turn)));
        }
        if turn == 3 {
            // more than the bound, so that the next round is a new file
            journal.set_membership(group(0), (EntryIndex(1), Bytes::from(vec![1; 9 << 20])));
        }
        if turn == 4 {
            journal.set_membership(group(0), (EntryIndex(2), Bytes::new()));
        }
        sync(journal)?;
        for number in 0..turn {
            let group = group(u128::from(number));
            acknowledged.insert(group, journal.state(&group).unwrap().clone());
        }
    }
    journal.lower_hint(group(0), hint(1))?;
    acknowledged.insert(group(0), journal.state(&group(0)).unwrap().clone());
    Ok(())
}

#[test]
fn crash_at_every_call_keeps_what_was_acknowledged() {
    for at_call in 0.. {
        let disk = new_disk();
        let mut journal = fresh(&disk);
        let mut acknowledged = HashMap::new();
        disk.fail(Fault {
            at_call,
            kind: io::ErrorKind::Other,
            lasting: true,
        });
        let done = turns(&mut journal, &mut acknowledged);
        disk.heal();
        for (names, fate) in [(false, 0), (true, 1), (false, 2), (true, 3)] {
            let after = disk.crash_keeping(names, &mut |_, len| match fate {
                0 => Surviving::None,
                1 => Surviving::All,
                // one whole copy and a half, or half a copy
                2 => Surviving::First(len / 4 * 3),
                _ => Surviving::First(len / 4),
            });
            let found = load(&after);
            assert!(
                found.damaged.is_empty(),
                "call {at_call}, fate {fate}: {:?}",
                found.damaged
            );
            for (group, state) in &acknowledged {
                let found = found
                    .states
                    .get(group)
                    .unwrap_or_else(|| panic!("call {at_call}, fate {fate}"));
                assert!(found.term >= state.term, "call {at_call}, fate {fate}");
                assert!(found.term > state.term || found.vote == state.vote);
            }
            if done.is_ok() {
                assert_eq!(found.states, acknowledged);
            }
        }
        if done.is_ok() {
            assert!(at_call >= 14, "{at_call} calls");
            break;
        }
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in vec(any::<u8>(), 0..20_000)) {
        let disk = new_disk();
        drop(disk.open(&journal_path(0), OpenMode::Create).unwrap());
        disk.damage(&journal_path(0), |file| *file = bytes);
        let found = load(&disk);
        prop_assert!(found.states.is_empty());
        prop_assert_eq!(found.damaged.len(), 1);
    }

    #[test]
    fn hostile_payload_in_sound_blocks_never_panics(payload in vec(any::<u8>(), 0..300), flips in vec((0_usize..300, any::<u8>()), 0..4), chunk in any::<u32>()) {
        let mut sound = Vec::new();
        let state = VoteState { membership: Some((EntryIndex(1), Bytes::from(payload.clone()))), ..VoteState::default() };
        put_record(&mut sound, &group(1), (Sequence(1), Sequence(0)), Some(&state));
        for (at, flip) in flips {
            if let Some(byte) = sound.get_mut(at) { *byte ^= flip }
        }
        for payload in [payload, sound] {
            let (mut bytes, _) = write_round(Round(u64::from(chunk)), Round(1), 0, &payload);
            // a block that claims to be part of a giant round
            bytes[28..32].copy_from_slice(&chunk.to_be_bytes());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&[0; 8]), &bytes[..BLOCK_BYTES - 4]);
            bytes[BLOCK_BYTES - 4..BLOCK_BYTES].copy_from_slice(&crc.to_be_bytes());
            let disk = new_disk();
            drop(disk.open(&journal_path(0), OpenMode::Create).unwrap());
            disk.damage(&journal_path(0), |file| *file = bytes);
            let found = load(&disk);
            prop_assert!(found.states.len() <= 1 && found.damaged.len() <= 1);
        }
    }

    #[test]
    fn random_runs_come_back_as_a_map_says(steps in vec(step(), 1..60)) {
        run(steps);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Vote(u8, i32),
    Hint(u8, u64),
    Lower(u8, u64),
    Forget(u8),
    Write,
    StartSync,
    EndSync,
    Crash { shard: usize, fates: Vec<u8> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..4, 0_i32..3).prop_map(|(group, more)| Step::Vote(group, more)),
        4 => (0_u8..4, 0_u64..50).prop_map(|(group, at)| Step::Hint(group, at)),
        1 => (0_u8..4, 0_u64..50).prop_map(|(group, at)| Step::Lower(group, at)),
        1 => (0_u8..4).prop_map(Step::Forget),
        5 => Just(Step::Write),
        4 => Just(Step::StartSync),
        4 => Just(Step::EndSync),
        2 => (0_usize..3, vec(any::<u8>(), 6)).prop_map(|(shard, fates)| Step::Crash { shard, fates }),
    ]
}

type Vote = (LeaderEpoch, u64);

/// The terms and votes that were staged, in order, with their sequence; what a crash leaves must be one that
/// is not older than the last durable one.
#[derive(Default)]
struct Model {
    staged: HashMap<GroupId, Vec<(Sequence, Option<Vote>)>>,
}

impl Model {
    fn note(&mut self, journal: &VoteJournal, group: GroupId, sequence: Sequence) {
        let state = journal.state(&group).map(|state| (state.term, state.vote));
        self.staged
            .entry(group)
            .or_default()
            .push((sequence, state));
    }

    fn check(&self, durable: Sequence, found: &Loaded) {
        for (group, staged) in &self.staged {
            let now = found
                .states
                .get(group)
                .map(|state| (state.term, state.vote));
            let last = staged
                .iter()
                .rposition(|(sequence, _)| *sequence <= durable);
            let mut allowed = staged[last.unwrap_or(0)..].iter().map(|(_, state)| *state);
            let never = last.is_none() && now.is_none();
            assert!(
                never || allowed.any(|state| state == now),
                "{group:?}: {now:?} of {staged:?}, durable {durable:?}"
            );
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut disk = new_disk();
    let mut journal = fresh(&disk);
    let mut model = Model::default();
    let mut outstanding = None;
    for step in steps {
        match step {
            Step::Vote(number, more) => {
                let group = group(u128::from(number));
                let term = journal.state(&group).map_or(0, |state| state.term.0);
                let sequence =
                    journal.set_vote(group, LeaderEpoch(term + more), u64::from(number) + 1);
                model.note(&journal, group, sequence);
            }
            Step::Hint(number, at) => {
                let group = group(u128::from(number));
                journal.set_hint(group, hint(at));
                model.note(&journal, group, Sequence(u64::MAX));
            }
            Step::Lower(number, at) => {
                let group = group(u128::from(number));
                journal.lower_hint(group, hint(at)).unwrap();
                assert!(!journal.needs_sync());
                let found = load(&disk.crash());
                assert_eq!(found.states[&group].hint, Some(hint(at)));
                model.note(&journal, group, journal.durable());
            }
            Step::Forget(number) => {
                let group = group(u128::from(number));
                if journal.state(&group).is_some() {
                    journal.forget(group);
                    // not before it is written is it forgotten: any later sequence will do
                    model.note(&journal, group, Sequence(u64::MAX));
                }
            }
            Step::Write => journal.write().unwrap(),
            Step::StartSync => outstanding = journal.sync_point().or(outstanding),
            Step::EndSync => {
                if let Some(point) = outstanding.take() {
                    let durable = journal.synced(point.run()).unwrap();
                    model.check(durable, &load(&disk.crash()));
                }
            }
            Step::Crash { shard, fates } => {
                let names = fates[0] % 2 == 0;
                let mut fates = fates.iter().cycle();
                disk =
                    disk.crash_keeping(names, &mut |_, len| match fates.next().expect("endless") {
                        fate @ 0..100 => Surviving::First(len * usize::from(*fate) / 100),
                        100..180 => Surviving::None,
                        _ => Surviving::All,
                    });
                let found = load(&disk);
                assert!(found.damaged.is_empty(), "{:?}", found.damaged);
                model.check(journal.durable(), &found);
                outstanding = None;
                model = Model::default();
                journal = create(&disk, shard, &found).unwrap();
                VoteJournal::remove_others(&disk, root(), 3).unwrap();
                assert_eq!(load(&disk.crash()).states, found.states);
                for group in found.states.keys() {
                    model.note(&journal, *group, journal.durable());
                }
            }
        }
    }
}
