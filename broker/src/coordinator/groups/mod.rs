//! All groups of one partition of `__consumer_offsets`: pure, one owner, no waiting.
//!
//! ```text
//!  request --> Groups --> Answer(ticket)                        a read, a refusal
//!                   \---> Append(write, records) ... written(write, outcome) --> Answer(ticket)
//! ```
//! Writes are confirmed in the order they were handed out; state moves at the confirmation, so memory
//! equals what replaying the log gives. A write that fails leaves no trace here.
//! Invariants: each unconfirmed write is in `writes`; a group's deadline is in `deadlines` once.

mod consumer;
pub mod event;
mod memory;
mod removal;
mod view;
mod writes;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::group::classic::ClassicGroup;
use super::group::consumer::{self as consumers, ConsumerGroup};
use super::group::event::{Effect, Event, GroupError, JoinRefused, Reply};
use super::group::offsets::{CommittedOffset, Offsets, TopicPartition};
use super::group::records::GroupMetadata;
use super::group::{EMPTY_GROUP_KEPT, GroupId, GroupSettings, Now};
use event::{Answer, Output, WriteId};
use writes::Write;

/// Groups one partition holds at most. Each costs about a kilobyte; a client that invents names would
/// otherwise fill the memory. Beyond it new groups are told to try again (15), known ones go on.
pub const GROUPS_MAX: usize = 100_000;

#[derive(Debug)]
struct Entry {
    /// The classic protocol's half; without members while `consumer` is there.
    group: ClassicGroup,
    /// The newer protocol's half, if the group is of that kind.
    consumer: Option<Box<ConsumerGroup>>,
    offsets: Offsets,
    /// Commits and tombstones handed out and not confirmed.
    writes: usize,
    /// The log holds a record of this group, so forgetting it takes a tombstone.
    in_log: bool,
    /// When it is forgotten if it stays empty and without offsets.
    forget_at: Option<u64>,
    /// Its place in `deadlines`.
    deadline: Option<u64>,
    /// Its part of the bytes that all groups hold.
    held_bytes: usize,
}

/// The groups of one partition.
#[derive(Debug)]
pub struct Groups {
    settings: Arc<GroupSettings>,
    entries: HashMap<GroupId, Entry>,
    deadlines: BTreeSet<(u64, GroupId)>,
    writes: HashMap<WriteId, Write>,
    next_write: u64,
    out: Vec<Output>,
    /// The sum over all entries.
    held_bytes: usize,
    /// Requests refused for want of room.
    refusals: u64,
}

impl Groups {
    /// No groups yet.
    pub fn new(settings: Arc<GroupSettings>) -> Groups {
        Groups {
            settings,
            entries: HashMap::new(),
            deadlines: BTreeSet::new(),
            writes: HashMap::new(),
            next_write: 0,
            out: Vec::new(),
            held_bytes: 0,
            refusals: 0,
        }
    }

    /// Takes what the steps since the last call want done, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// When [`Groups::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A request to one group. A group comes into being with the first one that needs it.
    pub fn group_event(&mut self, group: &GroupId, event: Event, now: Now) {
        if !self.has_room_for(group, &event) {
            self.refuse(event);
            return;
        }
        if !self.entries.contains_key(group) {
            self.add(group);
        }
        if let Some(event) = self.classic_of(group, event) {
            self.step(group, event, now);
        }
    }

    /// Time went on.
    pub fn tick(&mut self, now: Now) {
        while let Some((at, group)) = self.deadlines.first().cloned() {
            if at > now.tick_ms {
                return;
            }
            self.step(&group, Event::Tick, now);
            self.step_consumer(&group, consumers::machine::Event::Tick, now);
            let due = |entry: &Entry| entry.forget_at.is_some_and(|at| at <= now.tick_ms);
            if self.entries.get(&group).is_some_and(due) {
                self.forget(&group, now);
            }
        }
    }

    /// A record of the log, while it is being read; call [`Groups::loaded`] at its end.
    pub fn replay_offset(
        &mut self,
        group: &GroupId,
        at: TopicPartition,
        offset: Option<CommittedOffset>,
    ) {
        if offset.is_some() && !self.entries.contains_key(group) {
            self.add(group);
        }
        let Some(entry) = self.entries.get_mut(group) else {
            return;
        };
        match offset {
            Some(offset) => entry.offsets.put(at, offset),
            None => entry.offsets.remove(&at),
        }
    }

