//! What goes and what stays: groups and offsets that are deleted, offsets that expire (traps 19, 57, 59).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headrace_protocol::consumer_protocol::{ConsumerProtocolSubscription, encode_versioned};
use uuid::Uuid;

use super::world::{id, join, settings};
use crate::coordinator::group::event::{Event, GroupError, Identity, Join, Reply, Sync};
use crate::coordinator::group::members::Protocol;
use crate::coordinator::group::offsets::{CommittedOffset, TopicPartition};
use crate::coordinator::group::records::{GroupMetadata, Key};
use crate::coordinator::group::{
    EMPTY_GROUP_KEPT, Generation, GroupId, GroupSettings, GroupState, Now, Ticket,
};
use crate::coordinator::groups::Groups;
use crate::coordinator::groups::event::{Answer, AppendError, Commit, LogRecord, Output, WriteId};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Groups with a log of the keys that hold a value, and the answers that came.
struct Shelf {
    groups: Groups,
    now: Now,
    answers: BTreeMap<Ticket, Answer>,
    waiting: Vec<(WriteId, Vec<LogRecord>)>,
    log: BTreeMap<Bytes, Bytes>,
    /// Writes are confirmed at once.
    confirm: bool,
    next: u64,
}

fn one_day() -> Arc<GroupSettings> {
    Arc::new(GroupSettings {
        offsets_retention: Duration::from_hours(24),
        ..settings()
    })
}

fn group(name: &str) -> GroupId {
    Arc::from(name)
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: Arc::from(topic),
        partition,
    }
}

/// A member that reads these topics.
fn reader(member: &str, topics: &[&str]) -> Join {
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| (*topic).into()).collect(),
        ..ConsumerProtocolSubscription::default()
    };
    Join {
        protocols: vec![Protocol {
            name: Arc::from("range"),
            metadata: encode_versioned(&subscription, 1).unwrap(),
        }],
        session_timeout_ms: 30 * 60 * 1_000,
        ..join(id(""), member, &[])
    }
}

impl Shelf {
    fn new() -> Shelf {
        Shelf {
            groups: Groups::new(one_day()),
            now: Now {
                tick_ms: 0,
                wall_ms: 100 * DAY_MS,
            },
            answers: BTreeMap::new(),
            waiting: Vec::new(),
            log: BTreeMap::new(),
            confirm: true,
            next: 0,
        }
    }

