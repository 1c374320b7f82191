//! What must be durable before it is true: commits, group records, and the outcome of every write.

use super::Groups;
use super::event::{Answer, AppendError, Commit, LogRecord, Output, WriteId};
use crate::coordinator::group::consumer::view::CommitRule;
use crate::coordinator::group::event::{Event, GroupError, Purpose};
use crate::coordinator::group::offsets::{self, CommittedOffset, TopicPartition, offset_bytes};
use crate::coordinator::group::records::{GroupMetadata, Key};
use crate::coordinator::group::{GroupId, Now, Ticket};

/// A write that is not confirmed, and what its confirmation changes.
#[derive(Debug)]
pub(super) enum Write {
    /// A group's state.
    Group(GroupId, Purpose),
    /// The state of a group of the newer protocol.
    Consumer(GroupId),
    /// Tombstones of what a group was before it became one of the other protocol.
    Converted(GroupId),
    /// Committed offsets.
    Commit {
        group: GroupId,
        ticket: Ticket,
        results: Vec<Result<(), GroupError>>,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
    },
    /// Tombstones of offsets, and who waits for them.
    Removed {
        group: GroupId,
        gone: Vec<TopicPartition>,
        asked: Option<(Ticket, Vec<Result<(), GroupError>>)>,
    },
    /// The tombstone of a group, and who waits for it.
    Deleted {
        group: GroupId,
        ticket: Option<Ticket>,
    },
}

impl Groups {
    /// A commit of one group.
    pub fn commit(&mut self, group: &GroupId, commit: Commit, ticket: Ticket, now: Now) {
        let rule = self.check_commit(group, &commit, now);
        if let Err(error) = rule {
            let results = commit.offsets.iter().map(|_| Err(error)).collect();
            self.out
                .push(Output::Answer(ticket, Answer::Commit(results)));
            self.settle(group, now);
            return;
        }
        let rule = rule.unwrap_or(CommitRule::All);
        let mut records = Vec::new();
        let mut results = Vec::new();
        let mut good = Vec::new();
        let mut new_bytes = 0;
        for (at, offset) in commit.offsets {
            let record = offsets::check(&offset)
                .and_then(|()| rule.check(offset.topic_id, at.partition))
                .and_then(|()| self.check_room(group, &at, &offset, &mut new_bytes))
                .and_then(|()| offset_record(group, &at, Some(&offset)));
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

    /// A place without an offset may get one while there is room; `new_bytes` is what this commit adds so far.
    fn check_room(
        &mut self,
        group: &GroupId,
        at: &TopicPartition,
        offset: &CommittedOffset,
        new_bytes: &mut usize,
    ) -> Result<(), GroupError> {
        let entry = self.entries.get(group);
        if entry.is_some_and(|entry| entry.offsets.get(at).is_some()) {
            return Ok(());
        }
        *new_bytes += offset_bytes(at, offset);
        if self.has_room(*new_bytes) {
            Ok(())
        } else {
            Err(GroupError::CoordinatorNotAvailable)
        }
    }

    fn check_commit(
        &mut self,
        group: &GroupId,
        commit: &Commit,
        now: Now,
    ) -> Result<CommitRule, GroupError> {
        if !self.entries.contains_key(group) {
            if commit.generation.0 >= 0 {
                // Kafka's rule: older clients know no other error.
                return Err(if commit.knows_epochs {
                    GroupError::GroupIdNotFound
                } else {
                    GroupError::IllegalGeneration
                });
            }
            if !self.has_room_for_group(group) {
                return Err(GroupError::CoordinatorNotAvailable);
            }
            self.add(group);
        }
        match self.entries.get_mut(group) {
            Some(entry) => entry.check_commit(commit, now),
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
            Write::Consumer(group) => {
                self.consumer_written(&group, result, now);
                return;
            }
            Write::Converted(group) => {
                if let Some(entry) = self.entries.get_mut(&group) {
                    entry.writes = entry.writes.saturating_sub(1);
                }
                group
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
            Write::Removed { group, gone, asked } => {
                self.removed(&group, &gone, asked, result);
                group
            }
            Write::Deleted { group, ticket } => {
                self.deleted(&group, ticket, result);
                group
            }
        };
        self.settle(&group, now);
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

    pub(super) fn append(&mut self, group: &GroupId, write: Write, records: Vec<LogRecord>) {
        if let Some(entry) = self.entries.get_mut(group) {
            entry.writes += 1;
        }
        let id = self.next_write();
        self.writes.insert(id, write);
        self.out.push(Output::Append(id, records));
    }

    pub(super) fn next_write(&mut self) -> WriteId {
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
}

pub(super) fn offset_record(
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

pub(super) fn group_record(
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
