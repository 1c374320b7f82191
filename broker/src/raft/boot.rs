//! What a group starts from: the recovered log, and what the vote journal kept.
//!
//! ```text
//! term    the greater of the journal's and the last entry's (a crash between the two files is repaired so);
//!         the vote counts only in its own term
//! commit  a lone voter: the hint, held between first_index - 1 and the last entry
//!         with others: what is known committed for other reasons, first_index - 1 or the last membership applied
//! applied = commit, and the voters are those as of exactly that index
//! ```
//!
//! The hint says what was *durable*. For a lone voter that is committed; where others vote it may be an entry
//! that the group never agreed on, and raft-rs would rightly panic when a leader replaces it.

use bytes::Bytes;
use headrace_storage::{EntryIndex, LeaderEpoch};
use raft::eraftpb::HardState;

use super::membership::{Membership, VoterSet};
use super::storage::Mirror;
use super::{ReplicaId, term_of};

/// Where entries of a term begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermRun {
    /// The first entry.
    pub from: EntryIndex,
    /// Its epoch, and that of those up to the next run.
    pub epoch: LeaderEpoch,
}

/// What is known of a replica when it starts. Everything in the log is durable.
#[derive(Debug, Clone)]
pub struct Boot {
    /// This replica.
    pub replica: ReplicaId,
    /// For the election timeouts; different for each group and start.
    pub seed: u64,
    /// The oldest entry that may still be asked for; one past the last if there is none.
    pub first_index: EntryIndex,
    /// The last entry of the log.
    pub last_index: EntryIndex,
    /// The terms from `first_index - 1` to the last entry.
    pub runs: Vec<TermRun>,
    /// Up to where the log was durable when the journal was written; never above the last entry.
    pub hint: EntryIndex,
    /// The journal's term; 0 if it knows none.
    pub term: LeaderEpoch,
    /// Whom it voted for in that term; 0 is nobody.
    pub vote: u64,
    /// The last membership applied before the journal was written, or the group's first at index 0.
    pub membership: (EntryIndex, Bytes),
    /// The membership entries of the log behind that one, oldest first.
    pub memberships: Vec<(EntryIndex, Bytes)>,
}

/// Why a replica cannot take part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootFailure {
    /// A membership was applied that the log does not reach: what was durable is gone.
    #[error("the log ends at entry {last}, but entry {needed} was applied")]
    EntriesLost {
        /// The last entry.
        last: EntryIndex,
        /// The entry that must be there.
        needed: EntryIndex,
    },
    /// The bytes of a membership make no sense.
    #[error("the voters stated at entry {0} cannot be read")]
    Membership(EntryIndex),
    /// raft-rs refuses what it is started with.
    #[error("{0}")]
    Refused(String),
}

/// A mirror to start raft-rs on, and what is applied.
pub(super) struct Started {
    pub(super) mirror: Mirror,
    pub(super) applied: EntryIndex,
}

impl Boot {
    /// Settles term, vote, commit and voters.
    pub(super) fn start(self) -> Result<Started, BootFailure> {
        let (commit, voters) = self.committed()?;
        let runs_end = self.runs.last().map_or(LeaderEpoch(0), |run| run.epoch);
        let state = HardState {
            term: term_of(self.term.max(runs_end)),
            vote: if self.term >= runs_end { self.vote } else { 0 },
            commit: commit.0,
            ..HardState::default()
        };
        let mut mirror = Mirror::new(
            state,
            voters.to_raft(),
            self.first_index,
            self.last_index,
            self.runs,
        );
        for (index, content) in self.memberships {
            if index > commit {
                mirror.put_membership(index, content);
            }
        }
        Ok(Started {
            mirror,
            applied: commit,
        })
    }

    /// The commit to start with, and the voters as of it.
    fn committed(&self) -> Result<(EntryIndex, VoterSet), BootFailure> {
        let (last, needed) = (self.last_index, self.membership.0);
        if needed > last {
            return Err(BootFailure::EntriesLost { last, needed });
        }
        let removed = EntryIndex(self.first_index.0.saturating_sub(1));
        let known = needed.max(removed).min(last);
        let durable = self.hint.max(known).min(last);
        let lone = self.voters_at(durable)?.is_lone_voter(self.replica);
        let commit = if lone { durable } else { known };
        Ok((commit, self.voters_at(commit)?))
    }

