//! What goes: groups deleted on request or forgotten, offsets deleted, expired (trap 57) or of dead topics (trap 19).
//!
//! A tombstone is handed to the log, and memory follows when it is confirmed, in the log's order: what a later
//! commit put there is confirmed later too. So a tombstone covers commits that are under way before it.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::event::{Answer, AppendError, LogRecord, Output};
use super::writes::{Write, offset_record};
use super::{Entry, Groups};
use crate::coordinator::group::event::GroupError;
use crate::coordinator::group::offsets::{CommittedOffset, TopicPartition};
use crate::coordinator::group::subscription::{RetentionFrom, Subscription};
use crate::coordinator::group::{GroupId, Now, Ticket};

/// Bytes of tombstones after which the next piece begins: a group may have more offsets than fit in one batch.
const PIECE_BYTES: usize = 1 << 20;

/// Whether an offset belongs to a topic that still is the one it was committed in.
pub(crate) type IsLive<'a> = &'a dyn Fn(&TopicPartition, &CommittedOffset) -> bool;

impl Groups {
    /// DeleteGroups: an empty group goes with its offsets (68 if it is not empty, 69 if there is none).
    pub fn delete(&mut self, group: &GroupId, ticket: Ticket, now: Now) {
        let entry = self.entries.get(group).filter(|entry| entry.exists());
        let allowed = entry.map_or(Err(GroupError::GroupIdNotFound), |entry| {
            entry.check_delete()
        });
        let records = allowed.and_then(|()| self.group_tombstones(group));
        match records {
            Ok(records) => {
                let mut gone = self.committing(group);
                if let Some(entry) = self.entries.get(group) {
                    gone.extend(entry.offsets.iter().map(|(at, _)| at.clone()));
                }
                self.remove_offsets(group, gone.into_iter().collect());
                let write = Write::Deleted {
                    group: group.clone(),
                    ticket: Some(ticket),
                };
                self.append(group, write, records);
            }
            Err(error) => self.answer(ticket, Answer::Deleted(Err(error))),
        }
        self.settle(group, now);
    }

    /// OffsetDelete: the offsets of these places go, but not of a topic that the group reads (86).
    pub fn delete_offsets(
        &mut self,
        group: &GroupId,
        places: Vec<TopicPartition>,
        ticket: Ticket,
        now: Now,
    ) {
        let entry = self.entries.get(group).filter(|entry| entry.exists());
        let allowed = entry.map_or(Err(GroupError::GroupIdNotFound), |entry| {
            entry.check_delete_offsets()?;
            Ok((entry.subscription(), entry))
        });
        let (subscription, entry) = match allowed {
            Ok(found) => found,
            Err(error) => return self.answer(ticket, Answer::OffsetsDeleted(Err(error))),
        };
        let committing = self.committing(group);
        let mut results = Vec::with_capacity(places.len());
        let mut gone = BTreeSet::new();
        for at in places {
            if subscription.contains(&at.topic) {
                results.push(Err(GroupError::SubscribedToTopic));
                continue;
            }
            results.push(Ok(()));
            if entry.offsets.get(&at).is_some() || committing.contains(&at) {
                gone.insert(at);
            }
        }
        let gone: Vec<TopicPartition> = gone.into_iter().collect();
        match tombstones(group, &gone) {
            Ok(records) if records.is_empty() => {
                self.answer(ticket, Answer::OffsetsDeleted(Ok(results)));
            }
            Ok(records) => {
                let write = Write::Removed {
                    group: group.clone(),
                    gone,
                    asked: Some((ticket, results)),
                };
                self.append(group, write, records);
            }
            Err(error) => self.answer(ticket, Answer::OffsetsDeleted(Err(error))),
        }
        self.settle(group, now);
    }

    /// The topics of these ids are gone: so are the offsets committed in them (trap 19).
    pub fn topics_deleted(&mut self, ids: &[Uuid], now: Now) {
        let is_dead =
            |offset: &CommittedOffset| !offset.topic_id.is_nil() && ids.contains(&offset.topic_id);
        self.sweep(now, |entry| {
            let dead = entry.offsets.iter().filter(|(_, offset)| is_dead(offset));
            dead.map(|(at, _)| at.clone()).collect()
        });
    }

    /// Removes the offsets that nobody came for within the retention, and those of topics that are gone. What a
    /// live group reads stays.
    pub fn expire(&mut self, is_live: IsLive<'_>, now: Now) {
        let retention = self.settings.offsets_retention;
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        self.sweep(now, |entry| {
            expired(entry, retention_ms, is_live, now.wall_ms)
        });
    }

    /// Removes of each group what `find` finds, but for places that are being committed: a tombstone behind that
    /// commit in the log would undo it.
    fn sweep(&mut self, now: Now, find: impl Fn(&Entry) -> Vec<TopicPartition>) {
        let mut found: Vec<(GroupId, Vec<TopicPartition>)> = Vec::new();
        for (group, entry) in &self.entries {
            let gone = find(entry);
            if !gone.is_empty() {
                found.push((group.clone(), gone));
            }
        }
        for (group, mut gone) in found {
            let committing = self.committing(&group);
            gone.retain(|at| !committing.contains(at));
            self.remove_offsets(&group, gone);
            self.settle(&group, now);
        }
    }

