//! Three replicas, messages passed in memory: the glue is not shaped for a lone voter only.

use std::collections::VecDeque;

use headrace_storage::{Entry, EntryIndex, LeaderEpoch};
use proptest::prelude::*;
use raft::eraftpb::{Message, MessageType};

use super::replica::{Line, Replica, says};
use crate::raft::{Change, Dropped, Membership, PayloadsMismatch, ReplicaId};

struct Cluster {
    replicas: Vec<Replica>,
    on_the_way: VecDeque<(Message, Vec<Entry>)>,
    /// Cut off: nothing reaches it, nothing leaves it.
    isolated: Option<usize>,
    /// What any replica saw committed, by index.
    agreed: Vec<Line>,
    /// Its disk lost what it had promised to keep.
    broken: Option<usize>,
}

impl Cluster {
    fn new(nodes: u32, voters: &[u32]) -> Cluster {
        let replicas = (1..=nodes).map(|node| Replica::new(node, voters)).collect();
        Cluster {
            replicas,
            on_the_way: VecDeque::new(),
            isolated: None,
            agreed: Vec::new(),
            broken: None,
        }
    }

    fn place(&self, replica: u64) -> Option<usize> {
        let is_it = |other: &Replica| other.id.0 == replica;
        self.replicas.iter().position(is_it)
    }

    fn turn(&mut self, at: usize) {
        let sent = self.replicas[at].turn();
        for (message, _) in &sent {
            assert!(
                !matches!(
                    message.get_msg_type(),
                    MessageType::MsgPropose
                        | MessageType::MsgReadIndex
                        | MessageType::MsgTransferLeader
                ),
                "nothing is forwarded"
            );
        }
        if self.isolated != Some(at) {
            self.on_the_way.extend(sent);
        }
        self.check(at);
    }

    fn deliver(&mut self) -> bool {
        let Some((message, payloads)) = self.on_the_way.pop_front() else {
            return false;
        };
        let to = self.place(message.to);
        if let Some(to) = to.filter(|to| self.isolated != Some(*to)) {
            self.replicas[to].group.receive(message, payloads).unwrap();
            self.turn(to);
        }
        true
    }

    fn sync(&mut self, at: usize) {
        self.replicas[at].sync_votes();
        self.replicas[at].sync_log(usize::MAX);
        self.turn(at);
    }

    /// Until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            (0..self.replicas.len()).for_each(|at| self.sync(at));
            let mut moved = false;
            while self.deliver() {
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn tick_all(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for at in 0..self.replicas.len() {
                self.replicas[at].group.tick();
                self.turn(at);
            }
            self.settle();
        }
    }

    fn elect(&mut self, at: usize) -> LeaderEpoch {
        self.replicas[at].group.campaign();
        self.turn(at);
        self.settle();
        self.replicas[at].leads().expect("nobody is against it")
    }

    fn propose(&mut self, at: usize, number: i64) -> Result<(), Dropped> {
        let Some(term) = self.replicas[at].leads() else {
            return Err(Dropped);
        };
        let proposed = self.replicas[at].group.propose(term, vec![says(number)]);
        self.turn(at);
        proposed
    }

    /// Committed entries are the same everywhere, for ever.
    fn check(&mut self, at: usize) {
        let replica = &self.replicas[at];
        if self.broken == Some(at) {
            return;
        }
        assert_eq!(replica.group.quarantined(), None);
        let lines = replica.lines();
        let committed = usize::try_from(replica.committed.0).unwrap();
        let known = committed.min(self.agreed.len());
        assert_eq!(lines[..known], self.agreed[..known], "replica {at}");
        if committed > self.agreed.len() {
            self.agreed = lines[..committed].to_vec();
        }
    }

    fn said(&self, at: usize) -> Vec<i64> {
        let lines = self.replicas[at].lines();
        let said = lines.iter().map(|line| line.says);
        said.filter(|says| *says > 0).collect()
    }
}

#[test]
fn three_replicas_elect_replicate_and_commit() {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    cluster.elect(0);
    for number in 1..=5 {
        cluster.propose(0, number).unwrap();
    }
    cluster.settle();
    cluster.tick_all(4);
    for at in 0..3 {
        assert_eq!(cluster.said(at), [1, 2, 3, 4, 5]);
        assert_eq!(cluster.replicas[at].committed, EntryIndex(6));
    }
    assert_eq!(
        cluster.propose(1, 9),
        Err(Dropped),
        "a follower forwards nothing"
    );
    assert!(cluster.on_the_way.is_empty());
}

#[test]
fn a_commit_needs_a_majority_on_disk_and_a_follower_answers_after_its_sync() {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    cluster.elect(0);
    let before = cluster.replicas[0].committed;
    cluster.propose(0, 1).unwrap();
    // entries leave before the leader's own sync, and no answer before the follower's
    while cluster.deliver() {}
    cluster.replicas[0].sync_log(usize::MAX);
    cluster.turn(0);
    assert_eq!(cluster.replicas[0].committed, before);
    cluster.sync(1);
    while cluster.deliver() {}
    assert_eq!(cluster.replicas[0].committed, before.next());
}

