//! A replica over a log and a journal that can be synced, and lost, at will.

use std::collections::BTreeMap;

use bytes::Bytes;
use headrace_storage::{Entry, EntryIndex, LeaderEpoch};
use raft::eraftpb::{Message, MessageType};

use crate::raft::{Boot, Group, Membership, Output, ReplicaId, Role, TermRun, VoterSet};

/// An entry of the test's log; what it says is told apart by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) term: i32,
    pub(super) says: i64,
}

/// What a lost power leaves, and what it does not.
#[derive(Debug, Clone)]
struct Journal {
    synced: (LeaderEpoch, u64),
    membership: (EntryIndex, Bytes),
    /// Changes written and not synced, by number.
    staged: BTreeMap<u64, Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Vote(LeaderEpoch, u64),
    Membership(EntryIndex, Bytes),
}

pub(super) struct Replica {
    pub(super) id: ReplicaId,
    pub(super) group: Group,
    pub(super) log: Vec<(Line, Entry)>,
    pub(super) durable: usize,
    pub(super) committed: EntryIndex,
    pub(super) role: Option<Role>,
    pub(super) outputs: Vec<&'static str>,
    journal: Journal,
    starts: u64,
}

/// An entry that says a number.
pub(super) fn says(number: i64) -> Entry {
    Entry::Roll { at_ms: number }
}

impl Replica {
    pub(super) fn new(node: u32, voters: &[u32]) -> Replica {
        let id = ReplicaId::new(1, node);
        let voters = voters.iter().map(|node| ReplicaId::new(1, *node)).collect();
        let after = VoterSet {
            voters,
            ..VoterSet::default()
        };
        let membership = (EntryIndex(0), Membership::initial(after).encode());
        let journal = Journal {
            synced: (LeaderEpoch(0), 0),
            membership,
            staged: BTreeMap::new(),
        };
        let group = Group::new(boot(id, &journal, &[], 0));
        Replica {
            id,
            group,
            log: Vec::new(),
            durable: 0,
            committed: EntryIndex(0),
            role: None,
            outputs: Vec::new(),
            journal,
            starts: 0,
        }
    }

    /// Loses what is not synced, and starts again.
    pub(super) fn crash(&mut self) {
        self.log.truncate(self.durable);
        self.journal.staged.clear();
        self.restart();
    }

    /// Starts again with what there is.
    pub(super) fn restart(&mut self) {
        self.starts += 1;
        self.durable = self.log.len();
        let boot = boot(self.id, &self.journal, &self.log, self.starts);
        self.group = Group::new(boot);
        self.role = None;
        self.committed = self.group.commit();
    }

    pub(super) fn sync_log(&mut self, upto: usize) {
        self.durable = upto.min(self.log.len()).max(self.durable);
        self.group.durable(index(self.durable));
    }

    pub(super) fn sync_votes(&mut self) {
        for (number, change) in std::mem::take(&mut self.journal.staged) {
            match change {
                Change::Vote(term, vote) => self.journal.synced = (term, vote),
                Change::Membership(at, content) => self.journal.membership = (at, content),
            }
            self.group.votes_synced(number);
        }
    }

    /// Does what the group says; gives the messages with the payloads of the entries they name.
    pub(super) fn turn(&mut self) -> Vec<(Message, Vec<Entry>)> {
        let mut outputs = Vec::new();
        self.group.drain(&mut outputs);
        let mut sent = Vec::new();
        for output in outputs {
            self.outputs.push(name(&output));
            match output {
                Output::Role(role) => self.role = Some(role),
                Output::Vote { term, vote, number } => {
                    let change = Change::Vote(term, vote);
                    self.journal.staged.insert(number, change);
                }
                Output::Membership {
                    index,
                    content,
                    number,
                } => {
                    let change = Change::Membership(index, content);
                    self.journal.staged.insert(number, change);
                }
                Output::Truncate(last) => {
                    let last = usize::try_from(last.0).unwrap();
                    assert!(last >= usize::try_from(self.committed.0).unwrap());
                    self.log.truncate(last);
                    self.durable = self.durable.min(last);
                }
                Output::Append(first, entries) => {
                    for (at, entry) in (first.0..).map(EntryIndex).zip(entries) {
                        self.append(at, entry);
                    }
                }
                Output::Send(message) => {
                    self.check_vote_is_durable(&message);
                    let payload = |entry: &raft::eraftpb::Entry| {
                        self.log[usize::try_from(entry.index).unwrap() - 1]
                            .1
                            .clone()
                    };
                    let payloads = message.get_entries().iter().map(payload).collect();
                    sent.push((message, payloads));
                }
                Output::Committed(at) => {
                    assert!(at > self.committed, "the commit moves forward");
                    self.committed = at;
                }
            }
        }
        sent
    }

