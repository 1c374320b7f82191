//! Turns raft-rs's Readies into [`Output`]s.
//!
//! The order within a turn: role, vote, cut, entries, committed, messages. Entries are mirrored before raft-rs
//! is told that it can read them; what is committed is applied at once, for applying here is bookkeeping.

use headrace_storage::{Entry, EntryIndex};
use raft::Ready;
use raft::eraftpb::{Entry as Taken, EntryType, Message};

use super::group::{Dropped, Output, Running, is_forwarded};
use super::membership::{Membership, VoterSet, conf_change};
use super::persist::Stated;
use super::storage::place_of;
use super::{Role, epoch_of};

/// Takes all Readies that there are.
pub(super) fn drain(running: &mut Running, out: &mut Vec<Output>) {
    release(running, out);
    while running.node.has_ready() {
        let mut ready = running.node.ready();
        note_role(running, out);
        note_vote(running, out);
        let last = append(running, &ready.take_entries(), out);
        let committed = ready.take_committed_entries();
        let (early, late) = messages(&mut ready);
        running.persisting.push(Stated {
            number: ready.number(),
            last,
            early,
            late,
        });
        running.node.advance_append_async(ready);
        apply(running, &committed, out);
        release(running, out);
    }
    running.payloads.clear();
}

fn note_role(running: &mut Running, out: &mut Vec<Output>) {
    let role = running.role_now();
    if role != running.role {
        running.role = role;
        out.push(Output::Role(role));
    }
}

/// Every change of term or vote, also a term that was adopted, goes to the journal.
fn note_vote(running: &mut Running, out: &mut Vec<Output>) {
    let raft = &running.node.raft;
    let (term, vote) = (raft.term, raft.vote);
    if (term, vote) != running.stated {
        running.stated = (term, vote);
        let number = running.persisting.stage_vote();
        let term = epoch_of(term);
        out.push(Output::Vote { term, vote, number });
    }
}

/// Hands entries to the log, which is cut first where they do not follow its end. Gives the last one.
fn append(running: &mut Running, entries: &[Taken], out: &mut Vec<Output>) -> EntryIndex {
    let Some(first) = entries.first() else {
        return EntryIndex(0);
    };
    let before = EntryIndex(first.index - 1);
    if before < running.node.store().last() {
        running.node.mut_store().truncate(before);
        running.persisting.truncated(before);
        out.push(Output::Truncate(before));
    }
    let mut last = before;
    let mut run = Vec::with_capacity(entries.len());
    for taken in entries {
        let (index, epoch) = place_of(taken);
        run.push(running.payloads.take(taken));
        let mirror = running.node.mut_store();
        mirror.append(index, epoch);
        if let Some(Entry::Membership { content }) = run.last() {
            mirror.put_membership(index, content.clone());
        }
        last = index;
    }
    out.push(Output::Append(before.next(), run));
    last
}

/// A Ready's messages: of a leader, which need not wait for its entries, and of others, which must.
fn messages(ready: &mut Ready) -> (Vec<Message>, Vec<Message>) {
    let (mut early, mut late) = (ready.take_messages(), ready.take_persisted_messages());
    for messages in [&mut early, &mut late] {
        messages.retain(|message| !is_forwarded(message.get_msg_type()));
    }
    (early, late)
}

fn apply(running: &mut Running, committed: &[Taken], out: &mut Vec<Output>) {
    let Some(last) = committed.last().map(|entry| entry.index) else {
        return;
    };
    for entry in committed {
        if entry.get_entry_type() != EntryType::EntryNormal {
            apply_membership(running, EntryIndex(entry.index), out);
        }
    }
    running.node.advance_apply_to(last);
    out.push(Output::Committed(EntryIndex(last)));
    leave_joint(running);
}

fn apply_membership(running: &mut Running, index: EntryIndex, out: &mut Vec<Output>) {
    let content = running.node.mut_store().take_membership(index);
    let content = content.expect("a membership entry is mirrored with its content");
    let membership = Membership::decode(&content).expect("membership entries can be read");
    let change = conf_change(&membership.changes);
    let after = running.node.apply_conf_change(&change);
    let after =
        VoterSet::from_raft(&after.expect("a membership that was committed can be applied"));
    assert_eq!(after, membership.after, "entry {index} states other voters");
    let number = running.persisting.stage_voters();
    out.push(Output::Membership {
        index,
        content,
        number,
    });
}

/// A leader that finds itself in a joint configuration ends it, whoever began it.
pub(super) fn leave_joint(running: &mut Running) {
    let joint = !running.voters().voters_outgoing.is_empty();
    let leads = matches!(running.role_now(), Role::Leader(_));
    if joint && leads && !running.node.raft.has_pending_conf() {
        // dropped while leadership moves: the next leader will, or this one in time
        let (Ok(()) | Err(Dropped)) = running.propose_membership(&[]);
    }
}

fn release(running: &mut Running, out: &mut Vec<Output>) {
    let mut send = Vec::new();
    let persisted = running.persisting.release(&mut send);
    out.extend(send.into_iter().map(Output::Send));
    if let Some(number) = persisted {
        running.node.on_persist_ready(number);
    }
}
