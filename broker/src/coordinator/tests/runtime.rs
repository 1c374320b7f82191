//! The coordinator over a log in memory: what is acknowledged survives a restart, what failed is not seen.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use headrace_storage::record::{BatchBuilder, Compression};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::memory::MemoryTopics;
use super::world::{SESSION_MS, World, id, join, settings};
use crate::clock::SystemClock;
use crate::coordinator::Coordinator;
use crate::coordinator::group::event::{GroupError, Heartbeat, Sync};
use crate::coordinator::group::offsets::{CommittedOffset, METADATA_BYTES_MAX, TopicPartition};
use crate::coordinator::group::records::Key;
use crate::coordinator::group::{Generation, GroupId, GroupState, Now};
use crate::coordinator::groups::Groups;
use crate::coordinator::groups::event::{AppendError, Commit};

async fn start(topics: &Arc<MemoryTopics>) -> Coordinator {
    let coordinator = Coordinator::start(topics.clone(), settings(), Arc::new(SystemClock)).await;
    coordinator.find("g").await.unwrap();
    coordinator
}

fn group() -> GroupId {
    Arc::from("g")
}

fn place(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: Arc::from(topic),
        partition,
    }
}

fn offset(offset: i64, topic_id: Uuid) -> CommittedOffset {
    CommittedOffset {
        offset,
        leader_epoch: -1,
        metadata: Arc::from(""),
        commit_time_ms: 1,
        expiry_time_ms: None,
        topic_id,
    }
}

fn simple(offsets: Vec<(TopicPartition, CommittedOffset)>) -> Commit {
    Commit {
        identity: id(""),
        generation: Generation::NONE,
        knows_epochs: false,
        offsets,
    }
}

async fn fetch(coordinator: &Coordinator) -> Vec<(TopicPartition, i64)> {
    let found = coordinator.offsets(group(), None).await.unwrap();
    found
        .into_iter()
        .map(|(place, offset)| (place, offset.offset))
        .collect()
}

async fn stable(coordinator: &Coordinator) -> Generation {
    let joined = coordinator
        .join(group(), join(id(""), "a", &["range"]))
        .await
        .unwrap();
    let sync = Sync {
        identity: id("a"),
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![(Arc::from("a"), Bytes::from_static(b"all"))],
    };
    let synced = coordinator.sync(group(), sync).await.unwrap();
    assert_eq!(&synced.assignment[..], b"all");
    joined.generation
}

/// trap 67
#[tokio::test]
async fn committed_offsets_and_generation_survive_a_restart() {
    let topics = MemoryTopics::new(8);
    let topic = topics.add("t");
    let coordinator = start(&topics).await;
    let generation = stable(&coordinator).await;
    let commit = Commit {
        identity: id("a"),
        generation,
        knows_epochs: false,
        offsets: vec![
            (place("t", 0), offset(10, topic)),
            (place("t", 3), offset(20, topic)),
        ],
    };
    let results = coordinator.commit(group(), commit).await.unwrap();
    assert_eq!(results, [Ok(()), Ok(())]);
    let expected = vec![(place("t", 0), 10), (place("t", 3), 20)];
    assert_eq!(fetch(&coordinator).await, expected);
    coordinator.stop().await;

    let coordinator = start(&topics).await;
    assert_eq!(fetch(&coordinator).await, expected);
    let heartbeat = Heartbeat {
        identity: id("a"),
        generation,
    };
    assert_eq!(coordinator.heartbeat(group(), heartbeat).await, Ok(()));
    let description = coordinator.describe(group()).await.unwrap().unwrap();
    assert_eq!(
        (description.state, &*description.protocol),
        (GroupState::Stable, "range")
    );
    assert_eq!(&description.members[0].assignment[..], b"all");
    coordinator.stop().await;
}

