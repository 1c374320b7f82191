//! How much memory the groups of a partition hold, and what is refused when it would be too much.
//!
//! What is there goes on: heartbeats, commits of known places, rejoins that bring no more than before. What would
//! make it more is told to ask again (15), for groups go and offsets expire. A log that holds more is loaded.

use super::{Entry, GROUPS_MAX, Groups};
use crate::coordinator::group::GroupId;
use crate::coordinator::group::consumer::ConsumerGroup;
use crate::coordinator::group::event::Event;
use crate::coordinator::group::members::{Member, Members, join_bytes};

/// What a group costs beside its members, its offsets and its name, which is held three times.
const GROUP_BYTES: usize = 1024;

impl Groups {
    /// Bytes that all groups hold on to.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// How many requests were refused for want of room since this was last asked.
    pub fn take_refusals(&mut self) -> u64 {
        std::mem::take(&mut self.refusals)
    }

    /// Whether there is room for what an event brings; a refusal is counted.
    pub(super) fn has_room_for(&mut self, group: &GroupId, event: &Event) -> bool {
        let grows_by = growth(self.entries.get(group), event);
        let is_new = !self.entries.contains_key(group);
        (!is_new || self.has_room_for_group(group)) && (grows_by == 0 || self.has_room(grows_by))
    }

    /// Whether one more group may be.
    pub(super) fn has_room_for_group(&mut self, group: &GroupId) -> bool {
        if self.entries.len() >= GROUPS_MAX {
            self.refusals += 1;
            return false;
        }
        self.has_room(GROUP_BYTES + 3 * group.len())
    }

    /// Whether so many bytes more may be held.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        let room = self.held_bytes.saturating_add(bytes) <= self.settings.memory_bytes_max;
        self.refusals += u64::from(!room);
        room
    }

    /// Counts what a group holds now.
    pub(super) fn recount(&mut self, group: &GroupId) {
        if let Some(entry) = self.entries.get_mut(group) {
            let members = entry.group.members().held_bytes();
            let consumer = entry
                .consumer
                .as_deref()
                .map_or(0, ConsumerGroup::held_bytes);
            let now =
                GROUP_BYTES + 3 * group.len() + members + consumer + entry.offsets.held_bytes();
            self.held_bytes = self.held_bytes - entry.held_bytes + now;
            entry.held_bytes = now;
        }
    }
}

/// Bytes that an event may add to a group.
fn growth(entry: Option<&Entry>, event: &Event) -> usize {
    let members = entry.map(|entry| entry.group.members());
    match event {
        Event::Join(_, join) => {
            let known = members.and_then(|members| members.get(&join.identity.member_id));
            join_bytes(join).saturating_sub(known.map_or(0, Member::held_bytes))
        }
        Event::Sync(_, sync) => {
            let parts = sync.assignments.iter().map(|(_, part)| part.len());
            let held = members.map_or(0, Members::assigned_bytes);
            parts.sum::<usize>().saturating_sub(held)
        }
        Event::Heartbeat(..) | Event::Leave(..) | Event::Written(..) | Event::Tick => 0,
    }
}