    fn run(&mut self, step: impl FnOnce(&mut Groups, Ticket, Now)) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        step(&mut self.groups, ticket, self.now);
        self.absorb();
        ticket
    }

    fn absorb(&mut self) {
        for output in self.groups.take_outputs() {
            match output {
                Output::Answer(ticket, answer) => {
                    assert!(self.answers.insert(ticket, answer).is_none());
                }
                Output::Append(id, records) => {
                    self.waiting.push((id, records));
                }
            }
        }
        if self.confirm && !self.waiting.is_empty() {
            self.written(Ok(()));
        }
    }

    /// Ends the oldest write.
    fn written(&mut self, result: Result<(), AppendError>) {
        let (id, records) = self.waiting.remove(0);
        if result.is_ok() {
            for record in records {
                match record.value {
                    Some(value) => self.log.insert(record.key, value),
                    None => self.log.remove(&record.key),
                };
            }
        }
        self.groups.written(id, result, self.now);
        self.absorb();
    }

    /// Time goes on by this much.
    fn pass(&mut self, ms: i64) {
        self.now.wall_ms += ms;
        self.now.tick_ms += u64::try_from(ms).unwrap();
        self.groups.tick(self.now);
        self.absorb();
    }

    fn expire(&mut self) {
        self.run(|groups, _, now| groups.expire(&|_, _| true, now));
    }

    fn commit_as(&mut self, name: &str, who: (Identity, Generation), topic: &str) -> Ticket {
        let (offset, commit_time_ms) = (7, self.now.wall_ms);
        let offset = CommittedOffset {
            offset,
            leader_epoch: -1,
            metadata: Arc::from(""),
            commit_time_ms,
            expiry_time_ms: None,
            topic_id: Uuid::from_u128(1),
        };
        let commit = Commit {
            identity: who.0,
            generation: who.1,
            knows_epochs: false,
            offsets: vec![(at(topic, 0), offset)],
        };
        self.run(|groups, ticket, now| groups.commit(&group(name), commit, ticket, now))
    }

    fn commit(&mut self, name: &str, topic: &str) -> Ticket {
        self.commit_as(name, (id(""), Generation::NONE), topic)
    }

    /// Makes a group of one member that holds the generation 1.
    fn stable(&mut self, name: &str, join: Join) -> (Identity, Generation) {
        let me = id(&join.fresh_member_id);
        let event = |ticket| Event::Join(ticket, join);
        self.run(|groups, ticket, now| groups.group_event(&group(name), event(ticket), now));
        let sync = Sync {
            identity: me.clone(),
            generation: Generation(1),
            protocol_type: None,
            protocol: None,
            assignments: Vec::new(),
        };
        let event = |ticket| Event::Sync(ticket, sync);
        self.run(|groups, ticket, now| groups.group_event(&group(name), event(ticket), now));
        assert_eq!(self.state(name), Some(GroupState::Stable));
        (me, Generation(1))
    }

    fn leave(&mut self, name: &str, who: Identity) {
        let event = |ticket| Event::Leave(ticket, vec![who]);
        self.run(|groups, ticket, now| groups.group_event(&group(name), event(ticket), now));
        assert_eq!(self.state(name), Some(GroupState::Empty));
    }

    fn state(&self, name: &str) -> Option<GroupState> {
        self.groups.describe(name).map(|group| group.state)
    }

    fn delete(&mut self, name: &str) -> Ticket {
        self.run(|groups, ticket, now| groups.delete(&group(name), ticket, now))
    }

    fn deleted(&mut self, ticket: Ticket) -> Result<(), GroupError> {
        match self.answers.remove(&ticket).expect("answered") {
            Answer::Deleted(result) => result,
            other => panic!("not a deletion: {other:?}"),
        }
    }

    fn delete_offsets(
        &mut self,
        name: &str,
        places: &[TopicPartition],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let places = places.to_vec();
        let ticket = self
            .run(|groups, ticket, now| groups.delete_offsets(&group(name), places, ticket, now));
        match self.answers.remove(&ticket).expect("answered") {
            Answer::OffsetsDeleted(results) => results,
            other => panic!("not a deletion: {other:?}"),
        }
    }

    /// The topics in which a group has offsets, in memory and, the same, in the log.
    fn topics(&self, name: &str) -> Vec<String> {
        let memory: Vec<String> = self
            .groups
            .offsets(name)
            .map(|offsets| offsets.iter().map(|(at, _)| at.topic.to_string()).collect())
            .unwrap_or_default();
        let mut log = Vec::new();
        for key in self.log.keys() {
            if let Key::Offset { group, topic, .. } = Key::decode(key.clone()).unwrap()
                && &*group == name
            {
                log.push(topic.to_string());
            }
        }
        assert_eq!(memory, log, "memory is what the log holds");
        memory
    }
}

/// trap 59
#[test]
fn group_with_members_is_not_deleted_and_an_unknown_one_is_not_found() {
    let mut shelf = Shelf::new();
    shelf.stable("g", reader("a", &["t"]));
    let ticket = shelf.delete("g");
    assert_eq!(shelf.deleted(ticket), Err(GroupError::NonEmptyGroup));
    let ticket = shelf.delete("unknown");
    assert_eq!(shelf.deleted(ticket), Err(GroupError::GroupIdNotFound));
    assert_eq!(shelf.state("g"), Some(GroupState::Stable));
}

/// trap 59
#[test]
fn deleted_group_is_gone_from_memory_and_log() {
    let mut shelf = Shelf::new();
    let me = shelf.stable("g", reader("a", &["t"]));
    shelf.commit_as("g", me.clone(), "t");
    shelf.commit("h", "t");
    shelf.leave("g", me.0);
    shelf.confirm = false;
    let ticket = shelf.delete("g");
    assert!(!shelf.answers.contains_key(&ticket), "not durable yet");
    while !shelf.waiting.is_empty() {
        shelf.written(Ok(()));
    }
    assert_eq!(shelf.deleted(ticket), Ok(()));
    assert_eq!((shelf.state("g"), shelf.topics("g")), (None, vec![]));
    assert_eq!(shelf.log.len(), 1, "the offset of the other group");
    assert_eq!(shelf.groups.sizes(), (1, 1));
    shelf.confirm = true;
    let ticket = shelf.delete("g");
    assert_eq!(shelf.deleted(ticket), Err(GroupError::GroupIdNotFound));
}

#[test]
fn commit_before_a_deletion_goes_with_it_and_one_behind_it_stays() {
    let mut shelf = Shelf::new();
    shelf.confirm = false;
    shelf.commit("g", "before");
    let ticket = shelf.delete("g");
    shelf.commit("g", "behind");
    while !shelf.waiting.is_empty() {
        shelf.written(Ok(()));
    }
    assert_eq!(shelf.deleted(ticket), Ok(()));
    assert_eq!(shelf.topics("g"), ["behind"]);
}

