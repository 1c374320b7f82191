//! What must be durable before it is true: commits, group records, tombstones, and their outcomes.

use uuid::Uuid;

use super::event::{Answer, AppendError, Commit, LogRecord, Output, WriteId};
use super::{GROUPS_MAX, Groups};
use crate::coordinator::group::event::{Event, GroupError, Purpose};
use crate::coordinator::group::offsets::{self, CommittedOffset, TopicPartition};
use crate::coordinator::group::records::{GroupMetadata, Key};
use crate::coordinator::group::{GroupId, Now, Ticket};

/// A write that is not confirmed, and what its confirmation changes.
#[derive(Debug)]
pub(super) enum Write {
    /// A group's state.
    Group(GroupId, Purpose),
    /// Committed offsets.
    Commit {
        group: GroupId,
        ticket: Ticket,
        results: Vec<Result<(), GroupError>>,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
    },
    /// Tombstones of offsets in deleted topics.
    Vanished(GroupId, Vec<(TopicPartition, Uuid)>),
    /// The tombstone of a group.
    Forgotten(GroupId),
}

impl Groups {
    /// A commit of one group.
    pub fn commit(&mut self, group: &GroupId, commit: Commit, ticket: Ticket, now: Now) {
        if let Err(error) = self.check_commit(group, &commit, now) {
            let results = commit.offsets.iter().map(|_| Err(error)).collect();
            self.out
                .push(Output::Answer(ticket, Answer::Commit(results)));
            self.settle(group, now);
            return;
        }
        let mut records = Vec::new();
        let mut results = Vec::new();
        let mut good = Vec::new();
        for (at, offset) in commit.offsets {
            let record =
                offsets::check(&offset).and_then(|()| offset_record(group, &at, Some(&offset)));
            results.push(record.as_ref().map(|_| ()).map_err(|error| *error));
            if let Ok(record) = record {
                records.push(record);
                good.push((at, offset));
            }
        }
        if records.is_empty() {
            self.out
                .push(Output::Answer(ticket, Answer::Commit(results)));
        } else {
            let write = Write::Commit {
                group: group.clone(),
                ticket,
                results,
                offsets: good,
            };
            self.append(group, write, records);
        }
        self.settle(group, now);
    }

    fn check_commit(
        &mut self,
        group: &GroupId,
        commit: &Commit,
        now: Now,
    ) -> Result<(), GroupError> {
        if !self.entries.contains_key(group) {
            if commit.generation.0 >= 0 {
                return Err(GroupError::IllegalGeneration);
            }
            if self.entries.len() >= GROUPS_MAX {
                return Err(GroupError::CoordinatorNotAvailable);
            }
            self.add(group);
        }
        match self.entries.get_mut(group) {
            Some(entry) => entry
                .group
                .check_commit(&commit.identity, commit.generation, now),
            None => Err(GroupError::Unknown),
        }
    }

    /// The outcome of an append.
    pub fn written(&mut self, id: WriteId, result: Result<(), AppendError>, now: Now) {
        let Some(write) = self.writes.remove(&id) else {
            return;
        };
        let group = match write {
            Write::Group(group, purpose) => {
                if let Some(entry) = self.entries.get_mut(&group) {
                    entry.in_log |= result.is_ok();
                }
                let result = result.map_err(AppendError::for_group);
                self.step(&group, Event::Written(purpose, result), now);
                return;
            }
            Write::Commit {
                group,
                ticket,
                results,
                offsets,
            } => {
                let results = self.committed(&group, results, offsets, result);
                self.out
                    .push(Output::Answer(ticket, Answer::Commit(results)));
                group
            }
            Write::Vanished(group, gone) => {
                self.vanished(&group, gone, result);
                group
            }
            Write::Forgotten(group) => {
                if let Some(entry) = self.entries.get_mut(&group) {
                    entry.writes = entry.writes.saturating_sub(1);
                    entry.in_log &= result.is_err();
                    entry.forget_at = None;
                }
                group
            }
        };
        self.settle(&group, now);
    }