    /// As [`Groups::replay_offset`], for a group's membership.
    pub fn replay_group(&mut self, group: &GroupId, metadata: Option<GroupMetadata>, now: Now) {
        if metadata.is_some() && !self.entries.contains_key(group) {
            self.add(group);
        }
        let Some(entry) = self.entries.get_mut(group) else {
            return;
        };
        entry.in_log = metadata.is_some() || entry.consumer.is_some();
        if metadata.is_some() {
            // The newest record decides which kind it is.
            entry.consumer = None;
        }
        entry.group = match metadata {
            Some(metadata) => ClassicGroup::restore(metadata, self.settings.clone(), now),
            None => ClassicGroup::new(self.settings.clone()),
        };
    }

    /// The log has been read: sessions run from now.
    pub fn loaded(&mut self, now: Now) {
        let groups: Vec<GroupId> = self.entries.keys().cloned().collect();
        for group in groups {
            if let Some(entry) = self.entries.get_mut(&group) {
                entry.group.restart_sessions(now);
                if let Some(consumer) = &mut entry.consumer {
                    consumer.loaded(now);
                }
            }
            self.settle(&group, now);
        }
    }

    /// The number of groups and of committed offsets.
    pub fn sizes(&self) -> (usize, usize) {
        (
            self.entries.len(),
            self.entries
                .values()
                .map(|entry| entry.offsets.iter().count())
                .sum(),
        )
    }

    fn add(&mut self, group: &GroupId) {
        let entry = Entry {
            group: ClassicGroup::new(self.settings.clone()),
            consumer: None,
            offsets: Offsets::default(),
            writes: 0,
            in_log: false,
            forget_at: None,
            deadline: None,
            held_bytes: 0,
        };
        self.entries.insert(group.clone(), entry);
    }

    fn step(&mut self, group: &GroupId, event: Event, now: Now) {
        let Some(entry) = self.entries.get_mut(group) else {
            return;
        };
        for effect in entry.group.step(event, now) {
            match effect {
                Effect::Reply(ticket, reply) => {
                    self.out.push(Output::Answer(ticket, Answer::Group(reply)));
                }
                Effect::Write { purpose, metadata } => {
                    self.write_group(group, purpose, &metadata, now);
                }
            }
        }
        self.settle(group, now);
    }

    /// After anything happened to a group: forgets it if nothing is left of it, and files its deadline.
    fn settle(&mut self, group: &GroupId, now: Now) {
        self.recount(group);
        let Some(entry) = self.entries.get_mut(group) else {
            return;
        };
        if entry.is_forgettable() {
            if !entry.in_log {
                if let Some(at) = entry.deadline {
                    self.deadlines.remove(&(at, group.clone()));
                }
                self.held_bytes -= entry.held_bytes;
                self.entries.remove(group);
                return;
            }
            entry.forget_at.get_or_insert(now.plus(EMPTY_GROUP_KEPT));
        } else {
            entry.forget_at = None;
        }
        let deadline = match (entry.group_deadline(), entry.forget_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if deadline != entry.deadline {
            if let Some(at) = std::mem::replace(&mut entry.deadline, deadline) {
                self.deadlines.remove(&(at, group.clone()));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, group.clone()));
            }
        }
    }

    fn refuse(&mut self, event: Event) {
        let error = GroupError::CoordinatorNotAvailable;
        let (ticket, reply) = match event {
            Event::Join(ticket, join) => {
                let member_id = join.identity.member_id;
                let refused = JoinRefused { error, member_id };
                (ticket, Reply::Join(Err(refused)))
            }
            Event::Sync(ticket, _) => (ticket, Reply::Sync(Err(error))),
            Event::Heartbeat(ticket, _) => (ticket, Reply::Heartbeat(Err(error))),
            Event::Leave(ticket, who) => (
                ticket,
                Reply::Leave(who.iter().map(|_| Err(error)).collect()),
            ),
            Event::Written(..) | Event::Tick => return,
        };
        self.out.push(Output::Answer(ticket, Answer::Group(reply)));
    }
}

impl Entry {
    /// Nothing in memory is worth keeping, and nothing is under way.
    fn is_forgettable(&self) -> bool {
        self.is_group_idle() && self.offsets.is_empty() && self.writes == 0
    }
}
