//! One replica of one group: raft-rs's `RawNode`, its mirror of the log, and what waits for the disk.
//!
//! The caller's turn: hand in what happened ([`Group::propose`], [`Group::receive`], [`Group::tick`],
//! [`Group::durable`], [`Group::votes_synced`]), then [`Group::drain`] once, then do the [`Output`]s in order.
//! Nothing may be handed in between a drain and its outputs.
//!
//! Whatever panics inside raft-rs ends this group: nothing of the turn is given out, later calls do nothing, and
//! [`Group::quarantined`] says why.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use headrace_storage::{Entry, EntryIndex, LeaderEpoch};
use raft::eraftpb::{Message, MessageType};
use raft::{Changer, RawNode, StateRole};

use super::boot::{Boot, BootFailure};
use super::draws::Draws;
use super::entry::{Payloads, PayloadsMismatch};
use super::membership::{Change, Membership, VoterSet, conf_change};
use super::persist::PersistQueue;
use super::settings::{config, logger};
use super::storage::Mirror;
use super::{ReplicaId, epoch_of, ready, term_of};

/// What the caller must do, in this order.
#[derive(Debug)]
pub enum Output {
    /// The role or the term changed.
    Role(Role),
    /// Stage term and vote in the journal; once that is synced: [`Group::votes_synced`] with the number.
    Vote {
        /// The term.
        term: LeaderEpoch,
        /// Whom it voted for; 0 is nobody.
        vote: u64,
        /// The number of this change.
        number: u64,
    },
    /// Cut the log behind this entry, synced before the next output.
    Truncate(EntryIndex),
    /// Hand the entries to the log; the first gets exactly this index, the others follow.
    Append(EntryIndex, Vec<Entry>),
    /// Hand the message to its replica. An append names entries; their payloads are in the log.
    Send(Message),
    /// Stage the voters in the journal, as of the entry that was applied.
    Membership {
        /// The entry.
        index: EntryIndex,
        /// The bytes of a [`Membership`].
        content: Bytes,
        /// The number of this change, as that of a vote.
        number: u64,
    },
    /// Everything up to this entry is committed.
    Committed(EntryIndex),
}

/// What this replica is in its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Proposals stamped with this term are accepted.
    Leader(LeaderEpoch),
    /// Another leads, or wants to, or none is known.
    Follower {
        /// The term.
        term: LeaderEpoch,
        /// Who leads.
        leader: Option<ReplicaId>,
    },
    /// It asks for votes.
    Candidate(LeaderEpoch),
}

/// A proposal that this replica did not take; none of its entries will ever be in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead in the term of the proposal")]
pub struct Dropped;

/// One replica of one group.
pub struct Group {
    replica: ReplicaId,
    state: State,
}

enum State {
    Running(Box<Running>),
    Quarantined(Arc<str>),
}

/// What is lost when raft-rs panics.
pub(super) struct Running {
    pub(super) node: RawNode<Mirror>,
    pub(super) payloads: Payloads,
    pub(super) persisting: PersistQueue,
    draws: Draws,
    /// The term and vote that the journal was told last.
    pub(super) stated: (u64, u64),
    pub(super) role: Role,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let role = self.role();
        write!(f, "Group({}, {role:?})", self.replica)
    }
}

impl Group {
    /// Starts a replica as a follower. Where its state makes no sense it is quarantined from the start.
    pub fn new(boot: Boot) -> Group {
        let replica = boot.replica;
        let started = catch_unwind(AssertUnwindSafe(|| Running::start(boot)));
        let state = match started {
            Ok(Ok(running)) => State::Running(Box::new(running)),
            Ok(Err(failure)) => State::Quarantined(failure.to_string().into()),
            Err(panic) => State::Quarantined(reason(&*panic)),
        };
        Group { replica, state }
    }

    /// Why this replica takes no part any more.
    pub fn quarantined(&self) -> Option<&Arc<str>> {
        match &self.state {
            State::Running(_) => None,
            State::Quarantined(reason) => Some(reason),
        }
    }

    /// What it is now.
    pub fn role(&self) -> Option<Role> {
        Some(self.running()?.role_now())
    }

    /// Whether it is the only voter: what is durable here is committed.
    pub fn is_lone_voter(&self) -> bool {
        self.running().is_some_and(Running::is_lone_voter)
    }

    /// Whether it is the only voter and no change of that is under way: what is in its log stays in the log.
    pub fn decides_alone(&self) -> bool {
        self.running()
            .is_some_and(|running| running.is_lone_voter() && !running.node.raft.has_pending_conf())
    }

    /// Whether time matters to it: not while it is alone.
    pub fn needs_ticks(&self) -> bool {
        self.running()
            .is_some_and(|running| !running.is_lone_voter() || running.has_peers())
    }

    /// The voters as of what is applied.
    pub fn voters(&self) -> Option<VoterSet> {
        Some(self.running()?.voters())
    }

    /// Up to where entries are committed.
    pub fn commit(&self) -> EntryIndex {
        EntryIndex(
            self.running()
                .map_or(0, |running| running.node.raft.raft_log.committed),
        )
    }