    fn voters_at(&self, index: EntryIndex) -> Result<VoterSet, BootFailure> {
        let by_then = self.memberships.iter().rev().find(|(at, _)| *at <= index);
        let (at, content) = by_then.unwrap_or(&self.membership);
        let membership = Membership::decode(content).ok_or(BootFailure::Membership(*at))?;
        Ok(membership.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::membership::Change;
    use raft::Storage;

    const ME: ReplicaId = ReplicaId(1 << 32 | 1);
    const OTHER: ReplicaId = ReplicaId(1 << 32 | 2);

    fn boot() -> Boot {
        let run = |from, epoch| TermRun {
            from: EntryIndex(from),
            epoch: LeaderEpoch(epoch),
        };
        Boot {
            replica: ME,
            seed: 1,
            first_index: EntryIndex(1),
            last_index: EntryIndex(9),
            runs: vec![run(1, 1), run(5, 3)],
            hint: EntryIndex(0),
            term: LeaderEpoch(3),
            vote: ME.0,
            membership: (EntryIndex(0), content(vec![ME])),
            memberships: Vec::new(),
        }
    }

    fn content(voters: Vec<ReplicaId>) -> Bytes {
        let after = VoterSet {
            voters,
            ..VoterSet::default()
        };
        let changes = vec![Change::AddVoter(OTHER)];
        Membership { changes, after }.encode()
    }

    fn state(boot: Boot) -> HardState {
        let started = boot.start().unwrap();
        assert_eq!(started.applied.0, started.mirror.started.hard_state.commit);
        started.mirror.initial_state().unwrap().hard_state
    }

    fn commit(first: u64, hint: u64) -> u64 {
        let (first_index, hint) = (EntryIndex(first), EntryIndex(hint));
        state(Boot {
            first_index,
            hint,
            ..boot()
        })
        .commit
    }

    #[test]
    fn a_lone_voters_commit_is_the_hint_within_its_log() {
        assert_eq!(commit(1, 0), 0);
        assert_eq!(commit(1, 7), 7);
        assert_eq!(commit(1, 20), 9);
        assert_eq!(commit(5, 2), 4);
        assert_eq!(commit(10, 2), 9);
    }

    #[test]
    fn where_others_vote_the_hint_is_no_commit() {
        let both = (EntryIndex(2), content(vec![ME, OTHER]));
        let hint = EntryIndex(7);
        let boot = boot();
        let known = Boot {
            membership: both.clone(),
            hint,
            ..boot.clone()
        };
        assert_eq!(state(known).commit, 2);
        let in_the_log = Boot {
            memberships: vec![both],
            hint,
            ..boot
        };
        assert_eq!(state(in_the_log).commit, 0);
    }

    #[test]
    fn voters_are_those_as_of_the_commit() {
        let boot = Boot {
            memberships: vec![(EntryIndex(6), content(vec![ME, OTHER]))],
            hint: EntryIndex(5),
            ..boot()
        };
        let started = boot.start().unwrap();
        let voters = VoterSet::from_raft(&started.mirror.started.conf_state);
        assert_eq!(voters, VoterSet::lone(ME));
        let mut mirror = started.mirror;
        assert!(mirror.take_membership(EntryIndex(6)).is_some());
    }

    #[test]
    fn the_newer_of_journal_and_log_gives_the_term_and_the_vote_counts_in_its_own() {
        let journal_ahead = Boot {
            term: LeaderEpoch(8),
            ..boot()
        };
        let journal_behind = Boot {
            term: LeaderEpoch(2),
            ..boot()
        };
        let (same, ahead, behind) = (state(boot()), state(journal_ahead), state(journal_behind));
        assert_eq!((same.term, same.vote), (3, ME.0));
        assert_eq!((ahead.term, ahead.vote), (8, ME.0));
        assert_eq!((behind.term, behind.vote), (3, 0));
    }

    #[test]
    fn a_log_that_lost_an_applied_entry_is_refused() {
        let boot = Boot {
            membership: (EntryIndex(12), content(vec![ME])),
            ..boot()
        };
        let lost = BootFailure::EntriesLost {
            last: EntryIndex(9),
            needed: EntryIndex(12),
        };
        assert_eq!(boot.start().err(), Some(lost));
    }

    #[test]
    fn unreadable_voters_are_refused() {
        let boot = Boot {
            membership: (EntryIndex(0), Bytes::from_static(b"?")),
            ..boot()
        };
        let refused = Some(BootFailure::Membership(EntryIndex(0)));
        assert_eq!(boot.start().err(), refused);
    }
}