    fn append(&mut self, at: EntryIndex, entry: Entry) {
        assert_eq!(at, index(self.log.len() + 1));
        let raft = self.group.role().map(term_of_role);
        let before = self.log.last().map_or(0, |(line, _)| line.term);
        let (term, says) = match &entry {
            Entry::NoOp { term } => (term.0, -1),
            Entry::Roll { at_ms } => (before, *at_ms),
            _ => (before, -2),
        };
        assert!(Some(term) <= raft, "an entry of a term to come");
        self.log.push((Line { term, says }, entry));
    }

    /// The rule on which everything rests; a question before an election promises nothing.
    fn check_vote_is_durable(&self, message: &Message) {
        let asks_only = matches!(
            message.get_msg_type(),
            MessageType::MsgRequestPreVote | MessageType::MsgRequestPreVoteResponse
        );
        let (term, vote) = self.journal.synced;
        let synced = u64::try_from(term.0).unwrap();
        assert!(
            asks_only || message.term <= synced,
            "{message:?} leaves before its term is synced"
        );
        let grants = message.get_msg_type() == MessageType::MsgRequestVoteResponse;
        // once a later term is synced none can be given in this one
        if grants && !message.reject && message.term == synced {
            assert_eq!(vote, message.to, "a vote that is not synced");
        }
    }

    /// What it would start with now.
    pub(super) fn boot(&self) -> Boot {
        boot(self.id, &self.journal, &self.log, self.starts)
    }

    /// The voters as the group sees them.
    pub(super) fn voters(&self) -> VoterSet {
        self.group.voters().expect("it runs")
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.log.iter().map(|(line, _)| *line).collect()
    }

    pub(super) fn outputs(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.outputs)
    }

    pub(super) fn leads(&self) -> Option<LeaderEpoch> {
        match self.group.role() {
            Some(Role::Leader(term)) => Some(term),
            _ => None,
        }
    }
}

fn term_of_role(role: Role) -> i32 {
    match role {
        Role::Leader(term) | Role::Candidate(term) | Role::Follower { term, .. } => term.0,
    }
}

fn index(count: usize) -> EntryIndex {
    EntryIndex(u64::try_from(count).unwrap())
}

fn name(output: &Output) -> &'static str {
    match output {
        Output::Role(_) => "role",
        Output::Vote { .. } => "vote",
        Output::Truncate(_) => "truncate",
        Output::Append(..) => "append",
        Output::Send(_) => "send",
        Output::Membership { .. } => "membership",
        Output::Committed(_) => "committed",
    }
}

/// What the log and the journal say; the whole log is durable.
fn boot(id: ReplicaId, journal: &Journal, log: &[(Line, Entry)], starts: u64) -> Boot {
    let mut runs: Vec<TermRun> = Vec::new();
    let mut memberships = Vec::new();
    for (at, (line, entry)) in (1..).zip(log) {
        let (from, epoch) = (EntryIndex(at), LeaderEpoch(line.term));
        if runs.last().is_none_or(|run| run.epoch < epoch) {
            runs.push(TermRun { from, epoch });
        }
        if let Entry::Membership { content } = entry
            && from > journal.membership.0
        {
            memberships.push((from, content.clone()));
        }
    }
    Boot {
        replica: id,
        seed: id.0.wrapping_mul(31).wrapping_add(starts),
        first_index: EntryIndex(1),
        last_index: index(log.len()),
        runs,
        hint: index(log.len()),
        term: journal.synced.0,
        vote: journal.synced.1,
        membership: journal.membership.clone(),
        memberships,
    }
}