    /// Whether every vote and term that was given out is synced.
    pub fn vote_is_synced(&self) -> bool {
        self.running()
            .is_some_and(|running| running.persisting.vote_is_synced())
    }

    /// The first entry that may still be asked for if the window yields as far as it can; `None` while
    /// followers may need what there is.
    pub fn window_may_start(&self) -> Option<EntryIndex> {
        let running = self.running()?;
        let alone = running.is_lone_voter() && !running.has_peers();
        // a membership that is not in the journal yet must stay in the log
        (alone && running.persisting.all_is_synced())
            .then(|| EntryIndex(running.node.raft.raft_log.applied).next())
    }

    /// What is applied and the voters as of that, for the journal, and the number of that change.
    pub fn restate_voters(&mut self) -> Option<(EntryIndex, Bytes, u64)> {
        self.guarded(|running| {
            let applied = EntryIndex(running.node.raft.raft_log.applied);
            let content = Membership::initial(running.voters()).encode();
            (applied, content, running.persisting.stage_voters())
        })
    }

    /// The window was moved: entries below are gone.
    pub fn window_starts(&mut self, at: EntryIndex) {
        self.guarded(|running| running.node.mut_store().raise_first(at));
    }

    /// Asks to lead at once; a lone voter then does. A replica with entries that are not durable does not.
    pub fn campaign(&mut self) {
        self.guarded(Running::campaign);
    }

    /// One [`TICK`](super::settings::TICK) went by.
    pub fn tick(&mut self) {
        self.guarded(Running::tick);
    }

    /// Puts entries behind the last one, all or none. They were stamped for this term; membership has
    /// [`Group::propose_membership`].
    pub fn propose(&mut self, term: LeaderEpoch, entries: Vec<Entry>) -> Result<(), Dropped> {
        self.guarded(|running| running.propose(term, entries))
            .unwrap_or(Err(Dropped))
    }

    /// Proposes a change of the voters. That it was accepted says little: the result is learnt when it is
    /// applied, and raft-rs puts an empty entry in its place while another change is pending.
    pub fn propose_membership(&mut self, changes: &[Change]) -> Result<(), Dropped> {
        self.guarded(|running| running.propose_membership(changes))
            .unwrap_or(Err(Dropped))
    }

    /// Asks a voter to take over; proposals are dropped until it did or an election timeout went by.
    pub fn transfer_to(&mut self, replica: ReplicaId) {
        self.guarded(|running| running.node.transfer_leader(replica.0));
    }

    /// Takes a message of another replica, with the payloads of the entries that it names.
    ///
    /// Proposals and requests that raft-rs would forward are never taken: they belong into the turn of the
    /// leader itself.
    pub fn receive(
        &mut self,
        message: Message,
        payloads: Vec<Entry>,
    ) -> Result<(), PayloadsMismatch> {
        let (named, brought) = (message.get_entries().len(), payloads.len());
        if named != brought {
            return Err(PayloadsMismatch { named, brought });
        }
        self.guarded(|running| running.receive(message, payloads));
        Ok(())
    }

    /// The log is durable up to this entry.
    pub fn durable(&mut self, last: EntryIndex) {
        self.guarded(|running| running.persisting.durable(last));
    }

    /// The journal is durable up to the change with this number.
    pub fn votes_synced(&mut self, number: u64) {
        self.guarded(|running| running.persisting.votes_synced(number));
    }

    /// Gives what is to be done after what was handed in.
    pub fn drain(&mut self, out: &mut Vec<Output>) {
        let before = out.len();
        if self.guarded(|running| ready::drain(running, out)).is_none() {
            // half a turn is none
            out.truncate(before);
        }
    }

    fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Running(running) => Some(running),
            State::Quarantined(_) => None,
        }
    }

    /// Runs `act`; if it panics the group is quarantined, as it is if it was before.
    fn guarded<R>(&mut self, act: impl FnOnce(&mut Running) -> R) -> Option<R> {
        let State::Running(running) = &mut self.state else {
            return None;
        };
        // sound to look away from what is half changed: it is dropped
        match catch_unwind(AssertUnwindSafe(|| act(running))) {
            Ok(result) => Some(result),
            Err(panic) => {
                self.state = State::Quarantined(reason(&*panic));
                None
            }
        }
    }
}

/// What a panic said.
fn reason(panic: &(dyn Any + Send)) -> Arc<str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").into()
}

impl Running {
    fn start(boot: Boot) -> Result<Running, BootFailure> {
        let (replica, seed) = (boot.replica, boot.seed);
        let (stated, durable) = ((term_of(boot.term), boot.vote), boot.last_index);
        let started = boot.start()?;
        let config = config(replica, started.applied.0);
        let node = RawNode::new(&config, started.mirror, &logger());
        let mut node = node.map_err(|failed| BootFailure::Refused(failed.to_string()))?;
        let mut draws = Draws::new(seed);
        draws.settle(&mut node.raft);
        let mut persisting = PersistQueue::default();
        persisting.durable(durable);
        let term = epoch_of(node.raft.term);
        Ok(Running {
            node,
            payloads: Payloads::default(),
            persisting,
            draws,
            stated,
            role: Role::Follower { term, leader: None },
        })
    }

