//! Scripts for the rules, and a property: a client with a session learns what one without does.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use headrace_protocol::fetch::{
    FetchPartition, FetchResponse, FetchTopic, FetchableTopicResponse, ForgottenTopic,
    PartitionData,
};
use headrace_protocol::{ErrorCode, Records, Str};
use proptest::prelude::*;
use uuid::Uuid;

use super::cache::{Ask, Bounds, Cache, Moment, Ticket};
use super::session::{NameOf, Wanted};

const MINUTE_MS: i64 = 60_000;

/// A cache and the world that its answers are read from.
struct World {
    cache: Cache,
    now_ms: i64,
    next_id: i32,
    /// What each partition of the topic `t` says; those that are not here do not exist.
    partitions: BTreeMap<i32, PartitionData>,
}

fn nobody(_: Uuid) -> Option<Arc<str>> {
    None
}

fn moment(now_ms: i64, name_of: NameOf<'_>) -> Moment<'_> {
    Moment { now_ms, name_of }
}

fn ask(session_id: i32, epoch: i32) -> Ask {
    Ask {
        session_id,
        epoch,
        by_id: false,
        privileged: false,
    }
}

fn topic(partitions: &[i32]) -> Vec<FetchTopic> {
    let partition = |partition: &i32| FetchPartition {
        partition: *partition,
        ..FetchPartition::default()
    };
    vec![FetchTopic {
        topic: "t".into(),
        partitions: partitions.iter().map(partition).collect(),
        ..FetchTopic::default()
    }]
}

fn forget(partitions: &[i32]) -> Vec<ForgottenTopic> {
    vec![ForgottenTopic {
        topic: "t".into(),
        partitions: partitions.to_vec(),
        ..ForgottenTopic::default()
    }]
}

fn at(high_watermark: i64) -> PartitionData {
    PartitionData {
        high_watermark,
        last_stable_offset: high_watermark,
        log_start_offset: 0,
        ..PartitionData::default()
    }
}

fn with_records(high_watermark: i64) -> PartitionData {
    PartitionData {
        records: Some(Records::from(Bytes::from_static(b"batch"))),
        ..at(high_watermark)
    }
}

impl World {
    fn new(sessions: usize, partitions: usize) -> World {
        World {
            cache: Cache::new(Bounds {
                sessions,
                partitions,
            }),
            now_ms: 0,
            next_id: 0,
            partitions: (0..10).map(|number| (number, at(0))).collect(),
        }
    }

    fn read(&self, wanted: &[Wanted]) -> Vec<FetchableTopicResponse> {
        let answer = |asked: &FetchPartition| {
            let unknown = PartitionData {
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ..PartitionData::default()
            };
            let data = self.partitions.get(&asked.partition);
            PartitionData {
                partition_index: asked.partition,
                ..data.cloned().unwrap_or(unknown)
            }
        };
        let answers = |wanted: &Wanted| FetchableTopicResponse {
            topic: wanted.topic.topic.clone(),
            topic_id: wanted.topic.topic_id,
            partitions: wanted.topic.partitions.iter().map(answer).collect(),
        };
        wanted.iter().map(answers).collect()
    }

    fn begin(
        &mut self,
        ask: Ask,
        topics: Vec<FetchTopic>,
        forgotten: &[ForgottenTopic],
    ) -> Result<(Ticket, Vec<Wanted>), ErrorCode> {
        self.cache
            .begin(moment(self.now_ms, &nobody), ask, topics, forgotten)
    }

    fn finish(&mut self, (ticket, wanted): (Ticket, Vec<Wanted>)) -> FetchResponse {
        let mut answer = FetchResponse {
            responses: self.read(&wanted),
            ..FetchResponse::default()
        };
        let next_id = &mut self.next_id;
        let mut draw = || {
            *next_id += 1;
            *next_id
        };
        let now = moment(self.now_ms, &nobody);
        self.cache
            .finish(now, ticket, &wanted, &mut answer, &mut draw);
        answer
    }

    fn fetch(&mut self, ask: Ask, wanted: &[i32], forgotten: &[i32]) -> FetchResponse {
        let wanted = if wanted.is_empty() {
            Vec::new()
        } else {
            topic(wanted)
        };
        let forgotten = if forgotten.is_empty() {
            Vec::new()
        } else {
            forget(forgotten)
        };
        match self.begin(ask, wanted, &forgotten) {
            Ok(begun) => self.finish(begun),
            Err(error_code) => FetchResponse {
                error_code,
                ..FetchResponse::default()
            },
        }
    }

    /// A session with these partitions; its id, 0 if there was no room.
    fn open(&mut self, partitions: &[i32]) -> i32 {
        let answer = self.fetch(ask(0, 0), partitions, &[]);
        assert_eq!(answer.error_code, ErrorCode::NONE);
        answer.session_id
    }

    fn open_privileged(&mut self, partitions: &[i32]) -> i32 {
        let ask = Ask {
            privileged: true,
            ..ask(0, 0)
        };
        self.fetch(ask, partitions, &[]).session_id
    }

    fn is_known(&mut self, session_id: i32) -> bool {
        // an epoch that no session here gets to: the answer tells only whether it is known
        let refused = self.begin(ask(session_id, 1_000_000), Vec::new(), &[]);
        refused.unwrap_err() == ErrorCode::INVALID_FETCH_SESSION_EPOCH
    }
}

/// The partitions that an answer names, in its order.
fn named(answer: &FetchResponse) -> Vec<i32> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|data| data.partition_index).collect()
}