#[test]
fn deletion_that_is_not_written_says_so_and_leaves_the_group() {
    for failing in [0, 1] {
        let mut shelf = Shelf::new();
        shelf.commit("g", "t");
        shelf.confirm = false;
        let ticket = shelf.delete("g");
        for place in 0..2 {
            let failed = Err(AppendError::Unavailable);
            shelf.written(if place == failing { failed } else { Ok(()) });
        }
        assert_eq!(
            shelf.deleted(ticket),
            Err(GroupError::CoordinatorNotAvailable)
        );
        assert_eq!(shelf.topics("g").len(), 1 - failing);
    }
}

#[test]
fn member_that_joins_while_its_group_is_deleted_stays() {
    let mut shelf = Shelf::new();
    shelf.commit("g", "t");
    shelf.confirm = false;
    let ticket = shelf.delete("g");
    let join = reader("a", &["t"]);
    let event = |ticket| Event::Join(ticket, join);
    let joined =
        shelf.run(|groups, ticket, now| groups.group_event(&group("g"), event(ticket), now));
    shelf.confirm = true;
    shelf.written(Ok(()));
    assert_eq!(shelf.deleted(ticket), Ok(()));
    assert!(matches!(
        shelf.answers.remove(&joined),
        Some(Answer::Group(Reply::Join(Ok(_))))
    ));
    assert_eq!(shelf.state("g"), Some(GroupState::CompletingRebalance));
}

/// trap 59
#[test]
fn offsets_of_topics_that_a_group_reads_are_not_deleted() {
    let mut shelf = Shelf::new();
    let me = shelf.stable("g", reader("a", &["read"]));
    shelf.commit_as("g", me.clone(), "read");
    shelf.commit_as("g", me.clone(), "unread");
    let places = [at("read", 0), at("unread", 0), at("unread", 5)];
    let results = shelf.delete_offsets("g", &places).unwrap();
    let subscribed = Err(GroupError::SubscribedToTopic);
    assert_eq!(results, [subscribed, Ok(()), Ok(())]);
    assert_eq!(shelf.topics("g"), ["read"]);
    shelf.leave("g", me.0);
    let results = shelf.delete_offsets("g", &places[..1]).unwrap();
    assert_eq!((results, shelf.topics("g")), (vec![Ok(())], vec![]));
}

#[test]
fn consumers_whose_subscription_cannot_be_read_keep_all_offsets() {
    let mut shelf = Shelf::new();
    shelf.stable("g", join(id(""), "a", &["range"]));
    let results = shelf.delete_offsets("g", &[at("t", 0)]).unwrap();
    assert_eq!(results, [Err(GroupError::SubscribedToTopic)]);
}

#[test]
fn offsets_of_another_protocol_type_are_not_deleted_while_it_has_members() {
    let mut shelf = Shelf::new();
    let worker = Join {
        protocol_type: Arc::from("connect"),
        ..join(id(""), "a", &["default"])
    };
    let me = shelf.stable("g", worker);
    shelf.commit_as("g", me, "t");
    let places = [at("t", 0)];
    let refused = shelf.delete_offsets("g", &places);
    assert_eq!(refused, Err(GroupError::NonEmptyGroup));
    let unknown = shelf.delete_offsets("unknown", &places);
    assert_eq!(unknown, Err(GroupError::GroupIdNotFound));
    shelf.pass(2 * DAY_MS);
    assert_eq!(shelf.state("g"), Some(GroupState::Empty));
    assert_eq!(shelf.delete_offsets("g", &places), Ok(vec![Ok(())]));
}

/// trap 57
#[test]
fn offsets_expire_a_retention_after_their_group_became_empty() {
    let mut shelf = Shelf::new();
    let me = shelf.stable("g", reader("a", &["t"]));
    shelf.commit_as("g", me.clone(), "t");
    for _ in 0..300 {
        // The member lives for days and commits nothing.
        shelf.pass(29 * 60 * 1_000);
        let (identity, generation) = me.clone();
        let heartbeat = crate::coordinator::group::event::Heartbeat {
            identity,
            generation,
        };
        let event = |ticket| Event::Heartbeat(ticket, heartbeat);
        shelf.run(|groups, ticket, now| groups.group_event(&group("g"), event(ticket), now));
        shelf.expire();
    }
    assert_eq!(shelf.topics("g"), ["t"], "not while active");
    shelf.leave("g", me.0);
    shelf.pass(DAY_MS - 1);
    shelf.expire();
    assert_eq!(shelf.topics("g"), ["t"]);
    shelf.pass(1);
    shelf.expire();
    assert_eq!(shelf.topics("g"), [""; 0]);
    shelf.pass(i64::try_from(EMPTY_GROUP_KEPT.as_millis()).unwrap());
    assert_eq!((shelf.state("g"), shelf.log.len()), (None, 0));
}

