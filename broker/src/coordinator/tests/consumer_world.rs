//! One group whose assignment the broker makes, with its clock, its topics, and a log that confirms when told to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::coordinator::group::consumer::ConsumerGroup;
use crate::coordinator::group::consumer::Epoch;
use crate::coordinator::group::consumer::machine::{Ask, Effect, Event};
use crate::coordinator::group::consumer::partitions::Partitions;
use crate::coordinator::group::consumer::records::Record;
use crate::coordinator::group::consumer::request::{Answer, Beat, Heartbeat, Refused};
use crate::coordinator::group::consumer::subscription::{TopicShape, Topics};
use crate::coordinator::group::event::GroupError;
use crate::coordinator::group::{GroupSettings, Now, Ticket};

pub(super) const SESSION_MS: u64 = 45_000;
pub(super) const REBALANCE_MS: i32 = 60_000;

/// Topics that a test changes.
#[derive(Debug, Clone, Default)]
pub(super) struct TestTopics {
    version: u64,
    topics: BTreeMap<Arc<str>, TopicShape>,
}

impl TestTopics {
    /// None yet, at this version.
    pub(super) fn at(version: u64) -> TestTopics {
        let topics = BTreeMap::new();
        TestTopics { version, topics }
    }

    pub(super) fn put(&mut self, name: &str, id: u128, partitions: i32) {
        self.version += 1;
        self.insert(name, id, partitions);
    }

    /// As [`TestTopics::put`], at the same version.
    pub(super) fn insert(&mut self, name: &str, id: u128, partitions: i32) {
        let id = Uuid::from_u128(id);
        let shape = TopicShape { id, partitions };
        self.topics.insert(Arc::from(name), shape);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.version += 1;
        self.topics.remove(name);
    }

    /// All partitions of all topics.
    pub(super) fn places(&self) -> Partitions {
        self.topics
            .values()
            .flat_map(|shape| (0..shape.partitions).map(|partition| (shape.id, partition)))
            .collect()
    }
}

impl Topics for TestTopics {
    fn version(&self) -> u64 {
        self.version
    }

    fn shape(&self, name: &str) -> Option<TopicShape> {
        self.topics.get(name).copied()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.topics.keys().cloned().collect()
    }
}

pub(super) struct ConsumerWorld {
    pub(super) group: ConsumerGroup,
    pub(super) now: Now,
    pub(super) topics: TestTopics,
    pub(super) replies: HashMap<Ticket, Answer>,
    pub(super) writes: VecDeque<Vec<Record>>,
    /// What the log holds, in order.
    pub(super) log: Vec<Record>,
    /// Writes are confirmed at once.
    pub(super) confirm: bool,
    settings: Arc<GroupSettings>,
    next: u64,
}

/// A heartbeat that says nothing but where the member is.
pub(super) fn beat(id: &str, epoch: i32) -> Heartbeat {
    Heartbeat {
        member_id: Arc::from(id),
        epoch: Epoch(epoch),
        instance_id: None,
        rack_id: None,
        rebalance_timeout_ms: None,
        topics: None,
        pattern: None,
        assignor: None,
        owned: None,
        client_id: Arc::from("client"),
        client_host: Arc::from("/127.0.0.1"),
    }
}

/// One that joins.
pub(super) fn join(id: &str, topics: &[&str]) -> Heartbeat {
    Heartbeat {
        rebalance_timeout_ms: Some(REBALANCE_MS),
        topics: Some(topics.iter().map(|topic| Arc::from(*topic)).collect()),
        owned: Some(Partitions::default()),
        ..beat(id, 0)
    }
}

/// One that says what the member holds.
pub(super) fn owning(id: &str, epoch: i32, owned: &Partitions) -> Heartbeat {
    Heartbeat {
        owned: Some(owned.clone()),
        ..beat(id, epoch)
    }
}

impl ConsumerWorld {
    pub(super) fn new() -> ConsumerWorld {
        ConsumerWorld::with(GroupSettings::default())
    }

    pub(super) fn with(settings: GroupSettings) -> ConsumerWorld {
        let settings = Arc::new(settings);
        ConsumerWorld {
            group: ConsumerGroup::new(Arc::from("g"), Arc::clone(&settings)),
            now: Now {
                tick_ms: 0,
                wall_ms: 1_000_000,
            },
            topics: TestTopics::default(),
            replies: HashMap::new(),
            writes: VecDeque::new(),
            log: Vec::new(),
            confirm: true,
            settings,
            next: 0,
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        for effect in self.group.step(event, self.now) {
            match effect {
                Effect::Reply(ticket, answer) => {
                    let before = self.replies.insert(ticket, answer);
                    assert!(before.is_none(), "answered twice");
                }
                Effect::Write(records) => self.writes.push_back(records),
            }
        }
        assert!(self.writes.len() <= 1, "one write at a time");
        while self.confirm && !self.writes.is_empty() {
            self.written(Ok(()));
        }
    }

    /// Ends the write under way.
    pub(super) fn written(&mut self, result: Result<(), GroupError>) {
        let Some(records) = self.writes.pop_front() else {
            return;
        };
        if result.is_ok() {
            self.log.extend(records);
        }
        self.event(Event::Written(result));
    }

    pub(super) fn send(&mut self, heartbeat: Heartbeat) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        let topics: Arc<dyn Topics> = Arc::new(self.topics.clone());
        self.event(Event::Heartbeat(Box::new(Ask {
            ticket,
            heartbeat,
            topics,
        })));
        ticket
    }

    /// Sends and takes the answer.
    pub(super) fn ask(&mut self, heartbeat: Heartbeat) -> Answer {
        let ticket = self.send(heartbeat);
        self.replies.remove(&ticket).expect("an answer at once")
    }

    pub(super) fn good(&mut self, heartbeat: Heartbeat) -> Beat {
        self.ask(heartbeat).expect("a heartbeat that is taken")
    }

    pub(super) fn refused(&mut self, heartbeat: Heartbeat) -> Refused {
        self.ask(heartbeat)
            .expect_err("a heartbeat that is refused")
    }

    /// Lets time pass, firing each deadline when it is due.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.tick_ms + ms;
        while let Some(at) = self.group.next_deadline().filter(|at| *at <= end) {
            self.now.tick_ms = self.now.tick_ms.max(at);
            self.event(Event::Tick);
        }
        self.now.tick_ms = end;
    }

    /// The broker ends and starts again with what the log holds, which goes through its bytes.
    pub(super) fn restart(&mut self) {
        self.replies.clear();
        self.writes.clear();
        self.group = ConsumerGroup::new(Arc::from("g"), Arc::clone(&self.settings));
        for record in &self.log {
            let (key, value) = (record.key("g").unwrap(), record.value().unwrap());
            let (group, read) = Record::decode(key, value).unwrap().expect("a key of these");
            assert_eq!((&*group, &read), ("g", record));
            self.group.replay(read);
        }
        self.group.loaded(self.now);
    }
}

/// Shortens the session for tests that need it.
pub(super) fn settings(members_max: usize) -> GroupSettings {
    let mut settings = GroupSettings::default();
    settings.consumer.members_max = members_max;
    settings.consumer.session_timeout = Duration::from_millis(SESSION_MS);
    settings
}
