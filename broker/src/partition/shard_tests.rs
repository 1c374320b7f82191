//! Shards over a disk in memory: votes of many groups, and one partition that is quarantined.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headrace_storage::data_dir::DataDir;
use headrace_storage::fs::{Disk, FailedWork, Fault, MemoryDisk};
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
use crate::controller::image::Image;
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

async fn named(registry: &Registry, name: &str) -> Arc<Topic> {
    let topic = NewTopic {
        name: name.into(),
        partitions: 3,
        overrides: Overrides::default(),
    };
    registry.create(topic).await.unwrap()
}

/// The topics of which the journals know something, by what a power cut leaves.
fn known(disk: &MemoryDisk) -> BTreeSet<Uuid> {
    let loaded = VoteJournal::load(&disk.crash(), root()).unwrap();
    loaded.states.keys().map(|group| group.topic_id).collect()
}

/// Whether a journal's file still speaks of the topic.
fn is_named(disk: &MemoryDisk, topic: Uuid) -> bool {
    let names = disk.list(root()).unwrap();
    let journals = names.iter().filter(|name| name.starts_with("votes-"));
    let bytes = journals.filter_map(|name| disk.bytes_of(&root().join(name)));
    let mut bytes = bytes;
    bytes.any(|bytes| bytes.windows(16).any(|found| found == topic.as_bytes()))
}

#[tokio::test]
async fn votes_of_a_deleted_topic_go_and_leave_nothing_behind() {
    let disk = MemoryDisk::new();
    let registry = open(&disk, 2).await;
    let (kept, early) = (named(&registry, "kept").await, named(&registry, "b").await);
    registry.close().await.unwrap();
    let registry = open(&disk, 3).await;
    let late = named(&registry, "c").await;
    for gone in [&early, &late] {
        registry.delete(gone.id).await.unwrap();
    }
    registry.close().await.unwrap();
    assert_eq!(known(&disk), BTreeSet::from([kept.id]));
    for shards in [3, 1] {
        open(&disk, shards).await.close().await.unwrap();
        assert_eq!(known(&disk), BTreeSet::from([kept.id]));
    }
    for gone in [early, late] {
        assert!(!is_named(&disk, gone.id));
    }
    assert!(is_named(&disk, kept.id));
}

/// Stages a vote of a partition that nobody made, or whose deletion was cut short.
fn vote_of_nobody(disk: &MemoryDisk, topic_id: Uuid, partition: i32) {
    let mut journal = begin_journal(disk);
    let group = GroupId {
        topic_id,
        partition,
    };
    journal.set_vote(group, LeaderEpoch(7), 1);
    journal.settle().unwrap();
}

#[tokio::test]
async fn votes_that_the_catalogue_does_not_name_go_at_a_start() {
    let disk = MemoryDisk::new();
    let registry = open(&disk, 2).await;
    let made = named(&registry, "a").await;
    registry.close().await.unwrap();
    let nobody = Uuid::from_u128(7);
    vote_of_nobody(&disk, nobody, 0);
    vote_of_nobody(&disk, made.id, 3);
    assert_eq!(known(&disk), BTreeSet::from([made.id, nobody]));
    open(&disk, 2).await.close().await.unwrap();
    assert!(!is_named(&disk, nobody));
    let kept = VoteJournal::load(&disk.crash(), root()).unwrap();
    let mut partitions: Vec<i32> = kept.states.keys().map(|group| group.partition).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2], "of three partitions");
}

async fn with_records(registry: &Registry, name: &str) {
    for partition in 0..3 {
        let handle = registry.partition(name, partition).unwrap();
        handle.append(batch(), Acks::All, WITHIN).await.unwrap();
    }
}

/// Logs with records are left alone then, and so are their votes: the right catalogue may come back.
#[tokio::test]
async fn an_old_catalogue_put_back_costs_no_vote() {
    let disk = MemoryDisk::new();
    let catalogue = root().join("catalogue");
    let registry = open(&disk, 2).await;
    let first = named(&registry, "a").await;
    with_records(&registry, "a").await;
    let old = disk.bytes_of(&catalogue).unwrap();
    let second = named(&registry, "b").await;
    with_records(&registry, "b").await;
    registry.close().await.unwrap();
    let new = disk.bytes_of(&catalogue).unwrap();
    let both = BTreeSet::from([first.id, second.id]);
    for bytes in [old, new] {
        disk.damage(&catalogue, |of| *of = bytes);
        open(&disk, 1).await.close().await.unwrap();
        assert_eq!(known(&disk), both);
    }
}

#[tokio::test]
async fn catalogue_that_cannot_be_read_costs_no_vote() {
    let disk = MemoryDisk::new();
    let registry = open(&disk, 2).await;
    named(&registry, "a").await;
    with_records(&registry, "a").await;
    registry.close().await.unwrap();
    vote_of_nobody(&disk, Uuid::from_u128(7), 0);
    let catalogue = root().join("catalogue");
    let damaged = disk.crash();
    damaged.damage(&catalogue, |bytes| bytes[30] ^= 1);
    let missing = disk.crash();
    missing.remove(&catalogue).unwrap();
    for disk in [damaged, missing] {
        let before = known(&disk);
        assert_eq!(before.len(), 2);
        refused(&disk).await;
        assert_eq!(known(&disk), before);
    }
    // in a directory that never had a topic, or has lost all of them with their catalogue
    let bare = MemoryDisk::new();
    drop(DataDir::open_on(Arc::new(bare.clone()), root()).unwrap());
    vote_of_nobody(&bare, Uuid::from_u128(7), 0);
    open(&bare, 2).await.close().await.unwrap();
    assert_eq!(known(&bare), BTreeSet::from([Uuid::from_u128(7)]));
}

/// A start that must fail.
async fn refused(disk: &MemoryDisk) {
    let disk = disk.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let data = DataDir::open_on(Arc::new(disk), root()).unwrap();
        let upkeep = BrokerConfig::default().upkeep_settings();
        assert!(Registry::open(Arc::new(data), &clock, 2, &upkeep).is_err());
    });
    opening.await.unwrap();
}

/// Each call fails once, having done its work: whether the catalogue names the topic is not known then, and the
/// votes must be there if it does.
#[tokio::test]
async fn topic_that_the_catalogue_names_never_lost_its_votes() {
    let (mut at_call, mut failed, mut names) = (0, 0, 0);
    loop {
        let disk = MemoryDisk::new();
        let registry = open(&disk, 1).await;
        disk.set_failed_work(FailedWork::All);
        disk.fail(Fault {
            at_call,
            kind: ErrorKind::Other,
            lasting: false,
        });
        let topic = NewTopic {
            name: "a".into(),
            partitions: 1,
            overrides: Overrides::default(),
        };
        let made = registry.create(topic).await;
        let calls = disk.calls();
        disk.heal();
        drop(registry.close().await);
        let data = DataDir::open_on(Arc::new(disk.crash()), root()).unwrap();
        let catalogue = data.read_file("catalogue").unwrap();
        let image = catalogue.map(|bytes| Image::decode(&bytes).unwrap());
        for topic in image.iter().flat_map(Image::topics) {
            names += u64::from(made.is_err());
            assert!(known(&disk).contains(&topic.id), "call {at_call}: {made:?}");
        }
        failed += u64::from(made.is_err());
        if made.is_ok() && at_call > calls {
            break;
        }
        at_call += 1;
    }
    assert!(
        failed > 3 && names > 0,
        "{failed} failed, {names} are named"
    );
}
