//! The start: what the catalogue names, what lies on disk, and what is done about the difference.
//!
//! ```text
//! named, opens          served
//! named, does not       refused alone, files left as they are; an internal topic ends the start
//! named, none there     ends the start: the disk is hardly mounted
//! not named             removed if a creation or deletion left it, else left alone
//! ```
//! The votes of a partition go when neither names it, and only if there is a catalogue.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use headrace_storage::data_dir::DataDir;
use headrace_storage::votes::{GroupId, Loaded, VoteState};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{CATALOGUE, OpenedPartition, Owner, publishable};
use crate::controller::image::{Image, TopicRecord};
use crate::controller::topic_name;
use crate::partition::opener::Existing;
use crate::partition::registry::LoadError;
use crate::partition::topics::{Partition, Topics};

impl Owner {
    /// Reads the catalogue and opens what it names.
    pub(in crate::partition) fn load(
        &mut self,
        states: HashMap<GroupId, VoteState>,
    ) -> Result<(), LoadError> {
        self.states = states;
        self.checkpoints = self.data.take_checkpoint()?;
        let catalogue = self.data.read_file(CATALOGUE)?;
        if let Some(bytes) = &catalogue {
            self.image = Image::decode(bytes)?;
        }
        self.defaults = self.defaults_of_now();
        self.check_defaults()?;
        let records: Vec<_> = self.image.topics().cloned().collect();
        let unnamed = self.sort_logs(&records)?;
        if catalogue.is_none() && unnamed > 0 {
            return Err(LoadError::CatalogueMissing(unnamed));
        }
        let wanted: Vec<_> = records
            .iter()
            .map(|topic| (topic, 0..topic.partitions))
            .collect();
        let opened = self.open(&wanted, Existing::Must);
        let mut topics = Topics::default();
        topics.set_defaults(self.defaults.clone());
        for (record, opened) in records.into_iter().zip(opened) {
            let partitions = as_found(&record, opened)?;
            let config = self.config_of(&record);
            topics.insert(Arc::new(publishable(record, config, partitions)));
        }
        self.topics.store(Arc::new(topics));
        Ok(())
    }

    /// Compares the logs on disk with the topics, and removes what a creation or deletion left behind. Gives how
    /// many others belong to no topic; they are left alone.
    fn sort_logs(&self, topics: &[TopicRecord]) -> Result<usize, LoadError> {
        let logs = self.data.logs()?;
        let named = topics.iter().map(|topic| (topic.id, topic.partitions));
        let named: HashMap<Uuid, i32> = named.collect();
        if logs.is_empty() && !named.is_empty() {
            return Err(LoadError::LogsMissing {
                count: named.into_values().map(count).sum(),
                dir: self.data.root().display().to_string(),
            });
        }
        let mut unnamed = 0;
        for (id, partition) in logs {
            if named.get(&id).is_some_and(|count| partition < *count) {
                self.data.unmark_deleted(id, partition)?;
            } else if self.data.is_leftover(id, partition)? {
                info!(%id, partition, "what a topic's creation or deletion left is removed");
                self.data.remove_log(id, partition)?;
            } else {
                let dir = self.data.log_dir(id, partition).display().to_string();
                warn!(
                    dir,
                    "a log with records that no topic names is left alone: is the catalogue an old one?"
                );
                unnamed += 1;
            }
        }
        Ok(unnamed)
    }
}

/// Takes the votes of partitions that are no more out of what the journals said, before they are begun anew. A
/// topic's id is never used again, so nobody will ask for them.
///
/// A catalogue that is missing says nothing, nor does one without any of its logs: all votes stay. So do those of
/// logs that are left alone.
pub(in crate::partition) fn forget_votes(
    data: &DataDir,
    loaded: &mut Loaded,
) -> Result<(), LoadError> {
    let Some(bytes) = data.read_file(CATALOGUE)? else {
        return Ok(());
    };
    let image = Image::decode(&bytes)?;
    let topics = image.topics();
    let named: HashMap<Uuid, i32> = topics.map(|topic| (topic.id, topic.partitions)).collect();
    let logs = data.logs()?;
    if logs.is_empty() && !named.is_empty() {
        return Ok(());
    }
    let is_named = |(id, partition): &(Uuid, i32)| {
        let partitions = named.get(id);
        partitions.is_some_and(|count| partition < count)
    };
    let mut left_alone = HashSet::new();
    for log in logs.into_iter().filter(|log| !is_named(log)) {
        if !data.is_leftover(log.0, log.1)? {
            left_alone.insert(log);
        }
    }
    loaded.states.retain(|group, _| {
        let (id, partition) = (group.topic_id, group.partition);
        let log = (id, partition);
        let stays = is_named(&log) || left_alone.contains(&log);
        if !stays {
            info!(%id, partition, "votes of a partition that is no more are forgotten");
        }
        stays
    });
    Ok(())
}

/// The partitions of a topic as the start found them: one that cannot be opened takes no other along, unless
/// the broker itself needs it.
fn as_found(
    topic: &TopicRecord,
    opened: Vec<OpenedPartition>,
) -> Result<Vec<Partition>, LoadError> {
    let found = (0..).zip(opened).map(|(partition, opened)| {
        let reason: Arc<str> = match opened {
            Ok(handle) => return Ok(Partition::Served(handle)),
            Err(reason) => reason.to_string().into(),
        };
        if topic_name::is_internal(&topic.name) {
            let topic = Arc::clone(&topic.name);
            return Err(LoadError::Log {
                topic,
                partition,
                reason,
            });
        }
        error!(topic = %topic.name, partition, %reason, "partition is not served, its files are left as they are");
        Ok(Partition::Refused(reason))
    });
    found.collect()
}

fn count(partitions: i32) -> usize {
    usize::try_from(partitions).unwrap_or(0)
}