#[test]
fn a_replica_that_lost_durable_entries_is_quarantined_and_the_others_go_on() {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    cluster.elect(0);
    cluster.propose(0, 1).unwrap();
    cluster.settle();
    cluster.broken = Some(1);
    cluster.replicas[1].log.truncate(1);
    cluster.replicas[1].restart();
    cluster.tick_all(4);
    let why = cluster.replicas[1].group.quarantined();
    let why = why.expect("raft-rs panicked").to_string();
    assert!(why.contains("out of range"), "{why}");
    assert!(cluster.replicas[1].group.role().is_none());
    cluster.propose(0, 2).unwrap();
    cluster.tick_all(4);
    assert_eq!(cluster.said(2), [1, 2]);
    assert_eq!(cluster.replicas[2].committed, EntryIndex(3));
}

#[test]
fn a_divergent_tail_is_cut_and_replaced() {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    cluster.elect(0);
    cluster.propose(0, 1).unwrap();
    cluster.settle();
    cluster.isolated = Some(0);
    for number in [91, 92, 93] {
        cluster.propose(0, number).unwrap();
    }
    cluster.sync(0);
    // the others hear nothing for long enough
    for _ in 0..40 {
        for at in 1..3 {
            cluster.replicas[at].group.tick();
            cluster.turn(at);
        }
        cluster.settle();
    }
    let leader = (1..3)
        .find(|at| cluster.replicas[*at].leads().is_some())
        .unwrap();
    cluster.propose(leader, 2).unwrap();
    cluster.settle();
    cluster.isolated = None;
    cluster.replicas[0].outputs();
    cluster.tick_all(10);
    assert!(cluster.replicas[0].outputs().contains(&"truncate"));
    assert_eq!(cluster.said(0), [1, 2]);
    assert_eq!(
        cluster.replicas[0].committed,
        cluster.replicas[leader].committed
    );
}

#[test]
fn a_replica_with_entries_that_are_not_durable_does_not_campaign() {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    cluster.elect(0);
    cluster.propose(0, 1).unwrap();
    while cluster.deliver() {}
    cluster.isolated = Some(0);
    for _ in 0..100 {
        cluster.replicas[1].group.tick();
        cluster.turn(1);
    }
    cluster.replicas[1].group.campaign();
    cluster.turn(1);
    assert!(cluster.on_the_way.is_empty(), "it asks for no vote");
    cluster.sync(1);
    cluster.on_the_way.clear();
    cluster.replicas[1].group.tick();
    cluster.turn(1);
    assert!(!cluster.on_the_way.is_empty(), "now it does");
}

#[test]
fn while_leadership_moves_proposals_are_dropped() {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    let term = cluster.elect(0);
    let to = cluster.replicas[1].id;
    cluster.replicas[0].group.transfer_to(to);
    let dropped = cluster.replicas[0].group.propose(term, vec![says(1)]);
    assert_eq!(dropped, Err(Dropped));
    cluster.turn(0);
    cluster.settle();
    assert!(cluster.replicas[1].leads() > Some(term));
    assert_eq!(cluster.said(0), Vec::<i64>::new());
}

#[test]
fn voters_are_replaced_through_a_joint_configuration_that_is_left() {
    let mut cluster = Cluster::new(4, &[1, 2, 3]);
    cluster.elect(0);
    let (third, fourth) = (cluster.replicas[2].id, cluster.replicas[3].id);
    let changes = [Change::AddVoter(fourth), Change::Remove(third)];
    cluster.replicas[0]
        .group
        .propose_membership(&changes)
        .unwrap();
    cluster.turn(0);
    cluster.tick_all(10);
    cluster.propose(0, 1).unwrap();
    cluster.tick_all(10);
    cluster.isolated = Some(1);
    cluster.propose(0, 2).unwrap();
    cluster.tick_all(2);
    assert_eq!(
        cluster.said(3),
        [1, 2],
        "leader and new voter are a majority"
    );
    assert_eq!(
        cluster.replicas[0].committed,
        cluster.replicas[0].group.commit()
    );
    let voters = cluster.replicas[0].voters();
    assert_eq!(voters.voters, [1, 2, 4].map(|node| ReplicaId::new(1, node)));
    assert!(voters.voters_outgoing.is_empty());
    let stated = cluster.replicas[0].group.restate_voters();
    let (index, content, _) = stated.expect("it runs");
    assert_eq!(index, cluster.replicas[0].committed);
    let stated = Membership::decode(&content).map(|membership| membership.after);
    assert_eq!(stated.as_ref(), Some(&voters));
    for at in [0, 3] {
        cluster.replicas[at].restart();
    }
    assert_eq!(cluster.replicas[0].voters(), voters, "as of the commit");
}

