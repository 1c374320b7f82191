//! One fetch session: the partitions that a client follows, and what it was told of each.
//!
//! The order in which partitions are served is that of the session: those that gave records go behind the
//! others, so that with small limits none starves. Partitions are found by topic and number, walked in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headrace_protocol::fetch::{
    FetchPartition, FetchTopic, FetchableTopicResponse, ForgottenTopic, PartitionData,
};
use headrace_protocol::{Records, Str};
use uuid::Uuid;

/// Tells the name of a topic by its id, if there is such a topic.
pub type NameOf<'a> = &'a dyn Fn(Uuid) -> Option<Arc<str>>;

/// Partitions of one topic that an answer is about, in the order in which they are served.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// As the client asks for them.
    pub topic: FetchTopic,
    /// The name that the topic's id stood for when it came into the session.
    pub known_as: Option<Arc<str>>,
}

impl From<FetchTopic> for Wanted {
    fn from(topic: FetchTopic) -> Wanted {
        Wanted {
            topic,
            known_as: None,
        }
    }
}

/// A topic as a request names it: by name, or by id and an empty name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TopicKey {
    name: Str,
    id: Uuid,
}

/// What the client was told last; nothing after an error, so that the partition is told of again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    last_stable: i64,
    log_start: i64,
}

#[derive(Debug)]
struct Followed {
    topic: TopicKey,
    asked: FetchPartition,
    told: Option<Told>,
}

/// The partitions of one topic.
#[derive(Debug, Default)]
struct Places {
    known_as: Option<Arc<str>>,
    /// Partition number to its place in the order.
    places: HashMap<i32, u64>,
}

/// The partitions of one client.
#[derive(Debug, Default)]
pub(super) struct Session {
    topics: HashMap<TopicKey, Places>,
    /// In the order in which they are served.
    order: BTreeMap<u64, Followed>,
    next_place: u64,
}

impl Session {
    /// How many partitions it has.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it has none.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Takes in what changed: partitions that are new or asked for anew, and those to be left alone.
    pub(super) fn update(
        &mut self,
        topics: Vec<FetchTopic>,
        forgotten: &[ForgottenTopic],
        name_of: NameOf<'_>,
    ) {
        for topic in topics {
            // the name must not keep the request's frame alive
            let key = TopicKey {
                name: topic.topic.detached(),
                id: topic.topic_id,
            };
            for asked in topic.partitions {
                self.follow(&key, asked, None, name_of);
            }
        }
        for topic in forgotten {
            let key = TopicKey {
                name: topic.topic.clone(),
                id: topic.topic_id,
            };
            self.forget(&key, &topic.partitions);
        }
    }

    /// Takes in everything that a full request asked for, with what it was answered.
    pub(super) fn fill(
        &mut self,
        wanted: &[Wanted],
        answers: &[FetchableTopicResponse],
        name_of: NameOf<'_>,
    ) {
        for (asked, answered) in wanted.iter().zip(answers) {
            let key = TopicKey {
                name: asked.topic.topic.detached(),
                id: asked.topic.topic_id,
            };
            let both = asked.topic.partitions.iter().zip(&answered.partitions);
            for (asked, answered) in both {
                self.follow(&key, asked.clone(), told(answered), name_of);
            }
        }
    }

    fn follow(
        &mut self,
        key: &TopicKey,
        asked: FetchPartition,
        told: Option<Told>,
        name_of: NameOf<'_>,
    ) {
        let topic = match self.topics.get_mut(key) {
            Some(topic) => topic,
            None => self.topics.entry(key.clone()).or_default(),
        };
        if topic.known_as.is_none() && !key.id.is_nil() {
            topic.known_as = name_of(key.id);
        }
        let place = topic.places.get(&asked.partition);
        if let Some(followed) = place.and_then(|place| self.order.get_mut(place)) {
            // what the client knows of it does not change with what it wants
            followed.asked = asked;
            followed.told = told.or(followed.told);
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        topic.places.insert(asked.partition, place);
        let topic = key.clone();
        self.order.insert(place, Followed { topic, asked, told });
    }

    fn forget(&mut self, key: &TopicKey, partitions: &[i32]) {
        let Some(topic) = self.topics.get_mut(key) else {
            return;
        };
        for partition in partitions {
            if let Some(place) = topic.places.remove(partition) {
                self.order.remove(&place);
            }
        }
        if topic.places.is_empty() {
            self.topics.remove(key);
        }
    }

    /// All its partitions in their order; neighbours of one topic together.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for Followed { topic, asked, .. } in self.order.values() {
            let is_same = |last: &&mut Wanted| {
                last.topic.topic_id == topic.id && last.topic.topic == topic.name
            };
            if let Some(last) = wanted.last_mut().filter(is_same) {
                last.topic.partitions.push(asked.clone());
                continue;
            }
            let known_as = self.topics.get(topic).and_then(|of| of.known_as.clone());
            wanted.push(Wanted {
                topic: FetchTopic {
                    topic: topic.name.clone(),
                    topic_id: topic.id,
                    partitions: vec![asked.clone()],
                },
                known_as,
            });
        }
        wanted
    }

    /// Remembers what is answered and leaves out what the client was told before.
    pub(super) fn answer(&mut self, answers: &mut Vec<FetchableTopicResponse>) {
        for answer in answers.iter_mut() {
            let key = TopicKey {
                name: answer.topic.clone(),
                id: answer.topic_id,
            };
            let mut places = self.topics.get_mut(&key);
            answer.partitions.retain(|data| {
                let place = places
                    .as_mut()
                    .and_then(|topic| topic.places.get_mut(&data.partition_index));
                let Some(place) = place else { return true };
                let Some(followed) = self.order.get_mut(place) else {
                    return true;
                };
                let now = told(data);
                let news = now.is_none() || now != followed.told;
                followed.told = now;
                let gave = data
                    .records
                    .as_ref()
                    .is_some_and(|records| !Records::is_empty(records));
                if gave && let Some(followed) = self.order.remove(place) {
                    *place = self.next_place;
                    self.next_place += 1;
                    self.order.insert(*place, followed);
                }
                gave || news
            });
        }
        answers.retain(|answer| !answer.partitions.is_empty());
    }
}

/// What an answer tells of a partition beside its records; `None` if it must be told of next time too.
fn told(data: &PartitionData) -> Option<Told> {
    let tell_again = data.error_code.is_err() || data.diverging_epoch.end_offset >= 0;
    (!tell_again).then_some(Told {
        high_watermark: data.high_watermark,
        last_stable: data.last_stable_offset,
        log_start: data.log_start_offset,
    })
}
