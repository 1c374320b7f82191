//! Shards over a disk in memory: votes of many groups, and one partition that is quarantined.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headrace_storage::data_dir::DataDir;
use headrace_storage::fs::{Disk, MemoryDisk};
use headrace_storage::record::{Batch, BatchBuilder, Compression};
use headrace_storage::votes::{GroupId, VoteJournal};
use headrace_storage::{EntryIndex, LeaderEpoch, Offset};
use uuid::Uuid;

use super::registry::{NewTopic, Registry};
use super::shard::Slot;
use super::votes::Votes;
use super::{Acks, AppendFailure, Topic};
use crate::BrokerConfig;
use crate::clock::{Clock, SystemClock};
use crate::raft::{Membership, ReplicaId, VoterSet};
use crate::topic_config::Overrides;

const ROOT: &str = "/data";
const WITHIN: Duration = Duration::from_secs(30);

fn root() -> &'static Path {
    Path::new(ROOT)
}

async fn open(disk: &MemoryDisk, shards: usize) -> Registry {
    let disk = disk.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let data = DataDir::open_on(Arc::new(disk), root()).unwrap();
        let upkeep = BrokerConfig::default().upkeep_settings();
        Registry::open(Arc::new(data), &clock, shards, &upkeep).unwrap()
    });
    opening.await.unwrap()
}

async fn topic(registry: &Registry, partitions: i32) -> Arc<Topic> {
    let topic = NewTopic {
        name: "a".into(),
        partitions,
        overrides: Overrides::default(),
    };
    registry.create(topic).await.unwrap()
}

fn batch() -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(5, None, Some(b"v"), &[]);
    builder.build()
}

fn begin_journal(disk: &MemoryDisk) -> VoteJournal {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let loaded = VoteJournal::load(disk, root()).unwrap();
    VoteJournal::create(shared, root(), 0, &loaded).unwrap()
}

#[test]
fn the_votes_of_a_thousand_groups_cost_two_syncs() {
    let disk = MemoryDisk::new();
    disk.create_dir_all(root()).unwrap();
    let mut votes = Votes::new(begin_journal(&disk));
    let stage = |votes: &mut Votes, partition: i32| {
        let topic_id = Uuid::from_u128(1);
        let group = GroupId {
            topic_id,
            partition,
        };
        let slot = Slot(u64::try_from(partition).unwrap());
        votes.vote((slot, group), (LeaderEpoch(1), 7), 1);
    };
    stage(&mut votes, 0);
    let first = votes.write().unwrap().expect("a vote is to be synced");
    for partition in 1..1000 {
        stage(&mut votes, partition);
        assert!(votes.write().unwrap().is_none(), "one sync is under way");
    }
    assert!(votes.durable().is_empty() && !votes.is_idle());
    votes.synced(first.run()).unwrap();
    assert_eq!(votes.durable(), [(Slot(0), 1)]);
    let second = votes.write().unwrap().expect("999 votes are to be synced");
    votes.synced(second.run()).unwrap();
    assert_eq!(votes.durable().len(), 999);
    assert!(votes.is_idle() && votes.write().unwrap().is_none());
    let kept = VoteJournal::load(&disk.crash(), root()).unwrap();
    assert_eq!(kept.states.len(), 1000);
}

#[tokio::test]
async fn a_partition_that_lost_entries_is_read_only_and_the_others_go_on() {
    let disk = MemoryDisk::new();
    let registry = open(&disk, 1).await;
    let made = topic(&registry, 2).await;
    for partition in [0, 1] {
        let handle = made.partition(partition).unwrap();
        handle.append(batch(), Acks::All, WITHIN).await.unwrap();
    }
    registry.close().await.unwrap();
    // a membership was applied at an entry that the log does not have any more
    let mut journal = begin_journal(&disk);
    let voters = VoterSet::lone(ReplicaId::new(1, 1));
    let lost = (EntryIndex(999), Membership::initial(voters).encode());
    let group = GroupId {
        topic_id: made.id,
        partition: 0,
    };
    journal.set_membership(group, lost);
    journal.settle().unwrap();
    drop(journal);

    let registry = open(&disk, 1).await;
    let broken = registry.partition("a", 0).unwrap();
    let why = broken.closed().expect("its consensus cannot start");
    assert!(why.contains("999"), "{why}");
    let refused = broken.append(batch(), Acks::All, WITHIN).await;
    assert_eq!(refused.err(), Some(AppendFailure::LogClosed));
    assert_eq!(broken.view().log_end(), Offset(1));
    let sound = registry.partition("a", 1).unwrap();
    assert_eq!(sound.closed(), None);
    let appended = sound.append(batch(), Acks::All, WITHIN).await.unwrap();
    assert_eq!(appended.base_offset, Offset(1));
    registry.close().await.unwrap();
}

#[tokio::test]
async fn terms_rise_with_each_start_whatever_the_number_of_shards() {
    let disk = MemoryDisk::new();
    let registry = open(&disk, 3).await;
    topic(&registry, 5).await;
    registry.close().await.unwrap();
    for (start, shards) in [(2, 1), (3, 4), (4, 2)] {
        let registry = open(&disk, shards).await;
        for partition in 0..5 {
            let handle = registry.partition("a", partition).unwrap();
            handle.append(batch(), Acks::All, WITHIN).await.unwrap();
            assert_eq!(handle.view().epoch(), LeaderEpoch(start));
        }
        registry.close().await.unwrap();
        let kept = VoteJournal::load(&disk.crash(), root()).unwrap();
        assert_eq!(kept.states.len(), 5);
        for state in kept.states.values() {
            assert_eq!((state.term, state.vote), (LeaderEpoch(start), 1 << 32 | 1));
        }
    }
}

#[tokio::test]
async fn a_process_that_dies_leaves_hints_of_the_last_seconds() {
    let disk = MemoryDisk::new();
    let registry = open(&disk, 1).await;
    let made = topic(&registry, 1).await;
    let handle = made.partition(0).unwrap();
    handle.append(batch(), Acks::All, WITHIN).await.unwrap();
    let group = GroupId {
        topic_id: made.id,
        partition: 0,
    };
    let written = async {
        loop {
            let states = VoteJournal::load(&disk, root()).unwrap().states;
            let hint = states.get(&group).and_then(|state| state.hint);
            if hint.is_some_and(|hint| hint.offset == Offset(1)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, written).await.unwrap();
    registry.close().await.unwrap();
}
