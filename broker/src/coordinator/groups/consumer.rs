//! Groups whose assignment the coordinator makes, beside the classic ones: which of both a group is, its writes, and
//! how an empty group goes from one to the other.
//!
//! An entry is of the newer kind while it has a `consumer`. An empty group becomes what its next member speaks; a group
//! with members of one kind refuses members of the other, as Kafka does where online migration is disabled (trap 63).
//! In the log the newest record decides: the tombstones of what a group was come before the first record of what it is.

use std::sync::Arc;

use super::event::{Answer, AppendError, LogRecord, Output};
use super::writes::{Write, group_record};
use super::{Entry, Groups};
use crate::coordinator::group::consumer::ConsumerGroup;
use crate::coordinator::group::consumer::Epoch;
use crate::coordinator::group::consumer::machine::{Ask, Effect, Event};
use crate::coordinator::group::consumer::records::Record;
use crate::coordinator::group::consumer::request::Refused;
use crate::coordinator::group::consumer::view::{CommitRule, ConsumerDescription};
use crate::coordinator::group::event::{Event as ClassicEvent, GroupError, JoinRefused, Reply};
use crate::coordinator::group::subscription::{RetentionFrom, Subscription};
use crate::coordinator::group::{GroupId, Now};

use super::event::Commit;

impl Groups {
    /// ConsumerGroupHeartbeat. A group comes into being with the first member.
    pub fn consumer_heartbeat(&mut self, group: &GroupId, ask: Ask, now: Now) {
        let admitted = if self.has_room_for_beat(&ask) {
            self.consumer_of(group, ask.heartbeat.epoch)
        } else {
            Err(Refused::from(GroupError::CoordinatorNotAvailable))
        };
        if let Err(refused) = admitted {
            let answer = Answer::ConsumerHeartbeat(Err(refused));
            self.out.push(Output::Answer(ask.ticket, answer));
            self.settle(group, now);
            return;
        }
        self.step_consumer(group, Event::Heartbeat(Box::new(ask)), now);
    }

    /// Whether there is room for what a heartbeat brings: only members that come in or say what they want bring any.
    fn has_room_for_beat(&mut self, ask: &Ask) -> bool {
        let bytes = ask.heartbeat.held_bytes();
        bytes == 0 || self.has_room(bytes)
    }

    /// Makes sure that the group is of the newer kind, if a member with this epoch may make it so.
    fn consumer_of(&mut self, group: &GroupId, epoch: Epoch) -> Result<(), Refused> {
        let joins = epoch == Epoch::JOIN;
        if !self.entries.contains_key(group) {
            if !joins {
                let text = format!("Consumer group {group} not found.");
                return Err(Refused::new(GroupError::GroupIdNotFound, text));
            }
            if !self.has_room_for_group(group) {
                return Err(Refused::from(GroupError::CoordinatorNotAvailable));
            }
            self.add(group);
        }
        let Some(entry) = self.entries.get(group) else {
            return Err(Refused::from(GroupError::Unknown));
        };
        if entry.consumer.is_some() {
            return Ok(());
        }
        if !joins {
            let text = format!("Group {group} is not a consumer group.");
            return Err(Refused::new(GroupError::GroupIdNotFound, text));
        }
        if !entry.group.is_idle() {
            let text = format!(
                "Cannot upgrade classic group {group} to consumer group because online upgrade is disabled."
            );
            return Err(Refused::new(GroupError::GroupIdNotFound, text));
        }
        if entry.in_log
            && let Ok(record) = group_record(group, None)
        {
            self.append(group, Write::Converted(group.clone()), vec![record]);
        }
        let fresh = ConsumerGroup::new(group.clone(), Arc::clone(&self.settings));
        if let Some(entry) = self.entries.get_mut(group) {
            entry.group.deleted();
            entry.consumer = Some(Box::new(fresh));
        }
        Ok(())
    }