    pub(super) fn role_now(&self) -> Role {
        let raft = &self.node.raft;
        let term = epoch_of(raft.term);
        match raft.state {
            StateRole::Leader => Role::Leader(term),
            StateRole::Candidate => Role::Candidate(term),
            // it asks what would be if it asked: nothing changed yet
            StateRole::Follower | StateRole::PreCandidate => Role::Follower {
                term,
                leader: (raft.leader_id != 0).then_some(ReplicaId(raft.leader_id)),
            },
        }
    }

    pub(super) fn voters(&self) -> VoterSet {
        VoterSet::from_raft(&self.node.raft.prs().conf().to_conf_state())
    }

    fn is_lone_voter(&self) -> bool {
        let progress = self.node.raft.prs();
        progress.is_singleton() && progress.conf().voters().contains(self.node.raft.id)
    }

    fn has_peers(&self) -> bool {
        self.node.raft.prs().iter().len() > 1
    }

    fn has_unpersisted(&self) -> bool {
        let log = &self.node.raft.raft_log;
        log.persisted < log.last_index()
    }

    fn campaign(&mut self) {
        if !self.has_unpersisted() {
            // refused only for reasons that leave it a follower
            drop(self.node.campaign());
            self.draws.settle(&mut self.node.raft);
        }
    }

    fn tick(&mut self) {
        let raft = &self.node.raft;
        let due = raft.election_elapsed + 1 >= raft.randomized_election_timeout();
        if raft.state != StateRole::Leader && due && self.has_unpersisted() {
            return;
        }
        self.node.tick();
        ready::leave_joint(self);
        self.draws.settle(&mut self.node.raft);
    }

    fn leads_in(&self, term: LeaderEpoch) -> bool {
        let raft = &self.node.raft;
        raft.state == StateRole::Leader && raft.term == term_of(term)
    }

    fn next_index(&self) -> EntryIndex {
        EntryIndex(self.node.raft.raft_log.last_index()).next()
    }

    fn propose(&mut self, term: LeaderEpoch, entries: Vec<Entry>) -> Result<(), Dropped> {
        if entries.is_empty() {
            return Ok(());
        }
        // a follower would forward it, and another leader stamps other offsets
        if !self.leads_in(term) {
            return Err(Dropped);
        }
        let mut index = self.next_index();
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.node.raft.id;
        let metadata = std::iter::repeat_with(raft::eraftpb::Entry::default);
        let metadata: Vec<_> = metadata.take(entries.len()).collect();
        message.set_entries(metadata.into());
        self.node.step(message).map_err(|_| Dropped)?;
        for entry in entries {
            assert!(
                !matches!(entry, Entry::Membership { .. }),
                "has its own way"
            );
            self.payloads.put(index, term, entry);
            index = index.next();
        }
        Ok(())
    }

    pub(super) fn propose_membership(&mut self, changes: &[Change]) -> Result<(), Dropped> {
        let term = epoch_of(self.node.raft.term);
        if !self.leads_in(term) {
            return Err(Dropped);
        }
        let change = conf_change(changes);
        let mut changer = Changer::new(self.node.raft.prs());
        let after = if change.leave_joint() {
            changer.leave_joint()
        } else if let Some(auto_leave) = change.enter_joint() {
            changer.enter_joint(auto_leave, &change.changes)
        } else {
            changer.simple(&change.changes)
        };
        let (after, _) = after.map_err(|_| Dropped)?;
        let membership = Membership {
            changes: changes.to_vec(),
            after: VoterSet::from_raft(&after.to_conf_state()),
        };
        let index = self.next_index();
        let proposed = self.node.propose_conf_change(Vec::new(), change);
        proposed.map_err(|_| Dropped)?;
        if self.node.raft.has_pending_conf() && self.node.raft.pending_conf_index == index.0 {
            let content = membership.encode();
            self.payloads
                .put(index, term, Entry::Membership { content });
        }
        Ok(())
    }

    fn receive(&mut self, message: Message, payloads: Vec<Entry>) {
        let never = is_forwarded(message.get_msg_type());
        let hurried = message.get_msg_type() == MessageType::MsgTimeoutNow;
        if never || hurried && self.has_unpersisted() {
            return;
        }
        for (entry, payload) in message.get_entries().iter().zip(payloads) {
            let (index, epoch) = super::storage::place_of(entry);
            self.payloads.put(index, epoch, payload);
        }
        // refused are only local messages and those of strangers
        drop(self.node.step(message));
        self.draws.settle(&mut self.node.raft);
    }
}

/// What raft-rs forwards to the leader, or takes from someone who does.
pub(super) fn is_forwarded(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::MsgPropose | MessageType::MsgReadIndex | MessageType::MsgTransferLeader
    )
}