#[tokio::test]
async fn failed_commit_is_an_error_and_is_not_visible() {
    let topics = MemoryTopics::new(1);
    let topic = topics.add("t");
    let coordinator = start(&topics).await;
    let first = simple(vec![(place("t", 0), offset(1, topic))]);
    assert_eq!(coordinator.commit(group(), first).await.unwrap(), [Ok(())]);
    for (failure, error) in [
        (
            AppendError::Unavailable,
            GroupError::CoordinatorNotAvailable,
        ),
        (AppendError::Closed, GroupError::NotCoordinator),
        (AppendError::TooLarge, GroupError::CommitTooLarge),
    ] {
        *topics.logs[0].failure.lock().unwrap() = Some(failure);
        let second = simple(vec![
            (place("t", 0), offset(2, topic)),
            (place("t", 1), offset(2, topic)),
        ]);
        let results = coordinator.commit(group(), second).await.unwrap();
        assert_eq!(results, [Err(error), Err(error)]);
        assert_eq!(fetch(&coordinator).await, [(place("t", 0), 1)]);
    }
    *topics.logs[0].failure.lock().unwrap() = None;
    let third = simple(vec![(place("t", 0), offset(3, topic))]);
    assert_eq!(coordinator.commit(group(), third).await.unwrap(), [Ok(())]);
    coordinator.stop().await;
    let coordinator = start(&topics).await;
    assert_eq!(fetch(&coordinator).await, [(place("t", 0), 3)]);
    coordinator.stop().await;
}

#[tokio::test]
async fn commit_is_invisible_until_durable_and_others_join_its_batch() {
    let topics = MemoryTopics::new(1);
    let topic = topics.add("t");
    let coordinator = start(&topics).await;
    let gate = Arc::clone(&topics.logs[0].gate);
    gate.forget_permits(Semaphore::MAX_PERMITS);
    let commit = |n: i64| {
        let coordinator = coordinator.clone();
        let commit = simple(vec![(place("t", 0), offset(n, topic))]);
        tokio::spawn(async move { coordinator.commit(group(), commit).await })
    };
    let tasks: Vec<_> = (1..=20).map(commit).collect();
    // Reads are answered while the append waits, and see nothing of it.
    for _ in 0..20 {
        assert_eq!(fetch(&coordinator).await, []);
        tokio::task::yield_now().await;
    }
    assert_eq!(coordinator.list().await.unwrap(), []);
    gate.add_permits(100);
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), [Ok(())]);
    }
    assert_eq!(fetch(&coordinator).await, [(place("t", 0), 20)]);
    assert_eq!(
        topics.logs[0].batch_count(),
        2,
        "the first alone, the rest together"
    );
    coordinator.stop().await;
}

/// trap 56
#[tokio::test]
async fn text_too_long_is_refused_for_its_partition_alone() {
    let topics = MemoryTopics::new(1);
    let topic = topics.add("t");
    let coordinator = start(&topics).await;
    let text = |len| Arc::from("x".repeat(len));
    let long = CommittedOffset {
        metadata: text(METADATA_BYTES_MAX + 1),
        ..offset(1, topic)
    };
    let longest = CommittedOffset {
        metadata: text(METADATA_BYTES_MAX),
        ..offset(1, topic)
    };
    let commit = simple(vec![
        (place("t", 0), long.clone()),
        (place("t", 1), longest),
    ]);
    let results = coordinator.commit(group(), commit).await.unwrap();
    assert_eq!(results, [Err(GroupError::OffsetMetadataTooLarge), Ok(())]);
    assert_eq!(fetch(&coordinator).await, [(place("t", 1), 1)]);
    let results = coordinator
        .commit(Arc::from("h"), simple(vec![(place("t", 0), long)]))
        .await;
    assert_eq!(results.unwrap(), [Err(GroupError::OffsetMetadataTooLarge)]);
    assert_eq!(coordinator.describe(Arc::from("h")).await.unwrap(), None);
    coordinator.stop().await;
}

