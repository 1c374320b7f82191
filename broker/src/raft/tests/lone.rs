//! A group of one voter.

use headrace_storage::{Entry, EntryIndex, LeaderEpoch};

use super::replica::{Replica, says};
use crate::raft::{Boot, Change, Dropped, Group, Membership, ReplicaId, Role};

fn leading() -> Replica {
    let mut replica = Replica::new(1, &[1]);
    replica.group.campaign();
    replica.turn();
    replica.sync_votes();
    replica.sync_log(usize::MAX);
    replica.turn();
    replica.outputs();
    replica
}

#[test]
fn a_lone_voter_leads_at_once_and_commits_its_no_op_when_vote_and_entry_are_synced() {
    let mut replica = Replica::new(1, &[1]);
    replica.group.campaign();
    assert!(replica.turn().is_empty());
    assert_eq!(replica.outputs(), ["role", "vote", "append"]);
    assert_eq!(replica.role, Some(Role::Leader(LeaderEpoch(1))));
    assert!(matches!(replica.log[0].1, Entry::NoOp { term } if term.0 == 1));
    replica.sync_votes();
    replica.turn();
    assert_eq!(replica.committed, EntryIndex(0));
    replica.sync_log(1);
    replica.turn();
    assert_eq!(replica.committed, EntryIndex(1));
}

#[test]
fn nothing_is_committed_before_the_vote_is_synced() {
    let mut replica = Replica::new(1, &[1]);
    replica.group.campaign();
    replica.turn();
    replica
        .group
        .propose(LeaderEpoch(1), vec![says(7)])
        .unwrap();
    replica.turn();
    replica.sync_log(usize::MAX);
    replica.turn();
    assert!(!replica.group.vote_is_synced());
    assert_eq!(replica.committed, EntryIndex(0));
    replica.sync_votes();
    replica.turn();
    assert_eq!(replica.committed, EntryIndex(2));
}

#[test]
fn it_decides_alone_until_a_change_of_the_voters_is_under_way() {
    let mut replica = leading();
    assert!(replica.group.decides_alone());
    replica
        .group
        .propose(LeaderEpoch(1), vec![says(1)])
        .unwrap();
    replica.turn();
    assert!(replica.group.decides_alone(), "whatever is not synced");
    let second = [Change::AddVoter(ReplicaId::new(1, 2))];
    replica.group.propose_membership(&second).unwrap();
    assert!(!replica.group.decides_alone());
    replica.turn();
    replica.sync_log(usize::MAX);
    replica.turn();
    assert_eq!(replica.committed, EntryIndex(3));
    assert!(!replica.group.decides_alone(), "two vote");
}

#[test]
fn several_entries_go_in_one_proposal_in_order() {
    let mut replica = leading();
    let entries = (1..=300).map(says).collect();
    replica.group.propose(LeaderEpoch(1), entries).unwrap();
    replica.turn();
    let said: Vec<i64> = replica.lines().iter().map(|line| line.says).collect();
    assert_eq!(said[1..], (1..=300).collect::<Vec<i64>>());
    replica.sync_log(200);
    replica.turn();
    assert_eq!(
        replica.committed,
        EntryIndex(1),
        "a Ready is durable as a whole"
    );
    replica.sync_log(301);
    replica.turn();
    assert_eq!(replica.committed, EntryIndex(301));
}

#[test]
fn a_proposal_of_another_term_or_of_one_that_does_not_lead_is_dropped() {
    let mut replica = leading();
    let dropped = replica.group.propose(LeaderEpoch(2), vec![says(1)]);
    assert_eq!(dropped, Err(Dropped));
    replica.restart();
    let dropped = replica.group.propose(LeaderEpoch(1), vec![says(1)]);
    assert_eq!(dropped, Err(Dropped));
    assert!(replica.turn().is_empty());
    assert_eq!(replica.log.len(), 1);
}

#[test]
fn each_start_is_a_new_term_and_a_vote_lost_with_the_power_does_not_return() {
    let mut replica = leading();
    replica.restart();
    replica.group.campaign();
    replica.turn();
    replica.sync_log(usize::MAX);
    assert_eq!(replica.leads(), Some(LeaderEpoch(2)));
    // the journal did not make it, the log did
    replica.crash();
    replica.group.campaign();
    replica.turn();
    assert_eq!(replica.leads(), Some(LeaderEpoch(3)));
    replica.sync_votes();
    replica.sync_log(usize::MAX);
    replica.turn();
    let terms: Vec<i32> = replica.lines().iter().map(|line| line.term).collect();
    assert_eq!(terms, [1, 2, 3]);
    assert_eq!(replica.committed, EntryIndex(3));
}

#[test]
fn a_lone_voter_needs_no_ticks_and_its_window_yields_to_what_is_applied() {
    let mut replica = leading();
    assert!(!replica.group.needs_ticks());
    assert_eq!(replica.group.window_may_start(), Some(EntryIndex(2)));
    replica.group.window_starts(EntryIndex(2));
    replica
        .group
        .propose(LeaderEpoch(1), vec![says(1)])
        .unwrap();
    replica.turn();
    assert_eq!(replica.group.window_may_start(), Some(EntryIndex(2)));
    replica.sync_log(2);
    replica.turn();
    assert_eq!(replica.group.window_may_start(), Some(EntryIndex(3)));
}

#[test]
fn a_panic_quarantines_its_group_alone_and_gives_out_nothing_of_its_turn() {
    let (mut replica, mut other) = (leading(), leading());
    let content = Membership::initial(replica.voters()).encode();
    let mistaken = vec![says(1), Entry::Membership { content }];
    assert_eq!(
        replica.group.propose(LeaderEpoch(1), mistaken),
        Err(Dropped)
    );
    assert!(replica.turn().is_empty() && replica.outputs().is_empty());
    let why = replica.group.quarantined().expect("it panicked");
    assert!(why.contains("has its own way"), "{why}");
    replica.sync_log(usize::MAX);
    assert_eq!(
        replica.group.propose(LeaderEpoch(1), vec![says(4)]),
        Err(Dropped)
    );
    assert!(replica.turn().is_empty() && replica.outputs().is_empty());
    other.group.propose(LeaderEpoch(1), vec![says(1)]).unwrap();
    other.turn();
    assert_eq!(other.log.len(), 2, "others go on");
}

#[test]
fn a_replica_whose_state_makes_no_sense_is_quarantined_from_the_start() {
    let boot = Boot {
        first_index: EntryIndex(5),
        term: LeaderEpoch(1),
        ..Replica::new(1, &[1]).boot()
    };
    let group = Group::new(boot);
    assert!(group.quarantined().is_some());
    assert_eq!(group.role(), None);
}
