//! What the log must be told when a group goes from one state to the next: their difference, in an order that a reader
//! of any prefix can live with (what a member gives up comes before what others take).

use std::sync::Arc;

use super::member::Member;
use super::records::Record;
use super::state::State;

/// The records that lead from `old` to `new`; none if they are the same.
pub(super) fn between(old: &State, new: &State) -> Vec<Record> {
    let mut records = Vec::new();
    gone(old, new, &mut records);
    for (id, member) in new.members() {
        let before = old.member(id);
        if before.is_none_or(|before| !same(&before.wishes, &member.wishes)) {
            records.push(Record::Wishes(id.clone(), Some(Arc::clone(&member.wishes))));
        }
    }
    for (text, resolved) in &new.patterns {
        if old
            .patterns
            .get(text)
            .is_none_or(|before| !same(before, resolved))
        {
            records.push(Record::Pattern(text.clone(), Some(Arc::clone(resolved))));
        }
    }
    if (old.epoch, old.metadata_hash) != (new.epoch, new.metadata_hash) {
        records.push(Record::Epoch(Some((new.epoch, new.metadata_hash))));
    }
    for (id, target) in &new.targets {
        if old
            .targets
            .get(id)
            .is_none_or(|before| !same(before, target))
        {
            records.push(Record::Target(id.clone(), Some(Arc::clone(target))));
        }
    }
    if (old.assignment_epoch, old.assigned_at_ms) != (new.assignment_epoch, new.assigned_at_ms) {
        let value = (new.assignment_epoch, new.assigned_at_ms);
        records.push(Record::TargetEpoch(Some(value)));
    }
    held(old, new, &mut records);
    records
}

/// Tombstones for all that the log may hold of a group.
pub(super) fn tombstones(state: &State) -> Vec<Record> {
    let mut records = Vec::new();
    gone(state, &State::default(), &mut records);
    records.extend([
        Record::TargetEpoch(None),
        Record::OldTopics,
        Record::Epoch(None),
    ]);
    records
}

fn gone(old: &State, new: &State, records: &mut Vec<Record>) {
    for id in old.members().keys().filter(|id| new.member(id).is_none()) {
        records.push(Record::Hold(id.clone(), None));
        records.push(Record::Target(id.clone(), None));
        records.push(Record::Wishes(id.clone(), None));
    }
    for text in old
        .patterns
        .keys()
        .filter(|text| !new.patterns.contains_key(*text))
    {
        records.push(Record::Pattern(text.clone(), None));
    }
}

fn held(old: &State, new: &State, records: &mut Vec<Record>) {
    let changed = new.members().iter().filter(|(id, member)| {
        let before = old.member(id);
        before.is_none_or(|before: &Member| !same(&before.hold, &member.hold))
    });
    let (gave, took): (Vec<_>, Vec<_>) = changed.partition(|(id, member)| {
        let before = old.member(id);
        before.is_some_and(|before| before.holds().count() > member.holds().count())
    });
    for (id, member) in gave.into_iter().chain(took) {
        records.push(Record::Hold(id.clone(), Some(Arc::clone(&member.hold))));
    }
}

fn same<T: PartialEq>(one: &Arc<T>, other: &Arc<T>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}