#[tokio::test]
async fn commit_too_large_for_a_batch_is_refused_as_a_whole() {
    let topics = MemoryTopics::new(1);
    let topic = topics.add("t");
    let coordinator = start(&topics).await;
    let long = CommittedOffset {
        metadata: Arc::from("x".repeat(METADATA_BYTES_MAX)),
        ..offset(1, topic)
    };
    let offsets = (0..4_200)
        .map(|partition| (place("t", partition), long.clone()))
        .collect();
    let results = coordinator.commit(group(), simple(offsets)).await.unwrap();
    assert!(
        results
            .iter()
            .all(|result| *result == Err(GroupError::CommitTooLarge))
    );
    assert_eq!((results.len(), topics.logs[0].batch_count()), (4_200, 0));
    let small = simple(vec![(place("t", 0), long)]);
    assert_eq!(coordinator.commit(group(), small).await.unwrap(), [Ok(())]);
    coordinator.stop().await;
}

#[tokio::test]
async fn commit_of_a_group_that_does_not_exist() {
    let topics = MemoryTopics::new(1);
    let topic = topics.add("t");
    let coordinator = start(&topics).await;
    let offsets = vec![(place("t", 0), offset(1, topic))];
    let fenced = Commit {
        identity: id("a"),
        generation: Generation(1),
        knows_epochs: false,
        offsets,
    };
    let results = coordinator.commit(group(), fenced).await.unwrap();
    assert_eq!(results, [Err(GroupError::IllegalGeneration)]);
    assert_eq!(coordinator.list().await.unwrap(), []);
    coordinator.stop().await;
}

/// trap 19
#[tokio::test]
async fn offsets_vanish_with_their_topic_and_a_new_one_of_the_name_has_none() {
    let topics = MemoryTopics::new(1);
    let (old, kept) = (topics.add("t"), topics.add("u"));
    let coordinator = start(&topics).await;
    let both = simple(vec![
        (place("t", 0), offset(9, old)),
        (place("u", 0), offset(1, kept)),
    ]);
    coordinator.commit(group(), both).await.unwrap();
    topics.remove(old);
    assert_eq!(fetch(&coordinator).await, [(place("u", 0), 1)]);
    let new = topics.add("t");
    assert_eq!(
        fetch(&coordinator).await,
        [(place("u", 0), 1)],
        "before any tombstone"
    );
    coordinator.topics_deleted(vec![old]).await;
    let again = simple(vec![(place("t", 0), offset(2, new))]);
    coordinator.commit(group(), again).await.unwrap();
    let expected = vec![(place("t", 0), 2), (place("u", 0), 1)];
    assert_eq!(fetch(&coordinator).await, expected);
    coordinator.stop().await;
    let coordinator = start(&topics).await;
    assert_eq!(fetch(&coordinator).await, expected);
    coordinator.stop().await;
}

#[tokio::test]
async fn tombstone_of_a_dead_topic_does_not_undo_a_commit_under_way() {
    let topics = MemoryTopics::new(1);
    let old = topics.add("t");
    let coordinator = start(&topics).await;
    let commit = |n, id| simple(vec![(place("t", 0), offset(n, id))]);
    coordinator.commit(group(), commit(9, old)).await.unwrap();
    topics.remove(old);
    let new = topics.add("t");
    let gate = Arc::clone(&topics.logs[0].gate);
    gate.forget_permits(Semaphore::MAX_PERMITS);
    let under_way = coordinator.clone();
    let commit = commit(1, new);
    let under_way = tokio::spawn(async move { under_way.commit(group(), commit).await });
    // The owner answers in order, so once it has answered this the commit waits for the log.
    tokio::task::yield_now().await;
    assert_eq!(fetch(&coordinator).await, []);
    coordinator.topics_deleted(vec![old]).await;
    assert_eq!(fetch(&coordinator).await, []);
    gate.add_permits(100);
    assert_eq!(under_way.await.unwrap().unwrap(), [Ok(())]);
    coordinator.stop().await;
    let coordinator = start(&topics).await;
    assert_eq!(fetch(&coordinator).await, [(place("t", 0), 1)]);
    coordinator.stop().await;
}