/// trap 35
#[test]
fn an_incremental_answer_omits_what_did_not_change() {
    let mut world = World::new(10, 100);
    let id = world.open(&[0, 1, 2, 3]);
    assert!(id > 0);
    let answer = world.fetch(ask(id, 1), &[], &[]);
    assert_eq!((answer.session_id, named(&answer)), (id, vec![]));
    world.partitions.insert(1, at(7));
    world.partitions.insert(2, with_records(0));
    world.partitions.get_mut(&3).unwrap().log_start_offset = 5;
    assert_eq!(named(&world.fetch(ask(id, 2), &[], &[])), [1, 2, 3]);
    // the records are still there, the rest was told
    assert_eq!(named(&world.fetch(ask(id, 3), &[], &[])), [2]);
}

/// trap 35
#[test]
fn an_error_is_told_each_time_and_its_end_too() {
    let mut world = World::new(10, 100);
    let id = world.open(&[0, 1]);
    let kept = world.partitions.remove(&1).unwrap();
    for epoch in 1..4 {
        let answer = world.fetch(ask(id, epoch), &[], &[]);
        assert_eq!(named(&answer), [1]);
    }
    world.partitions.insert(1, kept);
    let answer = world.fetch(ask(id, 4), &[], &[]);
    assert_eq!(named(&answer), [1], "the offsets are as before the error");
    assert!(named(&world.fetch(ask(id, 5), &[], &[])).is_empty());
}

/// trap 35
#[test]
fn partitions_come_and_go_with_incremental_requests() {
    let mut world = World::new(10, 100);
    let id = world.open(&[0, 1]);
    let answer = world.fetch(ask(id, 1), &[2], &[0]);
    assert_eq!(named(&answer), [2], "a new one is told of");
    world.partitions.values_mut().for_each(|data| *data = at(9));
    assert_eq!(named(&world.fetch(ask(id, 2), &[], &[])), [1, 2]);
    assert_eq!(world.cache.partitions(), 2);
}

/// trap 35
#[test]
fn a_partition_asked_for_anew_is_read_at_its_new_offset() {
    let mut world = World::new(10, 100);
    let id = world.open(&[0, 1]);
    let mut changed = topic(&[1]);
    changed[0].partitions[0].fetch_offset = 42;
    let (_, wanted) = world.begin(ask(id, 1), changed, &[]).unwrap();
    let offsets: Vec<i64> = wanted[0]
        .topic
        .partitions
        .iter()
        .map(|asked| asked.fetch_offset)
        .collect();
    assert_eq!(offsets, [0, 42]);
}