/// trap 57
#[test]
fn offsets_of_a_simple_group_expire_a_retention_after_their_own_commit() {
    let mut shelf = Shelf::new();
    shelf.commit("g", "older");
    shelf.pass(DAY_MS / 2);
    shelf.commit("g", "newer");
    shelf.pass(DAY_MS / 2);
    shelf.expire();
    assert_eq!(shelf.topics("g"), ["newer"]);
    shelf.pass(DAY_MS / 2);
    shelf.expire();
    assert_eq!(shelf.state("g"), None);
}

/// trap 57
#[test]
fn live_group_keeps_what_it_reads_and_loses_what_it_gave_up() {
    let mut shelf = Shelf::new();
    let patient = Join {
        session_timeout_ms: 30 * 60 * 1_000,
        ..reader("a", &["read"])
    };
    let me = shelf.stable("g", patient);
    shelf.commit_as("g", me.clone(), "given up");
    shelf.commit_as("g", me, "read");
    // The wall clock alone: the member's session is not the point here.
    shelf.now.wall_ms += 2 * DAY_MS;
    shelf.expire();
    assert_eq!(shelf.topics("g"), ["read"]);
}

/// trap 57
#[test]
fn nothing_expires_in_a_rebalance_or_under_another_protocol_type() {
    let mut shelf = Shelf::new();
    let me = shelf.stable("g", reader("a", &["read"]));
    shelf.commit_as("g", me, "unread");
    let other = reader("b", &["read"]);
    let event = |ticket| Event::Join(ticket, other);
    shelf.run(|groups, ticket, now| groups.group_event(&group("g"), event(ticket), now));
    assert_eq!(shelf.state("g"), Some(GroupState::PreparingRebalance));
    let worker = Join {
        protocol_type: Arc::from("connect"),
        ..join(id(""), "a", &["default"])
    };
    let me = shelf.stable("h", worker);
    shelf.commit_as("h", me, "t");
    shelf.now.wall_ms += 2 * DAY_MS;
    shelf.expire();
    assert_eq!(shelf.topics("g"), ["unread"]);
    assert_eq!(shelf.topics("h"), ["t"]);
}

/// trap 57
#[test]
fn offset_with_a_time_of_its_own_expires_at_that_time() {
    let mut shelf = Shelf::new();
    for (topic, expiry_ms) in [("soon", 1_000), ("late", 3 * DAY_MS)] {
        let offset = CommittedOffset {
            offset: 1,
            leader_epoch: -1,
            metadata: Arc::from(""),
            commit_time_ms: shelf.now.wall_ms,
            expiry_time_ms: Some(shelf.now.wall_ms + expiry_ms),
            topic_id: Uuid::from_u128(1),
        };
        let commit = Commit {
            identity: id(""),
            generation: Generation::NONE,
            knows_epochs: false,
            offsets: vec![(at(topic, 0), offset)],
        };
        shelf.run(|groups, ticket, now| groups.commit(&group("g"), commit, ticket, now));
    }
    shelf.pass(1_000);
    shelf.expire();
    assert_eq!(shelf.topics("g"), ["late"]);
    shelf.pass(2 * DAY_MS);
    shelf.expire();
    assert_eq!(shelf.topics("g"), ["late"], "longer than the retention");
}

/// trap 57
#[test]
fn group_of_a_record_without_a_time_counts_from_the_commit() {
    let mut shelf = Shelf::new();
    let metadata = GroupMetadata {
        protocol_type: Arc::from("consumer"),
        generation: Generation(3),
        protocol: None,
        leader: None,
        state_since_ms: -1,
        members: Vec::new(),
    };
    let now = shelf.now;
    shelf.groups.replay_group(&group("g"), Some(metadata), now);
    shelf.groups.loaded(now);
    shelf.commit("g", "t");
    shelf.pass(DAY_MS - 1);
    shelf.expire();
    assert_eq!(shelf.topics("g"), ["t"]);
    shelf.pass(1);
    shelf.expire();
    assert_eq!(shelf.topics("g"), [""; 0]);
}

/// trap 19
#[test]
fn offsets_of_a_topic_that_is_gone_go_with_the_next_check() {
    let mut shelf = Shelf::new();
    shelf.commit("g", "gone");
    shelf.commit("g", "kept");
    shelf.run(|groups, _, now| groups.expire(&|at, _| &*at.topic == "kept", now));
    assert_eq!(shelf.topics("g"), ["kept"]);
}

#[test]
fn offset_being_committed_is_not_expired() {
    let mut shelf = Shelf::new();
    shelf.commit("g", "t");
    shelf.pass(DAY_MS);
    shelf.confirm = false;
    shelf.commit("g", "t");
    shelf.expire();
    assert_eq!(shelf.waiting.len(), 1, "no tombstone");
    shelf.written(Ok(()));
    assert_eq!(shelf.topics("g"), ["t"]);
}