/// A clock that stands where it is put.
#[derive(Debug, Default)]
struct SetClock(std::sync::atomic::AtomicI64);

impl crate::clock::Clock for SetClock {
    fn wall_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// trap 57
#[tokio::test(start_paused = true)]
async fn offsets_that_had_their_time_go_at_the_next_check_and_stay_gone() {
    let topics = MemoryTopics::new(1);
    let topic = topics.add("t");
    let clock = Arc::new(SetClock::default());
    let settings = settings();
    let (retention, check) = (settings.offsets_retention, settings.offsets_retention_check);
    let coordinator = Coordinator::start(topics.clone(), settings.clone(), clock.clone()).await;
    coordinator.find("g").await.unwrap();
    let commit = simple(vec![(place("t", 0), offset(1, topic))]);
    coordinator.commit(group(), commit).await.unwrap();
    let due_ms = 1 + i64::try_from(retention.as_millis()).unwrap();
    clock.0.store(due_ms - 1, Ordering::SeqCst);
    tokio::time::sleep(check + check / 2).await;
    assert_eq!(fetch(&coordinator).await, [(place("t", 0), 1)]);
    clock.0.store(due_ms, Ordering::SeqCst);
    assert_eq!(fetch(&coordinator).await, [(place("t", 0), 1)]);
    tokio::time::sleep(check).await;
    assert_eq!(fetch(&coordinator).await, []);
    coordinator.stop().await;
    let coordinator = Coordinator::start(topics.clone(), settings, clock).await;
    coordinator.find("g").await.unwrap();
    assert_eq!(fetch(&coordinator).await, []);
    coordinator.stop().await;
}

/// trap 67
#[test]
fn sessions_run_from_the_end_of_the_load() {
    let at = |tick_ms| Now {
        tick_ms,
        wall_ms: 0,
    };
    let mut world = World::new();
    world.stable(&["a"]);
    let mut groups = Groups::new(Arc::new(settings()));
    groups.replay_group(&group(), world.log.clone(), at(0));
    // The log took a minute to read, longer than the session.
    groups.loaded(at(60_000));
    groups.tick(at(60_000 + SESSION_MS - 1));
    assert_eq!(groups.describe("g").unwrap().state, GroupState::Stable);
    groups.tick(at(60_000 + SESSION_MS));
    assert_eq!(groups.describe("g").unwrap().state, GroupState::Empty);
}

#[tokio::test]
async fn failed_assignment_is_told_to_the_members() {
    let topics = MemoryTopics::new(1);
    let coordinator = start(&topics).await;
    let joined = coordinator
        .join(group(), join(id(""), "a", &["range"]))
        .await
        .unwrap();
    *topics.logs[0].failure.lock().unwrap() = Some(AppendError::Closed);
    let sync = Sync {
        identity: id("a"),
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    };
    assert_eq!(
        coordinator.sync(group(), sync).await,
        Err(GroupError::NotCoordinator)
    );
    let heartbeat = Heartbeat {
        identity: id("a"),
        generation: joined.generation,
    };
    let answer = coordinator.heartbeat(group(), heartbeat).await;
    assert_eq!(answer, Err(GroupError::RebalanceInProgress));
    coordinator.stop().await;
}

/// trap 58
#[tokio::test(start_paused = true)]
async fn unreadable_partition_is_loading_until_it_can_be_read() {
    let topics = MemoryTopics::new(1);
    let topic = topics.add("t");
    let coordinator = start(&topics).await;
    coordinator
        .commit(group(), simple(vec![(place("t", 0), offset(1, topic))]))
        .await
        .unwrap();
    coordinator.stop().await;

    topics.logs[0].unreadable.store(true, Ordering::SeqCst);
    let coordinator = Coordinator::start(topics.clone(), settings(), Arc::new(SystemClock)).await;
    assert_eq!(
        coordinator.find("g").await,
        Err(GroupError::CoordinatorNotAvailable)
    );
    let loading = GroupError::CoordinatorLoading;
    assert_eq!(coordinator.offsets(group(), None).await, Err(loading));
    assert_eq!(coordinator.list().await, Err(loading));
    let heartbeat = Heartbeat {
        identity: id("a"),
        generation: Generation(1),
    };
    assert_eq!(
        coordinator.heartbeat(group(), heartbeat).await,
        Err(loading)
    );
    topics.logs[0].unreadable.store(false, Ordering::SeqCst);
    coordinator.find("g").await.unwrap();
    assert_eq!(fetch(&coordinator).await, [(place("t", 0), 1)]);
    coordinator.stop().await;
}

#[tokio::test]
async fn records_of_other_protocols_are_passed_over_and_damaged_ones_stop_the_load() {
    let topics = MemoryTopics::new(1);
    let coordinator = start(&topics).await;
    coordinator.stop().await;
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(
        1,
        Some(&Key::Other(11).encode().unwrap()),
        Some(b"anything"),
        &[],
    );
    builder.push(1, None, Some(b"no key"), &[]);
    topics.logs[0].push(builder.build());
    let coordinator = start(&topics).await;
    assert_eq!(coordinator.list().await.unwrap(), []);
    coordinator.stop().await;

    let mut builder = BatchBuilder::new(Compression::None);
    let key = Key::Group(Arc::from("g")).encode().unwrap();
    builder.push(1, Some(&key), Some(b"\x00\x09"), &[]);
    topics.logs[0].push(builder.build());
    let coordinator = Coordinator::start(topics.clone(), settings(), Arc::new(SystemClock)).await;
    let heartbeat = Heartbeat {
        identity: id("a"),
        generation: Generation(1),
    };
    let answer = coordinator.heartbeat(group(), heartbeat).await;
    assert_eq!(answer, Err(GroupError::CoordinatorLoading));
    coordinator.stop().await;
}

#[tokio::test]
async fn empty_group_name_is_refused_for_members_and_kept_for_offsets() {
    let topics = MemoryTopics::new(1);
    let topic = topics.add("t");
    let coordinator = start(&topics).await;
    let nameless: GroupId = Arc::from("");
    let refused = coordinator
        .join(nameless.clone(), join(id(""), "a", &["range"]))
        .await;
    assert_eq!(refused.unwrap_err().error, GroupError::InvalidGroupId);
    let commit = simple(vec![(place("t", 0), offset(1, topic))]);
    assert_eq!(
        coordinator.commit(nameless, commit).await.unwrap(),
        [Ok(())]
    );
    coordinator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn silent_group_empties_and_is_forgotten_with_a_tombstone() {
    let topics = MemoryTopics::new(1);
    let coordinator = start(&topics).await;
    stable(&coordinator).await;
    let state = |description: Option<crate::coordinator::groups::event::Description>| {
        description.map(|description| description.state)
    };
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let described = coordinator.describe(group()).await.unwrap();
    assert_eq!(state(described), Some(GroupState::Empty));
    tokio::time::sleep(std::time::Duration::from_secs(601)).await;
    assert_eq!(coordinator.describe(group()).await.unwrap(), None);
    coordinator.stop().await;
    let coordinator = start(&topics).await;
    assert_eq!(coordinator.list().await.unwrap(), []);
    assert_eq!(
        topics.logs[0].batch_count(),
        3,
        "assignment, emptied, tombstone"
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn stopped_coordinator_refuses() {
    let topics = MemoryTopics::new(1);
    let coordinator = start(&topics).await;
    coordinator.stop().await;
    let heartbeat = Heartbeat {
        identity: id("a"),
        generation: Generation(1),
    };
    assert_eq!(
        coordinator.heartbeat(group(), heartbeat).await,
        Err(GroupError::NotCoordinator)
    );
}