    /// The topics of these ids are gone: so are the offsets committed in them (trap 19).
    pub fn topics_deleted(&mut self, ids: &[Uuid], now: Now) {
        let mut dead: Vec<(GroupId, Vec<(TopicPartition, Uuid)>)> = Vec::new();
        for (group, entry) in &self.entries {
            let of_topic = |id: &Uuid| {
                let id = *id;
                entry
                    .offsets
                    .of_topic(id)
                    .map(move |at| (at.clone(), id))
                    .collect::<Vec<_>>()
            };
            let gone: Vec<_> = ids
                .iter()
                .filter(|id| !id.is_nil())
                .flat_map(of_topic)
                .collect();
            if !gone.is_empty() {
                dead.push((group.clone(), gone));
            }
        }
        for (group, mut gone) in dead {
            // A commit under way for the same place is of a newer topic of the name: a tombstone behind it
            // in the log would undo it.
            gone.retain(|(at, _)| !self.is_committing(&group, at));
            let records: Result<Vec<_>, _> = gone
                .iter()
                .map(|(at, _)| offset_record(&group, at, None))
                .collect();
            if let Ok(records) = records
                && !records.is_empty()
            {
                self.append(&group, Write::Vanished(group.clone(), gone), records);
            }
            self.settle(&group, now);
        }
    }

    pub(super) fn write_group(
        &mut self,
        group: &GroupId,
        purpose: Purpose,
        metadata: &GroupMetadata,
        now: Now,
    ) {
        match group_record(group, Some(metadata)) {
            Ok(record) => {
                let id = self.next_write();
                self.writes.insert(id, Write::Group(group.clone(), purpose));
                self.out.push(Output::Append(id, vec![record]));
            }
            Err(error) => self.step(group, Event::Written(purpose, Err(error)), now),
        }
    }

    fn append(&mut self, group: &GroupId, write: Write, records: Vec<LogRecord>) {
        if let Some(entry) = self.entries.get_mut(group) {
            entry.writes += 1;
        }
        let id = self.next_write();
        self.writes.insert(id, write);
        self.out.push(Output::Append(id, records));
    }

    fn next_write(&mut self) -> WriteId {
        self.next_write += 1;
        WriteId(self.next_write)
    }

    fn committed(
        &mut self,
        group: &GroupId,
        results: Vec<Result<(), GroupError>>,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        result: Result<(), AppendError>,
    ) -> Vec<Result<(), GroupError>> {
        if let Some(entry) = self.entries.get_mut(group) {
            entry.writes = entry.writes.saturating_sub(1);
            if result.is_ok() {
                for (at, offset) in offsets {
                    entry.offsets.put(at, offset);
                }
            }
        }
        match result {
            Ok(()) => results,
            Err(error) => results
                .into_iter()
                .map(|own| own.and(Err(error.for_commit())))
                .collect(),
        }
    }

    fn vanished(
        &mut self,
        group: &GroupId,
        gone: Vec<(TopicPartition, Uuid)>,
        result: Result<(), AppendError>,
    ) {
        let Some(entry) = self.entries.get_mut(group) else {
            return;
        };
        entry.writes = entry.writes.saturating_sub(1);
        if result.is_ok() {
            for (at, id) in gone {
                if entry
                    .offsets
                    .get(&at)
                    .is_some_and(|offset| offset.topic_id == id)
                {
                    entry.offsets.remove(&at);
                }
            }
        }
    }

    fn is_committing(&self, group: &GroupId, at: &TopicPartition) -> bool {
        self.writes.values().any(|write| match write {
            Write::Commit {
                group: of, offsets, ..
            } => of == group && offsets.iter().any(|(place, _)| place == at),
            Write::Group(..) | Write::Vanished(..) | Write::Forgotten(..) => false,
        })
    }

    /// The group has been empty for long: a tombstone, then it is gone.
    pub(super) fn forget(&mut self, group: &GroupId, now: Now) {
        if let Some(entry) = self.entries.get_mut(group) {
            entry.forget_at = None;
        }
        if let Ok(record) = group_record(group, None) {
            self.append(group, Write::Forgotten(group.clone()), vec![record]);
        }
        self.settle(group, now);
    }
}

fn offset_record(
    group: &GroupId,
    at: &TopicPartition,
    offset: Option<&CommittedOffset>,
) -> Result<LogRecord, GroupError> {
    let key = Key::Offset {
        group: group.clone(),
        topic: at.topic.clone(),
        partition: at.partition,
    };
    let key = key.encode().map_err(|_| GroupError::CommitTooLarge)?;
    let value = offset.map(CommittedOffset::encode).transpose();
    Ok(LogRecord {
        key,
        value: value.map_err(|_| GroupError::CommitTooLarge)?,
    })
}

fn group_record(
    group: &GroupId,
    metadata: Option<&GroupMetadata>,
) -> Result<LogRecord, GroupError> {
    let key = Key::Group(group.clone())
        .encode()
        .map_err(|_| GroupError::Unknown)?;
    let value = metadata.map(GroupMetadata::encode).transpose();
    Ok(LogRecord {
        key,
        value: value.map_err(|_| GroupError::Unknown)?,
    })
}
