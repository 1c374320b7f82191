//! The topics at one moment, as everybody but their owner sees them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headrace_protocol::ErrorCode;
use uuid::Uuid;

use super::Handle;
use crate::controller::topic_name;
use crate::topic_config::{Defaults, Overrides, TopicConfig};

/// A partition as the start found it.
#[derive(Debug, Clone)]
pub enum Partition {
    /// Its log is open.
    Served(Handle),
    /// Its log could not be opened, for this reason: nothing of it was changed, and nothing is read or written
    /// until a later start opens it.
    Refused(Arc<str>),
}

/// Why there is no way to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotServed {
    /// The topic has no partition of this number.
    Unknown,
    /// Its log could not be opened.
    Refused,
}

impl From<NotServed> for ErrorCode {
    fn from(reason: NotServed) -> ErrorCode {
        match reason {
            NotServed::Unknown => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            NotServed::Refused => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

/// One topic, as readers see it.
#[derive(Debug)]
pub struct Topic {
    /// Its id, unique for ever.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// What is set on it.
    pub overrides: Overrides,
    /// Its settings, parsed.
    pub config: TopicConfig,
    /// Its partitions; the place is the number.
    pub partitions: Vec<Partition>,
}

impl Topic {
    /// The handle of a partition by its number on the wire.
    pub fn partition(&self, number: i32) -> Result<&Handle, NotServed> {
        let place = usize::try_from(number).ok();
        match place.and_then(|place| self.partitions.get(place)) {
            Some(Partition::Served(handle)) => Ok(handle),
            Some(Partition::Refused(_)) => Err(NotServed::Refused),
            None => Err(NotServed::Unknown),
        }
    }

    /// Every partition with its number.
    pub fn numbered(&self) -> impl Iterator<Item = (i32, &Partition)> {
        (0..).zip(&self.partitions)
    }

    /// The partitions whose logs are open.
    pub fn served(&self) -> impl Iterator<Item = &Handle> {
        self.partitions
            .iter()
            .filter_map(|partition| match partition {
                Partition::Served(handle) => Some(handle),
                Partition::Refused(_) => None,
            })
    }

    /// How many partitions are not served.
    pub fn refused(&self) -> usize {
        self.partitions.len() - self.served().count()
    }

    /// Whether only the broker itself writes to it.
    pub fn is_internal(&self) -> bool {
        topic_name::is_internal(&self.name)
    }
}

/// All topics at one moment; never changes.
#[derive(Debug, Default, Clone)]
pub struct Topics {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    /// Grows with each change.
    version: u64,
    defaults: Arc<Defaults>,
}

impl Topics {
    /// A number that grows with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The topic of this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// The topic with this id.
    pub fn by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// All topics in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// What they have that do not say otherwise.
    pub fn defaults(&self) -> &Arc<Defaults> {
        &self.defaults
    }

    pub(super) fn set_defaults(&mut self, defaults: Defaults) {
        self.defaults = Arc::new(defaults);
    }

    /// Adds a topic, or takes the place of the one with its id.
    pub(super) fn insert(&mut self, topic: Arc<Topic>) {
        self.version += 1;
        self.by_id.insert(topic.id, Arc::clone(&topic));
        self.by_name.insert(Arc::clone(&topic.name), topic);
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Arc<Topic>> {
        let topic = self.by_id.remove(&id)?;
        self.version += 1;
        self.by_name.remove(&topic.name);
        Some(topic)
    }
}