    /// A request of the classic protocol comes to a group of the newer kind: an empty one becomes a classic group for
    /// a member that joins. Gives the request back if the classic group is to take it.
    pub(super) fn classic_of(
        &mut self,
        group: &GroupId,
        event: ClassicEvent,
    ) -> Option<ClassicEvent> {
        let Some(consumer) = self
            .entries
            .get(group)
            .and_then(|entry| entry.consumer.as_deref())
        else {
            return Some(event);
        };
        let joins = matches!(event, ClassicEvent::Join(..));
        if !(joins && consumer.is_idle()) {
            self.refuse_classic(event);
            return None;
        }
        let tombstones = if consumer.exists() {
            consumer.tombstones()
        } else {
            Vec::new()
        };
        if let Ok(records) = encoded(group, &tombstones)
            && !records.is_empty()
        {
            self.append(group, Write::Converted(group.clone()), records);
        }
        if let Some(entry) = self.entries.get_mut(group) {
            entry.consumer = None;
        }
        Some(event)
    }

    /// What Kafka answers when such a group has members and migration is disabled.
    fn refuse_classic(&mut self, event: ClassicEvent) {
        let unknown = GroupError::UnknownMemberId;
        let (ticket, reply) = match event {
            ClassicEvent::Join(ticket, join) => {
                let refused = JoinRefused {
                    error: GroupError::InconsistentProtocol,
                    member_id: join.identity.member_id,
                };
                (ticket, Reply::Join(Err(refused)))
            }
            ClassicEvent::Sync(ticket, _) => (ticket, Reply::Sync(Err(unknown))),
            ClassicEvent::Heartbeat(ticket, _) => (ticket, Reply::Heartbeat(Err(unknown))),
            ClassicEvent::Leave(ticket, who) => {
                let results = who.iter().map(|_| Err(unknown)).collect();
                (ticket, Reply::Leave(results))
            }
            ClassicEvent::Written(..) | ClassicEvent::Tick => return,
        };
        self.out.push(Output::Answer(ticket, Answer::Group(reply)));
    }

    /// Takes one event of such a group; nothing if it is none.
    pub(super) fn step_consumer(&mut self, group: &GroupId, event: Event, now: Now) {
        let consumer = self
            .entries
            .get_mut(group)
            .and_then(|entry| entry.consumer.as_deref_mut());
        let Some(consumer) = consumer else {
            return;
        };
        for effect in consumer.step(event, now) {
            match effect {
                Effect::Reply(ticket, answer) => {
                    let answer = Answer::ConsumerHeartbeat(answer);
                    self.out.push(Output::Answer(ticket, answer));
                }
                Effect::Write(records) => self.write_consumer(group, &records, now),
            }
        }
        self.settle(group, now);
    }

    fn write_consumer(&mut self, group: &GroupId, records: &[Record], now: Now) {
        match encoded(group, records) {
            Ok(records) => {
                let id = self.next_write();
                self.writes.insert(id, Write::Consumer(group.clone()));
                self.out.push(Output::Append(id, records));
            }
            // A text that is too long for its record: the request is at fault, and nobody else shall suffer.
            Err(error) => self.step_consumer(group, Event::Written(Err(error)), now),
        }
    }

    /// The outcome of such a group's write.
    pub(super) fn consumer_written(
        &mut self,
        group: &GroupId,
        result: Result<(), AppendError>,
        now: Now,
    ) {
        if let Some(entry) = self.entries.get_mut(group) {
            entry.in_log |= result.is_ok();
        }
        let result = result.map_err(AppendError::for_group);
        self.step_consumer(group, Event::Written(result), now);
    }

    /// A record of the log, while it is being read.
    pub fn replay_consumer(&mut self, group: &GroupId, record: Record) {
        if !self.entries.contains_key(group) {
            if record.is_tombstone() {
                return;
            }
            self.add(group);
        }
        let settings = Arc::clone(&self.settings);
        let Some(entry) = self.entries.get_mut(group) else {
            return;
        };
        if matches!(record, Record::Epoch(None)) {
            // The last of a group's tombstones.
            if entry.consumer.take().is_some() {
                entry.in_log = false;
            }
        } else if entry.consumer.is_some() || !record.is_tombstone() {
            let fresh = || Box::new(ConsumerGroup::new(group.clone(), settings));
            entry.in_log = true;
            entry.consumer.get_or_insert_with(fresh).replay(record);
        }
    }

