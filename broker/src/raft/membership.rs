//! Who votes: the bytes of a membership entry, and of what the vote journal keeps of the last one applied.
//!
//! ```text
//! version u8 | changes u16 | { kind u8 | replica u64 }* | four times: count u16 | { replica u64 }*
//!                                                         voters, learners, voters outgoing, learners next
//! ```
//!
//! An entry says what changes and what the voters are afterwards, so that the voters as of any index are known
//! from the last entry at or below it. Both are decided by the leader when it proposes, for only one change
//! may be pending at a time; a replica that comes to another result when it applies it is quarantined.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};

use super::ReplicaId;

const VERSION: u8 = 1;

/// Voters and learners; a joint configuration has outgoing voters too, and needs a majority of both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoterSet {
    /// The voters; all lists are sorted.
    pub voters: Vec<ReplicaId>,
    /// They get the log and do not vote.
    pub learners: Vec<ReplicaId>,
    /// The voters that are being replaced.
    pub voters_outgoing: Vec<ReplicaId>,
    /// Voters that will be learners once the outgoing ones are gone.
    pub learners_next: Vec<ReplicaId>,
}

/// One step of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Votes from now on.
    AddVoter(ReplicaId),
    /// Gets the log from now on.
    AddLearner(ReplicaId),
    /// Has nothing to do with the group any more.
    Remove(ReplicaId),
}

/// The content of a membership entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// What changes; nothing means: leave the joint configuration.
    pub changes: Vec<Change>,
    /// The result.
    pub after: VoterSet,
}

impl VoterSet {
    /// A group of one.
    pub fn lone(replica: ReplicaId) -> VoterSet {
        VoterSet {
            voters: vec![replica],
            ..VoterSet::default()
        }
    }

    /// Whether `replica` decides alone; learners may listen.
    pub fn is_lone_voter(&self, replica: ReplicaId) -> bool {
        self.voters == [replica] && self.voters_outgoing.is_empty()
    }

    pub(super) fn from_raft(state: &ConfState) -> VoterSet {
        let sorted = |ids: &[u64]| {
            let mut ids: Vec<_> = ids.iter().map(|id| ReplicaId(*id)).collect();
            ids.sort_unstable();
            ids
        };
        VoterSet {
            voters: sorted(state.get_voters()),
            learners: sorted(state.get_learners()),
            voters_outgoing: sorted(state.get_voters_outgoing()),
            learners_next: sorted(state.get_learners_next()),
        }
    }

    pub(super) fn to_raft(&self) -> ConfState {
        let ids = |replicas: &[ReplicaId]| replicas.iter().map(|replica| replica.0).collect();
        let mut state = ConfState::default();
        state.set_voters(ids(&self.voters));
        state.set_learners(ids(&self.learners));
        state.set_voters_outgoing(ids(&self.voters_outgoing));
        state.set_learners_next(ids(&self.learners_next));
        state
    }

    fn lists(&self) -> [&Vec<ReplicaId>; 4] {
        [
            &self.voters,
            &self.learners,
            &self.voters_outgoing,
            &self.learners_next,
        ]
    }
}

impl Membership {
    /// A group that begins with these voters.
    pub fn initial(after: VoterSet) -> Membership {
        Membership {
            changes: Vec::new(),
            after,
        }
    }

    /// The bytes.
    pub fn encode(&self) -> Bytes {
        let short = |count: usize| u16::try_from(count).expect("far fewer replicas than 65,536");
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        out.put_u16(short(self.changes.len()));
        for change in &self.changes {
            let (kind, replica) = match change {
                Change::AddVoter(replica) => (1, replica),
                Change::AddLearner(replica) => (2, replica),
                Change::Remove(replica) => (3, replica),
            };
            out.put_u8(kind);
            out.put_u64(replica.0);
        }
        for list in self.after.lists() {
            out.put_u16(short(list.len()));
            for replica in list {
                out.put_u64(replica.0);
            }
        }
        out.freeze()
    }

    /// Reads them back; `None` for anything that [`Membership::encode`] does not write.
    pub fn decode(mut bytes: &[u8]) -> Option<Membership> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let count = bytes.try_get_u16().ok()?;
        let mut changes = Vec::new();
        for _ in 0..count {
            let kind = bytes.try_get_u8().ok()?;
            let replica = ReplicaId(bytes.try_get_u64().ok()?);
            changes.push(match kind {
                1 => Change::AddVoter(replica),
                2 => Change::AddLearner(replica),
                3 => Change::Remove(replica),
                _ => return None,
            });
        }
        let mut list = || {
            let count = bytes.try_get_u16().ok()?;
            let replica = |_| Some(ReplicaId(bytes.try_get_u64().ok()?));
            (0..count).map(replica).collect::<Option<Vec<_>>>()
        };
        let after = VoterSet {
            voters: list()?,
            learners: list()?,
            voters_outgoing: list()?,
            learners_next: list()?,
        };
        bytes.is_empty().then_some(Membership { changes, after })
    }
}

/// The change as raft-rs takes it. Several steps make the configuration joint; leaving it is proposed by us, by
/// whichever leader finds itself joint: raft-rs forgets it when the leader changes in between.
pub(super) fn conf_change(changes: &[Change]) -> ConfChangeV2 {
    let single = |change: &Change| {
        let (kind, replica) = match change {
            Change::AddVoter(replica) => (ConfChangeType::AddNode, replica),
            Change::AddLearner(replica) => (ConfChangeType::AddLearnerNode, replica),
            Change::Remove(replica) => (ConfChangeType::RemoveNode, replica),
        };
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = replica.0;
        single
    };
    let mut change = ConfChangeV2::default();
    if changes.len() > 1 {
        change.set_transition(ConfChangeTransition::Explicit);
    }
    change.set_changes(changes.iter().map(single).collect());
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        let replica = |node| ReplicaId::new(1, node);
        Membership {
            changes: vec![
                Change::AddVoter(replica(2)),
                Change::AddLearner(replica(3)),
                Change::Remove(replica(4)),
            ],
            after: VoterSet {
                voters: vec![replica(1), replica(2)],
                learners: vec![replica(3)],
                voters_outgoing: vec![replica(1), replica(4)],
                learners_next: vec![],
            },
        }
    }

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        let bytes = membership().encode();
        assert_eq!(Membership::decode(&bytes), Some(membership()));
        for cut in 0..bytes.len() {
            assert_eq!(Membership::decode(&bytes[..cut]), None);
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Membership::decode(&longer), None);
    }

    #[test]
    fn the_format_is_fixed() {
        let bytes = Membership {
            changes: vec![Change::AddVoter(ReplicaId::new(1, 7))],
            after: VoterSet::lone(ReplicaId::new(1, 7)),
        }
        .encode();
        let replica = [0, 0, 0, 1, 0, 0, 0, 7];
        let golden = [
            &[1, 0, 1, 1][..],
            &replica,
            &[0, 1],
            &replica,
            &[0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(bytes, golden.concat());
    }

    #[test]
    fn voters_survive_the_way_through_raft() {
        let set = membership().after;
        assert_eq!(VoterSet::from_raft(&set.to_raft()), set);
    }
}