#[test]
fn a_second_change_while_one_is_pending_becomes_an_empty_entry_in_the_leaders_term() {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    let term = cluster.elect(0);
    let stranger = |node| [Change::AddLearner(ReplicaId::new(1, node))];
    for node in [8, 9] {
        let change = stranger(node);
        cluster.replicas[0]
            .group
            .propose_membership(&change)
            .unwrap();
    }
    cluster.turn(0);
    let lines = cluster.replicas[0].lines();
    let terms: Vec<_> = lines.iter().map(|line| (line.term, line.says)).collect();
    assert_eq!(terms, [(term.0, -1), (term.0, -2), (term.0, -1)]);
    cluster.settle();
    let learners = cluster.replicas[0].voters().learners;
    assert_eq!(learners, [ReplicaId::new(1, 8)]);
}

#[test]
fn a_forwarded_proposal_is_not_taken_and_missing_payloads_are_refused() {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    cluster.elect(0);
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgPropose);
    message.from = cluster.replicas[1].id.0;
    message.set_entries(vec![raft::eraftpb::Entry::default()].into());
    let mismatch = PayloadsMismatch {
        named: 1,
        brought: 0,
    };
    let leader = &mut cluster.replicas[0].group;
    assert_eq!(leader.receive(message.clone(), Vec::new()), Err(mismatch));
    leader.receive(message, vec![says(1)]).unwrap();
    cluster.turn(0);
    assert_eq!(cluster.said(0), Vec::<i64>::new());
}

/// One step of a random history.
#[derive(Debug, Clone, Copy)]
enum Step {
    Tick(usize),
    SyncLog(usize, usize),
    SyncVotes(usize),
    Deliver,
    Drop,
    Repeat,
    Swap,
    Propose(usize),
    Crash(usize),
    Isolate(usize),
    Heal,
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..3_usize;
    prop_oneof![
        12 => at.clone().prop_map(Step::Tick),
        6 => (at.clone(), 0..12_usize).prop_map(|(at, upto)| Step::SyncLog(at, upto)),
        6 => at.clone().prop_map(Step::SyncVotes),
        16 => Just(Step::Deliver),
        1 => Just(Step::Drop),
        1 => Just(Step::Repeat),
        2 => Just(Step::Swap),
        4 => at.clone().prop_map(Step::Propose),
        1 => at.clone().prop_map(Step::Crash),
        1 => at.prop_map(Step::Isolate),
        2 => Just(Step::Heal),
    ]
}

fn run(steps: &[Step]) -> Cluster {
    let mut cluster = Cluster::new(3, &[1, 2, 3]);
    for (number, step) in (1..).zip(steps) {
        match *step {
            Step::Tick(at) => {
                (0..3).for_each(|_| cluster.replicas[at].group.tick());
                cluster.turn(at);
            }
            Step::SyncLog(at, behind) => {
                let upto = cluster.replicas[at].log.len().saturating_sub(behind / 4);
                cluster.replicas[at].sync_log(upto);
                cluster.turn(at);
            }
            Step::SyncVotes(at) => {
                cluster.replicas[at].sync_votes();
                cluster.turn(at);
            }
            Step::Deliver => drop(cluster.deliver()),
            Step::Drop => drop(cluster.on_the_way.pop_front()),
            Step::Repeat => {
                let first = cluster.on_the_way.front().cloned();
                cluster.on_the_way.extend(first);
            }
            Step::Swap => {
                if let Some(first) = cluster.on_the_way.pop_front() {
                    cluster.on_the_way.push_back(first);
                }
            }
            Step::Propose(at) => drop(cluster.propose(at, number)),
            Step::Crash(at) => {
                cluster.replicas[at].crash();
                cluster.turn(at);
            }
            Step::Isolate(at) => cluster.isolated = Some(at),
            Step::Heal => cluster.isolated = None,
        }
    }
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn committed_entries_are_the_same_everywhere_whatever_is_lost(
        steps in prop::collection::vec(step(), 200..1200)
    ) {
        let mut cluster = run(&steps);
        cluster.isolated = None;
        cluster.tick_all(60);
        let leader = (0..3).find(|at| cluster.replicas[*at].leads().is_some());
        let leader = leader.expect("three that talk elect a leader");
        cluster.propose(leader, 1_000_000).unwrap();
        cluster.tick_all(5);
        for at in 0..3 {
            prop_assert_eq!(cluster.replicas[at].lines(), cluster.replicas[leader].lines());
            prop_assert_eq!(cluster.said(at).last().copied(), Some(1_000_000));
        }
    }

    #[test]
    fn a_history_replays_exactly(steps in prop::collection::vec(step(), 100..400)) {
        let (first, second) = (run(&steps), run(&steps));
        for at in 0..3 {
            prop_assert_eq!(first.replicas[at].lines(), second.replicas[at].lines());
        }
    }
}