    /// One such group in full; `None` if there is none of the name.
    pub fn describe_consumer(&self, group: &str) -> Option<ConsumerDescription> {
        let consumer = self.entries.get(group)?.consumer.as_deref()?;
        consumer.exists().then(|| consumer.describe())
    }

    /// Whether this sender may read the group's offsets.
    pub fn check_fetch(
        &self,
        group: &str,
        member_id: Option<&str>,
        epoch: Epoch,
    ) -> Result<(), GroupError> {
        let consumer = self
            .entries
            .get(group)
            .and_then(|entry| entry.consumer.as_deref());
        consumer.map_or(Ok(()), |consumer| consumer.check_fetch(member_id, epoch))
    }

    /// The tombstones of a group's records, whichever kind it is of.
    pub(super) fn group_tombstones(&self, group: &GroupId) -> Result<Vec<LogRecord>, GroupError> {
        let consumer = self
            .entries
            .get(group)
            .and_then(|entry| entry.consumer.as_deref());
        match consumer {
            Some(consumer) => encoded(group, &consumer.tombstones()),
            None => Ok(vec![group_record(group, None)?]),
        }
    }
}

impl Entry {
    /// Whether the group may be deleted.
    pub(super) fn check_delete(&self) -> Result<(), GroupError> {
        match &self.consumer {
            None => self.group.check_delete(),
            Some(consumer) if consumer.has_members() => Err(GroupError::NonEmptyGroup),
            Some(_) => Ok(()),
        }
    }

    /// Whether single offsets of it may be deleted.
    pub(super) fn check_delete_offsets(&self) -> Result<(), GroupError> {
        match &self.consumer {
            None => self.group.check_delete_offsets(),
            Some(_) => Ok(()),
        }
    }

    /// What its members read.
    pub(super) fn subscription(&self) -> Subscription {
        match &self.consumer {
            None => self.group.subscription(),
            Some(consumer) => Subscription::Topics(consumer.subscribed()),
        }
    }

    /// From when the retention of its offsets counts.
    pub(super) fn retention_from(&self) -> Option<RetentionFrom> {
        match &self.consumer {
            None => self.group.retention_from(),
            Some(_) => Some(RetentionFrom::Commit),
        }
    }

    /// Its record is gone from the log.
    pub(super) fn deleted(&mut self) {
        self.group.deleted();
        if self.consumer.as_deref().is_some_and(ConsumerGroup::is_idle) {
            self.consumer = None;
        }
    }

    /// Whether a commit of this sender may be stored, and what of it.
    pub(super) fn check_commit(
        &mut self,
        commit: &Commit,
        now: Now,
    ) -> Result<CommitRule, GroupError> {
        let Some(consumer) = &self.consumer else {
            let result = self
                .group
                .check_commit(&commit.identity, commit.generation, now);
            return result.map(|()| CommitRule::All);
        };
        let epoch = Epoch(commit.generation.0);
        consumer.check_commit(&commit.identity.member_id, epoch, commit.knows_epochs)
    }

    /// When either kind has something to do.
    pub(super) fn group_deadline(&self) -> Option<u64> {
        let consumer = self
            .consumer
            .as_deref()
            .and_then(ConsumerGroup::next_deadline);
        [self.group.next_deadline(), consumer]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether neither kind is worth keeping.
    pub(super) fn is_group_idle(&self) -> bool {
        self.group.is_idle() && self.consumer.as_deref().is_none_or(ConsumerGroup::is_idle)
    }
}

fn encoded(group: &GroupId, records: &[Record]) -> Result<Vec<LogRecord>, GroupError> {
    let encode = |record: &Record| {
        let key = record.key(group).map_err(|_| GroupError::InvalidRequest)?;
        let value = record.value().map_err(|_| GroupError::InvalidRequest)?;
        Ok(LogRecord { key, value })
    };
    records.iter().map(encode).collect()
}