    /// The group has been empty for long: a tombstone, then it is gone.
    pub(super) fn forget(&mut self, group: &GroupId, now: Now) {
        if let Some(entry) = self.entries.get_mut(group) {
            entry.forget_at = None;
        }
        if let Ok(records) = self.group_tombstones(group) {
            let write = Write::Deleted {
                group: group.clone(),
                ticket: None,
            };
            self.append(group, write, records);
        }
        self.settle(group, now);
    }

    /// The outcome of tombstones of offsets.
    pub(super) fn removed(
        &mut self,
        group: &GroupId,
        gone: &[TopicPartition],
        asked: Option<(Ticket, Vec<Result<(), GroupError>>)>,
        result: Result<(), AppendError>,
    ) {
        if let Some(entry) = self.entries.get_mut(group) {
            entry.writes = entry.writes.saturating_sub(1);
            if result.is_ok() {
                for at in gone {
                    entry.offsets.remove(at);
                }
            }
        }
        if let Some((ticket, results)) = asked {
            let answer = result.map(|()| results).map_err(AppendError::for_commit);
            self.answer(ticket, Answer::OffsetsDeleted(answer));
        }
    }

    /// The outcome of a group's tombstone, which lies behind those of its offsets.
    pub(super) fn deleted(
        &mut self,
        group: &GroupId,
        ticket: Option<Ticket>,
        result: Result<(), AppendError>,
    ) {
        let mut answer = result.map_err(AppendError::for_group);
        if let Some(entry) = self.entries.get_mut(group) {
            entry.writes = entry.writes.saturating_sub(1);
            if result.is_ok() {
                entry.in_log = false;
                entry.deleted();
                if !entry.offsets.is_empty() {
                    // an earlier piece was not written
                    answer = Err(GroupError::CoordinatorNotAvailable);
                }
            }
            entry.forget_at = None;
        }
        if let Some(ticket) = ticket {
            self.answer(ticket, Answer::Deleted(answer));
        }
    }

    /// Hands tombstones of these offsets to the log, in pieces that each fit in a batch.
    fn remove_offsets(&mut self, group: &GroupId, places: Vec<TopicPartition>) {
        let (mut records, mut gone, mut size_bytes) = (Vec::new(), Vec::new(), 0);
        for at in places {
            // Its key was written before, so it can be again.
            let Ok(record) = offset_record(group, &at, None) else {
                continue;
            };
            size_bytes += record.key.len();
            records.push(record);
            gone.push(at);
            if size_bytes >= PIECE_BYTES {
                size_bytes = 0;
                self.remove_piece(
                    group,
                    std::mem::take(&mut gone),
                    std::mem::take(&mut records),
                );
            }
        }
        if !records.is_empty() {
            self.remove_piece(group, gone, records);
        }
    }

    fn remove_piece(
        &mut self,
        group: &GroupId,
        gone: Vec<TopicPartition>,
        records: Vec<LogRecord>,
    ) {
        let write = Write::Removed {
            group: group.clone(),
            gone,
            asked: None,
        };
        self.append(group, write, records);
    }

    /// The places of a group whose commits the log has not confirmed.
    fn committing(&self, group: &GroupId) -> BTreeSet<TopicPartition> {
        let mut places = BTreeSet::new();
        if self
            .entries
            .get(group)
            .is_some_and(|entry| entry.writes > 0)
        {
            for write in self.writes.values() {
                if let Write::Commit {
                    group: of, offsets, ..
                } = write
                    && of == group
                {
                    places.extend(offsets.iter().map(|(at, _)| at.clone()));
                }
            }
        }
        places
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.out.push(Output::Answer(ticket, answer));
    }
}

/// The offsets of a group that have had their time, or whose topic is gone.
fn expired(
    entry: &Entry,
    retention_ms: i64,
    is_live: IsLive<'_>,
    wall_ms: i64,
) -> Vec<TopicPartition> {
    let from = entry.retention_from();
    let is_due = |offset: &CommittedOffset| match (offset.expiry_time_ms, from) {
        (_, None) => false,
        (Some(expiry_ms), Some(_)) => wall_ms >= expiry_ms,
        (None, Some(RetentionFrom::Commit)) => {
            wall_ms.saturating_sub(offset.commit_time_ms) >= retention_ms
        }
        (None, Some(RetentionFrom::Moment(ms))) => wall_ms.saturating_sub(ms) >= retention_ms,
    };
    // Most groups have nothing to expire: what they read need not be found out.
    let mut subscription = None;
    let mut is_read = |topic: &str| {
        let subscription: &mut Subscription =
            subscription.get_or_insert_with(|| entry.subscription());
        subscription.contains(topic)
    };
    let mut gone = Vec::new();
    for (at, offset) in entry.offsets.iter() {
        if !is_live(at, offset) || (is_due(offset) && !is_read(&at.topic)) {
            gone.push(at.clone());
        }
    }
    gone
}

fn tombstones(group: &GroupId, places: &[TopicPartition]) -> Result<Vec<LogRecord>, GroupError> {
    places
        .iter()
        .map(|at| offset_record(group, at, None))
        .collect()
}