/// trap 35
#[test]
fn wrong_epochs_ids_and_ways_to_name_topics_have_their_codes() {
    let mut world = World::new(10, 100);
    let id = world.open(&[0]);
    for epoch in [2, 7, i32::MAX, -2] {
        let answer = world.fetch(ask(id, epoch), &[], &[]);
        assert_eq!(answer.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        assert_eq!((answer.session_id, named(&answer)), (0, vec![]));
    }
    for unknown in [0, id + 1, -id] {
        let answer = world.fetch(ask(unknown, 1), &[], &[]);
        assert_eq!(answer.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    }
    let by_id = Ask {
        by_id: true,
        ..ask(id, 1)
    };
    let answer = world.fetch(by_id, &[], &[]);
    assert_eq!(answer.error_code, ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
    let answer = world.fetch(ask(id, 1), &[], &[]);
    assert_eq!(
        answer.error_code,
        ErrorCode::NONE,
        "none of these harmed it"
    );
}

/// trap 35
#[test]
fn epochs_wrap_to_one() {
    let mut world = World::new(10, 100);
    let id = world.open(&[0]);
    world.cache.set_epoch(id, i32::MAX);
    assert_eq!(world.fetch(ask(id, i32::MAX), &[], &[]).session_id, id);
    assert_eq!(world.fetch(ask(id, 1), &[], &[]).session_id, id);
}

/// trap 35
#[test]
fn a_full_request_lets_the_old_session_go() {
    let mut world = World::new(10, 100);
    let first = world.open(&[0]);
    let second = world.fetch(ask(first, 0), &[0, 1], &[]);
    assert_ne!(second.session_id, first);
    assert!(!world.is_known(first));
    let last = world.fetch(ask(second.session_id, -1), &[0], &[]);
    assert_eq!((last.session_id, named(&last)), (0, vec![0]));
    assert!(world.cache.is_empty());
    assert_eq!(world.cache.partitions(), 0);
}

#[test]
fn a_session_without_partitions_ends() {
    let mut world = World::new(10, 100);
    assert_eq!(world.open(&[]), 0, "nothing to follow");
    let id = world.open(&[0, 1]);
    let answer = world.fetch(ask(id, 1), &[], &[0, 1]);
    assert_eq!((answer.error_code, answer.session_id), (ErrorCode::NONE, 0));
    assert!(world.cache.is_empty());
}

/// trap 35
#[test]
fn young_sessions_are_kept_and_newcomers_go_without() {
    let mut world = World::new(2, 100);
    let ids = [world.open(&[0]), world.open(&[0])];
    assert_eq!(world.open(&[0, 1, 2]), 0);
    assert!(ids.iter().all(|id| world.is_known(*id)));
    assert_eq!(world.cache.evicted(), 0);
}

/// trap 35
#[test]
fn a_session_that_is_not_used_makes_room_after_two_minutes() {
    let mut world = World::new(2, 100);
    let (idle, busy) = (world.open(&[0, 1, 2]), world.open(&[0]));
    world.now_ms = 2 * MINUTE_MS;
    world.fetch(ask(busy, 1), &[], &[]);
    assert_eq!(world.open(&[0]), 0);
    world.now_ms += 1;
    assert!(world.open(&[0]) > 0);
    assert!(!world.is_known(idle), "although it is the larger one");
    assert!(world.is_known(busy));
    assert_eq!(world.cache.evicted(), 1);
}

/// trap 35
#[test]
fn a_larger_newcomer_takes_the_place_of_the_smallest_grown_session() {
    let mut world = World::new(3, 100);
    let ids = [world.open(&[0, 1]), world.open(&[0]), world.open(&[0, 1])];
    world.now_ms = 2 * MINUTE_MS + 1;
    for id in ids {
        world.fetch(ask(id, 1), &[], &[]);
    }
    assert_eq!(world.open(&[0]), 0, "not larger than the smallest");
    assert!(world.open(&[0, 1, 2]) > 0);
    assert_eq!(ids.map(|id| world.is_known(id)), [true, false, true]);
}

/// trap 35
#[test]
fn followers_take_the_place_of_clients_and_not_the_other_way_round() {
    let mut world = World::new(1, 100);
    let client = world.open(&[0, 1, 2]);
    let follower = world.open_privileged(&[0]);
    assert!(follower > 0, "whatever the client's age and size");
    assert!(!world.is_known(client));
    world.now_ms = 2 * MINUTE_MS + 1;
    world.fetch(ask(follower, 1), &[], &[]);
    assert_eq!(world.open(&[0, 1, 2]), 0);
    assert!(world.is_known(follower));
}

/// trap 35
#[test]
fn partitions_of_all_sessions_are_bounded() {
    let mut world = World::new(10, 4);
    let large = world.open(&[0, 1, 2]);
    assert_eq!(world.open(&[0, 1]), 0);
    let small = world.open(&[0]);
    assert!(large > 0 && small > 0);
    // it cannot grow, and must ask for everything again
    let answer = world.fetch(ask(small, 1), &[1], &[]);
    assert_eq!(answer.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(world.cache.partitions(), 3);
    assert!(world.is_known(large));
}

/// trap 35
#[test]
fn an_answer_to_a_session_that_moved_on_is_an_error() {
    let mut world = World::new(10, 100);
    let id = world.open(&[0]);
    let waiting = world.begin(ask(id, 1), Vec::new(), &[]).unwrap();
    assert_eq!(world.fetch(ask(id, 2), &[], &[]).session_id, id);
    let late = world.finish(waiting);
    assert_eq!(late.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    assert!(late.responses.is_empty());
}

/// trap 73
#[test]
fn partitions_that_gave_records_are_served_after_the_others() {
    let mut world = World::new(10, 100);
    let id = world.open(&[0, 1, 2]);
    world.partitions.insert(0, with_records(3));
    world.fetch(ask(id, 1), &[], &[]);
    world.partitions.insert(1, with_records(3));
    assert_eq!(named(&world.fetch(ask(id, 2), &[], &[])), [1, 0]);
    let (_, wanted) = world.begin(ask(id, 3), Vec::new(), &[]).unwrap();
    let order = wanted[0].topic.partitions.iter();
    let order: Vec<i32> = order.map(|asked| asked.partition).collect();
    assert_eq!(order, [2, 1, 0]);
}

/// trap 16, trap 35
#[test]
fn a_session_knows_the_names_of_its_topic_ids() {
    let mut cache = Cache::new(Bounds::of(10));
    let id = Uuid::from_u128(7);
    let named = |asked: Uuid| (asked == id).then(|| Arc::from("t"));
    let mut wanted = topic(&[0]);
    wanted[0].topic = Str::default();
    wanted[0].topic_id = id;
    let by_id = |session_id, epoch| Ask {
        by_id: true,
        ..ask(session_id, epoch)
    };
    let (ticket, wanted) = cache
        .begin(moment(0, &named), by_id(0, 0), wanted, &[])
        .unwrap();
    let mut answer = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic_id: id,
            partitions: vec![at(0)],
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    };
    cache.finish(moment(0, &named), ticket, &wanted, &mut answer, &mut || 9);
    // the topic is gone meanwhile
    let (_, wanted) = cache
        .begin(moment(0, &nobody), by_id(9, 1), Vec::new(), &[])
        .unwrap();
    assert_eq!(wanted[0].known_as.as_deref(), Some("t"));
}

/// What a client does next.
#[derive(Debug, Clone)]
enum Step {
    /// A partition changes.
    Change(i32, i64, bool),
    Vanish(i32),
    /// The client follows exactly these from now on.
    Follow(Vec<i32>),
    /// Others come, and time goes by.
    Crowd(u8, i64),
    Fetch,
    /// An answer is lost on the way; the client begins anew.
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..10_i32, 0..5_i64, any::<bool>()).prop_map(|(n, hw, gives)| Step::Change(n, hw, gives)),
        1 => (0..10_i32).prop_map(Step::Vanish),
        2 => proptest::collection::vec(0..12_i32, 0..6).prop_map(Step::Follow),
        1 => (0..4_u8, 0..200_000_i64).prop_map(|(count, ms)| Step::Crowd(count, ms)),
        6 => Just(Step::Fetch),
        1 => Just(Step::Lose),
    ]
}

/// A client that keeps a session as the Java client does, and what it knows.
#[derive(Default)]
struct Follower {
    session_id: i32,
    epoch: i32,
    /// What the session has.
    sent: Vec<i32>,
    follows: Vec<i32>,
    knows: BTreeMap<i32, PartitionData>,
}

impl Follower {
    /// Asks once; `None` if the session was refused and everything must be asked for again.
    fn fetch(&mut self, world: &mut World) -> Option<()> {
        let full = self.epoch == 0;
        let fresh = |number: &&i32| full || !self.sent.contains(number);
        let new: Vec<i32> = self.follows.iter().filter(fresh).copied().collect();
        let gone = |number: &&i32| !full && !self.follows.contains(number);
        let gone: Vec<i32> = self.sent.iter().filter(gone).copied().collect();
        let answer = world.fetch(ask(self.session_id, self.epoch), &new, &gone);
        self.sent.clone_from(&self.follows);
        self.knows.retain(|number, _| self.follows.contains(number));
        // records are given again and again here: what was given before is no longer given
        for data in self.knows.values_mut() {
            data.records = Some(Records::default());
        }
        if answer.error_code.is_err() {
            (self.session_id, self.epoch) = (0, 0);
            return None;
        }
        for data in answer
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
        {
            assert!(
                self.follows.contains(&data.partition_index),
                "not asked for"
            );
            self.knows.insert(data.partition_index, data);
        }
        self.session_id = answer.session_id;
        self.epoch = if answer.session_id == 0 {
            0
        } else {
            self.epoch + 1
        };
        Some(())
    }
}

proptest! {
    /// trap 35
    #[test]
    fn a_client_with_a_session_learns_what_one_without_does(
        steps in proptest::collection::vec(step(), 1..80),
        sessions in 1..4_usize,
    ) {
        let mut world = World::new(sessions, 12);
        let mut client = Follower::default();
        for step in steps {
            match step {
                Step::Change(number, high_watermark, gives) => {
                    let data = if gives { with_records(high_watermark) } else { at(high_watermark) };
                    world.partitions.insert(number, data);
                }
                Step::Vanish(number) => drop(world.partitions.remove(&number)),
                Step::Follow(mut follows) => {
                    follows.sort_unstable();
                    follows.dedup();
                    client.follows = follows;
                }
                Step::Crowd(count, ms) => {
                    world.now_ms += ms;
                    for size in 0..count {
                        let numbers: Vec<i32> = (0..=i32::from(size)).collect();
                        world.fetch(ask(0, 0), &numbers, &[]);
                    }
                }
                Step::Lose => (client.session_id, client.epoch) = (0, 0),
                Step::Fetch => {
                    if client.fetch(&mut world).is_none() {
                        prop_assert!(client.fetch(&mut world).is_some(), "full requests are served");
                    }
                    let all = topic(&client.follows).into_iter().map(Wanted::from);
                    let all = world.read(&all.collect::<Vec<_>>());
                    let expected: BTreeMap<i32, PartitionData> = all
                        .into_iter()
                        .flat_map(|topic| topic.partitions)
                        .map(|data| (data.partition_index, data))
                        .collect();
                    prop_assert_eq!(&client.knows, &expected);
                }
            }
            prop_assert!(world.cache.len() <= sessions);
            prop_assert!(world.cache.partitions() <= 12);
        }
    }
}
